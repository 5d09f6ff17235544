//! Jobs that lead to jobs: follow-ups commit with the completion, children wait for their parents.
#![allow(clippy::print_stdout)]

use serde::{Deserialize, Serialize};
use windlass::testing::TestQueue;
use windlass::{Ctx, Job, JobError};

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "orders")]
struct Order {
    items: u32,
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "orders")]
struct Pack {
    item: u32,
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "orders")]
struct Ship;

async fn order(job: Order, cx: Ctx) -> Result<(), JobError> {
    // None of these exists unless this attempt completes, so a retry of it makes no second set.
    let mut packed = Vec::new();
    for item in 0..job.items {
        packed.push(cx.enqueue(Pack { item })?);
    }
    cx.enqueue(Ship.draft().after(&packed))?; // starts when every item is packed
    if cx.failures() == 0 {
        return Err(JobError::msg("the printer is out of paper"));
    }
    Ok(())
}

async fn pack(job: Pack) {
    println!("packed item {}", job.item);
}

async fn ship(_: Ship) {
    println!("shipped");
}

#[tokio::main]
async fn main() -> Result<(), windlass::Error> {
    let queue = TestQueue::new();
    let client = queue.client();
    let worker = || client.worker(()).queue("orders", 1).handle(order).handle(pack).handle(ship);
    client.enqueue(Order { items: 3 }).await?;
    for _ in 0..2 {
        println!("{:?}", queue.drain(worker()).await?);
        queue.advance(std::time::Duration::from_secs(60)).await?;
    }
    Ok(())
}

//! A small campaign does not wait for a big one: groups share their queue fairly, by weight.
#![allow(clippy::print_stdout)]

use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use windlass::core::queue::GroupSettings;
use windlass::{Ctx, Job, State};

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "email", group = "campaign")]
struct SendEmail {
    campaign: String,
    contact: u64,
}

type Order = Arc<Mutex<Vec<String>>>;

async fn send(job: SendEmail, State(order): State<Order>, _: Ctx) {
    if let Ok(mut order) = order.lock() {
        order.push(job.campaign);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = windlass::open("memory:").await?;
    // The whale comes first, with a hundred times as many contacts.
    for (campaign, contacts) in [("whale", 10_000), ("small", 100), ("paying", 100)] {
        let jobs = (0..contacts).map(|contact| SendEmail { campaign: campaign.into(), contact }.draft());
        client.enqueue_many(jobs).await?;
    }
    // One of the small ones pays for three times the share.
    client
        .set_group("email", "paying", Some(GroupSettings { weight: 3, ..GroupSettings::default() }))
        .await?;

    let order = Order::default();
    let worker = client.worker(order.clone()).queue("email", 10).handle(send).start().await?;
    loop {
        let queues = client.store().queues(None, None).await?;
        if queues.iter().all(|queue| queue.totals.completed == queue.totals.enqueued) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    worker.shutdown().await;
    let order = order.lock().map(|order| order.clone()).unwrap_or_default();
    for campaign in ["paying", "small", "whale"] {
        let last = order.iter().rposition(|sent| sent == campaign).unwrap_or(0);
        println!("{campaign:>6} is done after {:>6} of {} e-mails", last + 1, order.len());
    }
    Ok(())
}

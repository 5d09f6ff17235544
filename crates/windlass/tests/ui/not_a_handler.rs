use serde::{Deserialize, Serialize};
use windlass::{Client, Ctx, State};

#[derive(Serialize, Deserialize, windlass::Job)]
struct Number {
    n: u64,
}

#[derive(Clone)]
struct Mailer;

async fn by_reference(_: &Number) {}
async fn job_comes_second(_: Ctx, _: Number) {}
async fn unknown_state(_: Number, _: State<Mailer>) {}
async fn unknown_argument(_: Number, _: String) {}
async fn unknown_answer(_: Number) -> u64 {
    1
}

fn wrong(client: Client) {
    let _ = client.worker(()).handle(by_reference);
    let _ = client.worker(()).handle(job_comes_second);
    let _ = client.worker(()).handle(unknown_state);
    let _ = client.worker(()).handle(unknown_argument);
    let _ = client.worker(()).handle(unknown_answer);
}

fn main() {}

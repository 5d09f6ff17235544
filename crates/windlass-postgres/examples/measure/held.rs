//! What a claim costs under a snapshot that somebody holds open: jobs come at a steady rate, first without it, then under
//! it for as long as asked, then without it again.
//!
//! `measure held URL CALM_URL [SECONDS]`: two databases of one server that may lose their schema `windlass_measure`. A
//! snapshot holds back only its own database, so the second one, under the same load at the same time, shows what of the
//! change is the machine's.

use crate::{claim, fresh, jobs};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;
use windlass_core::store::{Queue, Settle};
use windlass_postgres::PostgresStore;

/// Jobs of one enqueue and of one claim.
const BATCH: u32 = 50;
/// One enqueue and one claim in that time: 1,000 jobs a second.
const TICK: Duration = Duration::from_millis(50);
/// How long each stretch is that is shown by itself.
const STRETCH: Duration = Duration::from_secs(60);

/// One store and what its worker holds.
struct Side {
    store: PostgresStore,
    made: u128,
    held: Vec<Settle>,
}

impl Side {
    /// Brings a batch, settles the last one and claims the next; how long the claim took.
    async fn step(&mut self) -> u128 {
        let batch = jobs("held", BATCH, &mut self.made, 0);
        self.store.enqueue(batch, false, None).await.unwrap();
        let from = Instant::now();
        self.held = claim(&self.store, "held", std::mem::take(&mut self.held), BATCH).await;
        let took = from.elapsed().as_micros();
        assert_eq!(self.held.len(), BATCH as usize);
        took
    }
}

/// The median and the 99th percentile, in microseconds.
fn percentiles(times: &mut [u128]) -> (u128, u128) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Runs both sides for that long and shows every stretch; the worst stretch of the first side, by its 99th percentile,
/// with the other side's of the same time.
async fn stretches(label: &str, sides: &mut [Side; 2], length: Duration) -> (u128, u128) {
    let until = Instant::now() + length;
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut worst = (0, 0);
    while Instant::now() < until {
        let end = (Instant::now() + STRETCH).min(until);
        let (mut under, mut calm) = (Vec::new(), Vec::new());
        while Instant::now() < end {
            clock.tick().await;
            // One after the other, and each first in turn, so that neither waits for the other alone.
            let [first, second] = sides;
            if under.len() % 2 == 0 {
                under.push(first.step().await);
                calm.push(second.step().await);
            } else {
                calm.push(second.step().await);
                under.push(first.step().await);
            }
        }
        let (claims, (u50, u99), (c50, c99)) = (under.len(), percentiles(&mut under), percentiles(&mut calm));
        println!(
            "{label}: {claims} claims of {BATCH}; p50 {u50} us, p99 {u99} us; the calm database p50 {c50} us, p99 {c99} us"
        );
        if u99 > worst.0 {
            worst = (u99, c99);
        }
    }
    worst
}

/// Opens a snapshot that stays until `ROLLBACK`.
async fn hold(client: &Client) {
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
        .await
        .unwrap();
}

pub(crate) async fn run(arguments: &[String]) {
    let [url, calm_url, rest @ ..] = arguments else { panic!("held URL CALM_URL [SECONDS]") };
    let seconds = rest.first().map_or(600, |text| text.parse().unwrap());
    let (store, client) = fresh(url).await;
    let (calm, _client) = fresh(calm_url).await;
    let side = |store| Side { store, made: 1 << 40, held: Vec::new() };
    let mut sides = [side(store), side(calm)];
    let before = stretches("before", &mut sides, STRETCH).await;
    hold(&client).await;
    let under = stretches("held", &mut sides, Duration::from_secs(seconds)).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    stretches("after", &mut sides, STRETCH).await;
    println!(
        "the worst stretch has {:.2} times the p99 of before; the calm database has {:.2} times at the same time",
        under.0 as f64 / before.0 as f64,
        under.1 as f64 / before.1 as f64
    );
}

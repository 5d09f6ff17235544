//! `mix`: producers and a worker side by side, as in an application: typed no-op handlers, concurrency 100, retention at
//! work. What the store has completed in the time between is what counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use windlass::State;
use windlass_core::{Kind, NewJob};

use super::Scale;
use super::enqueue::{client_fault, finish};
use super::latency::Latencies;
use super::lifecycle::KEEP;
use super::load::{Bench, QUEUE, timed, together};
use super::place::Place;
use super::report::Report;
use super::workers::{CONCURRENCY, Noop};
use crate::fault::Fault;
use crate::output::{Output, progress};

const SECONDS: u64 = 60;
const BATCH: usize = 100;
/// Producers: enqueues in flight.
const CALLERS: usize = 2;
/// Jobs that the producers keep waiting: more than a worker ever claims at once, so that it always finds enough.
const AHEAD: usize = 10_000;
/// Connections, caches and the worker's pace are not what is measured.
const WARM_UP: Duration = Duration::from_secs(3);

/// Room for jobs that wait: producers take of it what they bring, handlers give it back.
#[derive(Clone)]
struct Room(Arc<Semaphore>);

async fn handle(job: Noop, State(room): State<Room>) {
    // The text is decoded and looked at, so that no part of the work can be left out.
    if !job.text.is_empty() {
        room.0.add_permits(1);
    }
}

pub(super) async fn run(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let (callers, batch) = (scale.callers_or(CALLERS), scale.batch_or(BATCH));
    let time = Duration::from_secs(scale.seconds.unwrap_or(SECONDS));
    let url = place.fresh("mix");
    let bench = Arc::new(Bench::open(url.clone()).await?);
    bench.keep_completed(KEEP).await?;
    let room = Room(Arc::new(Semaphore::new(AHEAD.max(batch))));
    let worker = bench.client().worker(room.clone()).queue(QUEUE, CONCURRENCY).handle(handle);
    let worker = worker.start().await.map_err(client_fault)?;

    let latencies = Arc::new(Latencies::new());
    let over = Arc::new(AtomicBool::new(false));
    let producers = together(callers, |_| produce(&bench, &room, &latencies, &over, batch));
    let spinner = progress::bar(out, "mix", None);
    spinner.enable_steady_tick(Duration::from_secs(1));
    let measured = async {
        tokio::time::sleep(WARM_UP).await;
        let (before, start) = (completed(&bench).await?, Instant::now());
        tokio::time::sleep(time).await;
        let (after, took) = (completed(&bench).await?, start.elapsed());
        over.store(true, Ordering::Relaxed);
        // Who waits for room is let go.
        room.0.add_permits(callers * batch);
        Ok::<_, Fault>((after - before, took))
    };
    let ((), (jobs, took)) = tokio::try_join!(producers, measured)?;
    spinner.finish_and_clear();
    let _report = worker.shutdown().await;
    let report = Report::new("mix", &bench, jobs, took).await?;
    let report = report.with_latencies(&latencies).called(callers, batch);
    finish(bench, place, &url).await?;
    Ok(report)
}

/// Enqueues batches as long as there is room for them.
fn produce(
    bench: &Arc<Bench>,
    room: &Room,
    latencies: &Arc<Latencies>,
    over: &Arc<AtomicBool>,
    batch: usize,
) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
    let (bench, room, latencies, over) =
        (Arc::clone(bench), room.clone(), Arc::clone(latencies), Arc::clone(over));
    async move {
        let kind = Kind::new(<Noop as windlass::Job>::KIND)?;
        let payload = Noop::payload()?;
        let wanted = u32::try_from(batch).unwrap_or(u32::MAX);
        let job =
            || NewJob::new(bench.client().new_id(), bench.queue().clone(), kind.clone(), payload.clone());
        loop {
            let Ok(taken) = room.0.acquire_many(wanted).await else { return Ok(()) };
            if over.load(Ordering::Relaxed) {
                return Ok(());
            }
            taken.forget();
            timed(&latencies, bench.enqueue((0..batch).map(|_| job()).collect())).await?;
        }
    }
}

/// Jobs of the queue that have been completed so far, as the store counts them.
async fn completed(bench: &Bench) -> Result<u64, Fault> {
    let queues = bench.store().queues(Some(bench.queue().clone()), None).await?;
    Ok(queues.first().map_or(0, |queue| queue.totals.completed))
}

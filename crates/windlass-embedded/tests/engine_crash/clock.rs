//! A clock that jumps: schedules, leases and retention by the contract, and a store that keeps serving.

use crate::script::{START, block_on, options, queue};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use windlass_core::job::{OnParent, Parent};
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::{Admin, Claim, ClaimedJob, Queue, ScheduleSpec, Settle, Upkeep};
use windlass_core::{JobId, Kind, NewJob, Rejection, ScheduleName, State, Time, WorkerId};
use windlass_embedded::clock::{Clock, ManualClock};
use windlass_embedded::disk::SimDisk;
use windlass_embedded::{AtOpen, EmbeddedOptions, EmbeddedStore};

const HOUR: u64 = 3_600_000;

/// A clock of which the two times are moved apart, as when somebody sets the machine's clock.
#[derive(Default)]
struct Jumping {
    wall_ms: AtomicU64,
    steady_ms: AtomicU64,
    wakes: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

impl Jumping {
    fn new() -> Arc<Self> {
        let clock = Self::default();
        clock.wall_ms.store(START.0, Ordering::SeqCst);
        Arc::new(clock)
    }

    /// Time passes.
    fn pass(&self, ms: u64) {
        self.steady_ms.fetch_add(ms, Ordering::SeqCst);
        self.set(self.wall_ms() + ms);
    }

    /// Somebody sets the clock.
    fn set(&self, wall_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
        let wakes = self.wakes.lock().unwrap().clone();
        wakes.iter().for_each(|wake| wake());
    }
}

impl Clock for Jumping {
    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn steady_ms(&self) -> u64 {
        self.steady_ms.load(Ordering::SeqCst)
    }

    fn runs(&self) -> bool {
        false
    }

    fn on_change(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.wakes.lock().unwrap().push(wake);
    }
}

fn open(disk: &SimDisk, clock: Arc<dyn Clock>) -> EmbeddedStore {
    let options = EmbeddedOptions { clock, ..options(ManualClock::new(START), disk.changes()) };
    EmbeddedStore::on_disk(Arc::new(disk.clone()), options).unwrap()
}

fn job(name: &str) -> NewJob {
    NewJob::new(JobId::named(START, name), queue("q"), Kind::new("kind").unwrap(), *b"{}")
}

async fn put(store: &EmbeddedStore, job: NewJob) -> JobId {
    store.enqueue(vec![job], false, None).await.unwrap().remove(0).unwrap().id
}

async fn take(store: &EmbeddedStore) -> Option<ClaimedJob> {
    let claim = Claim { wants: vec![(queue("q"), 1)], worker: WorkerId(1), nonce: 3, ..Claim::default() };
    store.claim(claim, None).await.unwrap().jobs.pop()
}

async fn settle_upkeep(store: &EmbeddedStore) {
    while store.upkeep(1_000, None).await.unwrap().done > 0 {}
}

async fn state(store: &EmbeddedStore, id: JobId) -> State {
    store.get(id).await.unwrap().unwrap().view.state
}

#[test]
fn a_clock_set_forward_makes_jobs_due_and_ends_no_lease() {
    let (disk, clock) = (SimDisk::new(), Jumping::new());
    let store = open(&disk, clock.clone());
    block_on(async {
        put(&store, job("held")).await;
        let held = take(&store).await.unwrap();
        let later = put(&store, NewJob { delay_ms: Some(2 * HOUR), ..job("later") }).await;
        clock.set(START.0 + 3 * HOUR);
        settle_upkeep(&store).await;
        assert_eq!(state(&store, later).await, State::Ready, "people name wall time");
        assert_eq!(state(&store, held.lease.job).await, State::Running, "leases count time that has passed");
        assert!(store.heartbeat(vec![held.lease], None).await.unwrap()[0].is_ok());
        clock.pass(30_001);
        settle_upkeep(&store).await;
        assert_eq!(store.heartbeat(vec![held.lease], None).await.unwrap(), [Err(Rejection::Stale)]);
    });
}

#[test]
fn a_clock_set_back_keeps_jobs_waiting_and_extends_no_lease() {
    let (disk, clock) = (SimDisk::new(), Jumping::new());
    let store = open(&disk, clock.clone());
    block_on(async {
        put(&store, job("held")).await;
        let held = take(&store).await.unwrap();
        let later = put(&store, NewJob { delay_ms: Some(1_000), ..job("later") }).await;
        clock.set(START.0 - HOUR);
        clock.pass(29_000);
        settle_upkeep(&store).await;
        assert_eq!(state(&store, held.lease.job).await, State::Running);
        assert_eq!(state(&store, later).await, State::Scheduled, "its time has not come by the wall clock");
        clock.pass(1_001);
        settle_upkeep(&store).await;
        assert_eq!(store.heartbeat(vec![held.lease], None).await.unwrap(), [Err(Rejection::Stale)]);
        // New work goes on at the time that the clock shows now.
        let fresh = NewJob { id: JobId::named(Time(clock.wall_ms()), "fresh"), ..job("fresh") };
        let fresh = put(&store, fresh).await;
        let mut claimed = Vec::new();
        while let Some(job) = take(&store).await {
            let lease = job.lease;
            claimed.push(lease.job);
            let done = Settle::Complete { lease, result: None, then: Vec::new() };
            let claim = Claim { settle_first: vec![done], worker: WorkerId(1), nonce: 3, ..Claim::default() };
            assert_eq!(store.claim(claim, None).await.unwrap().settled, [Ok(())]);
        }
        assert!(claimed.contains(&fresh) && claimed.contains(&held.lease.job), "{claimed:?}");
        clock.set(START.0 + 1_001);
        settle_upkeep(&store).await;
        assert_eq!(state(&store, later).await, State::Ready);
    });
}

#[test]
fn a_schedule_ticks_once_a_tick_however_the_clock_jumps() {
    let (disk, clock) = (SimDisk::new(), Jumping::new());
    let store = open(&disk, clock.clone());
    block_on(async {
        let spec = ScheduleSpec {
            name: ScheduleName::new("hourly").unwrap(),
            timing: Timing::Interval { every_ms: HOUR, anchor: START },
            overlap: Overlap::Allow,
            catch_up: CatchUp::All { max: 1_000 },
            queue: queue("q"),
            kind: Kind::new("kind").unwrap(),
            payload: b"{}".to_vec(),
            group: None,
            priority: 0,
            paused: false,
        };
        store.set_schedule(spec, None).await.unwrap().unwrap();
        clock.set(START.0 + 3 * HOUR + 1);
        settle_upkeep(&store).await;
        let ticked = |info: &[windlass_core::store::ScheduleInfo]| (info[0].ticks, info[0].last_tick);
        let forward = ticked(&store.schedules().await.unwrap());
        assert_eq!(forward, (3, Some(Time(START.0 + 3 * HOUR))));
        // Set back over ticks that have made their jobs: none of them is made again.
        clock.set(START.0 + HOUR / 2);
        settle_upkeep(&store).await;
        clock.set(START.0 + 3 * HOUR + 2);
        settle_upkeep(&store).await;
        assert_eq!(ticked(&store.schedules().await.unwrap()), forward);
        clock.pass(HOUR);
        settle_upkeep(&store).await;
        assert_eq!(store.schedules().await.unwrap()[0].ticks, 4);
        let counts = store.queues(Some(queue("q")), None).await.unwrap()[0].counts;
        assert_eq!(counts.of(State::Ready), 4, "one job a tick");
    });
}

#[test]
fn retention_follows_the_wall_clock_and_a_clock_set_back_removes_nothing() {
    let (disk, clock) = (SimDisk::new(), Jumping::new());
    let store = open(&disk, clock.clone());
    block_on(async {
        let id = put(&store, job("done")).await;
        let lease = take(&store).await.unwrap().lease;
        let done = Settle::Complete { lease, result: None, then: Vec::new() };
        let claim = Claim { settle_first: vec![done], worker: WorkerId(1), nonce: 3, ..Claim::default() };
        assert_eq!(store.claim(claim, None).await.unwrap().settled, [Ok(())]);
        clock.set(START.0 - 48 * HOUR);
        settle_upkeep(&store).await;
        assert_eq!(state(&store, id).await, State::Completed);
        clock.set(START.0 + 23 * HOUR);
        settle_upkeep(&store).await;
        assert_eq!(state(&store, id).await, State::Completed);
        clock.set(START.0 + 24 * HOUR + 1);
        settle_upkeep(&store).await;
        assert!(store.get(id).await.unwrap().is_none(), "a day has passed by the wall clock");
        let again = store.enqueue(vec![job("done")], false, None).await.unwrap().remove(0).unwrap();
        assert_eq!(again.status, windlass_core::store::EnqueueStatus::Known, "its id is remembered");
    });
}

#[test]
fn a_store_reopened_under_a_clock_that_lies_before_its_last_one_serves_and_its_counter_grows() {
    let (disk, clock) = (SimDisk::new(), Jumping::new());
    let store = open(&disk, clock.clone());
    let first = block_on(async {
        put(&store, job("held")).await;
        clock.pass(HOUR);
        take(&store).await.unwrap().lease
    });
    drop(store);
    let clock = Jumping::new();
    clock.set(START.0 - 10 * HOUR);
    let options = EmbeddedOptions {
        clock: clock.clone(),
        leases: AtOpen::EndLeases,
        ..options(ManualClock::new(START), disk.changes())
    };
    let store = EmbeddedStore::on_disk(Arc::new(disk), options).unwrap();
    block_on(async {
        settle_upkeep(&store).await;
        assert_eq!(store.heartbeat(vec![first], None).await.unwrap(), [Err(Rejection::Stale)]);
        let again = take(&store).await.expect("what was lost at the restart runs again at once").lease;
        assert!(again.token.counter > first.token.counter && again.attempt == 2, "{again:?}");
        clock.pass(31_000);
        settle_upkeep(&store).await;
        assert_eq!(store.heartbeat(vec![again], None).await.unwrap(), [Err(Rejection::Stale)]);
    });
}

#[test]
fn upkeep_comes_to_an_end_although_all_that_could_be_removed_has_live_children() {
    let (disk, clock) = (SimDisk::new(), Jumping::new());
    let store = open(&disk, clock.clone());
    block_on(async {
        let retention = Retention { completed_count: 0, ..Retention::default() };
        let settings = QueueSettings { retention, ..QueueSettings::default() };
        store.set_queue(queue("q"), settings, None).await.unwrap().unwrap();
        let parent = put(&store, job("parent")).await;
        let parents = vec![Parent { id: parent, on: OnParent::Success }];
        let child = put(&store, NewJob { parents, delay_ms: Some(HOUR), ..job("child") }).await;
        let lease = take(&store).await.unwrap().lease;
        let done = Settle::Complete { lease, result: None, then: Vec::new() };
        let claim = Claim { settle_first: vec![done], worker: WorkerId(1), nonce: 3, ..Claim::default() };
        assert_eq!(store.claim(claim, None).await.unwrap().settled, [Ok(())]);
        for _ in 0..100 {
            let report = store.upkeep(10, None).await.unwrap();
            if report.next_due.is_some_and(|due| due > START) {
                assert!(store.get(parent).await.unwrap().is_some(), "its child is live");
                assert!(store.delete(vec![child], None).await.unwrap()[0].is_ok());
                settle_upkeep(&store).await;
                assert!(store.get(parent).await.unwrap().is_none(), "nothing keeps it any more");
                return;
            }
        }
        panic!("upkeep is always due");
    });
}

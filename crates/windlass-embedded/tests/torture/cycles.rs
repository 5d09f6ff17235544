//! The cycles: start, kill, look, again; and every comparison between ledger, event log and store.

use crate::dice::Dice;
use crate::history::History;
use crate::ledger::{LedgerReader, RECORD_BYTES, Record, Said};
use crate::load::{self, Orders, READY};
use crate::makeup::{QUEUES, READER};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use windlass_core::event::{Cursor, EventType};
use windlass_core::job::{ErrorReport, JobView};
use windlass_core::store::{
    Admin, Claim, Filter, From, Queue, Reader, ReleaseReason, Report, Settle, Store, Upkeep,
};
use windlass_core::{JobId, Rejection, State, Time, WorkerId};
use windlass_embedded::clock::{Clock, ManualClock, SystemClock};
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

const CYCLES: u64 = 100;
const SEED: u64 = 0x0077_696e_646c_6173;
/// One cycle in so many is killed while the store opens, the others at full load.
const KILLED_EARLY: u64 = 6;
/// A kill at full load comes so long after the store is open.
const LOAD_MS: std::ops::Range<u64> = 100..600;
/// Acknowledgements after which the load counts as full: from here on the moment of the kill is drawn.
const LOADED_RECORDS: u64 = 2_000;
/// How often the ledger's length is looked at until then.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A store that needs longer than this to open has hung.
const HANG: Duration = Duration::from_secs(60);
/// Leases of former cycles shown to the store in each cycle.
const STALE_SHOWN: usize = 24;
/// Cycles that one directory lives through: enough for leases of several dead processes to meet, few enough that its
/// replay stays short in a program that is not optimised.
const LIFE_CYCLES: u64 = 5;
/// Cycles between two comparisons of every single job with the event log; the counts are compared in each.
const SCAN_EVERY: u64 = 4;

#[test]
fn no_kill_loses_an_acknowledged_job_or_accepts_a_stale_ack_or_repeats_without_cause() {
    if let Some(orders) = Orders::given() {
        return load::run(&orders);
    }
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (cycles, seed) = (number("WINDLASS_TORTURE_CYCLES", CYCLES), number("WINDLASS_SEED", SEED));
    println!("WINDLASS_SEED={seed} WINDLASS_TORTURE_CYCLES={cycles}");
    let mut torture = Torture::new(seed);
    let began = Instant::now();
    for cycle in 1..=cycles {
        let last = cycle % LIFE_CYCLES == 0 || cycle == cycles;
        torture.cycle(cycle, last || cycle % SCAN_EVERY == 0);
        if last {
            torture.begin_anew();
        }
    }
    torture.summary(cycles, began.elapsed());
}

struct Torture {
    home: tempfile::TempDir,
    seed: u64,
    dice: Dice,
    ledger: LedgerReader,
    history: History,
    cursor: Option<Cursor>,
    /// Leases acknowledged in former cycles.
    leases: Vec<Record>,
    counter_max: u64,
    runtime: tokio::runtime::Runtime,
    completed: u64,
    events: u64,
    repeats: u64,
    rates: Vec<u64>,
    stale_shown: u64,
}

impl Torture {
    fn new(seed: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let ledger = LedgerReader::open(&home.path().join("ledger"));
        Self {
            home,
            seed,
            dice: Dice::new(seed),
            ledger,
            history: History::default(),
            cursor: None,
            leases: Vec::new(),
            counter_max: 0,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            completed: 0,
            events: 0,
            repeats: 0,
            rates: Vec::new(),
            stale_shown: 0,
        }
    }

    /// Leaves the directory and everything known of it for a new one.
    fn begin_anew(&mut self) {
        self.home = tempfile::tempdir().unwrap();
        self.ledger = LedgerReader::open(&self.home.path().join("ledger"));
        self.history = History::default();
        self.cursor = None;
        self.leases.clear();
        self.counter_max = 0;
    }

    fn cycle(&mut self, cycle: u64, scan: bool) {
        let orders = Orders {
            directory: self.home.path().join("store"),
            ledger: self.home.path().join("ledger"),
            cycle,
            seed: self.seed.wrapping_add(cycle << 32),
            small_segments: self.dice.once_in(2),
        };
        let early = self.cursor.is_some() && self.dice.once_in(KILLED_EARLY);
        let loaded = if early {
            kill_while_it_opens(&orders, self.dice.roll(40_000));
            None
        } else {
            Some(kill_at_full_load(&orders, LOAD_MS.start + self.dice.roll(LOAD_MS.end - LOAD_MS.start)))
        };
        let checking = Instant::now();
        let records = self.ledger.news(&orders.ledger);
        let completed = records.iter().filter(|record| record.said == Said::Completed).count() as u64;
        self.check(&orders, &records, scan);
        self.completed += completed;
        if let Some(loaded) = loaded {
            let rate = completed * 1_000_000 / (loaded.as_micros() as u64).max(1);
            self.rates.push(rate);
            println!(
                "cycle {cycle:3}: killed after {:3} ms at {rate:6} lifecycles/s; {} acknowledgements; checked in {} ms",
                loaded.as_millis(),
                records.len(),
                checking.elapsed().as_millis(),
            );
        }
    }

    fn summary(&mut self, cycles: u64, took: Duration) {
        self.rates.sort_unstable();
        let rate_at = |percent: usize| self.rates.get(self.rates.len() * percent / 100).copied().unwrap_or(0);
        println!(
            "{cycles} kills, {} at full load: lifecycles/s least {}, p10 {}, median {}; {} lifecycles, {} events, \
             {} repeats all with a cause, {} stale acks refused; {} s",
            self.rates.len(),
            rate_at(0),
            rate_at(10),
            rate_at(50),
            self.completed,
            self.events,
            self.repeats,
            self.stale_shown,
            took.as_secs(),
        );
        assert!(self.completed > 0, "nothing was done under the kills");
    }

    /// Opens the store in this process, on a clock that stands still, and compares everything.
    fn check(&mut self, orders: &Orders, records: &[Record], scan: bool) {
        let clock = ManualClock::new(Time(SystemClock.wall_ms()));
        let options = EmbeddedOptions { clock, ..load::options(orders.small_segments) };
        let told = format!("WINDLASS_SEED={} cycle {}", self.seed, orders.cycle);
        let opening = Instant::now();
        let store =
            EmbeddedStore::open(&orders.directory, options).unwrap_or_else(|why| panic!("{told}: {why}"));
        println!("           {} in {} ms", store.recovery(), opening.elapsed().as_millis());
        let runtime = std::mem::replace(
            &mut self.runtime,
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        );
        runtime.block_on(async {
            settle_upkeep(&store).await;
            self.read_events(&store).await;
            self.compare_ledger(records);
            self.show_stale_leases(&store, records).await;
            self.compare_counts(&store, scan).await;
            store.close().await.unwrap();
        });
    }

    /// Every event since the last cycle, each held against the rules.
    async fn read_events(&mut self, store: &EmbeddedStore) {
        let mut from = self.cursor.map_or(From::Earliest, From::After);
        loop {
            let page = store.events(from, 1_000, 0).await.unwrap().unwrap();
            assert!(!page.gap, "events were trimmed before their registered reader had read them");
            for event in &page.events {
                self.history.take(event);
                self.events += 1;
                if event.event == EventType::Claimed && event.attempt > 1 {
                    self.repeats += 1;
                }
            }
            from = From::After(page.next);
            if page.events.is_empty() {
                self.cursor = Some(page.next);
                store.set_reader(Reader { name: READER.into(), cursor: page.next }).await.unwrap();
                return;
            }
        }
    }

    /// Every acknowledgement is a fact in the event log.
    fn compare_ledger(&mut self, records: &[Record]) {
        let mut counters: HashMap<JobId, (u32, u64)> = HashMap::new();
        let mut most = self.counter_max;
        for record in records {
            let job = record.job;
            let life = self.history.lives.get(&job);
            let Some(ends) = self.history.ends(job) else {
                panic!("{record:?} was acknowledged, and the job is unknown")
            };
            let attempt = life.map_or(u32::MAX, |life| life.attempt);
            match record.said {
                Said::Created | Said::Existing | Said::Retried => {}
                Said::Cancelled => {
                    let gone = life.is_none_or(|life| life.ended == Some(State::Cancelled));
                    assert!(gone, "{record:?} was acknowledged: {life:?}");
                }
                Said::CancelAsked => {
                    let seen = life.is_none_or(|life| life.attempt > 0);
                    assert!(seen, "{record:?} was acknowledged: {life:?}");
                }
                Said::Deleted => assert!(life.is_none(), "{record:?} was acknowledged: {life:?}"),
                Said::Claimed => {
                    assert!(attempt >= record.attempt, "{record:?} was answered: {life:?}");
                    assert!(record.token.counter > self.counter_max, "{record:?}: the counter fell");
                    most = most.max(record.token.counter);
                    let last = counters.entry(job).or_default();
                    let grew = record.attempt > last.0 && record.token.counter > last.1;
                    assert!(grew, "{record:?} came after {last:?}");
                    *last = (record.attempt, record.token.counter);
                }
                Said::Completed => {
                    assert_eq!(
                        ends.last(),
                        Some(&(EventType::Completed, record.attempt)),
                        "{record:?}: {life:?}"
                    );
                }
                Said::Failed | Said::Snoozed | Said::Released => {
                    // Asked to stop, a job that its holder gives back ends as cancelled.
                    let ended = ends.iter().any(|(event, attempt)| {
                        *attempt == record.attempt
                            && (record.said.is_end(*event) || *event == EventType::Cancelled)
                    });
                    assert!(ended, "{record:?} was acknowledged: {life:?}");
                }
            }
        }
        self.counter_max = most;
    }

    /// Leases of killed processes are shown in every way there is: each is told that it is stale, or that the very
    /// same end is already known, and the job stays as it is to the last byte.
    async fn show_stale_leases(&mut self, store: &EmbeddedStore, records: &[Record]) {
        self.leases.extend(records.iter().filter(|record| record.said == Said::Claimed));
        for number in 0..STALE_SHOWN.min(self.leases.len()) {
            // Half of them from the process that was killed just now.
            let recent = self.leases.len().min(200) as u64;
            let back = if number % 2 == 0 { recent } else { self.leases.len() as u64 };
            let lease = self.leases[self.leases.len() - 1 - self.dice.roll(back) as usize].lease();
            let before = store.get(lease.job).await.unwrap();
            let error = ErrorReport { message: "from the dead".into(), ..ErrorReport::default() };
            let settle_first = vec![
                Settle::Complete { lease, result: Some(b"stale".to_vec()), then: Vec::new() },
                Settle::Fail { lease, error, retry_in_ms: None, fatal: true },
                Settle::Snooze { lease, delay_ms: 1, reason: "from the dead".into(), holds: None },
                Settle::Release { lease, reason: ReleaseReason::Unstarted },
            ];
            let claim = Claim { settle_first, worker: WorkerId(1), nonce: 1, ..Claim::default() };
            let settled = store.claim(claim, None).await.unwrap().settled;
            let known = self.history.ends(lease.job).unwrap_or_default();
            let known: Vec<_> = known.iter().filter(|(_, attempt)| *attempt == lease.attempt).collect();
            let ways = [Said::Completed, Said::Failed, Said::Snoozed, Said::Released];
            let repeated = ways.map(|said| {
                known.iter().any(|(event, _)| said.is_end(*event) || *event == EventType::Cancelled)
            });
            for (told, may_be_known) in settled.iter().zip(repeated) {
                let refused = *told == Err(Rejection::Stale);
                assert!(refused || *told == Ok(()) && may_be_known, "{lease:?}: {settled:?}; {known:?}");
            }
            let beat = store.heartbeat(vec![lease], None).await.unwrap();
            assert_eq!(beat, [Err(Rejection::Stale)], "{lease:?}");
            let log = Some("from the dead".into());
            let report = Report { lease, progress: None, log, checkpoint: Some(b"stale".to_vec()) };
            assert_eq!(store.report(vec![report], None).await.unwrap(), [Err(Rejection::Stale)], "{lease:?}");
            assert_eq!(store.get(lease.job).await.unwrap(), before, "a stale lease changed its job");
            self.stale_shown += 1;
        }
    }

    /// Counts equal a scan of the event log's jobs and, when asked, of the store's.
    async fn compare_counts(&mut self, store: &EmbeddedStore, scan: bool) {
        let infos = store.queues(None, None).await.unwrap();
        let counted: u64 = infos.iter().flat_map(|info| info.counts.0).sum();
        assert_eq!(counted, self.history.lives.len() as u64, "jobs counted, and jobs of the event log");
        let running: u64 = infos.iter().map(|info| info.counts.of(State::Running)).sum();
        assert_eq!(running, 0, "leases of a killed process end at reopen");
        for info in store.limits(None, 100).await.unwrap().items {
            assert_eq!(info.in_use, 0, "limit {} is held by nobody", info.name);
        }
        if !scan {
            return;
        }
        let mut counts: BTreeMap<(String, State), u64> = BTreeMap::new();
        let mut seen = 0;
        for view in list_all(store).await {
            *counts.entry((view.queue.to_string(), view.state)).or_default() += 1;
            self.compare_view(&view);
            seen += 1;
        }
        assert_eq!(seen, self.history.lives.len(), "jobs listed, and jobs of the event log");
        for info in &infos {
            for state in State::ALL {
                let listed = counts.get(&(info.name.to_string(), state)).copied().unwrap_or(0);
                assert_eq!(info.counts.of(state), listed, "{} jobs of {}", state, info.name);
            }
        }
        assert_eq!(infos.len(), QUEUES.len());
    }

    fn compare_view(&self, view: &JobView) {
        let life = self.history.lives.get(&view.id);
        let life = life.unwrap_or_else(|| panic!("job {} is in no event: {view:?}", view.id));
        let ended = view.state.is_terminal().then_some(view.state);
        assert_eq!((ended, view.attempt), (life.ended, life.attempt), "{view:?}: {life:?}");
    }
}

/// Does what is due at the moment at which the clock stands.
async fn settle_upkeep(store: &EmbeddedStore) {
    loop {
        if store.upkeep(1_000, None).await.unwrap().done == 0 {
            return;
        }
    }
}

async fn list_all(store: &EmbeddedStore) -> Vec<JobView> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list(Filter::default(), cursor, 1_000, 100_000).await.unwrap().unwrap();
        all.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

/// The process, and what it prints line by line until it ends.
struct Killable {
    child: Child,
    lines: Receiver<String>,
}

fn start(orders: &Orders) -> Killable {
    let (name, value) = orders.variable();
    let path = module_path!().split_once("::").map_or("", |(_, path)| path);
    let test = "no_kill_loses_an_acknowledged_job_or_accepts_a_stale_ack_or_repeats_without_cause";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{path}::{test}"), "--nocapture"])
        .env(name, value)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (tell, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    Killable { child, lines }
}

impl Killable {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.end();
    }

    /// Takes its end, which must be the kill and nothing else.
    fn end(&mut self) {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait().unwrap();
        if status.signal() != Some(9) {
            let mut said = String::new();
            let _ = self.child.stderr.take().unwrap().read_to_string(&mut said);
            panic!("the process ended by itself: {status}\n{said}");
        }
    }
}

/// Kills the process so long after the load is up; answers how long the store was open.
fn kill_at_full_load(orders: &Orders, after_ms: u64) -> Duration {
    let acknowledged =
        || std::fs::metadata(&orders.ledger).map_or(0, |file| file.len() / RECORD_BYTES as u64);
    let loaded_at = acknowledged() + LOADED_RECORDS;
    let mut started = start(orders);
    loop {
        match started.lines.recv_timeout(HANG) {
            Ok(line) if line.contains(READY) => break,
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => {
                started.end();
                unreachable!("nobody else kills it");
            }
            Err(RecvTimeoutError::Timeout) => panic!("the store did not open within {HANG:?}"),
        }
    }
    let ready = Instant::now();
    let mut until = None;
    loop {
        if until.is_none() && acknowledged() >= loaded_at {
            until = Some(Instant::now() + Duration::from_millis(after_ms));
        }
        assert!(until.is_some() || ready.elapsed() < HANG, "the store is open and acknowledges nothing");
        let wait = until.map_or(LOOK_EVERY, |until| until.saturating_duration_since(Instant::now()));
        match started.lines.recv_timeout(wait) {
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) if until.is_none() => {}
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => {
                started.end();
                unreachable!("nobody else kills it");
            }
        }
    }
    let loaded = ready.elapsed();
    started.kill();
    loaded
}

/// Kills the process while it starts and opens the store, or soon after.
fn kill_while_it_opens(orders: &Orders, after_us: u64) {
    assert!(Path::new(&orders.directory).exists(), "an earlier cycle has made the store");
    let started = start(orders);
    let until = Instant::now() + Duration::from_micros(after_us);
    while let Ok(_line) = started.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {}
    started.kill();
}

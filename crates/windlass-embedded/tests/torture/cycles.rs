//! The cycles: start, kill, look, have it checked, again.

use crate::dice::Dice;
use crate::load::{self, Orders, READY};
use crate::makeup::READER;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use windlass_check::format::{DumpBegins, Line, Says, Told};
use windlass_check::{
    Checker, EventOrder, FaultKind, Follow, Header, Options, Recorder, Recording, VERSION, dump,
};
use windlass_core::event::EventType;
use windlass_core::job::ErrorReport;
use windlass_core::store::{
    AckLevel, Admin, Claim, Queue, Reader, ReleaseReason, Report, Settle, Store, Upkeep,
};
use windlass_core::{Lease, Rejection, State, Time, WorkerId};
use windlass_embedded::clock::{Clock, ManualClock, SystemClock};
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

const CYCLES: u64 = 100;
const SEED: u64 = 0x0077_696e_646c_6173;
/// One cycle in so many is killed while the store opens, the others at full load.
const KILLED_EARLY: u64 = 6;
/// A kill at full load comes so long after the store is open.
const LOAD_MS: std::ops::Range<u64> = 100..600;
/// Bytes of history after which the load counts as full: from here on the moment of the kill is drawn.
const LOADED_BYTES: u64 = 1 << 20;
/// How often the history's length is looked at until then.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A store that needs longer than this to open has hung.
const HANG: Duration = Duration::from_secs(60);
/// Leases of former cycles shown to the store in each cycle.
const STALE_SHOWN: usize = 24;
/// Cycles that one directory lives through: enough for leases of several dead processes to meet, few enough that its
/// replay stays short in a program that is not optimised.
const LIFE_CYCLES: u64 = 5;
/// Cycles between two closes of a store that was opened after a kill, to see that the next open finds the same.
const REOPEN_EVERY: u64 = 4;
/// The store and its clients read one clock; rounding and scheduling may set their milliseconds apart.
const SKEW_MS: u64 = 5;

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
        torture.cycle(cycle, last || cycle % REOPEN_EVERY == 0);
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
    recorder: Arc<Recorder>,
    checker: Checker<BufReader<File>>,
    follow: Follow,
    /// Leases given in former cycles.
    leases: Vec<Lease>,
    runtime: tokio::runtime::Runtime,
    completed: u64,
    events: u64,
    calls: u64,
    repeats: u64,
    rates: Vec<u64>,
    stale_shown: u64,
}

/// A history that the next cycles write to, and what reads along.
fn begin_history(path: &Path) -> (Arc<Recorder>, Checker<BufReader<File>>) {
    let header = Header {
        windlass_history: VERSION,
        store: "embedded".into(),
        ack_level: AckLevel::Power,
        events: EventOrder::Total,
        all_clients: true,
        skew_ms: SKEW_MS,
    };
    let recorder = Recorder::create(path, &header).unwrap();
    let checker = Checker::new(BufReader::new(File::open(path).unwrap()), Options::default()).unwrap();
    (Arc::new(recorder), checker)
}

impl Torture {
    fn new(seed: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (recorder, checker) = begin_history(&home.path().join("history"));
        Self {
            home,
            seed,
            dice: Dice::new(seed),
            recorder,
            checker,
            follow: Follow::default(),
            leases: Vec::new(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            completed: 0,
            events: 0,
            calls: 0,
            repeats: 0,
            rates: Vec::new(),
            stale_shown: 0,
        }
    }

    /// Leaves the directory and everything known of it for a new one; the history ends here.
    fn begin_anew(&mut self) {
        self.home = tempfile::tempdir().unwrap();
        let (recorder, checker) = begin_history(&self.home.path().join("history"));
        self.recorder = recorder;
        let report = std::mem::replace(&mut self.checker, checker).finish();
        assert!(report.is_clean(), "WINDLASS_SEED={}: {:#?}", self.seed, report.violations);
        self.calls += report.figures.calls;
        self.repeats += report.figures.repeats;
        self.follow = Follow::default();
        self.leases.clear();
    }

    fn cycle(&mut self, cycle: u64, reopen: bool) {
        let orders = Orders {
            directory: self.home.path().join("store"),
            history: self.home.path().join("history"),
            cycle,
            seed: self.seed.wrapping_add(cycle << 32),
            small_segments: self.dice.once_in(2),
        };
        let early = orders.directory.exists() && self.dice.once_in(KILLED_EARLY);
        let loaded = if early {
            kill_while_it_opens(&orders, self.dice.roll(40_000));
            None
        } else {
            Some(kill_at_full_load(&orders, LOAD_MS.start + self.dice.roll(LOAD_MS.end - LOAD_MS.start)))
        };
        self.recorder.fault(FaultKind::StoreKilled).unwrap();
        let checking = Instant::now();
        let completed = self.look(&orders, reopen);
        self.completed += completed;
        if let Some(loaded) = loaded {
            let rate = completed * 1_000_000 / (loaded.as_micros() as u64).max(1);
            self.rates.push(rate);
            println!(
                "cycle {cycle:3}: killed after {:3} ms at {rate:6} lifecycles/s; checked in {} ms",
                loaded.as_millis(),
                checking.elapsed().as_millis(),
            );
        }
    }

    fn summary(&mut self, cycles: u64, took: Duration) {
        self.rates.sort_unstable();
        let rate_at = |percent: usize| self.rates.get(self.rates.len() * percent / 100).copied().unwrap_or(0);
        println!(
            "{cycles} kills, {} at full load: lifecycles/s least {}, p10 {}, median {}; {} calls, {} lifecycles, \
             {} events, {} repeats all with a cause, {} stale acks refused; {} s",
            self.rates.len(),
            rate_at(0),
            rate_at(10),
            rate_at(50),
            self.calls,
            self.completed,
            self.events,
            self.repeats,
            self.stale_shown,
            took.as_secs(),
        );
        assert!(self.completed > 0, "nothing was done under the kills");
    }

    /// Opens the store in this process, on a clock that stands still, and has everything checked; answers how many
    /// jobs were completed since the last look.
    fn look(&mut self, orders: &Orders, reopen: bool) -> u64 {
        let clock = ManualClock::new(Time(SystemClock.wall_ms()));
        let told = format!("WINDLASS_SEED={} cycle {}", self.seed, orders.cycle);
        let opening = Instant::now();
        let open = || {
            let options = EmbeddedOptions { clock: clock.clone(), ..load::options(orders.small_segments) };
            EmbeddedStore::open(&orders.directory, options).unwrap_or_else(|why| panic!("{told}: {why}"))
        };
        let mut store = open();
        println!("           {} in {} ms", store.recovery(), opening.elapsed().as_millis());
        let runtime = std::mem::replace(
            &mut self.runtime,
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        );
        let mut completed = 0;
        runtime.block_on(async {
            settle_upkeep(&store).await;
            self.dump(&store, DumpBegins::default()).await;
            completed = self.judge(&told);
            nobody_holds_anything(&store).await;
            self.show_stale_leases(&store).await;
            if reopen {
                self.dump(&store, DumpBegins::default()).await;
                Recording::new(&store, Arc::clone(&self.recorder)).close().await.unwrap();
                drop(store);
                store = open();
                self.dump(&store, DumpBegins { reopened: true, workers_ended: true }).await;
            }
            self.judge(&told);
            store.close().await.unwrap();
        });
        completed
    }

    async fn dump(&mut self, store: &EmbeddedStore, begins: DumpBegins) {
        dump(store, &self.recorder, &mut self.follow, begins).await.unwrap();
        let reader = Reader::of_log(READER, self.follow.cursor());
        store.set_reader(reader).await.unwrap();
    }

    /// Reads the history on and stops at the first invariant that it breaks.
    fn judge(&mut self, told: &str) -> u64 {
        let (mut completed, mut events) = (0, 0);
        let leases = &mut self.leases;
        let read = self.checker.read_each(|Line { says, .. }| match says {
            Says::Event(event) => {
                completed += u64::from(event.event == EventType::Completed);
                events += 1;
            }
            Says::Answer(answer) => {
                if let Told::Claimed { jobs, .. } = &answer.told {
                    leases.extend(jobs.iter().map(|given| given.lease));
                }
            }
            Says::DumpEnd(end) => assert!(end.quiet && end.events_complete, "{told}: {end:?}"),
            _ => {}
        });
        read.unwrap_or_else(|why| panic!("{told}: {why}"));
        self.events += events;
        let broken: Vec<String> = self.checker.violations().iter().map(ToString::to_string).collect();
        if !broken.is_empty() {
            let kept = std::env::temp_dir().join(format!("windlass-torture-{}.history", std::process::id()));
            std::fs::copy(self.home.path().join("history"), &kept).unwrap();
            panic!("{told}: {}\n{}", kept.display(), broken.join("\n"));
        }
        completed
    }

    /// Leases of killed processes are shown in every way there is: the checker sees that none is accepted, and the job
    /// stays as it is to the last byte.
    async fn show_stale_leases(&mut self, store: &EmbeddedStore) {
        let recorded = Recording::new(store, Arc::clone(&self.recorder));
        for number in 0..STALE_SHOWN.min(self.leases.len()) {
            // Half of them from the process that was killed just now.
            let recent = self.leases.len().min(200) as u64;
            let back = if number % 2 == 0 { recent } else { self.leases.len() as u64 };
            let lease = self.leases[self.leases.len() - 1 - self.dice.roll(back) as usize];
            let before = store.get(lease.job).await.unwrap();
            let error = ErrorReport { message: "from the dead".into(), ..ErrorReport::default() };
            let settle_first = vec![
                Settle::Complete { lease, result: Some(b"stale".to_vec()), then: Vec::new() },
                Settle::Fail { lease, error, retry_in_ms: None, fatal: true },
                Settle::Snooze { lease, delay_ms: 1, reason: "from the dead".into(), holds: None },
                Settle::Release { lease, reason: ReleaseReason::Unstarted },
            ];
            let claim = Claim { settle_first, worker: WorkerId(1), nonce: 1, ..Claim::default() };
            recorded.claim(claim, None).await.unwrap();
            let beat = recorded.heartbeat(vec![lease], None).await.unwrap();
            assert_eq!(beat, [Err(Rejection::Stale)], "{lease:?}");
            let log = Some("from the dead".into());
            let report = Report { lease, progress: None, log, checkpoint: Some(b"stale".to_vec()) };
            assert_eq!(
                recorded.report(vec![report], None).await.unwrap(),
                [Err(Rejection::Stale)],
                "{lease:?}"
            );
            assert_eq!(store.get(lease.job).await.unwrap(), before, "a stale lease changed its job");
            self.stale_shown += 1;
        }
    }
}

/// Leases of workers inside a killed process end when the store is opened again, and with them every slot.
async fn nobody_holds_anything(store: &EmbeddedStore) {
    for info in store.queues(None, None).await.unwrap() {
        assert_eq!(info.counts.of(State::Running), 0, "{}", info.name);
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
    let recorded = || std::fs::metadata(&orders.history).map_or(0, |file| file.len());
    let loaded_at = recorded() + LOADED_BYTES;
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
        if until.is_none() && recorded() >= loaded_at {
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

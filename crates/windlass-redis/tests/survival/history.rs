//! Random work of several clients on one server, recorded, and judged at the end.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use windlass_check::format::DumpBegins;
use windlass_check::{
    EventOrder, FaultKind, Follow, Header, Options, Recorder, Recording, Report, VERSION, check, dump,
};
use windlass_core::job::{ErrorReport, OnConflict, Parent, Unique, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings};
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{AckLevel, Admin, Claim, GroupInfo, Queue, ReleaseReason, Settle, Store, Upkeep};
use windlass_core::{JobId, Kind, NewJob, QueueName, State, Time, WorkerId};
use windlass_redis::{RedisOptions, RedisStore};
use windlass_testkit::Dice;

/// Queues of the load: plain, with fair groups, with ordered groups.
const QUEUES: [&str; 3] = ["plain", "fair", "ordered"];
/// Clients that enqueue, and clients that work.
const PRODUCERS: u64 = 2;
const WORKERS: u64 = 3;
/// What is left when the faults have stopped has ended so long after.
const DRAINED_WITHIN: Duration = Duration::from_secs(20);
/// How long a client rests after a failure.
const REST: Duration = Duration::from_millis(20);

type Client = Arc<Recording<Arc<RedisStore>>>;

/// One history and the clients that write it.
pub(crate) struct History {
    home: tempfile::TempDir,
    recorder: Arc<Recorder>,
    url: String,
    seed: u64,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
    pub(crate) completed: Arc<AtomicU64>,
}

impl History {
    /// Begins a history of a server at that URL that gives that level.
    pub(crate) fn begin(url: &str, level: AckLevel, seed: u64) -> Self {
        println!("WINDLASS_SEED={seed}");
        let home = tempfile::tempdir().unwrap();
        let header = Header {
            windlass_history: VERSION,
            store: "redis".into(),
            ack_level: level,
            events: EventOrder::Total,
            all_clients: true,
            skew_ms: 5,
        };
        let recorder = Arc::new(Recorder::create(&home.path().join("history"), &header).unwrap());
        Self {
            home,
            recorder,
            url: url.into(),
            seed,
            stop: Arc::default(),
            clients: Vec::new(),
            completed: Arc::default(),
        }
    }

    /// A seed of the environment, or this one.
    pub(crate) fn seed(or: u64) -> u64 {
        std::env::var("WINDLASS_SEED").map_or(or, |text| text.parse().unwrap())
    }

    pub(crate) fn fault(&self, what: FaultKind) {
        self.recorder.fault(what).unwrap();
    }

    async fn client(&self, upkeep: bool) -> Client {
        let options = RedisOptions { upkeep, ..RedisOptions::default() };
        let store = Arc::new(RedisStore::open(&self.url, options).await.unwrap());
        Arc::new(Recording::new(store, Arc::clone(&self.recorder)))
    }

    /// Sets the queues, and lets clients work from now on.
    pub(crate) async fn start(&mut self) {
        let client = self.client(false).await;
        let retry = RetryPolicy::Fixed { delay_ms: 30, max_failures: 4 };
        let plain = QueueSettings { lease_ms: 1_000, retry, ..QueueSettings::default() };
        let limits = LimitSettings { concurrency: Some(3), rate: None };
        let fair =
            QueueSettings { groups: GroupSettings { limits, ..GroupSettings::default() }, ..plain.clone() };
        // A group that its dead head had shut would keep back children of its jobs in every queue.
        let on_head_death = OnHeadDeath::Park;
        let groups = GroupSettings { ordered: true, on_head_death, ..GroupSettings::default() };
        let ordered = QueueSettings { groups, ..plain.clone() };
        for (name, settings) in QUEUES.into_iter().zip([plain, fair, ordered]) {
            client.set_queue(QueueName::new(name).unwrap(), settings, None).await.unwrap().unwrap();
        }
        for n in 0..PRODUCERS {
            let producer = Producer {
                client: self.client(n == 0).await,
                dice: Dice::of_seed(self.seed ^ n),
                made: n << 48,
            };
            self.clients.push(tokio::spawn(producer.run(Arc::clone(&self.stop))));
        }
        for n in 0..WORKERS {
            let dice = Dice::of_seed(self.seed ^ (n + 1_000));
            let worker = Worker { client: self.client(n == 0).await, dice, id: WorkerId(n + 1), nonce: 0 };
            self.clients.push(tokio::spawn(worker.run(Arc::clone(&self.stop), Arc::clone(&self.completed))));
        }
    }

    /// Waits until so many more jobs have been completed: proof that everyone is at work (again).
    pub(crate) async fn progress(&self, jobs: u64, within: Duration) {
        let until = self.completed.load(Ordering::SeqCst) + jobs;
        let arrived = async {
            while self.completed.load(Ordering::SeqCst) < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(within, arrived)
            .await
            .unwrap_or_else(|_| panic!("no {jobs} completions within {within:?}"));
    }

    /// Ends the work, lets what is left run to its end, looks at the store once more, and has everything judged.
    pub(crate) async fn judge(mut self) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.await.unwrap();
        }
        let client = self.client(true).await;
        let mut worker =
            Worker { client: Arc::clone(&client), dice: Dice::of_seed(1), id: WorkerId(99), nonce: 1 << 40 };
        worker.drain(&self.completed).await;
        let begins = DumpBegins::default();
        dump(&**client.store() as &dyn Store, &self.recorder, &mut Follow::default(), begins).await.unwrap();
        let file = BufReader::new(File::open(self.path()).unwrap());
        check(file, Options { complete: true }).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("history")
    }

    /// Judges, and fails with what was found.
    pub(crate) async fn must_be_clean(self) {
        let seed = self.seed;
        let report = self.judge().await;
        println!("{:?}", report.figures);
        assert!(
            report.is_clean(),
            "seed {seed}: {:#?}",
            &report.violations[..report.violations.len().min(5)]
        );
    }
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(since.as_millis() as u64)
}

struct Producer {
    client: Client,
    dice: Dice,
    made: u64,
}

impl Producer {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::SeqCst) {
            let batch = self.batch();
            // Whoever does not know whether a batch arrived sends the same one again.
            while self.client.enqueue(batch.clone(), false, None).await.is_err() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                tokio::time::sleep(REST).await;
            }
            if self.dice.below(8) == 0 {
                let _ = self.client.cancel(vec![batch[0].id], None).await;
            }
            tokio::time::sleep(Duration::from_millis(self.dice.below(6))).await;
        }
    }

    fn batch(&mut self) -> Vec<NewJob> {
        let size = 1 + self.dice.below(12);
        let mut batch: Vec<NewJob> = Vec::new();
        for _ in 0..size {
            self.made += 1;
            let queue = QUEUES[self.dice.below(3) as usize];
            let id = JobId::from_parts(
                now(),
                (u128::from(self.made) << 64) | u128::from(self.dice.below(1 << 60)),
            );
            let mut job = NewJob::new(id, QueueName::new(queue).unwrap(), Kind::new("work").unwrap(), *b"{}");
            if queue != "plain" {
                job.group = Some(format!("g{}", self.dice.below(5)).parse().unwrap());
            }
            match self.dice.below(12) {
                0 => job.delay_ms = Some(self.dice.below(200)),
                1 if queue == "plain" => job.priority = self.dice.below(3) as i8,
                2 => {
                    let key = format!("k{}", self.dice.below(20)).parse().unwrap();
                    job.unique = Some(Unique {
                        key,
                        scope: UniqueScope::WhileLive,
                        on_conflict: OnConflict::Existing,
                    });
                }
                3 => {
                    job.parents = batch
                        .last()
                        .map(|p| Parent { id: p.id, on: Default::default() })
                        .into_iter()
                        .collect()
                }
                _ => {}
            }
            batch.push(job);
        }
        batch
    }
}

struct Worker {
    client: Client,
    dice: Dice,
    id: WorkerId,
    nonce: u64,
}

impl Worker {
    async fn run(mut self, stop: Arc<AtomicBool>, completed: Arc<AtomicU64>) {
        let mut settle = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            settle = self.step(settle, &completed).await;
        }
    }

    /// Settles, claims, and says how what it got ends.
    async fn step(&mut self, settle_first: Vec<Settle>, completed: &AtomicU64) -> Vec<Settle> {
        self.nonce += 1;
        let done =
            settle_first.iter().filter(|settle| matches!(settle, Settle::Complete { .. })).count() as u64;
        let wants = QUEUES.map(|name| (QueueName::new(name).unwrap(), 5)).to_vec();
        let nonce = (self.id.0 << 32) | self.nonce;
        let claim = Claim { settle_first: settle_first.clone(), wants, worker: self.id, nonce };
        match self.client.claim(claim, None).await {
            Err(_) => {
                tokio::time::sleep(REST).await;
                settle_first
            }
            Ok(claimed) => {
                completed.fetch_add(done, Ordering::SeqCst);
                if claimed.jobs.is_empty() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                claimed.jobs.into_iter().filter_map(|job| self.end(job.lease)).collect()
            }
        }
    }

    fn end(&mut self, lease: windlass_core::Lease) -> Option<Settle> {
        Some(match self.dice.below(20) {
            0 => Settle::Fail { lease, error: error(), retry_in_ms: None, fatal: false },
            1 => Settle::Snooze { lease, delay_ms: self.dice.below(50), reason: "later".into(), holds: None },
            2 => Settle::Release { lease, reason: ReleaseReason::Unstarted },
            3 if self.dice.below(4) == 0 => return None,
            4 => Settle::Complete { lease, result: Some(b"done".to_vec()), then: Vec::new() },
            _ => Settle::Complete { lease, result: None, then: Vec::new() },
        })
    }

    /// Works until nothing is live but what a shut group holds back.
    async fn drain(&mut self, completed: &AtomicU64) {
        let mut settle = Vec::new();
        let since = std::time::Instant::now();
        let mut left = Vec::new();
        while since.elapsed() < DRAINED_WITHIN {
            settle = self.step(settle, completed).await;
            let _ = self.client.store().upkeep(500, None).await;
            if !settle.is_empty() {
                continue;
            }
            left = self.live().await;
            if left.is_empty() {
                return;
            }
        }
        panic!("the queues do not run dry: {left:?}");
    }
}

impl Worker {
    /// Groups with jobs that can still come to an end: all but those that a dead head has shut.
    async fn live(&self) -> Vec<(QueueName, GroupInfo)> {
        let mut live = Vec::new();
        for name in QUEUES {
            let queue = QueueName::new(name).unwrap();
            let groups = self.client.store().groups(queue.clone(), None, 1_000).await.unwrap().items;
            let waits = |group: &GroupInfo| group.counts.waiting() + group.counts.of(State::Running) > 0;
            live.extend(
                groups.into_iter().filter(|g| g.shut_by.is_none() && waits(g)).map(|g| (queue.clone(), g)),
            );
        }
        live
    }
}

fn error() -> ErrorReport {
    let fingerprint = windlass_core::fingerprint::fingerprint("work", None, "boom");
    ErrorReport { class: None, message: "boom".into(), detail: None, fingerprint }
}

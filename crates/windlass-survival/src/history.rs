//! One history: the clients that write it, and its judgement.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use windlass_check::format::{DumpBegins, Fault, Says};
use windlass_check::{
    EventOrder, FaultKind, Follow, Header, Options, Recorder, Recording, Report, VERSION, check, dump,
};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings};
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{AckLevel, Admin};
use windlass_core::{QueueName, WorkerId};
use windlass_testkit::Dice;

use crate::Home;
use crate::load::{Client, Producer, QUEUES, Worker};

/// Clients that enqueue, and clients that work.
const PRODUCERS: u64 = 2;
const WORKERS: u64 = 3;

/// One history and the clients that write it.
pub struct History {
    directory: tempfile::TempDir,
    recorder: Arc<Recorder>,
    home: Arc<dyn Home>,
    seed: u64,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
    /// Calls that failed, of each client.
    failed: Vec<Arc<AtomicU64>>,
    completed: Arc<AtomicU64>,
}

impl History {
    /// Begins a history of a store that gives that level, with the seed of `WINDLASS_SEED` or this one.
    pub fn begin(home: Arc<dyn Home>, level: AckLevel, seed: u64) -> Self {
        let seed = std::env::var("WINDLASS_SEED").map_or(seed, |text| text.parse().unwrap());
        println!("WINDLASS_SEED={seed}");
        let directory = tempfile::tempdir().unwrap();
        let header = Header {
            windlass_history: VERSION,
            store: home.store().into(),
            ack_level: level,
            events: EventOrder::Total,
            all_clients: true,
            skew_ms: 5,
        };
        let recorder = Arc::new(Recorder::create(&directory.path().join("history"), &header).unwrap());
        Self {
            directory,
            recorder,
            home,
            seed,
            stop: Arc::default(),
            clients: Vec::new(),
            failed: Vec::new(),
            completed: Arc::default(),
        }
    }

    /// What the random work grows from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Jobs that workers have completed so far.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::SeqCst)
    }

    /// Records a fault, before it is brought about.
    pub fn fault(&self, what: FaultKind) {
        self.recorder.fault(what).unwrap();
    }

    /// Records a fault of which it is said whether the store's level covers it, before it is brought about.
    pub fn fault_covered(&self, what: FaultKind, covered: bool) {
        self.recorder.say(None, Says::Fault(Fault { what, covered: Some(covered) })).unwrap();
    }

    async fn client(&self, upkeep: bool) -> Client {
        Arc::new(Recording::new(self.home.open(upkeep).await, Arc::clone(&self.recorder)))
    }

    /// Sets the queues, and lets clients work from now on.
    pub async fn start(&mut self) {
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
                failed: self.counter(),
            };
            self.clients.push(tokio::spawn(producer.run(Arc::clone(&self.stop))));
        }
        for n in 0..WORKERS {
            let dice = Dice::of_seed(self.seed ^ (n + 1_000));
            let (client, failed) = (self.client(n == 0).await, self.counter());
            let worker = Worker { client, dice, id: WorkerId(n + 1), nonce: 0, failed };
            self.clients.push(tokio::spawn(worker.run(Arc::clone(&self.stop), Arc::clone(&self.completed))));
        }
    }

    fn counter(&mut self) -> Arc<AtomicU64> {
        let counter = Arc::new(AtomicU64::default());
        self.failed.push(Arc::clone(&counter));
        counter
    }

    /// Waits until a call of every client has failed: whatever a store that is gone had answered is written down by then.
    ///
    /// # Panics
    /// When they do not within that time.
    pub async fn all_cut_off(&self, within: Duration) {
        let count = || self.failed.iter().map(|failed| failed.load(Ordering::SeqCst)).collect::<Vec<_>>();
        let before = count();
        let cut_off = async {
            while count().iter().zip(&before).any(|(now, before)| now <= before) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let cut_off = tokio::time::timeout(within, cut_off).await;
        cut_off.unwrap_or_else(|_| panic!("some clients notice nothing within {within:?}"));
    }

    /// Waits until so many more jobs have been completed: proof that everyone is at work (again).
    ///
    /// # Panics
    /// When they are not within that time.
    pub async fn progress(&self, jobs: u64, within: Duration) {
        let until = self.completed() + jobs;
        let arrived = async {
            while self.completed() < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(within, arrived)
            .await
            .unwrap_or_else(|_| panic!("no {jobs} completions within {within:?}"));
    }

    /// Ends the work, lets what is left run to its end, looks at the store once more, and has everything judged.
    ///
    /// # Panics
    /// When what is left does not come to an end.
    pub async fn judge(mut self) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.await.unwrap();
        }
        let client = self.client(true).await;
        let mut worker = Worker {
            client: Arc::clone(&client),
            dice: Dice::of_seed(1),
            id: WorkerId(99),
            nonce: 1 << 40,
            failed: Arc::default(),
        };
        worker.drain(&self.completed).await;
        let begins = DumpBegins::default();
        dump(&**client.store(), &self.recorder, &mut Follow::default(), begins).await.unwrap();
        let file = BufReader::new(File::open(self.path()).unwrap());
        check(file, Options { complete: true }).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("history")
    }

    /// Judges, and fails with what was found.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub async fn must_be_clean(self) {
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

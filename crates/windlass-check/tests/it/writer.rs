//! Writes small histories by hand: a clock that is moved, calls that are answered as the test says.

use windlass_check::format::{
    Answer, Ask, Asked, AskedSettle, Call, DumpBegins, DumpEnd, DumpJob, DumpQueue, Given, Handler, How,
    Item, Line, Phase, Refusal, Says, SeenEvent, Told, Transaction, TransactionStep,
};
use windlass_check::{EventOrder, FaultKind, Header, Invariant, Options, Report, VERSION, check};
use windlass_core::event::{Cause, EventType};
use windlass_core::queue::QueueSettings;
use windlass_core::store::{AckLevel, Counts, EnqueueStatus, Enqueued};
use windlass_core::{GroupKey, JobId, Lease, LeaseToken, QueueName, State, Time, WorkerId};

/// Where the clock of every history begins.
pub(crate) const START: u64 = 1_763_700_000_000;
/// How long a lease holds.
pub(crate) const LEASE_MS: u64 = 30_000;

#[derive(Clone)]
pub(crate) struct History {
    pub(crate) header: Header,
    pub(crate) lines: Vec<Line>,
    pub(crate) now: u64,
    calls: u64,
    pub(crate) counter: u64,
}

pub(crate) fn id(n: u128) -> JobId {
    JobId::from_parts(Time(START), n)
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A job of queue `q` and nothing else.
pub(crate) fn asked(n: u128) -> Asked {
    Asked {
        id: id(n),
        queue: queue("q"),
        group: None,
        run_at: None,
        delay_ms: None,
        expires_at: None,
        unique: None,
        limits: Vec::new(),
        parents: Vec::new(),
    }
}

pub(crate) fn group(key: &str) -> Option<GroupKey> {
    Some(GroupKey::new(key).unwrap())
}

impl History {
    pub(crate) fn new() -> Self {
        let header = Header {
            windlass_history: VERSION,
            store: "test".into(),
            ack_level: AckLevel::Process,
            events: EventOrder::Total,
            all_clients: true,
            skew_ms: 0,
        };
        Self { header, lines: Vec::new(), now: START, calls: 0, counter: 0 }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += ms;
    }

    pub(crate) fn say(&mut self, says: Says) {
        self.lines.push(Line { by: "p".into(), at: Time(self.now), us: 0, says });
    }

    pub(crate) fn begin(&mut self, ask: Ask) -> u64 {
        self.calls += 1;
        self.say(Says::Call(Call { id: self.calls, ask }));
        self.calls
    }

    pub(crate) fn answer(&mut self, id: u64, told: Told) {
        self.say(Says::Answer(Answer { id, told }));
    }

    fn made(&mut self, ask: Ask, told: Told) {
        let call = self.begin(ask);
        self.answer(call, told);
    }

    /// What sets one thing, and is done.
    pub(crate) fn set(&mut self, ask: Ask) {
        self.made(ask, Told::One(Item::Ok(())));
    }

    pub(crate) fn set_queue(&mut self, name: &str, settings: QueueSettings) {
        self.set(Ask::SetQueue { queue: queue(name), settings });
    }

    /// Enqueues in one batch; all are new and ready.
    pub(crate) fn enqueue(&mut self, jobs: Vec<Asked>) {
        let told = jobs.iter().map(|job| created(job.id)).collect();
        self.made(Ask::Enqueue { jobs, transaction: None }, Told::Enqueued(told));
    }

    /// The next lease of that job, with the next counter.
    pub(crate) fn lease(&mut self, n: u128, attempt: u32) -> Lease {
        self.counter += 1;
        let token = LeaseToken { counter: self.counter, nonce: 9 };
        Lease { job: id(n), attempt, token, deadline: Time(self.now + LEASE_MS) }
    }

    /// A claim that gives that lease.
    pub(crate) fn give(&mut self, lease: Lease, queue_name: &str, of: Option<GroupKey>) {
        let given = Given { lease, queue: queue(queue_name), group: of };
        self.made(ask_claim(Vec::new()), Told::Claimed { settled: Vec::new(), jobs: vec![given] });
    }

    pub(crate) fn claim(&mut self, n: u128, attempt: u32) -> Lease {
        let lease = self.lease(n, attempt);
        self.give(lease, "q", None);
        lease
    }

    pub(crate) fn settle(&mut self, lease: Lease, how: How, told: Item<()>) {
        let settle = AskedSettle { lease, how, delay_ms: None, then: Vec::new() };
        let answer = Told::Claimed { settled: vec![told], jobs: Vec::new() };
        self.made(ask_claim(vec![settle]), answer);
    }

    pub(crate) fn complete(&mut self, lease: Lease) {
        self.settle(lease, How::Complete, Item::Ok(()));
    }

    pub(crate) fn cause(&mut self, n: u128, event: EventType, attempt: u32, cause: Cause) {
        self.event_in(asked(n), event, attempt, cause);
    }

    pub(crate) fn event(&mut self, n: u128, event: EventType, attempt: u32) {
        self.cause(n, event, attempt, Cause::None);
    }

    pub(crate) fn event_in(&mut self, of: Asked, event: EventType, attempt: u32, cause: Cause) {
        let (at, worker) = (Time(self.now), Some(WorkerId(1)));
        let seen =
            SeenEvent { at, event, job: of.id, queue: of.queue, group: of.group, attempt, cause, worker };
        self.say(Says::Event(seen));
    }

    pub(crate) fn handler(&mut self, lease: Lease, phase: Phase) {
        self.say(Says::Handler(Handler { lease, phase }));
    }

    pub(crate) fn fault(&mut self, what: FaultKind) {
        self.say(Says::Fault(windlass_check::format::Fault { what, covered: None }));
    }

    pub(crate) fn transaction(&mut self, name: &str, step: TransactionStep) {
        self.say(Says::Transaction(Transaction { name: name.into(), step }));
    }

    /// A quiet look that shows those jobs of queue `q`, counted rightly. No events stand in the history.
    pub(crate) fn dump(&mut self, jobs: &[(u128, State, u32)]) {
        self.dump_as(DumpBegins::default(), jobs, DumpEnd { quiet: true, events_complete: false });
    }

    /// The same, and all events were read.
    pub(crate) fn dump_with_events(&mut self, jobs: &[(u128, State, u32)]) {
        self.dump_as(DumpBegins::default(), jobs, DumpEnd { quiet: true, events_complete: true });
    }

    pub(crate) fn dump_as(&mut self, begins: DumpBegins, jobs: &[(u128, State, u32)], end: DumpEnd) {
        let jobs: Vec<DumpJob> = jobs.iter().map(|(n, state, attempt)| shown(*n, *state, *attempt)).collect();
        self.dump_jobs(begins, jobs, end);
    }

    pub(crate) fn dump_jobs(&mut self, begins: DumpBegins, jobs: Vec<DumpJob>, end: DumpEnd) {
        let mut queues: Vec<QueueName> = jobs.iter().map(|job| job.queue.clone()).collect();
        queues.sort();
        queues.dedup();
        self.say(Says::Dump(begins));
        for name in queues {
            let mut counts = Counts::default();
            for job in jobs.iter().filter(|job| job.queue == name) {
                counts.0[job.state as usize] += 1;
            }
            self.say(Says::Queue(DumpQueue { name, settings: QueueSettings::default(), counts }));
        }
        jobs.into_iter().for_each(|job| self.say(Says::Job(job)));
        self.say(Says::DumpEnd(end));
    }

    pub(crate) fn text(&self) -> String {
        let mut text = serde_json::to_string(&self.header).unwrap();
        for line in &self.lines {
            text.push('\n');
            text.push_str(&serde_json::to_string(line).unwrap());
        }
        text
    }

    pub(crate) fn check(&self, complete: bool) -> Report {
        check(self.text().as_bytes(), Options { complete }).unwrap()
    }

    /// It keeps every invariant, and gave that one something to judge.
    #[track_caller]
    pub(crate) fn keeps(&self, invariant: Invariant) {
        let report = self.check(true);
        assert!(report.is_clean(), "{:#?}", report.violations);
        assert!(report.judged(invariant).checks > 0, "{invariant} had nothing to judge");
    }

    /// It breaks that one and no other; answers the sentence.
    #[track_caller]
    pub(crate) fn breaks(&self, invariant: Invariant) -> String {
        let report = self.check(true);
        let found: Vec<Invariant> = report.violations.iter().map(|violation| violation.invariant).collect();
        assert!(!found.is_empty(), "nothing was found");
        assert!(found.iter().all(|other| *other == invariant), "{:#?}", report.violations);
        report.violations[0].to_string()
    }
}

pub(crate) fn ask_claim(settle: Vec<AskedSettle>) -> Ask {
    Ask::Claim { settle, wants: vec![(queue("q"), 9)], worker: WorkerId(1), nonce: 9 }
}

pub(crate) fn created(id: JobId) -> Item<Enqueued> {
    Item::Ok(Enqueued { id, status: EnqueueStatus::Created, state: State::Ready })
}

pub(crate) fn stale<T>() -> Item<T> {
    Item::Rejected(Refusal { code: "stale".into(), why: String::new() })
}

pub(crate) fn shown(n: u128, state: State, attempt: u32) -> DumpJob {
    DumpJob {
        id: id(n),
        state,
        queue: queue("q"),
        group: None,
        priority: 0,
        attempt,
        failures: 0,
        losses: 0,
        snoozes: 0,
        since: Time(START),
    }
}

//! Random commands, given to the store and to the model.

use super::{Model, code};
use crate::host::{End, Host};
use crate::subject::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use windlass_core::job::{JobView, OnConflict, OnParent, Parent, Unique, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings};
use windlass_core::store::{Cancelled, Edit, Filter, ReleaseReason, Settle};
use windlass_core::{JobId, Lease, NewJob, Rejection, State};

const QUEUES: [&str; 4] = ["free", "tight", "ordered", "parked"];
const GROUPS: [Option<&str>; 3] = [None, Some("a"), Some("b")];
const LIMITS: [&str; 2] = ["slots", "speed"];
const UNIQUE: [(UniqueScope, OnConflict); 6] = [
    (UniqueScope::WhileLive, OnConflict::Existing),
    (UniqueScope::WhileLive, OnConflict::Refuse),
    (UniqueScope::WhileLive, OnConflict::Replace),
    (UniqueScope::WhileLive, OnConflict::Reschedule),
    (UniqueScope::UntilStart, OnConflict::Existing),
    (UniqueScope::For { ttl_ms: 3_000 }, OnConflict::Existing),
];
/// Low enough to be met.
const MAX_WAITING: u64 = 6;

/// One command. Numbers pick from what is there, whatever that is.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Enqueue(New),
    Again { which: usize },
    Claim { queue: usize, n: u32, settle: Option<(usize, How)> },
    Settle { which: usize, how: How },
    Beat { which: usize },
    Cancel { which: usize },
    Retry { which: usize },
    Delete { which: usize },
    RunNow { which: usize },
    Edit { which: usize, payload: Option<u8>, priority: Option<i8>, in_ms: Option<u64> },
    Pause { queue: usize, paused: bool },
    Limit { which: usize, concurrency: u32 },
    Pass { ms: u64 },
    Reopen { how: End },
}

/// How a holder ends its attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Complete { follow_ups: usize },
    Fail { retry_in_ms: Option<u64> },
    Kill,
    Snooze { ms: u64 },
    Release,
    NoHandler,
}

#[derive(Clone, Debug)]
pub(crate) struct New {
    queue: usize,
    group: usize,
    priority: i8,
    delay_ms: Option<u64>,
    unique: Option<(u8, usize)>,
    limits: u8,
    parents: Vec<(usize, bool)>,
    expires_ms: Option<u64>,
}

fn new_job() -> impl Strategy<Value = New> {
    let some = |ms: std::ops::Range<u64>| prop::option::weighted(0.2, ms);
    let parents = prop::collection::vec((any::<usize>(), any::<bool>()), 1..3);
    (
        (0..4usize, 0..3usize, -1..2i8),
        some(1..5_000),
        prop::option::weighted(0.25, (0..3u8, 0..UNIQUE.len())),
        0..4u8,
        prop::option::weighted(0.2, parents),
        some(1..9_000),
    )
        .prop_map(|((queue, group, priority), delay_ms, unique, limits, parents, expires_ms)| New {
            queue,
            group,
            priority,
            delay_ms,
            unique,
            limits,
            parents: parents.unwrap_or_default(),
            expires_ms,
        })
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => (0..3usize).prop_map(|n| How::Complete { follow_ups: n.saturating_sub(1) }),
        3 => prop::option::of(1..3_000u64).prop_map(|retry_in_ms| How::Fail { retry_in_ms }),
        1 => Just(How::Kill),
        2 => (1..3_000u64).prop_map(|ms| How::Snooze { ms }),
        1 => Just(How::Release),
        1 => Just(How::NoHandler),
    ]
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    let job = any::<usize>;
    let edit =
        (job(), prop::option::of(any::<u8>()), prop::option::of(-2..3i8), prop::option::of(0..4_000u64));
    prop_oneof![
        16 => new_job().prop_map(Act::Enqueue),
        1 => job().prop_map(|which| Act::Again { which }),
        10 => (0..4usize, 1..6u32, prop::option::of((job(), how())))
            .prop_map(|(queue, n, settle)| Act::Claim { queue, n, settle }),
        8 => (job(), how()).prop_map(|(which, how)| Act::Settle { which, how }),
        2 => job().prop_map(|which| Act::Beat { which }),
        2 => job().prop_map(|which| Act::Cancel { which }),
        3 => job().prop_map(|which| Act::Retry { which }),
        1 => job().prop_map(|which| Act::Delete { which }),
        2 => job().prop_map(|which| Act::RunNow { which }),
        2 => edit.prop_map(|(which, payload, priority, in_ms)| Act::Edit { which, payload, priority, in_ms }),
        2 => (0..4usize, any::<bool>()).prop_map(|(queue, paused)| Act::Pause { queue, paused }),
        1 => (0..2usize, 1..5u32).prop_map(|(which, concurrency)| Act::Limit { which, concurrency }),
        6 => prop_oneof![1..50u64, 50..2_000u64, 2_000..40_000u64].prop_map(|ms| Act::Pass { ms }),
        1 => prop::sample::select(vec![End::Quietly, End::Killed]).prop_map(|how| Act::Reopen { how }),
    ]
}

/// Gives the store and the model the same commands.
pub(crate) fn run(host: &dyn Host, acts: &[Act], restarts: bool) {
    let mut pair = Pair::new(host);
    for act in acts {
        if matches!(act, Act::Reopen { .. }) && !restarts {
            continue;
        }
        pair.act(act);
        pair.compare();
    }
}

struct Pair {
    s: Subject,
    model: Model,
    leases: Vec<Lease>,
    ids: Vec<JobId>,
    nonce: u64,
}

impl Pair {
    fn new(host: &dyn Host) -> Self {
        let s = Subject::new(host);
        let model = Model::new(s.now());
        let mut pair = Self { s, model, leases: Vec::new(), ids: Vec::new(), nonce: 1 };
        let retry = || QueueSettings { retry: fixed(700, 3), ..QueueSettings::default() };
        let ordered =
            |on_head_death| GroupSettings { ordered: true, on_head_death, ..GroupSettings::default() };
        let limits = LimitSettings { concurrency: Some(4), ..per(20, 1_000, 6) };
        let groups = GroupSettings {
            limits: LimitSettings { concurrency: Some(2), ..per(9, 1_000, 4) },
            ..GroupSettings::default()
        };
        pair.set_queue("free", QueueSettings { max_waiting: Some(MAX_WAITING), ..retry() });
        pair.set_queue("tight", QueueSettings { limits, groups, ..retry() });
        pair.set_queue("ordered", QueueSettings { groups: ordered(OnHeadDeath::Block), ..retry() });
        pair.set_queue("parked", QueueSettings { groups: ordered(OnHeadDeath::Park), ..retry() });
        pair.set_limit("slots", at_once(3));
        pair.set_limit("speed", LimitSettings { concurrency: Some(4), ..per(9, 1_000, 5) });
        pair
    }

    fn set_queue(&mut self, name: &str, settings: QueueSettings) {
        self.s.set_queue(name, settings.clone());
        self.model.set_queue(queue(name), settings);
    }

    fn set_limit(&mut self, name: &str, settings: LimitSettings) {
        self.s.set_limit(name, settings);
        self.model.set_limit(limit(name), settings);
    }

    fn pick(&self, which: usize) -> Option<JobId> {
        (!self.ids.is_empty()).then(|| self.ids[which % self.ids.len()])
    }

    fn lease(&self, which: usize) -> Option<Lease> {
        // Mostly the newest ones: older ones are stale.
        let from = if which.is_multiple_of(8) { 0 } else { self.leases.len().saturating_sub(8) };
        let some = &self.leases[from..];
        (!some.is_empty()).then(|| some[which / 8 % some.len()])
    }

    fn make(&self, new: &New) -> NewJob {
        let name = QUEUES[new.queue];
        let ordered = new.queue >= 2;
        let costs = [("slots", 1), ("speed", 2)];
        let limits: Vec<(&str, u32)> =
            (0..2).filter(|bit| new.limits & (1 << bit) != 0 && !ordered).map(|bit| costs[bit]).collect();
        let known = new.parents.iter().filter_map(|(which, always)| Some((self.pick(*which)?, *always)));
        let known = known.filter(|(id, _)| !ordered && self.model.is_parent_for_sure(*id));
        let on = |always| if always { OnParent::Always } else { OnParent::Success };
        let mut parents: Vec<Parent> = known.map(|(id, always)| Parent { id, on: on(always) }).collect();
        parents.dedup_by_key(|parent| parent.id);
        let unique = new.unique.filter(|_| !ordered).map(|(key, form)| Unique {
            // A key for each scope: what two scopes of one key mean together is not told.
            key: UniqueKey::new(format!("k{key}-{}", form.saturating_sub(3))).expect("a key"),
            scope: UNIQUE[form].0,
            on_conflict: UNIQUE[form].1,
        });
        NewJob {
            group: GROUPS[new.group].map(group),
            // Jobs of ordered groups are ready at once here, so that their places are known.
            priority: if ordered { 0 } else { new.priority },
            delay_ms: new.delay_ms.filter(|_| !ordered),
            expires_at: new.expires_ms.map(|ms| self.s.now().plus_ms(ms)),
            unique,
            limits: uses(&limits),
            parents,
            ..self.s.job(name)
        }
    }

    fn settlement(&mut self, lease: &Lease, how: How) -> Settle {
        let lease = *lease;
        match how {
            How::Complete { follow_ups } => {
                let then: Vec<NewJob> = (0..follow_ups).map(|_| self.s.job("free")).collect();
                Settle::Complete { lease, result: None, then }
            }
            How::Fail { retry_in_ms } => {
                Settle::Fail { lease, error: error("boom"), retry_in_ms, fatal: false }
            }
            How::Kill => fatal(&lease),
            How::Snooze { ms } => snooze(&lease, ms),
            How::Release => release(&lease, ReleaseReason::Unstarted),
            How::NoHandler => release(&lease, ReleaseReason::NoHandler),
        }
    }

    fn settled(&mut self, settle: &Settle, answer: &Result<(), Rejection>) {
        let expected = self.model.settle(settle);
        if let Some(expected) = expected {
            assert_eq!(short(answer), expected.map_err(str::to_owned), "{settle:?}");
        }
        if let Settle::Complete { then, .. } = settle {
            self.ids.extend(then.iter().map(|new| new.id).filter(|id| self.model.jobs.contains_key(id)));
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Enqueue(new) => {
                let new = self.make(new);
                self.enqueue(new);
            }
            Act::Again { which } => {
                if let Some(id) = self.pick(*which) {
                    let again = NewJob { id, ..self.s.job("free") };
                    self.enqueue(again);
                }
            }
            Act::Claim { queue: which, n, settle } => {
                let name = QUEUES[*which];
                let first = settle.and_then(|(which, how)| self.lease(which).map(|lease| (lease, how)));
                let first: Vec<Settle> =
                    first.map(|(lease, how)| self.settlement(&lease, how)).into_iter().collect();
                let answer = self.s.ask(WORKER, first.clone(), &[(name, *n)]);
                self.nonce += 1;
                for (settle, told) in first.iter().zip(&answer.settled) {
                    self.settled(settle, told);
                }
                self.model.claim(&queue(name), *n, self.nonce, &answer.jobs);
                self.leases.extend(answer.jobs.iter().map(|job| job.lease));
            }
            Act::Settle { which, how } => {
                if let Some(lease) = self.lease(*which) {
                    let settle = self.settlement(&lease, *how);
                    let answer = self.s.ask(WORKER, vec![settle.clone()], &[]).settled.remove(0);
                    self.nonce += 1;
                    self.settled(&settle, &answer);
                }
            }
            Act::Beat { which } => {
                if let Some(lease) = self.lease(*which) {
                    let answer = self.s.beat(&lease).map(|beat| beat.cancel_requested);
                    assert_eq!(short(&answer), self.model.heartbeat(&lease).map_err(str::to_owned));
                }
            }
            Act::Cancel { which } => {
                self.verb(*which, "cancel", |s, id| s.cancel(id).map(|_: Cancelled| ()), Model::cancel)
            }
            Act::Retry { which } => self.verb(*which, "retry", Subject::retry, Model::retry),
            Act::Delete { which } => self.verb(*which, "delete", Subject::delete, Model::delete),
            Act::RunNow { which } => self.verb(*which, "run_now", Subject::run_now, Model::run_now),
            Act::Edit { which, payload, priority, in_ms } => {
                if let Some(id) = self.pick(*which) {
                    let ordered = self
                        .model
                        .jobs
                        .get(&id)
                        .is_some_and(|job| QUEUES[2..].contains(&job.asked.queue.as_str()));
                    let edit = Edit {
                        id,
                        payload: payload.map(|byte| vec![byte]),
                        priority: priority.filter(|_| !ordered),
                        run_at: in_ms.filter(|_| !ordered).map(|ms| self.s.now().plus_ms(ms)),
                    };
                    let answer = self.s.edit(edit.clone());
                    assert_eq!(short(&answer), self.model.edit(&edit).map_err(str::to_owned), "{edit:?}");
                }
            }
            Act::Pause { queue: which, paused } => {
                self.s.pause(QUEUES[*which], *paused);
                self.model.pause(&queue(QUEUES[*which]), *paused);
            }
            Act::Limit { which, concurrency } => match which {
                0 => self.set_limit(LIMITS[0], at_once(*concurrency)),
                _ => {
                    let settings = LimitSettings { concurrency: Some(concurrency + 2), ..per(9, 1_000, 5) };
                    self.set_limit(LIMITS[1], settings);
                }
            },
            Act::Pass { ms } => self.s.advance(*ms),
            Act::Reopen { how } => {
                self.s.reopen(*how);
                // Every live lease gets one full lease again.
                self.model.renew_leases();
            }
        }
        self.s.upkeep();
        self.model.pass(self.s.now());
    }

    fn enqueue(&mut self, new: NewJob) {
        let answer = self.s.offer(new.clone());
        let expected = self.model.enqueue(&new).map_err(str::to_owned);
        let told = short(&answer.map(|told| (told.id, told.status, told.state)));
        match (told, expected) {
            (Ok(told), Ok((id, status, state))) => {
                assert_eq!(told, (id, status, state.unwrap_or(told.2)), "{new:?}");
            }
            (told, expected) => assert_eq!(told.map(|_| ()), expected.map(|_| ()), "{new:?}"),
        }
        if self.model.jobs.contains_key(&new.id) && !self.ids.contains(&new.id) {
            self.ids.push(new.id);
        }
    }

    fn verb(
        &mut self,
        which: usize,
        word: &str,
        store: impl Fn(&Subject, JobId) -> Result<(), Rejection>,
        model: impl Fn(&mut Model, JobId) -> Result<(), &'static str>,
    ) {
        let Some(id) = self.pick(which) else { return };
        let answer = store(&self.s, id);
        assert_eq!(short(&answer), model(&mut self.model, id).map_err(str::to_owned), "{word} {id}");
    }

    /// What the store shows is what the model holds.
    fn compare(&mut self) {
        let mut seen: BTreeMap<JobId, JobView> = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page =
                self.s.wait(self.s.store().list(Filter::default(), cursor, 1_000, 10_000)).expect("a page");
            seen.extend(page.items.into_iter().map(|view| (view.id, view)));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        for view in seen.values() {
            self.model.adopt(view);
        }
        let shown: BTreeMap<JobId, _> = seen.iter().map(|(id, view)| (*id, facts(view))).collect();
        let expected = self.model.shown();
        for id in shown.keys().chain(expected.keys()) {
            assert_eq!(
                shown.get(id),
                expected.get(id),
                "the store, the model; {:?}",
                self.model.jobs.get(id)
            );
        }
        for info in self.s.wait(self.s.store().queues(None, self.s.at())) {
            let mut counts = [0; 8];
            seen.values()
                .filter(|view| view.queue == info.name)
                .for_each(|view| counts[view.state as usize] += 1);
            assert_eq!(info.counts.0, counts, "counts of {}", info.name);
        }
        for info in self.s.wait(self.s.store().limits(None, 100)).items {
            assert_eq!(info.in_use, self.model.in_use(info.name.as_str()), "in use of {}", info.name);
        }
    }
}

/// What is compared of a job: state, priority, attempt, failures, losses, snoozes, and when a waiting one is due.
pub(super) type Shown = (State, i8, [u32; 4], Option<u64>);

fn facts(view: &JobView) -> Shown {
    let due = matches!(view.state, State::Scheduled | State::Retrying).then_some(view.since.0);
    (view.state, view.priority, [view.attempt, view.failures, view.losses, view.snoozes], due)
}

fn short<T: Clone>(answer: &Result<T, Rejection>) -> Result<T, String> {
    answer.clone().map_err(|why| code(&why))
}

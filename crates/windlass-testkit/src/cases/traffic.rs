//! Random traffic over everything at once, with restarts in the middle, judged by the [`Witness`].

use crate::Dice;
use crate::host::{End, Host};
use crate::model;
use crate::subject::*;
use crate::witness::Witness;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;
use windlass_core::job::{JobDetail, OnConflict, OnParent, Parent, Unique, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::EnqueueStatus::Created;
use windlass_core::store::{ClaimedJob, Edit, Filter, ReleaseReason, Settle};
use windlass_core::{JobId, Lease, NewJob, Time, WorkerId};

cases![
    random_traffic_keeps_every_invariant,
    random_traffic_with_restarts_keeps_every_invariant restarts,
    random_commands_are_answered_as_by_the_model,
    random_commands_with_restarts_are_answered_as_by_the_model restarts,
];

const QUEUES: [&str; 3] = ["free", "tight", "ordered"];
const GROUPS: [&str; 3] = ["a", "b", "c"];
const LIMITS: [&str; 3] = ["slots", "speed", "both"];
const RETRY_MS: u64 = 700;
/// Sequences in one test: as many as take some seconds on a store that syncs.
const TRAFFIC_RUNS: u32 = 40;
/// As many as find what was planted: a verb that forgets one counter, a bound that is off by one.
const MODEL_RUNS: u32 = 150;

/// One thing that somebody does. Numbers pick from what is there, whatever that is.
#[derive(Clone, Debug)]
enum Act {
    Enqueue(Vec<New>),
    Claim { queue: usize, n: u32, settle: Option<(usize, u8)> },
    Settle { which: usize, how: u8 },
    Beat { which: usize },
    Cancel { which: usize },
    Retry { which: usize },
    Delete { which: usize },
    RunNow { which: usize },
    Edit { which: usize, run_in_ms: Option<u64>, priority: Option<i8> },
    Pause { queue: usize, paused: bool },
    Limit { which: usize, concurrency: u32 },
    Pass { ms: u64 },
    Reopen { how: End },
}

#[derive(Clone, Debug)]
struct New {
    queue: usize,
    group: usize,
    priority: i8,
    delay_ms: Option<u64>,
    unique: Option<u8>,
    limits: u8,
    parents: Vec<(usize, bool)>,
    expires_ms: Option<u64>,
}

fn new_job() -> impl Strategy<Value = New> {
    let parents = prop::collection::vec((any::<usize>(), any::<bool>()), 0..3);
    let some = |ms: std::ops::Range<u64>| prop::option::weighted(0.2, ms);
    let unique = prop::option::weighted(0.2, 0..4u8);
    (
        0..3usize,
        0..3usize,
        -1..2i8,
        some(0..5_000),
        unique,
        0..8u8,
        prop::option::weighted(0.2, parents),
        some(1..9_000),
    )
        .prop_map(|(queue, group, priority, delay_ms, unique, limits, parents, expires_ms)| New {
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

fn act() -> impl Strategy<Value = Act> {
    let any_job = any::<usize>;
    prop_oneof![
        8 => prop::collection::vec(new_job(), 1..6).prop_map(Act::Enqueue),
        8 => (0..3usize, 1..6u32, prop::option::of((any_job(), 0..7u8)))
            .prop_map(|(queue, n, settle)| Act::Claim { queue, n, settle }),
        10 => (any_job(), 0..7u8).prop_map(|(which, how)| Act::Settle { which, how }),
        2 => any_job().prop_map(|which| Act::Beat { which }),
        2 => any_job().prop_map(|which| Act::Cancel { which }),
        3 => any_job().prop_map(|which| Act::Retry { which }),
        1 => any_job().prop_map(|which| Act::Delete { which }),
        2 => any_job().prop_map(|which| Act::RunNow { which }),
        2 => (any_job(), prop::option::of(0..4_000u64), prop::option::of(-2..3i8))
            .prop_map(|(which, run_in_ms, priority)| Act::Edit { which, run_in_ms, priority }),
        2 => (0..3usize, any::<bool>()).prop_map(|(queue, paused)| Act::Pause { queue, paused }),
        2 => (0..3usize, 0..6u32).prop_map(|(which, concurrency)| Act::Limit { which, concurrency }),
        6 => prop_oneof![0..50u64, 50..2_000u64, 2_000..40_000u64].prop_map(|ms| Act::Pass { ms }),
        2 => prop::sample::select(vec![End::Quietly, End::Killed, End::WithWorkers])
            .prop_map(|how| Act::Reopen { how }),
    ]
}

/// The store, the checker, and every lease that was ever given.
struct Town {
    s: Subject,
    restarts: bool,
    witness: Witness,
    leases: Vec<Lease>,
}

impl Town {
    fn new(host: &dyn Host, restarts: bool) -> Self {
        let mut town = Self { s: Subject::new(host), restarts, witness: Witness::new(), leases: Vec::new() };
        let retry = || QueueSettings { retry: fixed(RETRY_MS, 3), ..QueueSettings::default() };
        town.s.set_queue("free", retry());
        let limits = LimitSettings { concurrency: Some(4), ..per(20, 1_000, 6) };
        let groups = GroupSettings { limits: at_once(2), ..GroupSettings::default() };
        town.s.set_queue("tight", QueueSettings { limits, groups, ..retry() });
        town.witness.queue_is_limited("tight", limits);
        town.witness.groups_are_limited("tight", 2);
        let groups = GroupSettings { ordered: true, ..GroupSettings::default() };
        town.s.set_queue("ordered", QueueSettings { groups, ..retry() });
        for (name, limits) in LIMITS.into_iter().zip([
            at_once(3),
            per(5, 1_000, 3),
            LimitSettings { concurrency: Some(4), ..per(9, 1_000, 5) },
        ]) {
            town.s.set_limit(name, limits);
            town.witness.limit_is(name, limits);
        }
        town
    }

    fn pick(&self, which: usize) -> Option<JobId> {
        let ids = self.witness.ids();
        (!ids.is_empty()).then(|| ids[which % ids.len()])
    }

    fn lease(&self, which: usize) -> Option<Lease> {
        // Mostly the newest ones: older ones are stale.
        let newest = self.leases.len().saturating_sub(12);
        let from = if which.is_multiple_of(8) { 0 } else { newest };
        let some = &self.leases[from..];
        (!some.is_empty()).then(|| some[which / 8 % some.len()])
    }

    fn make(&self, new: &New) -> NewJob {
        let name = QUEUES[new.queue];
        let ordered = name == "ordered";
        let costs = [("slots", 1), ("speed", 1), ("both", 2)];
        let limits: Vec<(&str, u32)> =
            (0..3).filter(|bit| new.limits & (1 << bit) != 0).map(|bit| costs[bit]).collect();
        let ids = self.witness.ids();
        let parents =
            new.parents.iter().filter(|_| !ids.is_empty() && !ordered).map(|(which, always)| Parent {
                id: ids[which % ids.len()],
                on: if *always { OnParent::Always } else { OnParent::Success },
            });
        let mut parents: Vec<Parent> = parents.collect();
        parents.dedup_by_key(|parent| parent.id);
        NewJob {
            group: Some(group(GROUPS[new.group])),
            // Jobs of ordered groups are ready at once here, so that their places are known.
            priority: if ordered { 0 } else { new.priority },
            delay_ms: new.delay_ms.filter(|_| !ordered),
            expires_at: new.expires_ms.map(|ms| self.s.now().plus_ms(ms)),
            unique: new.unique.map(|n| Unique {
                key: UniqueKey::new(format!("k{n}")).expect("a key"),
                scope: UniqueScope::WhileLive,
                on_conflict: if n == 0 { OnConflict::Refuse } else { OnConflict::Existing },
            }),
            limits: uses(&limits),
            parents,
            ..self.s.job(name)
        }
    }

    /// The settlement, the word for it, and what it does to the job's time.
    fn settlement(&self, lease: &Lease, how: u8) -> (Settle, &'static str, Option<Time>) {
        let later = |ms| Some(self.s.now().plus_ms(ms));
        match how {
            0..=2 => (complete(lease), "complete", None),
            3 => (fail(lease), "fail", later(RETRY_MS)),
            4 => (fatal(lease), "fail", None),
            5 => (snooze(lease, 900), "snooze", later(900)),
            _ => (release(lease, ReleaseReason::Unstarted), "release", None),
        }
    }

    fn told(
        &mut self,
        lease: &Lease,
        verb: &'static str,
        due: Option<Time>,
        answer: &Result<(), windlass_core::Rejection>,
        was_current: bool,
    ) {
        self.witness.settled(lease, verb, answer);
        if let Some(due) = due.filter(|_| was_current && answer.is_ok()) {
            self.witness.due(lease.job, due);
        }
    }

    fn is_current(&self, lease: &Lease) -> bool {
        // A heartbeat would move the deadline; what the store shows is enough.
        self.s.find(lease.job).is_some_and(|job| job.view.attempt == lease.attempt && job.worker.is_some())
    }

    fn act(&mut self, act: &Act) {
        let mut claimed: Vec<ClaimedJob> = Vec::new();
        match act {
            Act::Enqueue(news) => {
                for new in news {
                    let job = self.make(new);
                    if let Ok(answer) = self.s.offer(job.clone())
                        && answer.status == Created
                    {
                        self.witness.taken(job, answer.state, self.s.now());
                        // One at a time, so that a parent of the next one is known.
                        self.witness.look(&self.s, &[]);
                    }
                }
            }
            Act::Claim { queue, n, settle } => {
                let settle = settle.and_then(|(which, how)| self.lease(which).map(|lease| (lease, how)));
                let first =
                    settle.map(|(lease, how)| (lease, self.settlement(&lease, how), self.is_current(&lease)));
                let settle_first = first.iter().map(|(_, (settlement, ..), _)| settlement.clone()).collect();
                let answer = self.s.ask(WorkerId(1 + (*n as u64)), settle_first, &[(QUEUES[*queue], *n)]);
                if let Some((lease, (_, verb, due), current)) = first {
                    self.told(&lease, verb, due, &answer.settled[0], current);
                }
                claimed = answer.jobs;
                assert!(claimed.len() <= *n as usize);
                self.leases.extend(claimed.iter().map(|job| job.lease));
            }
            Act::Settle { which, how } => {
                if let Some(lease) = self.lease(*which) {
                    let (settlement, verb, due) = self.settlement(&lease, *how);
                    let current = self.is_current(&lease);
                    let answer = self.s.end(settlement);
                    self.told(&lease, verb, due, &answer, current);
                }
            }
            Act::Beat { which } => {
                if let Some(lease) = self.lease(*which) {
                    let current = self.is_current(&lease);
                    assert_eq!(self.s.beat(&lease).is_ok(), current, "a heartbeat with {lease:?}");
                }
            }
            Act::Cancel { which } => drop(self.pick(*which).map(|id| self.s.cancel(id))),
            Act::Retry { which } => drop(self.pick(*which).map(|id| self.s.retry(id))),
            Act::Delete { which } => drop(self.pick(*which).map(|id| self.s.delete(id))),
            Act::RunNow { which } => {
                if let Some(id) = self.pick(*which)
                    && self.s.run_now(id).is_ok()
                {
                    self.witness.due(id, Time::ZERO);
                }
            }
            Act::Edit { which, run_in_ms, priority } => {
                if let Some(id) = self.pick(*which) {
                    let ordered = self.s.get(id).view.queue == queue("ordered");
                    let run_at = run_in_ms.filter(|_| !ordered).map(|ms| self.s.now().plus_ms(ms));
                    let priority = priority.filter(|_| !ordered);
                    if self.s.edit(Edit { id, payload: None, priority, run_at }).is_ok()
                        && let Some(at) = run_at
                    {
                        self.witness.due(id, at);
                    }
                }
            }
            Act::Pause { queue, paused } => {
                self.s.pause(QUEUES[*queue], *paused);
                self.witness.paused(QUEUES[*queue], *paused);
            }
            Act::Limit { which, concurrency } => {
                if *which == 1 {
                    let limits = LimitSettings { concurrency: Some(*concurrency), ..per(20, 1_000, 6) };
                    let paused = self.s.queue_info("tight").settings;
                    self.s.set_queue("tight", QueueSettings { limits, ..paused });
                    self.witness.queue_is_limited("tight", limits);
                } else {
                    let limits = match which {
                        0 => at_once(*concurrency),
                        _ => LimitSettings { concurrency: Some(*concurrency + 2), ..per(9, 1_000, 5) },
                    };
                    self.s.set_limit(LIMITS[*which], limits);
                    self.witness.limit_is(LIMITS[*which], limits);
                }
            }
            Act::Pass { ms } => self.s.advance(*ms),
            Act::Reopen { how } if self.restarts => self.reopen(*how),
            Act::Reopen { .. } => {}
        }
        self.s.upkeep();
        self.witness.look(&self.s, &claimed);
    }

    fn jobs(&self) -> BTreeMap<JobId, JobDetail> {
        let ids = self.s.list(&Filter::default());
        let plain = |id| {
            let job = self.s.get(id);
            (id, JobDetail { deadline: None, ..job })
        };
        ids.into_iter().map(plain).collect()
    }

    /// The store ends and comes back as it was.
    fn reopen(&mut self, how: End) {
        let before = self.jobs();
        self.s.reopen(how);
        if how != End::WithWorkers {
            let after = self.jobs();
            assert_eq!(after.len(), before.len(), "I17: as many jobs as before");
            for (id, job) in &before {
                assert_eq!(&after[id], job, "I17: {id} after a restart");
            }
        }
    }

    /// No more faults: everything is opened, and workers take what there is.
    fn wind_up(&mut self) {
        for name in QUEUES {
            self.s.pause(name, false);
            self.witness.paused(name, false);
        }
        for name in LIMITS {
            self.s.set_limit(name, LimitSettings::default());
            self.witness.limit_is(name, LimitSettings::default());
        }
        let settings = self.s.queue_info("tight").settings;
        self.s.set_queue("tight", QueueSettings { limits: per(20, 1_000, 6), ..settings });
        self.witness.queue_is_limited("tight", per(20, 1_000, 6));
        for _ in 0..40 {
            self.s.advance(60_000);
            self.witness.look(&self.s, &[]);
            for name in QUEUES {
                loop {
                    let claimed = self.s.claim(name, 50);
                    self.witness.look(&self.s, &claimed);
                    if claimed.is_empty() {
                        break;
                    }
                    for job in claimed {
                        let answer = self.s.end(complete(&job.lease));
                        self.witness.settled(&job.lease, "complete", &answer);
                    }
                    self.s.upkeep();
                    self.witness.look(&self.s, &[]);
                }
            }
        }
        self.witness.compare(&self.s);
        self.witness.all_ended_that_could(&self.s);
    }
}

fn random_traffic_keeps_every_invariant(host: &dyn Host) {
    traffic(host, false);
}

fn random_traffic_with_restarts_keeps_every_invariant(host: &dyn Host) {
    traffic(host, true);
}

fn random_commands_are_answered_as_by_the_model(host: &dyn Host) {
    many("model", runs(host, MODEL_RUNS), model::act(), |acts| model::run(host, acts, false));
}

pub(super) fn random_commands_with_restarts_are_answered_as_by_the_model(host: &dyn Host) {
    many("model", runs(host, MODEL_RUNS), model::act(), |acts| model::run(host, acts, true));
}

fn traffic(host: &dyn Host, restarts: bool) {
    many("traffic", runs(host, TRAFFIC_RUNS), act(), |acts| {
        let mut town = Town::new(host, restarts);
        for act in acts {
            town.act(act);
        }
        town.witness.compare(&town.s);
        town.wind_up();
    });
}

/// How many sequences are run: as many as the environment says, or this store's share of the usual number.
fn runs(host: &dyn Host, usual: u32) -> u32 {
    let asked = std::env::var("WINDLASS_RUNS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| (usual / host.random_runs_divisor().max(1)).max(1))
}

/// Runs that many sequences of random acts, and shrinks the first that fails.
fn many<A: Clone + std::fmt::Debug>(
    test: &str,
    runs: u32,
    act: impl Strategy<Value = A>,
    run: impl Fn(&[A]),
) {
    let mut dice = Dice::new(test);
    let mut seed = [0u8; 32];
    seed.iter_mut().for_each(|byte| *byte = dice.any() as u8);
    // Shrinking is bounded, so that a failure is told within a minute or two.
    let config =
        Config { cases: runs, failure_persistence: None, max_shrink_iters: 1_500, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let acts = prop::collection::vec(act, 30..160);
    let outcome = runner.run(&acts, |acts| {
        run(&acts);
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
}

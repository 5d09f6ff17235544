//! A row of verbs that is the same on every run of one seed, and the state after each of them.
//!
//! A step is one verb. Steps that fail because the disk does end the run; what the contract refuses is part of the
//! script. The clock stands still save in the steps that move it.

use crate::dump;
use std::sync::Arc;
use windlass_core::event::Cursor;
use windlass_core::job::{ErrorReport, OnConflict, OnParent, Parent, Progress, Unique, UniqueScope};
use windlass_core::limit::{LimitSettings, LimitUse};
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, QueueSettings, Retention};
use windlass_core::rate::Rate;
use windlass_core::retry::RetryPolicy;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::{
    Admin, Claim, Edit, Hold, Queue, Reader, ReleaseReason, Report, ScheduleSpec, Settle, Store, Upkeep,
};
use windlass_core::{
    GroupKey, JobId, Kind, Lease, LimitName, NewJob, QueueName, ScheduleName, StoreError, Time, WorkerId,
};
use windlass_embedded::clock::{Entropy, ManualClock};
use windlass_embedded::disk::Disk;
use windlass_embedded::journal::JournalOptions;
use windlass_embedded::{AtOpen, EmbeddedOptions, EmbeddedStore, OpenError};

/// Where the clock begins.
pub(crate) const START: Time = Time(1_763_700_000_000);
/// Kinds of steps; a script that is longer than this has done each of them.
pub(crate) const KINDS: u64 = 29;
/// Steps of one upkeep: more than is ever due, and so few that they ask for little room.
const UPKEEP: usize = 20;
/// Segments that hold little beyond the room that the engine keeps for one request: a script fills several.
pub(crate) const SHORT_SEGMENT: u32 = 544 << 10;
/// Segments that hold a whole script.
pub(crate) const LONG_SEGMENT: u32 = 4 << 20;

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn limit(name: &str) -> LimitName {
    LimitName::new(name).unwrap()
}

/// A small generator for choices in scripts and of fates.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        dice.roll(2);
        dice
    }

    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// Numbers that a rerun gives again.
struct Counted(std::sync::atomic::AtomicU64);

impl Entropy for Counted {
    fn next_u64(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        self.0.fetch_add(step, std::sync::atomic::Ordering::SeqCst).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }
}

/// Options of a simulated store: its leases go on, so that a reopen changes no job.
pub(crate) fn options(clock: Arc<ManualClock>, salt: u64) -> EmbeddedOptions {
    options_with(clock, salt, SHORT_SEGMENT)
}

/// The same with segments of another size.
pub(crate) fn options_with(clock: Arc<ManualClock>, salt: u64, segment_bytes: u32) -> EmbeddedOptions {
    EmbeddedOptions {
        clock,
        leases: AtOpen::RenewLeases,
        entropy: Arc::new(Counted(salt.into())),
        journal: JournalOptions {
            segment_bytes_min: segment_bytes,
            segment_bytes_max: segment_bytes,
            spares: 2,
            inline_spares: true,
            ..JournalOptions::default()
        },
        ..EmbeddedOptions::default()
    }
}

/// Runs one thing to its end on this thread.
pub(crate) fn block_on<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run)
}

/// A store in the middle of a script.
pub(crate) struct Script {
    pub(crate) store: EmbeddedStore,
    pub(crate) clock: Arc<ManualClock>,
    seed: u64,
    made: u64,
    pub(crate) ids: Vec<JobId>,
    pub(crate) held: Vec<Lease>,
}

/// How the state after a step may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The answer came after its facts were durable.
    Durable,
    /// A claim's own record may lag, and a heartbeat leaves none.
    Lagging,
}

impl Script {
    pub(crate) fn open(disk: Arc<dyn Disk>, seed: u64, segment_bytes: u32) -> Result<Self, OpenError> {
        let clock = ManualClock::new(START);
        let store = EmbeddedStore::on_disk(disk, options_with(Arc::clone(&clock), seed, segment_bytes))?;
        Ok(Self { store, clock, seed, made: 0, ids: Vec::new(), held: Vec::new() })
    }

    fn id(&mut self) -> JobId {
        self.made += 1;
        JobId::named(self.clock.now(), &format!("{}-{}", self.seed, self.made))
    }

    fn job(&mut self, name: &str, dice: &mut Dice) -> NewJob {
        let (id, bytes) = (self.id(), 20 + dice.roll(120) as usize);
        self.ids.push(id);
        let payload: Vec<u8> = (0..bytes).map(|_| b'a' + dice.roll(26) as u8).collect();
        NewJob::new(id, queue(name), Kind::new("kind").unwrap(), payload)
    }

    fn any_id(&self, dice: &mut Dice) -> JobId {
        if self.ids.is_empty() { JobId(1) } else { self.ids[dice.roll(self.ids.len() as u64) as usize] }
    }

    fn any_lease(&mut self, dice: &mut Dice) -> Option<Lease> {
        let count = self.held.len() as u64;
        (count > 0).then(|| self.held.remove(dice.roll(count) as usize))
    }

    /// One step of the script.
    pub(crate) async fn step(&mut self, number: u64) -> Result<Kept, StoreError> {
        let mut dice = Dice::new(self.seed ^ (number + 1) << 24);
        // The first round goes through all kinds in turn, then chance takes over.
        let kind = if number < KINDS { number } else { dice.roll(KINDS) };
        match kind {
            0..=4 => self.settings(kind, &mut dice).await?,
            5..=11 => self.enqueue(kind, &mut dice).await?,
            12..=14 => {
                self.claim(&mut dice, Vec::new()).await?;
                return Ok(Kept::Lagging);
            }
            15..=20 => self.settle(kind, &mut dice).await?,
            21 => {
                self.store.heartbeat(self.held.clone(), None).await?;
                return Ok(Kept::Lagging);
            }
            22 => {
                let lease = self.held.first().copied().unwrap_or(Lease {
                    job: JobId(1),
                    attempt: 1,
                    token: windlass_core::LeaseToken::default(),
                    deadline: Time::ZERO,
                });
                let progress = Some(Progress { percent: 40, message: Some("on its way".into()) });
                let (log, checkpoint) = (Some("a line\n".into()), Some(b"so far".to_vec()));
                self.store.report(vec![Report { lease, progress, log, checkpoint }], None).await?;
            }
            23..=27 => self.people(kind, &mut dice).await?,
            _ => {
                self.clock.advance_ms(1 + dice.roll(900));
                self.store.upkeep(UPKEEP, None).await?;
            }
        }
        Ok(Kept::Durable)
    }

    async fn settings(&mut self, kind: u64, dice: &mut Dice) -> Result<(), StoreError> {
        let store = &self.store;
        match kind {
            0 => {
                let retry = RetryPolicy::Fixed { delay_ms: 300, max_failures: 3 };
                let retention = Retention { completed_count: 4, ..Retention::default() };
                let settings = QueueSettings { retry, retention, ..QueueSettings::default() };
                store.set_queue(queue("a"), settings, None).await?.unwrap();
            }
            1 => {
                let groups = GroupSettings { ordered: true, ..GroupSettings::default() };
                let settings = QueueSettings { groups, ..QueueSettings::default() };
                store.set_queue(queue("ordered"), settings, None).await?.unwrap();
            }
            2 => {
                let rate = Some(Rate { count: 5, period_ms: 1_000, burst: 5 });
                let settings = LimitSettings { concurrency: Some(4), rate };
                store.set_limit(limit("slots"), Some(settings), None).await?.unwrap();
            }
            3 => {
                let spec = ScheduleSpec {
                    name: ScheduleName::new("tick").unwrap(),
                    timing: Timing::Interval { every_ms: 1_000, anchor: START },
                    overlap: Overlap::default(),
                    catch_up: CatchUp::default(),
                    queue: queue("a"),
                    kind: Kind::new("tick").unwrap(),
                    payload: b"tick".to_vec(),
                    group: None,
                    priority: 0,
                    paused: dice.roll(2) == 0,
                };
                // A schedule may be refused in its details: the script goes on all the same.
                let _ = store.set_schedule(spec, None).await?;
            }
            _ => {
                let (_, version) = store.meta("key".into()).await?;
                store.set_meta("key".into(), vec![dice.roll(256) as u8; 30], version).await?.unwrap();
            }
        }
        Ok(())
    }

    async fn enqueue(&mut self, kind: u64, dice: &mut Dice) -> Result<(), StoreError> {
        let group = |dice: &mut Dice| Some(GroupKey::new(format!("g{}", dice.roll(3))).unwrap());
        let jobs = match kind {
            5 => vec![self.job("a", dice), self.job("a", dice), self.job("b", dice)],
            6 => {
                let job = self.job("b", dice);
                vec![NewJob { group: group(dice), priority: dice.roll(3) as i8 - 1, ..job }]
            }
            7 => {
                let (one, other) = (self.job("ordered", dice), self.job("ordered", dice));
                let group = group(dice);
                vec![NewJob { group: group.clone(), ..one }, NewJob { group, ..other }]
            }
            8 => vec![NewJob { delay_ms: Some(1 + dice.roll(1_500)), ..self.job("a", dice) }],
            9 => {
                let on_conflict = [OnConflict::Existing, OnConflict::Replace, OnConflict::Reschedule];
                let on_conflict = on_conflict[dice.roll(3) as usize];
                let key = UniqueKey::new(format!("key-{}", dice.roll(3))).unwrap();
                let unique = Some(Unique { key, scope: UniqueScope::WhileLive, on_conflict });
                vec![NewJob { unique, ..self.job("b", dice) }]
            }
            10 => {
                let parent = self.job("a", dice);
                let on = if dice.roll(2) == 0 { OnParent::Success } else { OnParent::Always };
                let parents = vec![Parent { id: parent.id, on }];
                vec![NewJob { parents, ..self.job("b", dice) }, parent]
            }
            _ => {
                let limits = vec![LimitUse { name: limit("slots"), cost: 1 + dice.roll(2) as u32 }];
                let expires_at = Some(self.clock.now().plus_ms(700));
                vec![NewJob { limits, expires_at, ..self.job("b", dice) }]
            }
        };
        self.store.enqueue(jobs, dice.roll(2) == 0, None).await.map(drop)
    }

    async fn claim(&mut self, dice: &mut Dice, settle_first: Vec<Settle>) -> Result<(), StoreError> {
        let wants = ["a", "b", "ordered"].map(|name| (queue(name), dice.roll(3) as u32)).to_vec();
        let nonce = 1 + dice.roll(1 << 40);
        let claim = Claim { settle_first, wants, worker: WorkerId(7), nonce };
        let claimed = self.store.claim(claim, None).await?;
        self.held.extend(claimed.jobs.iter().map(|job| job.lease));
        Ok(())
    }

    async fn settle(&mut self, kind: u64, dice: &mut Dice) -> Result<(), StoreError> {
        let Some(lease) = self.any_lease(dice) else { return Ok(()) };
        let error = ErrorReport { message: "it broke".into(), ..ErrorReport::default() };
        let settle = match kind {
            15 => Settle::Complete { lease, result: Some(b"fine".to_vec()), then: Vec::new() },
            16 => {
                let then = vec![self.job("a", dice), self.job("b", dice)];
                Settle::Complete { lease, result: None, then }
            }
            17 => Settle::Fail { lease, error, retry_in_ms: None, fatal: false },
            18 => Settle::Fail { lease, error, retry_in_ms: None, fatal: true },
            19 => {
                let holds = (dice.roll(2) == 0).then_some(Hold::Group);
                Settle::Snooze { lease, delay_ms: 1 + dice.roll(500), reason: "later".into(), holds }
            }
            _ => {
                let reasons = [ReleaseReason::NoHandler, ReleaseReason::Shutdown, ReleaseReason::Unstarted];
                Settle::Release { lease, reason: reasons[dice.roll(3) as usize] }
            }
        };
        let claim = Claim { settle_first: vec![settle], worker: WorkerId(7), nonce: 1, ..Claim::default() };
        self.store.claim(claim, None).await.map(drop)
    }

    async fn people(&mut self, kind: u64, dice: &mut Dice) -> Result<(), StoreError> {
        let id = self.any_id(dice);
        let store = &self.store;
        match kind {
            23 => drop(store.cancel(vec![id], None).await?),
            24 => {
                let run_at = (dice.roll(2) == 0).then(|| self.clock.now().plus_ms(dice.roll(800)));
                let payload = Some(vec![b'e'; 30]);
                drop(store.edit(vec![Edit { id, payload, priority: None, run_at }], None).await?);
            }
            25 => drop(store.retry(self.ids.iter().rev().take(20).copied().collect(), None).await?),
            26 => match dice.roll(3) {
                0 => drop(store.run_now(vec![id], None).await?),
                1 => drop(store.delete(vec![id], None).await?),
                _ => {
                    let reader = Reader::of_log("reader", Cursor::default());
                    store.set_reader(reader).await?;
                }
            },
            _ => {
                let weight = 1 + dice.roll(9) as u16;
                let settings = GroupSettings { weight, ..GroupSettings::default() };
                let key = Some(GroupKey::new("g0").unwrap());
                drop(store.set_group(queue("b"), key, Some(settings), None).await?);
            }
        }
        Ok(())
    }
}

/// A state of the script: what the store says after that many steps, and what the clock showed.
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) at: Time,
    pub(crate) kept: Kept,
}

/// The states of a whole script on a disk without faults; the first is the empty store.
pub(crate) async fn tell(
    disk: Arc<dyn Disk>,
    seed: u64,
    segment_bytes: u32,
    steps: u64,
    mut after: impl FnMut(),
) -> Vec<Told> {
    let mut script = Script::open(disk, seed, segment_bytes).unwrap();
    let text = dump::dump(&script.store).await.unwrap();
    let mut told = vec![Told { text, at: START, kept: Kept::Durable }];
    after();
    for number in 0..steps {
        let kept = script.step(number).await.unwrap();
        let text = dump::dump(&script.store).await.unwrap();
        told.push(Told { text, at: script.clock.now(), kept });
        after();
    }
    script.store.close().await.unwrap();
    told
}

/// The oldest state that a store may come back in when that many steps were acknowledged.
pub(crate) fn oldest_allowed(told: &[Told], acknowledged: usize) -> usize {
    let counts = |at: &usize| told[*at].kept == Kept::Durable && told[*at].text != told[*at - 1].text;
    (1..=acknowledged).rev().find(counts).unwrap_or(0)
}

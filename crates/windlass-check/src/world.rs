//! What is known so far, by the lines above: calls, jobs, leases, settings, faults.
//!
//! It keeps two pictures of a job apart. What **clients** know from their calls is certain only within the intervals of
//! the calls, so it is kept as what must be and what may be. What the **store** tells in its events is exact, and is kept
//! as the job's story. Rules judge a line before the world takes it in.

use crate::format::{
    Ask, Asked, AskedSettle, EventOrder, FaultKind, Given, Header, How, Item, Refusal, SeenEvent,
    Transaction, TransactionStep,
};
use crate::settings::Settings;
use crate::story::Story;
use std::collections::{HashMap, HashSet};
use windlass_core::job::OnConflict;
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings};
use windlass_core::store::{AckLevel, EnqueueStatus, Enqueued};
use windlass_core::{GroupKey, JobId, Lease, LeaseToken, LimitName, QueueName, ScheduleName, Time};

/// A call that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) line: u64,
    pub(crate) at: Time,
    pub(crate) ask: Ask,
}

/// A lease that a worker was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) lease: Lease,
    /// The call that got it, and its answer.
    pub(crate) begun: u64,
    pub(crate) line: u64,
    /// As far as heartbeats have moved it.
    pub(crate) deadline: Time,
    /// The first line from which on it may be over.
    pub(crate) let_go: Option<u64>,
}

/// One settlement that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) token: LeaseToken,
    pub(crate) attempt: u32,
    pub(crate) how: How,
    pub(crate) line: u64,
    /// Whether it was done; none while nobody knows.
    pub(crate) done: Option<bool>,
    /// The line of the answer, and its time.
    pub(crate) answered: u64,
    pub(crate) answered_at: Time,
}

/// What was acknowledged about a job beside its enqueue and its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    Cancelled,
    CancelRequested,
    Retried,
    Deleted,
}

/// A job as its clients know it, and its story as the store tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Job {
    pub(crate) asked: Option<Asked>,
    /// The first call that asked for it: line, time, place in the batch.
    pub(crate) asked_by: (u64, Time, usize),
    /// The answer that acknowledged it as new.
    pub(crate) taken: Option<(u64, Time)>,
    /// From that line on it may have ended.
    pub(crate) may_have_ended: Option<u64>,
    /// Somebody has asked to complete it.
    pub(crate) completing: bool,
    pub(crate) given: u32,
    /// The newest lease that was answered, and the largest counter and attempt with their lines.
    pub(crate) held: Option<Held>,
    pub(crate) counter: (u64, u64),
    pub(crate) attempt: (u32, u64),
    /// Not before then, by that line.
    pub(crate) due: Option<(Time, u64)>,
    /// Somebody has asked to give it another time; when that took effect is not known, so it is not judged again.
    pub(crate) moved: bool,
    pub(crate) deleted: Option<u64>,
    pub(crate) retried: Option<u64>,
    pub(crate) cancelled: Option<u64>,
    pub(crate) settled: Vec<Settled>,
    /// What people were told about it, with the line of the answer.
    pub(crate) acks: Vec<(Ack, u64, Time)>,
    /// Faults and lost claims at the time it was asked for: each may have cost it a lease.
    mishaps_before: u64,
    pub(crate) transaction: Option<String>,
    pub(crate) story: Story,
}

impl Job {
    /// Whether it certainly had not ended when that line was written, as far as clients know.
    pub(crate) fn surely_live_at(&self, line: u64, world: &World) -> bool {
        let taken = self.taken.is_some_and(|(taken, _)| taken < line);
        let ended = self.may_have_ended.is_some_and(|from| from <= line);
        let expires =
            self.asked.as_ref().is_none_or(|asked| asked.expires_at.is_some() || !asked.parents.is_empty());
        // Three losses are enough to die of; nobody may have heard of the leases that were lost.
        taken && !ended && !expires && u64::from(self.given) + world.mishaps_since(self) < 3
    }
}

/// A fault, with what it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultSeen {
    pub(crate) line: u64,
    pub(crate) what: FaultKind,
    /// Acknowledgements since then may be lost; none when nothing may.
    pub(crate) takes_since: Option<Time>,
}

/// A transaction of the caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransactionSeen {
    /// Its newest step and line; none while it is open.
    pub(crate) step: Option<(TransactionStep, u64)>,
    /// The jobs enqueued in it.
    pub(crate) jobs: Vec<JobId>,
}

/// Everything known by the lines above.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) header: Header,
    pub(crate) line: u64,
    pub(crate) at: Time,
    pub(crate) jobs: HashMap<JobId, Job>,
    /// Removed jobs of which nothing more is to come.
    pub(crate) gone: HashSet<JobId>,
    pub(crate) queues: HashMap<QueueName, Settings<QueueSettings>>,
    pub(crate) paused: HashMap<QueueName, Settings<bool>>,
    pub(crate) groups: HashMap<(QueueName, Option<GroupKey>), Settings<Option<GroupSettings>>>,
    pub(crate) limits: HashMap<LimitName, Settings<Option<LimitSettings>>>,
    pub(crate) schedules: HashSet<ScheduleName>,
    /// Jobs that were asked for with that unique key.
    pub(crate) keys: HashMap<UniqueKey, Vec<JobId>>,
    /// Keys whose holders may be given another time.
    pub(crate) moving_keys: HashSet<UniqueKey>,
    pub(crate) faults: Vec<FaultSeen>,
    pub(crate) transactions: HashMap<String, TransactionSeen>,
    /// The first line that asked for a job of that queue.
    first_job: HashMap<QueueName, u64>,
    /// Faults, and claims whose answer was lost: each may have cost any job a lease.
    pub(crate) mishaps: u64,
    /// Claims that are not answered yet: each may have taken any job.
    open_claims: u64,
    pub(crate) jobs_seen: u64,
}

impl World {
    pub(crate) fn new(header: Header) -> Self {
        Self {
            header,
            line: 1,
            at: Time::ZERO,
            jobs: HashMap::new(),
            gone: HashSet::new(),
            queues: HashMap::new(),
            paused: HashMap::new(),
            groups: HashMap::new(),
            limits: HashMap::new(),
            schedules: HashSet::new(),
            keys: HashMap::new(),
            moving_keys: HashSet::new(),
            faults: Vec::new(),
            transactions: HashMap::new(),
            first_job: HashMap::new(),
            mishaps: 0,
            open_claims: 0,
            jobs_seen: 0,
        }
    }

    pub(crate) fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    fn job_mut(&mut self, id: JobId) -> &mut Job {
        let (seen, mishaps_before) = (&mut self.jobs_seen, self.mishaps);
        self.jobs.entry(id).or_insert_with(|| {
            *seen += 1;
            Job { mishaps_before, ..Job::default() }
        })
    }

    pub(crate) fn total_order(&self) -> bool {
        self.header.events == EventOrder::Total
    }

    /// Whether anything happened since that line that may end leases without their holders.
    pub(crate) fn fault_since(&self, line: u64) -> bool {
        self.faults.last().is_some_and(|fault| fault.line > line)
    }

    /// Whether a fault since that line may take acknowledged work with it.
    pub(crate) fn power_since(&self, line: u64) -> bool {
        let takes = |fault: &&FaultSeen| {
            fault.takes_since.is_some() || matches!(fault.what, FaultKind::PowerCut | FaultKind::Failover)
        };
        self.faults.iter().rev().take_while(|fault| fault.line > line).any(|fault| takes(&fault))
    }

    /// Whether that lease certainly was current until now, unless the call of `but` has ended it.
    pub(crate) fn surely_holds(&self, held: &Held, but: u64) -> bool {
        let let_go = held.let_go.is_some_and(|line| line != but);
        !let_go && !self.fault_since(held.begun) && self.at.plus_ms(self.header.skew_ms) < held.deadline
    }

    /// What the death of a head does in that group, if the group was ordered all the time.
    pub(crate) fn ordered(&self, queue: &QueueName, group: Option<&GroupKey>) -> Option<OnHeadDeath> {
        let before = self.first_job.get(queue).copied().unwrap_or(u64::MAX);
        let settings = match self.groups.get(&(queue.clone(), group.cloned())) {
            Some(own) if !own.is_empty() => own.always(before)?.as_ref(),
            _ => None,
        };
        let settings = match settings {
            Some(settings) => settings,
            None => &self.queues.get(queue)?.always(before)?.groups,
        };
        settings.ordered.then_some(settings.on_head_death)
    }

    // ---- calls ----

    /// A call begins: from here on it may take effect.
    pub(crate) fn begin(&mut self, ask: &Ask) {
        let (line, at) = (self.line, self.at);
        match ask {
            Ask::Enqueue { jobs, transaction } => {
                for (place, asked) in jobs.iter().enumerate() {
                    self.ask(asked, place, transaction.as_ref());
                }
            }
            Ask::Claim { settle, .. } => {
                self.open_claims += 1;
                settle.iter().for_each(|settle| self.begin_settle(settle));
            }
            Ask::Cancel { jobs } => self.touch(jobs, |job| {
                job.cancelled.get_or_insert(line);
                job.may_have_ended.get_or_insert(line);
                // After the grace the store takes the lease away.
                job.let_go(line);
            }),
            Ask::Delete { jobs } => self.touch(jobs, |job| {
                job.deleted.get_or_insert(line);
                job.may_have_ended.get_or_insert(line);
            }),
            Ask::Retry { jobs } => self.touch(jobs, |job| {
                job.retried = Some(line);
                job.moved = true;
            }),
            Ask::RunNow { jobs } => self.touch(jobs, |job| job.moved = true),
            Ask::Edit { edits } => {
                let moved: Vec<JobId> = edits.iter().filter(|e| e.run_at.is_some()).map(|e| e.id).collect();
                self.touch(&moved, |job| job.moved = true);
            }
            Ask::Pause { queue, paused } => {
                self.paused.entry(queue.clone()).or_default().begin(line, at, *paused);
            }
            Ask::SetQueue { queue, settings } => {
                self.queues.entry(queue.clone()).or_default().begin(line, at, settings.clone());
                self.paused.entry(queue.clone()).or_default().begin(line, at, settings.paused);
            }
            Ask::SetGroup { queue, group, settings } => {
                let key = (queue.clone(), group.clone());
                self.groups.entry(key).or_default().begin(line, at, *settings);
            }
            Ask::SetLimit { limit, settings } => {
                self.limits.entry(limit.clone()).or_default().begin(line, at, *settings);
            }
            Ask::SetSchedule { spec } => drop(self.schedules.insert(spec.name.clone())),
            Ask::Close {} => self.fault(FaultKind::StoreStopped, Some(true)),
            Ask::Heartbeat { .. } | Ask::Report { .. } | Ask::DeleteSchedule { .. } => {}
        }
    }

    fn touch(&mut self, jobs: &[JobId], change: impl Fn(&mut Job)) {
        for id in jobs {
            if !self.gone.contains(id) {
                change(self.job_mut(*id));
            }
        }
    }

    fn ask(&mut self, asked: &Asked, place: usize, transaction: Option<&String>) {
        let (line, at) = (self.line, self.at);
        self.first_job.entry(asked.queue.clone()).or_insert(line);
        if self.gone.contains(&asked.id) {
            return;
        }
        if let Some(unique) = &asked.unique {
            self.keys.entry(unique.key.clone()).or_default().push(asked.id);
            // Who meets a held unique key may move its holder, whichever job that is when the call takes effect.
            if unique.on_conflict == OnConflict::Reschedule {
                self.moving_keys.insert(unique.key.clone());
            }
        }
        let job = self.job_mut(asked.id);
        if job.asked.is_none() {
            let due = asked.run_at.or_else(|| asked.delay_ms.map(|ms| at.plus_ms(ms)));
            job.due = due.map(|due| (due, line));
            job.asked = Some(asked.clone());
            job.asked_by = (line, at, place);
            job.transaction = transaction.cloned();
            if let Some(name) = transaction {
                self.transactions.entry(name.clone()).or_default().jobs.push(asked.id);
            }
        }
    }

    fn begin_settle(&mut self, settle: &AskedSettle) {
        let line = self.line;
        for (place, then) in settle.then.iter().enumerate() {
            self.ask(then, place, None);
        }
        if self.gone.contains(&settle.lease.job) {
            return;
        }
        let job = self.job_mut(settle.lease.job);
        if matches!(settle.how, How::Complete | How::Fail) {
            job.may_have_ended.get_or_insert(line);
        }
        job.completing |= settle.how == How::Complete;
        if job.held.is_some_and(|held| held.lease.token == settle.lease.token) {
            job.let_go(line);
        }
        let (token, attempt, how) = (settle.lease.token, settle.lease.attempt, settle.how);
        let (answered, answered_at) = (0, Time::ZERO);
        job.settled.push(Settled { token, attempt, how, line, done: None, answered, answered_at });
    }

    /// A claim was answered; `lost` when nobody knows what it took.
    pub(crate) fn claim_answered(&mut self, lost: bool) {
        self.open_claims = self.open_claims.saturating_sub(1);
        self.mishaps += u64::from(lost);
    }

    pub(crate) fn enqueued(&mut self, asked: &Asked, told: &Item<Enqueued>) {
        let (line, at) = (self.line, self.at);
        if let Item::Ok(done) = told
            && done.status == EnqueueStatus::Created
            && let Some(job) = self.jobs.get_mut(&asked.id)
            && job.transaction.is_none()
        {
            job.taken.get_or_insert((line, at));
        }
    }

    pub(crate) fn settled(&mut self, settle: &AskedSettle, told: &Item<()>, begun: &Open) {
        let (line, at) = (self.line, self.at);
        if told.is_ok() {
            // A follow-up whose key is taken, or whose id is known, is another job's affair.
            for then in settle.then.iter().filter(|then| then.unique.is_none()) {
                if let Some(job) = self.jobs.get_mut(&then.id) {
                    job.taken.get_or_insert((line, at));
                }
            }
        }
        let Some(job) = self.jobs.get_mut(&settle.lease.job) else { return };
        let token = settle.lease.token;
        let of = |s: &&mut Settled| s.token == token && s.how == settle.how && s.line == begun.line;
        if let Some(settled) = job.settled.iter_mut().find(of) {
            (settled.done, settled.answered, settled.answered_at) = (Some(told.is_ok()), line, at);
        }
        let was_held = job.held.is_some_and(|held| held.lease.token == token);
        // Of two calls with one token only one took effect, and nobody knows when.
        let alone = !job.settled.iter().any(|s| s.token == token && s.line != begun.line)
            && !job.story.ends.iter().any(|(_, attempt)| *attempt == settle.lease.attempt);
        if told.is_ok() && was_held && alone && matches!(settle.how, How::Snooze | How::Fail) {
            job.due = settle.delay_ms.map(|ms| (begun.at.plus_ms(ms), begun.line));
        }
    }

    pub(crate) fn given(&mut self, given: &Given, begun: &Open) {
        let line = self.line;
        if self.gone.contains(&given.lease.job) {
            return;
        }
        let job = self.job_mut(given.lease.job);
        job.given += 1;
        let (counter, attempt) = (given.lease.token.counter, given.lease.attempt);
        if counter >= job.counter.0 {
            (job.counter, job.due) = ((counter, line), None);
        }
        if attempt >= job.attempt.0 {
            job.attempt = (attempt, line);
        }
        // Two answers may cross: the newest lease is the one with the largest counter.
        if job.held.is_none_or(|held| held.lease.token.counter < counter) {
            let deadline = given.lease.deadline;
            // A cancellation that was asked for meanwhile may end it at any time.
            let let_go = job.cancelled.filter(|cancelled| *cancelled > begun.line);
            job.held = Some(Held { lease: given.lease, begun: begun.line, line, deadline, let_go });
        }
    }

    pub(crate) fn beat(&mut self, lease: &Lease, deadline: Time) {
        if let Some(held) = self.jobs.get_mut(&lease.job).and_then(|job| job.held.as_mut())
            && held.lease.token == lease.token
        {
            held.deadline = held.deadline.max(deadline);
        }
    }

    /// A setting was answered.
    pub(crate) fn set(&mut self, begun: &Open, told: &Item<()>) {
        let (line, at, done, from) = (self.line, self.at, told.is_ok(), begun.line);
        match &begun.ask {
            Ask::Pause { queue, .. } => {
                self.paused.entry(queue.clone()).or_default().answer(from, line, at, done);
            }
            Ask::SetQueue { queue, .. } => {
                self.queues.entry(queue.clone()).or_default().answer(from, line, at, done);
                self.paused.entry(queue.clone()).or_default().answer(from, line, at, done);
            }
            Ask::SetGroup { queue, group, .. } => {
                let key = (queue.clone(), group.clone());
                self.groups.entry(key).or_default().answer(from, line, at, done);
            }
            Ask::SetLimit { limit, .. } => {
                self.limits.entry(limit.clone()).or_default().answer(from, line, at, done);
            }
            _ => {}
        }
    }

    /// Something else about a job was acknowledged.
    pub(crate) fn acknowledged(&mut self, id: JobId, ack: Ack) {
        let (line, at) = (self.line, self.at);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.acks.push((ack, line, at));
        }
    }

    /// A refusal that says what the store knew: nothing has happened by that call.
    pub(crate) fn refused(&mut self, begun: &Open, id: JobId, why: &Refusal) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        // A cancellation or removal that the state did not allow has ended nothing, but something else has.
        if !matches!(why.code.as_str(), "wrong_state" | "not_found") {
            for mark in [&mut job.cancelled, &mut job.deleted, &mut job.may_have_ended] {
                if *mark == Some(begun.line) {
                    *mark = None;
                }
            }
        }
    }

    /// Not before which time that job may be given, and which line says so; none where that may have been changed.
    pub(crate) fn due(&self, id: JobId) -> Option<(Time, u64)> {
        let job = self.job(id).filter(|job| !job.moved)?;
        let key = job.asked.as_ref().and_then(|asked| asked.unique.as_ref()).map(|unique| &unique.key);
        job.due.filter(|_| key.is_none_or(|key| !self.moving_keys.contains(key)))
    }

    // ---- what is not a call ----

    pub(crate) fn fault(&mut self, what: FaultKind, covered: Option<bool>) {
        let always = Some(Time::ZERO);
        let level = self.header.ack_level;
        let uncovered = match what {
            FaultKind::ClientKilled | FaultKind::StoreStopped | FaultKind::Connection | FaultKind::Clock => {
                None
            }
            FaultKind::Failover => always,
            FaultKind::StoreKilled | FaultKind::PowerCut => match level {
                AckLevel::None => always,
                AckLevel::Window { ms } => Some(self.at.minus_ms(ms)),
                AckLevel::Process if what == FaultKind::PowerCut => always,
                AckLevel::Process | AckLevel::Power => None,
            },
        };
        let takes_since = match covered {
            None => uncovered,
            Some(true) => None,
            Some(false) => uncovered.or(always),
        };
        self.faults.push(FaultSeen { line: self.line, what, takes_since });
        self.mishaps += 1;
        if matches!(what, FaultKind::StoreKilled | FaultKind::StoreStopped | FaultKind::PowerCut) {
            // What they have taken, they took before.
            self.mishaps += std::mem::take(&mut self.open_claims);
        }
        if takes_since.is_some() {
            // The store may show an earlier state: what its events told before it is no longer sure.
            self.jobs.values_mut().for_each(|job| job.story = Story::unsure());
        }
    }

    /// The first fault that may have taken what was acknowledged at that line and time.
    pub(crate) fn may_be_taken(&self, line: u64, at: Time) -> bool {
        self.faults
            .iter()
            .any(|fault| fault.line > line && fault.takes_since.is_some_and(|since| at >= since))
    }

    pub(crate) fn transaction(&mut self, of: &Transaction) {
        let (line, at) = (self.line, self.at);
        let seen = self.transactions.entry(of.name.clone()).or_default();
        seen.step = Some((of.step, line));
        if of.step == TransactionStep::Committed {
            for id in &seen.jobs {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.taken.get_or_insert((line, at));
                }
            }
        }
    }

    pub(crate) fn event(&mut self, event: &SeenEvent) {
        let line = self.line;
        if !self.gone.contains(&event.job) {
            let job = self.job_mut(event.job);
            job.story.take(event, line);
        }
    }

    /// Forgets what a look has confirmed: settlements that the events tell, and jobs that are removed.
    pub(crate) fn forget(&mut self, before: u64) {
        let gone = &mut self.gone;
        self.jobs.retain(|id, job| {
            job.settled.retain(|settled| settled.line >= before || settled.done.is_none());
            job.acks.retain(|(_, line, _)| *line >= before);
            let over = job.story.removed.is_some_and(|line| line < self.line) && job.settled.is_empty();
            if over {
                gone.insert(*id);
            }
            !over
        });
        self.keys.retain(|_, ids| {
            ids.retain(|id| self.jobs.contains_key(id));
            !ids.is_empty()
        });
    }
}

impl Job {
    fn let_go(&mut self, line: u64) {
        if let Some(held) = &mut self.held {
            held.let_go.get_or_insert(line);
        }
    }
}

impl World {
    /// Faults and claims without an answer since that job was asked for: each may have cost it a lease of which nobody
    /// heard.
    pub(crate) fn mishaps_since(&self, job: &Job) -> u64 {
        self.mishaps + self.open_claims - job.mishaps_before
    }
}

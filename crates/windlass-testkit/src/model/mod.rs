//! The reference: what `docs/contract.md` says, done in the plainest way.
//!
//! One map of jobs, scanned for everything; no index, no lane, no timer. It is written from the contract and shares no
//! rule with any engine; of the arithmetic that the contract fixes for all stores (retry delays, rates) it uses core's.
//! Each verb gives the answer that a store must give. Where the contract leaves a store free, the store's own answer is
//! asked for and must lie in what is allowed: that is [`freedom`], and nothing else.

mod drive;
mod freedom;

pub(crate) use drive::{act, run};

use std::collections::BTreeMap;
use windlass_core::bounds::{CANCEL_GRACE_MS, LOSSES_MAX};
use windlass_core::job::State::{
    self, Blocked, Cancelled, Completed, Dead, Ready, Retrying, Running, Scheduled,
};
use windlass_core::job::{OnConflict, OnParent, Parent, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{OnHeadDeath, QueueSettings};
use windlass_core::rate::Tat;
use windlass_core::store::{ClaimedJob, Edit, EnqueueStatus, ReleaseReason, Settle};
use windlass_core::{GroupKey, JobId, Lease, LeaseToken, LimitName, NewJob, QueueName, Rejection, Time};

/// The code of a rejection, without its text.
pub(crate) fn code(why: &Rejection) -> String {
    format!("{why:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// An answer: done, or refused with that code.
type Answer<T> = Result<T, &'static str>;

#[derive(Clone, Debug)]
pub(crate) struct Job {
    asked: NewJob,
    pub(crate) state: State,
    attempt: u32,
    failures: u32,
    losses: u32,
    snoozes: u32,
    /// The lease, while it runs.
    lease: Option<Lease>,
    /// When its grace is over, once it was asked to stop.
    grace_until: Option<Time>,
    /// Attempts that their holder ended, and how.
    settled: Vec<(LeaseToken, Ending)>,
    /// Whether the newest of them is the job's last attempt.
    last_settled: bool,
    /// Not before.
    due: Time,
    /// The steps in which it may have become ready: more than one after an edit.
    ready: (u64, u64),
    started: bool,
    /// Its unique key was given up for good.
    key_given_up: bool,
    /// A parent's end cancelled it.
    by_parent: bool,
    enqueued_at: Time,
}

/// How an attempt was ended; after a request to stop all but a completion are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Complete,
    Fail,
    Snooze,
    Release,
    Stopped,
}

#[derive(Debug)]
struct QueueModel {
    settings: QueueSettings,
    tat: Tat,
}

#[derive(Debug, Default)]
struct LimitModel {
    settings: LimitSettings,
    tat: Tat,
}

type Group = (QueueName, Option<GroupKey>);

/// The whole store.
#[derive(Debug, Default)]
pub(crate) struct Model {
    now: Time,
    /// Grows with each verb: what becomes ready in one step has no order.
    step: u64,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    /// Removed jobs and how they ended; none of those that were removed before.
    gone: BTreeMap<JobId, Option<State>>,
    queues: BTreeMap<QueueName, QueueModel>,
    group_tats: BTreeMap<Group, Tat>,
    limits: BTreeMap<LimitName, LimitModel>,
    /// Keys that removed jobs hold for a time: key, job, until.
    held_keys: Vec<(UniqueKey, JobId, Time)>,
    /// The line of each ordered group.
    lines: BTreeMap<Group, Vec<JobId>>,
    counter: u64,
}

impl Model {
    pub(crate) fn new(now: Time) -> Self {
        Self { now, ..Self::default() }
    }

    pub(crate) fn set_queue(&mut self, name: QueueName, settings: QueueSettings) {
        let tat = self.queues.get(&name).map_or(Tat::default(), |queue| queue.tat);
        self.queues.insert(name, QueueModel { settings, tat });
    }

    pub(crate) fn pause(&mut self, name: &QueueName, paused: bool) {
        self.queues.get_mut(name).expect("a queue that was set").settings.paused = paused;
    }

    pub(crate) fn set_limit(&mut self, name: LimitName, settings: LimitSettings) {
        self.limits.entry(name).or_default().settings = settings;
    }

    fn settings(&self, queue: &QueueName) -> &QueueSettings {
        &self.queues[queue].settings
    }

    fn ordered(&self, job: &Job) -> bool {
        self.settings(&job.asked.queue).groups.ordered
    }

    // ---- T1 ----

    pub(crate) fn enqueue(&mut self, new: &NewJob) -> Answer<(JobId, EnqueueStatus, Option<State>)> {
        self.step += 1;
        self.take_in(new, true)
    }

    fn take_in(&mut self, new: &NewJob, bounded: bool) -> Answer<(JobId, EnqueueStatus, Option<State>)> {
        let live = self.jobs.get(&new.id).map(|job| Some(job.state));
        if let Some(state) = live.or_else(|| self.gone.get(&new.id).copied()) {
            return Ok((new.id, EnqueueStatus::Known, state));
        }
        if let Some(holder) = self.holder_of(new) {
            return self.meet(holder, new);
        }
        if let Some((_, id, _)) = self.removed_holder_of(new) {
            let answers = new.unique.as_ref().is_some_and(|u| u.on_conflict == OnConflict::Existing);
            return if answers { Ok((*id, EnqueueStatus::Existing, None)) } else { Err("UniqueConflict") };
        }
        let waiting = |job: &&Job| job.asked.queue == new.queue && job.state.is_waiting();
        let waiting = self.jobs.values().filter(waiting).count() as u64;
        if bounded && self.settings(&new.queue).max_waiting.is_some_and(|most| waiting >= most) {
            return Err("QueueFull");
        }
        let unknown = |id| !self.jobs.contains_key(&id) && !self.gone.contains_key(&id);
        if new.parents.iter().any(|parent| unknown(parent.id) || self.is_forbidden_for_good(parent)) {
            return Err("BadParents");
        }
        let due = new.run_at.unwrap_or_else(|| self.now.plus_ms(new.delay_ms.unwrap_or(0)));
        let job = Job {
            asked: new.clone(),
            state: Blocked,
            attempt: 0,
            failures: 0,
            losses: 0,
            snoozes: 0,
            lease: None,
            grace_until: None,
            settled: Vec::new(),
            last_settled: false,
            due,
            ready: (0, 0),
            started: false,
            key_given_up: false,
            by_parent: false,
            enqueued_at: self.now,
        };
        self.jobs.insert(new.id, job);
        let parents = new.parents.iter();
        let ended = |parent: &&Parent| self.jobs.get(&parent.id).is_some_and(|job| job.state.is_terminal());
        if parents.filter(ended).any(|parent| !self.is_released(parent)) {
            self.forbid(new.id);
        } else if !self.must_wait(new.id) {
            self.let_go(new.id);
        }
        Ok((new.id, EnqueueStatus::Created, Some(self.jobs[&new.id].state)))
    }

    /// Whether a parent lets the child of that edge go; one that is removed does.
    fn is_released(&self, parent: &Parent) -> bool {
        self.jobs.get(&parent.id).is_none_or(|job| match parent.on {
            OnParent::Success => job.state == Completed,
            OnParent::Always => job.state.is_terminal(),
        })
    }

    fn is_forbidden_for_good(&self, parent: &Parent) -> bool {
        let ended = self.gone.get(&parent.id).copied().flatten();
        parent.on == OnParent::Success && matches!(ended, Some(Dead | Cancelled))
    }

    fn must_wait(&self, id: JobId) -> bool {
        self.jobs[&id].asked.parents.iter().any(|parent| !self.is_released(parent))
    }

    /// Rule c: who holds the key.
    fn holder_of(&self, new: &NewJob) -> Option<JobId> {
        let key = &new.unique.as_ref()?.key;
        let holds = |job: &Job| match &job.asked.unique {
            Some(unique) if unique.key == *key => match unique.scope {
                UniqueScope::WhileLive => !job.state.is_terminal(),
                UniqueScope::UntilStart => !job.state.is_terminal() && !job.key_given_up,
                UniqueScope::For { ttl_ms } => job.enqueued_at.plus_ms(ttl_ms) > self.now,
            },
            _ => false,
        };
        self.jobs.iter().find(|(_, job)| holds(job)).map(|(id, _)| *id)
    }

    fn removed_holder_of(&self, new: &NewJob) -> Option<&(UniqueKey, JobId, Time)> {
        let key = &new.unique.as_ref()?.key;
        self.held_keys.iter().find(|(held, _, until)| held == key && *until > self.now)
    }

    fn meet(&mut self, holder: JobId, new: &NewJob) -> Answer<(JobId, EnqueueStatus, Option<State>)> {
        let on_conflict = new.unique.as_ref().map(|unique| unique.on_conflict).unwrap_or_default();
        let at = self.now.plus_ms(new.delay_ms.unwrap_or(0));
        let changeable = self.jobs[&holder].state.is_waiting();
        let status = match on_conflict {
            OnConflict::Existing => EnqueueStatus::Existing,
            OnConflict::Refuse => return Err("UniqueConflict"),
            OnConflict::Replace | OnConflict::Reschedule if !changeable => return Err("UniqueConflict"),
            OnConflict::Replace => {
                self.job(holder).asked.payload.clone_from(&new.payload);
                EnqueueStatus::Replaced
            }
            OnConflict::Reschedule => {
                self.move_to(holder, at);
                EnqueueStatus::Rescheduled
            }
        };
        Ok((holder, status, Some(self.jobs[&holder].state)))
    }

    // ---- T3 ----

    /// Follows a claim's answer, which must be one that the contract allows.
    pub(crate) fn claim(&mut self, queue: &QueueName, n: u32, nonce: u64, answer: &[ClaimedJob]) {
        self.step += 1;
        assert!(answer.len() <= n as usize, "{} jobs for a claim of {n}", answer.len());
        for job in answer {
            self.must_be_next(queue, job.lease.job, answer);
            self.start(job, nonce);
        }
        if answer.len() < n as usize {
            self.must_be_empty(queue);
        }
    }

    fn start(&mut self, got: &ClaimedJob, nonce: u64) {
        let (id, now) = (got.lease.job, self.now);
        assert!(got.lease.token.counter > self.counter, "the counter only grows: {:?}", got.lease);
        assert_eq!(got.lease.token.nonce, nonce);
        self.counter = got.lease.token.counter;
        self.spend(id);
        let lease_ms = self.settings(&self.jobs[&id].asked.queue).lease_ms;
        let job = self.job(id);
        job.attempt += 1;
        let shown = (got.lease.attempt, got.failures, got.losses, got.snoozes, got.priority, &got.payload);
        let (asked, kept) = (&job.asked, (job.attempt, job.failures, job.losses, job.snoozes));
        let expected = (kept.0, kept.1, kept.2, kept.3, asked.priority, &asked.payload);
        assert_eq!(shown, expected, "what the worker gets of {id}");
        assert_eq!(got.lease.deadline, now.plus_ms(lease_ms));
        job.state = Running;
        job.lease = Some(got.lease);
        job.started = true;
        job.last_settled = false;
        job.key_given_up |= job.asked.unique.as_ref().is_some_and(|u| u.scope == UniqueScope::UntilStart);
    }

    // ---- T4 to T8 ----

    pub(crate) fn heartbeat(&mut self, lease: &Lease) -> Answer<bool> {
        self.step += 1;
        if !self.is_current(lease) {
            return Err("Stale");
        }
        let (now, id) = (self.now, lease.job);
        let lease_ms = self.settings(&self.jobs[&id].asked.queue).lease_ms;
        let job = self.job(id);
        job.lease.as_mut().expect("it is current").deadline = now.plus_ms(lease_ms);
        Ok(job.grace_until.is_some())
    }

    fn is_current(&self, lease: &Lease) -> bool {
        let held = self.jobs.get(&lease.job).and_then(|job| job.lease);
        held.is_some_and(|held| held.token == lease.token)
    }

    /// What the settlement must be answered; none where a store may remember an old acknowledgement or not.
    pub(crate) fn settle(&mut self, settle: &Settle) -> Option<Answer<()>> {
        self.step += 1;
        let lease = *settle.lease();
        let mut ending = match settle {
            Settle::Complete { .. } => Ending::Complete,
            Settle::Fail { .. } => Ending::Fail,
            Settle::Snooze { .. } => Ending::Snooze,
            Settle::Release { .. } => Ending::Release,
        };
        if !self.is_current(&lease) {
            return self.second_answer(&lease, ending);
        }
        let (id, now) = (lease.job, self.now);
        let stopped = self.jobs[&id].grace_until.is_some() && ending != Ending::Complete;
        if stopped {
            ending = Ending::Stopped;
        }
        let max_failures = self.settings(&self.jobs[&id].asked.queue).retry.clone();
        let job = self.job(id);
        job.settled.push((lease.token, ending));
        job.lease = None;
        match settle {
            Settle::Fail { .. } => job.failures += 1,
            Settle::Snooze { .. } if !stopped => job.snoozes += 1,
            _ => {}
        }
        let policy = job.asked.retry.clone().unwrap_or(max_failures);
        let failures = job.failures;
        match settle {
            _ if stopped => self.end(id, Cancelled),
            Settle::Complete { then, .. } => {
                self.end(id, Completed);
                for new in then {
                    self.take_in(new, false).expect("a follow-up that can be taken");
                }
            }
            Settle::Fail { fatal, .. } if *fatal || failures >= policy.max_failures() => self.end(id, Dead),
            Settle::Fail { retry_in_ms, .. } => {
                let delay = retry_in_ms.unwrap_or_else(|| policy.delay_ms(id, failures));
                self.wait(id, Retrying, now.plus_ms(delay));
            }
            Settle::Snooze { delay_ms, .. } => self.wait(id, Scheduled, now.plus_ms(*delay_ms)),
            Settle::Release { reason: ReleaseReason::NoHandler, .. } => {
                self.wait(id, Scheduled, Time::NEVER);
            }
            Settle::Release { .. } => self.make_ready(id),
        }
        // Children that this end let go do not touch the job itself.
        if let Some(job) = self.jobs.get_mut(&id) {
            job.last_settled = true;
        }
        Some(Ok(()))
    }

    /// Rule b.
    fn second_answer(&self, lease: &Lease, ending: Ending) -> Option<Answer<()>> {
        let Some(job) = self.jobs.get(&lease.job) else { return Some(Err("Stale")) };
        let same = |(token, by): &(LeaseToken, Ending)| {
            *token == lease.token && (*by == ending || (*by == Ending::Stopped && ending != Ending::Complete))
        };
        match job.settled.last() {
            Some(last) if job.last_settled && same(last) => Some(Ok(())),
            _ if job.settled.iter().any(same) => None,
            _ => Some(Err("Stale")),
        }
    }

    // ---- T9 to T14 ----

    pub(crate) fn cancel(&mut self, id: JobId) -> Answer<()> {
        self.step += 1;
        let until = self.now.plus_ms(CANCEL_GRACE_MS);
        match self.jobs.get_mut(&id) {
            None => Err("NotFound"),
            Some(job) => match job.state {
                Running => {
                    job.grace_until.get_or_insert(until);
                    Ok(())
                }
                Completed | Dead => Err("WrongState"),
                Cancelled => Ok(()),
                _ => {
                    self.end(id, Cancelled);
                    Ok(())
                }
            },
        }
    }

    pub(crate) fn retry(&mut self, id: JobId) -> Answer<()> {
        self.step += 1;
        let Some(job) = self.jobs.get(&id) else { return Err("NotFound") };
        if !job.state.is_terminal() {
            return Err("WrongState");
        }
        let asked = job.asked.clone();
        let taken = self.holder_of(&asked).is_some_and(|holder| holder != id);
        if !job.key_given_up && (taken || self.removed_holder_of(&asked).is_some()) {
            return Err("UniqueConflict");
        }
        let now = self.now;
        let job = self.job(id);
        (job.failures, job.losses, job.snoozes) = (0, 0, 0);
        (job.grace_until, job.by_parent) = (None, false);
        job.state = Blocked;
        // Whoever retries a job wants it run, however late it is.
        job.asked.expires_at = None;
        // One that waits for parents again waits for its own time too.
        if !self.must_wait(id) {
            self.job(id).due = now;
            self.make_ready(id);
        }
        // It revives the children that its end cancelled, if no other parent forbids them.
        for child in self.children(id) {
            let job = &self.jobs[&child];
            let forbids = |parent: &Parent| {
                let state = self.jobs.get(&parent.id).map(|job| job.state);
                self.is_forbidden_for_good(parent)
                    || (state.is_some_and(State::is_terminal) && !self.is_released(parent))
            };
            if job.state == Cancelled && job.by_parent && !job.asked.parents.iter().any(forbids) {
                // One whose key is taken meanwhile stays as it is.
                let _ = self.retry(child);
            }
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, id: JobId) -> Answer<()> {
        self.step += 1;
        let Some(job) = self.jobs.get(&id) else { return Err("NotFound") };
        if job.state == Running {
            return Err("WrongState");
        }
        if self.children(id).iter().any(|child| !self.jobs[child].state.is_terminal()) {
            return Err("HasLiveChildren");
        }
        let state = job.state;
        if let Some(unique) = &job.asked.unique
            && let UniqueScope::For { ttl_ms } = unique.scope
        {
            let held = (unique.key.clone(), id, job.enqueued_at.plus_ms(ttl_ms));
            self.held_keys.push(held);
        }
        self.leave_line(id);
        self.jobs.remove(&id);
        self.gone.insert(id, state.is_terminal().then_some(state));
        Ok(())
    }

    pub(crate) fn run_now(&mut self, id: JobId) -> Answer<()> {
        self.step += 1;
        match self.jobs.get(&id).map(|job| job.state) {
            None => Err("NotFound"),
            Some(Ready) => Ok(()),
            Some(Scheduled | Retrying) => {
                self.make_ready(id);
                Ok(())
            }
            Some(_) => Err("WrongState"),
        }
    }

    pub(crate) fn edit(&mut self, edit: &Edit) -> Answer<()> {
        self.step += 1;
        let (now, step) = (self.now, self.step);
        let Some(job) = self.jobs.get_mut(&edit.id) else { return Err("NotFound") };
        let payload_alone = edit.priority.is_none() && edit.run_at.is_none();
        let may = !job.state.is_terminal() || (payload_alone && matches!(job.state, Dead | Cancelled));
        if job.state == Running || !may {
            return Err("WrongState");
        }
        if let Some(payload) = &edit.payload {
            job.asked.payload.clone_from(payload);
        }
        if let Some(priority) = edit.priority {
            job.asked.priority = priority;
            job.ready.1 = step;
        }
        if let Some(at) = edit.run_at {
            self.move_to(edit.id, at.max(now));
        }
        Ok(())
    }

    /// Another time for a job that does not run.
    fn move_to(&mut self, id: JobId, at: Time) {
        let (now, job) = (self.now, self.job(id));
        job.due = at;
        match job.state {
            Blocked => {}
            Retrying if at > now => {}
            Ready if at <= now => job.ready.1 = u64::MAX,
            _ if at > now => job.state = Scheduled,
            _ => self.make_ready(id),
        }
    }

    // ---- the clock ----

    /// Time passes, and everything due happens, one after the other as it came due. What ends in this very millisecond
    /// may have ended or not.
    pub(crate) fn pass(&mut self, now: Time) {
        self.step += 1;
        self.now = now;
        let mut due: Vec<(Time, JobId)> = Vec::new();
        for (id, job) in &self.jobs {
            let times =
                [job.lease.map(|lease| lease.deadline), job.grace_until, Some(job.due), job.asked.expires_at];
            due.extend(times.into_iter().flatten().filter(|at| *at <= now).map(|at| (at, *id)));
        }
        due.sort();
        for (at, id) in due {
            let job = &self.jobs[&id];
            let is = |time: Option<Time>| time == Some(at);
            if job.state == Running && at < now && (is(job.lease.map(|l| l.deadline)) || is(job.grace_until))
            {
                self.lose(id);
            } else if matches!(job.state, Scheduled | Retrying) && job.due == at {
                self.make_ready(id);
            }
            let job = &self.jobs[&id];
            let unstarted = matches!(job.state, Scheduled | Ready | Blocked) && !job.started;
            if unstarted && is(job.asked.expires_at) {
                self.end(id, Cancelled);
            }
        }
    }

    /// T7 and the end of a grace.
    fn lose(&mut self, id: JobId) {
        let job = self.job(id);
        job.lease = None;
        job.last_settled = false;
        let stopped = job.grace_until.is_some();
        if !stopped {
            job.losses += 1;
        }
        let losses = job.losses;
        match stopped {
            true => self.end(id, Cancelled),
            false if losses >= LOSSES_MAX => self.end(id, Dead),
            false => self.wait(id, Retrying, Time::NEVER),
        }
    }

    /// What is compared with what a store shows.
    fn shown(&self) -> BTreeMap<JobId, drive::Shown> {
        let facts = |job: &Job| {
            let due = matches!(job.state, Scheduled | Retrying).then_some(job.due.0);
            let numbers = [job.attempt, job.failures, job.losses, job.snoozes];
            (job.state, job.asked.priority, numbers, due)
        };
        self.jobs.iter().map(|(id, job)| (*id, facts(job))).collect()
    }

    /// Rule f, for workers that live elsewhere.
    fn renew_leases(&mut self) {
        let now = self.now;
        let lease_ms: BTreeMap<QueueName, u64> =
            self.queues.iter().map(|(name, queue)| (name.clone(), queue.settings.lease_ms)).collect();
        for job in self.jobs.values_mut() {
            if let Some(lease) = &mut job.lease {
                lease.deadline = now.plus_ms(lease_ms[&job.asked.queue]);
            }
        }
    }

    /// Whether it is told what a parent of that id means: a job removed before its end is not.
    fn is_parent_for_sure(&self, id: JobId) -> bool {
        self.jobs.contains_key(&id) || self.gone.get(&id).is_some_and(Option::is_some)
    }

    // ---- how states change ----

    fn job(&mut self, id: JobId) -> &mut Job {
        self.jobs.get_mut(&id).expect("a known job")
    }

    fn wait(&mut self, id: JobId, state: State, due: Time) {
        let job = self.job(id);
        (job.state, job.due) = (state, due);
    }

    fn make_ready(&mut self, id: JobId) {
        let step = self.step;
        let job = self.job(id);
        job.state = Ready;
        job.ready = (step, step);
        let group = (job.asked.queue.clone(), job.asked.group.clone());
        if self.ordered(&self.jobs[&id]) {
            let line = self.lines.entry(group).or_default();
            if !line.contains(&id) {
                line.push(id);
            }
        }
    }

    /// Parents have let it go.
    fn let_go(&mut self, id: JobId) {
        if self.jobs[&id].due > self.now {
            self.job(id).state = Scheduled;
        } else {
            self.make_ready(id);
        }
    }

    fn leave_line(&mut self, id: JobId) {
        let job = &self.jobs[&id];
        if let Some(line) = self.lines.get_mut(&(job.asked.queue.clone(), job.asked.group.clone())) {
            line.retain(|at| *at != id);
        }
    }

    fn end(&mut self, id: JobId, state: State) {
        let job = self.job(id);
        (job.state, job.lease, job.grace_until) = (state, None, None);
        let groups = self.settings(&self.jobs[&id].asked.queue).groups;
        if state != Dead || groups.on_head_death == OnHeadDeath::Park {
            self.leave_line(id);
        }
        // T11, all the way down.
        for child in self.children(id) {
            let edge =
                *self.jobs[&child].asked.parents.iter().find(|parent| parent.id == id).expect("its child");
            match self.jobs[&child].state {
                Blocked if !self.is_released(&edge) => self.forbid(child),
                Blocked if !self.must_wait(child) => self.let_go(child),
                _ => {}
            }
        }
    }

    /// A parent's end cancels it.
    fn forbid(&mut self, id: JobId) {
        self.end(id, Cancelled);
        self.job(id).by_parent = true;
    }

    fn children(&self, id: JobId) -> Vec<JobId> {
        let names = |job: &Job| job.asked.parents.iter().any(|parent| parent.id == id);
        self.jobs.iter().filter(|(_, job)| names(job)).map(|(id, _)| *id).collect()
    }
}

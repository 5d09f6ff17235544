//! Where the contract leaves a store free, and within which bounds.
//!
//! - A claim may take any job that no rule puts behind another: see [`Model::must_be_next`]. Which group's turn it is
//!   (section 3.2) is left to the cases of fairness, whose bound speaks of whole intervals.
//! - What became ready in one step has no order.
//! - A job may be passed by a later one of its group while jobs of other groups wait for the same named limit: the slot
//!   that is free may be theirs.
//! - When a lost job, or one without a handler, is tried again is the store's choice within [`LATER_MS`].
//! - A lease or a grace that ends in this very millisecond may have ended or not.
//! - Failures and losses of a job that was asked to stop are not told by the contract.

use super::{Group, Job, Model};
use windlass_core::bounds::{NO_HANDLER_DELAY_MS_MAX, NO_HANDLER_DELAY_MS_MIN};
use windlass_core::job::JobView;
use windlass_core::job::State::{Cancelled, Ready, Retrying, Running, Scheduled};
use windlass_core::rate::{Rate, Tat};
use windlass_core::store::ClaimedJob;
use windlass_core::{JobId, QueueName, Time};

/// A lost job is tried again within an hour, as long as the default policy takes for all its tries.
const LATER_MS: u64 = 3_600_000;

impl Model {
    /// A claim gave this job: it may run, and no other that may run stands before it.
    pub(super) fn must_be_next(&self, queue: &QueueName, id: JobId, answer: &[ClaimedJob]) {
        let job = self.jobs.get(&id).unwrap_or_else(|| panic!("{id} was claimed and nobody knows it"));
        assert!(job.asked.queue == *queue && self.may_run(id), "{id} was claimed and may not run: {job:?}");
        for (other_id, other) in &self.jobs {
            if *other_id == id || other.asked.queue != *queue || !self.may_run(*other_id) {
                continue;
            }
            let (mine, theirs) = (job.asked.priority, other.asked.priority);
            assert!(theirs <= mine, "{id} of priority {mine} before {other_id} of priority {theirs}");
            let same_line = theirs == mine && other.asked.group == job.asked.group;
            let before = same_line && other.ready.1 < job.ready.0 && !self.is_contended(other);
            let all: Vec<JobId> = answer.iter().map(|job| job.lease.job).collect();
            assert!(
                !before,
                "{id} of {all:?} was claimed, {other_id} became ready earlier: {job:?} {other:?}"
            );
        }
    }

    /// Whether a job of another group waits for a limit that this one waits for: what is free of it may be promised.
    fn is_contended(&self, job: &Job) -> bool {
        let shares = |other: &Job| {
            other.asked.limits.iter().any(|l| job.asked.limits.iter().any(|m| l.name == m.name))
        };
        self.jobs
            .values()
            .any(|other| other.state == Ready && group_of(other) != group_of(job) && shares(other))
    }

    /// A claim could have had more: nothing may run.
    pub(super) fn must_be_empty(&self, queue: &QueueName) {
        let left = self.jobs.iter().find(|(id, job)| job.asked.queue == *queue && self.may_run(**id));
        assert!(left.is_none(), "the claim gave less than it asked for, but {left:?} may run");
    }

    /// Whether nothing holds the job back.
    fn may_run(&self, id: JobId) -> bool {
        let job = &self.jobs[&id];
        let queue = &self.queues[&job.asked.queue];
        if job.state != Ready || queue.settings.paused {
            return false;
        }
        if self.ordered(job) {
            let line = &self.lines[&group_of(job)];
            if line.first() != Some(&id) || self.running(&|other| group_of(other) == group_of(job)) > 0 {
                return false;
            }
        }
        let in_queue = self.running(&|other| other.asked.queue == job.asked.queue);
        let in_group = self.running(&|other| group_of(other) == group_of(job));
        let group_tat = self.group_tats.get(&group_of(job)).copied().unwrap_or_default();
        let groups = queue.settings.groups.limits;
        let fits = |most: Option<u32>, used: u64, cost: u32| {
            most.is_none_or(|most| used + u64::from(cost) <= u64::from(most))
        };
        let admits = |rate: Option<Rate>, tat: Tat, cost| {
            rate.is_none_or(|rate| rate.admit(tat, self.now, cost).is_ok())
        };
        fits(queue.settings.limits.concurrency, in_queue, 1)
            && admits(queue.settings.limits.rate, queue.tat, 1)
            && fits(groups.concurrency, in_group, 1)
            && admits(groups.rate, group_tat, 1)
            && job.asked.limits.iter().all(|taken| {
                let limit = &self.limits[&taken.name];
                fits(limit.settings.concurrency, self.in_use(taken.name.as_str()), taken.cost)
                    && admits(limit.settings.rate, limit.tat, taken.cost)
            })
    }

    fn running(&self, like: &dyn Fn(&Job) -> bool) -> u64 {
        self.jobs.values().filter(|job| job.state == Running && like(job)).count() as u64
    }

    /// The costs of running jobs on a named limit.
    pub(super) fn in_use(&self, name: &str) -> u64 {
        let running = self.jobs.values().filter(|job| job.state == Running);
        let costs = running.flat_map(|job| &job.asked.limits).filter(|taken| taken.name.as_str() == name);
        costs.map(|taken| u64::from(taken.cost)).sum()
    }

    /// Takes what a start takes from the rates.
    pub(super) fn spend(&mut self, id: JobId) {
        let now = self.now;
        let job = self.jobs[&id].clone();
        let take = |tat: &mut Tat, rate: Option<Rate>, cost| {
            if let Some(rate) = rate {
                *tat = rate.admit(*tat, now, cost).expect("it was admitted");
            }
        };
        let queue = self.queues.get_mut(&job.asked.queue).expect("a queue that was set");
        take(&mut queue.tat, queue.settings.limits.rate, 1);
        let group_rate = queue.settings.groups.limits.rate;
        take(self.group_tats.entry(group_of(&job)).or_default(), group_rate, 1);
        for taken in &job.asked.limits {
            let limit = self.limits.get_mut(&taken.name).expect("a limit that was set");
            take(&mut limit.tat, limit.settings.rate, taken.cost);
        }
    }

    /// Takes over what was the store's choice, if it lies within its bounds.
    pub(super) fn adopt(&mut self, seen: &JobView) {
        let now = self.now;
        let Some(job) = self.jobs.get(&seen.id) else { return };
        let ends_now = job.lease.is_some_and(|lease| lease.deadline == now) || job.grace_until == Some(now);
        if job.state == Running && seen.state != Running && ends_now {
            self.lose(seen.id);
        }
        let job = self.jobs.get_mut(&seen.id).expect("looked up above");
        if (job.due, job.state, seen.state) == (Time::NEVER, Retrying, Ready) {
            self.make_ready(seen.id);
            return;
        }
        if job.due == Time::NEVER && matches!(seen.state, Scheduled | Retrying) {
            let later = seen.since.since(now);
            let allowed = match job.state {
                Scheduled => NO_HANDLER_DELAY_MS_MIN..=NO_HANDLER_DELAY_MS_MAX,
                _ => 0..=LATER_MS,
            };
            assert!(allowed.contains(&later), "{} comes back in {later} ms, not within {allowed:?}", seen.id);
            job.due = seen.since;
        }
        if job.state == Cancelled && seen.state == Cancelled {
            (job.failures, job.losses) = (seen.failures, seen.losses);
        }
    }
}

fn group_of(job: &Job) -> Group {
    (job.asked.queue.clone(), job.asked.group.clone())
}

//! T1: jobs are taken in.

use super::Core;
use crate::fact::{Fact, JobFact, Origin, Ref};
use crate::machine::extra::Options;
use hashbrown::{HashMap, HashSet};
use windlass_core::flow::{cycle_members, parents_first};
use windlass_core::job::{OnConflict, Unique};
use windlass_core::store::{EnqueueStatus, Enqueued};
use windlass_core::{JobId, NewJob, QueueName, Rejection, State, Time};

/// When to try again at the latest when a queue is full and its rate of work is unknown.
const FULL_RETRY_MS_MAX: u64 = 60_000;

/// What an all-or-nothing batch has promised so far, while nothing is written yet.
#[derive(Default)]
struct Promised {
    ids: HashSet<u128>,
    keys: HashSet<String>,
    waiting: HashMap<QueueName, u64>,
}

/// What an enqueue comes to.
enum Plan {
    New,
    Known(Enqueued),
    Replace(u32),
    Reschedule(u32),
}

impl Core {
    /// One answer per job, in order.
    pub(crate) fn enqueue(
        &mut self,
        jobs: &[NewJob],
        all_or_nothing: bool,
    ) -> Vec<Result<Enqueued, Rejection>> {
        self.machine.warm(jobs.iter().map(|job| job.id.0));
        let order = match parents_first(jobs) {
            Some(order) => order,
            None => {
                return self.enqueue_each(jobs, &(0..jobs.len()).collect::<Vec<_>>(), all_or_nothing, true);
            }
        };
        self.enqueue_each(jobs, &order, all_or_nothing, false)
    }

    fn enqueue_each(
        &mut self,
        jobs: &[NewJob],
        order: &[usize],
        all_or_nothing: bool,
        has_cycle: bool,
    ) -> Vec<Result<Enqueued, Rejection>> {
        let in_cycle = if has_cycle { cycle_members(jobs) } else { Default::default() };
        let cycle = |job: &NewJob| {
            in_cycle.contains(&job.id).then(|| Rejection::BadParents {
                why: format!("job {} waits for itself through its parents", job.id),
            })
        };
        if all_or_nothing {
            let mut promised = Promised::default();
            let checks: Vec<_> = order
                .iter()
                .map(|i| match cycle(&jobs[*i]) {
                    Some(why) => Err(why),
                    None => self.check(&jobs[*i], Some(&mut promised), true).map(|_| ()),
                })
                .collect();
            if checks.iter().any(Result::is_err) {
                let mut answers = vec![Err(Rejection::BatchRefused); jobs.len()];
                for (i, check) in order.iter().zip(checks) {
                    if let Err(why) = check {
                        answers[*i] = Err(why);
                    }
                }
                return answers;
            }
        }
        let mut answers = vec![Err(Rejection::BatchRefused); jobs.len()];
        for i in order {
            answers[*i] = match cycle(&jobs[*i]) {
                Some(why) => Err(why),
                None => self.take_in(&jobs[*i], true),
            };
        }
        answers
    }

    /// The order in which the follow-ups of a completion come in, parents first; all of them may, or
    /// the completion is refused with the first reason. One that meets a held unique key is no reason:
    /// its work is there already.
    pub(crate) fn follow_ups_in_order(&self, then: &[NewJob]) -> Result<Vec<usize>, Rejection> {
        let Some(order) = parents_first(then) else {
            return Err(Rejection::BadParents {
                why: "the follow-ups wait for each other in a cycle".into(),
            });
        };
        let mut promised = Promised::default();
        for i in &order {
            match self.check(&then[*i], Some(&mut promised), false) {
                Ok(_) | Err(Rejection::UniqueConflict { .. }) => {}
                Err(why) => return Err(why),
            }
            // A key twice among them is answered with its holder, as in any other batch.
            promised.keys.clear();
            promised.ids.insert(then[*i].id.0);
        }
        Ok(order)
    }

    /// Takes one job in. Follow-ups of a completion are not held back by `max_waiting`: work that is
    /// under way must be able to finish.
    pub(crate) fn take_in(&mut self, job: &NewJob, bounded: bool) -> Result<Enqueued, Rejection> {
        match self.check(job, None, bounded)? {
            Plan::Known(answer) => Ok(answer),
            Plan::New => self.create(job),
            Plan::Replace(at) => {
                self.rewrite(at, Origin::Conflicted, Some(&job.payload), None, None)?;
                Ok(self.answer(at, EnqueueStatus::Replaced))
            }
            Plan::Reschedule(at) => {
                let due = self.due_of(job).unwrap_or(self.machine.now.wall);
                self.rewrite(at, Origin::Conflicted, None, None, Some(due))?;
                Ok(self.answer(at, EnqueueStatus::Rescheduled))
            }
        }
    }

    fn answer(&self, at: u32, status: EnqueueStatus) -> Enqueued {
        let slot = self.machine.slots.at(at);
        Enqueued { id: JobId(slot.id), status, state: slot.state() }
    }

    /// Whether the job may come in, and as what. Changes nothing.
    fn check(&self, job: &NewJob, promised: Option<&mut Promised>, bounded: bool) -> Result<Plan, Rejection> {
        let now = Time(self.machine.now.wall);
        job.validate(now)?;
        if job.id.0 == 0 {
            return Err(Rejection::Invalid { what: "id", why: "must not be nil".into() });
        }
        if let Some(at) = self.machine.find(job.id) {
            return Ok(Plan::Known(self.answer(at, EnqueueStatus::Known)));
        }
        if let Some(state) = self.machine.remembered.find(job.id.0, now.0) {
            return Ok(Plan::Known(Enqueued { id: job.id, status: EnqueueStatus::Known, state }));
        }
        if self.space_low && bounded {
            return Err(Rejection::OutOfSpace);
        }
        if let Some(unique) = &job.unique {
            if let Some(promised) = &promised
                && promised.keys.contains(unique.key.as_str())
            {
                return Err(Rejection::Invalid {
                    what: "unique key",
                    why: format!("{} stands twice in an all-or-nothing batch", unique.key),
                });
            }
            if let Some(plan) = self.conflict(unique)? {
                return Ok(plan);
            }
        }
        self.check_queue(job, promised.as_deref(), bounded)?;
        self.check_limits(job)?;
        for parent in &job.parents {
            let known = self.machine.find(parent.id).is_some()
                || promised.as_ref().is_some_and(|p| p.ids.contains(&parent.id.0))
                || self.machine.remembered.find(parent.id.0, now.0).is_some();
            if !known || parent.id == job.id {
                let why = format!("job {} is unknown; parents exist or are in the same batch", parent.id);
                return Err(Rejection::BadParents { why });
            }
            let gone = self.machine.find(parent.id).is_none();
            if gone
                && parent.on == windlass_core::job::OnParent::Success
                && matches!(
                    self.machine.remembered.find(parent.id.0, now.0),
                    Some(State::Dead | State::Cancelled)
                )
            {
                let why = format!("job {} has ended without completing and is gone", parent.id);
                return Err(Rejection::BadParents { why });
            }
        }
        if let Some(promised) = promised {
            promised.ids.insert(job.id.0);
            *promised.waiting.entry(job.queue.clone()).or_default() += 1;
            if let Some(unique) = &job.unique {
                promised.keys.insert(unique.key.as_str().to_owned());
            }
        }
        Ok(Plan::New)
    }

    fn conflict(&self, unique: &Unique) -> Result<Option<Plan>, Rejection> {
        let Some(holder) = self.machine.unique.get(unique.key.as_str(), self.machine.now.wall) else {
            return Ok(None);
        };
        let id = JobId(holder.id);
        let refuse = Err(Rejection::UniqueConflict { holder: id });
        let Some(at) = self.machine.find(id) else {
            // A deleted holder answers by its id only.
            let state =
                self.machine.remembered.find(holder.id, self.machine.now.wall).unwrap_or(State::Completed);
            let answer = Enqueued { id, status: EnqueueStatus::Existing, state };
            return if unique.on_conflict == OnConflict::Existing {
                Ok(Some(Plan::Known(answer)))
            } else {
                refuse
            };
        };
        let changeable = self.machine.slots.at(at).state().is_waiting();
        match unique.on_conflict {
            OnConflict::Existing => Ok(Some(Plan::Known(self.answer(at, EnqueueStatus::Existing)))),
            OnConflict::Replace if changeable => Ok(Some(Plan::Replace(at))),
            OnConflict::Reschedule if changeable => Ok(Some(Plan::Reschedule(at))),
            OnConflict::Replace | OnConflict::Reschedule | OnConflict::Refuse => refuse,
        }
    }

    fn check_queue(&self, job: &NewJob, promised: Option<&Promised>, bounded: bool) -> Result<(), Rejection> {
        let ordered = match self.machine.queue_number(&job.queue) {
            None => false,
            Some(number) => {
                let queue = &self.machine.queues[usize::from(number)];
                if let Some(most) = queue.settings.max_waiting.filter(|_| bounded) {
                    let more = promised.and_then(|p| p.waiting.get(&job.queue)).copied().unwrap_or(0);
                    if queue.counts.waiting() + more >= most {
                        let retry_after_ms = self.room_in_ms(number);
                        return Err(Rejection::QueueFull { queue: job.queue.to_string(), retry_after_ms });
                    }
                }
                match queue.groups.get(job.group.as_ref().map_or("", |g| g.as_str())) {
                    Some(group) => self.machine.groups[*group].places.is_some(),
                    None => queue.settings.groups.ordered,
                }
            }
        };
        if ordered && job.priority != 0 {
            let why = "must be 0 in an ordered group: its order is that of becoming ready".into();
            return Err(Rejection::Invalid { what: "priority", why });
        }
        Ok(())
    }

    /// When a full queue may have room for one more, from its last minute of work.
    fn room_in_ms(&self, queue: u16) -> u64 {
        let per_minute =
            self.machine.queues[usize::from(queue)].tally.completed.last_minute(self.machine.now.wall);
        (60_000 / per_minute.max(1)).clamp(1, FULL_RETRY_MS_MAX)
    }

    fn check_limits(&self, job: &NewJob) -> Result<(), Rejection> {
        for limit in &job.limits {
            let Some(number) = self.machine.limit_numbers.get(&limit.name) else { continue };
            let most = self.machine.limits[*number].settings.most();
            if limit.cost > most {
                return Err(Rejection::CostTooHigh { limit: limit.name.to_string(), cost: limit.cost, most });
            }
        }
        Ok(())
    }

    fn due_of(&self, job: &NewJob) -> Option<u64> {
        let now = self.machine.now.wall;
        let due = match (job.run_at, job.delay_ms) {
            (Some(at), _) => at.0,
            (None, Some(ms)) => now.saturating_add(ms),
            (None, None) => return None,
        };
        (due > now).then_some(due)
    }

    fn create(&mut self, job: &NewJob) -> Result<Enqueued, Rejection> {
        let queue = self.queue_for(&job.queue)?;
        let kind = self.kind_for(&job.kind)?;
        let now = self.machine.now.wall;
        let due = self.due_of(job);
        let edges: Vec<(u128, _)> = job.parents.iter().map(|p| (p.id.0, p.on)).collect();
        let waits = !edges.is_empty() && self.machine.must_wait(&edges);
        let (state, when) = match due {
            _ if waits => (State::Blocked, now),
            Some(due) => (State::Scheduled, due),
            None => (State::Ready, now),
        };
        let seq = if state == State::Ready { self.machine.take_seq() } else { 0 };
        let options = Options {
            retry: job.retry.clone(),
            unique: job.unique.clone(),
            limits: job.limits.clone(),
            parents: job.parents.clone(),
            tags: job.tags.clone(),
            expires_at: job.expires_at.map(|at| at.0),
            timeout_ms: job.timeout_ms,
            trace: job.trace.clone(),
            due: due.filter(|_| waits),
        };
        let bytes = if options == Options::default() {
            Vec::new()
        } else {
            serde_json::to_vec(&options).expect("our own plain structs always serialise")
        };
        let group = job.group.as_ref().map_or("", |g| g.as_str());
        let fact = JobFact {
            origin: Origin::Enqueued,
            job: Ref { id: job.id.0, queue, kind, group, attempt: 0 },
            state: state as u8,
            priority: job.priority,
            enqueued_at: now,
            when,
            seq,
            dynamic: &[],
            options: &bytes,
            payload: &job.payload,
        };
        let (place, len) = self.write(&Fact::Job(fact));
        self.out.dirty = true;
        self.machine
            .apply_job(&fact, options, None, place, len)
            .expect("a fact just decided from this state applies to it");
        if waits {
            // A parent that ended in the meantime of this very batch may forbid the job at once.
            let at = self.known(job.id)?;
            self.judge_blocked(at);
        }
        let at = self.known(job.id)?;
        Ok(self.answer(at, EnqueueStatus::Created))
    }

    /// A blocked job whose parents have already ended in a way that forbids it is cancelled now.
    fn judge_blocked(&mut self, at: u32) {
        let parents = self.machine.extra(at).map(|extra| extra.parents.clone()).unwrap_or_default();
        let id = self.machine.slots.at(at).id;
        for (parent, _) in parents {
            let Some(parent) = self.machine.find(JobId(parent)) else { continue };
            if self.machine.slots.at(parent).state().is_terminal() {
                self.release_child(parent, id);
            }
        }
    }
}

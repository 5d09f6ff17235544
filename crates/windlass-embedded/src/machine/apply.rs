//! Facts applied: the only place where a job's state changes, for live traffic and replay alike.

use super::extra::{Ack, AckOutcome, Dynamic, Kept, Options, Settled, What};
use super::lanes::{List, Queue};
use super::retention::Gone;
use super::slots::{NONE, Slot, flag};
use super::timers::Timer;
use super::unique::Holder;
use super::{Machine, ReaderPlace};
use crate::fact::{Fact, Held, JobFact, Origin, ReaderFact, Ref};
use crate::journal::Position;
use windlass_core::bounds::ERROR_HISTORY_MAX;
use windlass_core::event::{Cause, Cursor};
use windlass_core::fair::VirtualTime;
use windlass_core::job::{ErrorReport, UniqueScope};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::rate::{Rate, Tat};
use windlass_core::{JobId, Kind, QueueName, State, Time};

/// Whether the fact is a new job that names no other: applying it looks for none.
fn is_plain_enqueue(job: &JobFact<'_>) -> bool {
    job.origin == Origin::Enqueued && job.options.is_empty()
}

impl Machine {
    /// Applies a fact that stands at `place` with `len` bytes. Facts about jobs that the machine does
    /// not know (their records were reclaimed, or come later as copies) change only totals.
    ///
    /// # Errors
    /// What is wrong with a fact that cannot be: replay refuses the journal with it.
    pub(crate) fn apply(&mut self, fact: &Fact<'_>, place: Position, len: u32) -> Result<(), String> {
        if self.replaying && !matches!(fact, Fact::Job(job) if is_plain_enqueue(job)) {
            self.index.catch_up(&self.slots);
        }
        match *fact {
            Fact::Tick { wall, store } => {
                self.now.wall = wall;
                self.now.store = self.now.store.max(store);
            }
            Fact::Epoch { epoch } => {
                self.epoch = self.epoch.max(epoch);
                self.next_counter = self.next_counter.max(epoch << super::super::decide::EPOCH_SHIFT);
            }
            Fact::Queue { number, name } => self.define_queue(number, parse(QueueName::new(name))?)?,
            Fact::Kind { number, name } => self.define_kind(number, parse(Kind::new(name))?)?,
            Fact::Job(ref job) => {
                let options = if job.options.is_empty() { Options::default() } else { json(job.options)? };
                let dynamic = if job.dynamic.is_empty() { None } else { Some(json(job.dynamic)?) };
                self.apply_job(job, options, dynamic, place, len)?;
            }
            Fact::Promoted { job, seq, .. } | Fact::Unblocked { job, seq } if seq != 0 => {
                self.next_seq = self.next_seq.max(seq + 1);
                if let Some(at) = self.find(JobId(job.id)) {
                    self.make_ready(at, seq);
                }
            }
            Fact::Promoted { .. } => {}
            Fact::Unblocked { job, .. } => {
                if let Some(at) = self.find(JobId(job.id)) {
                    let due = self.extra(at).and_then(|extra| extra.due).unwrap_or(self.now.wall);
                    self.move_to(at, State::Scheduled, due);
                }
            }
            Fact::Claimed { job, held, deadline } => {
                self.check_queue(job.queue)?;
                match self.find(JobId(job.id)) {
                    Some(at) => self.apply_claimed(at, held, deadline),
                    None => {
                        self.next_counter = self.next_counter.max(held.counter + 1);
                        self.tally(job.queue).totals.claimed += 1;
                    }
                }
            }
            Fact::Completed { job, held, result: _ } => {
                self.tally_end(job, held)?;
                let wall = self.now.wall;
                let tally = self.tally(job.queue);
                tally.totals.completed += 1;
                tally.completed.add(wall);
                if let Some(at) = self.find(JobId(job.id)) {
                    self.apply_completed(at, held, place, len);
                }
            }
            Fact::Failed { job, held, dead, cause, retry_at, error } => {
                self.tally_end(job, held)?;
                let error: ErrorReport = json(error)?;
                self.apply_failed(job, held, dead, cause, retry_at, Some(&error), place, len);
            }
            Fact::Lost { job, held, dead, cause, retry_at } => {
                self.tally_end(job, held)?;
                self.apply_failed(job, held, dead, cause, retry_at, None, place, len);
            }
            Fact::Snoozed { job, held, until, cause: _, reason } => {
                self.tally_end(job, held)?;
                self.tally(job.queue).totals.snoozed += 1;
                if let Some(at) = self.find(JobId(job.id)) {
                    self.settle(at, held, AckOutcome::Snoozed);
                    let extra = self.extra_mut(at);
                    extra.snoozes += 1;
                    extra.reason = Some(reason.into());
                    self.move_to(at, State::Scheduled, until);
                    self.slots.at_mut(at).set(flag::SNOOZED, true);
                }
            }
            Fact::Released { job, held, until, seq, cause } => {
                self.tally_end(job, held)?;
                self.tally(job.queue).totals.released += 1;
                if cause == Cause::NoHandler {
                    self.tally(job.queue).totals.no_handler += 1;
                }
                self.next_seq = self.next_seq.max(seq + 1);
                if let Some(at) = self.find(JobId(job.id)) {
                    self.settle(at, held, AckOutcome::Released);
                    if cause == Cause::NoHandler {
                        self.extra_mut(at).no_handler += 1;
                    }
                    if until != 0 {
                        self.move_to(at, State::Scheduled, until);
                        self.slots.at_mut(at).set(flag::NO_HANDLER, cause == Cause::NoHandler);
                    } else {
                        self.make_ready(at, seq);
                    }
                }
            }
            Fact::Cancelled { job, cause } => {
                self.check_queue(job.queue)?;
                self.tally(job.queue).totals.cancelled += 1;
                if let Some(at) = self.find(JobId(job.id)) {
                    if self.slots.at(at).state() == State::Running {
                        if cause == Cause::Requested {
                            let held = self.held(at);
                            self.settle(at, held, AckOutcome::Cancelled);
                        } else {
                            // The store ended it, not its holder, who is stale from now on.
                            self.extra_mut(at).ack = None;
                        }
                    }
                    if cause != Cause::Requested {
                        self.extra_mut(at).cause = cause;
                    }
                    let wall = self.now.wall;
                    self.move_to(at, State::Cancelled, wall);
                }
            }
            Fact::CancelRequested { job } => {
                if let Some(at) = self.find(JobId(job.id))
                    && self.slots.at(at).state() == State::Running
                {
                    self.slots.at_mut(at).set(flag::CANCEL, true);
                    let (lease, now) = (self.slots.at(at).aux, self.now.store);
                    let grace = now + windlass_core::bounds::CANCEL_GRACE_MS;
                    self.leases[lease].grace_until = grace;
                    self.move_lease_timer(lease, grace.min(self.leases[lease].deadline));
                }
            }
            Fact::Retried { job, seq } => {
                self.next_seq = self.next_seq.max(seq + 1);
                if let Some(at) = self.find(JobId(job.id)) {
                    self.apply_retried(at, seq);
                }
            }
            Fact::Removed { job, state, cause: _ } => {
                if let Some(at) = self.find(JobId(job.id)) {
                    self.wake_retention(at);
                    self.remove_job(at);
                }
                let state = State::from_number(state).ok_or("unknown state")?;
                self.remembered.push(Gone { id: job.id, at: self.now.wall, state, segment: place.segment });
            }
            Fact::Remembered { id, state, at } => {
                let state = State::from_number(state).ok_or("unknown state")?;
                if self.remembered.find(id, self.now.wall).is_none() {
                    self.remembered.push(Gone { id, at, state, segment: place.segment });
                }
            }
            Fact::Log { job, text } => self.keep(job, What::Log, place, len, text.len() as u32),
            Fact::Checkpoint { job, .. } => self.keep(job, What::Checkpoint, place, len, 0),
            Fact::Progress { job, .. } => self.keep(job, What::Progress, place, len, 0),
            Fact::Kept { id, segment, offset, fact } => {
                let inner =
                    Position { segment: place.segment, offset: place.offset + (len - fact.len() as u32) };
                self.move_kept(id, Position { segment, offset }, inner);
            }
            Fact::SetQueue { queue, settings } => {
                self.check_queue(queue)?;
                self.apply_queue_settings(queue, json(settings)?);
            }
            Fact::SetGroup { queue, group, settings } => {
                self.check_queue(queue)?;
                let at = self.group_for(queue, group);
                let own: Option<GroupSettings> =
                    if settings.is_empty() { None } else { Some(json(settings)?) };
                self.apply_group_settings(at, own);
            }
            Fact::SetLimit { name, settings } => {
                let at = self.limit_for(&parse(windlass_core::LimitName::new(name))?);
                let limit = &mut self.limits[at];
                limit.is_set = !settings.is_empty();
                limit.settings = if settings.is_empty() { Default::default() } else { json(settings)? };
                limit.hold_until = 0;
                limit.tat = rebased(limit.tat, limit.settings.rate, self.now.store);
                if settings.is_empty() {
                    self.wake_limit(at);
                    self.forget_limit(at);
                } else {
                    self.wake_limit(at);
                }
            }
            Fact::Held { what, queue, name, until } => self.apply_hold(what, queue, name, until)?,
            Fact::SetSchedule { name, spec } => {
                if spec.is_empty() {
                    self.schedules.remove(&parse(windlass_core::ScheduleName::new(name))?);
                } else {
                    self.schedules.set(json(spec)?, Time(self.now.wall))?;
                }
            }
            Fact::Ticked { name, tick, job, skipped } => {
                let name = parse(windlass_core::ScheduleName::new(name))?;
                self.schedules.ticked(&name, Time(tick), (job != 0).then_some(JobId(job)), skipped);
            }
            Fact::Reader { name, place, index, what } => {
                let keeps_from = match what {
                    ReaderFact::Gone => {
                        self.readers.remove(name);
                        return Ok(());
                    }
                    ReaderFact::Reads => None,
                    ReaderFact::KeepsFrom(at) => Some(at),
                };
                let cursor = Cursor { place, index };
                self.readers.insert(name.to_owned(), ReaderPlace { cursor, keeps_from });
            }
            Fact::Meta { key, version, value } => {
                self.meta.insert(key.to_owned(), (version, value.to_vec()));
            }
            Fact::GivenBack { through } => self.given_back = self.given_back.max(Some(through)),
            Fact::Snapshot { state } => {
                if self.replaying {
                    self.load_snapshot(state)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check_queue(&self, queue: u16) -> Result<(), String> {
        if usize::from(queue) < self.queues.len() {
            Ok(())
        } else {
            Err(format!("queue number {queue} is unknown"))
        }
    }

    pub(crate) fn define_queue(&mut self, number: u16, name: QueueName) -> Result<(), String> {
        match usize::from(number).cmp(&self.queues.len()) {
            std::cmp::Ordering::Equal => {
                self.queue_numbers.insert(name.clone(), number);
                self.queues.push(Queue::new(name));
                Ok(())
            }
            std::cmp::Ordering::Less if self.queues[usize::from(number)].name == name => Ok(()),
            _ => Err(format!("queue {name} cannot have number {number}")),
        }
    }

    pub(crate) fn define_kind(&mut self, number: u16, name: Kind) -> Result<(), String> {
        match usize::from(number).cmp(&self.kinds.len()) {
            std::cmp::Ordering::Equal => {
                self.kind_numbers.insert(name.clone(), number);
                self.kinds.push(name);
                Ok(())
            }
            std::cmp::Ordering::Less if self.kinds[usize::from(number)] == name => Ok(()),
            _ => Err(format!("kind {name} cannot have number {number}")),
        }
    }

    /// A whole job: a new one, one that was edited, or a copy of one whose old record goes away.
    pub(crate) fn apply_job(
        &mut self,
        fact: &JobFact<'_>,
        options: Options,
        dynamic: Option<Dynamic>,
        place: Position,
        len: u32,
    ) -> Result<(), String> {
        self.check_queue(fact.job.queue)?;
        if usize::from(fact.job.kind) >= self.kinds.len() {
            return Err(format!("kind number {} is unknown", fact.job.kind));
        }
        let state = State::from_number(fact.state).ok_or("unknown state")?;
        self.next_seq = self.next_seq.max(fact.seq + 1);
        if fact.origin == Origin::Enqueued {
            let wall = self.now.wall;
            let tally = self.tally(fact.job.queue);
            tally.totals.enqueued += 1;
            tally.enqueued.add(wall);
        }
        // An enqueue is the first that is ever told of a job: nobody needs to look for it.
        debug_assert!(
            fact.origin != Origin::Enqueued || self.replaying || self.find(JobId(fact.job.id)).is_none(),
            "a job is enqueued once"
        );
        let known = if fact.origin == Origin::Enqueued { None } else { self.find(JobId(fact.job.id)) };
        if let Some(at) = known {
            let old = *self.slots.at(at);
            self.unneed(old.place(), old.len());
            self.need(place, len);
            self.slots.at_mut(at).put(place, len);
            if matches!(fact.origin, Origin::Edited | Origin::Conflicted) {
                if state == State::Blocked {
                    self.extra_mut(at).due = options.due;
                }
                self.apply_edit(at, fact, state);
            }
            return Ok(());
        }
        let group = self.group_for(fact.job.queue, fact.job.group);
        let set = self.limit_set_for(&options.limits);
        let lane = self.lane_for(group, fact.priority, set);
        self.lanes[lane].refs += 1;
        // Until its lease exists a copied running job must not look like one: `aux` would name the lease, not the extra.
        let until_attached = if state == State::Running { State::Ready } else { state };
        let mut slot = Slot::new(fact.job.id, until_attached, fact.job.kind, lane);
        slot.seq = fact.seq;
        slot.when = fact.when;
        slot.put(place, len);
        let at = self.slots.insert(slot, fact.job.queue);
        if self.replaying && is_plain_enqueue(fact) {
            self.index.insert_late(&self.slots, fact.job.id, at);
        } else {
            self.index.insert(&self.slots, fact.job.id, at);
        }
        self.need(place, len);
        if fact.job.attempt > 0 {
            self.set_attempt(at, fact.job.attempt);
        }
        self.take_options(at, &options, fact.enqueued_at, dynamic.as_ref());
        if let Some(dynamic) = &dynamic {
            self.take_dynamic(at, dynamic, state);
        }
        if !options.parents.is_empty() {
            self.know_parents(at);
        }
        self.slots.set_state(at, state);
        self.count(at, 1);
        self.attach(at, state, dynamic.as_ref());
        Ok(())
    }

    /// Keeps in memory what the engine decides by.
    fn take_options(&mut self, at: u32, options: &Options, enqueued_at: u64, dynamic: Option<&Dynamic>) {
        let id = self.slots.at(at).id;
        if let Some(unique) = &options.unique
            && !dynamic.is_some_and(|d| d.unique_given_up)
        {
            let until = match unique.scope {
                UniqueScope::For { ttl_ms } => enqueued_at.saturating_add(ttl_ms),
                _ => 0,
            };
            let live = !self.slots.at(at).state().is_terminal();
            if live || until > self.now.wall {
                self.unique.take(unique.key.as_str(), Holder { id, until });
            }
            self.extra_mut(at).unique = Some(unique.clone());
        }
        if options.retry.is_some() {
            self.extra_mut(at).retry.clone_from(&options.retry);
        }
        if let Some(due) = options.due {
            self.extra_mut(at).due = Some(due);
        }
        if !options.parents.is_empty() {
            self.extra_mut(at).parents = options.parents.iter().map(|p| (p.id.0, p.on)).collect();
        }
        if let Some(expires_at) = options.expires_at {
            self.extra_mut(at).expires_at = Some(expires_at);
            // One that somebody retried is to run, however late it is.
            let retried = dynamic.is_some_and(|d| d.generation > 0);
            if self.attempt(at) == 0 && !retried && !self.slots.at(at).state().is_terminal() {
                self.timers.wall.insert((expires_at, Timer::Expiry(at)));
            }
        }
    }

    fn take_dynamic(&mut self, at: u32, dynamic: &Dynamic, state: State) {
        for kept in &dynamic.kept {
            self.need(kept.place(), kept.len);
        }
        let extra = self.extra_mut(at);
        extra.failures = dynamic.failures;
        extra.losses = dynamic.losses;
        extra.snoozes = dynamic.snoozes;
        extra.no_handler = dynamic.no_handler;
        extra.generation = dynamic.generation;
        extra.cause = Cause::from_number(dynamic.cause);
        extra.fingerprint = dynamic.fingerprint;
        extra.last_error = dynamic.last_error.as_deref().map(Into::into);
        extra.reason = dynamic.reason.as_deref().map(Into::into);
        extra.kept.clone_from(&dynamic.kept);
        extra.ack = dynamic.ack;
        extra.log_bytes = dynamic.log_bytes;
        let slot = self.slots.at_mut(at);
        slot.set(flag::SNOOZED, dynamic.snoozed && state == State::Scheduled);
        slot.set(flag::CANCEL, dynamic.cancel_requested && state == State::Running);
    }

    /// Takes one job up into the structures of its state.
    fn attach(&mut self, at: u32, state: State, dynamic: Option<&Dynamic>) {
        match state {
            State::Scheduled | State::Retrying => {
                let due = self.slots.at(at).when;
                self.timers.wall.insert((due, Timer::Due(at)));
                if self.is_ordered(at) && self.slots.at(at).seq != 0 {
                    self.take_place(at);
                }
            }
            State::Ready => self.enter(at),
            State::Running => {
                let lease = dynamic.and_then(|d| d.lease).unwrap_or_default();
                let held = Held {
                    counter: lease.counter,
                    nonce: lease.nonce,
                    worker: lease.worker,
                    started_at: lease.started_at,
                };
                if self.is_ordered(at) {
                    self.take_place(at);
                }
                self.next_counter = self.next_counter.max(held.counter + 1);
                let lease_ms = self.queues[usize::from(self.queue_of(at))].settings.lease_ms;
                self.start_lease(at, held, lease.deadline, lease_ms);
            }
            State::Blocked => self.wait_for_parents(at),
            State::Completed | State::Dead | State::Cancelled => {
                if state == State::Dead && self.is_ordered(at) && self.slots.at(at).seq != 0 {
                    self.take_place(at);
                    self.sort_places(at);
                    if self.keeps_place(at, State::Dead) {
                        return;
                    }
                    self.leave_place(at);
                }
                self.enter_ended(at);
                if let Some((counter, nonce, segment, offset, len)) = dynamic.and_then(|d| d.settled) {
                    let place = Position { segment, offset };
                    self.need(place, len);
                    let extra = self.extra_index(at);
                    let entry = self.settled.insert(Settled { counter, nonce, place, len, extra });
                    let slot = self.slots.at_mut(at);
                    slot.aux = entry;
                    slot.set(flag::SETTLED, true);
                }
            }
        }
    }

    /// A job of an ordered group that had its place before a copy of its record was made.
    fn take_place(&mut self, at: u32) {
        self.enter(at);
        let lane = self.slots.at(at).lane;
        if self.head(lane) == at {
            self.clear_standing(lane);
        }
    }

    /// Moves a job to a state with a due or end time: out of the structures of the old state, into
    /// those of the new one. Ready goes through [`Machine::make_ready`], running through claims.
    pub(crate) fn move_to(&mut self, at: u32, to: State, when: u64) {
        self.detach(at, to);
        self.change_state(at, to);
        let slot = self.slots.at_mut(at);
        slot.when = when;
        slot.set(flag::SNOOZED, false);
        slot.set(flag::NO_HANDLER, false);
        match to {
            State::Scheduled | State::Retrying => {
                self.timers.wall.insert((when, Timer::Due(at)));
            }
            State::Blocked => self.wait_for_parents(at),
            State::Completed | State::Dead | State::Cancelled => {
                self.free_unique(at);
                self.wake_retention(at);
                if !self.slots.at(at).is(flag::LINKED) {
                    let seq = self.take_seq();
                    self.slots.at_mut(at).seq = seq;
                    self.enter_ended(at);
                }
            }
            State::Ready | State::Running => unreachable!("these states have functions of their own"),
        }
    }

    /// Takes a job out of the structures of its state, on the way to `to`.
    fn detach(&mut self, at: u32, to: State) {
        let slot = *self.slots.at(at);
        match slot.state() {
            State::Scheduled | State::Retrying => {
                self.timers.wall.remove(&(slot.when, Timer::Due(at)));
            }
            State::Ready => self.leave(at, Some(to)),
            State::Running => {
                self.end_lease(at);
            }
            State::Blocked => {}
            State::Completed | State::Dead | State::Cancelled => {
                self.sort_places(at);
                let in_place = self.is_ordered(at) && self.head(slot.lane) == at;
                if !in_place {
                    self.leave_ended(at);
                } else if to != State::Ready {
                    self.leave_place(at);
                }
                if slot.is(flag::SETTLED) {
                    let settled = self.settled.remove(slot.aux);
                    self.unneed(settled.place, settled.len);
                    let slot = self.slots.at_mut(at);
                    slot.set(flag::SETTLED, false);
                    slot.aux = settled.extra;
                    if !to.is_terminal() {
                        // A second ack of the completion is still one after the job was retried.
                        self.extra_mut(at).ack = Some(settled.ack());
                    }
                }
            }
        }
        let live = !slot.state().is_terminal() && slot.state() != State::Ready;
        if live && self.is_ordered(at) && slot.is(flag::LINKED) && !self.keeps_place(at, to) {
            self.leave_place(at);
        }
        if slot.state() != State::Running
            && to.is_terminal()
            && slot.attempt == 0
            && let Some(expires_at) = self.extra(at).and_then(|extra| extra.expires_at)
        {
            self.timers.wall.remove(&(expires_at, Timer::Expiry(at)));
        }
    }

    /// T2, T8, T11, T12, T14: the job is ready from now on, behind all that are.
    pub(crate) fn make_ready(&mut self, at: u32, seq: u64) {
        if self.slots.at(at).state() == State::Ready {
            return;
        }
        self.detach(at, State::Ready);
        self.change_state(at, State::Ready);
        let (wall, kept_place) = (self.now.wall, self.slots.at(at).is(flag::LINKED));
        let slot = self.slots.at_mut(at);
        slot.when = wall;
        slot.set(flag::SNOOZED, false);
        if !kept_place {
            slot.seq = seq;
        }
        self.enter(at);
    }

    /// T3, for a job that the caller has chosen or the journal names.
    pub(crate) fn apply_claimed(&mut self, at: u32, held: Held, deadline: u64) {
        let slot = *self.slots.at(at);
        self.next_counter = self.next_counter.max(held.counter + 1);
        if slot.state() != State::Ready {
            return;
        }
        let (group, set) = (self.lanes[slot.lane].group, self.lanes[slot.lane].limits);
        let queue = self.groups[group].queue;
        self.leave(at, Some(State::Running));
        // Before the state changes: `aux` of a running job names its lease, which does not exist yet.
        let attempt = self.attempt(at) + 1;
        self.set_attempt(at, attempt);
        self.change_state(at, State::Running);
        let lease_ms = self.queues[usize::from(queue)].settings.lease_ms;
        self.start_lease(at, held, deadline, lease_ms);
        if attempt == 1
            && let Some(expires_at) = self.extra(at).and_then(|extra| extra.expires_at)
        {
            self.timers.wall.remove(&(expires_at, Timer::Expiry(at)));
        }
        if attempt == 1 {
            self.give_up_unique(at);
        }
        let now = self.now.store;
        self.charge_limits(set, now);
        let weight = self.group_settings(group).weight;
        let (rate, queue_rate) =
            (self.group_settings(group).limits.rate, self.queues[usize::from(queue)].settings.limits.rate);
        let g = &mut self.groups[group];
        g.claimed += 1;
        if let Some(rate) = rate
            && let Ok(tat) = rate.admit(g.tat, Time(now), 1)
        {
            g.tat = tat;
        }
        let vt = g.vt;
        let q = &mut self.queues[usize::from(queue)];
        q.floor = q.floor.max(vt);
        if let Some(rate) = queue_rate
            && let Ok(tat) = rate.admit(q.tat, Time(now), 1)
        {
            q.tat = tat;
        }
        q.tally.totals.claimed += 1;
        q.tally.wait_ms.record(self.now.wall.saturating_sub(slot.when));
        self.set_vt(group, vt.charge(weight, 1));
    }

    /// Sets a group's virtual time and its place in the order.
    pub(crate) fn set_vt(&mut self, group: u32, vt: VirtualTime) {
        self.groups[group].vt = vt;
        self.refresh(group);
    }

    fn tally_end(&mut self, job: Ref<'_>, held: Held) -> Result<(), String> {
        self.check_queue(job.queue)?;
        let ran = self.now.wall.saturating_sub(held.started_at);
        self.tally(job.queue).run_ms.record(ran);
        Ok(())
    }

    /// Remembers how the attempt was settled, for a second ack.
    fn settle(&mut self, at: u32, held: Held, outcome: AckOutcome) {
        self.extra_mut(at).ack = Some(Ack { counter: held.counter, nonce: held.nonce, outcome });
    }

    fn apply_completed(&mut self, at: u32, held: Held, place: Position, len: u32) {
        let wall = self.now.wall;
        self.move_to(at, State::Completed, wall);
        self.need(place, len);
        let extra = self.extra_index(at);
        let entry = Settled { counter: held.counter, nonce: held.nonce, place, len, extra };
        let entry = self.settled.insert(entry);
        let slot = self.slots.at_mut(at);
        slot.aux = entry;
        slot.set(flag::SETTLED, true);
    }

    #[allow(clippy::too_many_arguments, reason = "one argument per field of the two facts that end here")]
    fn apply_failed(
        &mut self,
        job: Ref<'_>,
        held: Held,
        dead: bool,
        cause: Cause,
        retry_at: u64,
        error: Option<&ErrorReport>,
        place: Position,
        len: u32,
    ) {
        let wall = self.now.wall;
        let tally = self.tally(job.queue);
        if dead {
            tally.totals.died += 1;
        }
        let (print, first_line) = match error {
            Some(error) => {
                tally.totals.failed += 1;
                tally.failed.add(wall);
                let title = windlass_core::fingerprint::normalise(&error.message);
                tally.fail(error.fingerprint, &title, job.kind, job.id, wall);
                (Some(error.fingerprint), Some(error.first_line().into()))
            }
            None => {
                tally.totals.lost += 1;
                let print = windlass_core::fingerprint::fingerprint("", Some("lost"), "lease ran out");
                tally.fail(print, "lease ran out", job.kind, job.id, wall);
                (Some(print), Some("lease ran out".into()))
            }
        };
        let Some(at) = self.find(JobId(job.id)) else { return };
        self.keep(job, What::Attempt, place, len, 0);
        if error.is_some() {
            self.settle(at, held, AckOutcome::Failed);
            self.extra_mut(at).failures += 1;
        } else {
            // Nobody has settled this attempt: its late holder is stale, whatever it says.
            let extra = self.extra_mut(at);
            extra.ack = None;
            extra.losses += 1;
        }
        let extra = self.extra_mut(at);
        extra.cause = cause;
        extra.fingerprint = print;
        extra.last_error = first_line;
        if dead {
            self.sort_places(at);
        }
        let (to, when) = if dead { (State::Dead, wall) } else { (State::Retrying, retry_at) };
        self.move_to(at, to, when);
    }

    fn apply_retried(&mut self, at: u32, seq: u64) {
        let extra = self.extra_mut(at);
        extra.failures = 0;
        extra.losses = 0;
        extra.snoozes = 0;
        extra.no_handler = 0;
        extra.generation += 1;
        extra.cause = Cause::None;
        let unique = extra.unique.clone();
        if let Some(unique) = unique
            && !matches!(unique.scope, UniqueScope::For { .. })
        {
            let id = self.slots.at(at).id;
            self.unique.take(unique.key.as_str(), Holder { id, until: 0 });
        }
        if seq == 0 {
            let wall = self.now.wall;
            self.move_to(at, State::Blocked, wall);
        } else {
            self.make_ready(at, seq);
        }
    }

    fn apply_edit(&mut self, at: u32, fact: &JobFact<'_>, state: State) {
        let old_lane = self.slots.at(at).lane;
        let (group, set) = (self.lanes[old_lane].group, self.lanes[old_lane].limits);
        let lane = self.lane_for(group, fact.priority, set);
        let moves =
            lane != old_lane || state != self.slots.at(at).state() || fact.when != self.slots.at(at).when;
        if !moves {
            return;
        }
        self.detach(at, State::Cancelled);
        if self.slots.at(at).attempt == 0
            && let Some(expires_at) = self.extra(at).filter(|e| e.generation == 0).and_then(|e| e.expires_at)
        {
            self.timers.wall.insert((expires_at, Timer::Expiry(at)));
        }
        self.change_state(at, state);
        self.lanes[lane].refs += 1;
        let slot = self.slots.at_mut(at);
        slot.lane = lane;
        slot.when = fact.when;
        slot.seq = fact.seq;
        slot.set(flag::SNOOZED, false);
        slot.set(flag::NO_HANDLER, false);
        self.drop_lane_ref(old_lane);
        self.attach(at, state, None);
    }

    /// Takes a job out of everything.
    pub(crate) fn remove_job(&mut self, at: u32) {
        self.detach(at, State::Cancelled);
        self.free_unique(at);
        self.count(at, -1);
        let slot = *self.slots.at(at);
        if slot.is(flag::LINKED) {
            self.leave_place(at);
        }
        self.unneed(slot.place(), slot.len());
        let extra = self.extra_index(at);
        if extra != NONE {
            let extra = self.extras.remove(extra);
            for kept in &extra.kept {
                self.unneed(kept.place(), kept.len);
            }
        }
        self.index.remove(&self.slots, slot.id);
        self.slots.remove(at, self.groups[self.lanes[slot.lane].group].queue);
        self.drop_lane_ref(slot.lane);
    }

    /// Keeps a fact that belongs to a job: replaced where only the newest counts, bounded elsewhere.
    fn keep(&mut self, job: Ref<'_>, what: What, place: Position, len: u32, log_bytes: u32) {
        let Some(at) = self.find(JobId(job.id)) else { return };
        let (segment, offset, wall) = (place.segment, place.offset, self.now.wall);
        let kept = Kept { segment, offset, len, attempt: job.attempt, what, at: wall };
        let extra = self.extra_mut(at);
        let mut gone = Vec::new();
        match what {
            What::Checkpoint | What::Progress => extra.kept.retain(|k| {
                let stays = k.what != what;
                if !stays {
                    gone.push(*k);
                }
                stays
            }),
            What::Log => {
                if !extra.kept.iter().any(|k| k.what == What::Log && k.attempt == job.attempt) {
                    extra.log_bytes = 0;
                }
                extra.log_bytes += log_bytes;
            }
            What::Attempt => {}
        }
        extra.kept.push(kept);
        // Logs go with the attempt whose end is forgotten.
        let attempts = extra.kept.iter().filter(|k| k.what == What::Attempt).count();
        if what == What::Attempt && attempts > ERROR_HISTORY_MAX {
            let oldest = extra.kept.iter().find(|k| k.what == What::Attempt).map_or(0, |k| k.attempt);
            extra.kept.retain(|k| {
                let goes = matches!(k.what, What::Attempt | What::Log) && k.attempt <= oldest;
                if goes {
                    gone.push(*k);
                }
                !goes
            });
        }
        for kept in gone {
            self.unneed(kept.place(), kept.len);
        }
        self.need(place, len);
    }

    /// A kept fact was copied forward.
    fn move_kept(&mut self, id: u128, from: Position, to: Position) {
        let Some(at) = self.find(JobId(id)) else { return };
        let slot = *self.slots.at(at);
        if slot.is(flag::SETTLED) && slot.state().is_terminal() && self.settled[slot.aux].place == from {
            let len = self.settled[slot.aux].len;
            self.settled[slot.aux].place = to;
            self.unneed(from, len);
            self.need(to, len);
            return;
        }
        let index = self.extra_index(at);
        if index == NONE {
            return;
        }
        let Some(kept) = self.extras[index].kept.iter_mut().find(|kept| kept.place() == from) else { return };
        let len = kept.len;
        kept.segment = to.segment;
        kept.offset = to.offset;
        self.unneed(from, len);
        self.need(to, len);
    }

    pub(crate) fn move_lease_timer(&mut self, lease: u32, at: u64) {
        let entry = &mut self.leases[lease];
        self.timers.leases.remove(&(entry.timer_at, lease));
        entry.timer_at = at;
        self.timers.leases.insert((at, lease));
    }

    pub(crate) fn apply_queue_settings(&mut self, queue: u16, settings: QueueSettings) {
        let ordered = settings.groups.ordered;
        let now = self.now.store;
        let q = &mut self.queues[usize::from(queue)];
        q.tat = rebased(q.tat, settings.limits.rate, now);
        q.settings = settings;
        let members: Vec<u32> = self.queues[usize::from(queue)].groups.values().copied().collect();
        let mut members = members;
        members.sort_unstable();
        for group in members {
            if self.groups[group].own.is_none() {
                self.set_ordered(group, ordered);
                let rate = self.group_settings(group).limits.rate;
                self.groups[group].tat = rebased(self.groups[group].tat, rate, now);
            }
            self.unpark(group);
        }
        self.plan_retention(queue);
        self.touch(queue);
    }

    pub(crate) fn apply_group_settings(&mut self, group: u32, own: Option<GroupSettings>) {
        self.groups[group].own = own.map(Box::new);
        let settings = self.group_settings(group);
        self.set_ordered(group, settings.ordered);
        self.groups[group].tat = rebased(self.groups[group].tat, settings.limits.rate, self.now.store);
        self.unpark(group);
        self.touch(self.groups[group].queue);
    }

    /// Switches an empty group between one list and lanes; the verb refuses it for any other.
    fn set_ordered(&mut self, group: u32, ordered: bool) {
        let g = &mut self.groups[group];
        if g.places.is_some() != ordered && g.standing.is_empty() {
            g.places = ordered.then(List::default);
        }
        // A head that has died may have shut the group until now and does no longer.
        while let Some(head) =
            self.groups[group].places.map(|places| places.head).filter(|head| *head != NONE)
        {
            if self.slots.at(head).state() != State::Dead || self.keeps_place(head, State::Dead) {
                break;
            }
            self.leave_place(head);
            self.enter_ended(head);
        }
    }

    fn apply_hold(&mut self, what: u8, queue: u16, name: &str, until: u64) -> Result<(), String> {
        self.check_queue(queue)?;
        match what {
            0 => {
                // A second hold never shortens the first.
                let until = until.max(self.queues[usize::from(queue)].hold_until);
                self.queues[usize::from(queue)].hold_until = until;
                self.set_queue_timer(queue, until);
            }
            1 => {
                let group = self.group_for(queue, name);
                self.groups[group].hold_until = until.max(self.groups[group].hold_until);
            }
            _ => {
                let limit = self.limit_for(&parse(windlass_core::LimitName::new(name))?);
                self.limits[limit].hold_until = until.max(self.limits[limit].hold_until);
            }
        }
        Ok(())
    }
}

/// What a rate that has just been set starts from: at most one burst of debt, whatever the old rate
/// left. Only then does the debt shrink from now on; a later look at the old state would find the
/// whole burst owed for as long as the slower rate would have taken.
fn rebased(tat: Tat, rate: Option<Rate>, now: u64) -> Tat {
    let whole = rate.and_then(|rate| rate.admit(Tat::default(), Time(now), rate.burst).ok());
    whole.map_or(tat, |whole| tat.min(whole))
}

fn parse<T>(result: Result<T, windlass_core::Rejection>) -> Result<T, String> {
    result.map_err(|why| why.to_string())
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|why| why.to_string())
}

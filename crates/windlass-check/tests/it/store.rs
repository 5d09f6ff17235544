//! A small lawful store with clients whose calls overlap: it makes the histories that the checker must find fine.
//!
//! A call is begun, takes effect, and is answered in three steps, with any other steps in between. What a kill meets
//! half-way stays without an answer, done or not.

use crate::writer::{History, LEASE_MS, asked, group, id, queue};
use std::collections::BTreeMap;
use windlass_check::format::{
    Ask, Asked, AskedSettle, DumpBegins, DumpEnd, DumpJob, Given, How, Item, Refusal, Told,
};
use windlass_check::{FaultKind, format};
use windlass_core::event::{Cause, EventType as E};
use windlass_core::job::{OnConflict, OnParent, Parent, Unique, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::rate::{Rate, Tat};
use windlass_core::store::{Beat, Cancelled, EnqueueStatus, Enqueued};
use windlass_core::{JobId, Lease, LeaseToken, State, Time, WorkerId};

/// Numbers for choices.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        (!of.is_empty()).then(|| &of[self.roll(of.len() as u64) as usize])
    }
}

#[derive(Clone)]
struct Job {
    asked: Asked,
    state: State,
    attempt: u32,
    failures: u32,
    losses: u32,
    snoozes: u32,
    since: u64,
    lease: Option<Lease>,
    cancel_requested: bool,
    place: u64,
    settled: Option<(LeaseToken, How)>,
}

struct InFlight {
    call: u64,
    ask: Ask,
    told: Option<Told>,
}

pub(crate) const CONCURRENCY: u32 = 3;
pub(crate) const RATE: Rate = Rate { count: 2, period_ms: 100, burst: 3 };

pub(crate) struct Store {
    pub(crate) h: History,
    dice: Dice,
    jobs: BTreeMap<u128, Job>,
    told: Vec<format::SeenEvent>,
    calls: Vec<InFlight>,
    leases: Vec<Lease>,
    paused: bool,
    tat: Tat,
    made: u128,
    places: u64,
}

impl Store {
    /// A history of so many steps, then a wind-up to a quiet last look.
    pub(crate) fn history(seed: u64, steps: u64) -> History {
        let mut store = Self {
            h: History::new(),
            dice: Dice(seed),
            jobs: BTreeMap::new(),
            told: Vec::new(),
            calls: Vec::new(),
            leases: Vec::new(),
            paused: false,
            tat: Tat::default(),
            made: 0,
            places: 0,
        };
        let limits = LimitSettings { concurrency: Some(CONCURRENCY), rate: None };
        store.h.set_queue("q", QueueSettings { limits, ..QueueSettings::default() });
        let groups = GroupSettings { ordered: true, ..GroupSettings::default() };
        let limits = LimitSettings { concurrency: None, rate: Some(RATE) };
        store.h.set_queue("o", QueueSettings { groups, limits, ..QueueSettings::default() });
        store.h.pass(1);
        for _ in 0..steps {
            store.step();
        }
        store.quieten();
        store.look(DumpBegins::default());
        store.h
    }

    fn step(&mut self) {
        match self.dice.roll(100) {
            0..35 if self.calls.len() < 4 => self.begin(),
            0..65 => self.take_effect(),
            65..90 => self.answer(),
            90..95 => {
                let ms = [1, 1, 5, 40, 40, 200, LEASE_MS][self.dice.roll(7) as usize];
                self.h.pass(ms);
                self.upkeep();
            }
            95..97 => {
                self.quieten();
                self.look(DumpBegins::default());
            }
            97 => self.reopen(),
            98 => self.kill(),
            _ => self.prune(),
        }
    }

    fn begin(&mut self) {
        let known: Vec<u128> = self.jobs.keys().copied().collect();
        let one = self.dice.pick(&known).map(|n| vec![id(*n)]);
        let ask = match self.dice.roll(20) {
            0..6 => Some(self.ask_enqueue(&known)),
            6..14 => Some(self.ask_claim()),
            14 => {
                let some = self.dice.pick(&self.leases).copied();
                some.map(|lease| Ask::Heartbeat { leases: vec![lease] })
            }
            15 => one.map(|jobs| Ask::Cancel { jobs }),
            16..18 => one.map(|jobs| Ask::Retry { jobs }),
            _ => Some(Ask::Pause { queue: queue("q"), paused: self.dice.roll(2) == 0 }),
        };
        if let Some(ask) = ask {
            let call = self.h.begin(ask.clone());
            self.calls.push(InFlight { call, ask, told: None });
        }
    }

    fn ask_enqueue(&mut self, known: &[u128]) -> Ask {
        let mut jobs = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            self.made += 1;
            let mut job = asked(self.made);
            match self.dice.roll(6) {
                0 | 1 => {
                    job.queue = queue("o");
                    job.group = group(if self.dice.roll(2) == 0 { "a" } else { "b" });
                }
                2 => job.delay_ms = Some(1 + self.dice.roll(100)),
                3 => {
                    let key = UniqueKey::new(format!("k{}", self.dice.roll(2))).unwrap();
                    job.unique = Some(Unique {
                        key,
                        scope: UniqueScope::WhileLive,
                        on_conflict: OnConflict::Existing,
                    });
                }
                4 => {
                    let on = if self.dice.roll(2) == 0 { OnParent::Success } else { OnParent::Always };
                    let parent = self.dice.pick(known).map(|n| Parent { id: id(*n), on });
                    job.parents.extend(parent);
                }
                _ => {}
            }
            jobs.push(job);
        }
        Ask::Enqueue { jobs, transaction: None }
    }

    fn ask_claim(&mut self) -> Ask {
        let back = self.leases.len().min(4);
        let newest = self.leases.split_off(self.leases.len() - back);
        let mut settle = Vec::new();
        if let Some(lease) = self.dice.pick(&newest).copied() {
            let how = [How::Complete, How::Complete, How::Fail, How::Snooze, How::Release]
                [self.dice.roll(5) as usize];
            let delay_ms = matches!(how, How::Fail | How::Snooze).then(|| 1 + self.dice.roll(50));
            settle.push(AskedSettle { lease, how, delay_ms, then: Vec::new() });
        }
        self.leases.extend(newest);
        let wants = vec![(queue(if self.dice.roll(2) == 0 { "q" } else { "o" }), 2)];
        Ask::Claim { settle, wants, worker: WorkerId(1), nonce: 9 }
    }

    fn take_effect(&mut self) {
        let waiting: Vec<usize> =
            self.calls.iter().enumerate().filter(|(_, call)| call.told.is_none()).map(|(i, _)| i).collect();
        let Some(which) = self.dice.pick(&waiting).copied() else { return };
        let ask = self.calls[which].ask.clone();
        let told = match &ask {
            Ask::Enqueue { jobs, .. } => Told::Enqueued(jobs.iter().map(|job| self.enqueue(job)).collect()),
            Ask::Claim { settle, wants, .. } => {
                let settled = settle.iter().map(|settle| self.settle(settle)).collect();
                Told::Claimed { settled, jobs: self.claim(wants[0].0.as_str()) }
            }
            Ask::Heartbeat { leases } => Told::Beats(leases.iter().map(|lease| self.beat(lease)).collect()),
            Ask::Cancel { jobs } => Told::Cancelled(jobs.iter().map(|job| self.cancel(*job)).collect()),
            Ask::Retry { jobs } => Told::Items(jobs.iter().map(|job| self.retry(*job)).collect()),
            Ask::Pause { paused, .. } => {
                self.paused = *paused;
                Told::One(Item::Ok(()))
            }
            _ => unreachable!("nothing else is begun"),
        };
        self.calls[which].told = Some(told);
    }

    fn answer(&mut self) {
        let done: Vec<usize> =
            self.calls.iter().enumerate().filter(|(_, call)| call.told.is_some()).map(|(i, _)| i).collect();
        let Some(which) = self.dice.pick(&done).copied() else { return };
        let call = self.calls.remove(which);
        let told = call.told.unwrap();
        if let Told::Claimed { jobs, .. } = &told {
            self.leases.extend(jobs.iter().map(|given| given.lease));
        }
        self.h.answer(call.call, told);
    }

    // ---- the rules of a store, in the plainest way ----

    fn tell(&mut self, n: u128, event: E, cause: Cause) {
        let job = &self.jobs[&n];
        let asked = job.asked.clone();
        self.told.push(format::SeenEvent {
            at: Time(self.h.now),
            event,
            job: asked.id,
            queue: asked.queue,
            group: asked.group,
            attempt: job.attempt,
            cause,
            worker: Some(WorkerId(1)),
        });
    }

    fn number(&self, job: JobId) -> Option<u128> {
        let n = job.0 & 0xffff_ffff;
        self.jobs.contains_key(&n).then_some(n)
    }

    fn to(&mut self, n: u128, state: State) {
        self.places += 1;
        let (now, place) = (self.h.now, self.places);
        let job = self.jobs.get_mut(&n).unwrap();
        (job.state, job.since) = (state, now);
        // In an ordered group the first place is kept.
        if state == State::Ready && (job.place == 0 || job.asked.queue.as_str() == "q") {
            job.place = place;
        }
        if state != State::Running {
            job.lease = None;
        }
    }

    fn enqueue(&mut self, asked: &Asked) -> Item<Enqueued> {
        let n = asked.id.0 & 0xffff_ffff;
        if asked.parents.iter().any(|parent| self.number(parent.id).is_none()) {
            return wrong("bad_parents");
        }
        if let Some(unique) = &asked.unique {
            let key = |job: &&Job| job.asked.unique.as_ref().is_some_and(|other| other.key == unique.key);
            if let Some(holder) = self.jobs.values().filter(key).find(|job| !job.state.is_terminal()) {
                let (id, state) = (holder.asked.id, holder.state);
                return Item::Ok(Enqueued { id, status: EnqueueStatus::Existing, state });
            }
        }
        let new = Job {
            asked: asked.clone(),
            state: State::Scheduled,
            attempt: 0,
            failures: 0,
            losses: 0,
            snoozes: 0,
            since: self.h.now,
            lease: None,
            cancel_requested: false,
            place: 0,
            settled: None,
        };
        self.jobs.insert(n, new);
        self.tell(n, E::Enqueued, Cause::None);
        let parents: Vec<(Parent, Option<State>)> = asked
            .parents
            .iter()
            .map(|parent| (*parent, self.number(parent.id).map(|n| self.jobs[&n].state)))
            .collect();
        let failed = |(parent, state): &(Parent, Option<State>)| {
            parent.on == OnParent::Success && matches!(state, Some(State::Dead | State::Cancelled))
        };
        if parents.iter().any(failed) {
            self.to(n, State::Cancelled);
            self.tell(n, E::Cancelled, Cause::ParentFailed);
        } else if parents.iter().any(|(_, state)| state.is_some_and(|state| !state.is_terminal())) {
            self.to(n, State::Blocked);
        } else if let Some(ms) = asked.delay_ms {
            self.jobs.get_mut(&n).unwrap().since = self.h.now + ms;
        } else {
            self.to(n, State::Ready);
        }
        let state = self.jobs[&n].state;
        Item::Ok(Enqueued { id: asked.id, status: EnqueueStatus::Created, state })
    }

    fn claim(&mut self, name: &str) -> Vec<Given> {
        let mut given = Vec::new();
        if name == "q" && self.paused {
            return given;
        }
        let mut ready: Vec<(u64, u128)> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.asked.queue.as_str() == name && job.state == State::Ready)
            .map(|(n, job)| (job.place, *n))
            .collect();
        ready.sort_unstable();
        for (place, n) in ready.into_iter().take(2) {
            let group = self.jobs[&n].asked.group.clone();
            let same = |job: &&Job| job.asked.queue.as_str() == name && job.asked.group == group;
            // Whoever stands before it in its ordered group, dead heads too, has to leave first.
            let before = |job: &Job| {
                job.place != 0
                    && job.place < place
                    && !matches!(job.state, State::Completed | State::Cancelled)
            };
            let running = self
                .jobs
                .values()
                .filter(|job| job.asked.queue.as_str() == name && job.state == State::Running);
            let full = name == "q" && running.count() >= CONCURRENCY as usize;
            if full
                || (name == "o"
                    && self.jobs.values().filter(same).any(|job| before(job) || job.state == State::Running))
            {
                continue;
            }
            if name == "o" {
                match RATE.admit(self.tat, Time(self.h.now), 1) {
                    Ok(tat) => self.tat = tat,
                    Err(_) => break,
                }
            }
            let attempt = self.jobs[&n].attempt + 1;
            let lease = self.h.lease(n, attempt);
            self.to(n, State::Running);
            let job = self.jobs.get_mut(&n).unwrap();
            (job.attempt, job.lease) = (attempt, Some(lease));
            self.tell(n, E::Claimed, Cause::None);
            given.push(Given { lease, queue: queue(name), group });
        }
        given
    }

    fn settle(&mut self, settle: &AskedSettle) -> Item<()> {
        let stale = Item::Rejected(Refusal { code: "stale".into(), why: String::new() });
        let Some(n) = self.number(settle.lease.job) else { return stale };
        let job = self.jobs.get_mut(&n).unwrap();
        if job.lease.is_none_or(|lease| lease.token != settle.lease.token) {
            let again = job.settled == Some((settle.lease.token, settle.how));
            return if again { Item::Ok(()) } else { stale };
        }
        let due = self.h.now + settle.delay_ms.unwrap_or(0);
        job.settled = Some((settle.lease.token, settle.how));
        if job.cancel_requested && settle.how != How::Complete {
            self.end(n, State::Cancelled, E::Cancelled);
            return Item::Ok(());
        }
        match settle.how {
            How::Complete => self.end(n, State::Completed, E::Completed),
            How::Fail => {
                job.failures += 1;
                if job.failures >= 2 {
                    self.end(n, State::Dead, E::Died);
                } else {
                    self.tell(n, E::Failed, Cause::None);
                    self.to(n, State::Retrying);
                    self.jobs.get_mut(&n).unwrap().since = due;
                }
            }
            How::Snooze => {
                job.snoozes += 1;
                self.tell(n, E::Snoozed, Cause::None);
                self.to(n, State::Scheduled);
                self.jobs.get_mut(&n).unwrap().since = due;
            }
            How::Release => {
                self.tell(n, E::Released, Cause::None);
                self.to(n, State::Ready);
            }
        }
        Item::Ok(())
    }

    fn end(&mut self, n: u128, state: State, event: E) {
        self.tell(n, event, Cause::None);
        self.to(n, state);
        let waits: Vec<u128> =
            self.jobs.iter().filter(|(_, job)| job.state == State::Blocked).map(|(n, _)| *n).collect();
        for child in waits {
            let parents = self.jobs[&child].asked.parents.clone();
            if parents.iter().all(|parent| parent.id != id(n)) {
                continue;
            }
            if parents.iter().any(|parent| parent.on == OnParent::Success) && state != State::Completed {
                self.end(child, State::Cancelled, E::Cancelled);
            } else {
                self.tell(child, E::Unblocked, Cause::None);
                self.to(child, State::Ready);
            }
        }
    }

    fn beat(&mut self, lease: &Lease) -> Item<Beat> {
        let deadline = Time(self.h.now + LEASE_MS);
        let n = self.number(lease.job);
        match n
            .and_then(|n| self.jobs.get_mut(&n))
            .filter(|job| job.lease.is_some_and(|l| l.token == lease.token))
        {
            Some(job) => {
                job.lease = job.lease.map(|lease| Lease { deadline, ..lease });
                Item::Ok(Beat { deadline, cancel_requested: job.cancel_requested })
            }
            None => Item::Rejected(Refusal { code: "stale".into(), why: String::new() }),
        }
    }

    fn cancel(&mut self, job: JobId) -> Item<Cancelled> {
        let Some(n) = self.number(job) else { return wrong("not_found") };
        match self.jobs[&n].state {
            State::Running => {
                self.jobs.get_mut(&n).unwrap().cancel_requested = true;
                self.tell(n, E::CancelRequested, Cause::Requested);
                Item::Ok(Cancelled::Requested)
            }
            state if state.is_terminal() => wrong("wrong_state"),
            _ => {
                self.end(n, State::Cancelled, E::Cancelled);
                Item::Ok(Cancelled::Now)
            }
        }
    }

    fn retry(&mut self, job: JobId) -> Item<()> {
        let Some(n) = self.number(job) else { return wrong("not_found") };
        let family = |job: &Job| job.asked.parents.iter().any(|parent| parent.id == id(n));
        let job = &self.jobs[&n];
        let alone = job.asked.parents.is_empty() && !self.jobs.values().any(family);
        if !job.state.is_terminal() || job.asked.unique.is_some() || !alone {
            return wrong("wrong_state");
        }
        // Only a dead head has kept its place.
        let place = if job.state == State::Dead { job.place } else { 0 };
        let job = self.jobs.get_mut(&n).unwrap();
        (job.failures, job.losses, job.snoozes, job.cancel_requested, job.place) = (0, 0, 0, false, place);
        self.tell(n, E::Retried, Cause::Requested);
        self.to(n, State::Ready);
        Item::Ok(())
    }

    fn upkeep(&mut self) {
        let now = self.h.now;
        let numbers: Vec<u128> = self.jobs.keys().copied().collect();
        for n in numbers {
            let job = &self.jobs[&n];
            match job.state {
                State::Scheduled | State::Retrying if job.since <= now => {
                    self.tell(n, E::Promoted, Cause::None);
                    self.to(n, State::Ready);
                }
                State::Running if job.lease.is_some_and(|lease| lease.deadline.0 <= now) => {
                    self.lose(n, Cause::Lost)
                }
                _ => {}
            }
        }
    }

    fn lose(&mut self, n: u128, cause: Cause) {
        let job = self.jobs.get_mut(&n).unwrap();
        job.losses += 1;
        if job.cancel_requested {
            self.end(n, State::Cancelled, E::Cancelled);
        } else if job.losses >= 3 {
            self.end(n, State::Dead, E::Died);
        } else {
            self.tell(n, E::Lost, cause);
            self.to(n, State::Ready);
        }
    }

    fn prune(&mut self) {
        let ended: Vec<u128> =
            self.jobs.iter().filter(|(_, job)| job.state.is_terminal()).map(|(n, _)| *n).collect();
        let Some(n) = self.dice.pick(&ended).copied() else { return };
        let has_child =
            |job: &Job| !job.state.is_terminal() && job.asked.parents.iter().any(|p| p.id == id(n));
        let shuts = self.jobs[&n].asked.queue.as_str() == "o" && self.jobs[&n].state == State::Dead;
        if !shuts && !self.jobs.values().any(has_child) {
            self.tell(n, E::Removed, Cause::Retention);
            self.jobs.remove(&n);
        }
    }

    /// Every call is answered.
    fn quieten(&mut self) {
        while !self.calls.is_empty() {
            self.take_effect();
            self.answer();
        }
        self.upkeep();
    }

    fn kill(&mut self) {
        self.calls.clear();
        self.leases.clear();
        self.h.fault(FaultKind::StoreKilled);
        let held: Vec<u128> =
            self.jobs.iter().filter(|(_, job)| job.state == State::Running).map(|(n, _)| *n).collect();
        held.into_iter().for_each(|n| self.lose(n, Cause::Restart));
    }

    fn reopen(&mut self) {
        self.quieten();
        self.look(DumpBegins::default());
        self.h.set(Ask::Close {});
        self.look(DumpBegins { reopened: true, workers_ended: false });
    }

    fn look(&mut self, begins: DumpBegins) {
        let jobs = self.jobs.values().map(|job| DumpJob {
            id: job.asked.id,
            state: job.state,
            queue: job.asked.queue.clone(),
            group: job.asked.group.clone(),
            priority: 0,
            attempt: job.attempt,
            failures: job.failures,
            losses: job.losses,
            snoozes: job.snoozes,
            since: Time(job.since),
        });
        let jobs = jobs.collect();
        for event in std::mem::take(&mut self.told) {
            self.h.say(format::Says::Event(event));
        }
        self.h.dump_jobs(begins, jobs, DumpEnd { quiet: true, events_complete: true });
    }
}

fn wrong<T>(code: &str) -> Item<T> {
    Item::Rejected(Refusal { code: code.into(), why: String::new() })
}

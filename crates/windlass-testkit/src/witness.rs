//! A checker that believes nothing: it follows a store by its answers and its event log alone, and
//! holds both against the invariants I2 to I11 and I16 of the contract.
//!
//! It has a small life of a job of its own ([`Witness::follow`]), written from the contract and not from
//! the engine's table. Whoever drives the store tells it what was asked and answered, one verb at a
//! time, and calls [`Witness::look`] after each, when the store is quiet.

use crate::subject::*;
use std::collections::{BTreeMap, HashMap};
use windlass_core::event::EventType as E;
use windlass_core::event::{Cause, Event};
use windlass_core::job::OnParent;
use windlass_core::job::State::{
    self, Blocked, Cancelled, Completed, Dead, Ready, Retrying, Running, Scheduled,
};
use windlass_core::limit::LimitSettings;
use windlass_core::rate::Rate;
use windlass_core::store::{ClaimedJob, Filter, From};
use windlass_core::{JobId, Lease, LeaseToken, NewJob, Rejection, Time};

/// What is known of one job.
#[derive(Debug)]
struct Known {
    asked: NewJob,
    /// The states it may be in, as far as the events tell.
    may_be: Vec<State>,
    attempt: u32,
    lease: Option<Lease>,
    /// Nothing may claim it earlier.
    not_before: Time,
    /// The token that ended its last attempt, and by which verb.
    settled: Option<(LeaseToken, &'static str)>,
    /// The same of all its attempts: how long a store remembers them is its own affair.
    ever_settled: Vec<(LeaseToken, &'static str)>,
    asked_to_stop: bool,
    /// Somebody started another generation.
    retried: bool,
}

impl Known {
    fn is_live(&self) -> bool {
        self.may_be.iter().any(|state| !state.is_terminal())
    }
}

/// A rate, and what it granted when.
#[derive(Default)]
struct Granted {
    rate: Option<Rate>,
    grants: Vec<(Time, u64)>,
}

/// The checker.
pub(crate) struct Witness {
    jobs: BTreeMap<JobId, Known>,
    from: From,
    last_counter: u64,
    paused: HashMap<String, bool>,
    queue_limits: HashMap<String, LimitSettings>,
    group_concurrency: HashMap<String, u32>,
    limits: HashMap<String, LimitSettings>,
    rates: HashMap<String, Granted>,
    /// The line of each ordered group: whoever took a place and has not left it.
    places: HashMap<String, Vec<JobId>>,
}

impl Witness {
    /// It begins with an empty store.
    pub(crate) fn new() -> Self {
        Self {
            jobs: BTreeMap::new(),
            from: From::Earliest,
            last_counter: 0,
            paused: HashMap::new(),
            queue_limits: HashMap::new(),
            group_concurrency: HashMap::new(),
            limits: HashMap::new(),
            rates: HashMap::new(),
            places: HashMap::new(),
        }
    }

    /// Every job that was ever taken, oldest first.
    pub(crate) fn ids(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }

    // ---- what was set ----

    /// A queue's limits are these from now on.
    pub(crate) fn queue_is_limited(&mut self, name: &str, limits: LimitSettings) {
        self.queue_limits.insert(name.into(), limits);
        if limits.rate.is_some() {
            self.rates.entry(format!("queue {name}")).or_default().rate = limits.rate;
        }
    }

    /// Each group of the queue may run that many at once from now on.
    pub(crate) fn groups_are_limited(&mut self, name: &str, concurrency: u32) {
        self.group_concurrency.insert(name.into(), concurrency);
    }

    /// A named limit is this from now on.
    pub(crate) fn limit_is(&mut self, name: &str, settings: LimitSettings) {
        self.limits.insert(name.into(), settings);
        if settings.rate.is_some() {
            self.rates.entry(format!("limit {name}")).or_default().rate = settings.rate;
        } else {
            self.check_rates();
            self.rates.remove(&format!("limit {name}"));
        }
    }

    /// A pause was answered.
    pub(crate) fn paused(&mut self, name: &str, paused: bool) {
        self.paused.insert(name.into(), paused);
    }

    // ---- what was asked ----

    /// A job was taken as a new one.
    pub(crate) fn taken(&mut self, asked: NewJob, state: State, now: Time) {
        let not_before = asked.delay_ms.map_or(Time::ZERO, |ms| now.plus_ms(ms));
        let known = Known {
            may_be: vec![state],
            attempt: 0,
            lease: None,
            not_before,
            settled: None,
            ever_settled: Vec::new(),
            asked_to_stop: false,
            retried: false,
            asked,
        };
        assert!(self.jobs.insert(known.asked.id, known).is_none(), "an id is given to one job");
    }

    /// A job may start now, or not before then.
    pub(crate) fn due(&mut self, id: JobId, not_before: Time) {
        if let Some(known) = self.jobs.get_mut(&id) {
            known.not_before = not_before;
        }
    }

    /// I3 and rule b: what a settlement must be answered, given what is known before it.
    pub(crate) fn settled(&mut self, lease: &Lease, verb: &'static str, answer: &Result<(), Rejection>) {
        let Some(known) = self.jobs.get_mut(&lease.job) else {
            assert!(answer.is_err(), "{verb} of a removed job");
            return;
        };
        if known.lease.is_some_and(|current| current.token == lease.token) {
            assert_eq!(answer, &Ok(()), "{verb} with the current token of {}", lease.job);
            let verb = if known.asked_to_stop && verb != "complete" { "any but complete" } else { verb };
            known.settled = Some((lease.token, verb));
            known.ever_settled.push((lease.token, verb));
            return;
        }
        let same = |(token, by): &(LeaseToken, &str)| {
            *token == lease.token && (*by == verb || (*by == "any but complete" && verb != "complete"))
        };
        let again = known.settled.as_ref().is_some_and(same);
        match answer {
            Ok(()) => assert!(
                known.ever_settled.iter().any(same),
                "{verb} with stale {lease:?} was answered ok; {known:?}"
            ),
            Err(why) => {
                assert!(!again, "a second {verb} with {lease:?} was answered {why:?}; {known:?}");
                assert_eq!(*why, Rejection::Stale);
            }
        }
    }

    // ---- what happened ----

    /// Reads the events since the last look and holds them against what was claimed in between.
    pub(crate) fn look(&mut self, s: &Subject, claimed: &[ClaimedJob]) {
        let events = s.events_with_claims(self.from, claimed.len());
        let mut claims = claimed.iter();
        for event in &events {
            if event.event == E::Claimed {
                let job =
                    claims.next().unwrap_or_else(|| panic!("a claim that nobody was told of: {event:?}"));
                assert_eq!((job.lease.job, job.lease.attempt), (event.job, event.attempt));
                self.claimed(s.now(), job);
            }
            self.follow(event);
            self.from = From::After(event.cursor);
        }
        assert_eq!(claims.next(), None, "a claim without its event");
        self.check_unique();
    }

    /// I2, I4, I6, I7, I9: one job was granted.
    fn claimed(&mut self, now: Time, job: &ClaimedJob) {
        let (id, name) = (job.lease.job, job.queue.to_string());
        assert!(job.lease.token.counter > self.last_counter, "I4: the counter only grows");
        self.last_counter = job.lease.token.counter;
        assert!(!self.paused.get(&name).copied().unwrap_or(false), "I9: {id} claimed from paused {name}");
        let known = self.jobs.get_mut(&id).expect("known");
        assert!(known.lease.is_none(), "I2: {id} has a lease already");
        assert!(known.not_before <= now, "I9: {id} is due at {} and was claimed at {now}", known.not_before);
        known.attempt += 1;
        assert_eq!(known.attempt, job.lease.attempt, "I4: attempts of {id}");
        known.lease = Some(job.lease);
        let (asked, group) = (known.asked.clone(), job.group.clone());
        if name == "ordered" {
            let key = group.as_ref().map_or(String::new(), ToString::to_string);
            let place = self.places.get(&key).and_then(|line| line.first()).copied();
            assert_eq!(place, Some(id), "I6: {id} is not the head of group {key}");
        }
        // I7: what runs now, this job included, is within every limit of this moment.
        let runs = |like: &dyn Fn(&NewJob) -> u64| -> u64 {
            self.jobs.values().filter(|k| k.lease.is_some()).map(|k| like(&k.asked)).sum()
        };
        let in_queue = runs(&|j| u64::from(j.queue == asked.queue));
        let in_group = runs(&|j| u64::from(j.queue == asked.queue && j.group == asked.group));
        if let Some(most) = self.queue_limits.get(&name).and_then(|l| l.concurrency) {
            assert!(in_queue <= u64::from(most), "I7: {in_queue} of queue {name} run, {most} may");
        }
        let most = if name == "ordered" { Some(1) } else { self.group_concurrency.get(&name).copied() };
        if let Some(most) = most {
            assert!(in_group <= u64::from(most), "I7: {in_group} of a group of {name} run, {most} may");
        }
        for taken in &asked.limits {
            let cost =
                |j: &NewJob| j.limits.iter().find(|l| l.name == taken.name).map_or(0, |l| u64::from(l.cost));
            let used = runs(&cost);
            if let Some(most) = self.limits.get(taken.name.as_str()).and_then(|l| l.concurrency) {
                assert!(used <= u64::from(most), "I7: {used} of limit {} are in use, {most} may", taken.name);
            }
            if let Some(granted) = self.rates.get_mut(&format!("limit {}", taken.name)) {
                granted.grants.push((now, u64::from(taken.cost)));
            }
        }
        if let Some(granted) = self.rates.get_mut(&format!("queue {name}")) {
            granted.grants.push((now, 1));
        }
    }

    /// The life of a job, event by event: each must be possible where the job stands (I10).
    fn follow(&mut self, event: &Event) {
        let id = event.job;
        let waits = self.waits_for_parents(id);
        let known = self.jobs.get_mut(&id).unwrap_or_else(|| panic!("an event of nobody: {event:?}"));
        let (from, to): (&[State], &[State]) = match event.event {
            E::Enqueued => (&[Scheduled, Ready, Blocked, Cancelled], &[]),
            E::Promoted => (&[Scheduled, Retrying], &[Ready]),
            E::Claimed => (&[Ready], &[Running]),
            E::Completed => (&[Running], &[Completed]),
            E::Failed | E::Lost => (&[Running], &[Retrying]),
            E::Died => (&[Running], &[Dead]),
            E::Snoozed => (&[Running], &[Scheduled]),
            E::Released if event.cause == Cause::NoHandler => (&[Running], &[Scheduled]),
            E::Released => (&[Running], &[Ready]),
            E::Cancelled => (&[Scheduled, Ready, Retrying, Blocked, Running], &[Cancelled]),
            E::CancelRequested => (&[Running], &[Running]),
            E::Retried if waits => (&[Completed, Dead, Cancelled], &[Blocked]),
            E::Retried => (&[Completed, Dead, Cancelled], &[Ready]),
            // I11: a parent that is retried later takes nobody back.
            E::Unblocked if waits => (&[], &[]),
            E::Unblocked => (&[Blocked], &[Ready, Scheduled]),
            E::Edited => (&[Scheduled, Ready, Retrying, Blocked, Dead, Cancelled], &[]),
            E::Removed => (&[Scheduled, Ready, Retrying, Blocked, Completed, Dead, Cancelled], &[]),
        };
        // An enqueue's answer tells where the job stood in the end; a parent may have cancelled it since.
        if event.event == E::Enqueued && known.may_be == [Cancelled] {
            known.may_be = vec![Scheduled, Ready, Blocked];
        }
        let possible = known.may_be.iter().any(|state| from.contains(state));
        assert!(possible, "I10, I11: {event:?} while it is {:?}, parents to wait for: {waits}", known.may_be);
        match event.event {
            E::Enqueued => {}
            E::Edited if matches!(known.may_be[..], [Blocked | Dead | Cancelled]) => {}
            E::Edited => known.may_be.extend([Ready, Scheduled]),
            _ => known.may_be = to.to_vec(),
        }
        match event.event {
            E::Enqueued | E::Promoted | E::Unblocked | E::Edited | E::Claimed => {}
            E::CancelRequested => known.asked_to_stop = true,
            _ => {
                known.lease = None;
                known.asked_to_stop = false;
            }
        }
        if matches!(event.event, E::Lost | E::Retried) {
            known.not_before = Time::ZERO;
        }
        known.retried |= event.event == E::Retried;
        if event.event == E::Lost || (event.event == E::Died && event.cause == Cause::Lost) {
            known.settled = None;
        }
        if event.event == E::Cancelled
            && matches!(event.cause, Cause::GraceOver | Cause::Lost | Cause::Restart)
        {
            known.settled = None;
        }
        if known.asked.queue == queue("ordered") {
            let key = known.asked.group.as_ref().map_or(String::new(), ToString::to_string);
            let line = self.places.entry(key).or_default();
            match event.event {
                E::Enqueued => line.push(id),
                E::Completed | E::Cancelled | E::Removed => line.retain(|at| *at != id),
                E::Retried if !line.contains(&id) => line.push(id),
                _ => {}
            }
        }
        if event.event == E::Removed {
            self.jobs.remove(&id);
        }
    }

    /// Whether some parent has not let the job go: one that is live, or one that failed where success
    /// was asked for, which only a job waits for that was retried by hand.
    fn waits_for_parents(&self, id: JobId) -> bool {
        let parents = self.jobs.get(&id).map(|known| known.asked.parents.as_slice()).unwrap_or_default();
        parents.iter().any(|parent| {
            self.jobs.get(&parent.id).is_some_and(|known| match parent.on {
                OnParent::Always => known.is_live(),
                OnParent::Success => known.may_be != [Completed],
            })
        })
    }

    fn has_live_parent(&self, id: JobId) -> bool {
        let parents = &self.jobs[&id].asked.parents;
        parents.iter().any(|parent| self.jobs.get(&parent.id).is_some_and(Known::is_live))
    }

    /// I5: at most one live job holds a key.
    fn check_unique(&self) {
        let mut holders: HashMap<&str, JobId> = HashMap::new();
        for (id, known) in self.jobs.iter().filter(|(_, known)| known.is_live()) {
            if let Some(unique) = &known.asked.unique
                && let Some(other) = holders.insert(unique.key.as_str(), *id)
            {
                panic!("I5: {id} and {other} are live and hold {}", unique.key);
            }
        }
    }

    /// I16, and the whole picture: what the store shows is what its events have told.
    pub(crate) fn compare(&self, s: &Subject) {
        let mut counts: HashMap<String, [u64; 8]> = HashMap::new();
        let mut in_use: HashMap<String, u64> = HashMap::new();
        let shown = s.list(&Filter::default());
        assert_eq!(shown.len(), self.jobs.len(), "as many jobs as were taken and not removed");
        for id in shown {
            let (seen, known) = (s.get(id), &self.jobs[&id]);
            let state = seen.view.state;
            assert!(known.may_be.contains(&state), "{id} is {state}, its events say {:?}", known.may_be);
            assert_eq!((seen.view.attempt, state == Running), (known.attempt, known.lease.is_some()));
            counts.entry(seen.view.queue.to_string()).or_default()[state as usize] += 1;
            for taken in known.asked.limits.iter().filter(|_| state == Running) {
                *in_use.entry(taken.name.to_string()).or_default() += u64::from(taken.cost);
            }
            let waits = if known.retried { self.waits_for_parents(id) } else { self.has_live_parent(id) };
            assert!(state != Blocked || waits, "I11: {id} is blocked and all its parents have ended");
        }
        for info in s.wait(s.store().queues(None, s.at())) {
            let scanned = counts.remove(info.name.as_str()).unwrap_or_default();
            assert_eq!(info.counts.0, scanned, "I16: counts of {}", info.name);
            let groups = s.wait(s.store().groups(info.name.clone(), None, 1_000)).items;
            for state in State::ALL {
                let sum: u64 = groups.iter().map(|group| group.counts.of(state)).sum();
                assert_eq!(sum, scanned[state as usize], "I16: {state} of the groups of {}", info.name);
            }
        }
        for info in s.wait(s.store().limits(None, 1_000)).items {
            let used = in_use.get(info.name.as_str()).copied().unwrap_or(0);
            assert_eq!(info.in_use, used, "I7: slots held of {} equal what runs", info.name);
        }
        self.check_rates();
    }

    /// I8: in any window, at most burst + rate x t.
    fn check_rates(&self) {
        for (name, granted) in &self.rates {
            let Some(rate) = granted.rate else { continue };
            for (i, (from, _)) in granted.grants.iter().enumerate() {
                let mut sum = 0;
                for (until, cost) in &granted.grants[i..] {
                    sum += cost;
                    let over = sum.saturating_sub(u64::from(rate.burst)) * rate.period_ms;
                    let earned = u64::from(rate.count) * until.since(*from);
                    assert!(over <= earned, "I8: {name} granted {sum} in {} ms", until.since(*from));
                }
            }
        }
    }

    /// I15: what is still live now stands behind a dead head, or waits for what does.
    pub(crate) fn all_ended_that_could(&self, s: &Subject) {
        for (id, known) in self.jobs.iter().filter(|(_, known)| known.is_live()) {
            let shut = known.asked.queue == queue("ordered")
                && known.asked.group.as_ref().is_some_and(|key| {
                    let head = self.places.get(key.as_str()).and_then(|line| line.first());
                    head.is_some_and(|head| self.jobs[head].may_be == [Dead])
                });
            assert!(shut || self.waits_for_parents(*id), "I15: {id} has not ended: {:?}", s.why(*id));
        }
    }
}

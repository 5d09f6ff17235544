//! I8: grants in any window are at most burst + rate x t. Of queues, groups and named limits.
//!
//! Sees: by events, every window between two claims, by the store's clock; by calls, every window that certainly holds
//! its claims, from the begin of the earliest call to the last answer. One pass over each limit's grants is enough: with
//! `count x (t2 - t1)` on one side and `(grants - burst) x period` on the other, the worst window that ends at a grant is
//! the one with the smallest start of that sum.
//! Cannot see: a rate that changed while it granted, or that no recorded call has set; anything after a clock has jumped.

use super::limits::{Scope, When, scopes, settings_of};
use super::{Rule, Seen};
use crate::format::FaultKind;
use crate::report::{Findings, Invariant::I8};
use crate::world::World;
use std::collections::HashMap;
use windlass_core::event::EventType;
use windlass_core::rate::Rate;
use windlass_core::{JobId, Time};

/// What one limit granted between two moments.
#[derive(Clone, Copy, Debug)]
struct Grant {
    from: Time,
    until: Time,
    cost: u64,
    line: u64,
    job: JobId,
}

/// The grants of one limit under one rate.
struct Granted {
    /// None once it was something else: it is not judged any more.
    rate: Option<Rate>,
    told: Vec<Grant>,
    answered: Vec<Grant>,
}

#[derive(Default)]
pub(super) struct Rates {
    granted: HashMap<Scope, Granted>,
}

impl Rule for Rates {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Event(event) if event.event == EventType::Claimed => {
                for (scope, cost) in scopes(event.job, &event.queue, event.group.as_ref(), world) {
                    let (from, until, line, job) = (event.at, event.at, world.line, event.job);
                    let when = When::At(event.at, world.header.skew_ms);
                    if let Some(granted) = self.granted(&scope, &when, world) {
                        granted.told.push(Grant { from, until, cost, line, job });
                    }
                }
            }
            Seen::Given { given, begun } => {
                let job = given.lease.job;
                for (scope, cost) in scopes(job, &given.queue, given.group.as_ref(), world) {
                    let (from, until, line) = (begun.at, world.at, world.line);
                    if let Some(granted) = self.granted(&scope, &When::Lines(begun.line, line), world) {
                        granted.answered.push(Grant { from, until, cost, line, job });
                    }
                }
            }
            Seen::Fault(fault) if matches!(fault.what, FaultKind::Clock | FaultKind::Failover) => {
                judge_all(&mut self.granted, found);
                self.granted.clear();
            }
            _ => {}
        }
    }

    fn finish(&mut self, _: &World, found: &mut Findings) {
        judge_all(&mut self.granted, found);
    }
}

impl Rates {
    /// Where to note a grant; none when the limit has no rate, or not the same one all the time.
    fn granted(&mut self, scope: &Scope, when: &When, world: &World) -> Option<&mut Granted> {
        let settings = settings_of(scope, world, when)?;
        let rate = settings.first().and_then(|first| first.rate);
        let same = settings.iter().all(|settings| settings.rate == rate);
        if !self.granted.contains_key(scope) {
            let rate = rate.filter(|_| same)?;
            let granted = Granted { rate: Some(rate), told: Vec::new(), answered: Vec::new() };
            self.granted.insert(scope.clone(), granted);
        }
        let granted = self.granted.get_mut(scope)?;
        if !same || granted.rate != rate {
            *granted = Granted { rate: None, told: Vec::new(), answered: Vec::new() };
        }
        granted.rate.is_some().then_some(granted)
    }
}

fn judge_all(all: &mut HashMap<Scope, Granted>, found: &mut Findings) {
    for (scope, granted) in all {
        let Some(rate) = granted.rate else { continue };
        judge(scope, &rate, &mut granted.told, found);
        judge(scope, &rate, &mut granted.answered, found);
    }
}

fn judge(scope: &Scope, rate: &Rate, grants: &mut [Grant], found: &mut Findings) {
    grants.sort_by_key(|grant| (grant.from, grant.line));
    let (count, period, burst) = (i128::from(rate.count), i128::from(rate.period_ms), i128::from(rate.burst));
    let (mut sum, mut until) = (0i128, Time::ZERO);
    // The start of the worst window so far: what had been granted before it, in the rate's own measure.
    let mut worst: Option<(i128, i128, Grant)> = None;
    for grant in grants.iter() {
        let start = sum * period - count * i128::from(grant.from.0);
        if worst.is_none_or(|(least, ..)| start < least) {
            worst = Some((start, sum, *grant));
        }
        sum += i128::from(grant.cost);
        until = until.max(grant.until);
        let end = (sum - burst) * period - count * i128::from(until.0);
        let Some((least, before, first)) = worst else { continue };
        found.hold(I8, end <= least, grant.job, &[first.line, grant.line], || {
            let (granted, ms) = (sum - before, until.since(first.from));
            format!(
                "{scope} granted {granted} in {ms} ms; its rate is {count} in {period} ms, its burst {burst}"
            )
        });
    }
}

//! I7: slots held equal jobs running, and no slot is granted above the limit of that moment.
//!
//! Sees: by events in total order, the exact sum at each claim, against every value that the limit may have had at that
//! time; by calls, leases that certainly held at one moment; in a look, a named limit's slots against its running jobs.
//! Queues, groups and named limits alike. Lowering a limit revokes nothing, and is not taken for a violation.
//! Cannot see: limits that no recorded call has set; the costs of jobs that no recorded client enqueued.

use super::{Dump, Rule, Seen};
use crate::format::{Ask, SeenEvent};
use crate::report::{Findings, Invariant::I7};
use crate::settings::Settings;
use crate::world::World;
use std::collections::HashMap;
use windlass_core::event::EventType as E;
use windlass_core::limit::LimitSettings;
use windlass_core::{GroupKey, JobId, LimitName, QueueName, State};

/// What a slot is taken of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Queue(QueueName),
    Group(QueueName, Option<GroupKey>),
    Limit(LimitName),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scope::Queue(queue) => write!(f, "queue {queue}"),
            Scope::Group(queue, Some(group)) => write!(f, "group {group} of queue {queue}"),
            Scope::Group(queue, None) => write!(f, "the jobs without a group of queue {queue}"),
            Scope::Limit(limit) => write!(f, "limit {limit}"),
        }
    }
}

/// Everything that a job takes when it starts, with the cost.
pub(super) fn scopes(
    id: JobId,
    queue: &QueueName,
    group: Option<&GroupKey>,
    world: &World,
) -> impl Iterator<Item = (Scope, u64)> {
    let named = world.job(id).and_then(|job| job.asked.as_ref()).map(|asked| asked.limits.clone());
    let named = named.unwrap_or_default().into_iter();
    [(Scope::Queue(queue.clone()), 1), (Scope::Group(queue.clone(), group.cloned()), 1)]
        .into_iter()
        .chain(named.map(|limit| (Scope::Limit(limit.name), u64::from(limit.cost))))
}

/// The settings that a scope may have had, asked for by `when`; none when nobody knows.
pub(super) fn settings_of(scope: &Scope, world: &World, when: &When) -> Option<Vec<LimitSettings>> {
    match scope {
        Scope::Queue(queue) => Some(when.of(world.queues.get(queue)?)?.iter().map(|s| s.limits).collect()),
        Scope::Limit(limit) => {
            let set = when.of(world.limits.get(limit)?)?;
            Some(set.iter().map(|s| s.unwrap_or_default()).collect())
        }
        Scope::Group(queue, group) => {
            let defaults = || -> Option<Vec<LimitSettings>> {
                Some(when.of(world.queues.get(queue)?)?.iter().map(|s| s.groups.limits).collect())
            };
            let Some(own) = world.groups.get(&(queue.clone(), group.clone())).filter(|own| !own.is_empty())
            else {
                return defaults();
            };
            let mut all = Vec::new();
            for settings in when.of(own)? {
                match settings {
                    Some(settings) => all.push(settings.limits),
                    None => all.extend(defaults()?),
                }
            }
            Some(all)
        }
    }
}

/// For which stretch a setting is asked.
pub(super) enum When {
    At(windlass_core::Time, u64),
    Lines(u64, u64),
}

impl When {
    fn of<'a, T: PartialEq>(&self, settings: &'a Settings<T>) -> Option<Vec<&'a T>> {
        match self {
            When::At(at, skew_ms) => settings.at(*at, *skew_ms),
            When::Lines(from, to) => settings.between_lines(*from, *to),
        }
    }
}

/// The most that may run at once; none when there may be no limit.
fn most(scope: &Scope, world: &World, when: &When) -> Option<u64> {
    let all = settings_of(scope, world, when)?;
    all.into_iter().map(|s| s.concurrency.map(u64::from)).try_fold(0, |most, each| Some(each?.max(most)))
}

type Slots = HashMap<Scope, HashMap<JobId, (u64, u64)>>;

/// Who runs, with cost and line: by events, and by calls.
#[derive(Default)]
pub(super) struct Limits {
    told: Slots,
    held: Slots,
}

fn sum(slots: &HashMap<JobId, (u64, u64)>) -> u64 {
    slots.values().map(|(cost, _)| cost).sum()
}

impl Rule for Limits {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Event(event) if world.total_order() => self.event(event, world, found),
            Seen::Given { given, begun } => {
                let id = given.lease.job;
                // Only leases that all hold at this very moment are counted, the new one too: its answer may be late.
                let cancelled = world.job(id).is_some_and(|job| job.cancelled.is_some());
                let over = world.at.plus_ms(world.header.skew_ms) >= given.lease.deadline;
                if cancelled || over || world.fault_since(begun.line) {
                    return;
                }
                for (scope, cost) in scopes(id, &given.queue, given.group.as_ref(), world) {
                    let slots = self.held.entry(scope.clone()).or_default();
                    slots.insert(id, (cost, begun.line));
                    judge_held(&scope, slots, id, world, found);
                }
            }
            Seen::Begun(begun) => {
                let Ask::Claim { settle, .. } = &begun.ask else { return };
                for settle in settle {
                    let job = world.job(settle.lease.job);
                    let current =
                        job.and_then(|job| job.held).is_some_and(|h| h.lease.token == settle.lease.token);
                    if let Some(asked) = job.and_then(|job| job.asked.as_ref()).filter(|_| current) {
                        for (scope, _) in scopes(asked.id, &asked.queue, asked.group.as_ref(), world) {
                            self.held.get_mut(&scope).map(|slots| slots.remove(&settle.lease.job));
                        }
                    }
                }
            }
            Seen::Fault(_) => {
                self.held.clear();
                if world.power_since(0) {
                    self.told.clear();
                }
            }
            Seen::Dump(dump) if dump.end.quiet => look(dump, world, found),
            _ => {}
        }
    }
}

impl Limits {
    fn event(&mut self, event: &SeenEvent, world: &World, found: &mut Findings) {
        let Some(job) = world.job(event.job) else { return };
        let scopes = scopes(event.job, &event.queue, event.group.as_ref(), world);
        if event.event == E::Claimed {
            for (scope, cost) in scopes {
                let slots = self.told.entry(scope.clone()).or_default();
                slots.insert(event.job, (cost, world.line));
                let Some(most) = most(&scope, world, &When::At(event.at, world.header.skew_ms)) else {
                    continue;
                };
                let used = sum(slots);
                let lines: Vec<u64> =
                    slots.values().map(|(_, line)| *line).take(20).chain([world.line]).collect();
                found.hold(I7, used <= most, event.job, &lines, || {
                    format!("job {} was claimed, which made {used} of {scope}; {most} may run", event.job)
                });
            }
        } else if job.story.running.is_some() && event.event != E::CancelRequested {
            for (scope, _) in scopes {
                if let Some(slots) = self.told.get_mut(&scope) {
                    slots.remove(&event.job);
                }
            }
        }
    }
}

/// Leases that certainly hold now are more than could be granted since the oldest of them was.
fn judge_held(
    scope: &Scope,
    slots: &mut HashMap<JobId, (u64, u64)>,
    id: JobId,
    world: &World,
    found: &mut Findings,
) {
    let most_since = |slots: &HashMap<JobId, (u64, u64)>| {
        let oldest = slots.values().map(|(_, line)| *line).min()?;
        most(scope, world, &When::Lines(oldest, world.line))
    };
    let Some(most) = most_since(slots) else { return };
    if sum(slots) > most {
        slots.retain(|other, _| {
            *other == id
                || world.job(*other).and_then(|job| job.held).is_some_and(|held| world.surely_holds(&held, 0))
        });
    }
    let Some(most) = most_since(slots) else { return };
    let used = sum(slots);
    let lines: Vec<u64> = slots.values().map(|(_, line)| *line).take(20).chain([world.line]).collect();
    found.hold(I7, used <= most, id, &lines, || {
        format!("job {id} was given, which made {used} held of {scope}; {most} may run")
    });
}

fn look(dump: &Dump, world: &World, found: &mut Findings) {
    let mut used: HashMap<&LimitName, u64> = HashMap::new();
    for (job, _) in dump.jobs.values().filter(|(job, _)| job.state == State::Running) {
        let Some(asked) = world.job(job.id).and_then(|job| job.asked.as_ref()) else { return };
        for limit in &asked.limits {
            *used.entry(&limit.name).or_default() += u64::from(limit.cost);
        }
    }
    for (limit, line) in &dump.limits {
        let runs = used.get(&limit.name).copied().unwrap_or(0);
        found.hold(I7, limit.in_use == runs, None, &[*line], || {
            format!("limit {} counts {} in use, and its running jobs take {runs}", limit.name, limit.in_use)
        });
    }
}

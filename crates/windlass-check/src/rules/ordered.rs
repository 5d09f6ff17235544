//! I6: an ordered group never holds two leases, and goes in order.
//!
//! Sees, by calls: a second lease of a group while the first one certainly held; a job given while another one, whose
//! enqueue was acknowledged before its own began, certainly had not ended. By events in total order: the exact line of
//! each group, its head kept through retry, snooze, release, loss and restart, a dead head as the group's settings say.
//! Cannot see: groups whose settings changed while they had jobs, or were not set by a recorded call; the place of a job
//! of which the history does not say when it became ready.

use super::{Rule, Seen};
use crate::format::{Item, SeenEvent};
use crate::report::{Findings, Invariant::I6};
use crate::world::World;
use std::collections::{BTreeMap, HashMap, VecDeque};
use windlass_core::event::EventType as E;
use windlass_core::job::State;
use windlass_core::queue::OnHeadDeath;
use windlass_core::store::EnqueueStatus;
use windlass_core::{GroupKey, JobId, QueueName};

type Group = (QueueName, Option<GroupKey>);

/// One ordered group.
#[derive(Default)]
struct Line {
    /// By calls: acknowledged jobs that were ready at once, oldest first.
    asked: VecDeque<JobId>,
    /// By calls: the job that was given last.
    given: Option<JobId>,
    /// By events: who has taken a place and not left it.
    places: BTreeMap<u64, JobId>,
    running: Option<JobId>,
    /// A job of the group stands at a place that the history does not tell.
    unsure: bool,
}

#[derive(Default)]
pub(super) struct Ordered {
    lines: HashMap<Group, Line>,
    place_of: HashMap<JobId, u64>,
    next_place: u64,
}

impl Rule for Ordered {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Enqueued { asked, told: Item::Ok(done), .. }
                if done.status == EnqueueStatus::Created
                    && done.state == State::Ready
                    && world.ordered(&asked.queue, asked.group.as_ref()).is_some() =>
            {
                let group = (asked.queue.clone(), asked.group.clone());
                self.lines.entry(group).or_default().asked.push_back(done.id);
            }
            Seen::Given { given, begun } if world.ordered(&given.queue, given.group.as_ref()).is_some() => {
                let group = (given.queue.clone(), given.group.clone());
                let line = self.lines.entry(group).or_default();
                line.given(given.lease.job, begun.line, world, found);
            }
            Seen::Event(event) if world.total_order() => {
                if let Some(on_death) = world.ordered(&event.queue, event.group.as_ref()) {
                    self.event(event, on_death, world, found);
                }
            }
            Seen::Fault(_) if world.power_since(0) => {
                self.lines.values_mut().for_each(|line| line.unsure = true)
            }
            _ => {}
        }
    }
}

impl Line {
    fn given(&mut self, id: JobId, begun: u64, world: &World, found: &mut Findings) {
        if let Some(other) = self.given.filter(|other| *other != id)
            && let Some(held) = world.job(other).and_then(|job| job.held).filter(|held| held.line < begun)
        {
            found.hold(I6, !world.surely_holds(&held, 0), id, &[held.line, world.line], || {
                format!("job {id} was given while job {other} of its ordered group was held")
            });
        }
        self.given = Some(id);
        // The oldest job that certainly is live must be this one, or one that came no earlier.
        while let Some(first) = self.asked.front() {
            let Some(job) = world.job(*first).filter(|job| job.surely_live_at(world.line, world)) else {
                self.asked.pop_front();
                continue;
            };
            let Some(own) = world.job(id).filter(|own| own.asked.is_some() && *first != id) else { return };
            let taken = job.taken.map_or(u64::MAX, |(line, _)| line);
            let earlier = taken < own.asked_by.0
                || (job.asked_by.0 == own.asked_by.0 && job.asked_by.2 < own.asked_by.2);
            let (overtaken, lines) = (*first, [taken, own.asked_by.0, begun, world.line]);
            return found.hold(I6, !earlier, id, &lines, || {
                format!(
                    "job {id} was given before job {overtaken}, which stood before it in its ordered group"
                )
            });
        }
    }
}

impl Ordered {
    fn event(&mut self, event: &SeenEvent, on_death: OnHeadDeath, world: &World, found: &mut Findings) {
        let (id, group) = (event.job, (event.queue.clone(), event.group.clone()));
        let line = self.lines.entry(group.clone()).or_default();
        match event.event {
            E::Enqueued => match ready_at_once(event, world) {
                Some(true) => self.join(id, &group),
                Some(false) => {}
                None => line.unsure = true,
            },
            E::Promoted | E::Unblocked if !self.place_of.contains_key(&id) => {
                let later = event.event == E::Unblocked && is_timed(id, world);
                if !later {
                    self.join(id, &group);
                }
            }
            E::Retried if !self.place_of.contains_key(&id) => match waits_for_parents(id, world) {
                Some(false) => self.join(id, &group),
                Some(true) => {}
                None => line.unsure = true,
            },
            E::Claimed => {
                if let Some(other) = line.running.filter(|other| *other != id) {
                    let told = world.job(other).map_or(0, |job| job.story.line);
                    found.hold(I6, false, id, &[told, world.line], || {
                        format!("job {id} was claimed while job {other} of its ordered group was held")
                    });
                }
                line.running = Some(id);
                let head = line.places.first_key_value().map(|(_, id)| *id);
                if !line.unsure && self.place_of.contains_key(&id) {
                    found.hold(I6, head == Some(id), id, &[world.line], || {
                        let head = head.unwrap_or(id);
                        format!("job {id} was claimed, and job {head} is the head of its ordered group")
                    });
                }
            }
            E::Completed | E::Cancelled | E::Removed => {
                line.let_go(id);
                self.leave(id, &group);
            }
            E::Died => {
                line.let_go(id);
                if on_death == OnHeadDeath::Park {
                    self.leave(id, &group);
                }
            }
            E::Failed | E::Lost | E::Snoozed | E::Released => line.let_go(id),
            E::Promoted | E::Unblocked | E::Retried | E::CancelRequested | E::Edited => {}
        }
    }

    fn join(&mut self, id: JobId, group: &Group) {
        self.next_place += 1;
        self.place_of.insert(id, self.next_place);
        self.lines.entry(group.clone()).or_default().places.insert(self.next_place, id);
    }

    fn leave(&mut self, id: JobId, group: &Group) {
        if let (Some(place), Some(line)) = (self.place_of.remove(&id), self.lines.get_mut(group)) {
            line.places.remove(&place);
        }
    }
}

impl Line {
    fn let_go(&mut self, id: JobId) {
        if self.running == Some(id) {
            self.running = None;
        }
    }
}

/// Whether a job that was just taken in is ready; none when nobody recorded what was asked.
fn ready_at_once(event: &SeenEvent, world: &World) -> Option<bool> {
    let asked = world.job(event.job)?.asked.as_ref()?;
    let later = asked.delay_ms.is_some_and(|ms| ms > 0) || asked.run_at.is_some_and(|at| at > event.at);
    Some(!later && !waits_for_parents(event.job, world)?)
}

fn is_timed(id: JobId, world: &World) -> bool {
    let asked = world.job(id).and_then(|job| job.asked.as_ref());
    asked.is_some_and(|asked| asked.delay_ms.is_some() || asked.run_at.is_some())
}

/// Whether some parent has not ended; none when nobody knows.
fn waits_for_parents(id: JobId, world: &World) -> Option<bool> {
    let asked = world.job(id)?.asked.as_ref()?;
    Some(asked.parents.iter().any(|parent| world.job(parent.id).is_some_and(|parent| parent.story.is_live())))
}

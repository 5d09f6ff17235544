//! Why is it not running? Read from where the job stands, without looking at any other job.

use super::Core;
use crate::machine::lanes::{Shut, Standing};
use crate::machine::slots::NONE;
use windlass_core::why::{Full, Reason, Why};
use windlass_core::{JobId, Rejection, State, Time};

impl Core {
    pub(crate) fn why(&self, id: JobId) -> Result<Why, Rejection> {
        let at = self.known(id)?;
        let machine = &self.machine;
        let slot = machine.slots.at(at);
        let extra = machine.extra(at);
        let say = |reason, detail: String| Why { reason, detail, eta: None, ahead: None };
        let until = |reason, detail: String, eta| Why { reason, detail, eta: Some(Time(eta)), ahead: None };
        Ok(match slot.state() {
            State::Running => {
                let lease = &machine.leases[slot.aux];
                say(
                    Reason::Running,
                    format!("attempt {} since {}", machine.attempt(at), Time(lease.started_at)),
                )
            }
            State::Completed | State::Dead | State::Cancelled => {
                say(Reason::Ended, format!("{} at {}", slot.state(), Time(slot.when)))
            }
            State::Retrying => until(
                Reason::RetryBackoff,
                format!(
                    "failed {} and was lost {} times; last error: {}",
                    extra.map_or(0, |e| e.failures),
                    extra.map_or(0, |e| e.losses),
                    extra.and_then(|e| e.last_error.as_deref()).unwrap_or("none"),
                ),
                slot.when,
            ),
            State::Scheduled if self.lacks_handler(at) => until(
                Reason::NoHandler,
                format!(
                    "given back {} times: no worker that claimed it knows kind {}, or its payload does not decode, and then \
                     the attempt's log says why",
                    extra.map_or(0, |e| e.no_handler),
                    machine.kinds[usize::from(slot.kind)],
                ),
                slot.when,
            ),
            State::Scheduled if machine.was_snoozed(at) => until(
                Reason::Snoozed,
                extra.and_then(|e| e.reason.as_deref()).unwrap_or("postponed by its worker").to_owned(),
                slot.when,
            ),
            State::Scheduled => until(Reason::Scheduled, format!("due at {}", Time(slot.when)), slot.when),
            State::Blocked => {
                let waits: Vec<String> = extra
                    .map(|e| e.parents.iter())
                    .into_iter()
                    .flatten()
                    .filter(|(id, on)| {
                        machine.find(JobId(*id)).is_some_and(|p| {
                            !crate::machine::flow::released_by(machine.slots.at(p).state(), *on)
                        })
                    })
                    .take(3)
                    .map(|(id, _)| JobId(*id).to_string())
                    .collect();
                say(Reason::WaitingOnParents, format!("waits for {}", waits.join(", ")))
            }
            State::Ready => self.why_ready(at),
        })
    }

    fn why_ready(&self, at: u32) -> Why {
        let machine = &self.machine;
        let slot = machine.slots.at(at);
        let lane = &machine.lanes[slot.lane];
        let group = &machine.groups[lane.group];
        let queue = &machine.queues[usize::from(group.queue)];
        let now = machine.now.store;
        let why = |reason, detail: String, eta: Option<u64>| Why {
            reason,
            detail,
            eta: eta.map(|at| Time(self.to_wall(at))),
            ahead: None,
        };
        let name = &queue.name;
        if queue.settings.paused {
            return why(Reason::QueuePaused, format!("queue {name} is paused"), None);
        }
        if group.places.is_some() && machine.head(slot.lane) != at {
            let head = machine.head(slot.lane);
            let (id, state) = if head == NONE {
                ("nobody".to_owned(), "gone".to_owned())
            } else {
                let head = machine.slots.at(head);
                (JobId(head.id).to_string(), head.state().to_string())
            };
            return why(
                Reason::OrderedBehind,
                format!("its group goes in order; {id} is before it ({state})"),
                None,
            );
        }
        if let Some(most) = queue.settings.limits.concurrency.filter(|most| queue.running >= *most) {
            return Full::Queue { queue: name.to_string(), most }.into();
        }
        if let Err(Some(at)) = queue.open(now) {
            return why(
                Reason::RateLimited,
                format!("the rate of queue {name} is used up, or it is held"),
                Some(at),
            );
        }
        match machine.group_open(lane.group, now) {
            Err(Shut::Concurrency) => {
                let most = machine.group_settings(lane.group).limits.concurrency.unwrap_or_default();
                return Full::Group { queue: name.to_string(), most, running: group.running.into() }.into();
            }
            Err(Shut::Until(at)) => {
                return why(
                    Reason::RateLimited,
                    "the rate of its group is used up, or it is held".into(),
                    Some(at),
                );
            }
            Ok(()) => {}
        }
        let closed = match lane.standing {
            Standing::AtLimit { limit, .. } => Some((limit, None)),
            _ => machine.limits_open(lane.limits, now).err(),
        };
        if let Some((closed_limit, at)) = closed {
            let limit = &machine.limits[closed_limit];
            let cost = machine.limit_sets.uses(lane.limits).iter().find(|(l, _)| *l == closed_limit);
            let cost = cost.map_or(1, |(_, cost)| u64::from(*cost));
            let (limit_name, in_use) = (&limit.name, limit.in_use);
            if let Some(most) = limit.settings.concurrency.filter(|most| in_use + cost > u64::from(*most)) {
                return Full::Limit { limit: limit_name.to_string(), most, in_use, cost }.into();
            }
            let at = at.or((limit.timer_at > now).then_some(limit.timer_at));
            let detail = format!("the rate of limit {limit_name} is used up, or it is held");
            return why(Reason::RateLimited, detail, at);
        }
        if queue.running == 0 && !machine.has_worker(name) {
            return why(Reason::NoWorker, format!("no worker asks for queue {name}"), None);
        }
        let head = machine.head(slot.lane);
        let ahead = if head == NONE { 0 } else { slot.seq.saturating_sub(machine.slots.at(head).seq) };
        let ahead = ahead.min(u64::from(group.counts[State::Ready as usize]).saturating_sub(1));
        let weight = u64::from(machine.group_settings(lane.group).weight);
        let detail = format!(
            "its turn comes: weight {weight} among {} groups that can run, priority {}",
            queue.order.len(),
            lane.priority
        );
        Why { reason: Reason::FairShare, detail, eta: None, ahead: Some(ahead) }
    }
}

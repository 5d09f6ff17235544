//! What people ask: one job in full, queues, groups, limits, schedules, failure modes.

use super::Core;
use super::list::options_of;
use crate::codec::Decoder;
use crate::fact::Fact;
use crate::machine::extra::What;
use crate::machine::slots::flag;
use windlass_core::event::EventType;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::job::{AttemptRecord, JobDetail, Progress};
use windlass_core::limit::LimitSettings;
use windlass_core::store::{Counts, FailureMode, GroupInfo, LimitInfo, Page, QueueInfo, ScheduleInfo};
use windlass_core::{GroupKey, JobId, LimitName, QueueName, Rejection, State, Time, WorkerId};

impl Core {
    /// Everything about one job.
    pub(crate) fn get(&mut self, id: JobId) -> Result<Option<JobDetail>, Rejection> {
        let Some(at) = self.machine.find(id) else { return Ok(None) };
        let record = self.record(at)?;
        let fact = record.fact()?;
        let options = options_of(&fact);
        let view = self.view(at, &fact, options.clone());
        let payload = fact.payload.to_vec();
        let slot = *self.machine.slots.at(at);
        let extra = self.machine.extra(at).cloned().unwrap_or_default();
        let running = slot.state() == State::Running;
        let lease = running.then(|| self.machine.leases[slot.aux]);
        let mut detail = JobDetail {
            view,
            payload,
            result: None,
            checkpoint: None,
            progress: None,
            attempts: Vec::new(),
            unique: options.unique,
            limits: options.limits,
            parents: options.parents,
            children: extra
                .children
                .iter()
                .map(|id| JobId(*id))
                .filter(|id| self.machine.find(*id).is_some())
                .collect(),
            retry: options.retry,
            expires_at: options.expires_at.map(Time),
            timeout_ms: options.timeout_ms,
            trace: options.trace,
            cancel_requested: running && slot.is(flag::CANCEL),
            worker: lease.map(|l| WorkerId(l.worker)),
            deadline: lease.map(|l| Time(self.to_wall(l.deadline))),
        };
        for kept in &extra.kept {
            if kept.what != What::Log {
                let bytes = self.read(kept.place(), kept.len)?;
                self.add_kept(&mut detail, &bytes, kept.at);
            }
        }
        if slot.is(flag::SETTLED) {
            let settled = self.machine.settled[slot.aux];
            let bytes = self.read(settled.place, settled.len)?;
            let ended_at = detail.view.since.0;
            self.add_kept(&mut detail, &bytes, ended_at);
        }
        if let Some(lease) = lease {
            detail.attempts.push(AttemptRecord {
                attempt: self.machine.attempt(at),
                worker: WorkerId(lease.worker),
                started_at: Time(lease.started_at),
                ended_at: None,
                outcome: "running".into(),
                error: None,
            });
        }
        Ok(Some(detail))
    }

    fn add_kept(&self, detail: &mut JobDetail, bytes: &[u8], at: u64) {
        let Ok(fact) = Fact::decode(&mut Decoder::new(bytes), true) else { return };
        let ended = |attempt: u32, held: crate::fact::Held, outcome: EventType, error| AttemptRecord {
            attempt,
            worker: WorkerId(held.worker),
            started_at: Time(held.started_at),
            ended_at: Some(Time(at)),
            outcome: outcome.to_string(),
            error,
        };
        match fact {
            Fact::Failed { job, held, dead, error, .. } => {
                let outcome = if dead { EventType::Died } else { EventType::Failed };
                detail.attempts.push(ended(job.attempt, held, outcome, serde_json::from_slice(error).ok()));
            }
            Fact::Lost { job, held, retry_at, .. } => {
                let mut attempt = ended(job.attempt, held, EventType::Lost, None);
                // A lost job is due again at once.
                attempt.ended_at = Some(Time(retry_at));
                detail.attempts.push(attempt);
            }
            Fact::Completed { job, held, result } => {
                detail.result = result.map(<[u8]>::to_vec);
                detail.attempts.push(ended(job.attempt, held, EventType::Completed, None));
            }
            Fact::Checkpoint { bytes, .. } => detail.checkpoint = Some(bytes.to_vec()),
            Fact::Progress { percent, message, .. } => {
                detail.progress = Some(Progress { percent, message: message.map(Into::into) });
            }
            _ => {}
        }
    }

    /// The log of one attempt.
    pub(crate) fn logs(&mut self, id: JobId, attempt: u32) -> Result<String, Rejection> {
        let at = self.known(id)?;
        let kept: Vec<_> = self
            .machine
            .extra(at)
            .map(|extra| {
                extra.kept.iter().filter(|k| k.what == What::Log && k.attempt == attempt).copied().collect()
            })
            .unwrap_or_default();
        let mut log = String::new();
        for kept in kept {
            let bytes = self.read(kept.place(), kept.len)?;
            if let Ok(Fact::Log { text, .. }) = Fact::decode(&mut Decoder::new(&bytes), true) {
                log.push_str(text);
            }
        }
        Ok(log)
    }

    pub(crate) fn queues(&mut self, name: Option<&QueueName>) -> Vec<QueueInfo> {
        let wall = self.machine.now.wall;
        let numbers: Vec<u16> = match name {
            Some(name) => self.machine.queue_number(name).into_iter().collect(),
            None => (0..self.machine.queues.len() as u16).collect(),
        };
        let mut infos: Vec<QueueInfo> = numbers
            .into_iter()
            .map(|number| {
                let oldest_ready = self.machine.oldest_ready(number).map(Time);
                let queue = &self.machine.queues[usize::from(number)];
                QueueInfo {
                    name: queue.name.clone(),
                    settings: queue.settings.clone(),
                    counts: queue.counts,
                    totals: queue.tally.totals,
                    oldest_ready,
                    groups: queue.groups.len() as u64,
                    wait_ms: (*queue.tally.wait_ms).clone(),
                    run_ms: (*queue.tally.run_ms).clone(),
                    completed_last_minute: queue.tally.completed.last_minute(wall),
                }
            })
            .collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        infos
    }

    pub(crate) fn groups(
        &self,
        queue: &QueueName,
        after: Option<&GroupKey>,
        limit: usize,
    ) -> Page<GroupInfo> {
        let Some(number) = self.machine.queue_number(queue) else { return Page::default() };
        let mut members: Vec<(&str, u32)> =
            self.machine.queues[usize::from(number)].groups.iter().map(|(key, at)| (&**key, *at)).collect();
        members.retain(|(key, _)| after.is_none_or(|after| *key > after.as_str()));
        let examined = members.len();
        let limit = limit.clamp(1, windlass_core::bounds::PAGE_MAX);
        if members.len() > limit {
            members.select_nth_unstable(limit);
            members.truncate(limit);
        }
        members.sort_unstable();
        let next = (examined > limit).then(|| members.last().map(|(key, _)| (*key).to_owned())).flatten();
        let items = members.into_iter().map(|(_, at)| self.group_info(at)).collect();
        Page { items, next, examined }
    }

    fn group_info(&self, at: u32) -> GroupInfo {
        let group = &self.machine.groups[at];
        let mut counts = Counts::default();
        for (to, from) in counts.0.iter_mut().zip(group.counts) {
            *to = u64::from(from);
        }
        let head = group.places.map(|places| places.head).filter(|head| *head != crate::machine::slots::NONE);
        let shut_by = head.map(|head| self.machine.slots.at(head)).filter(|head| head.state() == State::Dead);
        let held = group.hold_until > self.machine.now.store;
        GroupInfo {
            key: GroupKey::new(&*group.key).ok(),
            settings: self.machine.group_settings(at),
            own_settings: group.own.is_some(),
            counts,
            claimed: group.claimed,
            held_until: held.then(|| Time(self.to_wall(group.hold_until))),
            shut_by: shut_by.map(|head| JobId(head.id)),
        }
    }

    pub(crate) fn limits(&self, after: Option<&LimitName>, limit: usize) -> Page<LimitInfo> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        let limit = limit.clamp(1, windlass_core::bounds::PAGE_MAX);
        let now = self.machine.now.store;
        let mut rows = self.machine.limit_numbers.range((from, Bound::Unbounded));
        let items: Vec<LimitInfo> = rows
            .by_ref()
            .take(limit)
            .map(|(name, at)| {
                let l = &self.machine.limits[*at];
                let closed = l.open(now, 1).err().flatten();
                LimitInfo {
                    name: name.clone(),
                    settings: if l.is_set { l.settings } else { LimitSettings::default() },
                    in_use: l.in_use,
                    waiting_lanes: l.lines.values().map(|line| line.len() as u64).sum(),
                    closed_until: closed.map(|at| Time(self.to_wall(at))),
                }
            })
            .collect();
        let next = rows.next().and(items.last()).map(|info| info.name.to_string());
        Page { examined: items.len(), items, next }
    }

    pub(crate) fn schedules(&self) -> Vec<ScheduleInfo> {
        let all = self.machine.schedules.by_name.values();
        all.map(|s| ScheduleInfo {
            spec: s.spec.clone(),
            last_tick: s.last_tick,
            last_job: s.last_job,
            next_tick: s.next,
            ticks: s.ticks,
            skipped: s.skipped,
        })
        .collect()
    }

    pub(crate) fn errors(&self, queue: Option<&QueueName>, limit: usize) -> Vec<FailureMode> {
        let mut modes: Vec<FailureMode> = self
            .machine
            .queues
            .iter()
            .filter(|q| queue.is_none_or(|name| *name == q.name))
            .flat_map(|q| {
                q.tally.modes.iter().map(|(print, mode)| FailureMode {
                    fingerprint: Fingerprint(*print),
                    title: mode.title.clone(),
                    queue: q.name.clone(),
                    kind: self.machine.kinds[usize::from(mode.kind)].clone(),
                    dead: mode.dead,
                    failures: mode.failures,
                    first_seen: Time(mode.first_seen),
                    last_seen: Time(mode.last_seen),
                    sample: mode.sample,
                })
            })
            .collect();
        modes.sort_by(|a, b| (b.dead, b.failures, a.fingerprint).cmp(&(a.dead, a.failures, b.fingerprint)));
        modes.truncate(limit);
        modes
    }
}

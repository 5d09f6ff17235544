//! Settings changed live, schedules, readers and values: everything that is about no single job.

use super::Core;
use crate::fact::{Fact, ReaderFact};
use windlass_core::bounds::{LIMITS_MAX, META_BYTES_MAX, SCHEDULES_MAX};
use windlass_core::limit::LimitSettings;
use windlass_core::name::{LimitName, ScheduleName};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{Reader, ScheduleSpec};
use windlass_core::{GroupKey, QueueName, Rejection, Time};

/// Payloads above this are ticked one a step, so that a step stays within the room kept for it.
const TICK_BYTES: usize = 512;

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own plain structs always serialise")
}

impl Core {
    pub(crate) fn set_queue(&mut self, name: &QueueName, settings: &QueueSettings) -> Result<(), Rejection> {
        settings.validate()?;
        let queue = self.queue_for(name)?;
        let old = self.machine.queues[usize::from(queue)].settings.groups.ordered;
        if old != settings.groups.ordered {
            let members = self.machine.queues[usize::from(queue)].groups.values();
            let busy = members.filter(|g| self.machine.groups[**g].own.is_none());
            if busy.into_iter().any(|g| self.has_live_jobs(*g)) {
                return Err(order_is_fixed());
            }
        }
        self.emit(&Fact::SetQueue { queue, settings: &json(settings) });
        Ok(())
    }

    pub(crate) fn pause(&mut self, name: &QueueName, paused: bool) -> Result<(), Rejection> {
        let queue = self.queue_for(name)?;
        let mut settings = self.machine.queues[usize::from(queue)].settings.clone();
        settings.paused = paused;
        self.emit(&Fact::SetQueue { queue, settings: &json(&settings) });
        Ok(())
    }

    pub(crate) fn set_group(
        &mut self,
        queue: &QueueName,
        key: Option<&GroupKey>,
        settings: Option<&GroupSettings>,
    ) -> Result<(), Rejection> {
        if let Some(settings) = settings {
            settings.validate()?;
        }
        let queue = self.queue_for(queue)?;
        let name = key.map_or("", |k| k.as_str());
        let defaults = self.machine.queues[usize::from(queue)].settings.groups;
        let ordered = settings.copied().unwrap_or(defaults).ordered;
        if let Some(group) = self.machine.queues[usize::from(queue)].groups.get(name).copied()
            && self.machine.groups[group].places.is_some() != ordered
            && self.has_live_jobs(group)
        {
            return Err(order_is_fixed());
        }
        let settings = settings.map(json).unwrap_or_default();
        self.emit(&Fact::SetGroup { queue, group: name, settings: &settings });
        Ok(())
    }

    fn has_live_jobs(&self, group: u32) -> bool {
        let counts = &self.machine.groups[group].counts;
        windlass_core::State::ALL
            .into_iter()
            .any(|s| (!s.is_terminal() || s == windlass_core::State::Dead) && counts[s as usize] > 0)
    }

    pub(crate) fn set_limit(
        &mut self,
        name: &LimitName,
        settings: Option<&LimitSettings>,
    ) -> Result<(), Rejection> {
        match settings {
            Some(settings) => settings.validate()?,
            None if !self.machine.limit_numbers.contains_key(name) => {
                return Err(Rejection::NotFound { what: format!("limit {name}") });
            }
            None => {}
        }
        if self.machine.limit_numbers.len() >= LIMITS_MAX && !self.machine.limit_numbers.contains_key(name) {
            return Err(Rejection::Invalid {
                what: "limit",
                why: "this store has 1,000,000 named limits".into(),
            });
        }
        let settings = settings.map(json).unwrap_or_default();
        self.emit(&Fact::SetLimit { name: name.as_str(), settings: &settings });
        Ok(())
    }

    pub(crate) fn set_schedule(&mut self, spec: &ScheduleSpec) -> Result<(), Rejection> {
        let refuse = |why| Rejection::Invalid { what: "schedule", why };
        spec.validate(Time(self.machine.now.wall))?;
        let known = self.machine.schedules.by_name.contains_key(&spec.name);
        if !known && self.machine.schedules.by_name.len() >= SCHEDULES_MAX {
            return Err(refuse("this store has 10,000 schedules".into()));
        }
        self.queue_for(&spec.queue)?;
        self.emit(&Fact::SetSchedule { name: spec.name.as_str(), spec: &json(spec) });
        Ok(())
    }

    pub(crate) fn delete_schedule(&mut self, name: &ScheduleName) -> Result<(), Rejection> {
        if !self.machine.schedules.by_name.contains_key(name) {
            return Err(Rejection::NotFound { what: format!("schedule {name}") });
        }
        self.emit(&Fact::SetSchedule { name: name.as_str(), spec: &[] });
        Ok(())
    }

    /// T: every schedule that is due makes its jobs, one per tick.
    pub(crate) fn tick_schedules(&mut self, budget: usize) -> usize {
        let mut done = 0;
        let now = Time(self.machine.now.wall);
        while done < budget {
            let Some((at, name)) = self.machine.schedules.due.first().cloned() else { break };
            if at > now.0 || self.space_low {
                break;
            }
            let Some(schedule) = self.machine.schedules.by_name.get(&name) else { break };
            let due = schedule.compiled.due(schedule.through, now, &schedule.spec.catch_up);
            let (spec, last_job) = (schedule.spec.clone(), schedule.last_job);
            let mut skipped = u32::try_from(due.skipped).unwrap_or(u32::MAX);
            let mut last_job = last_job;
            for tick in &due.ticks {
                if spec.payload.len() > TICK_BYTES && done > 0 {
                    // A large payload is written once a step; the rest goes on with the next.
                    return budget;
                }
                let busy = last_job
                    .and_then(|id| self.machine.find(id))
                    .is_some_and(|at| !self.machine.slots.at(at).state().is_terminal());
                if busy && spec.overlap == windlass_core::schedule::Overlap::Skip {
                    skipped = skipped.saturating_add(1);
                    continue;
                }
                let job = spec.job_at(*tick);
                // A tick whose job is known was made before a crash or by another name's twin.
                let made = self.take_in(&job, false).is_ok();
                let made_id = if made { job.id.0 } else { 0 };
                self.emit(&Fact::Ticked { name: name.as_str(), tick: tick.0, job: made_id, skipped });
                skipped = 0;
                last_job = Some(job.id);
                done += 1;
            }
            if skipped > 0 || due.ticks.is_empty() {
                self.emit(&Fact::Ticked {
                    name: name.as_str(),
                    tick: due.through.0.max(at),
                    job: 0,
                    skipped,
                });
                done += 1;
            }
        }
        done
    }

    pub(crate) fn set_reader(&mut self, reader: &Reader) {
        let (place, index) = (reader.cursor.place, reader.cursor.index);
        let name = windlass_core::bounds::cut(&reader.name, 255);
        let what = reader.keeps_from.map_or(ReaderFact::Reads, |from| ReaderFact::KeepsFrom(from.0));
        self.emit(&Fact::Reader { name, place, index, what });
    }

    pub(crate) fn delete_reader(&mut self, name: &str) {
        let name = windlass_core::bounds::cut(name, 255);
        self.emit(&Fact::Reader { name, place: 0, index: 0, what: ReaderFact::Gone });
    }

    pub(crate) fn set_meta(&mut self, key: &str, value: &[u8], version: u64) -> Result<u64, Rejection> {
        windlass_core::name::check_key("meta", key)?;
        if value.len() > META_BYTES_MAX {
            return Err(Rejection::Invalid { what: "meta", why: "value is more than 1 MiB".into() });
        }
        let current = self.machine.meta.get(key).map_or(0, |(version, _)| *version);
        if version != current {
            return Err(Rejection::VersionConflict { given: version, current });
        }
        self.emit(&Fact::Meta { key, version: current + 1, value });
        Ok(current + 1)
    }
}

fn order_is_fixed() -> Rejection {
    Rejection::Invalid {
        what: "settings",
        why: "ordered can be changed only while the group has no live or dead jobs".into(),
    }
}

//! Schedules: their specs, where they stand, and which ticks next.

use super::Machine;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::name::ScheduleName;
use windlass_core::schedule::Compiled;
use windlass_core::store::ScheduleSpec;
use windlass_core::{JobId, Time};

/// One schedule and its cursor.
pub(crate) struct Schedule {
    pub(crate) spec: ScheduleSpec,
    pub(crate) compiled: Compiled,
    /// Every tick up to here was dealt with.
    pub(crate) through: Time,
    pub(crate) last_tick: Option<Time>,
    pub(crate) last_job: Option<JobId>,
    pub(crate) next: Option<Time>,
    pub(crate) ticks: u64,
    pub(crate) skipped: u64,
}

/// All schedules, by name and by their next tick.
#[derive(Default)]
pub(crate) struct Schedules {
    pub(crate) by_name: BTreeMap<ScheduleName, Schedule>,
    pub(crate) due: BTreeSet<(u64, ScheduleName)>,
}

impl Schedules {
    /// Sets or replaces a schedule whose ticks begin after `through`.
    pub(crate) fn set(&mut self, spec: ScheduleSpec, through: Time) -> Result<(), String> {
        let compiled = spec.timing.compile()?;
        let old = self.by_name.remove(&spec.name);
        let mut schedule = Schedule {
            next: None,
            through,
            last_tick: old.as_ref().and_then(|s| s.last_tick),
            last_job: old.as_ref().and_then(|s| s.last_job),
            ticks: old.as_ref().map_or(0, |s| s.ticks),
            skipped: old.as_ref().map_or(0, |s| s.skipped),
            compiled,
            spec,
        };
        if let Some(next) = old.and_then(|s| s.next) {
            self.due.remove(&(next.0, schedule.spec.name.clone()));
        }
        schedule.next = if schedule.spec.paused { None } else { schedule.compiled.next_after(through) };
        if let Some(next) = schedule.next {
            self.due.insert((next.0, schedule.spec.name.clone()));
        }
        self.by_name.insert(schedule.spec.name.clone(), schedule);
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &ScheduleName) -> bool {
        let Some(gone) = self.by_name.remove(name) else { return false };
        if let Some(next) = gone.next {
            self.due.remove(&(next.0, name.clone()));
        }
        true
    }

    /// A tick was dealt with: it made that job, or none; `skipped` others before it made none.
    pub(crate) fn ticked(&mut self, name: &ScheduleName, tick: Time, job: Option<JobId>, skipped: u32) {
        let Some(schedule) = self.by_name.get_mut(name) else { return };
        schedule.through = schedule.through.max(tick);
        schedule.last_tick = Some(schedule.through);
        schedule.skipped += u64::from(skipped);
        if job.is_some() {
            schedule.last_job = job;
            schedule.ticks += 1;
        }
        if let Some(next) = schedule.next {
            self.due.remove(&(next.0, name.clone()));
        }
        schedule.next =
            if schedule.spec.paused { None } else { schedule.compiled.next_after(schedule.through) };
        if let Some(next) = schedule.next {
            self.due.insert((next.0, name.clone()));
        }
    }
}

impl Machine {
    /// When the next schedule ticks.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        self.schedules.due.first().map(|(at, _)| *at)
    }
}

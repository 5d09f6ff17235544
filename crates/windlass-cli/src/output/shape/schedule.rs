//! Schedules.

use serde::Serialize;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::ScheduleInfo;
use windlass_core::{JobId, Time};

use super::{or_dash, push_some, rfc3339_or_null, time_cell, time_field};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};
use crate::values::moment;
use crate::values::payload::Shown;
use crate::values::span;

/// Ticks shown ahead by `schedules show`.
const UPCOMING: usize = 5;

/// A schedule.
#[derive(Debug, Serialize)]
pub(crate) struct ScheduleShape {
    schedule: String,
    timing: Timing,
    overlap: Overlap,
    catch_up: CatchUp,
    queue: String,
    kind: String,
    group: Option<String>,
    priority: i8,
    paused: bool,
    payload: Shown,
    payload_encoding: &'static str,
    #[serde(serialize_with = "rfc3339_or_null")]
    last_tick: Option<Time>,
    last_job: Option<JobId>,
    #[serde(serialize_with = "rfc3339_or_null")]
    next_tick: Option<Time>,
    ticks: u64,
    skipped: u64,
    upcoming: Vec<String>,
}

impl From<ScheduleInfo> for ScheduleShape {
    fn from(info: ScheduleInfo) -> Self {
        let spec = info.spec;
        let payload = Shown::new(&spec.payload);
        // A stored timing was valid when it was set; one that this build cannot read shows no ticks.
        let ticks =
            spec.timing.compile().map(|timing| timing.upcoming(moment::now(), UPCOMING)).unwrap_or_default();
        Self {
            schedule: spec.name.into(),
            timing: spec.timing,
            overlap: spec.overlap,
            catch_up: spec.catch_up,
            queue: spec.queue.into(),
            kind: spec.kind.into(),
            group: spec.group.map(String::from),
            priority: spec.priority,
            paused: spec.paused,
            payload_encoding: payload.encoding(),
            payload,
            last_tick: info.last_tick,
            last_job: info.last_job,
            next_tick: info.next_tick,
            ticks: info.ticks,
            skipped: info.skipped,
            upcoming: ticks.iter().map(ToString::to_string).collect(),
        }
    }
}

impl ScheduleShape {
    fn timing_text(&self) -> String {
        match &self.timing {
            Timing::Cron { expression, time_zone } => format!("{expression} {time_zone}"),
            Timing::Interval { every_ms, .. } => format!("every {}", span::exact(*every_ms)),
        }
    }
}

impl Row for ScheduleShape {
    const COLUMNS: &'static [Column] = &[
        table::cut("SCHEDULE"),
        table::text("WHEN"),
        table::cut("QUEUE"),
        table::cut("KIND"),
        table::text("LAST"),
        table::text("NEXT"),
        table::number("TICKS"),
        table::number("SKIPPED"),
        table::text("STATUS"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.schedule.clone(),
            self.timing_text(),
            self.queue.clone(),
            self.kind.clone(),
            or_dash(self.last_tick.map(|at| time_cell(at, now, exact))),
            or_dash(self.next_tick.map(|at| time_cell(at, now, exact))),
            self.ticks.to_string(),
            self.skipped.to_string(),
            if self.paused { "paused" } else { "on" }.to_owned(),
        ]
    }
}

impl Record for ScheduleShape {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let overlap = match self.overlap {
            Overlap::Allow => "allow",
            Overlap::Skip => "skip",
        };
        let catch_up = match self.catch_up {
            CatchUp::Skip => "skip".to_owned(),
            CatchUp::Last => "last".to_owned(),
            CatchUp::All { max } => format!("all={max}"),
        };
        let mut fields = vec![
            ("schedule", self.schedule.clone()),
            ("when", self.timing_text()),
            ("status", if self.paused { "paused" } else { "on" }.to_owned()),
            ("queue", self.queue.clone()),
            ("kind", self.kind.clone()),
        ];
        push_some(&mut fields, "group", self.group.as_ref());
        push_some(&mut fields, "priority", (self.priority != 0).then_some(self.priority));
        fields.push(("overlap", overlap.to_owned()));
        fields.push(("catch up", catch_up));
        fields.push(("payload", self.payload.text()));
        push_some(&mut fields, "last tick", self.last_tick.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "last job", self.last_job);
        fields.push(("ticks", format!("{} ({} skipped)", self.ticks, self.skipped)));
        push_some(
            &mut fields,
            "next",
            (!self.paused && !self.upcoming.is_empty()).then(|| self.upcoming.join("\n")),
        );
        fields
    }
}

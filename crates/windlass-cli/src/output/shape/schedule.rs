//! Schedules.

use windlass_api::payload;
use windlass_api::schedule::ScheduleShape;
use windlass_core::Time;
use windlass_core::schedule::{CatchUp, Overlap, Timing};

use super::{or_dash, push_some, time_cell, time_field};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};
use crate::values::span;

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
            self.schedule.to_string(),
            timing_text(&self.timing),
            self.queue.to_string(),
            self.kind.to_string(),
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
            ("schedule", self.schedule.to_string()),
            ("when", timing_text(&self.timing)),
            ("status", if self.paused { "paused" } else { "on" }.to_owned()),
            ("queue", self.queue.to_string()),
            ("kind", self.kind.to_string()),
        ];
        push_some(&mut fields, "group", self.group.as_ref());
        push_some(&mut fields, "priority", (self.priority != 0).then_some(self.priority));
        fields.push(("overlap", overlap.to_owned()));
        fields.push(("catch up", catch_up));
        fields.push(("payload", payload::text(&self.payload, self.payload_encoding)));
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

/// When a schedule ticks, on one line.
fn timing_text(timing: &Timing) -> String {
    match timing {
        Timing::Cron { expression, time_zone } => format!("{expression} {time_zone}"),
        Timing::Interval { every_ms, .. } => format!("every {}", span::exact(*every_ms)),
    }
}

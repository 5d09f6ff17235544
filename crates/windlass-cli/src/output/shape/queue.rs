//! Queues, their groups, and named limits.

use windlass_api::queue::{GroupShape, LimitShape, QueueShape, Times};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings};
use windlass_core::{State, Time};

use super::{or_dash, push_some, time_cell, time_field};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};
use crate::values::{rate, retention, retry, span};

impl Row for QueueShape {
    const COLUMNS: &'static [Column] = &[
        table::cut("QUEUE"),
        table::number("READY"),
        table::number("SCHEDULED"),
        table::number("RUNNING"),
        table::number("RETRYING"),
        table::number("BLOCKED"),
        table::number("DEAD"),
        table::number("GROUPS"),
        table::number("DONE/MIN"),
        table::text("OLDEST"),
        table::text("CONCURRENCY"),
        table::text("STATUS"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        let of = |state| self.jobs.0.of(state).to_string();
        let oldest = self.oldest_ready.map(|at| time_cell(at, now, exact));
        vec![
            self.queue.to_string(),
            of(State::Ready),
            of(State::Scheduled),
            of(State::Running),
            of(State::Retrying),
            of(State::Blocked),
            of(State::Dead),
            self.groups.to_string(),
            self.completed_last_minute.to_string(),
            or_dash(oldest),
            or_dash(self.settings.limits.concurrency),
            if self.paused { "paused" } else { "open" }.to_owned(),
        ]
    }
}

impl Record for QueueShape {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let jobs: Vec<String> =
            State::ALL.into_iter().map(|state| format!("{state} {}", self.jobs.0.of(state))).collect();
        let mut fields = vec![
            ("queue", self.queue.to_string()),
            ("status", if self.paused { "paused" } else { "open" }.to_owned()),
            ("jobs", jobs.join(", ")),
        ];
        push_some(&mut fields, "oldest ready", self.oldest_ready.map(|at| time_field(at, now, exact)));
        fields.push(("groups", self.groups.to_string()));
        fields.push(("completed/min", self.completed_last_minute.to_string()));
        push_some(&mut fields, "wait", times_text(&self.wait_ms));
        push_some(&mut fields, "run", times_text(&self.run_ms));
        let totals = format!(
            "enqueued {}, completed {}, failed {}, died {}, lost {}, cancelled {}",
            self.totals.enqueued,
            self.totals.completed,
            self.totals.failed,
            self.totals.died,
            self.totals.lost,
            self.totals.cancelled
        );
        fields.push(("since it exists", totals));
        fields.extend(settings_fields(&self.settings));
        fields
    }
}

/// What a histogram says in four numbers; nothing when nothing was measured.
fn times_text(times: &Times) -> Option<String> {
    let [p50, p95, p99, max] = [times.p50, times.p95, times.p99, times.max].map(span::rough);
    (times.count > 0).then(|| format!("p50 {p50}, p95 {p95}, p99 {p99}, longest {max}"))
}

/// A queue's settings, spelled as `queues set` reads them.
pub(crate) fn settings_fields(settings: &QueueSettings) -> Vec<(&'static str, String)> {
    let keep = &settings.retention;
    vec![
        ("concurrency", rate::or_none(settings.limits.concurrency, |n| n.to_string())),
        ("rate", rate::or_none(settings.limits.rate.as_ref(), rate::spell)),
        ("lease", span::exact(settings.lease_ms)),
        ("retry", retry::spell(&settings.retry)),
        ("max waiting", rate::or_none(settings.max_waiting, |n| n.to_string())),
        ("keep completed", retention::spell(keep.completed_ms, keep.completed_count)),
        ("keep cancelled", retention::spell(keep.cancelled_ms, keep.cancelled_count)),
        ("keep dead", retention::spell(keep.dead_ms, keep.dead_count)),
        ("group defaults", group_text(&settings.groups)),
    ]
}

/// A group's settings on one line.
fn group_text(group: &GroupSettings) -> String {
    let order = match (group.ordered, group.on_head_death) {
        (false, _) => "unordered",
        (true, OnHeadDeath::Block) => "ordered, a dead head blocks",
        (true, OnHeadDeath::Park) => "ordered, a dead head is parked",
    };
    format!("weight {}, {}, {order}", group.weight, limits_text(&group.limits))
}

/// Concurrency and rate on one line.
pub(crate) fn limits_text(limits: &LimitSettings) -> String {
    let concurrency = rate::or_none(limits.concurrency, |n| n.to_string());
    format!("concurrency {concurrency}, rate {}", rate::or_none(limits.rate.as_ref(), rate::spell))
}

impl Row for GroupShape {
    const COLUMNS: &'static [Column] = &[
        table::cut("GROUP"),
        table::number("WAITING"),
        table::number("RUNNING"),
        table::number("DEAD"),
        table::number("CLAIMED"),
        table::number("WEIGHT"),
        table::text("CONCURRENCY"),
        table::text("RATE"),
        table::text("ORDERED"),
        table::text("STATUS"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        let status = match (self.shut_by, self.held_until) {
            (Some(job), _) => format!("shut by {job}"),
            (None, Some(at)) => format!("held until {}", time_cell(at, now, exact)),
            (None, None) => "open".to_owned(),
        };
        vec![
            or_dash(self.group.as_ref()),
            self.jobs.0.waiting().to_string(),
            self.jobs.0.of(State::Running).to_string(),
            self.jobs.0.of(State::Dead).to_string(),
            self.claimed.to_string(),
            self.settings.weight.to_string(),
            or_dash(self.settings.limits.concurrency),
            or_dash(self.settings.limits.rate.as_ref().map(rate::spell)),
            if self.settings.ordered { "yes" } else { "no" }.to_owned(),
            status,
        ]
    }
}

impl Row for LimitShape {
    const COLUMNS: &'static [Column] = &[
        table::cut("LIMIT"),
        table::text("CONCURRENCY"),
        table::text("RATE"),
        table::number("IN USE"),
        table::number("LINES"),
        table::text("CLOSED UNTIL"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.limit.to_string(),
            or_dash(self.settings.concurrency),
            or_dash(self.settings.rate.as_ref().map(rate::spell)),
            self.in_use.to_string(),
            self.waiting_lanes.to_string(),
            or_dash(self.closed_until.map(|at| time_cell(at, now, exact))),
        ]
    }
}

impl Record for LimitShape {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("limit", self.limit.to_string()),
            ("concurrency", rate::or_none(self.settings.concurrency, |n| n.to_string())),
            ("rate", rate::or_none(self.settings.rate.as_ref(), rate::spell)),
            ("in use", self.in_use.to_string()),
            ("waiting lines", self.waiting_lanes.to_string()),
        ];
        push_some(&mut fields, "closed until", self.closed_until.map(|at| time_field(at, now, exact)));
        fields
    }
}

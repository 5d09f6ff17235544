//! Queues, their groups, and named limits.

use serde::Serialize;
use serde::ser::SerializeMap;
use windlass_core::histogram::Histogram;
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings};
use windlass_core::store::{Counts, GroupInfo, LimitInfo, QueueInfo, Totals};
use windlass_core::{JobId, State, Time};

use super::{or_dash, push_some, rfc3339_or_null, time_cell, time_field};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};
use crate::values::{rate, retention, retry, span};

/// Jobs by state, under the states' words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByState(pub(crate) Counts);

impl Serialize for ByState {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(State::ALL.len()))?;
        for state in State::ALL {
            map.serialize_entry(state.as_str(), &self.0.of(state))?;
        }
        map.end()
    }
}

/// What a histogram says in five numbers, in milliseconds.
#[derive(Debug, Serialize)]
struct Times {
    count: u64,
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

impl From<&Histogram> for Times {
    fn from(histogram: &Histogram) -> Self {
        let at = |share| histogram.quantile(share);
        Self { count: histogram.count(), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: histogram.max() }
    }
}

impl Times {
    fn text(&self) -> Option<String> {
        let line = format!(
            "p50 {}, p95 {}, p99 {}, longest {}",
            span::rough(self.p50),
            span::rough(self.p95),
            span::rough(self.p99),
            span::rough(self.max)
        );
        (self.count > 0).then_some(line)
    }
}

/// A queue.
#[derive(Debug, Serialize)]
pub(crate) struct QueueShape {
    queue: String,
    paused: bool,
    jobs: ByState,
    #[serde(serialize_with = "rfc3339_or_null")]
    oldest_ready: Option<Time>,
    groups: u64,
    completed_last_minute: u64,
    totals: Totals,
    wait_ms: Times,
    run_ms: Times,
    settings: QueueSettings,
}

impl From<QueueInfo> for QueueShape {
    fn from(info: QueueInfo) -> Self {
        Self {
            queue: info.name.into(),
            paused: info.settings.paused,
            jobs: ByState(info.counts),
            oldest_ready: info.oldest_ready,
            groups: info.groups,
            completed_last_minute: info.completed_last_minute,
            totals: info.totals,
            wait_ms: (&info.wait_ms).into(),
            run_ms: (&info.run_ms).into(),
            settings: info.settings,
        }
    }
}

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
            self.queue.clone(),
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
            ("queue", self.queue.clone()),
            ("status", if self.paused { "paused" } else { "open" }.to_owned()),
            ("jobs", jobs.join(", ")),
        ];
        push_some(&mut fields, "oldest ready", self.oldest_ready.map(|at| time_field(at, now, exact)));
        fields.push(("groups", self.groups.to_string()));
        fields.push(("completed/min", self.completed_last_minute.to_string()));
        push_some(&mut fields, "wait", self.wait_ms.text());
        push_some(&mut fields, "run", self.run_ms.text());
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

/// A group of a queue.
#[derive(Debug, Serialize)]
pub(crate) struct GroupShape {
    group: Option<String>,
    jobs: ByState,
    claimed: u64,
    #[serde(serialize_with = "rfc3339_or_null")]
    held_until: Option<Time>,
    shut_by: Option<JobId>,
    own_settings: bool,
    settings: GroupSettings,
}

impl From<GroupInfo> for GroupShape {
    fn from(info: GroupInfo) -> Self {
        Self {
            group: info.key.map(String::from),
            jobs: ByState(info.counts),
            claimed: info.claimed,
            held_until: info.held_until,
            shut_by: info.shut_by,
            own_settings: info.own_settings,
            settings: info.settings,
        }
    }
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

/// A named limit.
#[derive(Debug, Serialize)]
pub(crate) struct LimitShape {
    limit: String,
    #[serde(flatten)]
    settings: LimitSettings,
    in_use: u64,
    waiting_lanes: u64,
    #[serde(serialize_with = "rfc3339_or_null")]
    closed_until: Option<Time>,
}

impl From<LimitInfo> for LimitShape {
    fn from(info: LimitInfo) -> Self {
        Self {
            limit: info.name.into(),
            settings: info.settings,
            in_use: info.in_use,
            waiting_lanes: info.waiting_lanes,
            closed_until: info.closed_until,
        }
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
            self.limit.clone(),
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
            ("limit", self.limit.clone()),
            ("concurrency", rate::or_none(self.settings.concurrency, |n| n.to_string())),
            ("rate", rate::or_none(self.settings.rate.as_ref(), rate::spell)),
            ("in use", self.in_use.to_string()),
            ("waiting lines", self.waiting_lanes.to_string()),
        ];
        push_some(&mut fields, "closed until", self.closed_until.map(|at| time_field(at, now, exact)));
        fields
    }
}

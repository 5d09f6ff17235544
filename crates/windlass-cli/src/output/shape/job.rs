//! Jobs: in a list, by themselves, and why one is not running.

use serde_json::value::RawValue;
use windlass_api::job::{AttemptShape, JobRecord, JobRow, WhyRecord};
use windlass_api::payload::{self, Encoding};
use windlass_core::Time;
use windlass_core::job::{Unique, UniqueScope};

use super::{joined, or_dash, push_some, time_cell, time_field};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};
use crate::values::{option, retry, span};

impl Row for JobRow {
    const COLUMNS: &'static [Column] = &[
        table::text("ID"),
        table::text("STATE"),
        table::cut("QUEUE"),
        table::cut("KIND"),
        table::cut("GROUP"),
        table::number("PRI"),
        table::number("TRY"),
        table::text("SINCE"),
        table::cut("ERROR"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.state.to_string(),
            self.queue.to_string(),
            self.kind.to_string(),
            or_dash(self.group.as_ref()),
            self.priority.to_string(),
            self.attempt.to_string(),
            time_cell(self.since, now, exact),
            or_dash(self.last_error.as_ref()),
        ]
    }
}

impl Record for JobRecord {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let Self { row, rest } = self;
        let mut fields = vec![
            ("id", row.id.to_string()),
            ("state", row.state.to_string()),
            ("queue", row.queue.to_string()),
            ("kind", row.kind.to_string()),
        ];
        push_some(&mut fields, "group", row.group.as_ref());
        push_some(&mut fields, "priority", (row.priority != 0).then_some(row.priority));
        push_some(&mut fields, "tags", joined(&row.tags));
        fields.push(("enqueued", time_field(row.enqueued_at, now, exact)));
        fields.push(("since", time_field(row.since, now, exact)));
        push_some(&mut fields, "expires", rest.expires_at.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "cause", row.cause.as_ref());
        let spent = format!(
            "{} (failures {}, losses {}, snoozes {})",
            row.attempt, row.failures, row.losses, row.snoozes
        );
        fields.push(("attempt", spent));
        push_some(&mut fields, "worker", rest.worker.as_ref());
        push_some(&mut fields, "lease until", rest.deadline.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "cancel", rest.cancel_requested.then_some("requested"));
        push_some(
            &mut fields,
            "progress",
            rest.progress.as_ref().map(|progress| {
                format!("{} % {}", progress.percent, progress.message.as_deref().unwrap_or_default())
            }),
        );
        push_some(&mut fields, "unique", rest.unique.as_ref().map(unique_text));
        let limits: Vec<String> =
            rest.limits.iter().map(|limit| format!("{}={}", limit.name, limit.cost)).collect();
        push_some(&mut fields, "limits", joined(&limits));
        let parents: Vec<String> = rest.parents.iter().map(option::spell_parent).collect();
        push_some(&mut fields, "after", joined(&parents));
        push_some(&mut fields, "children", joined(&rest.children));
        push_some(&mut fields, "retry", rest.retry.as_ref().map(retry::spell));
        push_some(&mut fields, "timeout", rest.timeout_ms.map(span::exact));
        push_some(&mut fields, "trace", rest.trace.as_ref());
        fields.push(("payload", payload::text(&rest.payload, rest.payload_encoding)));
        push_some(&mut fields, "result", value_text(rest.result.as_deref(), rest.result_encoding));
        push_some(
            &mut fields,
            "checkpoint",
            value_text(rest.checkpoint.as_deref(), rest.checkpoint_encoding),
        );
        push_some(&mut fields, "fingerprint", row.fingerprint);
        let attempts: Vec<String> =
            rest.attempts.iter().map(|attempt| attempt_line(attempt, now, exact)).collect();
        push_some(&mut fields, "attempts", (!attempts.is_empty()).then(|| attempts.join("\n")));
        fields
    }
}

/// An attempt on one line.
fn attempt_line(attempt: &AttemptShape, now: Time, exact: bool) -> String {
    let AttemptShape { attempt, worker, started_at, ended_at, outcome, error } = attempt;
    let took = ended_at.map(|end| format!(" after {}", span::rough(end.since(*started_at))));
    let error = error.as_ref().map(|error| match &error.class {
        Some(class) => format!(": {class}: {}", error.message),
        None => format!(": {}", error.message),
    });
    let started = time_cell(*started_at, now, exact);
    let (took, error) = (took.unwrap_or_default(), error.unwrap_or_default());
    format!("#{attempt} {started} on {worker}: {outcome}{took}{error}")
}

/// A result or checkpoint, if there is one.
fn value_text(value: Option<&RawValue>, encoding: Option<Encoding>) -> Option<String> {
    value.map(|value| payload::text(value, encoding.unwrap_or_default()))
}

fn unique_text(unique: &Unique) -> String {
    match unique.scope {
        UniqueScope::WhileLive => unique.key.to_string(),
        UniqueScope::UntilStart => format!("{} (until its start)", unique.key),
        UniqueScope::For { ttl_ms } => format!("{} (for {})", unique.key, span::exact(ttl_ms)),
    }
}

impl Record for WhyRecord {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("reason", self.reason.to_string()),
            ("detail", self.detail.clone()),
        ];
        push_some(&mut fields, "until", self.eta.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "ahead", self.ahead.map(|ahead| format!("at most {ahead} jobs of its group")));
        fields
    }
}

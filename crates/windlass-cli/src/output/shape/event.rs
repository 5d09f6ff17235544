//! Events and failure modes.

use serde::Serialize;
use windlass_core::event::{Cause, Cursor, Event};
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::FailureMode;
use windlass_core::{JobId, Time};

use super::{or_dash, rfc3339, time_cell};
use crate::output::Row;
use crate::output::table::{self, Column};
use crate::values::payload::Shown;

/// One transition of one job.
#[derive(Debug, Serialize)]
pub(crate) struct EventShape {
    cursor: Cursor,
    #[serde(serialize_with = "rfc3339")]
    at: Time,
    #[serde(rename = "type")]
    event: &'static str,
    job: JobId,
    queue: String,
    kind: String,
    group: Option<String>,
    attempt: u32,
    cause: Option<String>,
    worker: Option<String>,
    text: Option<String>,
    result: Option<Shown>,
}

impl From<Event> for EventShape {
    fn from(event: Event) -> Self {
        Self {
            cursor: event.cursor,
            at: event.at,
            event: event.event.as_str(),
            job: event.job,
            queue: event.queue.into(),
            kind: event.kind.into(),
            group: event.group.map(String::from),
            attempt: event.attempt,
            cause: (event.cause != Cause::None).then(|| event.cause.to_string()),
            worker: event.worker.map(|worker| worker.to_string()),
            text: event.text,
            result: event.result.as_deref().map(Shown::new),
        }
    }
}

impl EventShape {
    /// The event as one line for people, without a heading: a stream has no end to align for.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{}  {:<16}  {}  {} {}", self.at, self.event, self.job, self.queue, self.kind);
        if let Some(group) = &self.group {
            line.push_str(&format!(" [{group}]"));
        }
        if self.attempt > 0 {
            line.push_str(&format!(" #{}", self.attempt));
        }
        if let Some(cause) = &self.cause {
            line.push_str(&format!(" ({cause})"));
        }
        if let Some(text) = &self.text {
            line.push_str(&format!(": {text}"));
        }
        line
    }
}

impl Row for EventShape {
    const COLUMNS: &'static [Column] = &[
        table::text("AT"),
        table::text("TYPE"),
        table::text("JOB"),
        table::text("QUEUE"),
        table::text("KIND"),
        table::text("GROUP"),
        table::number("TRY"),
        table::text("CAUSE"),
        table::text("CURSOR"),
        table::cut("TEXT"),
    ];

    fn cells(&self, _: Time, _: bool) -> Vec<String> {
        vec![
            self.at.to_string(),
            self.event.to_owned(),
            self.job.to_string(),
            self.queue.clone(),
            self.kind.clone(),
            or_dash(self.group.as_ref()),
            self.attempt.to_string(),
            or_dash(self.cause.as_ref()),
            self.cursor.to_string(),
            or_dash(self.text.as_ref()),
        ]
    }
}

/// Jobs that failed the same way.
#[derive(Debug, Serialize)]
pub(crate) struct FailureModeShape {
    fingerprint: Fingerprint,
    title: String,
    queue: String,
    kind: String,
    dead: u64,
    failures: u64,
    #[serde(serialize_with = "rfc3339")]
    first_seen: Time,
    #[serde(serialize_with = "rfc3339")]
    last_seen: Time,
    sample: JobId,
}

impl From<FailureMode> for FailureModeShape {
    fn from(mode: FailureMode) -> Self {
        Self {
            fingerprint: mode.fingerprint,
            title: mode.title,
            queue: mode.queue.into(),
            kind: mode.kind.into(),
            dead: mode.dead,
            failures: mode.failures,
            first_seen: mode.first_seen,
            last_seen: mode.last_seen,
            sample: mode.sample,
        }
    }
}

impl Row for FailureModeShape {
    const COLUMNS: &'static [Column] = &[
        table::text("FINGERPRINT"),
        table::number("DEAD"),
        table::number("FAILURES"),
        table::cut("QUEUE"),
        table::cut("KIND"),
        table::text("FIRST"),
        table::text("LAST"),
        table::text("SAMPLE"),
        table::cut("ERROR"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.fingerprint.to_string(),
            self.dead.to_string(),
            self.failures.to_string(),
            self.queue.clone(),
            self.kind.clone(),
            time_cell(self.first_seen, now, exact),
            time_cell(self.last_seen, now, exact),
            self.sample.to_string(),
            self.title.clone(),
        ]
    }
}

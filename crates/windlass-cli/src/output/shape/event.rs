//! Events and failure modes.

use windlass_api::event::{EventShape, FailureModeShape};
use windlass_core::Time;

use super::{or_dash, time_cell};
use crate::output::Row;
use crate::output::table::{self, Column};

/// An event as one line for people, without a heading: a stream has no end to align for.
pub(crate) fn line(event: &EventShape) -> String {
    let EventShape { at, job, queue, kind, .. } = event;
    let mut line = format!("{at}  {:<16}  {job}  {queue} {kind}", event.event.as_str());
    if let Some(group) = &event.group {
        line.push_str(&format!(" [{group}]"));
    }
    if event.attempt > 0 {
        line.push_str(&format!(" #{}", event.attempt));
    }
    if let Some(cause) = event.cause {
        line.push_str(&format!(" ({cause})"));
    }
    if let Some(text) = &event.text {
        line.push_str(&format!(": {text}"));
    }
    line
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
            self.event.to_string(),
            self.job.to_string(),
            self.queue.to_string(),
            self.kind.to_string(),
            or_dash(self.group.as_ref()),
            self.attempt.to_string(),
            or_dash(self.cause.as_ref()),
            self.cursor.to_string(),
            or_dash(self.text.as_ref()),
        ]
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
            self.queue.to_string(),
            self.kind.to_string(),
            time_cell(self.first_seen, now, exact),
            time_cell(self.last_seen, now, exact),
            self.sample.to_string(),
            self.title.clone(),
        ]
    }
}

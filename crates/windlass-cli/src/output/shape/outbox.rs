//! An outbox: how it stands, and the rows that were refused.

use serde::Serialize;
use windlass_core::Time;
use windlass_outbox::{Aside, Standing};

use super::{or_dash, push_some, time_cell, time_field};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};

/// How an outbox stands.
#[derive(Debug, Serialize)]
pub(crate) struct StandingShape {
    waiting: u64,
    #[serde(with = "windlass_api::time::or_null")]
    oldest: Option<Time>,
    under_way: u64,
    refused: u64,
    held: u64,
    sent: u64,
    relay: bool,
}

impl From<Standing> for StandingShape {
    fn from(standing: Standing) -> Self {
        let Standing { waiting, oldest, refused, held, sent, under_way, relay } = standing;
        Self { waiting, oldest, under_way, refused, held, sent, relay }
    }
}

impl Record for StandingShape {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let mut fields = vec![("waiting", self.waiting.to_string())];
        push_some(&mut fields, "oldest", self.oldest.map(|at| time_field(at, now, exact)));
        fields.push(("under way", self.under_way.to_string()));
        fields.push(("refused", self.refused.to_string()));
        fields.push(("held", self.held.to_string()));
        fields.push(("sent", self.sent.to_string()));
        fields.push(("relay", if self.relay { "runs" } else { "none" }.to_owned()));
        fields
    }
}

/// A row that was refused.
#[derive(Debug, Serialize)]
pub(crate) struct AsideShape {
    seq: i64,
    id: String,
    queue: String,
    kind: String,
    group: Option<String>,
    code: Option<String>,
    reason: Option<String>,
    #[serde(with = "windlass_api::time")]
    at: Time,
}

impl From<Aside> for AsideShape {
    fn from(row: Aside) -> Self {
        let Aside { seq, id, state: _, queue, kind, group, code, reason, at } = row;
        Self { seq, id, queue, kind, group, code, reason, at }
    }
}

impl Row for AsideShape {
    const COLUMNS: &'static [Column] = &[
        table::number("SEQ"),
        table::text("ID"),
        table::cut("QUEUE"),
        table::cut("KIND"),
        table::cut("GROUP"),
        table::text("AT"),
        table::text("CODE"),
        table::cut("REASON"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.seq.to_string(),
            self.id.clone(),
            self.queue.clone(),
            self.kind.clone(),
            or_dash(self.group.as_ref()),
            time_cell(self.at, now, exact),
            or_dash(self.code.as_ref()),
            or_dash(self.reason.as_ref()),
        ]
    }
}

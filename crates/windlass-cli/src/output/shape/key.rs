//! Keys, and the audit log.

use windlass_api::audit::AuditRecord;
use windlass_api::key::KeyShape;
use windlass_core::Time;

use super::{joined, or_dash, time_cell};
use crate::output::Row;
use crate::output::table::{self, Column};

impl Row for KeyShape {
    const COLUMNS: &'static [Column] = &[
        table::text("NAME"),
        table::text("PREFIX"),
        table::text("MAY"),
        table::cut("QUEUES"),
        table::text("MADE"),
        table::text("BY"),
        table::text("ENDS"),
        table::text("USED"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.name.clone(),
            self.prefix.clone(),
            self.scopes.join(","),
            joined(&self.queues).unwrap_or_else(|| "all".to_owned()),
            time_cell(self.created_at, now, exact),
            self.created_by.clone(),
            or_dash(self.expires_at.map(|at| time_cell(at, now, exact))),
            or_dash(self.last_used_at.map(|at| time_cell(at, now, exact))),
        ]
    }
}

impl Row for AuditRecord {
    const COLUMNS: &'static [Column] = &[
        table::text("AT"),
        table::text("WHO"),
        table::text("FROM"),
        table::number("STATUS"),
        table::cut("CALL"),
        table::cut("TARGET"),
        table::cut("DONE"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            time_cell(self.at, now, exact),
            self.who.clone(),
            self.from.clone(),
            self.status.to_string(),
            self.action.clone(),
            self.target.clone(),
            joined(&self.done).unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

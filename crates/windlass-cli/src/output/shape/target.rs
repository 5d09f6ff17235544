//! Targets that queues are pushed to.

use windlass_api::target::TargetShape;
use windlass_core::Time;

use super::{push_some, time_field};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};
use crate::values::span;

impl Row for TargetShape {
    const COLUMNS: &'static [Column] = &[
        table::cut("QUEUE"),
        table::cut("TARGET"),
        table::number("AT ONCE"),
        table::text("TIMEOUT"),
        table::number("SECRETS"),
    ];

    fn cells(&self, _: Time, _: bool) -> Vec<String> {
        vec![
            self.queue.to_string(),
            self.url.clone(),
            self.concurrency.to_string(),
            span::exact(self.timeout_ms),
            self.secrets.to_string(),
        ]
    }
}

impl Record for TargetShape {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("queue", self.queue.to_string()),
            ("target", self.url.clone()),
            ("concurrency", self.concurrency.to_string()),
            ("timeout", span::exact(self.timeout_ms)),
            ("secrets", self.secrets.to_string()),
        ];
        push_some(&mut fields, "headers", (!self.headers.is_empty()).then(|| self.headers.join(", ")));
        fields.push(("changed", time_field(self.changed_at, now, exact)));
        fields
    }
}

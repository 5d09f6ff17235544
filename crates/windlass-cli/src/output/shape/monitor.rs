//! What the monitor has: rules, channels, incidents.

use windlass_api::monitor::{Channel, ChannelShape, Incident, RuleShape};
use windlass_api::spell::span;
use windlass_core::Time;

use super::{or_dash, time_cell};
use crate::output::Row;
use crate::output::table::{self, Column};

impl Row for RuleShape {
    const COLUMNS: &'static [Column] = &[
        table::cut("RULE"),
        table::text("WHEN"),
        table::cut("QUEUE"),
        table::number("ABOVE"),
        table::text("LONGER THAN"),
        table::text("WITHIN"),
        table::text("FOR"),
        table::text("SEVERITY"),
        table::cut("CHANNELS"),
        table::text("STATUS"),
    ];

    fn cells(&self, _: Time, _: bool) -> Vec<String> {
        let rule = &self.rule;
        let status = match (rule.enabled, self.is_default) {
            (false, _) => "off",
            (true, true) => "on, as it comes",
            (true, false) => "on",
        };
        vec![
            self.name.clone(),
            rule.when.as_str().to_owned(),
            rule.queue.clone(),
            or_dash(rule.above),
            or_dash(rule.longer_than.map(|span| span::exact(span.ms))),
            or_dash(rule.within.map(|span| span::exact(span.ms))),
            span::exact(rule.held_for.ms),
            rule.severity.as_str().to_owned(),
            if rule.channels.is_empty() { "all".to_owned() } else { rule.channels.join(",") },
            status.to_owned(),
        ]
    }
}

impl Row for ChannelShape {
    const COLUMNS: &'static [Column] = &[
        table::cut("CHANNEL"),
        table::text("TYPE"),
        table::cut("TO"),
        table::text("LAST NOTICE"),
        table::number("WAITING"),
        table::number("FAILURES"),
        table::cut("ERROR"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        let to = match &self.channel {
            Channel::Log => "the server's log".to_owned(),
            Channel::Webhook { url, .. } => url.clone(),
            Channel::Mail { to, .. } => to.join(","),
        };
        vec![
            self.name.clone(),
            self.channel.as_str().to_owned(),
            to,
            or_dash(self.delivered_at.map(|at| time_cell(at, now, exact))),
            self.waiting.to_string(),
            self.failures.to_string(),
            or_dash(self.error.as_ref()),
        ]
    }
}

impl Row for Incident {
    const COLUMNS: &'static [Column] = &[
        table::text("ID"),
        table::text("STAGE"),
        table::text("SEVERITY"),
        table::cut("SUBJECT"),
        table::cut("WHAT"),
        table::cut("RULE"),
        table::text("SINCE"),
        table::text("OVER"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.id.clone(),
            self.stage.as_str().to_owned(),
            self.severity.as_str().to_owned(),
            self.subject.clone(),
            self.text.clone(),
            self.rule.clone(),
            time_cell(self.since, now, exact),
            or_dash(self.recovered_at.map(|at| time_cell(at, now, exact))),
        ]
    }
}

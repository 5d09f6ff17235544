//! Campaigns.

use windlass_campaigns::model::campaign::Campaign;
use windlass_campaigns::variants::results::{Tally, Test};
use windlass_core::Time;

use super::{push_some, time_field};
use crate::commands::campaigns::{OfStep, Standing};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};

impl Row for Campaign {
    const COLUMNS: &'static [Column] = &[
        table::number("ID"),
        table::cut("NAME"),
        table::text("STATUS"),
        table::number("USER"),
        table::number("CONTACTS"),
        table::text("LAUNCHED"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.status.to_string(),
            self.user.to_string(),
            self.contacts.to_string(),
            self.launched_at.map_or_else(String::new, |at| time_field(at, now, exact)),
        ]
    }
}

impl Record for Standing {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let Self { campaign, enrolments, stopped, touches, tests } = self;
        let mut fields = vec![
            ("campaign", campaign.id.to_string()),
            ("name", campaign.name.clone()),
            ("status", campaign.status.to_string()),
            ("user", campaign.user.to_string()),
            ("sequence", format!("version {}", campaign.version)),
            ("contacts", campaign.contacts.to_string()),
        ];
        push_some(&mut fields, "daily cap", campaign.daily_cap.map(|cap| cap.to_string()));
        push_some(&mut fields, "new a day", campaign.new_per_day.map(|cap| cap.to_string()));
        push_some(&mut fields, "starts", campaign.starts_at.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "launched", campaign.launched_at.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "goes on", campaign.paused_until.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "ended", campaign.ended_at.map(|at| time_field(at, now, exact)));
        let lines = |lines: Vec<String>| (!lines.is_empty()).then(|| lines.join("\n"));
        let of_contacts = enrolments.iter().map(|(status, count)| format!("{count} {status}"));
        push_some(&mut fields, "enrolled", lines(of_contacts.collect()));
        let of_stopped = stopped.iter().map(|(reason, count)| format!("{count} {reason}"));
        push_some(&mut fields, "stopped by", lines(of_stopped.collect()));
        let of_touches = touches.iter().map(|OfStep { step, tally }| {
            let why = if tally.reason.is_empty() { String::new() } else { format!(" ({})", tally.reason) };
            let step = step.map_or_else(|| "no more".to_owned(), |step| step.to_string());
            format!("{step} {}: {} {}{why}", tally.channel, tally.count, tally.status)
        });
        push_some(&mut fields, "messages", lines(of_touches.collect()));
        push_some(&mut fields, "variants", lines(tests.iter().flat_map(of_test).collect()));
        fields
    }
}

/// What came of each variant of a test: how many were sent, and how many of those were answered, with the interval in which
/// their true share lies.
fn of_test(test: &Test) -> impl Iterator<Item = String> + use<> {
    let step = test.step;
    let over = if test.is_current { "" } else { " (over)" };
    let line = move |one: &Tally| {
        let rate = one.rates().replied;
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let share = format!("{} %, {} to {} %", percent(rate.rate), percent(rate.low), percent(rate.high));
        let answered =
            if one.sent == 0 { String::new() } else { format!(", {} answered ({share})", one.replied) };
        let (letter, name, version) = (one.arm.variant, &one.name, one.template_version);
        format!("{step} {letter}{over} {name}, version {version}: {} sent{answered}", one.sent)
    };
    test.variants.iter().map(line).collect::<Vec<_>>().into_iter()
}

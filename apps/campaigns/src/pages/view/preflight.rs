//! What stands in the way of a launch, and what it will come to.

use askama::Template;

use super::drawing::Bars;
use super::{Count, Input, When};
use crate::pages::Shell;

/// Something that was found.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// `error` stops the launch, `warning` is worth knowing.
    pub severity: String,
    /// What it is, for programs.
    pub code: String,
    /// Which step it is about.
    pub step: Option<u32>,
    /// The letter of its variant; empty where it is about all of the step.
    pub variant: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
    /// How many contacts it is about.
    pub contacts: Option<Count>,
    /// Where it is mended.
    pub at: Option<String>,
}

/// A day of the forecast.
#[derive(Clone, Debug, Default)]
pub struct ForecastDay {
    /// The date in the campaign's zone.
    pub date: String,
    /// How long somebody can be reached: `9h`.
    pub open: String,
    /// Messages sent.
    pub sent: Count,
    /// Messages left at its end.
    pub left: Count,
}

/// The check before a launch.
#[derive(Clone, Debug, Template)]
#[template(path = "preflight.html")]
pub struct PreflightPage {
    /// What stands around it.
    pub s: Shell,
    /// The campaign.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Grows with every change: the launch is of what was checked.
    pub revision: i64,
    /// What was found, errors first.
    pub findings: Vec<Finding>,
    /// Contacts of the list, by what becomes of them: `reachable`, `suppressed`, `without a time zone`, …
    pub contacts: Vec<(String, Count)>,
    /// Messages in all.
    pub messages: Count,
    /// When the last message goes out; none if that is beyond the forecast.
    pub completes: Option<When>,
    /// The same on the campaign's clock.
    pub completes_local: Option<String>,
    /// The days until then.
    pub days: Vec<ForecastDay>,
    /// When it is to begin: empty for at once.
    pub starts_at: Input,
    /// The campaign's zone.
    pub zone: String,
}

impl PreflightPage {
    /// Whether nothing stops the launch.
    pub fn may_launch(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != "error")
    }

    /// How many findings stop it.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == "error").count()
    }

    /// The days as bars.
    pub fn bars(&self) -> Bars {
        Bars::of(&self.days.iter().map(|day| day.sent.0).collect::<Vec<_>>(), None)
    }
}

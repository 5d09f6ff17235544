//! What each page shows, as plain structs with a template each: filled by a handler, shown by a template.
//!
//! Numbers are [`Count`]s, instants [`When`]s, addresses of pages are made of ids by the [`Shell`](super::Shell). A text
//! that names or reaches somebody goes through [`Shell::shown`](super::Shell::shown) on its way in.

mod audit;
mod builder;
mod campaigns;
mod contacts;
mod domains;
mod drawing;
mod enrolments;
mod hours;
mod imports;
mod preflight;
mod providers;
mod question;
mod reviews;
mod senders;
mod sequence;
mod suppressions;
mod templates;
mod touches;
mod users;

use std::fmt;

use windlass_look::words;
pub use windlass_look::words::When;

pub use audit::{AuditPage, ChangeRow};
pub use builder::{BuilderPage, Heat, TemplateChoice, WEEKDAYS, WindowForm};
pub use campaigns::{
    AttentionRow, CampaignPage, CampaignRow, CampaignsPage, Part, Reasons, SenderLine, StepFunnel, TestTable,
    VariantRow,
};
pub use contacts::{ConsentRow, ContactPage, ContactRow, ContactsPage, EnrolmentRow, PauseRow};
pub use domains::{DomainRow, DomainsPage};
pub use drawing::{Bars, Segment};
pub use enrolments::{EnrolledRow, EnrolmentsPage};
pub use hours::{HoursPage, HoursRow};
pub use imports::{ColumnForm, ImportPage, ImportRow, ImportsPage, MappingPage, TriedRow};
pub use preflight::{Finding, ForecastDay, PreflightPage};
pub use providers::{
    BreakerView, ErrorRuleRow, ForcedView, ProviderForm, ProviderPage, ProviderRow, ProvidersPage, SlowedView,
};
pub use question::{CONFIRMED, QuestionPage};
pub use reviews::{ReviewRow, ReviewsPage};
pub use senders::{SenderDay, SenderForm, SenderPage, SenderRow, SendersPage};
pub use sequence::{ArmForm, CONDITIONS, DELAY_UNITS, SequenceForm, StepForm, Then, VariantForm};
pub use suppressions::{SuppressionRow, SuppressionsPage};
pub use templates::{Preview, TemplatePage, TemplateRow, TemplatesPage};
pub use touches::{ConsentBasis, Evidence, TimelineEntry, TouchPage, TouchRow, TouchesPage};
pub use users::{UserRow, UsersPage};

/// A number of things; it is printed with its thousands apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::count(self.0))
    }
}

impl From<u64> for Count {
    fn from(n: u64) -> Self {
        Self(n)
    }
}

impl From<u32> for Count {
    fn from(n: u32) -> Self {
        Self(n.into())
    }
}

impl From<i64> for Count {
    /// As a database counts: what is below 0 is 0.
    fn from(n: i64) -> Self {
        Self(n.max(0).unsigned_abs())
    }
}

/// A field of a form: what stands in it, and what is wrong with that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// What stands in it.
    pub text: String,
    /// What is wrong with it, and what to write instead.
    pub fault: Option<String>,
}

impl Input {
    /// A field in which that stands.
    pub fn of(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), fault: None }
    }

    /// A field with what may not be there: nothing stands in it.
    pub fn some(text: Option<impl fmt::Display>) -> Self {
        text.map_or_else(Self::default, Self::of)
    }

    /// The same with what is wrong with it.
    #[must_use]
    pub fn wrong(self, fault: impl fmt::Display) -> Self {
        Self { fault: Some(fault.to_string()), ..self }
    }
}

/// One of the things that a field chooses from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// What the form sends.
    pub value: String,
    /// What it says.
    pub label: String,
    /// Whether it is chosen.
    pub is_on: bool,
}

impl Choice {
    /// One thing of which that one is chosen.
    pub fn of(value: impl fmt::Display, label: impl fmt::Display, chosen: &str) -> Self {
        let value = value.to_string();
        Self { is_on: value == chosen, label: label.to_string(), value }
    }

    /// All of those, of which that one is chosen.
    pub fn all(words: &[(&str, &str)], chosen: &str) -> Vec<Self> {
        words.iter().map(|(value, label)| Self::of(value, label, chosen)).collect()
    }
}

/// The way through a list that is longer than a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// The address of its beginning; none on the first page.
    pub first: Option<String>,
    /// The address of what follows; none at the end.
    pub next: Option<String>,
}

/// The icon of a word of the application: of a message, a campaign, an import, a breaker.
pub fn icon_of(word: &str) -> &'static str {
    match word {
        "queued" | "draft" | "half_open" => "ready",
        "deferred" | "delayed" | "scheduled" | "waiting" => "scheduled",
        "sending" | "running" | "active" | "uploading" => "running",
        "sent" => "sent",
        "delivered" | "done" | "closed" | "healthy" | "ready" | "opened" | "clicked" | "replied"
        | "auto_answered" | "found" | "opted_in" | "decided" => "completed",
        "bounced" | "failed" | "error" | "open" | "held back" => "dead",
        "skipped" | "cancelled" | "stopped" | "erased" => "cancelled",
        "opted_out" | "complained" => "blocked",
        "repeated" => "retrying",
        "unknown" | "warning" | "interrupted" => "warning",
        "paused" => "paused",
        _ => "idle",
    }
}

/// A word of the application as people read it: `half_open` is `half open`.
pub fn said(word: &str) -> String {
    word.replace('_', " ")
}

/// What a handler says of a campaign's progress in a bar.
pub fn percent(done: Count, all: Count) -> u8 {
    words::share(done.0, all.0)
}

#[cfg(test)]
mod tests;

//! What recipients' domains bear: mails a minute and at once, over all senders and workers.

use askama::Template;

use super::{Count, Input, SlowedView};
use crate::pages::Shell;

/// A domain that is held back.
#[derive(Clone, Debug, Default)]
pub struct DomainRow {
    /// The domain.
    pub domain: String,
    /// Mails a minute; none is no limit.
    pub per_minute: Option<Count>,
    /// Mails at once; none is no limit.
    pub concurrency: Option<Count>,
    /// Mails a day; none is no limit.
    pub per_day: Option<Count>,
    /// The address of its limit in the dashboard.
    pub limit_at: String,
    /// Whether somebody has set its limit.
    pub is_set: bool,
    /// It has said that it is too much.
    pub slowed: Option<SlowedView>,
}

/// The domains.
#[derive(Clone, Debug, Template)]
#[template(path = "domains.html")]
pub struct DomainsPage {
    /// What stands around it.
    pub s: Shell,
    /// Domains, by name.
    pub rows: Vec<DomainRow>,
    /// The domain of a limit that is written.
    pub domain: Input,
    /// Its mails a minute.
    pub per_minute: Input,
    /// Its mails at once.
    pub concurrency: Input,
    /// Its mails a day.
    pub per_day: Input,
}

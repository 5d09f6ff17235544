//! The contacts of a campaign: where each stands, what they wait for, and why it ended.

use askama::Template;

use super::{Choice, Pages, When};
use crate::pages::Shell;

/// A contact of a campaign.
#[derive(Clone, Debug, Default)]
pub struct EnrolledRow {
    /// The contact.
    pub contact: i64,
    /// What they are called; their number to those who may not see it.
    pub called: String,
    /// `active`, `done`, `stopped`.
    pub status: String,
    /// The step before them, from 1, or the one that was when it ended.
    pub step: u32,
    /// The version of the sequence by which they go, where that is not the campaign's present one.
    pub version: Option<u32>,
    /// Why it ended, or what they wait for; may be empty.
    pub why: String,
    /// When they go on, where that is known.
    pub until: Option<When>,
    /// Their last message, and its status.
    pub touch: Option<(i64, String)>,
}

/// The contacts of a campaign.
#[derive(Clone, Debug, Template)]
#[template(path = "enrolments.html")]
pub struct EnrolmentsPage {
    /// What stands around it.
    pub s: Shell,
    /// The campaign.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What to choose from: where they stand.
    pub statuses: Vec<Choice>,
    /// Why it ended.
    pub reasons: Vec<Choice>,
    /// The step that is before them.
    pub steps: Vec<Choice>,
    /// Whether any of that is chosen.
    pub is_narrowed: bool,
    /// The contacts.
    pub rows: Vec<EnrolledRow>,
    /// The way through the list.
    pub pages: Pages,
}

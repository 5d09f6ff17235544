//! Who changed what, newest first; the whole of it as a file.

use askama::Template;

use super::{Input, Pages, When};
use crate::pages::Shell;

/// A change.
#[derive(Clone, Debug)]
pub struct ChangeRow {
    /// When.
    pub at: When,
    /// Who.
    pub who: String,
    /// What they did.
    pub what: String,
    /// To what.
    pub subject: String,
    /// The subject's page.
    pub at_page: Option<String>,
    /// What it was about; may be empty.
    pub detail: String,
}

/// The changes.
#[derive(Clone, Debug, Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    /// What stands around it.
    pub s: Shell,
    /// Changes, newest first.
    pub rows: Vec<ChangeRow>,
    /// The way through them.
    pub pages: Pages,
    /// The first day of a file; empty for the beginning.
    pub from: Input,
    /// The last day of a file; empty for today.
    pub to: Input,
}

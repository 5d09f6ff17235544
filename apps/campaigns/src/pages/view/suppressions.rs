//! Addresses that are not reached.

use askama::Template;

use super::{Choice, Input, Pages, When};
use crate::pages::Shell;

/// A suppression.
#[derive(Clone, Debug)]
pub struct SuppressionRow {
    /// Its number.
    pub id: i64,
    /// The address; none when its contact was erased.
    pub address: Option<String>,
    /// By which channel; none is any.
    pub channel: Option<String>,
    /// Whose messages; none is everybody's.
    pub user: Option<String>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub source: String,
    /// When.
    pub at: When,
}

/// The suppressions.
#[derive(Clone, Debug, Template)]
#[template(path = "suppressions.html")]
pub struct SuppressionsPage {
    /// What stands around it.
    pub s: Shell,
    /// The address that is looked for; empty for all.
    pub search: String,
    /// Suppressions, newest first.
    pub rows: Vec<SuppressionRow>,
    /// The way through them.
    pub pages: Pages,
    /// The address of a new one.
    pub address: Input,
    /// Its channel; the first is any.
    pub channels: Vec<Choice>,
    /// Whose messages it holds back; the first is everybody's.
    pub users: Vec<Choice>,
    /// Why.
    pub reason: Input,
}

//! What a person has to decide: calls that may have been made, and answers that may mean that somebody wants no more.

use askama::Template;

use super::{Choice, Pages, When};
use crate::channel::Channel;
use crate::pages::Shell;

/// Something to decide.
#[derive(Clone, Debug)]
pub struct ReviewRow {
    /// Its number.
    pub id: i64,
    /// What it is about, as a heading: `May this call have been made?`
    pub question: String,
    /// What is known, in a sentence or two.
    pub known: String,
    /// What the contact wrote; may be empty.
    pub text: String,
    /// By which channel.
    pub channel: Channel,
    /// About which message.
    pub touch: Option<i64>,
    /// About whom.
    pub contact: Option<i64>,
    /// Their name or address.
    pub to: String,
    /// The campaign and its name.
    pub campaign: Option<(i64, String)>,
    /// Since when.
    pub at: When,
    /// What can be decided; the first is what is usual.
    pub choices: Vec<Choice>,
}

/// What waits for a decision.
#[derive(Clone, Debug, Template)]
#[template(path = "reviews.html")]
pub struct ReviewsPage {
    /// What stands around it.
    pub s: Shell,
    /// What waits longest first.
    pub rows: Vec<ReviewRow>,
    /// What was dropped of people who are no contacts, by the day, in words; empty when nothing was.
    pub dropped: Vec<String>,
    /// The way through them.
    pub pages: Pages,
}

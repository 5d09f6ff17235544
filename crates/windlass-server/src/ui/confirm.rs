//! Asking before something is done that is not undone by another click: what will happen, to what, and a way back.

use askama::Template;
use windlass_look::Frame;

use super::form::Fields;
use super::page::{Reply, show};
use super::visit::Visit;

/// A question.
pub(crate) struct Question {
    /// The entry of the navigation that it belongs to.
    pub(crate) place: &'static str,
    /// What will be done, as a heading.
    pub(crate) title: String,
    /// What that means, a sentence each.
    pub(crate) means: Vec<&'static str>,
    /// What it is done to: text, and what is beside it.
    pub(crate) items: Vec<(String, String)>,
    /// How many there are beyond those.
    pub(crate) more: usize,
    /// Where the form goes.
    pub(crate) action: String,
    /// Its fields.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// The word of the button.
    pub(crate) button: String,
    /// Whether it destroys something.
    pub(crate) is_danger: bool,
    /// Where to go instead.
    pub(crate) back: String,
}

/// Items named in a question; the rest is counted.
pub(crate) const ITEMS_NAMED: usize = 50;
/// The field that says that somebody was asked.
pub(crate) const CONFIRMED: &str = "confirmed";

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    f: Frame,
    q: Question,
}

/// Whether the form comes from the question.
pub(crate) fn is_confirmed(fields: &Fields) -> bool {
    fields.ticked(CONFIRMED)
}

/// The page that asks.
pub(crate) fn ask(visit: &Visit, question: Question) -> Reply {
    show(&ConfirmPage { f: visit.frame(question.place), q: question })
}

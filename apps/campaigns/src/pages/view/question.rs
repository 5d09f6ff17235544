//! Asking before something is done that is not undone by another click.

use askama::Template;

use crate::pages::Shell;

/// The field that says that somebody was asked.
pub const CONFIRMED: &str = "confirmed";

/// A question: what will happen, and a way back.
#[derive(Clone, Debug, Template)]
#[template(path = "question.html")]
pub struct QuestionPage {
    /// What stands around it.
    pub s: Shell,
    /// What will be done, as a heading.
    pub title: String,
    /// What that means, a sentence each.
    pub means: Vec<String>,
    /// Where the form goes.
    pub action: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
    /// The word of the button.
    pub button: String,
    /// Whether it destroys something.
    pub is_danger: bool,
    /// Where to go instead.
    pub back: String,
}

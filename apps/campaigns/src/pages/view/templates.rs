//! What is said: templates, and one of them while it is written.

use askama::Template;

use super::{Choice, Count, Finding, Input, When};
use crate::channel::Channel;
use crate::pages::Shell;

/// A template in the list.
#[derive(Clone, Debug)]
pub struct TemplateRow {
    /// The number of its newest version.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// For which channel.
    pub channel: Channel,
    /// Its newest version, from 1.
    pub version: u32,
    /// The beginning of what it says: its subject, or its text.
    pub says: String,
    /// Live campaigns that use it.
    pub used_by: Count,
    /// What stops a launch with it.
    pub errors: Count,
    /// What is worth knowing of it.
    pub warnings: Count,
    /// When the version was written.
    pub written: When,
}

/// The templates.
#[derive(Clone, Debug, Template)]
#[template(path = "templates.html")]
pub struct TemplatesPage {
    /// What stands around it.
    pub s: Shell,
    /// Templates, by name.
    pub rows: Vec<TemplateRow>,
}

/// A message as one contact would get it.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// The contact; none for made-up values.
    pub contact: Option<i64>,
    /// Whom it is for.
    pub to: String,
    /// The subject; empty for other channels than mail.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The address of its HTML, as the recipient sees it.
    pub html_at: Option<String>,
    /// The variables that this contact lacks: it would be skipped.
    pub missing: Vec<String>,
    /// What it is paid as: `2 segments of GSM-7, 181 characters`; empty where that means nothing.
    pub costs: String,
}

/// A template while it is written; saving it makes the next version.
#[derive(Clone, Debug, Template)]
#[template(path = "template.html")]
pub struct TemplatePage {
    /// What stands around it.
    pub s: Shell,
    /// The number of the version that is shown; none for a new template.
    pub id: Option<i64>,
    /// The version that is shown; 0 for a new template.
    pub version: u32,
    /// Whether it was changed since, so that what is previewed is not saved.
    pub is_changed: bool,
    /// The version that a change of it becomes.
    pub next: u32,
    /// Its name; it stays once there is a version.
    pub name: Input,
    /// Channels to choose from.
    pub channels: Vec<Choice>,
    /// A mail's subject.
    pub subject: Input,
    /// The text.
    pub body: Input,
    /// A mail's HTML; empty for none.
    pub html: Input,
    /// What is to be said about it.
    pub findings: Vec<Finding>,
    /// What can be written, with what it becomes.
    pub variables: Vec<(String, String)>,
    /// The number or address of the contact to preview it for; empty for made-up values.
    pub contact: Input,
    /// The message as they would get it.
    pub preview: Option<Preview>,
    /// In whose name a test is sent.
    pub senders: Vec<Choice>,
    /// Where a test is sent to.
    pub test_to: Input,
    /// All versions, newest first: number, version, when.
    pub versions: Vec<(i64, u32, When)>,
}

impl TemplatePage {
    /// Whether it is for mail: then it has a subject, and may have HTML.
    pub fn is_mail(&self) -> bool {
        self.channels.iter().any(|choice| choice.is_on && choice.value == Channel::Email.name())
    }
}

//! The outbox: every message with the reason why it waits, and one message with its whole story.

use askama::Template;

use super::{Choice, Count, Pages, When, icon_of};
use crate::channel::Channel;
use crate::pages::Shell;

/// A message in a list.
#[derive(Clone, Debug)]
pub struct TouchRow {
    /// Its number.
    pub id: i64,
    /// Of which campaign.
    pub campaign: i64,
    /// The campaign's name.
    pub campaign_name: String,
    /// To whom.
    pub contact: i64,
    /// The address that it goes to, or the contact's name.
    pub to: String,
    /// Which step, from 1.
    pub step: u32,
    /// The letter of the step's variant; empty where it says the same to everybody.
    pub variant: String,
    /// By which channel.
    pub channel: Channel,
    /// `queued`, `deferred`, `sending`, `sent`, `delivered`, `bounced`, `failed`, `skipped`, `unknown`.
    pub status: String,
    /// Why, in plain words; empty where there is nothing to say.
    pub why: String,
    /// In the provider's words; may be empty.
    pub detail: String,
    /// Until when it waits.
    pub until: Option<When>,
    /// Whether that time has come: it goes on when its turn has.
    pub is_due: bool,
    /// In whose name; empty before that is known.
    pub sender: String,
    /// When that became of it.
    pub since: When,
}

/// The outbox.
#[derive(Clone, Debug, Template)]
#[template(path = "touches.html")]
pub struct TouchesPage {
    /// What stands around it.
    pub s: Shell,
    /// Campaigns to choose from; the first is `any`.
    pub campaigns: Vec<Choice>,
    /// Steps to choose from; the first is `any`.
    pub steps: Vec<Choice>,
    /// What the field of the step is called: by its number, or of one campaign by its key.
    pub step_field: String,
    /// Whether less than everything is asked for.
    pub is_narrowed: bool,
    /// That something it is narrowed by is not there.
    pub unknown: Option<String>,
    /// Statuses to choose from; the first is `any`.
    pub statuses: Vec<Choice>,
    /// Reasons to choose from; the first is `any`.
    pub reasons: Vec<Choice>,
    /// Channels to choose from; the first is `any`.
    pub channels: Vec<Choice>,
    /// Variants of a step to choose from; the first is `any`.
    pub variants: Vec<Choice>,
    /// Messages, newest first.
    pub rows: Vec<TouchRow>,
    /// The way through them.
    pub pages: Pages,
}

/// Something that became known of a message.
#[derive(Clone, Debug)]
pub struct TimelineEntry {
    /// When.
    pub at: When,
    /// What: `sent`, `delivered`, `opened`, …
    pub kind: String,
    /// Who said so.
    pub source: String,
    /// In their words; may be empty.
    pub detail: String,
}

/// The consent that a message rests on.
#[derive(Clone, Debug)]
pub struct ConsentBasis {
    /// On which basis.
    pub basis: String,
    /// What proves it.
    pub proof: String,
    /// When it was given.
    pub given: When,
}

/// What was known, and checked, right before a message was sent.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// When.
    pub checked: When,
    /// Whether the windows were open, in words.
    pub verdict: String,
    /// Each clock that was looked at: whose, its zone, its local time.
    pub clocks: Vec<(String, String, String)>,
    /// The rows of the table of rules that held.
    pub rules: Vec<String>,
    /// The editions of the table of rules and of the time zones.
    pub editions: String,
    /// The consent that it rests on.
    pub consent: Option<ConsentBasis>,
}

/// A message.
#[derive(Clone, Debug, Template)]
#[template(path = "touch.html")]
pub struct TouchPage {
    /// What stands around it.
    pub s: Shell,
    /// The same as in the list.
    pub row: TouchRow,
    /// The word of the reason: `recipient_quiet_hours`; empty where there is none.
    pub reason: String,
    /// The job that sends it.
    pub job: Option<String>,
    /// Why that does not run now, in the queue's words.
    pub queue: Option<String>,
    /// The number of its sender.
    pub sender: Option<i64>,
    /// The account that it goes through: number and name.
    pub provider: Option<(i64, String)>,
    /// What it says: the number and name of the template.
    pub template: Option<(i64, String)>,
    /// How often the provider was asked to send it.
    pub sends: Count,
    /// Facts: the provider, its reference and its last word, the Message-ID, the content's hash, the day of the caps.
    pub facts: Vec<(String, String)>,
    /// The subject and text as they were sent, or would be now.
    pub content: Option<(String, String)>,
    /// What became known of it, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// What was known right before it was sent.
    pub evidence: Option<Evidence>,
    /// The review in which a person decides about it.
    pub review: Option<i64>,
}

impl TouchPage {
    /// The colour of its verdict.
    pub fn icon(&self) -> &'static str {
        icon_of(&self.row.status)
    }
}

//! Contacts, and one of them with everything that is kept of them.

use askama::Template;

use super::{Choice, Count, Input, Pages, TouchRow, When};
use crate::channel::Channel;
use crate::pages::Shell;

/// A contact in the list.
#[derive(Clone, Debug, Default)]
pub struct ContactRow {
    /// Their number.
    pub id: i64,
    /// Their name; may be empty.
    pub name: String,
    /// Their mailbox; may be empty.
    pub email: String,
    /// Their phone; may be empty.
    pub phone: String,
    /// The time zones that they may be in, and by what that is known; none if nothing tells.
    pub zone: Option<String>,
    /// Country and state; may be empty.
    pub place: String,
    /// The channels that they have agreed to.
    pub consents: Vec<Channel>,
    /// Whether everything that names them was removed.
    pub is_erased: bool,
    /// When they were made.
    pub added: Option<When>,
}

/// The contacts.
#[derive(Clone, Debug, Template)]
#[template(path = "contacts.html")]
pub struct ContactsPage {
    /// What stands around it.
    pub s: Shell,
    /// How many there are.
    pub all: Count,
    /// What is looked for: a mailbox, a number, the beginning of a name.
    pub search: String,
    /// Contacts, newest first.
    pub rows: Vec<ContactRow>,
    /// The way through them.
    pub pages: Pages,
}

/// A consent.
#[derive(Clone, Debug)]
pub struct ConsentRow {
    /// To be reached by which channel.
    pub channel: Channel,
    /// On which basis.
    pub basis: String,
    /// What proves it.
    pub proof: String,
    /// Where it comes from.
    pub source: String,
    /// When it was given.
    pub given: When,
    /// When it was taken back.
    pub revoked: Option<When>,
}

/// A contact's place in a campaign.
#[derive(Clone, Debug, Default)]
pub struct EnrolmentRow {
    /// The campaign.
    pub campaign: i64,
    /// Its name.
    pub name: String,
    /// `active`, `done`, `stopped`.
    pub status: String,
    /// The step before them, from 1.
    pub step: u32,
    /// Why it was stopped; may be empty.
    pub why: String,
    /// The colleague whose answer stopped it.
    pub colleague: Option<i64>,
    /// When the next step is due.
    pub next: Option<When>,
}

impl EnrolmentRow {
    /// Whether there are steps before them.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

/// A contact.
#[derive(Clone, Debug, Template)]
#[template(path = "contact.html")]
pub struct ContactPage {
    /// What stands around it.
    pub s: Shell,
    /// The same as in the list.
    pub row: ContactRow,
    /// What they share with their colleagues, and where that comes from: their account, or the domain of their mail. None
    /// when they have no colleagues that anybody knows of.
    pub colleagues: Option<(String, &'static str)>,
    /// The account as somebody has written it.
    pub account: Input,
    /// Whatever else is known of them: the variables of templates.
    pub fields: Vec<(String, String)>,
    /// What they have agreed to, newest first.
    pub consents: Vec<ConsentRow>,
    /// Why they are not reached, a sentence each.
    pub suppressed: Vec<String>,
    /// The campaigns that they are in.
    pub enrolments: Vec<EnrolmentRow>,
    /// Their messages, newest first.
    pub touches: Vec<TouchRow>,
    /// When everything that names them was removed.
    pub erased: Option<When>,
    /// What proves a new consent.
    pub proof: Input,
    /// Where they are paused.
    pub pauses: Vec<PauseRow>,
    /// What they wrote that a person has to read before anything is sent to them.
    pub review: Option<i64>,
    /// Where they can be paused: in everything, or in one of their campaigns.
    pub places: Vec<Choice>,
    /// Until when they are to be paused, as somebody has written it.
    pub until: Input,
    /// The zone whose clocks that is on.
    pub zone: String,
}

/// A pause of a contact.
#[derive(Clone, Debug)]
pub struct PauseRow {
    /// In which campaign, with its name; none is in everything.
    pub campaign: Option<(i64, String)>,
    /// When it is over by itself.
    pub until: Option<When>,
    /// Why; may be empty.
    pub why: String,
    /// Who said so.
    pub who: String,
    /// When they did.
    pub at: When,
}

impl ContactPage {
    /// What stands over the page.
    pub fn title(&self) -> String {
        let known =
            [&self.row.name, &self.row.email, &self.row.phone].into_iter().find(|text| !text.is_empty());
        known.filter(|_| self.s.sees).cloned().unwrap_or_else(|| format!("Contact {}", self.row.id))
    }
}

//! All campaigns, and one of them.

use askama::Template;

use super::drawing::{Segment, segments};
use super::{Choice, Count, Input, Pages, When, icon_of};
use crate::channel::Channel;
use crate::pages::Shell;

/// A campaign in the list.
#[derive(Clone, Debug, Default)]
pub struct CampaignRow {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// `draft`, `scheduled`, `running`, `paused`, `done`, `cancelled`.
    pub status: String,
    /// How much of its contacts' steps is behind them.
    pub percent: u8,
    /// Contacts who have come to an end.
    pub done: Count,
    /// Contacts.
    pub all: Count,
    /// Messages sent today.
    pub sent_today: Count,
    /// Of how many; none without a cap.
    pub cap_today: Option<Count>,
    /// When it is expected to be done.
    pub eta: Option<When>,
    /// Why nothing goes out now though it runs: `the window opens in 3h`.
    pub waits: Option<String>,
    /// When it was launched.
    pub launched: Option<When>,
    /// When it was over.
    pub ended: Option<When>,
}

impl CampaignRow {
    /// Whether it has been launched: before that it has come nowhere.
    pub fn is_launched(&self) -> bool {
        self.launched.is_some()
    }
}

/// Something that waits for a person.
#[derive(Clone, Debug)]
pub struct AttentionRow {
    /// What: `3 messages that may be opt-outs`.
    pub what: String,
    /// Where it is decided.
    pub at: String,
    /// Why, in a sentence; may be empty.
    pub why: String,
    /// Since when the oldest of it waits.
    pub since: Option<When>,
    /// By when the law wants it decided.
    pub due: Option<When>,
}

/// The list of campaigns.
#[derive(Clone, Debug, Template)]
#[template(path = "campaigns.html")]
pub struct CampaignsPage {
    /// What stands around it.
    pub s: Shell,
    /// Campaigns, those that run first.
    pub rows: Vec<CampaignRow>,
    /// The way through them.
    pub pages: Pages,
    /// The name of a new one.
    pub name: Input,
    /// What waits for a person.
    pub attention: Vec<AttentionRow>,
}

/// What became of one step of the sequence.
#[derive(Clone, Debug)]
pub struct StepFunnel {
    /// Which, from 1; a dash for one that the sequence has no more.
    pub number: String,
    /// Its key, by which its messages are found.
    pub key: u32,
    /// By which channel.
    pub channel: Channel,
    /// By which other one, for those who cannot be reached so.
    pub fallback: Option<Channel>,
    /// The name of what is said, with its version.
    pub template: String,
    /// How long after the one before: `2 business days later`.
    pub after: String,
    /// Contacts of the campaign who may come to it.
    pub contacts: Count,
    /// Messages that wait for their turn or are being sent.
    pub queued: Count,
    /// That wait for a time.
    pub deferred: Count,
    /// That the provider has, and nothing more is known of.
    pub sent: Count,
    /// That have arrived.
    pub delivered: Count,
    /// That the recipient's side refused for good.
    pub bounced: Count,
    /// That failed for another reason.
    pub failed: Count,
    /// That were not sent on purpose.
    pub skipped: Count,
    /// That a person decides about.
    pub unknown: Count,
    /// Contacts who opened it.
    pub opened: Count,
    /// Who followed a link of it.
    pub clicked: Count,
    /// Who answered it.
    pub replied: Count,
}

impl StepFunnel {
    /// Its parts, by their words.
    fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("delivered", self.delivered.0),
            ("sent", self.sent.0),
            ("waiting", self.queued.0 + self.deferred.0),
            ("unknown", self.unknown.0),
            ("skipped", self.skipped.0),
            ("bounced", self.bounced.0),
            ("failed", self.failed.0),
        ]
    }

    /// The bar of what became of it.
    pub fn bar(&self) -> Vec<Segment> {
        segments(self.contacts.0, &self.parts())
    }

    /// The same in words.
    pub fn said(&self) -> String {
        let told = self.parts().into_iter().filter(|(_, n)| *n > 0);
        let told: Vec<String> = told.map(|(word, n)| format!("{} {word}", Count(n))).collect();
        if told.is_empty() { "nothing yet".to_owned() } else { told.join(", ") }
    }
}

/// How many messages of a variant did something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// How many.
    pub count: Count,
    /// The share of those that were sent: `4.2 %`; empty before there are any.
    pub percent: String,
    /// Where the true share lies, for all that chance does: `3.1 to 5.6 %`.
    pub between: String,
}

/// What came of one variant of a step.
#[derive(Clone, Debug, Default)]
pub struct VariantRow {
    /// Its letter.
    pub letter: String,
    /// The number of what it says.
    pub template: i64,
    /// The name of that, with its version.
    pub says: String,
    /// Its share against the others.
    pub weight: u32,
    /// Whether it leads.
    pub leads: bool,
    /// Messages that were sent.
    pub sent: Count,
    /// What of those the test is about: answers, clicks or opens.
    pub goal: Part,
    /// The rest of what became of those, in the order of the table's headings.
    pub parts: Vec<Part>,
}

/// A test of what a step says.
#[derive(Clone, Debug)]
pub struct TestTable {
    /// The step, from 1.
    pub step: u32,
    /// By which channel.
    pub channel: Channel,
    /// What tells it apart from the other tests of the page.
    pub place: usize,
    /// In which versions of the sequence, if it is not in the present one.
    pub earlier: Option<String>,
    /// What its numbers say.
    pub verdict: String,
    /// Whether a variant leads.
    pub is_decided: bool,
    /// What it is about, as a heading: `Replied`.
    pub goal: String,
    /// The headings of the other columns.
    pub headings: Vec<&'static str>,
    /// Its variants.
    pub rows: Vec<VariantRow>,
    /// Variants of which one can be kept; empty where there is nothing to end.
    pub keeps: Vec<Choice>,
}

/// Messages that wait, or were not sent, for the same reason.
#[derive(Clone, Debug, Default)]
pub struct Reasons {
    /// The reason's word: `recipient_quiet_hours`.
    pub reason: String,
    /// In plain words.
    pub said: String,
    /// How many.
    pub count: Count,
    /// When the first of them goes on.
    pub first_until: Option<When>,
}

/// A sender of a campaign.
#[derive(Clone, Debug, Default)]
pub struct SenderLine {
    /// Its number.
    pub id: i64,
    /// Its address.
    pub address: String,
    /// Sent in its name today.
    pub sent_today: Count,
    /// Of how many.
    pub cap_today: Count,
    /// What holds it back.
    pub held: Option<String>,
}

/// A campaign.
#[derive(Clone, Debug, Template)]
#[template(path = "campaign.html")]
pub struct CampaignPage {
    /// What stands around it.
    pub s: Shell,
    /// The same as in the list.
    pub row: CampaignRow,
    /// Grows with every change: forms send it, so that nobody acts on what has changed meanwhile.
    pub revision: i64,
    /// Facts in words: the list, the window, the weight, the stop rules.
    pub facts: Vec<(String, String)>,
    /// When it is to begin, if that lies ahead.
    pub starts: Option<When>,
    /// What became of each step.
    pub steps: Vec<StepFunnel>,
    /// The tests of what steps say.
    pub tests: Vec<TestTable>,
    /// What they may be about: what it is called, its page, whether it is this one.
    pub goals: Vec<(String, String, bool)>,
    /// Who may go by the sequence that ends a test.
    pub moves: Vec<Choice>,
    /// Why messages wait, most first.
    pub deferred: Vec<Reasons>,
    /// Contacts who wait for a step of which they have no message yet, and for what.
    pub between: Option<String>,
    /// Why messages were not sent, most first.
    pub skipped: Vec<Reasons>,
    /// Contacts by where they stand: `active`, `done`, `stopped`.
    pub enrolments: Vec<(String, Count)>,
    /// Why contacts were stopped, most of them first.
    pub stops: Vec<(&'static str, Count)>,
    /// In whose names.
    pub senders: Vec<SenderLine>,
    /// The address of its jobs in the dashboard.
    pub jobs_at: String,
    /// When it goes on by itself, if it is paused until then.
    pub goes_on: Option<When>,
    /// Until when it is to be paused, as somebody has written it.
    pub until: Input,
    /// The zone whose clocks that is on.
    pub zone: String,
}

impl CampaignPage {
    /// Whether nothing of it has gone out yet.
    pub fn is_draft(&self) -> bool {
        self.row.status == "draft"
    }

    /// Whether it can be paused.
    pub fn may_pause(&self) -> bool {
        matches!(self.row.status.as_str(), "scheduled" | "running")
    }

    /// Whether it can go on.
    pub fn may_resume(&self) -> bool {
        self.row.status == "paused"
    }

    /// Whether it can be cancelled.
    pub fn may_cancel(&self) -> bool {
        self.may_pause() || self.may_resume()
    }

    /// The colour of its verdict.
    pub fn icon(&self) -> &'static str {
        icon_of(&self.row.status)
    }
}

//! The life of a message, and why it is where it is.
//!
//! ```text
//! queued ─► sending ─► sent ─► delivered
//!   │ ▲        │         └───► bounced, failed
//!   ▼ │        ├─► bounced, failed
//! deferred     └─► unknown ─► sent, failed        a person says which
//!   └─► skipped
//! ```
//!
//! A message that is `sending` when a worker takes it up was left there by one that died: the channel's own rule says
//! what to do ([`crate::flow`]). A status that [`TouchStatus::is_final`] changes only by what the provider says later.

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{
    CampaignId, ContactId, SenderId, TemplateId, TouchId, campaign::CampaignStatus, variant::Variant, words,
};
use crate::channel::{Channel, RefusalClass};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TouchStatus {
    /// It waits for its turn.
    Queued,
    /// It waits for a time; [`Reason`] says why.
    Deferred,
    /// The provider is being asked.
    Sending,
    /// The provider has taken it.
    Sent,
    /// It has arrived.
    Delivered,
    /// The recipient's side has refused it for good: at once, when it was offered the message, or later, by a report.
    Bounced,
    /// It did not get as far as to be taken or refused there: its provider refused it, it was put off until it was given up, or
    /// nobody answered the call.
    Failed,
    /// It is not sent, on purpose; [`Reason`] says why.
    Skipped,
    /// It may have been sent, and nobody knows: a person decides.
    Unknown,
}

impl TouchStatus {
    /// All of them, in the order in which a message passes through them.
    pub const ALL: [TouchStatus; 9] = [
        TouchStatus::Queued,
        TouchStatus::Deferred,
        TouchStatus::Sending,
        TouchStatus::Sent,
        TouchStatus::Delivered,
        TouchStatus::Bounced,
        TouchStatus::Failed,
        TouchStatus::Skipped,
        TouchStatus::Unknown,
    ];

    /// Whether no job of ours will change it any more.
    pub fn is_final(self) -> bool {
        !matches!(self, TouchStatus::Queued | TouchStatus::Deferred | TouchStatus::Sending)
    }

    /// Whether it waits, and no provider is asked for it at this moment.
    pub fn waits(self) -> bool {
        matches!(self, TouchStatus::Queued | TouchStatus::Deferred)
    }

    /// Whether it went out to the recipient's side, whatever was said there.
    pub fn was_sent(self) -> bool {
        matches!(self, TouchStatus::Sent | TouchStatus::Delivered | TouchStatus::Bounced)
    }

    /// What a message has come to that was refused so, and is not offered again.
    pub fn of_refusal(class: RefusalClass) -> Self {
        match class {
            RefusalClass::Bounce => TouchStatus::Bounced,
            RefusalClass::Temporary | RefusalClass::Permanent | RefusalClass::Ours => TouchStatus::Failed,
        }
    }
}

/// Why a message waits, or is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Outside of the campaign's window.
    WindowClosed,
    /// It is night where the recipient is, or the law's hours are over there.
    RecipientQuietHours,
    /// A holiday of the campaign's calendar or of the recipient's state.
    Holiday,
    /// The campaign's messages of the day are used up.
    CampaignCap,
    /// The sender's messages of the day are used up.
    SenderCap,
    /// The campaign has begun with as many contacts on that day as it may.
    NewCap,
    /// The messages of the day of all campaigns of the user are used up.
    UserCap,
    /// Those of everybody's campaigns.
    EverybodyCap,
    /// Those to the recipient's domain.
    DomainCap,
    /// The sender is paused.
    SenderPaused,
    /// There is no sender of this channel.
    NoSender,
    /// It did not arrive, and is tried again.
    TriedAgain,
    /// The provider, or the sender, fails too often: it is left alone for a while.
    BreakerOpen,
    /// The provider said later.
    ProviderBusy,
    /// The campaign is paused.
    CampaignPaused,
    /// The campaign was cancelled.
    CampaignCancelled,
    /// The address must not be reached.
    Suppressed,
    /// The contact has not agreed to this channel.
    NoConsent,
    /// The contact has no address of this channel.
    NoAddress,
    /// Nobody knows where the recipient is, so nobody knows whether it is night.
    NoZone,
    /// The step's condition does not hold.
    ConditionNotMet,
    /// A stop rule has ended the sequence.
    Stopped,
    /// A colleague of the contact has answered, and the campaign's rule ends the sequence for all of their account.
    ColleagueAnswered,
    /// The contact was erased.
    Erased,
    /// A variable of the template has no value.
    MissingVariable,
    /// It was refused for good when it was offered.
    Refused,
    /// A worker died in the middle of a call.
    WorkerDied,
    /// The provider was asked, and its answer was lost.
    ReplyLost,
    /// The windows of campaign and recipient never meet.
    NeverOpen,
    /// A person has paused the contact.
    ContactPaused,
    /// What the contact wrote may mean that they want no more, and nobody has read it yet.
    ReviewOpen,
    /// A person has ended the contact's sequence.
    StoppedByPerson,
    /// The version of the sequence by which the contact goes now has no such message.
    SequenceChanged,
}

words!(TouchStatus, Reason, EventKind);

impl Reason {
    /// The reason in plain words.
    pub fn said(self) -> &'static str {
        match self {
            Reason::WindowClosed => "outside of the campaign's sending window",
            Reason::RecipientQuietHours => "quiet hours where the recipient is",
            Reason::Holiday => "a holiday",
            Reason::CampaignCap => "the campaign's cap of the day is reached",
            Reason::SenderCap => "the sender's cap of the day is reached",
            Reason::NewCap => "the campaign begins with no more contacts on that day",
            Reason::UserCap => "the cap of the day of all campaigns of its user is reached",
            Reason::EverybodyCap => "the cap of the day of all campaigns is reached",
            Reason::DomainCap => "the cap of the day of the recipient's domain is reached",
            Reason::SenderPaused => "the sender is paused",
            Reason::TriedAgain => "it did not arrive, and is tried again",
            Reason::NoSender => "the campaign has no sender for this channel",
            Reason::BreakerOpen => "the provider fails too often and is left alone for a while",
            Reason::ProviderBusy => "the provider asked to wait",
            Reason::CampaignPaused => "the campaign is paused",
            Reason::CampaignCancelled => "the campaign was cancelled",
            Reason::Suppressed => "the address is suppressed",
            Reason::NoConsent => "no consent to this channel",
            Reason::NoAddress => "no address for this channel",
            Reason::NoZone => "nobody knows the recipient's time zone",
            Reason::ConditionNotMet => "the step's condition does not hold",
            Reason::Stopped => "the sequence was stopped for this contact",
            Reason::ColleagueAnswered => "a colleague answered",
            Reason::Erased => "the contact was erased",
            Reason::MissingVariable => "a variable of the template has no value",
            Reason::Refused => "refused for good",
            Reason::WorkerDied => "the worker died in the middle of the call",
            Reason::ReplyLost => "the provider's answer was lost",
            Reason::NeverOpen => "campaign's and recipient's windows never meet",
            Reason::ContactPaused => "the contact is paused",
            Reason::ReviewOpen => "what the contact wrote may be an opt-out, and is to be read first",
            Reason::StoppedByPerson => "a person ended the sequence for this contact",
            Reason::SequenceChanged => "the sequence was changed, and has no such message any more",
        }
    }
}

/// A message that a campaign owes a contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Touch {
    /// Its number.
    pub id: TouchId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// To whom.
    pub contact: ContactId,
    /// Which step of the sequence, from 1, in the version by which it goes.
    pub step: u32,
    /// By which channel.
    pub channel: Channel,
    /// By which version of the sequence.
    pub version: u32,
    /// What it says. Once the provider has it, or may have it, this never changes, whatever becomes of the sequence.
    pub template: Option<TemplateId>,
    /// Which variant of the step that is; none where the step says the same to everybody.
    pub variant: Option<Variant>,
    /// Where it stands.
    pub status: TouchStatus,
    /// Why, where that needs a reason.
    pub reason: Option<Reason>,
    /// In the provider's words, or ours.
    pub detail: String,
    /// Until when it waits.
    pub until: Option<Time>,
    /// The address it goes to.
    pub address: String,
    /// In whose name.
    pub sender: Option<SenderId>,
    /// The job that sends it.
    pub job: String,
    /// What the provider calls it.
    pub provider_ref: Option<String>,
    /// The last that the provider said of it.
    pub provider_status: String,
    /// How often the provider was asked to send it.
    pub sends: u32,
    /// The content's hash.
    pub content_hash: String,
    /// What was known when it was sent.
    pub evidence: Option<Evidence>,
    /// The day of the caps it was counted against; empty before.
    pub counted_day: String,
    /// When it was made.
    pub created_at: Time,
    /// When the provider was first asked.
    pub sending_at: Option<Time>,
    /// When the provider took it.
    pub sent_at: Option<Time>,
    /// When its end was known.
    pub ended_at: Option<Time>,
    /// The key of the step, which is the same in every version of the sequence.
    pub step_key: u32,
}

impl Touch {
    /// Why it is where it is, in a campaign that stands so: what the campaign's pause holds back has no other reason that
    /// counts. A pause is a row of the campaign's, and changes none of its messages.
    pub fn reason_in(&self, campaign: CampaignStatus) -> Option<Reason> {
        let waits = matches!(self.status, TouchStatus::Queued | TouchStatus::Deferred);
        if waits && campaign == CampaignStatus::Paused { Some(Reason::CampaignPaused) } else { self.reason }
    }

    /// Whether it was refused by the recipient's side when it was offered, so that no provider has it.
    pub fn bounced_at_once(&self) -> bool {
        self.status == TouchStatus::Bounced && self.sent_at.is_none()
    }
}

/// What was known, and checked, right before a message was sent: kept with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When everything here was checked.
    pub checked_at: Time,
    /// What the windows said: zones, local times, the rule that applied.
    pub window: crate::window::Evaluation,
    /// The consent it rests on.
    pub consent: Option<super::contact::Consent>,
}

/// What became known of a message or a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The message waits.
    Deferred,
    /// The provider is asked.
    Sending,
    /// The provider has taken it.
    Sent,
    /// It has arrived.
    Delivered,
    /// It has not arrived yet, and a mail server goes on trying.
    Delayed,
    /// The recipient's side has refused it for good.
    Bounced,
    /// It could not be sent, or was not taken, for another reason.
    Failed,
    /// It is not sent, on purpose.
    Skipped,
    /// It may have been sent.
    Unknown,
    /// It is sent once more, since nobody knows whether it was.
    Repeated,
    /// The provider was asked and has it already.
    Found,
    /// A mail was opened.
    Opened,
    /// A link was followed.
    Clicked,
    /// The contact answered.
    Replied,
    /// A machine answered in the contact's place, as one does while they are away: that counts as no answer.
    AutoAnswered,
    /// The contact wants no more.
    OptedOut,
    /// The contact wants messages again.
    OptedIn,
    /// The contact told their provider that it is spam.
    Complained,
    /// A person decided.
    Decided,
}

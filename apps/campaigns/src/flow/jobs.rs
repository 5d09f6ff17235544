//! What stands in the queues. A payload names a row; what is true of it stands in the database.
//!
//! Each job has an id and a unique key that follow from the row that it is about, so that whoever asks for it twice asks
//! for the same job.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::{Draft, Job, JobId, Time, core::job::UniqueScope};

use super::{limits, paces::Whose, share::Sharing};
use crate::{
    channel::Channel,
    drafts::Moves,
    model::{CampaignId, ContactId, SenderId, TouchId, touch::Touch},
};

/// Go through the contacts of a campaign page by page, and enqueue the first step of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "page_campaign", queue = "campaign")]
pub struct PageCampaign {
    /// The campaign.
    pub campaign: CampaignId,
}

/// Look again at what waits of a campaign: something was changed by which it waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "look_again", queue = "campaign")]
pub struct LookAgain {
    /// The campaign.
    pub campaign: CampaignId,
    /// What of it.
    pub at: Waiting,
}

/// What waits of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Its messages, and the steps that are still to come.
    Everything,
    /// Its messages alone: a sender has changed, and no step is due at another time for that.
    Messages,
    /// Its messages, by another table of calling hours.
    Hours,
}

/// Have the contacts of a campaign go on by a version of its sequence, page by page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "move_contacts", queue = "campaign")]
pub struct MoveContacts {
    /// The campaign.
    pub campaign: CampaignId,
    /// The version.
    pub version: u32,
    /// Which contacts.
    pub moves: Moves,
    /// The last of them who has been moved already.
    pub after: ContactId,
}

/// Take one contact through one step of a campaign's sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "take_step", queue = "campaign-step")]
pub struct TakeStep {
    /// The campaign.
    pub campaign: CampaignId,
    /// The contact.
    pub contact: ContactId,
    /// The version of the sequence by which the contact went when it was asked for.
    pub version: u32,
    /// The step of that version, from 1.
    pub step: u32,
}

/// Send one mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "send_email", queue = "email")]
pub struct SendEmail {
    /// The message.
    pub touch: TouchId,
}

/// Send one text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "send_sms", queue = "sms")]
pub struct SendSms {
    /// The message.
    pub touch: TouchId,
}

/// Make one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "drop_voicemail", queue = "voicemail")]
pub struct DropVoicemail {
    /// The message.
    pub touch: TouchId,
}

/// Find out what has become of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "watch_touch", queue = "watch")]
pub struct WatchTouch {
    /// The message.
    pub touch: TouchId,
}

/// Let go on what the queue has given up because its workers died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "revive_lost", queue = "watch")]
pub struct ReviveLost {}

/// Tell the queue that the pace of a provider, or of a recipients' domain, has grown by a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "grow_pace", queue = "watch")]
pub struct GrowPace {
    /// Whose pace.
    pub(crate) of: Whose,
}

/// What goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paused {
    /// A campaign.
    Campaign(CampaignId),
    /// A sender.
    Sender(SenderId),
}

/// Let a campaign or a sender go on whose pause is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "end_pause", queue = "watch")]
pub struct EndPause {
    /// Which.
    pub of: Paused,
}

/// Let what waits for a contact look again whether it may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "wake_contact", queue = "watch")]
pub struct WakeContact {
    /// The contact.
    pub contact: ContactId,
}

/// Compute what a sender may send on its next day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "warm_up_sender", queue = "sender-warm-up")]
pub struct WarmUpSender {
    /// The sender.
    pub sender: SenderId,
    /// The sender's day that has ended, as `2026-11-22`.
    pub day: String,
}

/// When an edited table of calling hours holds in every process: they look for one once a second.
const HOURS_HOLD_AFTER: Duration = Duration::from_secs(2);

/// The group of the jobs of all campaigns, where they stand in one line.
const LINE: &str = "campaigns";

/// The group of all jobs of a campaign, where the queues are fair to campaigns.
pub fn group(campaign: CampaignId) -> String {
    format!("campaign-{campaign}")
}

/// The campaign of a group, if it is one's.
pub(super) fn campaign_of(group: &str) -> Option<CampaignId> {
    group.strip_prefix("campaign-")?.parse().ok().map(CampaignId)
}

/// The condition under which the queue's pages find a campaign's jobs.
pub(crate) fn found_by(sharing: Sharing, campaign: CampaignId) -> (&'static str, String) {
    match sharing {
        Sharing::Fair => ("group", group(campaign)),
        Sharing::FirstCome => ("tag", tag(campaign)),
    }
}

/// A campaign's job, in its campaign's group or at the end of the one line. In the line a pause cannot hold the group, so
/// there it holds a limit that the campaign's jobs take.
fn of_campaign(draft: Draft, sharing: Sharing, campaign: CampaignId) -> Draft {
    let draft = draft.tag(tag(campaign));
    match sharing {
        Sharing::Fair => draft.group(group(campaign)),
        Sharing::FirstCome => draft.group(LINE).limit(limits::of_campaign(campaign), 1),
    }
}

/// The job that pages a campaign.
pub fn page(sharing: Sharing, campaign: CampaignId, launched_at: Time) -> Draft {
    let key = campaign.to_string();
    let id = page_id(campaign, launched_at);
    of_campaign(PageCampaign { campaign }.draft().id(id).unique(key), sharing, campaign)
}

/// The job that looks again at what waits of a campaign: of several that are asked for before it begins there is one. Its id
/// follows from `asked`, which is new each time.
pub fn look_again(
    sharing: Sharing,
    campaign: CampaignId,
    at: Waiting,
    (asked, launched_at): (JobId, Time),
) -> Draft {
    let what = match at {
        Waiting::Everything => "everything",
        Waiting::Messages => "messages",
        Waiting::Hours => "hours",
    };
    let id = JobId::named(launched_at, &format!("campaigns/look-again/{asked}"));
    let draft = LookAgain { campaign, at }.draft().id(id);
    let draft = draft.unique(format!("{campaign}:{what}")).unique_scope(UniqueScope::UntilStart);
    let draft = if at == Waiting::Hours { draft.delay(HOURS_HOLD_AFTER) } else { draft };
    of_campaign(draft, sharing, campaign)
}

/// The id of the job that pages a campaign.
pub fn page_id(campaign: CampaignId, launched_at: Time) -> JobId {
    JobId::named(launched_at, &format!("campaigns/page/{campaign}"))
}

/// The id of the job of a contact's step, by its version and its number there.
pub fn step_id(
    campaign: CampaignId,
    contact: ContactId,
    (version, step): (u32, u32),
    named_at: Time,
) -> JobId {
    JobId::named(named_at, &format!("campaigns/step/{campaign}:{contact}:{version}:{step}"))
}

/// The job that moves contacts to a version.
pub(crate) fn move_contacts(sharing: Sharing, job: MoveContacts, named_at: Time) -> Draft {
    let (campaign, key) = (job.campaign, format!("{}:{}", job.campaign, job.version));
    let id = JobId::named(named_at, &format!("campaigns/move/{key}"));
    of_campaign(job.draft().id(id).unique(key), sharing, campaign)
}

/// The job of a contact's step, by its version and its number there.
pub fn step(
    sharing: Sharing,
    campaign: CampaignId,
    contact: ContactId,
    (version, step): (u32, u32),
    named_at: Time,
) -> Draft {
    let key = format!("{campaign}:{contact}:{version}:{step}");
    let id = step_id(campaign, contact, (version, step), named_at);
    of_campaign(TakeStep { campaign, contact, version, step }.draft().id(id).unique(key), sharing, campaign)
}

/// The job that sends a message.
pub fn send(sharing: Sharing, touch: &Touch, named_at: Time) -> Draft {
    let id = touch.id;
    let draft = match touch.channel {
        Channel::Email => SendEmail { touch: id }.draft(),
        Channel::Sms => SendSms { touch: id }.draft(),
        Channel::Voicemail => DropVoicemail { touch: id }.draft(),
    };
    // A message that was given to another sender has another job, which is asked for while the one before runs.
    let first = send_id(touch, named_at);
    let job = touch.job.parse().unwrap_or(first);
    let key = if job == first { id.to_string() } else { format!("{id}:{job}") };
    of_campaign(draft.id(job).unique(key), sharing, touch.campaign)
}

/// The id of the job that sends a message after the one that it names, with another sender.
pub(super) fn send_id_after(touch: &Touch, named_at: Time) -> JobId {
    JobId::named(named_at, &format!("campaigns/send/{}/{}/after/{}", touch.id, touch.channel, touch.job))
}

/// The id of the job that sends a message first.
pub fn send_id(touch: &Touch, named_at: Time) -> JobId {
    JobId::named(named_at, &format!("campaigns/send/{}/{}", touch.id, touch.channel))
}

/// The id of the job that sends a message again that its provider took and did not bring.
pub fn again_id(touch: &Touch, named_at: Time) -> JobId {
    JobId::named(named_at, &format!("campaigns/send/{}/{}/after-{}", touch.id, touch.channel, touch.sends))
}

/// The job that watches a message.
pub fn watch(sharing: Sharing, touch: &Touch, named_at: Time) -> Draft {
    let id = JobId::named(named_at, &format!("campaigns/watch/{}/{}", touch.id, touch.sends));
    let draft = WatchTouch { touch: touch.id }.draft().id(id).unique(touch.id.to_string());
    of_campaign(draft, sharing, touch.campaign)
}

/// The job for the step of a pace that is due then. Of several that plan the same step after the same cut there is one.
pub(super) fn grow(of: &Whose, cut_at: Time, due: Time) -> Draft {
    let id = JobId::named(cut_at, &format!("campaigns/grow/{of}/{due}"));
    GrowPace { of: of.clone() }.draft().id(id).run_at(due)
}

/// The job that ends a sender's day.
pub fn warm_up(sender: SenderId, day: &str, named_at: Time) -> Draft {
    let key = format!("{sender}:{day}");
    let id = JobId::named(named_at, &format!("campaigns/warm-up/{key}"));
    WarmUpSender { sender, day: day.to_owned() }.draft().id(id).unique(key)
}

/// The job that ends a pause at that moment. Whoever pauses has one of their own: two that end the same are one that does.
pub fn end_pause(of: Paused, due: Time) -> Draft {
    EndPause { of }.draft().run_at(due)
}

/// The job that has what waits for a contact look again. Each is another one: what held them may end twice at one moment.
pub fn wake(contact: ContactId) -> Draft {
    WakeContact { contact }.draft()
}

fn tag(campaign: CampaignId) -> String {
    format!("campaign={campaign}")
}

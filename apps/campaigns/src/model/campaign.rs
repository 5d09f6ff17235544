//! A campaign: a versioned sequence of steps for the contacts of a list, within windows and caps.

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{CampaignId, ListId, TemplateId, UserId, words};
use crate::{channel::Channel, window};

/// Steps of a sequence at most: a year of weekly touches.
pub const MAX_STEPS: usize = 52;

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    /// It is being written.
    Draft,
    /// It is launched, and begins at a time to come.
    Scheduled,
    /// Its touches go out.
    Running,
    /// Nothing of it goes out until it is resumed.
    Paused,
    /// Every contact has come to the end of the sequence, or was stopped.
    Done,
    /// Somebody ended it.
    Cancelled,
}

words!(CampaignStatus, Condition, EnrolmentStatus);

impl CampaignStatus {
    /// Whether it still has touches to send.
    pub fn is_live(self) -> bool {
        matches!(self, CampaignStatus::Scheduled | CampaignStatus::Running | CampaignStatus::Paused)
    }
}

/// A campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its number.
    pub id: CampaignId,
    /// Whose it is.
    pub user: UserId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub status: CampaignStatus,
    /// Whom it reaches.
    pub list: Option<ListId>,
    /// The version of the sequence by which contacts are enrolled.
    pub version: u32,
    /// Its share among its user's campaigns, 1 to 100.
    pub weight: u32,
    /// Messages a day at most, over all channels; none is no cap.
    pub daily_cap: Option<u32>,
    /// When it may reach whom.
    pub policy: window::WindowPolicy,
    /// What ends the sequence for a contact.
    pub stop_rules: StopRules,
    /// The postal address that a commercial mail must show.
    pub postal_address: String,
    /// When it begins; none is at its launch.
    pub starts_at: Option<Time>,
    /// When it was launched.
    pub launched_at: Option<Time>,
    /// When every contact had their first step in the queue.
    pub paged_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// Contacts that were on the list at the launch.
    pub contacts: u32,
    /// Grows with every change, so that two people cannot overwrite each other.
    pub revision: i64,
    /// When it was made.
    pub created_at: Time,
}

/// What ends the sequence for a contact, besides an opt-out, which always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopRules {
    /// They answered.
    pub reply: bool,
    /// They followed a link.
    pub click: bool,
    /// A message came back: it was refused for good, at once or later, and no fallback channel took its place. A provider
    /// that was out of reach until the message was given up says nothing of the contact.
    pub bounce: bool,
}

impl Default for StopRules {
    fn default() -> Self {
        Self { reply: true, click: false, bounce: true }
    }
}

/// A step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// By which channel.
    pub channel: Channel,
    /// How long after the touch before it; after the launch for the first.
    #[serde(default = "at_once")]
    pub delay: window::Delay,
    /// Whether it is taken.
    #[serde(default)]
    pub condition: Condition,
    /// What is said.
    pub template: TemplateId,
    /// Instead, when the contact cannot be reached by the step's channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// The delay of a step that says nothing about it.
fn at_once() -> window::Delay {
    window::Delay::Minutes(0)
}

/// Another channel for the same step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// By which channel.
    pub channel: Channel,
    /// What is said.
    pub template: TemplateId,
}

/// When a step is taken; it looks at what the campaign knows of the contact then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// The contact has not answered.
    NotReplied,
    /// A mail of the campaign was opened.
    Opened,
    /// No mail of the campaign was opened.
    NotOpened,
    /// A link of the campaign was followed.
    Clicked,
    /// No link of the campaign was followed.
    NotClicked,
    /// The message of the step before was not delivered.
    NotDelivered,
}

/// Where a contact stands in a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrolmentStatus {
    /// They have steps before them.
    Active,
    /// They have come to the end of the sequence.
    Done,
    /// Something ended the sequence for them.
    Stopped,
}

/// What is wrong with a sequence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// It is empty.
    #[error("a campaign needs at least one step")]
    Empty,
    /// It is longer than [`MAX_STEPS`].
    #[error("a sequence has at most {MAX_STEPS} steps, this one has {0}")]
    TooLong(usize),
    /// A step's fallback is the channel that it stands in for.
    #[error("step {0} falls back from {1} to {1}: choose another channel")]
    SameFallback(usize, Channel),
    /// A delay is out of its bounds.
    #[error("step {0}: {1}")]
    Delay(usize, String),
}

/// Refuses a sequence that cannot be carried out.
///
/// # Errors
/// The first fault.
pub fn check_sequence(steps: &[Step]) -> Result<(), SequenceError> {
    if steps.is_empty() {
        return Err(SequenceError::Empty);
    }
    if steps.len() > MAX_STEPS {
        return Err(SequenceError::TooLong(steps.len()));
    }
    for (number, step) in (1..).zip(steps) {
        if step.fallback.as_ref().is_some_and(|fallback| fallback.channel == step.channel) {
            return Err(SequenceError::SameFallback(number, step.channel));
        }
        step.delay.checked().map_err(|why| SequenceError::Delay(number, why.to_string()))?;
    }
    Ok(())
}

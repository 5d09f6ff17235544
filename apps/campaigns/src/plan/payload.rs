//! The payloads of the seven kinds of job, in the order in which a campaign passes through them.
//!
//! A payload names its contact by number and carries the one address it needs, so that a touch can be sent, and
//! understood by a person who reads the job, without the list.

use serde::{Deserialize, Serialize};
use windlass::Job;

use super::{CampaignId, ContactId, UserId};
use crate::channel::Channel;

/// Launch a campaign: go through its contacts page by page and enqueue a step for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "launch_campaign", queue = "campaign")]
pub struct LaunchCampaign {
    /// The campaign.
    pub campaign: CampaignId,
    /// Who launched it.
    pub user: UserId,
    /// Its first contact.
    pub first: ContactId,
    /// How many contacts it has, consecutive from the first.
    pub contacts: u32,
    /// How long after the launch a contact's step is due; days in a real sequence, next to nothing in a rehearsal.
    #[serde(default)]
    pub step_delay_ms: u64,
}

/// Take one contact through one step of a campaign's sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "campaign_step", queue = "campaign-step")]
pub struct CampaignStep {
    /// The campaign.
    pub campaign: CampaignId,
    /// The contact.
    pub contact: ContactId,
    /// The step, from 1.
    pub step: u32,
}

impl CampaignStep {
    /// The unique key of the step: a campaign that is launched again does not reach anybody twice.
    pub fn unique_key(&self) -> String {
        format!("{}:{}:{}", self.campaign.0, self.contact.0, self.step)
    }
}

/// Send one mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "send_email", queue = "email")]
pub struct SendEmail {
    /// The campaign.
    pub campaign: CampaignId,
    /// The contact.
    pub contact: ContactId,
    /// The address.
    pub to: String,
    /// The contact's name, or empty.
    pub name: String,
}

/// Send one text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "send_sms", queue = "sms")]
pub struct SendSms {
    /// The campaign.
    pub campaign: CampaignId,
    /// The contact.
    pub contact: ContactId,
    /// The number, in E.164.
    pub to: String,
    /// The contact's name, or empty.
    pub name: String,
}

/// Leave one voicemail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "drop_voicemail", queue = "voicemail")]
pub struct DropVoicemail {
    /// The campaign.
    pub campaign: CampaignId,
    /// The contact.
    pub contact: ContactId,
    /// The number, in E.164.
    pub to: String,
    /// The contact's name, or empty.
    pub name: String,
}

/// Ask the provider what has become of a touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "watch_touch", queue = "watch")]
pub struct WatchTouch {
    /// The campaign.
    pub campaign: CampaignId,
    /// The contact.
    pub contact: ContactId,
    /// By which channel it was sent.
    pub channel: Channel,
    /// What the provider calls it.
    pub provider_id: String,
}

/// Compute a sender's cap for tomorrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Job)]
#[job(kind = "warm_up_sender", queue = "sender-warm-up")]
pub struct WarmUpSender {
    /// The sender's address or number.
    pub sender: String,
    /// The day of its warm-up, from 1.
    pub day: u32,
}

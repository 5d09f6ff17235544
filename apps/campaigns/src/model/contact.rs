//! A contact: how to reach them, where they are, and what they have agreed to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{ContactId, account};
use crate::channel::Channel;

/// A contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Their number.
    pub id: ContactId,
    /// Their mailbox.
    pub email: Option<String>,
    /// Their phone's number, in E.164.
    pub phone: Option<String>,
    /// Their whole name; may be empty.
    pub name: String,
    /// The name of their time zone, as in the IANA database.
    pub time_zone: Option<String>,
    /// Their country, two letters.
    pub country: Option<String>,
    /// Their state or province, two letters.
    pub state: Option<String>,
    /// Their postal code.
    pub zip: Option<String>,
    /// The company or institution that they belong to, as somebody has written it.
    pub account: Option<String>,
    /// Whatever else is known of them: the variables of templates.
    pub fields: BTreeMap<String, String>,
    /// When they were made.
    pub created_at: Time,
    /// When everything that names them was removed.
    pub erased_at: Option<Time>,
}

impl Contact {
    /// Their address on that channel.
    pub fn address(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::Email => self.email.as_deref(),
            Channel::Sms | Channel::Voicemail => self.phone.as_deref(),
        }
    }

    /// What they share with their colleagues ([`account::key`]); none when nobody knows of any.
    pub fn colleagues_by(&self) -> Option<String> {
        account::key(self.account.as_deref(), self.email.as_deref()).filter(|key| !account::is_free_mail(key))
    }
}

/// What a contact has agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// To be reached by which channel.
    pub channel: Channel,
    /// On which basis: `express_written`, `express`, `implied`, …
    pub basis: String,
    /// What proves it: a form's address, a recording's.
    pub proof: String,
    /// Where it comes from: an import, a form, a person.
    pub source: String,
    /// When it was given.
    pub given_at: Time,
    /// When it was taken back.
    pub revoked_at: Option<Time>,
}

//! The SMS channel: one text message through the provider's API.
//!
//! Delivery is at least once. The provider has no idempotency for messages, so a lost reply means a second
//! text; the job's id travels along as a key for providers that do honour one.

use super::{ProviderClient, SendOutcome};
use crate::plan::CampaignId;

/// One text to one phone.
#[derive(Clone, Debug)]
pub struct Sms<'a> {
    /// The id of the job that sends it.
    pub job: &'a str,
    /// The campaign it belongs to.
    pub campaign: CampaignId,
    /// The recipient's number, in E.164.
    pub to: &'a str,
    /// The text.
    pub body: &'a str,
}

/// Sends texts from one number.
#[derive(Clone, Debug)]
pub struct SmsSender {
    client: ProviderClient,
    from: String,
}

impl SmsSender {
    /// A sender that texts from the number `from`.
    pub fn new(client: ProviderClient, from: impl Into<String>) -> Self {
        Self { client, from: from.into() }
    }

    /// Sends one text, or says why not.
    pub async fn send(&self, sms: &Sms<'_>) -> SendOutcome {
        let form = [("To", sms.to), ("From", self.from.as_str()), ("Body", sms.body)];
        self.client.post("Messages.json", &form, sms.job, sms.campaign).await
    }
}

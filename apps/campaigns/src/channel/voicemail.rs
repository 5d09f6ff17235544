//! The voicemail channel: one call that speaks its message after the beep.
//!
//! It only places the call. Whether a call whose reply was lost may be placed again is the handler's decision:
//! a second call is worse than a second mail.

use super::{ProviderClient, SendOutcome};
use crate::plan::CampaignId;

/// One message to one phone.
#[derive(Clone, Debug)]
pub struct Voicemail<'a> {
    /// The id of the job that places the call.
    pub job: &'a str,
    /// The campaign it belongs to.
    pub campaign: CampaignId,
    /// The recipient's number, in E.164.
    pub to: &'a str,
    /// The words to speak; any character is safe.
    pub speech: &'a str,
}

/// Places calls from one number.
#[derive(Clone, Debug)]
pub struct VoicemailSender {
    client: ProviderClient,
    from: String,
}

impl VoicemailSender {
    /// A sender that calls from the number `from`.
    pub fn new(client: ProviderClient, from: impl Into<String>) -> Self {
        Self { client, from: from.into() }
    }

    /// Places one call, or says why not.
    pub async fn send(&self, voicemail: &Voicemail<'_>) -> SendOutcome {
        let twiml = format!("<Response><Say>{}</Say></Response>", escaped(voicemail.speech));
        let form = [
            ("To", voicemail.to),
            ("From", self.from.as_str()),
            ("Twiml", twiml.as_str()),
            // The call waits for the end of the greeting, so that the message is not spoken into it.
            ("MachineDetection", "DetectMessageEnd"),
        ];
        self.client.post("Calls.json", &form, voicemail.job, voicemail.campaign).await
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML 1.0 has no way to write control characters, not even escaped.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoken_text_cannot_add_instructions_to_the_call() {
        assert_eq!(escaped("a</Say><Dial>1</Dial>&\u{1}"), "a&lt;/Say&gt;&lt;Dial&gt;1&lt;/Dial&gt;&amp; ");
    }
}

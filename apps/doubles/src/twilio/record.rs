//! What the provider keeps of messages and calls, and their JSON: every field that the real resources have.

use serde_json::{Value, json};

use super::numbers::{formatted, segments};
use crate::moment::rfc2822;

/// The version in every path and resource.
pub(super) const API_VERSION: &str = "2010-04-01";

/// Where somebody wants to hear of something.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) url: String,
    /// Whether by GET; by POST otherwise.
    pub(super) get: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) sid: String,
    pub(super) account: String,
    pub(super) from: Option<String>,
    pub(super) to: String,
    pub(super) body: String,
    pub(super) service: Option<String>,
    pub(super) media: usize,
    pub(super) direction: &'static str,
    pub(super) status: &'static str,
    pub(super) error: Option<u32>,
    pub(super) created_ms: u64,
    pub(super) updated_ms: u64,
    pub(super) sent_ms: Option<u64>,
    pub(super) callback: Option<Hook>,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) sid: String,
    pub(super) account: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) status: &'static str,
    pub(super) answered_by: Option<&'static str>,
    pub(super) said: Option<String>,
    pub(super) created_ms: u64,
    pub(super) updated_ms: u64,
    pub(super) started_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
    pub(super) script: Script,
}

/// What a call does when it is answered, and whom it tells.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) twiml: Option<String>,
    pub(super) url: Option<Hook>,
    pub(super) callback: Option<Hook>,
    /// Of `initiated`, `ringing`, `answered` and `completed`, those that are told.
    pub(super) events: Vec<String>,
    pub(super) detection: Option<Detection>,
}

/// How it is found out who answers.
#[derive(Clone, Debug)]
pub(super) struct Detection {
    /// Whether the end of a machine's message is waited for.
    pub(super) message_end: bool,
    /// Whether the call goes on meanwhile, and who is told then.
    pub(super) meanwhile: Option<Option<Hook>>,
}

impl Message {
    pub(super) fn json(&self) -> Value {
        let (account, sid) = (&self.account, &self.sid);
        let uri = format!("/{API_VERSION}/Accounts/{account}/Messages/{sid}");
        json!({
            "account_sid": account,
            "api_version": API_VERSION,
            "body": self.body,
            "date_created": rfc2822(self.created_ms),
            "date_sent": self.sent_ms.map(rfc2822),
            "date_updated": rfc2822(self.updated_ms),
            "direction": self.direction,
            "error_code": self.error,
            "error_message": self.error.map(error_text),
            "from": self.from,
            "messaging_service_sid": self.service,
            "num_media": self.media.to_string(),
            "num_segments": segments(&self.body).to_string(),
            "price": null,
            "price_unit": "USD",
            "sid": sid,
            "status": self.status,
            "subresource_uris": { "media": format!("{uri}/Media.json") },
            "to": self.to,
            "uri": format!("{uri}.json"),
        })
    }

    /// The time by which lists are ordered and filtered: when it was sent, or when it was made while it waits.
    pub(super) fn dated_ms(&self) -> u64 {
        self.sent_ms.unwrap_or(self.created_ms)
    }
}

impl Call {
    pub(super) fn json(&self) -> Value {
        let (account, sid) = (&self.account, &self.sid);
        let uri = format!("/{API_VERSION}/Accounts/{account}/Calls/{sid}");
        let subresources: serde_json::Map<String, Value> = [
            ("events", "Events"),
            ("notifications", "Notifications"),
            ("payments", "Payments"),
            ("recordings", "Recordings"),
            ("siprec", "Siprec"),
            ("streams", "Streams"),
            ("transcriptions", "Transcriptions"),
            ("user_defined_message_subscriptions", "UserDefinedMessageSubscriptions"),
            ("user_defined_messages", "UserDefinedMessages"),
        ]
        .into_iter()
        .map(|(name, path)| (name.to_owned(), json!(format!("{uri}/{path}.json"))))
        .collect();
        json!({
            "account_sid": account,
            "annotation": null,
            "answered_by": self.answered_by,
            "api_version": API_VERSION,
            "caller_name": null,
            "date_created": rfc2822(self.created_ms),
            "date_updated": rfc2822(self.updated_ms),
            "direction": "outbound-api",
            "duration": self.ended_ms.map(|_| self.duration_s().to_string()),
            "end_time": self.ended_ms.map(rfc2822),
            "forwarded_from": null,
            "from": self.from,
            "from_formatted": formatted(&self.from),
            "group_sid": null,
            "parent_call_sid": null,
            "phone_number_sid": null,
            "price": null,
            "price_unit": "USD",
            "queue_time": "0",
            "sid": sid,
            "start_time": self.started_ms.map(rfc2822),
            "status": self.status,
            "subresource_uris": subresources,
            "to": self.to,
            "to_formatted": formatted(&self.to),
            "trunk_sid": null,
            "uri": format!("{uri}.json"),
        })
    }

    /// How long it was talked, in whole seconds; 0 when nobody answered.
    pub(super) fn duration_s(&self) -> u64 {
        match (self.started_ms, self.ended_ms) {
            (Some(start), Some(end)) => end.saturating_sub(start).div_ceil(1_000),
            _ => 0,
        }
    }
}

/// What the provider says of an error that ended a message.
fn error_text(code: u32) -> String {
    match code {
        30001 => "Queue overflow",
        30002 => "Account suspended",
        30003 => "Unreachable destination handset",
        30004 => "Message blocked",
        30005 => "Unknown destination handset",
        30006 => "Landline or unreachable carrier",
        30007 => "Carrier violation",
        30008 => "Unknown error",
        _ => return format!("Error {code}"),
    }
    .to_owned()
}

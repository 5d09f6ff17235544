//! The logs of a server: one JSON line for each delivery, in the file before the sender hears of it.
//!
//! A line is written with one `write` per message, so a reader never finds half a line unless the process died within
//! it. It is not synced to disk: the server's process is not killed, and a power cut ends the demonstration.
//! What becomes of a delivery later (states, callbacks, what was said) is a log of its own, where one is wanted.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::Mutex,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The header that names the job a message was sent for, in mail and in HTTP requests; it is copied into the log.
pub const JOB_HEADER: &str = "X-Windlass-Job";
/// The header that names the campaign a message belongs to; it is copied into the log.
pub const CAMPAIGN_HEADER: &str = "X-Windlass-Campaign";
/// The header that stands for [`JOB_HEADER`] in HTTP requests without it.
pub const IDEMPOTENCY_HEADER: &str = "Idempotency-Key";

/// The longest header field that is written down; subjects are short, and a hostile one must not fill the disk.
pub(crate) const MAX_LOGGED_BYTES: usize = 1_000;
/// The longest content that is written down: a text of 1,600 characters, whatever they are, and most spoken words.
pub(crate) const MAX_LOGGED_BODY_BYTES: usize = 8_000;

/// By which way a delivery came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Mail.
    Email,
    /// A text message.
    Sms,
    /// A call.
    Voicemail,
}

/// One accepted delivery to one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery<'a> {
    /// When it was accepted, in milliseconds since 1970, by the clock of the wall.
    pub at_ms: u64,
    /// By which channel it came.
    pub channel: Channel,
    /// What the server calls it: a queue id, a sid.
    pub provider_id: Cow<'a, str>,
    /// Whose account it was taken for, or the user that had logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Cow<'a, str>>,
    /// The Message-ID of a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Cow<'a, str>>,
    /// The sender's address or number; of a mail, that of the envelope.
    pub from: Cow<'a, str>,
    /// The recipient's address or number; of a mail, that of the envelope.
    pub to: Cow<'a, str>,
    /// The subject of a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Cow<'a, str>>,
    /// The words of a text, or those that a call's inline TwiML says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Cow<'a, str>>,
    /// Where a call asks what to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Cow<'a, str>>,
    /// Where its sender wants to hear of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_callback: Option<Cow<'a, str>>,
    /// The List-Unsubscribe of a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_unsubscribe: Option<Cow<'a, str>>,
    /// The List-Unsubscribe-Post of a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_unsubscribe_post: Option<Cow<'a, str>>,
    /// What the sender wants to find again in events: the mail API's custom arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_args: BTreeMap<String, String>,
    /// The job that sent it, from its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Cow<'a, str>>,
    /// The campaign it belongs to, from its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Cow<'a, str>>,
    /// The size of its content, dot-stuffing and escapes undone.
    pub bytes: u64,
    /// Whether the connection was closed in place of the reply.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reply_dropped: bool,
}

impl Delivery<'_> {
    /// A delivery at that time by that channel, of which nothing else is known yet.
    pub(crate) fn new(at_ms: u64, channel: Channel) -> Self {
        Self {
            at_ms,
            channel,
            provider_id: Cow::Borrowed(""),
            account: None,
            message_id: None,
            from: Cow::Borrowed(""),
            to: Cow::Borrowed(""),
            subject: None,
            body: None,
            url: None,
            status_callback: None,
            list_unsubscribe: None,
            list_unsubscribe_post: None,
            custom_args: BTreeMap::new(),
            job: None,
            campaign: None,
            bytes: 0,
            reply_dropped: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct DeliveryLog(Mutex<File>);

impl DeliveryLog {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    /// Writes the deliveries of one message, all or (when the system fails) an unknown part of them.
    ///
    /// It blocks for the few microseconds of a write into the page cache, which is less than handing it to
    /// another thread would cost.
    pub(crate) fn append<'a>(&self, deliveries: impl Iterator<Item = Delivery<'a>>) -> io::Result<()> {
        let mut lines = Vec::with_capacity(512);
        for delivery in deliveries {
            serde_json::to_writer(&mut lines, &delivery)?;
            lines.push(b'\n');
        }
        self.0.lock().expect("no code panics while it holds the log").write_all(&lines)
    }
}

/// What became of deliveries: written where somebody wants it, for people and for tests.
#[derive(Debug)]
pub(crate) struct EventLog(Option<Mutex<File>>);

impl EventLog {
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path).map(Mutex::new);
        path.map(open).transpose().map(Self)
    }

    pub(crate) fn append(&self, event: &Value) {
        let Some(file) = &self.0 else { return };
        // An event that cannot be written is missed by people only; deliveries are refused in that case.
        let _ = file
            .lock()
            .expect("no code panics while it holds the log")
            .write_all(format!("{event}\n").as_bytes());
    }
}

/// A value as it goes into the log: valid text, cut at the bound.
pub(crate) fn logged(value: &[u8]) -> String {
    cut(value, MAX_LOGGED_BYTES)
}

/// Content as it goes into the log.
pub(crate) fn logged_body(value: &str) -> String {
    cut(value.as_bytes(), MAX_LOGGED_BODY_BYTES)
}

fn cut(value: &[u8], bytes: usize) -> String {
    let mut text = String::from_utf8_lossy(&value[..value.len().min(bytes)]).into_owned();
    text.retain(|c| c != '\u{0}');
    text
}

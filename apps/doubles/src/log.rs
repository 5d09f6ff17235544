//! The log of a server: one JSON line for each delivery, in the file before the sender hears of it.
//!
//! It is written with one `write` per message, so a reader never finds half a line unless the process died within
//! it. It is not synced to disk: the server's process is not killed, and a power cut ends the demonstration.

use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

/// The header that names the job a message was sent for, in mail and in HTTP requests; it is copied into the log.
pub const JOB_HEADER: &str = "X-Windlass-Job";
/// The header that names the campaign a message belongs to; it is copied into the log.
pub const CAMPAIGN_HEADER: &str = "X-Windlass-Campaign";
/// The header that stands for [`JOB_HEADER`] in HTTP requests without it.
pub const IDEMPOTENCY_HEADER: &str = "Idempotency-Key";

/// The longest value that is written down; subjects are short, and a hostile one must not fill the disk.
pub(crate) const MAX_LOGGED_BYTES: usize = 1_000;

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
    /// When it was accepted, in milliseconds since 1970.
    pub at_ms: u64,
    /// By which channel it came.
    pub channel: Channel,
    /// What the server calls it.
    pub provider_id: Cow<'a, str>,
    /// The Message-ID of a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Cow<'a, str>>,
    /// The sender's address or number.
    pub from: Cow<'a, str>,
    /// The recipient's address or number.
    pub to: Cow<'a, str>,
    /// The subject of a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Cow<'a, str>>,
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

/// A value as it goes into the log: valid text, cut at the bound.
pub(crate) fn logged(value: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&value[..value.len().min(MAX_LOGGED_BYTES)]).into_owned();
    text.retain(|c| c != '\u{0}');
    text
}

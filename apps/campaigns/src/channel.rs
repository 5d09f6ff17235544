//! The three channels, and what can come of one send.
//!
//! A client knows its protocol and nothing of queues: it answers with a [`SendOutcome`] and leaves it to the
//! caller whether that is a completion, a snooze or a failure. What it does know, and says, is whether the
//! message may have arrived although the answer did not: that is what makes a repeat explainable.
//!
//! A message carries its whole identity (its sender, its Message-ID, where callbacks go), so there is one client
//! for each account at a provider, however many senders and campaigns share it.
//!
//! An [`Email`] goes out by [`smtp`] or [`http_mail`]; a [`Sms`] and a [`Voicemail`] by the HTTP API in [`twilio`].
//! What is done about a refusal is looked up in the error table ([`rules`]), and a provider that fails is left alone
//! for a while by its [`breaker`]; one that is asked too much is asked more slowly, at a [`pace`].

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub mod breaker;
pub mod email;
mod http;
pub mod http_mail;
pub mod pace;
pub mod rules;
pub mod sms;
pub mod smtp;
pub mod twilio;
pub mod voicemail;

pub use breaker::Breaker;
pub use email::{Email, Unsubscribe};
pub use http_mail::HttpMailClient;
pub use rules::{Action, ErrorRule, ErrorTable, ProviderKind};
pub use sms::Sms;
pub use smtp::SmtpSender;
pub use twilio::{Found, ProviderStatus, TwilioClient};
pub use voicemail::{MachineDetection, Twiml, Voicemail};

/// The start of the text of a failure after which the message may have arrived; see [`SendError`].
pub const REPLY_LOST: &str = "reply_lost";
/// The start of the text of a failure after which the message has certainly not arrived.
pub const NOT_SENT: &str = "not_sent";

/// The longest reason kept of a provider's; the longest real ones, with their links, are below 300.
const MAX_REASON_CHARS: usize = 500;

/// How a touch reaches its contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// SMTP.
    Email,
    /// A text message through the provider.
    Sms,
    /// A call that leaves a message, through the provider.
    Voicemail,
}

impl Channel {
    /// Every channel, in the order in which reports list them.
    pub const ALL: [Channel; 3] = [Channel::Email, Channel::Sms, Channel::Voicemail];

    /// The name used in queues, logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Email => "email",
            Channel::Sms => "sms",
            Channel::Voicemail => "voicemail",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What came of one attempt to send; every answer of a provider is exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The provider took responsibility for the message.
    Sent {
        /// What the provider calls it.
        provider_id: String,
    },
    /// The provider said no and took nothing.
    Refused(Refusal),
    /// The attempt ended without a verdict on the message.
    Unanswered(SendError),
}

/// A provider's no, with what it says about another attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The provider's code behind the name of its kind, such as `twilio/21610`, `smtp/550-5.1.1` or `mail/413`;
    /// `local/...` when the message could not even be offered.
    pub code: String,
    /// The provider's reason, for people.
    pub why: String,
    /// What kind of no it is, as far as the protocol itself says.
    pub class: RefusalClass,
    /// How long the provider asks to wait, in milliseconds, when it named a time.
    pub retry_after_ms: Option<u64>,
}

/// What a refusal is about, as far as the protocol itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalClass {
    /// Not now: another attempt later may succeed.
    Temporary,
    /// Never, by the provider's own word: another attempt with this message gets the same answer.
    Permanent,
    /// Never, and it is the recipient's side that says so: the message has bounced. This is what a bounce is everywhere
    /// ([`crate::model::touch::TouchStatus::Bounced`]), whether a server says it while it is offered the message, or a report
    /// does later.
    Bounce,
    /// Our own account, credentials, sender or settings: not the contact's fault, and for people to mend.
    Ours,
}

/// An attempt that ended without a verdict from the provider.
///
/// Its text begins with [`REPLY_LOST`] or [`NOT_SENT`], so that whoever reads the job's error history later
/// can tell an attempt that may have delivered from one that cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {why}", if *may_have_arrived { REPLY_LOST } else { NOT_SENT })]
pub struct SendError {
    /// What happened, for people.
    pub why: String,
    /// Whether the provider may have taken the message before the attempt ended.
    pub may_have_arrived: bool,
}

impl SendError {
    pub(crate) fn not_sent(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), may_have_arrived: false }
    }

    pub(crate) fn reply_lost(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), may_have_arrived: true }
    }
}

/// A sender cannot be made from the settings it was given.
#[derive(Debug, Error)]
pub enum ChannelConfigError {
    /// The address is not a URL that the channel speaks.
    #[error("{url:?} is not a usable address: {why}")]
    Address {
        /// The address as given, without its password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS or HTTP library refused to start.
    #[error("the channel's client could not be set up: {0}")]
    Client(String),
}

/// Chooses the process's TLS implementation once; a choice that the host application made earlier stands.
pub(crate) fn choose_tls() {
    // The error says that a provider is installed already, which is all that is wanted here.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whether `host` can only be this machine, so that plain text never leaves it.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A provider's words cut to what a person reads and a row can hold, on one line.
pub(crate) fn shortened(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MAX_REASON_CHARS).collect::<String>().trim_end().to_owned()
}

/// The URL without its user and password, for messages.
pub(crate) fn without_credentials(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://{}", &url[..scheme], &url[at + 1..]),
        _ => url.to_owned(),
    }
}

//! What providers report back: whether a report is theirs, and what it says, as typed events.
//!
//! The story of a callback: whoever has the route hands over the body, the headers and the address as the provider saw
//! it; a signature says whether the provider sent it ([`twilio::verify`], [`http_mail::VerificationKey`]); parsing
//! makes [`CallbackEvent`]s; and [`TouchResult`] says what a provider's word means for a touch, from one table for
//! callbacks and for polling alike.
//!
//! Providers add words without notice, so an unknown one is an event with its text, never an error. Callbacks come
//! twice and out of order: [`CallbackEvent::event_id`] is the same for the same report, and
//! [`TouchResult::supersedes`] says which of two results stays. Nothing here has a route, a clock or a database.
//!
//! What comes by mail is read by [`inbound_mail`]: nobody signs a mail, so what it claims is compared with what was sent.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use windlass::Time;

use crate::channel::{Channel, ProviderKind, ProviderStatus, RefusalClass};

pub mod http_mail;
pub mod inbound_mail;
mod results;
pub mod twilio;

pub use results::{Reporter, TouchResult};

/// The longest text that is kept of a field, in characters; bodies of inbound texts are at most 1,600.
const MAX_TEXT_CHARS: usize = 2_000;

/// One thing that a provider reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackEvent {
    /// Whose report it is.
    pub provider: ProviderKind,
    /// The same text whenever the same report comes again.
    pub event_id: String,
    /// What the provider calls the message or call; for an inbound text, the text's own id.
    pub provider_id: String,
    /// The touch, where the provider gives our own tag back.
    pub touch: Option<String>,
    /// The campaign, where the provider gives our own tag back.
    pub campaign: Option<String>,
    /// The recipient, where the provider names one beside our tags.
    pub recipient: Option<String>,
    /// When it happened, by the provider's clock, where it says so.
    pub at: Option<Time>,
    /// What happened.
    pub what: What,
}

/// What happened to a message, or what came back from its recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum What {
    /// The message or call went further on its way, or ended.
    Progress(Progress),
    /// Who answered a call, where that is found out beside the call.
    Answered {
        /// Who.
        by: AnsweredBy,
    },
    /// A text came in.
    Inbound {
        /// The sender, in E.164: the contact.
        from: String,
        /// The recipient: our number.
        to: String,
        /// The text.
        body: String,
        /// The provider's own reading of it as `STOP`, `START` or `HELP`, where it has one.
        opt_out: Option<String>,
    },
    /// A mail was opened.
    Opened {
        /// Whether a mail program fetched it rather than a person.
        by_machine: bool,
    },
    /// A link in a mail was followed.
    Clicked {
        /// Where to.
        url: String,
    },
    /// The recipient called the mail unwanted.
    Complained,
    /// The recipient unsubscribed with the provider.
    Unsubscribed,
    /// Something that this version has no name for.
    Other {
        /// The provider's word.
        word: String,
    },
}

/// How far a message or call is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The provider's word.
    pub word: String,
    /// What it means for the touch; none for a word that this version does not know.
    pub result: Option<TouchResult>,
    /// The error's code for the error table, such as `twilio/30003` or `smtp/550-5.1.1`, when the way ended in one.
    pub code: Option<String>,
    /// The provider's reason, for people.
    pub why: Option<String>,
    /// The provider's class of a bounce, in its words.
    pub bounce_class: Option<String>,
    /// Who answered a call.
    pub answered_by: Option<AnsweredBy>,
}

impl Progress {
    /// What it would have been as a refusal, with which [`crate::channel::ErrorTable::decide`] is asked about the code: a way
    /// that has ended is no refusal for now.
    pub fn class(&self) -> RefusalClass {
        match self.result {
            Some(TouchResult::Bounced) => RefusalClass::Bounce,
            Some(TouchResult::Failed) => RefusalClass::Permanent,
            _ => RefusalClass::Temporary,
        }
    }

    /// The progress that a provider tells when it is asked for a text or call.
    pub fn of_status(channel: Channel, status: &ProviderStatus) -> Self {
        let reporter = match channel {
            Channel::Voicemail => Reporter::TwilioCall,
            Channel::Sms | Channel::Email => Reporter::TwilioMessage,
        };
        Self::of(reporter, &status.status).with_code(status.error_code)
    }

    /// The code of a way that ended badly: the provider's number, or its word where it has none. Zero is no error.
    fn with_code(mut self, number: Option<u32>) -> Self {
        let badly = matches!(self.result, Some(TouchResult::Failed | TouchResult::Bounced));
        self.code = match number.filter(|number| *number != 0) {
            Some(number) => Some(ProviderKind::Twilio.code(number)),
            None if badly => Some(ProviderKind::Twilio.code(&self.word)),
            None => None,
        };
        self
    }

    fn of(reporter: Reporter, word: &str) -> Self {
        Self {
            word: bounded(word),
            result: TouchResult::of(reporter, word),
            code: None,
            why: None,
            bounce_class: None,
            answered_by: None,
        }
    }
}

/// Who answered a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A machine, whose greeting may still be playing.
    MachineStart,
    /// A machine, after its beep.
    MachineEndBeep,
    /// A machine, after its greeting and a silence.
    MachineEndSilence,
    /// A machine, after its greeting, in some other way.
    MachineEndOther,
    /// A fax machine.
    Fax,
    /// The provider could not tell.
    Unknown,
    /// A word that this version does not know.
    Other(String),
}

impl AnsweredBy {
    /// The provider's word.
    pub fn of(word: &str) -> Self {
        match word {
            "human" => AnsweredBy::Human,
            "machine_start" => AnsweredBy::MachineStart,
            "machine_end_beep" => AnsweredBy::MachineEndBeep,
            "machine_end_silence" => AnsweredBy::MachineEndSilence,
            "machine_end_other" => AnsweredBy::MachineEndOther,
            "fax" => AnsweredBy::Fax,
            "unknown" => AnsweredBy::Unknown,
            other => AnsweredBy::Other(bounded(other)),
        }
    }
}

/// A callback that is not the provider's, or cannot be read.
#[derive(Debug, Error)]
pub enum HookError {
    /// The request has no signature.
    #[error("the request is not signed: the header {0} is missing")]
    Unsigned(&'static str),
    /// The signature does not fit.
    #[error(
        "the signature does not fit this request: check the provider's secret, and that the public address of this \
         server is set as the provider calls it"
    )]
    Forged,
    /// The signature fits and is of another time.
    #[error(
        "the request was signed {away_ms} ms away from now, further than {bound_ms} ms: it may be a replay"
    )]
    Stale {
        /// How far away.
        away_ms: u64,
        /// The bound.
        bound_ms: u64,
    },
    /// The key in the settings is no key.
    #[error("the verification key cannot be used: {0}")]
    Key(&'static str),
    /// The body is not what the provider documents.
    #[error("the request's body cannot be read: {0}")]
    Body(String),
}

/// A field's text, cut to what is kept.
fn bounded(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_and_being_told_give_the_same_progress() {
        for (channel, word, error_code, form) in [
            (Channel::Voicemail, "busy", None, "CallSid=CA1&CallStatus=busy"),
            (Channel::Voicemail, "completed", None, "CallSid=CA1&CallStatus=completed"),
            (
                Channel::Sms,
                "undelivered",
                Some(30_003),
                "MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30003",
            ),
            (Channel::Sms, "failed", Some(0), "MessageSid=SM1&MessageStatus=failed&ErrorCode=0"),
            (Channel::Sms, "teleported", None, "MessageSid=SM1&MessageStatus=teleported"),
        ] {
            let asked = Progress::of_status(channel, &ProviderStatus { status: word.to_owned(), error_code });
            let told = twilio::parse(&twilio::Form::parse(form.as_bytes()).unwrap()).unwrap().what;
            assert_eq!(What::Progress(asked), told, "{form}");
        }
    }
}

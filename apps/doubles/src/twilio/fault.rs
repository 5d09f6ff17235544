//! What the provider of texts and calls does wrong, or a person at the other end does.

use std::{ops::RangeInclusive, str::FromStr};

use crate::rules::{RuleError, duration, span_ms};

/// What there is, for messages about what there is not.
const KNOWN: &str = "429[:WAIT], 503, drop, slow:TIME, a code such as 21610 (refused at once) or 30003 (not delivered), \
busy, no-answer, failed, human, machine, fax, unknown, silence, drop-callback, repeat-callback, swap-callbacks, reply:TEXT";
/// The wait that a 429 asks for unless said, in seconds, the smallest the header can say.
const RETRY_AFTER_S: u64 = 1;

/// One thing that goes another way than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `429`, `429:5s`: refused for now with error 20429 and a Retry-After of so many seconds.
    TooMany(u64),
    /// `503`: refused for now, nothing taken.
    Unavailable,
    /// `drop`: taken, and the connection closed in place of the answer.
    DropAnswer,
    /// `slow:2s`, `slow:10ms-50ms`: the request takes so many milliseconds.
    Slow(RangeInclusive<u64>),
    /// `21610`: refused at once with that error.
    Refuse(u32),
    /// `30003`: a text that is taken and not delivered; its callback says so.
    Undelivered(u32),
    /// `busy`, `no-answer`, `failed`: how a call ends that nobody answers.
    Unanswered(&'static str),
    /// `human`, `machine`, `fax`, `unknown`, `silence`: who answers a call.
    Answered(AnsweredBy),
    /// `drop-callback`: nobody is told what became of it.
    DropCallback,
    /// `repeat-callback`: everything is told twice.
    RepeatCallback,
    /// `swap-callbacks`: what came last is told first.
    SwapCallbacks,
    /// `reply:STOP`: the person at the other end answers a text with these words.
    Reply(String),
}

/// Who answers a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// An answering machine: `machine_start`, or `machine_end_beep` where the end of its message was waited for.
    Machine,
    /// A machine whose message ends without a beep: `machine_start`, or `machine_end_silence`.
    Silence,
    /// A fax.
    Fax,
    /// Nobody can tell.
    Unknown,
}

impl AnsweredBy {
    /// The word in `AnsweredBy`; with `message_end`, as `MachineDetection=DetectMessageEnd` says it.
    pub(super) fn word(self, message_end: bool) -> &'static str {
        match (self, message_end) {
            (Self::Human, _) => "human",
            (Self::Machine, true) => "machine_end_beep",
            (Self::Silence, true) => "machine_end_silence",
            (Self::Machine | Self::Silence, false) => "machine_start",
            (Self::Fax, _) => "fax",
            (Self::Unknown, _) => "unknown",
        }
    }
}

impl FromStr for Fault {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let unknown = || RuleError::Fault { fault: text.to_owned(), known: KNOWN };
        let (word, value) = text.split_once(':').map_or((text, None), |(word, value)| (word, Some(value)));
        Ok(match (word, value) {
            ("429", None) => Self::TooMany(RETRY_AFTER_S),
            ("429", Some(wait)) => Self::TooMany(duration(wait).ok_or_else(unknown)?.as_secs().max(1)),
            ("503", None) => Self::Unavailable,
            ("drop", None) => Self::DropAnswer,
            ("slow", Some(span)) => Self::Slow(span_ms(span).ok_or_else(unknown)?),
            ("busy", None) => Self::Unanswered("busy"),
            ("no-answer", None) => Self::Unanswered("no-answer"),
            ("failed", None) => Self::Unanswered("failed"),
            ("human", None) => Self::Answered(AnsweredBy::Human),
            ("machine", None) => Self::Answered(AnsweredBy::Machine),
            ("silence", None) => Self::Answered(AnsweredBy::Silence),
            ("fax", None) => Self::Answered(AnsweredBy::Fax),
            ("unknown", None) => Self::Answered(AnsweredBy::Unknown),
            ("drop-callback", None) => Self::DropCallback,
            ("repeat-callback", None) => Self::RepeatCallback,
            ("swap-callbacks", None) => Self::SwapCallbacks,
            ("reply", Some(words)) if !words.is_empty() => Self::Reply(words.to_owned()),
            (code, None) => match code.parse::<u32>() {
                Ok(code @ 30_000..=30_999) => Self::Undelivered(code),
                Ok(code @ 10_000..=29_999) => Self::Refuse(code),
                _ => return Err(unknown()),
            },
            _ => return Err(unknown()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_word_and_other_words_are_refused_with_the_list() {
        for (text, fault) in [
            ("429", Fault::TooMany(1)),
            ("429:5s", Fault::TooMany(5)),
            ("21610", Fault::Refuse(21_610)),
            ("30003", Fault::Undelivered(30_003)),
            ("slow:1ms-4ms", Fault::Slow(1..=4)),
            ("machine", Fault::Answered(AnsweredBy::Machine)),
            ("reply:STOP", Fault::Reply("STOP".to_owned())),
        ] {
            assert_eq!(text.parse::<Fault>(), Ok(fault));
        }
        for text in ["", "550", "99999", "429:soon", "slow", "reply:", "drop:x"] {
            assert!(text.parse::<Fault>().unwrap_err().to_string().contains("drop-callback"), "{text}");
        }
    }
}

//! What the mail API does wrong, or the mailboxes behind it do.

use std::{ops::RangeInclusive, str::FromStr};

use crate::rules::{RuleError, duration, span_ms};

/// What there is, for messages about what there is not.
const KNOWN: &str = "429[:WAIT], a status such as 400, 401, 403, 413, 500 or 503, drop, slow:TIME, deferred, \
bounce[:5.1.1], blocked, dropped, spamreport, open, click, unsubscribe, drop-callback, repeat-callback, swap-callbacks";
/// How long the limit of a 429 lasts unless said, in seconds.
const RESET_S: u64 = 1;

/// One thing that goes another way than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `429`, `429:5s`: refused for now; `X-RateLimit-Reset` says when the time is over.
    TooMany(u64),
    /// `413`, `503`: refused with that status, nothing taken.
    Refuse(u16),
    /// `drop`: taken, and the connection closed in place of the answer.
    DropAnswer,
    /// `slow:2s`, `slow:10ms-50ms`: the request takes so many milliseconds.
    Slow(RangeInclusive<u64>),
    /// `deferred`: delivered at the second try.
    Deferred,
    /// `bounce`, `bounce:5.2.2`: refused by the mailbox for good, with that status.
    Bounce(String),
    /// `blocked`: refused by the mailbox's server, which says nothing of the address.
    Blocked,
    /// `dropped`: not sent, because the address is on the provider's own list.
    Dropped,
    /// `spamreport`, `open`, `click`, `unsubscribe`: what the person does with it once it is delivered.
    Then(Engagement),
    /// `drop-callback`: nobody is told what became of it.
    DropCallback,
    /// `repeat-callback`: everything is told twice.
    RepeatCallback,
    /// `swap-callbacks`: what came last is told first.
    SwapCallbacks,
}

/// What a person does with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engagement {
    /// Calls it spam.
    SpamReport,
    /// Opens it.
    Open,
    /// Clicks on its first link.
    Click,
    /// Unsubscribes.
    Unsubscribe,
}

impl Engagement {
    /// The word in events.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::SpamReport => "spamreport",
            Self::Open => "open",
            Self::Click => "click",
            Self::Unsubscribe => "unsubscribe",
        }
    }
}

impl FromStr for Fault {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let unknown = || RuleError::Fault { fault: text.to_owned(), known: KNOWN };
        let (word, value) = text.split_once(':').map_or((text, None), |(word, value)| (word, Some(value)));
        Ok(match (word, value) {
            ("429", None) => Self::TooMany(RESET_S),
            ("429", Some(wait)) => Self::TooMany(duration(wait).ok_or_else(unknown)?.as_secs().max(1)),
            ("drop", None) => Self::DropAnswer,
            ("slow", Some(span)) => Self::Slow(span_ms(span).ok_or_else(unknown)?),
            ("deferred", None) => Self::Deferred,
            ("bounce", None) => Self::Bounce("5.1.1".to_owned()),
            ("bounce", Some(status)) if status.starts_with("5.") && status.len() <= 10 => {
                Self::Bounce(status.to_owned())
            }
            ("blocked", None) => Self::Blocked,
            ("dropped", None) => Self::Dropped,
            ("spamreport", None) => Self::Then(Engagement::SpamReport),
            ("open", None) => Self::Then(Engagement::Open),
            ("click", None) => Self::Then(Engagement::Click),
            ("unsubscribe", None) => Self::Then(Engagement::Unsubscribe),
            ("drop-callback", None) => Self::DropCallback,
            ("repeat-callback", None) => Self::RepeatCallback,
            ("swap-callbacks", None) => Self::SwapCallbacks,
            (status, None) => match status.parse::<u16>() {
                Ok(status @ 400..=599) => Self::Refuse(status),
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
        assert_eq!("413".parse(), Ok(Fault::Refuse(413)));
        assert_eq!("429:5s".parse(), Ok(Fault::TooMany(5)));
        assert_eq!("bounce:5.2.2".parse(), Ok(Fault::Bounce("5.2.2".to_owned())));
        assert_eq!("click".parse(), Ok(Fault::Then(Engagement::Click)));
        for text in ["", "200", "bounce:4.2.2", "clicked", "slow", "drop:x"] {
            assert!(text.parse::<Fault>().unwrap_err().to_string().contains("spamreport"), "{text}");
        }
    }
}

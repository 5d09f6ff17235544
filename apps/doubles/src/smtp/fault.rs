//! What a mail server does wrong.

use std::{ops::RangeInclusive, str::FromStr};

use crate::rules::{RuleError, span_ms};

/// What there is, for messages about what there is not.
const KNOWN: &str = "a reply from 400 to 599 (421, 450, 451, 550, 552 and 554 have words of their own, 550:5.1.10 gone \
gives others), greylist (refused the first time), slow:TIME, drop (taken, and no reply); by mail, later: bounce[:5.1.1], \
delayed, reply:TEXT, autoreply, unsubscribe, spamreport";

/// One thing that goes another way than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `550`, `550:5.1.10 gone`: the recipient is answered with this line. 421 closes the connection behind it.
    Reply(String),
    /// `greylist`: the first try of a sender and a recipient is refused with 450, later ones are not.
    Greylist,
    /// `slow:2s`, `slow:10ms-50ms`: the reply to the content takes so many milliseconds.
    Slow(RangeInclusive<u64>),
    /// `drop`: taken, and the connection closed in place of the reply.
    DropReply,
    /// Taken, and something comes back by mail.
    Later(Later),
}

/// What comes back by mail after a mail was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Later {
    /// `bounce`, `bounce:5.2.2`: a report that it could not be delivered, with that status.
    Bounce(String),
    /// `delayed`: a report that it is not delivered yet.
    Delayed,
    /// `reply:TEXT`: the recipient answers with these words, and quotes the mail.
    Reply(String),
    /// `autoreply`: the recipient is away.
    AutoReply,
    /// `unsubscribe`: the recipient's mail program writes to the `mailto:` of List-Unsubscribe.
    Unsubscribe,
    /// `spamreport`: the recipient's provider reports that they called it unwanted.
    SpamReport,
}

/// The status of a mailbox that does not exist.
const NO_MAILBOX: &str = "5.1.1";

/// Whether a text is an enhanced status code of a failure for good (RFC 3463).
fn is_status(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let numbers = parts
        .iter()
        .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()));
    parts.len() == 3 && parts[0] == "5" && numbers
}

impl Fault {
    /// The words that usual servers have for these codes.
    fn words(code: u16) -> &'static str {
        match code {
            421 => "4.7.0 too many messages from you, closing",
            450 => "4.2.1 mailbox unavailable for now",
            451 => "4.7.1 greylisted, try again in 1 second",
            452 => "4.3.1 insufficient system storage",
            550 => "5.1.1 no such user here",
            552 => "5.2.2 mailbox full",
            554 => "5.7.1 rejected by policy",
            400..=499 => "4.0.0 not now",
            _ => "5.0.0 never",
        }
    }
}

impl FromStr for Fault {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let unknown = || RuleError::Fault { fault: text.to_owned(), known: KNOWN };
        match text.split_once(':').map_or((text, None), |(word, value)| (word, Some(value))) {
            ("greylist", None) => Ok(Self::Greylist),
            ("drop", None) => Ok(Self::DropReply),
            ("bounce", None) => Ok(Self::Later(Later::Bounce(NO_MAILBOX.to_owned()))),
            ("bounce", Some(status)) if is_status(status) => {
                Ok(Self::Later(Later::Bounce(status.to_owned())))
            }
            ("delayed", None) => Ok(Self::Later(Later::Delayed)),
            ("reply", Some(words)) if !words.is_empty() && !words.contains(char::is_control) => {
                Ok(Self::Later(Later::Reply(words.to_owned())))
            }
            ("autoreply", None) => Ok(Self::Later(Later::AutoReply)),
            ("unsubscribe", None) => Ok(Self::Later(Later::Unsubscribe)),
            ("spamreport", None) => Ok(Self::Later(Later::SpamReport)),
            ("slow", Some(span)) => span_ms(span).map(Self::Slow).ok_or_else(unknown),
            (code, words) => {
                let code: u16 = code.parse().map_err(|_| unknown())?;
                let words = words.unwrap_or(Self::words(code));
                let one_line = words.bytes().all(|byte| (b' '..=b'~').contains(&byte));
                if !(400..600).contains(&code) || !one_line {
                    return Err(unknown());
                }
                Ok(Self::Reply(format!("{code} {words}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_word_and_other_words_are_refused_with_the_list() {
        let reply = |line: &str| Ok(Fault::Reply(line.to_owned()));
        assert_eq!("550".parse::<Fault>(), reply("550 5.1.1 no such user here"));
        assert_eq!("550:5.1.10 gone".parse::<Fault>(), reply("550 5.1.10 gone"));
        assert_eq!("greylist".parse::<Fault>(), Ok(Fault::Greylist));
        assert_eq!("slow:1s".parse::<Fault>(), Ok(Fault::Slow(1_000..=1_000)));
        assert_eq!("bounce".parse::<Fault>(), "bounce:5.1.1".parse());
        assert_eq!("reply:Yes: a".parse::<Fault>(), Ok(Fault::Later(Later::Reply("Yes: a".to_owned()))));
        for text in ["", "250", "600", "550:a\r\nb", "slow", "drop:x", "bounce:4.1.1", "reply:", "reply:a\nb"]
        {
            assert!(text.parse::<Fault>().unwrap_err().to_string().contains("greylist"), "{text}");
        }
    }
}

//! What a server's reply means: the code under which it is known, and what kind of no it is.
//!
//! The stage of the conversation decides whom a refusal is about. Before the envelope it is about the account or the
//! server; at MAIL FROM about the sender; from RCPT TO on about the recipient or the message. A code carries the
//! stages that are not the recipient's in front (`smtp/mail/550-5.1.8`), so that no rule for recipients fits them,
//! and the content's behind (`smtp/550-5.7.1/content`), where rules for prefixes go on to fit.

use lettre::transport::smtp::{Error, response::Response};

use super::super::{Refusal, RefusalClass, SendError, SendOutcome, shortened};

/// The longest wait taken from a server's words; above it the words were not about seconds.
const MAX_RETRY_MS: u64 = 24 * 3_600_000;

/// Where in the conversation a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The greeting, EHLO or STARTTLS.
    Hello,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    /// After the message.
    Content,
}

impl Stage {
    fn shown(self) -> &'static str {
        match self {
            Stage::Hello => "greeting",
            Stage::Auth => "AUTH",
            Stage::MailFrom => "MAIL FROM",
            Stage::RcptTo => "RCPT TO",
            Stage::Data => "DATA",
            Stage::Content => "end of DATA",
        }
    }
}

/// A negative reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    status: String,
    text: String,
}

impl Reply {
    /// The reply within an error of lettre's, when it holds one.
    pub(super) fn of(error: &Error) -> Option<Self> {
        let status = error.status()?.to_string();
        let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        Some(Self { status, text })
    }

    /// 421 is the one reply that is about the connection: the server closes it.
    pub(super) fn is_closing(&self) -> bool {
        self.status == "421"
    }

    /// What the reply says about the message that was under way at this stage.
    pub(super) fn verdict(&self, stage: Stage) -> SendOutcome {
        let why = shortened(&format!("{} at {}: {}", self.status, stage.shown(), self.text));
        let temporary = self.status.starts_with('4');
        let class = match stage {
            // A server that is busy before it knows what for is as good as one that does not answer.
            Stage::Hello | Stage::Auth if temporary => {
                return SendOutcome::Unanswered(SendError::not_sent(why));
            }
            _ if temporary => RefusalClass::Temporary,
            Stage::Hello | Stage::Auth | Stage::MailFrom => RefusalClass::Ours,
            Stage::RcptTo | Stage::Data | Stage::Content if self.is_about_our_account() => RefusalClass::Ours,
            Stage::RcptTo | Stage::Data | Stage::Content => RefusalClass::Bounce,
        };
        let retry_after_ms = if temporary { named_delay_ms(&self.text) } else { None };
        SendOutcome::Refused(Refusal { code: self.code(stage), why, class, retry_after_ms })
    }

    /// Authentication wanted (530), too weak (534) or failed (535), whenever the server chooses to say so.
    fn is_about_our_account(&self) -> bool {
        matches!(self.status.as_str(), "530" | "534" | "535")
    }

    fn code(&self, stage: Stage) -> String {
        let mut code = self.status.clone();
        if let Some(enhanced) = enhanced_code(&self.text) {
            // A detail that contradicts its reply is not to be believed.
            if enhanced.as_bytes().first() == self.status.as_bytes().first() {
                code = format!("{code}-{enhanced}");
            }
        }
        match stage {
            Stage::Hello => format!("smtp/hello/{code}"),
            Stage::Auth => format!("smtp/auth/{code}"),
            Stage::MailFrom => format!("smtp/mail/{code}"),
            Stage::RcptTo => format!("smtp/{code}"),
            Stage::Data | Stage::Content => format!("smtp/{code}/content"),
        }
    }
}

/// The enhanced status code (RFC 3463) at the start of a reply's text.
fn enhanced_code(text: &str) -> Option<&str> {
    let first = text.split_whitespace().next()?;
    let mut parts = first.split('.');
    let digits = |part: Option<&str>| {
        part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    (digits(parts.next()) && digits(parts.next()) && digits(parts.next()) && parts.next().is_none())
        .then_some(first)
}

/// The delay that greylisting servers put into words, as in `try again in 300 seconds`.
fn named_delay_ms(text: &str) -> Option<u64> {
    let mut words = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';' || c == ')').peekable();
    while let Some(word) = words.next() {
        let (Ok(number), Some(unit)) = (word.parse::<u64>(), words.peek()) else { continue };
        let unit_ms = match unit.trim_end_matches('.').to_ascii_lowercase().as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
            "min" | "mins" | "minute" | "minutes" => 60_000,
            _ => continue,
        };
        return number.checked_mul(unit_ms).filter(|ms| *ms <= MAX_RETRY_MS);
    }
    None
}

/// What the server calls the message, from the customary `queued as X`; else our own Message-ID.
pub(super) fn queue_id(reply: &Response, message_id: &str) -> String {
    let mut words = reply.message().flat_map(str::split_whitespace);
    let named = words.find(|word| word.eq_ignore_ascii_case("as")).and_then(|_| words.next());
    named.unwrap_or(message_id).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stage: Stage, status: &str, text: &str) -> (String, RefusalClass, Option<u64>) {
        let reply = Reply { status: status.to_owned(), text: text.to_owned() };
        match reply.verdict(stage) {
            SendOutcome::Refused(Refusal { code, class, retry_after_ms, .. }) => {
                (code, class, retry_after_ms)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_stage_of_a_refusal_says_whom_it_is_about() {
        use RefusalClass::{Bounce, Ours, Temporary};
        for (stage, status, text, code, class) in [
            (Stage::RcptTo, "550", "5.1.1 no such user", "smtp/550-5.1.1", Bounce),
            (Stage::RcptTo, "550", "no such user", "smtp/550", Bounce),
            (Stage::RcptTo, "451", "4.7.1 greylisted", "smtp/451-4.7.1", Temporary),
            (Stage::RcptTo, "530", "5.7.0 authenticate first", "smtp/530-5.7.0", Ours),
            (Stage::MailFrom, "550", "5.1.1 sender unknown", "smtp/mail/550-5.1.1", Ours),
            (Stage::MailFrom, "452", "4.3.1 too many", "smtp/mail/452-4.3.1", Temporary),
            (Stage::Data, "554", "5.5.1 no valid recipients", "smtp/554-5.5.1/content", Bounce),
            (Stage::Content, "554", "5.7.1 spam", "smtp/554-5.7.1/content", Bounce),
            (Stage::Content, "421", "4.7.28 too fast", "smtp/421-4.7.28/content", Temporary),
            (Stage::Auth, "535", "5.7.8 bad password", "smtp/auth/535-5.7.8", Ours),
            (Stage::Hello, "554", "5.7.1 your address is listed", "smtp/hello/554-5.7.1", Ours),
            (Stage::RcptTo, "550", "4.7.1 contradicts itself", "smtp/550", Bounce),
        ] {
            let (seen_code, seen_class, _) = refused(stage, status, text);
            assert_eq!((seen_code.as_str(), seen_class), (code, class), "{status} {text}");
        }
        let busy = Reply { status: "421".to_owned(), text: "4.3.2 busy".to_owned() };
        let SendOutcome::Unanswered(error) = busy.verdict(Stage::Hello) else { panic!("a busy server") };
        assert!(!error.may_have_arrived);
    }

    #[test]
    fn the_servers_own_delay_is_taken_from_its_words() {
        assert_eq!(named_delay_ms("4.7.1 greylisted, try again in 2 seconds"), Some(2_000));
        assert_eq!(named_delay_ms("Greylisted (wait 5 minutes)"), Some(300_000));
        assert_eq!(named_delay_ms("4.2.0 mailbox busy"), None);
        assert_eq!(named_delay_ms("error 99999999999999999999 seconds"), None);
        assert_eq!(named_delay_ms("in 18446744073709551615 seconds"), None);
        assert_eq!(refused(Stage::RcptTo, "451", "4.7.1 try again in 2 seconds").2, Some(2_000));
        assert_eq!(refused(Stage::RcptTo, "550", "5.7.1 blocked for 10 seconds").2, None);
    }
}

//! A mail that comes in, as a typed thing: what became of a mail of ours, a complaint, a wish to get no more, a machine's
//! answer, or a person's.
//!
//! The story of such a mail: whoever has it hands over its bytes; [`read`] bounds them, has mail-parser take them apart, and
//! says what they are ([`Kind`]). Reports of mail servers are in `report`, machines are known in `automatic`, and of what a
//! person wrote only the text above the quotation is kept ([`crate::optout::words`]).
//!
//! Everything in a mail is what its writer says, `From` included. Nothing here believes any of it: [`crate::flow::inbound_mail`]
//! compares it with what was sent before it does something. There is no route here, no clock and no database.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use mail_parser::{
    HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType,
    decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode},
};
use ring::digest::{SHA256, digest};
use thiserror::Error;

use self::fields::{Fields, message_ids};
use super::bounded;

mod automatic;
mod fields;
mod report;
#[cfg(test)]
mod tests;
mod written;

pub use report::{Complaint, Done, Notice, Returned};

/// The most of a mail that is read; whoever takes mails in may leave out what is behind it, since what counts of a mail
/// comes first. Reports are far below it: mail servers return 50 to 100 KiB of what they could not deliver.
pub const MAIL_BYTES_MOST: usize = 10 * 1024 * 1024;
/// The most parts that say what they are, nested ones included: each costs a search through the rest of the mail, and each
/// may open another level. Mails of people have below twenty.
const TYPES_MOST: usize = 250;
/// The most lines that could be the border of a part: each may be a part of its own, and takes memory.
const BORDERS_MOST: usize = 10_000;
/// The most mails of ours that one can be an answer to: `References` of long threads are a few dozen.
const ANSWERS_MOST: usize = 100;
/// The most recipients that are looked at.
const TO_MOST: usize = 50;
/// How the subject of a mail begins that a mail program sends to the `mailto:` of List-Unsubscribe.
pub const UNSUBSCRIBE: &str = "unsubscribe-";
/// In front of the digest by which a mail is known when it comes again.
const KEY: &str = "mail:";
/// Bytes of that digest: enough that two mails never share one.
const KEY_BYTES: usize = 16;

/// A mail that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundMail {
    /// The same text whenever the same mail comes again: of its Message-ID, or of all of it where it has none.
    pub key: String,
    /// Who wrote it, as they say.
    pub from: Option<String>,
    /// To whom it was sent.
    pub to: Vec<String>,
    /// The Message-IDs that it answers, with brackets; the one that it answers first comes first.
    pub answers: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// What it is.
    pub kind: Kind,
}

/// What a mail is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mail server says what became of a mail.
    Report {
        /// What it returns of that mail.
        returned: Returned,
        /// What became of it, for each recipient.
        notices: Vec<Notice>,
    },
    /// A provider says that somebody called a mail unwanted.
    Complaint(Complaint),
    /// It was sent to the `mailto:` of List-Unsubscribe.
    Unsubscribe {
        /// What its subject says behind [`UNSUBSCRIBE`].
        proof: String,
    },
    /// A machine wrote it.
    Automatic {
        /// What shows that.
        sign: String,
    },
    /// A person wrote it.
    Written {
        /// Their own words, above what they quote.
        text: String,
    },
}

/// Bytes that are no mail, or none that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadMail {
    /// Nothing came.
    #[error("there is no mail: nothing came")]
    Empty,
    /// It has no header.
    #[error("it is no mail: it does not begin with a header that has From, Message-ID, Date or Subject")]
    NoHeader,
    /// It is larger than what is read.
    #[error("the mail has {bytes} bytes, and {MAIL_BYTES_MOST} are the most: hand over its beginning")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// It has more parts than any real one.
    #[error("the mail has {found} {what}, and {most} are the most: it is made to be hard to read")]
    TooManyParts {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The library that takes mails apart could not cope with it.
    #[error("the mail cannot be taken apart: it is damaged, or made to be hard to read")]
    Unreadable,
}

/// What a mail says. The line `From …` that local delivery puts in front of a mail does not count.
///
/// # Errors
/// With what keeps the bytes from being a mail that can be read.
pub fn read(bytes: &[u8]) -> Result<InboundMail, BadMail> {
    let bytes = without_envelope(bytes);
    check(bytes)?;
    let fields = Fields::of_header(bytes);
    if ["from", "message-id", "date", "subject"].into_iter().all(|name| fields.get(name).is_none()) {
        return Err(BadMail::NoHeader);
    }
    // mail-parser promises not to panic, and has broken that before for mails that somebody had made so. What it panics
    // over is a mail, so that nothing of ours can be left half done.
    let parsed = catch_unwind(AssertUnwindSafe(|| understood(bytes, &fields)));
    parsed.unwrap_or(Err(BadMail::Unreadable))
}

fn without_envelope(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    if !bytes.starts_with(b"From ") && !bytes.starts_with(b">From ") {
        return bytes;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    &bytes[end..]
}

/// Refuses what would cost far more than a mail costs, before anything is made of it.
fn check(bytes: &[u8]) -> Result<(), BadMail> {
    if bytes.is_empty() {
        return Err(BadMail::Empty);
    }
    if bytes.len() > MAIL_BYTES_MOST {
        return Err(BadMail::TooLarge { bytes: bytes.len() });
    }
    let begins = |line: &[u8], name: &[u8]| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    let (mut types, mut borders) = (0, 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        types += usize::from(begins(line, b"content-type"));
        borders += usize::from(line.starts_with(b"--"));
    }
    for (what, found, most) in [("parts", types, TYPES_MOST), ("borders of parts", borders, BORDERS_MOST)] {
        if found > most {
            return Err(BadMail::TooManyParts { what, found, most });
        }
    }
    Ok(())
}

fn understood(bytes: &[u8], fields: &Fields) -> Result<InboundMail, BadMail> {
    // Of the headers only these are taken apart: what is not needed cannot go wrong. Nothing is decoded on the way, since
    // what is hidden in a coding has not been checked, and a thousand mails one in the other may be; see `contents`.
    let parser = MessageParser::new()
        .with_mime_headers()
        .header_address(HeaderName::From)
        .header_text(HeaderName::Subject)
        .ignore_header(HeaderName::ContentTransferEncoding)
        .default_header_raw();
    let message = parser.parse(bytes).ok_or(BadMail::NoHeader)?;
    let from = message.from().and_then(|from| from.first()).and_then(|from| from.address()).map(bounded);
    let subject = bounded(message.subject().unwrap_or_default().trim());
    let known_by = fields.get("message-id").and_then(|id| message_ids(id).next());
    Ok(InboundMail {
        key: key(known_by.map_or(bytes, str::as_bytes)),
        to: to(fields),
        answers: answers(fields),
        kind: kind(&message, bytes, fields, from.as_deref(), &subject),
        from,
        subject,
    })
}

fn key(of: &[u8]) -> String {
    let digest = digest(&SHA256, of);
    let hex: String = digest.as_ref()[..KEY_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{KEY}{hex}")
}

fn to(fields: &Fields) -> Vec<String> {
    let names = ["delivered-to", "x-original-to", "envelope-to", "to", "cc"];
    let values = names.into_iter().flat_map(|name| fields.all(name));
    let words = values.flat_map(|value| value.split([',', ';', '<', '>', ' ', '\t', '"']));
    words.filter(|word| word.contains('@')).take(TO_MOST).map(bounded).collect()
}

fn answers(fields: &Fields) -> Vec<String> {
    let direct = fields.all("in-reply-to").flat_map(message_ids);
    // The nearest of the thread stands last.
    let mut thread: Vec<&str> = fields.all("references").flat_map(message_ids).collect();
    thread.reverse();
    let mut answers: Vec<String> = Vec::new();
    for id in direct.chain(thread).take(ANSWERS_MOST) {
        if !answers.iter().any(|known| known == id) {
            answers.push(bounded(id));
        }
    }
    answers
}

/// What a mail is. Reports come first: they are machines' as well, and say more. A mail program that unsubscribes in its
/// user's name may call itself a machine, too, so that the subject of ours counts before that.
fn kind(message: &Message<'_>, bytes: &[u8], fields: &Fields, from: Option<&str>, subject: &str) -> Kind {
    let part = |kind: &str| message.parts.iter().find(|part| is_of_type(*part, "message", kind));
    if let Some(status) = part("delivery-status").or_else(|| part("global-delivery-status")) {
        let notices = report::notices(&contents(bytes, status));
        return Kind::Report { returned: returned(message, bytes), notices };
    }
    if let Some(report) = part("feedback-report") {
        return match report::complaint(&contents(bytes, report), returned(message, bytes)) {
            Ok(complaint) => Kind::Complaint(complaint),
            Err(kind) => Kind::Automatic { sign: bounded(&format!("feedback report: {kind}")) },
        };
    }
    if let Some(proof) = proof(subject) {
        return Kind::Unsubscribe { proof: proof.to_owned() };
    }
    if part("disposition-notification").is_some() {
        return Kind::Automatic { sign: "receipt".to_owned() };
    }
    match automatic::sign(fields, from, subject) {
        Some(sign) => Kind::Automatic { sign: bounded(&sign) },
        None => Kind::Written { text: written::own_words(message, bytes) },
    }
}

/// What stands in a part, its coding undone; as it came, where that cannot be.
fn contents<'m>(bytes: &'m [u8], part: &MessagePart<'_>) -> Cow<'m, [u8]> {
    let between = |from: u32, to: u32| bytes.get(from as usize..to as usize).unwrap_or_default();
    let body = between(part.offset_body, part.offset_end);
    let header = Fields::of_header(between(part.offset_header, part.offset_body));
    let decoded = match header.word("content-transfer-encoding").as_deref() {
        Some("base64") => base64_decode(body),
        Some("quoted-printable") => quoted_printable_decode(body),
        _ => None,
    };
    decoded.map_or(Cow::Borrowed(body), Cow::Owned)
}

fn is_of_type<'x>(part: &impl MimeHeaders<'x>, kind: &str, subkind: &str) -> bool {
    part.content_type().is_some_and(|found| {
        found.ctype().eq_ignore_ascii_case(kind)
            && found.subtype().is_some_and(|found| found.eq_ignore_ascii_case(subkind))
    })
}

/// What stands behind [`UNSUBSCRIBE`] in a subject.
fn proof(subject: &str) -> Option<&str> {
    let word = subject.split_whitespace().find(|word| {
        word.get(..UNSUBSCRIBE.len()).is_some_and(|start| start.eq_ignore_ascii_case(UNSUBSCRIBE))
    })?;
    Some(&word[UNSUBSCRIBE.len()..])
}

/// What a report returns of the mail that it is about: the whole of it, or its header.
fn returned(message: &Message<'_>, bytes: &[u8]) -> Returned {
    let is_it = |part: &&MessagePart<'_>| {
        matches!(part.body, PartType::Message(_))
            || is_of_type(*part, "text", "rfc822-headers")
            || is_of_type(*part, "message", "rfc822")
            || is_of_type(*part, "message", "global-headers")
    };
    let found = message.parts.iter().filter(is_it).map(|part| Returned::of(&contents(bytes, part)));
    let mut found = found.filter(|returned| returned.message_id.is_some());
    found.next().unwrap_or_default()
}

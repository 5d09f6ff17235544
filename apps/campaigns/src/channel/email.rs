//! A mail as every mail provider takes it, and the checks that come before any of them sees it.
//!
//! It owns what a mail says about itself: who, to whom, its Message-ID, how to unsubscribe. It does not know how
//! the mail travels: [`super::smtp`] renders it as a message, [`super::http_mail`] as JSON. What passes the
//! checks can stand in a header of either: no field can smuggle in another header or another recipient.

use lettre::{Address, message::Mailbox};
use windlass::Time;

use super::{Refusal, RefusalClass, SendOutcome};

/// The longest value of a header; RFC 5322 ends a line at 998 bytes, and these values are not folded.
const MAX_HEADER_VALUE_BYTES: usize = 900;
/// Headers that the mail itself sets, or that would add recipients; none of them may come from outside.
const OWN_HEADERS: [&str; 19] = [
    "bcc",
    "cc",
    "content-transfer-encoding",
    "content-type",
    "date",
    "dkim-signature",
    "feedback-id",
    "from",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
    "x-sg-eid",
];

/// One message to one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Email<'a> {
    /// Its full Message-ID with brackets, such as `<t17.a1@example.com>`: a repeat has the same, so that it is
    /// recognisable as one.
    pub message_id: &'a str,
    /// The touch it carries out; providers that report on mails by a tag of ours are given this one.
    pub touch: &'a str,
    /// The campaign it belongs to, for the same providers.
    pub campaign: &'a str,
    /// The sender's mailbox, as in `Ann <ann@example.com>`.
    pub from: &'a str,
    /// Where answers go; the sender's mailbox when absent.
    pub reply_to: Option<&'a str>,
    /// The recipient's address.
    pub to: &'a str,
    /// The recipient's name; may be empty.
    pub to_name: &'a str,
    /// The subject line.
    pub subject: &'a str,
    /// The text, in any language.
    pub text: &'a str,
    /// The same as HTML; readers choose.
    pub html: Option<&'a str>,
    /// How to unsubscribe without a visit; bulk mail must have it.
    pub unsubscribe: Option<Unsubscribe<'a>>,
    /// The value of `Feedback-ID`, by which big mailbox providers count complaints (`campaign:user:kind:sender`).
    pub feedback_id: Option<&'a str>,
    /// When it was written, by the application's clock.
    pub date: Time,
    /// Further headers; those that the mail sets itself are refused.
    pub headers: &'a [(&'a str, &'a str)],
}

/// The two ways to unsubscribe that mail programs offer by themselves (RFC 2369 and RFC 8058).
#[derive(Clone, Copy, Debug)]
pub struct Unsubscribe<'a> {
    /// Where one POST without a login unsubscribes.
    pub https_url: &'a str,
    /// The address, with or without a `?subject=`, to which a mail unsubscribes; without `mailto:`.
    pub mailto: Option<&'a str>,
}

/// A mail that cannot be offered to any provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unsendable {
    code: &'static str,
    why: String,
}

impl Unsendable {
    fn address(why: String) -> Self {
        Self { code: "local/address", why }
    }

    pub(super) fn message(why: String) -> Self {
        Self { code: "local/message", why }
    }
}

impl From<Unsendable> for SendOutcome {
    fn from(Unsendable { code, why }: Unsendable) -> Self {
        let class = RefusalClass::Permanent;
        SendOutcome::Refused(Refusal { code: code.to_owned(), why, class, retry_after_ms: None })
    }
}

/// The parts of a mail that have been checked.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) from: Mailbox,
    pub(super) reply_to: Option<Mailbox>,
    pub(super) to: Mailbox,
    pub(super) subject: String,
    /// Everything beside the headers above and the Message-ID.
    pub(super) headers: Vec<(String, String)>,
}

impl Email<'_> {
    pub(super) fn check(&self) -> Result<Checked, Unsendable> {
        let from = mailbox("sender", self.from)?;
        let reply_to = self.reply_to.map(|reply_to| mailbox("reply-to", reply_to)).transpose()?;
        let to = self.to.parse().map_err(|error| format!("recipient {:?}: {error}", self.to));
        let to: Address = ascii("recipient", to.map_err(Unsendable::address)?)?;
        let name = Some(one_line(self.to_name)).filter(|name| !name.is_empty());
        if !is_message_id(self.message_id) {
            let why = format!("{:?} is not a Message-ID, which looks like <id@example.com>", self.message_id);
            return Err(Unsendable::message(why));
        }
        let mut headers = Vec::new();
        if let Some(unsubscribe) = self.unsubscribe {
            headers.push(("List-Unsubscribe".to_owned(), unsubscribe.header()?));
            headers.push(("List-Unsubscribe-Post".to_owned(), "List-Unsubscribe=One-Click".to_owned()));
        }
        if let Some(feedback_id) = self.feedback_id {
            headers.push(("Feedback-ID".to_owned(), value("Feedback-ID", feedback_id)?));
        }
        for (name, given) in self.headers {
            let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !token || OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                let why =
                    format!("{name:?} cannot be an additional header: the mail sets it or it is no name");
                return Err(Unsendable::message(why));
            }
            headers.push(((*name).to_owned(), value(name, given)?));
        }
        Ok(Checked { from, reply_to, to: Mailbox::new(name, to), subject: one_line(self.subject), headers })
    }
}

impl Unsubscribe<'_> {
    fn header(&self) -> Result<String, Unsendable> {
        let listed = |address: &str| {
            // A comma or a bracket would end the entry early, and what follows would be another address.
            let fits = address.bytes().all(|b| b.is_ascii_graphic() && !b"<>,".contains(&b));
            let why =
                || format!("unsubscribe address {address:?} cannot stand in a header: encode it with %");
            if fits && !address.is_empty() { Ok(()) } else { Err(Unsendable::message(why())) }
        };
        listed(self.https_url)?;
        match self.mailto {
            Some(mailto) => {
                listed(mailto)?;
                value("List-Unsubscribe", &format!("<{}>, <mailto:{mailto}>", self.https_url))
            }
            None => value("List-Unsubscribe", &format!("<{}>", self.https_url)),
        }
    }
}

fn mailbox(role: &str, text: &str) -> Result<Mailbox, Unsendable> {
    let parsed: Mailbox =
        text.parse().map_err(|error| Unsendable::message(format!("{role} {text:?}: {error}")))?;
    let name = parsed.name.map(|name| one_line(&name)).filter(|name| !name.is_empty());
    let email = ascii(role, parsed.email).map_err(|error| Unsendable::message(error.why))?;
    Ok(Mailbox::new(name, email))
}

/// An address that needs SMTPUTF8 would be refused by most servers and mangled by some.
fn ascii(role: &str, address: Address) -> Result<Address, Unsendable> {
    if AsRef::<str>::as_ref(&address).is_ascii() {
        return Ok(address);
    }
    Err(Unsendable::address(format!("{role} {address} has characters outside ASCII")))
}

fn value(name: &str, value: &str) -> Result<String, Unsendable> {
    let plain = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if plain && value.len() <= MAX_HEADER_VALUE_BYTES {
        return Ok(value.to_owned());
    }
    let why = format!(
        "the value of {name} must be printable ASCII of at most {MAX_HEADER_VALUE_BYTES} bytes: {value:?}"
    );
    Err(Unsendable::message(why))
}

fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or_default();
    let (local, domain) = inner.split_once('@').unwrap_or_default();
    let atoms = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:+=~".contains(&b))
    };
    text.len() <= MAX_HEADER_VALUE_BYTES && atoms(local) && atoms(domain)
}

/// The text without control characters: none belongs in a header, and lettre panics on some of them in a name.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.trim().to_owned()
}

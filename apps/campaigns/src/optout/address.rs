//! When two spellings are one e-mail address, and the hash by which an erased contact stays suppressed.
//!
//! Kept for sending is the address as its owner writes it, but for the domain, which is lower case and, when it has
//! other letters than ASCII, in its `xn--` form (IDNA, RFC 5890). Compared is the whole address in lower case: no
//! provider of note has two mailboxes that differ by case. Dots and `+tags` count, because only the mailbox's own
//! provider knows what they mean. Of Gmail it is known, and counts where somebody wants no more: their mailbox is theirs
//! under each of its names.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{PhoneNumber, Secrets};

/// The longest address (RFC 5321, section 4.5.3.1.3, less the brackets).
const MAX_EMAIL_BYTES: usize = 254;
/// The longest part in front of the @ (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// The domains of Gmail's mailboxes.
const GMAIL: [&str; 2] = ["gmail.com", "googlemail.com"];
/// What the hash is for, so that a key which signs other things too gives away nothing here.
const PURPOSE: &[u8] = b"windlass-campaigns suppression\0";

/// An e-mail address that a message can be sent to, as far as its form says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// Why a text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadEmail {
    /// Nothing is written.
    #[error("there is no address")]
    Empty,
    /// Longer than any address may be.
    #[error("it is longer than the {MAX_EMAIL_BYTES} characters an address may have")]
    TooLong,
    /// Several addresses in one place.
    #[error("there are several addresses; keep one")]
    Several,
    /// A name and an address.
    #[error("there is a name with the address; keep the address alone")]
    WithName,
    /// No @.
    #[error("there is no @")]
    NoAt,
    /// A blank within.
    #[error("there is a blank within the address")]
    Blank,
    /// Letters beyond ASCII in front of the @.
    #[error("letters such as é in front of the @ reach few mailboxes; ask for an address without them")]
    NotAscii,
    /// The part in front of the @ has a sign where none may be.
    #[error("the part in front of the @ is not one")]
    Local,
    /// The part behind the @ is no domain name.
    #[error("the part behind the @ is not a domain, as in example.com")]
    Domain,
}

impl EmailAddress {
    /// Reads an address. Blanks around it, invisible characters, `mailto:` and angle brackets do not count.
    ///
    /// # Errors
    /// With what keeps the text from being one address.
    pub fn parse(text: &str) -> Result<Self, BadEmail> {
        let cleaned;
        let mut text = text.trim();
        if !text.is_ascii() {
            cleaned = super::phone::without_invisible(text);
            text = cleaned.trim();
        }
        text = text.strip_prefix("mailto:").unwrap_or(text);
        text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
        if text.is_empty() {
            return Err(BadEmail::Empty);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(BadEmail::NoAt)?;
        check_whole(text, local)?;
        let domain = ascii_domain(domain).ok_or(BadEmail::Domain)?;
        if local.len() > MAX_LOCAL_BYTES || local.len() + 1 + domain.len() > MAX_EMAIL_BYTES {
            return Err(BadEmail::TooLong);
        }
        match lettre::Address::new(local, &domain) {
            Ok(address) => Ok(Self(<lettre::Address as AsRef<str>>::as_ref(&address).to_owned())),
            Err(lettre::address::AddressError::InvalidUser) => Err(BadEmail::Local),
            Err(_) => Err(BadEmail::Domain),
        }
    }

    /// The address to send to.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the last @, in lower case and ASCII.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The same text for every spelling of the address.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The same text for every address that is known to lead to the same mailbox: Gmail passes over dots, what follows a +,
    /// and which of its two domains it is ([Google](https://support.google.com/mail/answer/7436150)).
    pub fn mailbox(&self) -> String {
        let key = self.key();
        match key.rsplit_once('@') {
            Some((local, domain)) if GMAIL.contains(&domain) => {
                let name = local.split('+').next().unwrap_or(local).replace('.', "");
                format!("{name}@{}", GMAIL[0])
            }
            _ => key,
        }
    }
}

fn check_whole(text: &str, local: &str) -> Result<(), BadEmail> {
    let quoted = local.starts_with('"');
    if !quoted && (text.contains([',', ';']) || text.matches('@').count() > 1) {
        return Err(BadEmail::Several);
    }
    if text.ends_with('>') {
        return Err(BadEmail::WithName);
    }
    if !quoted && text.contains(char::is_whitespace) {
        return Err(BadEmail::Blank);
    }
    // A quoted part may hold anything; what a header or a command of SMTP could mistake for its end may not.
    if text.contains(char::is_control) {
        return Err(BadEmail::Local);
    }
    if local.is_ascii() { Ok(()) } else { Err(BadEmail::NotAscii) }
}

/// The domain in lower case and ASCII, if it is a name with a dot and a top level that is no number.
fn ascii_domain(domain: &str) -> Option<String> {
    let ascii = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii_strict(domain).ok()?
    };
    let (_, top) = ascii.rsplit_once('.')?;
    (top.len() > 1 && !top.bytes().all(|byte| byte.is_ascii_digit()) && !ascii.starts_with('['))
        .then_some(ascii)
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = BadEmail;

    fn try_from(text: String) -> Result<Self, BadEmail> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// A mailbox.
    Email(EmailAddress),
    /// A telephone.
    Phone(PhoneNumber),
}

/// The keyed hash of an address, 64 hexadecimal digits: it recognises the address and does not say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressHash(String);

impl AddressHash {
    /// The digits, as the database keeps them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Address {
    /// The same text for every spelling of the address, such as `email:ann@example.com`.
    pub fn key(&self) -> String {
        match self {
            Address::Email(email) => format!("email:{}", email.mailbox()),
            Address::Phone(phone) => format!("phone:{phone}"),
        }
    }

    /// The hash to keep when the contact is erased, by the newest key.
    ///
    /// There are so few phone numbers that whoever has the key can try them all: the key is as secret as the address.
    pub fn hash(&self, secrets: &Secrets) -> AddressHash {
        AddressHash(hex(secrets.tag(&[PURPOSE, self.key().as_bytes()]).as_ref()))
    }

    /// The hashes to look for among erased contacts' suppressions: one for every key, newest first.
    pub fn hashes(&self, secrets: &Secrets) -> Vec<AddressHash> {
        let key = self.key();
        secrets.tags(&[PURPOSE, key.as_bytes()]).map(|tag| AddressHash(hex(tag.as_ref()))).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_address_have_one_key_and_keep_the_owners_writing() {
        for (written, kept) in [
            ("ann@example.com", "ann@example.com"),
            ("  Ann.Smith+news@EXAMPLE.Com\n", "Ann.Smith+news@example.com"),
            ("<ann@example.com>", "ann@example.com"),
            ("mailto:ann@example.com", "ann@example.com"),
            ("\u{feff}ann@example.com\u{200b}", "ann@example.com"),
            ("ann@Bücher.example", "ann@xn--bcher-kva.example"),
            ("o'neil@example.co.uk", "o'neil@example.co.uk"),
            ("ann_@mail-1.example.museum", "ann_@mail-1.example.museum"),
        ] {
            let address = EmailAddress::parse(written).unwrap();
            assert_eq!(address.as_str(), kept);
            assert_eq!(address.key(), kept.to_lowercase());
            assert_eq!(EmailAddress::parse(address.as_str()).as_ref(), Ok(&address));
        }
        assert_eq!(EmailAddress::parse("ann@Bücher.example").unwrap().domain(), "xn--bcher-kva.example");
    }

    #[test]
    fn a_gmail_mailbox_is_one_under_each_of_its_names_and_no_others() {
        let of = |text: &str| Address::Email(EmailAddress::parse(text).unwrap()).key();
        let names = ["Ann.Smith@gmail.com", "annsmith@googlemail.com", "a.n.n.smith+shop+x@GMAIL.com"];
        assert!(names.iter().all(|name| of(name) == "email:annsmith@gmail.com"));
        for other in ["ann.smith@example.com", "annsmith+x@example.com", "annsmith@notgmail.com"] {
            assert_eq!(of(other), format!("email:{other}"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (written, why) in [
            ("", BadEmail::Empty),
            (" <> ", BadEmail::Empty),
            ("ann.example.com", BadEmail::NoAt),
            ("@example.com", BadEmail::Local),
            ("ann@", BadEmail::Domain),
            ("ann@localhost", BadEmail::Domain),
            ("ann@127.0.0.1", BadEmail::Domain),
            ("ann@[127.0.0.1]", BadEmail::Domain),
            ("ann@example..com", BadEmail::Domain),
            ("ann@-example.com", BadEmail::Domain),
            ("ann@exa_mple.c", BadEmail::Domain),
            ("a..b@example.com", BadEmail::Local),
            ("ann smith@example.com", BadEmail::Blank),
            ("ann@example.com, bob@example.com", BadEmail::Several),
            ("ann@example.com;", BadEmail::Several),
            ("a@b@example.com", BadEmail::Several),
            ("Ann <ann@example.com>", BadEmail::WithName),
            ("änn@example.com", BadEmail::NotAscii),
            ("a\u{0}b@example.com", BadEmail::Local),
            ("ann@exam\r\nple.com", BadEmail::Blank),
        ] {
            assert_eq!(EmailAddress::parse(written), Err(why), "{written:?}");
        }
        assert_eq!(EmailAddress::parse(&format!("{}@example.com", "a".repeat(65))), Err(BadEmail::TooLong));
        assert!(serde_json::from_str::<EmailAddress>("\"nobody\"").is_err());
    }

    #[test]
    fn an_erased_contact_is_recognised_under_every_key_and_not_without() {
        let old = Secrets::new([[1; 32]]).unwrap();
        let rotated = Secrets::new([[2; 32], [1; 32]]).unwrap();
        let address = |text: &str| Address::Email(EmailAddress::parse(text).unwrap());
        let kept = address("Ann@example.com").hash(&old);
        assert_eq!(kept.as_str().len(), 64);
        assert!(address("ann@EXAMPLE.com").hashes(&rotated).contains(&kept));
        assert_eq!(address("ann@example.com").hashes(&rotated)[0], address("ann@example.com").hash(&rotated));
        assert!(!address("bob@example.com").hashes(&rotated).contains(&kept));
        assert!(!address("ann@example.com").hashes(&Secrets::new([[3; 32]]).unwrap()).contains(&kept));
        let phone = Address::Phone(PhoneNumber::parse("+14155550100", None).unwrap());
        assert_eq!(phone.key(), "phone:+14155550100");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_address_read_again_is_itself_and_fits_a_header(
            text in prop_oneof![any::<String>(), "[ -~]{0,12}@[ -~é]{0,12}\\.[a-zA-Z]{2,3}"],
        ) {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert_eq!(EmailAddress::parse(address.as_str()), Ok(address.clone()));
                prop_assert!(address.as_str().is_ascii() && !address.as_str().contains(char::is_control));
                prop_assert_eq!(address.domain().to_lowercase(), address.domain());
            }
        }
    }
}

//! The account that a contact belongs to: a company, a university, whatever its people answer for together.
//!
//! Two contacts are colleagues when they have the same [`key`]: the account that somebody gave them, or else the domain of
//! their mail. Spelling counts but for blanks and capitals, and a domain is the same with its own letters and in ASCII.
//! `mail.example.com` is not `example.com`: who owns what below a domain is not known here. Whoever shares nothing but
//! a provider of free mail shares nothing; `free_mail.txt` has those. They are left out when somebody asks, not when a
//! contact is written, so that another table holds for everybody at once.

use std::{collections::HashSet, sync::LazyLock};

/// The longest account, in characters; longer ones are a column of notes.
pub const CHARS_MAX: usize = 200;

/// The domains of free mail.
static FREE_MAIL: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let rows = include_str!("account/free_mail.txt").lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| row.split_once('|')).flat_map(|(_, domains)| domains.split_whitespace()).collect()
});

/// The text by which colleagues are known, from an account that was given, or else from a mailbox.
pub fn key(given: Option<&str>, email: Option<&str>) -> Option<String> {
    let domain = || email.and_then(|email| email.rsplit_once('@')).map(|(_, domain)| normalised(domain));
    given.map(normalised).filter(|key| !key.is_empty()).or_else(domain).filter(|key| !key.is_empty())
}

/// Whether a key is the domain of mailboxes that anybody can have, whoever wrote it down as an account.
pub fn is_free_mail(key: &str) -> bool {
    FREE_MAIL.contains(key)
}

/// Lower case, one blank between words; a domain in ASCII (IDNA, RFC 5890).
fn normalised(text: &str) -> String {
    let mut words = text.split_whitespace().map(str::to_lowercase);
    let first = words.next().unwrap_or_default();
    let name = words.fold(first, |name, word| name + " " + &word);
    if name.is_ascii() || !name.contains('.') || name.contains(' ') {
        return name;
    }
    idna::domain_to_ascii_strict(&name).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colleagues_share_an_account_that_was_given_or_the_domain_of_their_mail() {
        let ann = Some("ann@acme.example");
        for (given, email, expected) in [
            (Some("Acme Inc."), ann, Some("acme inc.")),
            (Some("  ACME\u{a0} \tinc. "), None, Some("acme inc.")),
            (Some("Grün & Söhne GmbH."), None, Some("grün & söhne gmbh.")),
            (Some("Bücher.example"), None, Some("xn--bcher-kva.example")),
            (None, Some("bob@xn--bcher-kva.example"), Some("xn--bcher-kva.example")),
            (None, Some("Bob@Acme.Example"), Some("acme.example")),
            (Some(" "), ann, Some("acme.example")),
            (Some("acme.example"), None, Some("acme.example")),
            (None, None, None),
            (Some(""), Some("nonsense"), None),
        ] {
            assert_eq!(key(given, email).as_deref(), expected, "{given:?} {email:?}");
        }
    }

    #[test]
    fn the_domains_of_free_mail_are_written_as_keys_are_and_each_once() {
        let rows: Vec<&str> = include_str!("account/free_mail.txt")
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let domains: Vec<&str> = rows
            .iter()
            .flat_map(|row| row.split_once('|').expect("a row has two columns").1.split_whitespace())
            .collect();
        assert!(domains.len() > 300, "{} domains", domains.len());
        assert_eq!(domains.len(), FREE_MAIL.len(), "one stands there twice");
        for domain in domains {
            assert_eq!(key(None, Some(&format!("ann@{domain}"))).as_deref(), Some(domain));
            assert!(is_free_mail(domain) && domain.contains('.'), "{domain}");
        }
        assert!(is_free_mail("gmail.com") && !is_free_mail("example.com") && !is_free_mail("google.com"));
    }
}

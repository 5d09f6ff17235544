//! Which failure mode an error belongs to, so that a thousand dead jobs show as the few faults they are.
//!
//! A mode is (kind of job, class of the error, first line of its message with everything that varies
//! replaced by placeholders). [`normalise`] makes that line, and it is the very text that is hashed: two
//! errors have the same fingerprint when kind, class and shown title are equal, and for no other reason.
//! It is computed by whoever reports the error, in Rust, never by a store; changing a rule here
//! splits the modes of running systems in two, so every change moves the pinned vectors below.
//! The rules for single words and numbers are in `fingerprint/token.rs`.

mod token;

use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a message that are looked at: what tells modes apart stands at the front.
pub const MESSAGE_BYTES_MAX: usize = 1_024;
/// Bytes of a title: what fits a table's cell and a line in a chat.
pub const TITLE_BYTES_MAX: usize = 300;

/// A failure mode's identity: equal for equal kind, class and normalised message, on every machine and
/// in every version; shown and written as 16 hex digits, since JavaScript would round the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| format!("{text:?} is not a fingerprint (16 hex digits)"))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

/// The failure mode of an error of a job of that kind, in time linear in the message.
///
/// FNV-1a (Fowler, Noll, Vo; public domain) in 64 bits over kind, class and normalised message, with
/// a zero byte between them, which none of them can hold.
pub fn fingerprint(kind: &str, class: Option<&str>, message: &str) -> Fingerprint {
    let title = normalise(message);
    let bytes = [kind, class.unwrap_or(""), &title].join("\0");
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    Fingerprint(bytes.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// The title of a message's failure mode: its first line with what varies replaced by placeholders.
///
/// `<n>` number, `<time>` date or time, `<ip>` address, `<uuid>`, `<hex>`, `<id>` (letters and digits
/// mixed), `<email>`, `<str>` (in quotes), `<query>` of a URL. Kept are codes that name the fault: HTTP
/// and SMTP statuses, `exit code 137`, `os error 111`, `ORA-00942`, `E11000`, `P2002`, the keys of JSON
/// and its `"code"`. Control characters become spaces, so the title is safe to print. At most
/// [`TITLE_BYTES_MAX`] bytes; the same message always gives the same title.
///
/// ```
/// use windlass_core::fingerprint::normalise;
/// assert_eq!(
///     normalise("user 8412 (ann@example.com) not found after 30s"),
///     "user <n> (<email>) not found after <n>s"
/// );
/// assert_eq!(normalise("upstream answered HTTP 503 after 1201 ms"), "upstream answered HTTP 503 after <n> ms");
/// ```
pub fn normalise(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    cut(&token::replace(cut(line, MESSAGE_BYTES_MAX)), TITLE_BYTES_MAX).trim_end().to_owned()
}

/// The text's first `max` bytes, or a few less so that no character is cut in two.
fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages of one failure mode, and the title under which people see them.
    const MODES: &[(&str, &[&str])] = &[
        (
            "user <n> not found",
            &["user 42 not found", "user 7 not found", "  user 1000000 not found  \n at x.rs:3"],
        ),
        (
            "connection to <ip> refused (os error 111)",
            &[
                "connection to 10.0.0.1:5432 refused (os error 111)",
                "connection to 192.168.17.4:6379 refused (os error 111)",
            ],
        ),
        (
            "connection to <ip> refused (os error 113)",
            &["connection to 10.0.0.1:5432 refused (os error 113)"],
        ),
        ("upstream answered HTTP 503", &["upstream answered HTTP 503"]),
        ("upstream answered HTTP 429", &["upstream answered HTTP 429"]),
        (
            "HTTP status server error (502 Bad Gateway) for url (https://api.example.com/v1/messages/<n>?<query>)",
            &[
                "HTTP status server error (502 Bad Gateway) for url (https://api.example.com/v1/messages/12?key=ab3)",
                "HTTP status server error (502 Bad Gateway) for url (https://api.example.com/v1/messages/7731?key=zz)",
            ],
        ),
        (
            "550 5.1.1 <email>: Recipient address rejected: User unknown",
            &[
                "550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown",
                "550 5.1.1 <bob.m+tag@mail.example.co.uk>: Recipient address rejected: User unknown",
            ],
        ),
        (
            "421 4.7.0 Try again later, closing connection (id=<id>)",
            &[
                "421 4.7.0 Try again later, closing connection (id=a1b2c3d4e5g)",
                "421 4.7.0 Try again later, closing connection (id=zz9yx81k2mq)",
            ],
        ),
        ("452 4.2.2 mailbox of <email> is full", &["452 4.2.2 mailbox of a.b@x.org is full"]),
        (
            "job <uuid> timed out after <n> ms",
            &[
                "job 0199a5d4-0d20-7000-8000-000000000001 timed out after 30000 ms",
                "job 7D3C0B8A-11F2-4E6A-9D0E-3B1A2C4D5E6F timed out after 12.5 ms",
            ],
        ),
        (
            "deadline exceeded at <time>",
            &[
                "deadline exceeded at 2026-11-21T10:15:30.123Z",
                "deadline exceeded at 2026-11-21 10:15:30",
                "deadline exceeded at 2025-01-01T00:00:00+02:00",
                "deadline exceeded at 10:15:30.5",
            ],
        ),
        (
            "panicked at src/main.rs:<n>:<n>",
            &["panicked at src/main.rs:10:5", "panicked at src/main.rs:210:35"],
        ),
        ("called `Option::unwrap()` on a `None` value", &["called `Option::unwrap()` on a `None` value"]),
        ("no such file: <str>", &["no such file: \"/var/spool/a.csv\"", "no such file: '/tmp/x y z'"]),
        ("can't decode the body, won't retry <n> times", &["can't decode the body, won't retry 3 times"]),
        (
            "duplicate key value violates unique constraint <str>",
            &[
                "duplicate key value violates unique constraint \"users_email_key\"",
                "duplicate key value violates unique constraint “users_name_key”",
            ],
        ),
        (
            "E11000 duplicate key error in <str>",
            &["E11000 duplicate key error in 'a'", "E11000 duplicate key error in 'b'"],
        ),
        ("ORA-00942: table or view does not exist", &["ORA-00942: table or view does not exist"]),
        ("ORA-01017: invalid username/password", &["ORA-01017: invalid username/password"]),
        ("ERROR 1062 (23000): duplicate entry", &["ERROR 1062 (23000): duplicate entry"]),
        ("SQLSTATE 40001: could not serialize access", &["SQLSTATE 40001: could not serialize access"]),
        ("P2002: unique constraint failed on row <n>", &["P2002: unique constraint failed on row 9"]),
        ("process ended with exit code 137", &["process ended with exit code 137"]),
        ("process ended with exit code 1", &["process ended with exit code 1"]),
        (
            "segfault at <hex> in worker-<n>",
            &["segfault at 0x7ffe12ab in worker-7", "segfault at 0X0 in worker-12"],
        ),
        (
            "object <hex> is corrupt",
            &[
                "object d41d8cd98f00b204e9800998ecf8427e is corrupt",
                "object a94a8fe5ccb19ba61c4c0873d391e987982fbbd3 is corrupt",
            ],
        ),
        ("invalid UTF-8 in field <n>", &["invalid UTF-8 in field 3"]),
        (
            "invalid utf8 sequence of <n> bytes from index <n>",
            &["invalid utf8 sequence of 1 bytes from index 12"],
        ),
        (
            "TLS handshake failed: sha256 of <id> differs",
            &["TLS handshake failed: sha256 of k8x2m9p4 differs"],
        ),
        (
            "{\"code\":\"invalid_phone\",\"message\":<str>,\"more\":<n>}",
            &[
                "{\"code\":\"invalid_phone\",\"message\":\"+15551234 is wrong\",\"more\":21211}",
                "{\"code\":\"invalid_phone\",\"message\":\"+49301234 is wrong\",\"more\":1}",
            ],
        ),
        (
            "{\"code\":\"rate_limited\",\"message\":<str>}",
            &["{\"code\":\"rate_limited\",\"message\":\"slow down\"}"],
        ),
        ("{\"code\": 21211, \"to\": <str>}", &["{\"code\": 21211, \"to\": \"+15551234\"}"]),
        ("{\"code\": 21610, \"to\": <str>}", &["{\"code\": 21610, \"to\": \"+15551234\"}"]),
        (
            "GET https://example.com/u/<id>/orders/<uuid> failed",
            &[
                "GET https://example.com/u/u9f83k2/orders/0199a5d4-0d20-7000-8000-000000000001 failed",
                "GET https://user:pw@example.com/u/q1w2e3/orders/7d3c0b8a-11f2-4e6a-9d0e-3b1a2c4d5e6f failed",
            ],
        ),
        (
            "disk <n>% full, <n>MB of <n>GB left",
            &["disk 97% full, 12MB of 1,024GB left", "disk 99.5% full, 1MB of 8GB left"],
        ),
        ("temperature <n> below limit", &["temperature -12.5 below limit", "temperature 3 below limit"]),
        ("key sk_live_<id> was revoked", &["key sk_live_4eC39HqLyjWDarjtT1zdp7dc was revoked"]),
        (
            "peer [<ip>]:<n> closed",
            &["peer [fe80::1]:8080 closed", "peer [2001:db8::8a2e:370:7334]:443 closed"],
        ),
        ("Ошибка: пользователь <n> не найден", &["Ошибка: пользователь 17 не найден"]),
        ("bad escape red", &["bad\u{1b}escape \u{1b}[31mred\u{1b}[0m"]),
        ("status: 404, body: <str>", &["status: 404, body: \"no such thing\""]),
        ("std::io::Error: broken pipe", &["std::io::Error: broken pipe"]),
        ("", &["", "\n \n", "\u{0}"]),
    ];

    #[test]
    fn messages_of_one_failure_mode_share_its_title_and_its_fingerprint() {
        for (title, messages) in MODES {
            for message in *messages {
                assert_eq!(normalise(message), *title, "{message:?}");
                assert_eq!(fingerprint("k", None, message), fingerprint("k", None, title), "{message:?}");
            }
        }
    }

    #[test]
    fn different_failure_modes_have_different_fingerprints() {
        let mut seen = std::collections::HashMap::new();
        for (title, messages) in MODES {
            if let Some(other) = seen.insert(fingerprint("k", None, messages[0]), title) {
                panic!("{title:?} and {other:?} share a fingerprint");
            }
        }
        assert!(MODES.len() >= 40);
    }

    #[test]
    fn kind_and_class_separate_modes_and_cannot_run_into_each_other() {
        let all = [
            fingerprint("email", None, "boom"),
            fingerprint("sms", None, "boom"),
            fingerprint("email", Some("Timeout"), "boom"),
            fingerprint("emailTimeout", None, "boom"),
            fingerprint("email", Some("boom"), ""),
            fingerprint("email", None, ""),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn fingerprints_never_change() {
        assert_eq!(fingerprint("", None, "").to_string(), "08328807b4eb6fed");
        assert_eq!(
            fingerprint("email", Some("SmtpError"), "550 5.1.1 user unknown").to_string(),
            "6f0589a2bd518ead"
        );
        assert_eq!(fingerprint("sms", None, "HTTP 503 after 17 ms").to_string(), "3e3f0135423081fe");
    }

    #[test]
    fn a_fingerprint_reads_and_writes_as_hex() {
        let one = Fingerprint(0x00ab_cdef_0123_4567);
        assert_eq!(one.to_string(), "00abcdef01234567");
        assert_eq!("00abcdef01234567".parse(), Ok(one));
        assert_eq!(serde_json::to_string(&one).expect("plain"), "\"00abcdef01234567\"");
        for bad in ["", "abc", "+0abcdef01234567", "00abcdef0123456g", "00abcdef012345678"] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_message_is_cut_at_whole_characters_and_stays_linear() {
        let title = normalise(&"ö".repeat(10_000));
        assert_eq!(title.len(), TITLE_BYTES_MAX);
        for unit in
            ["\"a", "'", "a'", "(\"", "1.", "a1", "0x", "x@", "://", "-", "{\"a\":", "“", "2026-01-01T", "a:"]
        {
            assert!(normalise(&unit.repeat(1_000_000)).len() <= TITLE_BYTES_MAX);
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_short_safe_title(message in ".{0,400}", noise in "[ -~]{0,200}") {
            for text in [&message, &noise] {
                let title = normalise(text);
                prop_assert!(title.len() <= TITLE_BYTES_MAX);
                prop_assert!(!title.chars().any(char::is_control), "{title:?}");
                prop_assert!(!title.starts_with(' ') && !title.ends_with(' ') && !title.contains("  "), "{title:?}");
                prop_assume!(!text.trim().is_empty());
                prop_assert_eq!(fingerprint("k", None, text), fingerprint("k", None, &format!("{text}\nmore")));
            }
        }

        #[test]
        fn numbers_and_ids_do_not_split_a_mode(a in 0u64.., b in 0u64.., id in any::<[u128; 2]>()) {
            let said = |n: u64, id: u128| {
                let uuid = uuid::Uuid::from_u128(id);
                fingerprint("k", None, &format!("row {n} of {uuid} ({n} ms) is gone from https://x.org/a/{n}?b={id}"))
            };
            prop_assert_eq!(said(a, id[0]), said(b, id[1]));
        }
    }
}

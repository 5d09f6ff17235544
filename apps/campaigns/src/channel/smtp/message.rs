//! A mail as it goes over the wire, rendered before any connection is taken for it.

use std::time::{Duration, UNIX_EPOCH};

use lettre::{
    Address, Message,
    message::{
        MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use super::super::email::{Checked, Email, Unsendable};

/// A message with its envelope.
pub(super) struct Prepared {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) message_id: String,
    pub(super) content: Vec<u8>,
}

impl Prepared {
    pub(super) fn new(email: &Email<'_>) -> Result<Self, Unsendable> {
        let Checked { from, reply_to, to, subject, headers } = email.check()?;
        let mut builder = Message::builder()
            .date(UNIX_EPOCH + Duration::from_millis(email.date.0.min(LAST_DATE_MS)))
            .from(from.clone())
            .to(to.clone())
            .subject(subject)
            .message_id(Some(email.message_id.to_owned()));
        if let Some(reply_to) = reply_to {
            builder = builder.reply_to(reply_to);
        }
        for (name, value) in headers {
            builder = builder.raw_header(raw_header(name, value)?);
        }
        let text = email.text.to_owned();
        let message = match email.html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, html.to_owned())),
            None => builder.singlepart(SinglePart::plain(text)),
        };
        let message = message.map_err(|error| Unsendable::message(error.to_string()))?;
        let message_id = email.message_id.to_owned();
        Ok(Self { from: from.email, to: to.email, message_id, content: message.formatted() })
    }
}

/// The end of the year 9999, the last that a mail's date can name.
const LAST_DATE_MS: u64 = 253_402_300_799_000;

fn raw_header(name: String, value: String) -> Result<HeaderValue, Unsendable> {
    let name = HeaderName::new_from_ascii(name).map_err(|error| Unsendable::message(error.to_string()))?;
    // Encoding folds long values, which would break a token over two lines; these values are plain ASCII tokens.
    Ok(HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value))
}

#[cfg(test)]
mod tests {
    use windlass::Time;

    use super::{super::super::Unsubscribe, *};

    fn email() -> Email<'static> {
        Email {
            message_id: "<t17.a1@example.com>",
            touch: "17",
            campaign: "1",
            from: "Ann <ann@example.com>",
            reply_to: None,
            to: "bob@example.com",
            to_name: "Bob",
            subject: "Hello",
            text: "text",
            html: None,
            unsubscribe: Some(Unsubscribe {
                https_url: "https://example.com/u?x=1",
                mailto: Some("u+1@example.com?subject=stop"),
            }),
            feedback_id: Some("1:7:news:windlass"),
            date: Time(1_000_000_000_000),
            headers: &[("X-Windlass-Job", "j1")],
        }
    }

    fn rendered(email: &Email<'_>) -> String {
        String::from_utf8(Prepared::new(email).unwrap().content).unwrap()
    }

    #[test]
    fn a_mail_says_who_sent_it_when_and_how_to_leave() {
        let content = rendered(&Email { reply_to: Some("Desk <desk@example.org>"), ..email() });
        let (headers, body) = content.split_once("\r\n\r\n").unwrap();
        for line in [
            "Message-ID: <t17.a1@example.com>",
            "From: Ann <ann@example.com>",
            "Reply-To: Desk <desk@example.org>",
            "To: Bob <bob@example.com>",
            "Subject: Hello",
            "Date: Sun, 09 Sep 2001 01:46:40 +0000",
            "List-Unsubscribe: <https://example.com/u?x=1>, <mailto:u+1@example.com?subject=stop>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "Feedback-ID: 1:7:news:windlass",
            "X-Windlass-Job: j1",
            // Without these two a reader does not undo what the body is encoded with.
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
        ] {
            assert_eq!(headers.lines().filter(|seen| *seen == line).count(), 1, "{line} in {headers}");
        }
        assert_eq!(body, "text\r\n");
    }

    #[test]
    fn a_long_link_in_plain_ascii_is_read_back_whole() {
        let link = format!("https://example.com/u/{}", "A1b2".repeat(60));
        let content = rendered(&Email { text: &format!("Leave: {link}\n"), ..email() });
        let read = mail_parser::MessageParser::default().parse(content.as_bytes()).unwrap();
        assert!(read.body_text(0).unwrap().contains(&link), "{content}");
        assert!(content.lines().all(|line| line.len() <= 998), "{content}");
    }

    #[test]
    fn a_mail_with_html_lets_its_reader_choose_and_offers_the_text_first() {
        let content = rendered(&Email { html: Some("<p>für dich</p>"), ..email() });
        assert!(content.contains("Content-Type: multipart/alternative;"), "{content}");
        let (plain, html) = (content.find("text/plain").unwrap(), content.find("text/html").unwrap());
        assert!(plain < html, "the last alternative is the preferred one");
        assert!(content.is_ascii());
    }

    #[test]
    fn a_header_cannot_be_smuggled_in_through_any_field() {
        let content = rendered(&Email {
            to_name: "Bob\r\nBcc: eve@example.com",
            subject: "Hello\r\nBcc: eve@example.com",
            ..email()
        });
        let headers = content.split("\r\n\r\n").next().unwrap();
        assert!(!headers.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{headers}");

        // Whatever a contact is called, the mail is made, and ASCII.
        for c in (0..0x3000).filter_map(char::from_u32) {
            let named = Email { to_name: &format!("x{c}\"\\,<{c}"), subject: &format!("{c}x{c}"), ..email() };
            assert!(Prepared::new(&named).is_ok_and(|mail| mail.content.is_ascii()), "{c:?}");
        }

        let unsubscribe = |https_url, mailto| Some(Unsubscribe { https_url, mailto });
        for bad in [
            Email { message_id: "<j1\r\nBcc: e@example.com>", ..email() },
            Email { message_id: "j1@example.com", ..email() },
            Email { message_id: "<a@b@example.com>", ..email() },
            Email { from: "ann", ..email() },
            Email { reply_to: Some("a@example.com\r\nBcc: e@example.com"), ..email() },
            Email { unsubscribe: unsubscribe("https://e\r\nBcc: x", None), ..email() },
            Email { unsubscribe: unsubscribe("https://e,f", None), ..email() },
            Email { unsubscribe: unsubscribe("https://e", Some("u@e>, <mailto:v@e")), ..email() },
            Email { feedback_id: Some("1\r\nBcc: e@example.com"), ..email() },
            Email { headers: &[("bcc", "e@example.com")], ..email() },
            Email { headers: &[("X: y\r\nBcc", "e@example.com")], ..email() },
            Email { headers: &[("X-Y", "1\nBcc: e@example.com")], ..email() },
        ] {
            assert!(Prepared::new(&bad).is_err(), "{bad:?}");
        }
    }
}

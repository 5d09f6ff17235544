//! Mails in the shapes in which mail servers and mail programs write them, and mails that nobody should write.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    super::TouchResult::{self, Bounced, Failed, OnItsWay},
    *,
};
use crate::optout::{Inbound, classify_mail};

mod samples;

use samples::*;

const OURS: &str = "<t17.a1b2c3.0123456789abcdef0123@example.com>";

fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

fn heard(text: &str) -> InboundMail {
    let mail = read(crlf(text).as_bytes()).unwrap();
    assert_eq!(read(text.as_bytes()).unwrap().kind, mail.kind, "ends of lines do not count");
    mail
}

#[test]
fn reports_of_every_usual_mail_server_name_the_mail_the_recipient_and_the_code() {
    type Seen<'a> = (Done, TouchResult, Option<&'a str>, &'a str);
    let table: [(&str, &str, Seen<'_>); 8] = [
        ("Postfix", POSTFIX, (Done::Failed, Bounced, Some("smtp/550-5.1.1"), "550 5.1.1 <bob@example.org>")),
        ("Postfix, late", POSTFIX_DELAYED, (Done::Delayed, OnItsWay, Some("smtp/4.4.1"), "connect to mx")),
        ("Postfix, too late", POSTFIX_EXPIRED, (Done::Failed, Failed, Some("smtp/4.4.1"), "timed out")),
        ("Exim", EXIM, (Done::Failed, Bounced, Some("smtp/550-5.1.1"), "550-5.1.1 no such user")),
        ("Exchange", EXCHANGE, (Done::Failed, Bounced, Some("smtp/550-5.1.10"), "RESOLVER.ADR")),
        ("Gmail", GMAIL, (Done::Failed, Bounced, Some("smtp/550-5.1.1"), "The email account")),
        ("Sendmail", SENDMAIL, (Done::Failed, Bounced, Some("smtp/550-5.1.1"), "User unknown")),
        ("success", SUCCESS, (Done::Delivered, TouchResult::Delivered, None, "250 2.0.0")),
    ];
    for (server, text, (done, result, code, why)) in table {
        let mail = heard(text);
        let Kind::Report { returned, notices } = &mail.kind else { panic!("{server}: {mail:?}") };
        assert_eq!(returned.message_id.as_deref(), Some(OURS), "{server}");
        assert_eq!(notices.len(), 1, "{server}");
        let Notice { recipients, done: seen, progress } = &notices[0];
        assert!(recipients.iter().any(|one| one == "bob@example.org"), "{server}: {recipients:?}");
        assert_eq!(
            (*seen, progress.result, progress.code.as_deref()),
            (done, Some(result), code),
            "{server}"
        );
        assert!(progress.why.as_deref().unwrap().contains(why), "{server}: {progress:?}");
    }
}

#[test]
fn a_complaint_returns_our_way_out_and_other_feedback_is_a_machines() {
    let Kind::Complaint(complaint) = heard(FEEDBACK).kind else { panic!("{:?}", heard(FEEDBACK)) };
    assert_eq!(complaint.recipients, ["bob@example.org"]);
    assert_eq!(complaint.returned.message_id.as_deref(), Some(OURS));
    assert!(
        complaint.returned.list_unsubscribe.unwrap().contains("https://example.com/open/campaigns/u/TOKEN")
    );
    let not_spam = heard(&FEEDBACK.replace("Feedback-Type: abuse", "Feedback-Type: not-spam"));
    assert!(matches!(not_spam.kind, Kind::Automatic { .. }), "{not_spam:?}");
}

#[test]
fn machines_are_no_people() {
    for (whose, text) in [
        ("Exchange", OUT_OF_OFFICE),
        ("Gmail", VACATION),
        ("a receipt", RECEIPT),
        ("a bounce without a report", OLD_BOUNCE),
    ] {
        let mail = heard(text);
        assert!(matches!(mail.kind, Kind::Automatic { .. }), "{whose}: {mail:?}");
    }
    assert_eq!(heard(OUT_OF_OFFICE).answers, [OURS]);
}

#[test]
fn of_an_answer_only_the_writers_own_words_are_kept() {
    for (program, text, words) in [
        ("Gmail", GMAIL_ANSWER, "Sounds good, call me.\n\nBob"),
        ("Outlook", OUTLOOK_ANSWER, "Grüße aus Köln – ja, gern."),
        ("Outlook in HTML", HTML_ANSWER, "Please take me off your list."),
        ("Apple", APPLE_ANSWER, "Stop."),
    ] {
        let mail = heard(text);
        let Kind::Written { text } = &mail.kind else { panic!("{program}: {mail:?}") };
        assert_eq!(text, words, "{program}");
        assert_eq!(mail.from.as_deref(), Some("bob@example.org"), "{program}");
        assert_eq!(mail.answers.first().map(String::as_str), Some(OURS), "{program}");
        assert!(mail.to.iter().any(|to| to == "ann@example.com"), "{program}: {:?}", mail.to);
        let stop = matches!(classify_mail(&mail.subject, text), Inbound::Stop { .. });
        assert_eq!(stop, program == "Apple", "{program}");
    }
    let mail = heard(OUTLOOK_ANSWER);
    assert_eq!(mail.subject, "AW: Frühling");
}

#[test]
fn a_mail_to_the_way_out_is_known_by_its_subject_also_where_a_machine_sends_it() {
    let mail = "From: Bob <bob@example.org>\nTo: unsubscribe@example.com\nSubject: unsubscribe-AQEAabc_-Z\n\
                Auto-Submitted: auto-generated\n\nThis message was sent by a mail program.\n";
    assert_eq!(heard(mail).kind, Kind::Unsubscribe { proof: "AQEAabc_-Z".to_owned() });
    let upper = mail.replace("Subject: unsubscribe-", "Subject: Re: UNSUBSCRIBE-");
    assert_eq!(heard(&upper).kind, Kind::Unsubscribe { proof: "AQEAabc_-Z".to_owned() });
    let answer = mail.replace("Subject: unsubscribe-", "Subject: How to unsubscribe ").replace("Auto-", "X-");
    assert!(matches!(heard(&answer).kind, Kind::Written { .. }));
}

#[test]
fn the_same_mail_has_the_same_key_by_whichever_way_it_comes() {
    let mail = heard(GMAIL_ANSWER);
    let delivered = format!(
        "From bob@example.org  Sat Nov 21 10:00:00 2026\nDelivered-To: ann@example.com\n{GMAIL_ANSWER}"
    );
    assert_eq!(heard(&delivered).key, mail.key);
    let others = [
        GMAIL_ANSWER,
        OUTLOOK_ANSWER,
        HTML_ANSWER,
        POSTFIX,
        EXIM,
        EXCHANGE,
        GMAIL,
        OUT_OF_OFFICE,
        "From: a@b.c\n\n1",
        "From: a@b.c\n\n2",
    ];
    let keys: BTreeSet<String> = others.iter().map(|text| heard(text).key).collect();
    assert_eq!(keys.len(), others.len());
}

#[test]
fn what_is_no_mail_is_told_so() {
    for (bytes, part) in [
        (&b""[..], "nothing came"),
        (b" \r\n\n", "nothing came"),
        (b"hello world\n", "From, Message-ID"),
        (b"{\"json\": 1}", "From, Message-ID"),
        (b"Content-Type: text/plain\n\nhello", "From, Message-ID"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let mut large = b"From: a@b.c\n\n".to_vec();
    large.resize(MAIL_BYTES_MOST + 1, b'a');
    assert!(matches!(read(&large), Err(BadMail::TooLarge { .. })));
    large.truncate(MAIL_BYTES_MOST);
    assert!(read(&large).is_ok());
}

#[test]
fn a_mail_that_is_made_to_be_hard_to_read_costs_no_more_than_a_large_one() {
    let nested = |level: &str, count: usize| format!("From: a@b.c\n{}\nend\n", level.repeat(count));
    let message = "Content-Type: message/rfc822\n\n";
    assert!(read(nested(message, TYPES_MOST).as_bytes()).is_ok());
    assert!(matches!(
        read(nested(message, TYPES_MOST + 1).as_bytes()),
        Err(BadMail::TooManyParts { what: "parts", .. })
    ));
    let digest = format!(
        "From: a@b.c\nContent-Type: multipart/digest; boundary=x\n\n{}",
        "--x\n\n".repeat(BORDERS_MOST + 1)
    );
    assert!(matches!(read(digest.as_bytes()), Err(BadMail::TooManyParts { what: "borders of parts", .. })));
    // What a coding hides is not opened: a hundred thousand mails, one in the other.
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let hidden = STANDARD.encode(message.repeat(100_000));
    let hidden = format!(
        "From: a@b.c\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\
         Content-Transfer-Encoding: base64\n\n{hidden}\n--x--\n"
    );
    assert!(matches!(read(hidden.as_bytes()).unwrap().kind, Kind::Written { .. }));
    // Borders that never come are looked for through the rest of the mail, each time.
    let mut endless = String::from("From: a@b.c\nContent-Type: multipart/mixed; boundary=x\n\n");
    for nth in 0..TYPES_MOST - 1 {
        endless += &format!("--x\nContent-Type: multipart/mixed; boundary=never{nth}\n\n");
    }
    endless += &"a line of text, as long as a usual one is in a mail\n".repeat(100_000);
    assert!(read(endless.as_bytes()).is_ok());
}

/// A mail that was damaged on its way, by a draw.
fn mangled(text: &str, cuts: &[(u16, u16, u8)]) -> Vec<u8> {
    let mut bytes = crlf(text).into_bytes();
    for (at, length, how) in cuts {
        let at = usize::from(*at) % bytes.len().max(1);
        let end = (at + usize::from(*length) % 400).min(bytes.len());
        match how % 5 {
            0 => drop(bytes.drain(at..end)),
            1 => bytes[at..end].reverse(),
            2 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            3 => bytes[at..end].iter_mut().for_each(|byte| *byte ^= how),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mangled_mail_breaks_the_reader(
        which in 0..ALL.len(),
        cuts in prop::collection::vec((any::<u16>(), any::<u16>(), any::<u8>()), 0..8),
    ) {
        let bytes = mangled(ALL[which], &cuts);
        if let Ok(mail) = read(&bytes) {
            prop_assert_eq!(read(&bytes).map(|again| again.key), Ok(mail.key));
            if let Kind::Written { text } = mail.kind {
                prop_assert!(text.chars().count() <= super::super::MAX_TEXT_CHARS);
            }
        }
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..600), headers in "[ -~\\r\\n\\t]{0,400}") {
        let _ = read(&bytes);
        let _ = read(headers.as_bytes());
        let _ = read(&[b"From: a@b.c\r\n", headers.as_bytes(), b"\r\n\r\n", &bytes].concat());
    }
}

//! Reports of mail servers: what became of a mail (RFC 3464), and that somebody called one unwanted (RFC 5965).
//!
//! A report is believed as far as it goes: which mail it is about, and whom it was for, is what it says; whether that is a
//! mail of ours, and to that recipient, the flow finds out before it does anything.

use super::super::{Progress, TouchResult, bounded, http_mail::smtp_code};
use super::fields::{Fields, message_ids};

/// The most recipients of one report; a mail of ours has one.
const NOTICES_MOST: usize = 100;
/// What stands in front of a recipient, when it has no other kind.
const MAILBOX_KINDS: [&str; 2] = ["rfc822", "utf-8"];
/// The kinds of feedback that mean that its recipient does not want a mail.
const UNWANTED: [&str; 4] = ["abuse", "fraud", "opt-out", "opt-out-list"];

/// What is returned of a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// Its Message-ID, with brackets.
    pub message_id: Option<String>,
    /// Its List-Unsubscribe.
    pub list_unsubscribe: Option<String>,
}

impl Returned {
    pub(super) fn of(header: &[u8]) -> Self {
        let fields = Fields::of_header(header);
        Self {
            message_id: fields.get("message-id").and_then(|id| message_ids(id).next()).map(bounded),
            list_unsubscribe: fields.get("list-unsubscribe").map(bounded),
        }
    }
}

/// What a mail server has done, or not done, for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It has given up.
    Failed,
    /// It goes on trying.
    Delayed,
    /// It has put the mail into the mailbox.
    Delivered,
    /// It has handed the mail on: to a server that tells nothing (`relayed`), or to several recipients (`expanded`).
    HandedOn,
    /// Something that this version has no name for.
    Other,
}

/// What became of a mail for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The recipient under every name that the report has for them: as the server knew them, and as they were written to.
    pub recipients: Vec<String>,
    /// What was done.
    pub done: Done,
    /// What it means for a message.
    pub progress: Progress,
}

/// The notices of a part `message/delivery-status`.
pub(super) fn notices(status: &[u8]) -> Vec<Notice> {
    Fields::groups(status).filter_map(|group| notice(&group)).take(NOTICES_MOST).collect()
}

/// What a group of fields says, if it is about a recipient.
fn notice(group: &Fields) -> Option<Notice> {
    let names = ["original-recipient", "final-recipient"].into_iter().filter_map(|name| group.get(name));
    let recipients: Vec<String> = names.filter_map(mailbox).collect();
    let word = group.word("action")?;
    if recipients.is_empty() {
        return None;
    }
    let done = match word.as_str() {
        "failed" => Done::Failed,
        "delayed" => Done::Delayed,
        "delivered" => Done::Delivered,
        "relayed" | "expanded" => Done::HandedOn,
        _ => Done::Other,
    };
    let status = group.word("status").unwrap_or_default();
    let status = status.split_whitespace().next();
    // The part in front says who speaks: `smtp; 550 5.1.1 …`, `X-Postfix; unknown user`.
    let said = group.get("diagnostic-code").map(|said| match said.split_once(';') {
        Some((_, words)) => words.trim(),
        None => said,
    });
    let code = smtp_code(said.unwrap_or_default(), status);
    let result = match done {
        // A server that was out of reach until the time was over says nothing of the mailbox.
        Done::Failed if status.is_some_and(|status| status.starts_with('4')) => Some(TouchResult::Failed),
        Done::Failed => Some(TouchResult::Bounced),
        Done::Delivered => Some(TouchResult::Delivered),
        Done::Delayed | Done::HandedOn => Some(TouchResult::OnItsWay),
        Done::Other => None,
    };
    let code = code.filter(|_| matches!(done, Done::Failed | Done::Delayed));
    let why = said.filter(|said| !said.is_empty()).or(status).map(bounded);
    let progress =
        Progress { word: bounded(&word), result, code, why, bounce_class: None, answered_by: None };
    Some(Notice { recipients, done, progress })
}

/// The mailbox of a typed address, as in `rfc822; <bob@example.org>`.
fn mailbox(value: &str) -> Option<String> {
    let address = match value.split_once(';') {
        Some((kind, address)) => {
            let kind = kind.trim();
            MAILBOX_KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known)).then_some(address)?
        }
        None => value,
    };
    let address = address.trim();
    let address =
        address.strip_prefix('<').and_then(|address| address.strip_suffix('>')).unwrap_or(address).trim();
    address.contains('@').then(|| bounded(address))
}

/// That somebody called a mail unwanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaint {
    /// Who, where the report says so; many do not.
    pub recipients: Vec<String>,
    /// About which mail.
    pub returned: Returned,
}

/// The complaint of a part `message/feedback-report`; the kind of feedback, where it is none.
pub(super) fn complaint(report: &[u8], returned: Returned) -> Result<Complaint, String> {
    let fields = Fields::of_header(report);
    let kind = fields.word("feedback-type").unwrap_or_default();
    if !UNWANTED.contains(&kind.as_str()) {
        return Err(kind);
    }
    let names = ["original-rcpt-to", "removal-recipient"].into_iter();
    let recipients = names.flat_map(|name| fields.all(name).filter_map(mailbox).collect::<Vec<_>>());
    Ok(Complaint { recipients: recipients.take(NOTICES_MOST).collect(), returned })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(fields: &str) -> (Done, Option<TouchResult>, Option<String>) {
        let text =
            format!("Reporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\n{fields}\r\n");
        let notices = notices(text.as_bytes());
        assert_eq!(notices.len(), 1, "{fields}");
        let Notice { done, progress, .. } = notices.into_iter().next().unwrap();
        (done, progress.result, progress.code)
    }

    #[test]
    fn every_action_has_its_meaning_and_the_code_is_the_recipients_servers() {
        let code = |code: &str| Some(code.to_owned());
        for (fields, expected) in [
            (
                "Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 <bob@example.org>: gone",
                (Done::Failed, Some(TouchResult::Bounced), code("smtp/550-5.1.1")),
            ),
            (
                "Action: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 550-5.1.1 The email account",
                (Done::Failed, Some(TouchResult::Bounced), code("smtp/550-5.1.1")),
            ),
            (
                "Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: X-Postfix; unknown user: \"bob\"",
                (Done::Failed, Some(TouchResult::Bounced), code("smtp/5.1.1")),
            ),
            (
                "Action: failed\r\nStatus: 5.1.10 (no such mailbox)\r\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; none",
                (Done::Failed, Some(TouchResult::Bounced), code("smtp/550-5.1.10")),
            ),
            (
                "Action: FAILED\r\nStatus: 4.4.1\r\nDiagnostic-Code: X-Postfix; connect to mx: timed out",
                (Done::Failed, Some(TouchResult::Failed), code("smtp/4.4.1")),
            ),
            ("Action: failed\r\nStatus: 5.0.0", (Done::Failed, Some(TouchResult::Bounced), None)),
            ("Action: failed", (Done::Failed, Some(TouchResult::Bounced), None)),
            (
                "Action: delayed\r\nStatus: 4.4.7\r\nWill-Retry-Until: Fri, 1 Jan 2027 00:00:00 +0000",
                (Done::Delayed, Some(TouchResult::OnItsWay), code("smtp/4.4.7")),
            ),
            (
                "Action: delivered\r\nStatus: 2.0.0\r\nDiagnostic-Code: smtp; 250 ok",
                (Done::Delivered, Some(TouchResult::Delivered), None),
            ),
            ("Action: relayed\r\nStatus: 2.0.0", (Done::HandedOn, Some(TouchResult::OnItsWay), None)),
            ("Action: expanded", (Done::HandedOn, Some(TouchResult::OnItsWay), None)),
            ("Action: teleported", (Done::Other, None, None)),
        ] {
            assert_eq!(seen(fields), expected, "{fields}");
        }
    }

    #[test]
    fn a_recipient_has_every_name_that_the_report_gives_and_no_other_kind_of_address_is_one() {
        let text = "Final-Recipient: RFC822;<Bob@Example.org>\nOriginal-Recipient: utf-8; b\u{f6}b@example.org\n\
                    Action: failed\n\nFinal-Recipient: x400; /S=bob/\nAction: failed\n\n\
                    Final-Recipient: bare@example.org\nAction: failed\n\nAction: failed\n\n\
                    Final-Recipient: rfc822; no-action@example.org\n";
        let found: Vec<Vec<String>> =
            notices(text.as_bytes()).into_iter().map(|notice| notice.recipients).collect();
        assert_eq!(found, [vec!["b\u{f6}b@example.org", "Bob@Example.org"], vec!["bare@example.org"]]);
        let many = "Final-Recipient: a@b.c\nAction: failed\n\n".repeat(1_000);
        assert_eq!(notices(many.as_bytes()).len(), NOTICES_MOST);
    }

    #[test]
    fn feedback_is_a_complaint_only_where_it_says_that_the_mail_was_unwanted() {
        let report =
            |kind: &str| format!("Feedback-Type: {kind}\r\nUser-Agent: x/1\r\nOriginal-Rcpt-To: <b@c.d>\r\n");
        let complaint = |kind| complaint(report(kind).as_bytes(), Returned::default());
        assert_eq!(complaint("abuse").unwrap().recipients, ["b@c.d"]);
        assert!(complaint("Abuse").is_ok() && complaint("fraud").is_ok());
        assert_eq!(complaint("not-spam"), Err("not-spam".to_owned()));
        assert_eq!(complaint("auth-failure"), Err("auth-failure".to_owned()));
    }

    #[test]
    fn what_is_returned_may_be_cut_anywhere() {
        let header = b"Received: x\r\nMessage-ID:\r\n <t17.a1@example.com>\r\nList-Unsubscribe: <https://x/u/y>,\r\n <mailto:u@x>\r\nSubj";
        let returned = Returned::of(header);
        assert_eq!(returned.message_id.as_deref(), Some("<t17.a1@example.com>"));
        assert_eq!(returned.list_unsubscribe.as_deref(), Some("<https://x/u/y>, <mailto:u@x>"));
        for cut in 0..header.len() {
            let _ = Returned::of(&header[..cut]);
        }
    }
}

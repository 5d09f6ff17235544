//! What a mail needs: a subject, a way out, the sender's postal address, and markup that cannot be escaped from.
//!
//! The link and the address are required of commercial mail by 15 U.S.C. 7704(a)(5), the link also by Gmail's and
//! Yahoo's rules for senders of many mails. The headers of one-click unsubscribe are the channel's.

use super::{Code, Draft, Finding, Part, error, warning};
use crate::template::{Piece, Template};

/// The longest subject that programs on a desktop show whole, in characters; telephones show half of it.
const MAX_SUBJECT_CHARS: usize = 78;
/// Where Gmail cuts a mail and hides the rest behind a link, in bytes.
const GMAIL_CLIPS_BYTES: usize = 102 * 1024;
/// What replies and forwarded mails begin with.
const REPLY_MARKS: [&str; 4] = ["re:", "fwd:", "fw:", "aw:"];

pub(super) fn check(draft: &Draft<'_>, findings: &mut Vec<Finding>) {
    subject(draft, findings);
    for (part, template) in draft.parts().filter(|(part, _)| *part != Part::Subject) {
        way_out(part, template, findings);
    }
    if let Some(html) = draft.html {
        if draft.text.is_none_or(|text| draft.sample_of(text).trim().is_empty()) {
            findings.push(warning(
                Code::NoTextPart,
                Part::Text,
                "the mail is HTML only, which filters count against it",
                "add the plain text",
            ));
        }
        let bytes = draft.sample_of(html).len();
        if bytes > GMAIL_CLIPS_BYTES {
            findings.push(warning(
                Code::HtmlClipped,
                Part::Html,
                format!("Gmail shows the first {GMAIL_CLIPS_BYTES} of its {bytes} bytes"),
                "shorten it; what is cut off includes the unsubscribe link",
            ));
        }
        unquoted(html, findings);
    }
}

fn subject(draft: &Draft<'_>, findings: &mut Vec<Finding>) {
    let raw = draft.subject.map(|subject| draft.sample_of(subject)).unwrap_or_default();
    let subject = raw.trim();
    let mut found = |finding| findings.push(finding);
    if subject.is_empty() {
        found(error(Code::SubjectEmpty, Part::Subject, "the mail has no subject", "write one"));
    }
    if subject.contains(['\n', '\r']) {
        found(error(
            Code::SubjectLineBreak,
            Part::Subject,
            "the subject has several lines",
            "write it on one line",
        ));
    }
    let chars = subject.chars().count();
    if chars > MAX_SUBJECT_CHARS {
        found(warning(
            Code::SubjectLong,
            Part::Subject,
            format!(
                "the subject has about {chars} characters, and programs show {MAX_SUBJECT_CHARS} at most"
            ),
            "say the most important first, or shorten it",
        ));
    }
    let folded = subject.to_lowercase();
    if draft.first_touch && REPLY_MARKS.iter().any(|mark| folded.starts_with(mark)) {
        found(error(
            Code::SubjectFakeReply,
            Part::Subject,
            "a first mail that poses as a reply is a deceptive subject, which the law forbids",
            "leave out Re: and Fwd:",
        ));
    }
}

fn way_out(part: Part, template: &Template, findings: &mut Vec<Finding>) {
    if !template.uses("unsubscribe_url") {
        findings.push(error(
            Code::NoUnsubscribe,
            part,
            "nobody can unsubscribe from this mail",
            "add {{unsubscribe_url}} as a visible link",
        ));
    }
    if !template.uses("postal_address") {
        findings.push(error(
            Code::NoPostalAddress,
            part,
            "the mail does not say the sender's postal address",
            "add {{postal_address}}; its text is set once, in the settings",
        ));
    }
}

/// A value in an attribute without quotes ends at its first blank, and what follows is markup.
fn unquoted(html: &Template, findings: &mut Vec<Finding>) {
    let mut before: &str = "";
    for piece in &html.pieces {
        match piece {
            Piece::Text(text) => before = text,
            Piece::Hole { variable, .. } => {
                // Only within a tag: a text such as `1 + 1 = {{field.sum}}` is none.
                let in_tag = before.rfind('<') > before.rfind('>');
                if in_tag && before.trim_end().ends_with('=') {
                    findings.push(error(
                        Code::UnquotedAttribute,
                        Part::Html,
                        format!("{{{{{variable}}}}} stands in an attribute without quotes"),
                        format!("write =\"{{{{{variable}}}}}\""),
                    ));
                }
                before = "";
            }
        }
    }
}

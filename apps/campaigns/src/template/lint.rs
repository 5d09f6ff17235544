//! What is wrong with a message before anybody gets it: findings with stable codes, for pages and for the launch.
//!
//! An error means that the message must not go out: the law, a carrier or the provider would stop it, or every
//! contact would miss it. A warning means that somebody should look. Each rule here has a consequence that a sales
//! team has met; matters of taste have none. The rules of each channel are in the modules below; this one has the
//! codes and the rules about variables. It reads parsed templates and counts that the caller made; it asks nobody.

mod email;
mod placeholder;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Source, Template, Values, Variable};
use crate::channel::Channel;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The message must not go out like this.
    Error,
    /// It may go out, and somebody should look first.
    Warning,
}

/// Which part of a message a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The subject line of a mail.
    Subject,
    /// The plain text: of a mail, a text message or a voicemail.
    Text,
    /// The HTML of a mail.
    Html,
    /// The message as a whole.
    Message,
}

macro_rules! codes {
    ($($code:ident $name:literal $says:literal,)*) => {
        /// What a finding is, for programs; a code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum Code {
            $(
                #[doc = $says]
                #[serde(rename = $name)]
                $code,
            )*
        }

        impl Code {
            /// Every code, in the order of docs/templates.md.
            pub const ALL: &[Code] = &[$(Code::$code),*];

            /// The code as APIs and pages write it.
            pub fn name(self) -> &'static str {
                match self { $(Code::$code => $name),* }
            }
        }
    };
}

codes! {
    BodyEmpty "body_empty" "There is nothing to send.",
    UnknownVariable "unknown_variable" "A variable that does not exist.",
    MissingValues "missing_values" "Contacts lack a variable that has no default.",
    ForeignPlaceholder "foreign_placeholder" "A placeholder of another program, which would be sent as it is.",
    LinkShortener "link_shortener" "A link through a public shortener.",
    Shouting "shouting" "Capitals or exclamation marks as spam has them.",
    MarkupInText "markup_in_text" "HTML in a part that is shown or spoken as it is.",
    SubjectEmpty "subject_empty" "A mail without a subject.",
    SubjectLong "subject_long" "A subject that most programs cut.",
    SubjectLineBreak "subject_line_break" "A subject of several lines.",
    SubjectFakeReply "subject_fake_reply" "A first mail that poses as a reply.",
    NoUnsubscribe "no_unsubscribe" "A mail without the unsubscribe link.",
    NoPostalAddress "no_postal_address" "A mail without the sender's postal address.",
    NoTextPart "no_text_part" "A mail of HTML only.",
    HtmlClipped "html_clipped" "HTML that Gmail cuts, and with it the unsubscribe link.",
    UnquotedAttribute "unquoted_attribute" "A variable in an attribute without quotes.",
    NoStopWord "no_stop_word" "A first text message that does not say how to end them.",
    SmsTooLong "sms_too_long" "A text message that no provider takes.",
    SmsSegments "sms_segments" "A text message that is paid for several times.",
    SmsUnicode "sms_unicode" "A text message that a few characters make twice as long.",
    SpeechTooLong "speech_too_long" "A voicemail that no provider takes or nobody hears to its end.",
    SpeechLink "speech_link" "A link in spoken words.",
    SpeechNoPhone "speech_no_phone" "A voicemail that does not say which number to call.",
}

/// One thing that is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for programs.
    pub code: Code,
    /// Which part of the message it is about.
    pub part: Part,
    /// What is wrong, for people.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// A message as it is about to be launched, and what is known of those who will get it.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// How it is sent.
    pub channel: Channel,
    /// Whether it is the first message of its channel in the sequence.
    pub first_touch: bool,
    /// The subject of a mail.
    pub subject: Option<&'a Template>,
    /// The plain text; of a text message or voicemail the only part.
    pub text: Option<&'a Template>,
    /// The HTML of a mail.
    pub html: Option<&'a Template>,
    /// The names of the contacts' free fields, without their prefix.
    pub fields: &'a BTreeSet<String>,
    /// How many contacts the message is for.
    pub contacts: u64,
    /// How many of them lack each variable; a variable that is not named is lacked by nobody.
    pub lacking: &'a BTreeMap<Variable, u64>,
    /// The values of a typical contact, for lengths; without them a variable counts as a dozen letters.
    pub sample: Option<&'a Values>,
}

/// Everything wrong with a message, errors first, then in the order of [`Code::ALL`].
pub fn lint(draft: &Draft<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    draft.body(&mut findings);
    draft.variables(&mut findings);
    for (part, template) in draft.parts() {
        placeholder::check(part, template, &mut findings);
        text::check(draft, part, template, &mut findings);
    }
    match draft.channel {
        Channel::Email => email::check(draft, &mut findings),
        Channel::Sms => text::check_sms(draft, &mut findings),
        Channel::Voicemail => text::check_speech(draft, &mut findings),
    }
    findings.sort_by_key(|finding| (finding.severity, finding.code, finding.part));
    findings
}

/// What a variable without a value counts as when lengths are measured: a long first name.
const STAND_IN: &str = "Maximilianus";

impl Draft<'_> {
    fn parts(&self) -> impl Iterator<Item = (Part, &Template)> {
        let mail = self.channel == Channel::Email;
        let subject = self.subject.filter(|_| mail).map(|template| (Part::Subject, template));
        let text = self.text.map(|template| (Part::Text, template));
        let html = self.html.filter(|_| mail).map(|template| (Part::Html, template));
        [subject, text, html].into_iter().flatten()
    }

    fn sample_of(&self, template: &Template) -> String {
        template.sample(self.sample, STAND_IN)
    }

    fn body(&self, findings: &mut Vec<Finding>) {
        let blank = |(part, template): (Part, &Template)| {
            part == Part::Subject || template.sample(self.sample, STAND_IN).trim().is_empty()
        };
        if self.parts().all(blank) {
            findings.push(error(
                Code::BodyEmpty,
                Part::Message,
                "there is nothing to send",
                "write the message",
            ));
        }
    }

    fn variables(&self, findings: &mut Vec<Finding>) {
        for (part, template) in self.parts() {
            for variable in template.variables() {
                let free = variable.field().is_some_and(|field| self.fields.contains(field));
                if variable.known().is_none() && !free {
                    findings.push(self.unknown(part, variable));
                }
            }
        }
        let mut required: Vec<(Part, &Variable)> = Vec::new();
        for (part, template) in self.parts() {
            for variable in template.required() {
                if required.iter().all(|(_, met)| *met != variable) {
                    required.push((part, variable));
                }
            }
        }
        for (part, variable) in required {
            let lacking = self.lacking.get(variable).copied().unwrap_or(0);
            if lacking > 0 {
                findings.push(self.missing(part, variable, lacking));
            }
        }
    }

    fn unknown(&self, part: Part, variable: &Variable) -> Finding {
        let hint = match variable.meant(self.fields.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean {{{{{meant}}}}}?"),
            None if self.fields.is_empty() => {
                "these contacts have no fields of their own; a list's columns become {{field.name}}"
                    .to_owned()
            }
            None => {
                let fields: Vec<&str> = self.fields.iter().take(8).map(String::as_str).collect();
                format!("the contacts' own fields are {}, written {{{{field.name}}}}", fields.join(", "))
            }
        };
        error(Code::UnknownVariable, part, format!("there is no variable {{{{{variable}}}}}"), hint)
    }

    fn missing(&self, part: Part, variable: &Variable, lacking: u64) -> Finding {
        let everybody = lacking >= self.contacts;
        let what = if everybody {
            format!("{{{{{variable}}}}} has no value for any of the {} contacts", self.contacts)
        } else {
            format!("{lacking} of {} contacts lack {{{{{variable}}}}} and will be skipped", self.contacts)
        };
        let hint = match variable.known().map(|known| known.source) {
            Some(Source::Sender) => "set it on the page of the sender".to_owned(),
            Some(Source::Campaign) => "set it on the page of the campaign".to_owned(),
            Some(Source::Message) => {
                "set the public address and the postal address in the settings".to_owned()
            }
            Some(Source::Contact) | None => {
                format!("give a default, as in {{{{{variable}|there}}}}, or complete the list")
            }
        };
        let severity = if everybody { Severity::Error } else { Severity::Warning };
        Finding { severity, code: Code::MissingValues, part, what, hint }
    }
}

fn error(code: Code, part: Part, what: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { severity: Severity::Error, code, part, what: what.into(), hint: hint.into() }
}

fn warning(code: Code, part: Part, what: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, code, part, what: what.into(), hint: hint.into() }
}

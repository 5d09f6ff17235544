//! What plain words can have wrong: shorteners, shouting, markup, and the rules of text messages and voicemail.
//!
//! Sources: the CTIA Messaging Principles for opt-out in the first text message and for public shorteners, Twilio's
//! limits for lengths, 47 CFR 64.1200(b)(2) for the number in a recorded message.

use super::{Code, Draft, Finding, Part, Severity, error, warning};
use crate::{
    channel::Channel,
    template::{Template, sms},
};

/// Public shorteners: carriers drop texts with them, because the link hides where it goes.
const SHORTENERS: &[&str] = &[
    "bit.ly",
    "buff.ly",
    "cutt.ly",
    "goo.gl",
    "is.gd",
    "lnkd.in",
    "ow.ly",
    "rb.gy",
    "rebrand.ly",
    "shorturl.at",
    "t.co",
    "t.ly",
    "tiny.cc",
    "tinyurl.com",
    "v.gd",
];
/// What a first text message may call the way out; each stands in the table of words that are obeyed.
/// The others (`end`, `quit`, `cancel`) are left out: as words of a sentence they say nothing.
const STOP_WORDS: [&str; 3] = ["stop", "unsubscribe", "optout"];
/// Above so many segments a text costs as much as a conversation.
const MANY_SEGMENTS: usize = 3;
/// A part with fewer letters may be all capitals: `FYI: Q3`.
const MIN_LETTERS: usize = 12;
/// The share of capitals, in percent, above which words shout.
const SHOUTING_PERCENT: usize = 70;
/// Three exclamation marks in a row.
const EXCLAIMING: &str = "!!!";
/// Tags that show that HTML was pasted where text belongs.
const TAGS: &[&str] = &["<p>", "<p ", "</", "<br", "<div", "<a ", "<b>", "<html", "&nbsp;"];
/// The longest voicemail, in characters: what the provider takes for a call's instructions is 4,000 with their markup.
const MAX_SPEECH_CHARS: usize = 3_500;
/// The longest voicemail that is heard to its end: a minute at 150 words.
const LONG_SPEECH_WORDS: usize = 150;
/// How many digits, dashes and blanks aside, make a phone number that a text says aloud.
const SPOKEN_NUMBER_DIGITS: usize = 7;

pub(super) fn check(draft: &Draft<'_>, part: Part, template: &Template, findings: &mut Vec<Finding>) {
    let words: String = template.texts().collect::<Vec<_>>().join(" ");
    let folded = words.to_lowercase();
    if let Some(shortener) = SHORTENERS.iter().find(|shortener| has_host(&folded, shortener)) {
        // Carriers drop such a text; a mail is only trusted less.
        let severity = if draft.channel == Channel::Sms { Severity::Error } else { Severity::Warning };
        findings.push(Finding {
            severity,
            code: Code::LinkShortener,
            part,
            what: format!("a link through {shortener} hides where it goes, and filters stop it"),
            hint: "link to your own domain".to_owned(),
        });
    }
    if part != Part::Html && shouts(&words) {
        findings.push(warning(
            Code::Shouting,
            part,
            "it is written in capitals or with !!!, as spam is",
            "write it as to one person",
        ));
    }
    if part != Part::Html && TAGS.iter().any(|tag| folded.contains(tag)) {
        findings.push(warning(
            Code::MarkupInText,
            part,
            "HTML here is shown or spoken as it stands",
            "write plain text, or move it to the HTML part of a mail",
        ));
    }
}

pub(super) fn check_sms(draft: &Draft<'_>, findings: &mut Vec<Finding>) {
    let Some(template) = draft.text else { return };
    let text = draft.sample_of(template);
    let size = sms::size(&text);
    let mut found = |finding| findings.push(finding);
    if draft.first_touch && !text.trim().is_empty() && !says_stop(template) {
        found(error(
            Code::NoStopWord,
            Part::Text,
            "the first text does not say how to end them, and carriers require it",
            "add: Reply STOP to opt out",
        ));
    }
    if size.chars > sms::MAX_CHARS {
        found(error(
            Code::SmsTooLong,
            Part::Text,
            format!("about {} characters, and a text has at most {}", size.chars, sms::MAX_CHARS),
            "shorten it, or send a mail",
        ));
    } else if size.segments > MANY_SEGMENTS {
        found(warning(
            Code::SmsSegments,
            Part::Text,
            format!("about {} segments, each paid for as a text", size.segments),
            "shorten it",
        ));
    }
    if size.encoding == sms::Encoding::Ucs2 {
        unicode(&text, size.segments, findings);
    }
}

/// Worth a finding only when plainer characters would make the message cheaper.
fn unicode(text: &str, segments: usize, findings: &mut Vec<Finding>) {
    let plainer = sms::size(&sms::plainer(text));
    if plainer.segments >= segments {
        return;
    }
    let changes: Vec<String> = sms::costly(text)
        .iter()
        .filter_map(|costly| costly.instead.map(|instead| format!("{:?} for {:?}", instead, costly.found)))
        .take(5)
        .collect();
    findings.push(warning(
        Code::SmsUnicode,
        Part::Text,
        format!("a few characters make it {segments} segments; with plainer ones it is {}", plainer.segments),
        format!("write {}", changes.join(", ")),
    ));
}

pub(super) fn check_speech(draft: &Draft<'_>, findings: &mut Vec<Finding>) {
    let Some(template) = draft.text else { return };
    let text = draft.sample_of(template);
    let chars = text.chars().count();
    let words = text.split_whitespace().count();
    let mut found = |finding| findings.push(finding);
    if chars > MAX_SPEECH_CHARS {
        found(error(
            Code::SpeechTooLong,
            Part::Text,
            format!("about {chars} characters, and a call takes {MAX_SPEECH_CHARS}"),
            "shorten it to half a minute, some 75 words",
        ));
    } else if words > LONG_SPEECH_WORDS {
        found(warning(
            Code::SpeechTooLong,
            Part::Text,
            format!("about {words} words take more than a minute to say, and mailboxes hang up"),
            "shorten it to half a minute, some 75 words",
        ));
    }
    if ["http://", "https://", "www."].iter().any(|link| text.to_lowercase().contains(link)) {
        found(warning(
            Code::SpeechLink,
            Part::Text,
            "a link is spelled out letter by letter",
            "say a short name of a page, or send the link by mail",
        ));
    }
    let is_said = template.uses("sender.phone") || template.texts().any(has_number);
    if !is_said && !text.trim().is_empty() {
        found(error(
            Code::SpeechNoPhone,
            Part::Text,
            "the message does not say which number to call to end such calls",
            "add {{sender.phone}}",
        ));
    }
}

/// Whether `host` stands in the text as the host of a link, not as the end of another name.
fn has_host(folded: &str, host: &str) -> bool {
    folded.match_indices(host).any(|(at, _)| {
        let before = folded[..at].chars().next_back();
        let after = folded[at + host.len()..].chars().next();
        let part_of_name = |c: char| c.is_alphanumeric() || c == '-';
        let continues = |c: char| part_of_name(c) || c == '.';
        let own_subdomain = folded[..at].ends_with("www.");
        // A name that goes on is another host; a sentence may end behind this one.
        before.is_none_or(|c| !continues(c) || own_subdomain) && after.is_none_or(|c| !part_of_name(c))
    })
}

fn shouts(words: &str) -> bool {
    let letters = words.chars().filter(|c| c.is_alphabetic()).count();
    let capitals = words.chars().filter(|c| c.is_uppercase()).count();
    words.contains(EXCLAIMING)
        || (letters >= MIN_LETTERS
            && capitals * 100 > letters * SHOUTING_PERCENT
            && words.trim().contains(' '))
}

fn says_stop(template: &Template) -> bool {
    let says = |text: &str| {
        let folded = text.to_lowercase().replace("opt out", "optout").replace("opt-out", "optout");
        folded.split(|c: char| !c.is_alphanumeric()).any(|word| STOP_WORDS.contains(&word))
    };
    template.texts().any(says)
}

fn has_number(text: &str) -> bool {
    let joined = text.replace(['-', '.', '(', ')', ' '], "");
    joined.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() >= SPOKEN_NUMBER_DIGITS)
}

//! What a contact wrote back: an order to stop, a wish to hear more, a cry for help, something a person should read,
//! or an answer.
//!
//! The words are a table, not code. An order is a message of nothing but the word, with whatever politeness and
//! punctuation: it is obeyed at once and without a person. A message that wants out in its own words ("please take me
//! off your list") goes to a person the same day: the rule of the FCC since April 2025 is that any reasonable words
//! count, and a program that guessed would be wrong in both directions. What goes to review is generous for that
//! reason: a person's glance costs less than one more message to somebody who said no.
//!
//! It does not know who wrote, nor what becomes of it.

/// Alone, these end messages: the carriers' and Twilio's list, with REVOKE and OPTOUT as of May 2025.
pub const STOP: &[&str] = &["stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"];
/// Alone, these bring back a contact who had ended them.
pub const START: &[&str] = &["start", "unstop", "yes"];
/// Alone, these ask who writes.
pub const HELP: &[&str] = &["help", "info"];

/// What may stand with a stop word without changing what it orders.
const POLITE: &[&str] = &[
    "please",
    "pls",
    "plz",
    "kindly",
    "thanks",
    "thank",
    "you",
    "thx",
    "ty",
    "now",
    "immediately",
    "ok",
    "okay",
    "hi",
    "hello",
    "hey",
];
/// Two words that mean one.
const JOINED: &[(&str, &str, &str)] =
    &[("opt", "out", "optout"), ("stop", "all", "stopall"), ("un", "subscribe", "unsubscribe")];
/// The most words of an order; longer is a sentence.
const MAX_ORDER_WORDS: usize = 6;

/// Anywhere in a message, these are for a person to read.
const REVIEW_WORDS: &[&str] = &[
    "stop",
    "stopall",
    "unsubscribe",
    "unsubscribed",
    "unsub",
    "optout",
    "revoke",
    "spam",
    "spamming",
    "scam",
    "harassment",
    "harassing",
    "lawyer",
    "attorney",
    "tcpa",
    "deceased",
    // Spanish.
    "alto",
    "pare",
    "parar",
    "basta",
    "detener",
];
/// These only when the message begins with them: later they are words of an answer ("the end of May").
const REVIEW_FIRST: &[&str] = &["cancel", "end", "quit", "cancelar"];
/// Words in a row that are for a person to read.
const REVIEW_PHRASES: &[&str] = &[
    "remove me",
    "remove my",
    "remove this number",
    "remove from",
    "delete me",
    "delete my",
    "take me off",
    "take my",
    "take us off",
    "opt me out",
    "opting out",
    "opted out",
    "wrong number",
    "wrong person",
    "wrong email",
    "wrong address",
    "not interested",
    "no interest",
    "lose my number",
    "lose this number",
    "leave me alone",
    "leave us alone",
    "go away",
    "do not call",
    "dont call",
    "do not disturb",
    "no consent",
    "never consented",
    "never signed up",
    "did not sign up",
    "didnt sign up",
    "how did you get my",
    "who gave you my",
    "where did you get my",
    "off your list",
    "off this list",
    "off the list",
    "mailing list",
    "no longer works",
    "no longer work here",
    "no longer with",
    "passed away",
    "report you",
    "reporting you",
    "no gracias",
    "no me escriba",
    "no me escriban",
    "no me llame",
    "no mas",
    "no más",
];
/// What ends something, in front of a word of [`CONTACTING`] with at most one word between.
const ENDING: &[&str] =
    &["no more", "do not", "dont", "never", "quit", "cease", "not want", "dont want", "end", "block"];
/// What is to end.
const CONTACTING: &[&str] = &[
    "text",
    "texts",
    "texting",
    "message",
    "messages",
    "messaging",
    "msg",
    "msgs",
    "call",
    "calls",
    "calling",
    "contact",
    "contacting",
    "email",
    "emails",
    "emailing",
    "mail",
    "mails",
    "mailing",
    "send",
    "sending",
    "write",
    "writing",
    "bother",
    "bothering",
    "sms",
    "voicemail",
    "voicemails",
    "solicit",
    "solicitations",
];
/// How much of a message is read; what follows in a longer one is quoted or copied.
const MAX_CHARS: usize = 4_000;

/// What an inbound message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// An order to end messages; obeyed at once.
    Stop {
        /// The word, in lower case, as in [`STOP`].
        word: &'static str,
    },
    /// A wish to get messages again, of a contact who had ended them by text; of any other it is an answer, for `yes`
    /// is one.
    Start {
        /// The word, in lower case, as in [`START`].
        word: &'static str,
    },
    /// A question who writes; answered with the sender's name and the way out.
    Help,
    /// Perhaps a wish to end messages, in the contact's own words; a person reads it.
    Review {
        /// What in it looked so.
        found: &'static str,
    },
    /// An answer.
    Reply,
}

/// What a text message is. Capitals, punctuation and blanks do not count.
pub fn classify(text: &str) -> Inbound {
    let text: String = text.chars().take(MAX_CHARS).collect();
    let words = words(&text);
    let alone = |table: &'static [&'static str]| match &words[..] {
        [only] => table.iter().find(|word| *word == only).copied(),
        _ => None,
    };
    if let Some(word) = order(&words) {
        Inbound::Stop { word }
    } else if let Some(word) = alone(START) {
        Inbound::Start { word }
    } else if alone(HELP).is_some() {
        Inbound::Help
    } else {
        review(&words).map_or(Inbound::Reply, |found| Inbound::Review { found })
    }
}

/// What a mail is: by its subject, when that is nothing but a stop word, and by what its writer wrote above what is
/// quoted. Quoted text is left out because our own foot with the word unsubscribe comes back in every answer.
///
/// Never `Start` or `Help`: those are words of text messages, and in a mail `Yes` is an answer.
pub fn classify_mail(subject: &str, text: &str) -> Inbound {
    if let Inbound::Stop { word } = classify(subject) {
        return Inbound::Stop { word };
    }
    let own = without_quotes(text);
    // A stop word on a line of its own, above a signature.
    let first = own.lines().find(|line| !line.trim().is_empty()).map_or(Inbound::Reply, classify);
    match first {
        Inbound::Stop { word } => Inbound::Stop { word },
        _ => match classify(own) {
            found @ (Inbound::Stop { .. } | Inbound::Review { .. }) => found,
            Inbound::Start { .. } | Inbound::Help | Inbound::Reply => Inbound::Reply,
        },
    }
}

/// The stop word of a message that says nothing else.
fn order(words: &[String]) -> Option<&'static str> {
    let stop = |word: &String| STOP.iter().find(|stop| *stop == word).copied();
    let polite = |word: &String| POLITE.contains(&word.as_str());
    let only =
        words.len() <= MAX_ORDER_WORDS && words.iter().all(|word| polite(word) || stop(word).is_some());
    only.then(|| words.iter().find_map(stop)).flatten()
}

fn review(words: &[String]) -> Option<&'static str> {
    let found =
        |table: &'static [&'static str], word: &String| table.iter().find(|listed| *listed == word).copied();
    let anywhere = words.iter().find_map(|word| found(REVIEW_WORDS, word));
    let first = || found(REVIEW_FIRST, words.first()?);
    let phrase = || REVIEW_PHRASES.iter().find(|phrase| places(words, phrase).next().is_some()).copied();
    let ending = || {
        ENDING.iter().copied().find(|ending| {
            places(words, ending)
                .any(|after| words[after..].iter().take(2).any(|word| CONTACTING.contains(&word.as_str())))
        })
    };
    anywhere.or_else(first).or_else(phrase).or_else(ending)
}

/// Where in `words` those of `phrase` stand in a row: each time the place behind them.
fn places<'a>(words: &'a [String], phrase: &'a str) -> impl Iterator<Item = usize> + 'a {
    let length = phrase.split(' ').count();
    let runs = words.windows(length).enumerate();
    runs.filter(move |(_, run)| run.iter().map(String::as_str).eq(phrase.split(' ')))
        .map(move |(at, _)| at + length)
}

/// The words in lower case, without apostrophes; two that mean one are joined.
fn words(text: &str) -> Vec<String> {
    let plain: String =
        text.to_lowercase().chars().filter(|c| !matches!(c, '\'' | '’' | '‘' | '`' | '´')).collect();
    let mut words: Vec<String> = Vec::new();
    for word in plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let joined = words.last().and_then(|last| JOINED.iter().find(|(a, b, _)| a == last && *b == word));
        match joined {
            Some((_, _, joined)) => {
                words.pop();
                words.push((*joined).to_owned());
            }
            None => words.push(word.to_owned()),
        }
    }
    words
}

/// How a line begins below which somebody else's words stand, as Outlook writes it in the languages of our users.
const QUOTE_HEADS: &[&str] =
    &["-----Original Message", "-----Urspr", "-----Message d", "From: ", "Von: ", "De : ", "De: ", "Da: "];

/// What stands above the first quoted line, the usual head of a quote, or a signature.
pub(crate) fn without_quotes(text: &str) -> &str {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let next = text[at + line.len()..].lines().next().unwrap_or_default().trim();
        let head = ["On ", "Am ", "Le ", "El "].iter().any(|start| trimmed.starts_with(start))
            && (trimmed.ends_with(':') || next.ends_with(':'))
            && [trimmed, next].iter().any(|line| line.contains(|c: char| c == '@' || c.is_ascii_digit()));
        let quoted = trimmed.starts_with('>')
            || head
            || QUOTE_HEADS.iter().any(|start| trimmed.starts_with(start))
            || (trimmed.len() >= 10 && trimmed.bytes().all(|byte| byte == b'_'))
            || line.trim_end() == "--";
        if quoted {
            return &text[..at];
        }
        at += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stop_word_alone_is_an_order_however_it_is_written() {
        for word in STOP {
            for written in [
                word.to_string(),
                word.to_uppercase(),
                format!(" {word}.\n"),
                format!("\"{word}\"!!!"),
                format!("🛑{word}🛑"),
            ] {
                assert_eq!(classify(&written), Inbound::Stop { word }, "{written:?}");
            }
        }
        for (written, word) in [
            ("stop please", "stop"),
            ("Please STOP, thank you", "stop"),
            ("STOP STOP STOP", "stop"),
            ("Opt out", "optout"),
            ("OPT-OUT", "optout"),
            ("Stop all", "stopall"),
            ("un-subscribe now", "unsubscribe"),
        ] {
            assert_eq!(classify(written), Inbound::Stop { word }, "{written}");
        }
    }

    #[test]
    fn words_that_bring_back_and_ask_stand_alone() {
        assert_eq!(classify("Yes!"), Inbound::Start { word: "yes" });
        assert_eq!(classify("UNSTOP"), Inbound::Start { word: "unstop" });
        assert_eq!(classify("start"), Inbound::Start { word: "start" });
        assert_eq!((classify("HELP?"), classify("info")), (Inbound::Help, Inbound::Help));
        for answer in
            ["yes please", "Yes, call me on Monday", "can you help me?", "more info", "let's start in May"]
        {
            assert_eq!(classify(answer), Inbound::Reply, "{answer}");
        }
    }

    #[test]
    fn a_wish_to_end_messages_in_other_words_goes_to_a_person() {
        for wish in [
            "please stop texting me",
            "Take me off your list",
            "wrong number",
            "remove me",
            "Who is this? Don’t text me again",
            "dont ever call me",
            "I do not want emails from you",
            "no more messages",
            "quit texting",
            "I'd like to unsubscribe",
            "cancel my subscription",
            "End this",
            "Not interested",
            "STOP or YES",
            "START, STOP",
            "stop it",
            "how did you get my number",
            "No me escriban más",
            "unsubscribe ann@example.com",
            "He passed away last year",
        ] {
            assert!(matches!(classify(wish), Inbound::Review { .. }), "{wish}: {:?}", classify(wish));
        }
    }

    #[test]
    fn an_answer_is_an_answer() {
        for answer in [
            "",
            "   ",
            "!!!",
            "Sounds good, call me",
            "Can we meet at the end of May?",
            "I can't make it, we had to cancel the trip",
            "What does it cost?",
            "Send me an email",
            "unstoppable",
            "The backend is down",
            "I'm out until Monday",
        ] {
            assert_eq!(classify(answer), Inbound::Reply, "{answer}");
        }
    }

    #[test]
    fn of_a_mail_only_what_its_writer_wrote_counts() {
        let foot = "\n> Reply STOP or unsubscribe: https://example.com/u/x\n";
        let reply = format!("Sounds good.\n\nOn Tue, 3 Mar 2026, Ann <ann@example.com> wrote:{foot}");
        assert_eq!(classify_mail("Re: Stop losing money", &reply), Inbound::Reply);
        for head in [
            "On Tue, 3 Mar 2026 at 10:00, Ann\n<ann@example.com> wrote:",
            "-----Original Message-----",
            "From: Ann",
            "Von: Ann <ann@example.com>",
            "-----Ursprüngliche Nachricht-----",
            "________________",
            "-- ",
        ] {
            let text = format!("Yes\n\n{head}\nunsubscribe\n");
            assert_eq!(classify_mail("Re: hello", &text), Inbound::Reply, "{head}");
            let text = format!("Please remove me\n{head}\nhello\n");
            assert!(matches!(classify_mail("Re: hello", &text), Inbound::Review { .. }), "{head}");
        }
        assert_eq!(classify_mail("unsubscribe", ""), Inbound::Stop { word: "unsubscribe" });
        assert_eq!(
            classify_mail("Re: hello", "\nStop.\n\nAnn Smith\nExample Inc."),
            Inbound::Stop { word: "stop" }
        );
        assert_eq!(classify_mail("Re: hello", "On Monday we can talk"), Inbound::Reply);
        let colon = classify_mail("Re: hello", "On second thought:\nremove me");
        assert!(matches!(colon, Inbound::Review { .. }), "{colon:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_something_and_a_stop_word_is_never_a_mere_answer(
            text in any::<String>(), word in prop::sample::select(STOP),
        ) {
            let _ = (classify(&text), classify_mail(&text, &text));
            let order = format!(" {}! ", word.to_uppercase());
            prop_assert_eq!(classify(&order), Inbound::Stop { word });
            let within = format!("{text} stop {text}");
            if within.chars().count() < MAX_CHARS {
                prop_assert!(matches!(classify(&within), Inbound::Stop { .. } | Inbound::Review { .. }), "{}", within);
            }
        }
    }
}

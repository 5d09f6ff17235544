//! Numbers that always fail, as the real API has for tests, and what the provider takes for a number.

/// The numbers that no sender may have, of texts and of calls (from Twilio's page on test credentials).
const BAD_TEXT_SENDERS: [(&str, u32); 3] =
    [("+15005550001", 21212), ("+15005550007", 21606), ("+15005550008", 21611)];
const BAD_CALL_SENDERS: [(&str, u32); 3] =
    [("+15005550001", 21212), ("+15005550007", 21210), ("+15005550008", 21210)];
const BAD_TEXT_RECIPIENTS: [(&str, u32); 5] = [
    ("+15005550001", 21211),
    ("+15005550002", 21612),
    ("+15005550003", 21408),
    ("+15005550004", 21610),
    ("+15005550009", 21614),
];
const BAD_CALL_RECIPIENTS: [(&str, u32); 4] =
    [("+15005550001", 21217), ("+15005550002", 21214), ("+15005550003", 21215), ("+15005550004", 21216)];

fn listed(numbers: &[(&str, u32)], number: &str) -> Option<u32> {
    numbers.iter().find(|(bad, _)| *bad == number).map(|(_, code)| *code)
}

pub(super) fn bad_text_sender(number: &str) -> Option<u32> {
    listed(&BAD_TEXT_SENDERS, number)
}

pub(super) fn bad_call_sender(number: &str) -> Option<u32> {
    listed(&BAD_CALL_SENDERS, number)
}

pub(super) fn bad_text_recipient(number: &str) -> Option<u32> {
    listed(&BAD_TEXT_RECIPIENTS, number)
}

pub(super) fn bad_call_recipient(number: &str) -> Option<u32> {
    listed(&BAD_CALL_RECIPIENTS, number)
}

/// Whether it is a number in the form of E.164.
pub(super) fn is_number(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether texts may come from it: a number, a short code of five or six digits, or a name of at most eleven letters.
pub(super) fn is_text_sender(from: &str) -> bool {
    let short_code = matches!(from.len(), 5 | 6) && from.bytes().all(|byte| byte.is_ascii_digit());
    let name = from.len() <= 11
        && from.bytes().any(|byte| byte.is_ascii_alphabetic())
        && from.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" +-_&".contains(&byte));
    is_number(from) || short_code || name
}

/// A number as calls show it beside the plain one: `(415) 555-1212` for North America, the number itself elsewhere.
pub(super) fn formatted(number: &str) -> String {
    match number.strip_prefix("+1") {
        Some(digits) if digits.len() == 10 && digits.is_ascii() => {
            format!("({}) {}-{}", &digits[..3], &digits[3..6], &digits[6..])
        }
        _ => number.to_owned(),
    }
}

/// What a person's text does to the texts that they get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Stop,
    Start,
}

/// The provider's own reading of a text: one word, in any case (its standard keywords since May 2025).
pub(super) fn keyword(body: &str) -> Option<Keyword> {
    match body.trim().to_ascii_uppercase().as_str() {
        "STOP" | "STOPALL" | "UNSUBSCRIBE" | "CANCEL" | "END" | "QUIT" | "REVOKE" | "OPTOUT" => {
            Some(Keyword::Stop)
        }
        "START" | "YES" | "UNSTOP" => Some(Keyword::Start),
        _ => None,
    }
}

/// The characters of the GSM alphabet that take one place (3GPP TS 23.038, section 6.2.1).
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those that take two.
const GSM_EXTENDED: &str = "^{}\\[~]|€\u{c}";

/// How many messages a text is on the air: what Twilio counts as `num_segments` and bills.
pub(super) fn segments(body: &str) -> usize {
    let places: Option<usize> = body.chars().try_fold(0, |sum, c| {
        let places = if GSM.contains(c) { 1 } else { 2 * usize::from(GSM_EXTENDED.contains(c)) };
        (places > 0).then_some(sum + places)
    });
    let (length, alone, each) = match places {
        Some(places) => (places, 160, 153),
        None => (body.encode_utf16().count(), 70, 67),
    };
    if length <= alone { 1 } else { length.div_ceil(each) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_segment_up_to_160_or_70_characters_and_shorter_ones_beyond() {
        for (body, expected) in [
            ("x".repeat(160), 1),
            ("x".repeat(161), 2),
            ("x".repeat(306), 2),
            ("x".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            ("✓".repeat(70), 1),
            ("✓".repeat(71), 2),
            ("😀".repeat(35), 1),
            ("😀".repeat(36), 2),
        ] {
            assert_eq!(segments(&body), expected, "{} characters", body.chars().count());
        }
    }

    #[test]
    fn a_word_alone_stops_and_a_sentence_does_not() {
        assert_eq!(keyword(" stop\n"), Some(Keyword::Stop));
        assert_eq!(keyword("Revoke"), Some(Keyword::Stop));
        assert_eq!(keyword("UNSTOP"), Some(Keyword::Start));
        assert_eq!(keyword("please stop"), None);
    }

    #[test]
    fn senders_are_numbers_short_codes_or_names() {
        for good in ["+15005550006", "12345", "123456", "Windlass", "A-1 Cars"] {
            assert!(is_text_sender(good), "{good}");
        }
        for bad in ["", "1234", "15005550006", "TwelveLetters", "+1500555abcd"] {
            assert!(!is_text_sender(bad), "{bad}");
        }
        assert_eq!(formatted("+15005550006"), "(500) 555-0006");
        assert_eq!(formatted("+442071838750"), "+442071838750");
    }
}

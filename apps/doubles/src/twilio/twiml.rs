//! What a call says: the words of a TwiML document, as a person at the phone hears them.
//!
//! It reads the few elements that speak, and the texts of a reply to a message. It is no XML parser: comments, CDATA
//! and names with prefixes are not known, and a document with them is refused as one that Twilio could not read.

/// One element of a document, flat: what stands inside `<Say>` belongs to it, whatever it is wrapped in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verb {
    pub(super) name: String,
    pub(super) text: String,
}

/// The longest document (Twilio's own limit for inline TwiML).
pub(super) const MAX_TWIML_CHARS: usize = 4_000;

/// The verbs of a document, or nothing when it is none.
pub(super) fn verbs(document: &str) -> Option<Vec<Verb>> {
    let mut rest = document.trim_start_matches('\u{feff}').trim();
    if rest.starts_with("<?xml") {
        rest = rest.split_once("?>")?.1.trim_start();
    }
    let mut open: Vec<String> = Vec::new();
    let mut verbs: Vec<Verb> = Vec::new();
    while !rest.is_empty() {
        let (text, behind) = rest.split_once('<').unwrap_or((rest, ""));
        let text = unescaped(text)?;
        match (open.len(), verbs.last_mut()) {
            (2.., Some(verb)) => verb.text.push_str(&text),
            _ if text.trim().is_empty() => {}
            _ => return None,
        }
        if behind.is_empty() {
            break;
        }
        let (tag, behind) = behind.split_once('>')?;
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop()? != name.trim() {
                return None;
            }
            continue;
        }
        let closed = tag.ends_with('/');
        let name = tag.trim_end_matches('/').split_ascii_whitespace().next()?;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return None;
        }
        match open.len() {
            0 if name != "Response" || !verbs.is_empty() => return None,
            1 => verbs.push(Verb { name: name.to_owned(), text: String::new() }),
            _ => {}
        }
        if !closed {
            open.push(name.to_owned());
        } else if open.is_empty() {
            return rest.trim().is_empty().then_some(verbs);
        }
    }
    (open.is_empty() && document.contains("<Response")).then_some(verbs)
}

/// What is heard: the words of `<Say>`, the addresses of `<Play>`.
pub(super) fn said(verbs: &[Verb]) -> String {
    let heard = verbs.iter().filter_map(|verb| {
        let text = verb.text.split_whitespace().collect::<Vec<_>>().join(" ");
        match verb.name.as_str() {
            "Say" => Some(text),
            "Play" => Some(format!("[plays {text}]")),
            _ => None,
        }
    });
    heard.collect::<Vec<_>>().join(" ")
}

fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        plain.push_str(before);
        let (entity, behind) = behind.split_once(';')?;
        rest = behind;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            entity => {
                let number = entity.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(document: &str) -> Option<String> {
        verbs(document).map(|verbs| said(&verbs))
    }

    #[test]
    fn a_person_hears_what_is_said_and_played() {
        let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>\n <Pause length=\"1\"/>\n\
            <Say voice=\"alice\">Hello &lt;you&gt; &amp; <break time=\"1s\"/>all&#x21;</Say>\
            <Play>http://x/a.mp3</Play><Hangup/></Response>\n";
        assert_eq!(heard(document).as_deref(), Some("Hello <you> & all! [plays http://x/a.mp3]"));
        assert_eq!(heard("<Response/>").as_deref(), Some(""));
        assert_eq!(heard("<Response></Response>").as_deref(), Some(""));
    }

    #[test]
    fn what_is_no_twiml_says_nothing() {
        for nonsense in [
            "",
            "hello",
            "<html></html>",
            "<Response><Say>x</Response>",
            "<Response><Say>x</Say>",
            "<Response>loose</Response>",
            "<Response><Say>a & b</Say></Response>",
            "<Response/><Response/>",
            "<Response><Say>&#xD800;</Say></Response>",
            "<",
        ] {
            assert_eq!(heard(nonsense), None, "{nonsense:?}");
        }
    }
}

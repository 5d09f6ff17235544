//! A call that leaves a message, as the provider's API takes it.
//!
//! It only describes the call. Whether a call whose reply was lost may be placed again is its caller's decision:
//! a second call is worse than a second mail, and the provider's list cannot prove that there was none.

/// One call to one phone.
#[derive(Clone, Copy, Debug)]
pub struct Voicemail<'a> {
    /// The recipient's number, in E.164.
    pub to: &'a str,
    /// The number that it comes from, in E.164.
    pub from: &'a str,
    /// What happens when the call is answered.
    pub twiml: Twiml<'a>,
    /// Where the provider reports on its way.
    pub status_callback: Option<&'a str>,
    /// How the provider tells a person from a machine.
    pub machine_detection: MachineDetection<'a>,
    /// How long it may ring, in seconds; the provider's own 60 when absent.
    pub ring_s: Option<u16>,
    /// Headers of the request, for tracing; the recipient never sees them.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What an answered call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twiml<'a> {
    /// Speaks these words; any character is safe.
    Inline(&'a str),
    /// Asks this address for instructions.
    Url(&'a str),
}

/// How the provider tells a person from a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineDetection<'a> {
    /// Not at all: the call speaks at once.
    Off,
    /// The call waits for the end of a machine's greeting, so that the message is not spoken into it; who answered
    /// comes with the call's last status callback.
    BeforeSpeech,
    /// The call speaks at once, and who answered is reported to this address.
    Aside(&'a str),
}

/// The events of a call that are reported; without `completed` nobody would hear of its end.
const CALL_EVENTS: [&str; 4] = ["initiated", "ringing", "answered", "completed"];

impl Voicemail<'_> {
    /// The fields of the request.
    pub(super) fn form(&self) -> Vec<(&'static str, String)> {
        let mut form = vec![("To", self.to.to_owned()), ("From", self.from.to_owned())];
        match self.twiml {
            Twiml::Inline(speech) => {
                form.push(("Twiml", format!("<Response><Say>{}</Say></Response>", escaped(speech))));
            }
            Twiml::Url(url) => form.push(("Url", url.to_owned())),
        }
        if self.machine_detection != MachineDetection::Off {
            form.push(("MachineDetection", "DetectMessageEnd".to_owned()));
        }
        if let MachineDetection::Aside(url) = self.machine_detection {
            form.push(("AsyncAmd", "true".to_owned()));
            form.push(("AsyncAmdStatusCallback", url.to_owned()));
        }
        if let Some(url) = self.status_callback {
            form.push(("StatusCallback", url.to_owned()));
            form.extend(CALL_EVENTS.map(|event| ("StatusCallbackEvent", event.to_owned())));
        }
        form.extend(self.ring_s.map(|seconds| ("Timeout", seconds.to_string())));
        form
    }
}

/// A text as it stands between two tags of XML or HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML 1.0 has no way to write control characters, not even escaped.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoken_text_cannot_add_instructions_to_the_call() {
        assert_eq!(escaped("a</Say><Dial>1</Dial>&\u{1}"), "a&lt;/Say&gt;&lt;Dial&gt;1&lt;/Dial&gt;&amp; ");
    }
}

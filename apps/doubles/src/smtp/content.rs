//! The content half of an SMTP conversation: where a message ends, how large it is, what its header says.
//!
//! A message ends with CRLF, dot, CRLF and with nothing else: servers that also take a bare LF there can be made
//! to see two messages in one. The body is counted, and held only for an inbox.

use crate::log::{CAMPAIGN_HEADER, JOB_HEADER, logged};

/// How much of a message's header is held; the fields of interest stand in the first kilobyte of any real one.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// A message on its way in, fed piece by piece.
#[derive(Debug)]
pub(super) struct Content {
    at: At,
    header: Vec<u8>,
    header_done: bool,
    line_bytes: u64,
    bytes: u64,
    /// All of it, where somebody wants to read it.
    held: Option<Vec<u8>>,
}

/// The fields of a header that go into the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) message_id: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) list_unsubscribe: Option<String>,
    pub(super) list_unsubscribe_post: Option<String>,
    pub(super) job: Option<String>,
    pub(super) campaign: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    /// After a dot at the start of a line.
    Dot,
    /// After a dot and CR at the start of a line.
    DotCr,
    Line,
    Cr,
    End,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            at: At::LineStart,
            header: Vec::new(),
            header_done: false,
            line_bytes: 0,
            bytes: 0,
            held: None,
        }
    }
}

impl Content {
    /// A message that is not only counted but held; its size is bounded by whoever feeds it.
    pub(super) fn to_be_held() -> Self {
        Self { held: Some(Vec::new()), ..Self::default() }
    }

    pub(super) fn take_held(&mut self) -> Option<Vec<u8>> {
        self.held.take()
    }

    /// Takes bytes up to the end of the message and says how many; the rest are commands.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
        for (used, &byte) in bytes.iter().enumerate() {
            if self.at == At::End {
                return used;
            }
            self.step(byte);
        }
        bytes.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.at == At::End
    }

    /// Its header as it came, or the beginning of one that is too long to be held.
    pub(super) fn header(&self) -> String {
        String::from_utf8_lossy(&self.header).into_owned()
    }

    /// The size of the message so far, without the dots that transport adds.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn step(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (At::LineStart, b'.') => At::Dot,
            (At::Dot, b'\r') => At::DotCr,
            (At::DotCr, b'\n') => At::End,
            (At::DotCr, _) => {
                // The dot was stuffing after all; the CR behind it belongs to the line.
                self.keep(b'\r');
                self.at = At::Cr;
                return self.step(byte);
            }
            (At::Cr, b'\n') => {
                self.keep(byte);
                self.header_done |= self.line_bytes == 0;
                self.line_bytes = 0;
                At::LineStart
            }
            (_, b'\r') => {
                self.keep(byte);
                At::Cr
            }
            (_, _) => {
                self.keep(byte);
                self.line_bytes += 1;
                At::Line
            }
        };
    }

    fn keep(&mut self, byte: u8) {
        self.bytes += 1;
        if let Some(held) = &mut self.held {
            held.push(byte);
        }
        if !self.header_done && self.header.len() < MAX_HEADER_BYTES {
            self.header.push(byte);
        }
    }

    /// The fields of interest, unfolded; the first of each name counts.
    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        let mut lines = self.header.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let name = line[..colon].trim_ascii();
            let slot = if name.eq_ignore_ascii_case(b"message-id") {
                &mut fields.message_id
            } else if name.eq_ignore_ascii_case(b"subject") {
                &mut fields.subject
            } else if name.eq_ignore_ascii_case(b"list-unsubscribe") {
                &mut fields.list_unsubscribe
            } else if name.eq_ignore_ascii_case(b"list-unsubscribe-post") {
                &mut fields.list_unsubscribe_post
            } else if name.eq_ignore_ascii_case(JOB_HEADER.as_bytes()) {
                &mut fields.job
            } else if name.eq_ignore_ascii_case(CAMPAIGN_HEADER.as_bytes()) {
                &mut fields.campaign
            } else {
                continue;
            };
            let mut value = line[colon + 1..].trim_ascii().to_vec();
            while let Some(folded) = lines.next_if(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
                if !value.is_empty() {
                    value.push(b' ');
                }
                value.extend_from_slice(folded.trim_ascii());
            }
            slot.get_or_insert_with(|| logged(&value));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        assert_eq!(content.feed(bytes), bytes.len(), "the end is where it should be");
        assert!(content.is_complete());
        content
    }

    #[test]
    fn a_message_ends_with_crlf_dot_crlf_and_with_nothing_else() {
        for smuggled in ["a\n.\r\nb", "a\r\n.\nb", "a\n.\nb", "a\r.\rb", "a\r\n.b", "a.\r\nb", "a\r\n..\r\nb"]
        {
            let mut content = Content::default();
            assert_eq!(content.feed(smuggled.as_bytes()), smuggled.len());
            assert!(!content.is_complete(), "{smuggled:?}");
        }
        assert_eq!(whole(b".\r\n").bytes(), 0);
        assert_eq!(whole(b"\r\n.\r\n").bytes(), 2);
    }

    #[test]
    fn stuffed_dots_are_taken_out_and_nothing_else() {
        assert_eq!(whole(b"..\r\n...\r\n.a\r\n.\r\n").bytes(), b".\r\n..\r\na\r\n".len() as u64);
        assert_eq!(whole(b".\r\r\n.\r\n").bytes(), b"\r\r\n".len() as u64);
        let mut content = Content::default();
        assert_eq!(content.feed(b"a\r\n.\r\nQUIT\r\n"), 6);
    }

    #[test]
    fn the_end_is_found_wherever_the_pieces_are_cut() {
        let message = b"Subject: x\r\n\r\n..dots\r\n.\r\nNOOP\r\n";
        for cut in 0..message.len() {
            let mut content = Content::default();
            let mut used = content.feed(&message[..cut]);
            used += content.feed(&message[used..]);
            assert_eq!(used, message.len() - 6, "cut at {cut}");
            assert_eq!(content.bytes(), 21);
        }
    }

    #[test]
    fn fields_are_unfolded_and_only_looked_for_in_the_header() {
        let content = whole(
            b"subject:\r\n a\r\n\tb\r\nMESSAGE-ID: <1@x>\r\nX-Windlass-Job: j\r\nX-Windlass-Job: k\r\n\r\n\
              X-Windlass-Campaign: 9\r\n.\r\n",
        );
        let expected = Fields {
            message_id: Some("<1@x>".into()),
            subject: Some("a b".into()),
            job: Some("j".into()),
            ..Fields::default()
        };
        assert_eq!(content.fields(), expected);
    }

    #[test]
    fn an_endless_header_is_not_held() {
        let mut content = Content::default();
        for _ in 0..100 {
            content.feed(&[b'x'; 10_000]);
        }
        assert_eq!(content.header.len(), MAX_HEADER_BYTES);
        assert_eq!(content.bytes(), 1_000_000);
    }
}

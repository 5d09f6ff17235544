//! The command half of an SMTP conversation (RFC 5321), as a pure state machine: a line in, a reply out.
//!
//! It knows PIPELINING only in that it never looks beyond its line. It does not know sockets, faults or time;
//! whether a recipient is wanted is asked of [`Recipients`].

use std::sync::Arc;

use super::{
    Fault, MAX_MESSAGE_BYTES,
    auth::{self, Login, Step, User},
};

/// The most recipients of one message (RFC 5321, section 4.5.3.1.8, asks for at least this many).
const MAX_RECIPIENTS: usize = 100;
/// The longest path (RFC 5321, section 4.5.3.1.3).
const MAX_PATH_BYTES: usize = 256;
/// Lines that are not SMTP before the connection is closed: whoever is there does not speak it.
const MAX_NONSENSE: u32 = 20;

/// What the server thinks of a recipient.
pub(super) enum Verdict {
    /// Wanted; these faults come with the message.
    Take(Vec<Fault>),
    /// Answered with this line instead.
    Reply(String),
}

pub(super) trait Recipients {
    fn verdict(&self, from: &str, recipient: &str) -> Verdict;
}

/// What comes next on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Command,
    /// The line was no command; it has its reply.
    Nonsense,
    Content,
    /// The connection is encrypted from here on; what was sent ahead does not count.
    Starttls,
    Close,
}

/// Who may send, and whether the connection can be encrypted.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    pub(super) tls: bool,
    pub(super) user: Option<User>,
}

/// From whom to whom.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// What goes wrong once the message is there, and for whom.
    pub(super) faults: Vec<(String, Fault)>,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    greeted: bool,
    envelope: Option<Envelope>,
    in_content: bool,
    nonsense: u32,
    policy: Arc<Policy>,
    secure: bool,
    login: Option<Login>,
    user: Option<String>,
}

impl Session {
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The session after STARTTLS: whatever was said before is forgotten (RFC 3207, section 4.2).
    pub(super) fn secured(self) -> Self {
        Self { policy: self.policy, secure: true, ..Self::default() }
    }

    /// Who has logged in.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether a message's content is on its way.
    pub(super) fn mid_message(&self) -> bool {
        self.in_content
    }

    /// Ends the message and hands its envelope over.
    pub(super) fn take_envelope(&mut self) -> Envelope {
        self.in_content = false;
        self.envelope.take().unwrap_or_default()
    }

    pub(super) fn nonsense(&mut self, reply: &str, replies: &mut Vec<u8>) -> Next {
        self.nonsense += 1;
        if self.nonsense > MAX_NONSENSE {
            say(replies, "421 4.7.0 too many errors");
            return Next::Close;
        }
        say(replies, reply);
        Next::Nonsense
    }

    /// Answers one line, its line end included.
    pub(super) fn command(
        &mut self,
        line: &[u8],
        recipients: &dyn Recipients,
        replies: &mut Vec<u8>,
    ) -> Next {
        // A bare LF as a line end is how messages are smuggled past servers that disagree about it.
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return self.nonsense("500 5.5.2 lines end with CRLF", replies);
        };
        let text = match std::str::from_utf8(line) {
            Ok(text) if text.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t') => {
                text.trim_end()
            }
            _ => return self.nonsense("500 5.5.2 not a command", replies),
        };
        if let Some(login) = self.login.take() {
            self.log_in(auth::go_on(login, text), replies);
            return Next::Command;
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" if rest.trim().is_empty() => {
                return self.nonsense("501 5.5.4 a name is needed", replies);
            }
            "EHLO" => self.greet(&self.ehlo_reply(), replies),
            "HELO" => self.greet("250 localhost", replies),
            "MAIL" => return self.mail(rest, replies),
            "RCPT" => return self.rcpt(rest, recipients, replies),
            "DATA" => return self.data(rest, replies),
            "RSET" => {
                self.envelope = None;
                say(replies, "250 2.0.0 ok");
            }
            "NOOP" => say(replies, "250 2.0.0 ok"),
            "QUIT" => {
                say(replies, "221 2.0.0 bye");
                return Next::Close;
            }
            "VRFY" => say(replies, "252 2.0.0 send it and see"),
            "HELP" => say(replies, "214 2.0.0 RFC 5321"),
            "STARTTLS" if self.offers_tls() => {
                if rest.trim().is_empty() {
                    say(replies, "220 2.0.0 go ahead");
                    return Next::Starttls;
                }
                say(replies, "501 5.5.4 STARTTLS takes no argument");
            }
            "AUTH" if self.offers_auth() => self.auth(rest, replies),
            "EXPN" | "AUTH" | "STARTTLS" | "BDAT" => say(replies, "502 5.5.1 not implemented"),
            _ => return self.nonsense("500 5.5.2 unknown command", replies),
        }
        Next::Command
    }

    fn greet(&mut self, reply: &str, replies: &mut Vec<u8>) {
        self.greeted = true;
        self.envelope = None;
        say(replies, reply);
    }

    fn offers_tls(&self) -> bool {
        self.policy.tls && !self.secure
    }

    /// A password does not travel in the clear where it need not.
    fn offers_auth(&self) -> bool {
        self.policy.user.is_some() && !self.offers_tls()
    }

    fn ehlo_reply(&self) -> String {
        let mut lines =
            vec!["localhost".to_owned(), "PIPELINING".to_owned(), format!("SIZE {MAX_MESSAGE_BYTES}")];
        if self.offers_tls() {
            lines.push("STARTTLS".to_owned());
        }
        if self.offers_auth() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        lines.push("8BITMIME".to_owned());
        let lines: Vec<String> = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        format!("{}250 ENHANCEDSTATUSCODES", lines.concat())
    }

    fn auth(&mut self, rest: &str, replies: &mut Vec<u8>) {
        if !self.greeted || self.envelope.is_some() || self.user.is_some() {
            say(replies, "503 5.5.1 not now");
            return;
        }
        self.log_in(auth::begin(rest), replies);
    }

    fn log_in(&mut self, step: Step, replies: &mut Vec<u8>) {
        match step {
            Step::Ask(login, prompt) => {
                self.login = Some(login);
                say(replies, prompt);
            }
            Step::Done { name, password } => {
                let known = self.policy.user.as_ref();
                if known.is_some_and(|user| user.name == name && user.password == password) {
                    self.user = Some(name);
                    say(replies, "235 2.7.0 welcome");
                } else {
                    say(replies, "535 5.7.8 wrong name or password");
                }
            }
            Step::Bad(reply) => say(replies, reply),
        }
    }

    fn mail(&mut self, rest: &str, replies: &mut Vec<u8>) -> Next {
        if !self.greeted || self.envelope.is_some() {
            let why = if self.greeted { "503 5.5.1 one message at a time" } else { "503 5.5.1 EHLO first" };
            say(replies, why);
            return Next::Command;
        }
        if self.policy.user.is_some() && self.user.is_none() {
            let why = if self.offers_tls() { "530 5.7.0 STARTTLS first" } else { "530 5.7.0 AUTH first" };
            say(replies, why);
            return Next::Command;
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return self.nonsense("501 5.5.2 MAIL FROM:<address>", replies);
        };
        if !from.is_empty() && !is_address(from) {
            say(replies, "501 5.1.7 bad sender address");
            return Next::Command;
        }
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let known = match name.to_ascii_uppercase().as_str() {
                "SIZE" => match value.parse::<u64>() {
                    Ok(size) if size > MAX_MESSAGE_BYTES => {
                        say(replies, "552 5.3.4 message too large");
                        return Next::Command;
                    }
                    size => size.is_ok(),
                },
                // Whoever is logged in vouches for somebody else (RFC 4954, section 5).
                "AUTH" => self.policy.user.is_some(),
                "BODY" => value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME"),
                _ => false,
            };
            if !known {
                say(replies, "555 5.5.4 unknown parameter");
                return Next::Command;
            }
        }
        self.envelope = Some(Envelope { from: from.to_owned(), to: Vec::new(), faults: Vec::new() });
        say(replies, "250 2.1.0 ok");
        Next::Command
    }

    fn rcpt(&mut self, rest: &str, recipients: &dyn Recipients, replies: &mut Vec<u8>) -> Next {
        let Some(envelope) = &mut self.envelope else {
            say(replies, "503 5.5.1 MAIL first");
            return Next::Command;
        };
        let Some((to, parameters)) = path(rest, "TO:") else {
            return self.nonsense("501 5.5.2 RCPT TO:<address>", replies);
        };
        let reply = if !parameters.trim().is_empty() {
            "555 5.5.4 unknown parameter"
        } else if !is_address(to) {
            "501 5.1.3 bad recipient address"
        } else if envelope.to.len() >= MAX_RECIPIENTS {
            "452 4.5.3 too many recipients"
        } else {
            match recipients.verdict(&envelope.from, to) {
                Verdict::Take(faults) => {
                    envelope.to.push(to.to_owned());
                    envelope.faults.extend(faults.into_iter().map(|fault| (to.to_owned(), fault)));
                    "250 2.1.5 ok"
                }
                Verdict::Reply(line) => {
                    say(replies, &line);
                    // RFC 5321, section 3.8: the server that says 421 closes the channel.
                    return if line.starts_with("421") { Next::Close } else { Next::Command };
                }
            }
        };
        say(replies, reply);
        Next::Command
    }

    fn data(&mut self, rest: &str, replies: &mut Vec<u8>) -> Next {
        let (reply, next) = match &self.envelope {
            _ if !rest.trim().is_empty() => ("501 5.5.4 DATA takes no argument", Next::Command),
            None => ("503 5.5.1 MAIL first", Next::Command),
            Some(envelope) if envelope.to.is_empty() => ("554 5.5.1 no valid recipients", Next::Command),
            Some(_) => ("354 end with a line that holds only a dot", Next::Content),
        };
        self.in_content = next == Next::Content;
        say(replies, reply);
        next
    }
}

fn say(replies: &mut Vec<u8>, reply: &str) {
    replies.extend_from_slice(reply.as_bytes());
    replies.extend_from_slice(b"\r\n");
}

/// The path after `FROM:` or `TO:` without its brackets, and the parameters behind it.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let head = rest.get(..keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let path = rest[keyword.len()..].trim_start().strip_prefix('<')?;
    // A quoted local part may hold a bracket; such addresses are legal, unknown in practice, and refused here.
    let (path, parameters) = path.split_once('>')?;
    (parameters.is_empty() || parameters.starts_with(' ')).then_some((path, parameters))
}

fn is_address(path: &str) -> bool {
    let plain =
        path.len() <= MAX_PATH_BYTES && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<');
    let (local, domain) = path.rsplit_once('@').unwrap_or_default();
    plain && !local.is_empty() && !domain.is_empty()
}

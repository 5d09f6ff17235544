//! The e-mail channel: one message over SMTP, with a connection kept for the next one.
//!
//! The connections are lettre's; the pool is not, for two reasons. lettre's pool takes back the connection of a
//! send that was cancelled half-way, and the next message then reads the replies of the last one: a worker that
//! cancels handlers would count mails as sent that were not. Here a connection goes back only after a whole
//! conversation, and a cancelled send closes its socket. And walking through the conversation step by step tells
//! an attempt that failed before the content was sent from one whose reply was lost, which a repeat needs as its
//! cause. lettre also leaves Nagle's algorithm on while it ends a message with a second small write, which
//! costs 40 ms a mail; sockets made here have it off.
//!
//! Delivery is at least once: the Message-ID comes from the job, so that a repeat is recognisable as one.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lettre::{
    Address, Message,
    message::{
        Mailbox,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::ClientId,
        response::Response,
    },
};
use reqwest::Url;
use tokio::net::TcpStream;

use super::{CAMPAIGN_HEADER, ChannelConfigError, JOB_HEADER, SendError, SendOutcome};
use crate::plan::CampaignId;

/// How long a connection attempt may take; a mail server that is up answers within a few round trips.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole conversation may take. RFC 5321 allows minutes a step; a sender that holds one of a few
/// slots cannot, and a reply lost to this limit is reported as such.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection idle for longer is asked with NOOP before it is trusted.
const TRUST_IDLE: Duration = Duration::from_secs(2);
/// A connection idle for longer is closed: most servers have done so by then.
const KEEP_IDLE: Duration = Duration::from_secs(30);
/// The most connections kept between sends; above the e-mail queue's concurrency, so that none is wasted.
const MAX_KEPT_CONNECTIONS: usize = 64;
/// What to wait after a 4xx reply that names no time of its own: the usual greylisting delay is one to five minutes.
const DEFAULT_RETRY_MS: u64 = 60_000;
/// The longest wait taken from a server's words; above it the words were not about seconds.
const MAX_RETRY_MS: u64 = 24 * 3_600_000;

/// One message to one recipient.
#[derive(Clone, Debug)]
pub struct Email<'a> {
    /// The id of the job that sends it; the Message-ID is made from it.
    pub job: &'a str,
    /// The campaign it belongs to.
    pub campaign: CampaignId,
    /// The sender's mailbox, as in `Ann <ann@example.com>`.
    pub from: &'a str,
    /// The recipient's address.
    pub to: &'a str,
    /// The recipient's name; may be empty.
    pub to_name: &'a str,
    /// The subject line.
    pub subject: &'a str,
    /// The text, in any language.
    pub text: &'a str,
    /// Where one click unsubscribes (RFC 8058); bulk mail must have it.
    pub unsubscribe_url: Option<&'a str>,
}

/// Sends mail to one SMTP server; clone-free and shared by reference among any number of tasks.
///
/// The address decides the protection: `smtps://` is TLS from the first byte, `smtp+starttls://` and `smtp://`
/// to another machine insist on STARTTLS, and only `smtp://` to this machine is plain text.
pub struct EmailSender {
    target: Target,
    kept: Mutex<Vec<Kept>>,
}

struct Target {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
    hello: ClientId,
}

enum Security {
    Plain,
    StartTls(TlsParameters),
    Tls(TlsParameters),
}

struct Kept {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl fmt::Debug for EmailSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The credentials stay out of every log.
        let Target { host, port, .. } = &self.target;
        f.debug_struct("EmailSender").field("host", host).field("port", port).finish_non_exhaustive()
    }
}

impl EmailSender {
    /// A sender for the server at `url`; connects with the first message, not now.
    ///
    /// # Errors
    /// When the URL is not `smtp://`, `smtp+starttls://` or `smtps://` with a host.
    pub fn new(url: &str) -> Result<Self, ChannelConfigError> {
        Ok(Self { target: Target::parse(url)?, kept: Mutex::new(Vec::new()) })
    }

    /// Sends one message, or says why not; dropping the future closes the connection it used.
    pub async fn send(&self, email: &Email<'_>) -> SendOutcome {
        let prepared = match Prepared::new(email) {
            Ok(prepared) => prepared,
            Err(why) => return SendOutcome::Permanent { code: "unsendable".to_owned(), why },
        };
        let content_begun = AtomicBool::new(false);
        match tokio::time::timeout(SEND_TIMEOUT, self.converse(&prepared, &content_begun)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let why = format!("{} did not finish within {SEND_TIMEOUT:?}", self.target.host);
                SendOutcome::Transient(SendError {
                    why,
                    may_have_arrived: content_begun.load(Ordering::Relaxed),
                })
            }
        }
    }

    async fn converse(&self, prepared: &Prepared, content_begun: &AtomicBool) -> SendOutcome {
        let (mut connection, mut reused) = match self.connection().await {
            Ok(got) => got,
            Err(outcome) => return outcome,
        };
        loop {
            let failed = match self.envelope(&mut connection, prepared).await {
                Ok(()) => break,
                Err(failed) => failed,
            };
            // A server may have closed a kept connection in the meantime, silently or with 421; nothing was sent
            // on it yet, so a fresh one is tried before an attempt is spent on it.
            let stale = reused && (failed.status().is_none() || is_closing(&failed));
            if !stale && failed.status().is_some() {
                return self.refused(connection, &failed).await;
            }
            if !stale {
                return SendOutcome::Transient(SendError::not_sent(failed));
            }
            reused = false;
            connection = match self.target.connect().await {
                Ok(fresh) => fresh,
                Err(outcome) => return outcome,
            };
        }
        content_begun.store(true, Ordering::Relaxed);
        match connection.message(&prepared.content).await {
            Ok(reply) => {
                self.keep(connection);
                SendOutcome::Sent { provider_id: queue_id(&reply, &prepared.message_id) }
            }
            Err(failed) if failed.status().is_some() => self.refused(connection, &failed).await,
            Err(failed) => SendOutcome::Transient(SendError::reply_lost(failed)),
        }
    }

    async fn envelope(
        &self,
        connection: &mut AsyncSmtpConnection,
        prepared: &Prepared,
    ) -> Result<(), lettre::transport::smtp::Error> {
        connection.command(Mail::new(Some(prepared.from.clone()), Vec::new())).await?;
        connection.command(Rcpt::new(prepared.to.clone(), Vec::new())).await?;
        connection.command(Data).await?;
        Ok(())
    }

    /// A negative reply is the server's last word on this message, not on the connection.
    async fn refused(
        &self,
        mut connection: AsyncSmtpConnection,
        failed: &lettre::transport::smtp::Error,
    ) -> SendOutcome {
        let outcome = verdict(failed);
        if !is_closing(failed) && connection.command(Rset).await.is_ok() {
            self.keep(connection);
        }
        outcome
    }

    async fn connection(&self) -> Result<(AsyncSmtpConnection, bool), SendOutcome> {
        while let Some(mut kept) = self.take() {
            let idle = kept.since.elapsed();
            if idle < TRUST_IDLE || (idle < KEEP_IDLE && kept.connection.test_connected().await) {
                return Ok((kept.connection, true));
            }
        }
        Ok((self.target.connect().await?, false))
    }

    fn take(&self) -> Option<Kept> {
        self.kept.lock().expect("no code panics while it holds the pool").pop()
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut kept = self.kept.lock().expect("no code panics while it holds the pool");
        if kept.len() < MAX_KEPT_CONNECTIONS {
            kept.push(Kept { connection, since: Instant::now() });
        }
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, ChannelConfigError> {
        let bad = |why: &str| ChannelConfigError::Address {
            url: super::without_credentials(url),
            why: why.to_owned(),
        };
        let parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        let host =
            parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = || {
            super::choose_tls();
            TlsParameters::new(host.clone()).map_err(|error| ChannelConfigError::Client(error.to_string()))
        };
        let (security, default_port) = match parsed.scheme() {
            "smtp" if super::is_loopback(&host) => (Security::Plain, 25),
            "smtp" | "smtp+starttls" => (Security::StartTls(tls()?), 587),
            "smtps" => (Security::Tls(tls()?), 465),
            _ => return Err(bad("use smtp://, smtp+starttls:// or smtps://")),
        };
        let credentials = match (parsed.username(), parsed.password()) {
            ("", None) => None,
            (user, password) => {
                Some(Credentials::new(percent_decoded(user), percent_decoded(password.unwrap_or_default())))
            }
        };
        let port = parsed.port().unwrap_or(default_port);
        Ok(Self { host, port, security, credentials, hello: ClientId::default() })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendOutcome> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        opened.unwrap_or_else(|_| Err(format!("no greeting within {CONNECT_TIMEOUT:?}"))).map_err(|why| {
            // Whatever a server says before the envelope is about us or itself, never about the recipient: even
            // a 5xx here must not put a contact's touch into the dead letters at the first attempt.
            SendOutcome::Transient(SendError::not_sent(format!("{}:{}: {why}", self.host, self.port)))
        })
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, String> {
        let text = |error: lettre::transport::smtp::Error| error.to_string();
        let mut connection = match &self.security {
            // TLS from the first byte is set up inside lettre, on a socket of its own.
            Security::Tls(tls) => {
                let server = (self.host.as_str(), self.port);
                AsyncSmtpConnection::connect_tokio1(
                    server,
                    Some(CONNECT_TIMEOUT),
                    &self.hello,
                    Some(tls.clone()),
                    None,
                )
                .await
                .map_err(text)?
            }
            Security::Plain | Security::StartTls(_) => {
                let socket = TcpStream::connect((self.host.as_str(), self.port)).await;
                let socket = socket.map_err(|error| error.to_string())?;
                socket.set_nodelay(true).map_err(|error| error.to_string())?;
                AsyncSmtpConnection::connect_with_transport(Box::new(socket), &self.hello)
                    .await
                    .map_err(text)?
            }
        };
        if let Security::StartTls(tls) = &self.security {
            connection.starttls(tls.clone(), &self.hello).await.map_err(text)?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(text)?;
        }
        Ok(connection)
    }
}

/// A message checked and rendered before any connection is taken for it.
struct Prepared {
    from: Address,
    to: Address,
    message_id: String,
    content: Vec<u8>,
}

impl Prepared {
    fn new(email: &Email<'_>) -> Result<Self, String> {
        let from: Mailbox =
            email.from.parse().map_err(|error| format!("sender {:?}: {error}", email.from))?;
        let to: Address = email.to.parse().map_err(|error| format!("recipient {:?}: {error}", email.to))?;
        // An address that needs SMTPUTF8 would be refused by most servers and mangled by some.
        for (role, address) in [("sender", &from.email), ("recipient", &to)] {
            if !AsRef::<str>::as_ref(address).is_ascii() {
                return Err(format!("{role} {address:?} has characters outside ASCII"));
            }
        }
        if email.job.is_empty()
            || !email.job.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        {
            return Err(format!("{:?} cannot be a message id", email.job));
        }
        let message_id = format!("<{}@{}>", email.job, from.email.domain());
        let name = Some(one_line(email.to_name)).filter(|name| !name.is_empty());
        let mut message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(name, to.clone()))
            .subject(one_line(email.subject))
            .message_id(Some(message_id.clone()))
            .body(email.text.to_owned())
            .map_err(|error| error.to_string())?;
        let headers = message.headers_mut();
        headers.insert_raw(raw_header(JOB_HEADER, email.job));
        headers.insert_raw(raw_header(CAMPAIGN_HEADER, &email.campaign.to_string()));
        if let Some(url) = email.unsubscribe_url {
            if url.bytes().any(|b| b.is_ascii_control() || b == b'>') {
                return Err(format!("unsubscribe address {url:?} cannot stand in a header"));
            }
            headers.insert_raw(raw_header("List-Unsubscribe", &format!("<{url}>")));
            headers.insert_raw(raw_header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
        Ok(Self { from: from.email, to, message_id, content: message.formatted() })
    }
}

/// The text without control characters: none belongs in a header, and lettre panics on some of them in a name.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.trim().to_owned()
}

fn raw_header(name: &'static str, value: &str) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str(name);
    // Encoding folds long values, which would break a token over two lines; these values are plain ASCII tokens.
    HeaderValue::dangerous_new_pre_encoded(name, value.to_owned(), value.to_owned())
}

/// 421 is the one reply that is about the connection: the server closes it.
fn is_closing(failed: &lettre::transport::smtp::Error) -> bool {
    failed.status().is_some_and(|code| code.to_string() == "421")
}

fn verdict(failed: &lettre::transport::smtp::Error) -> SendOutcome {
    let status = failed.status().map(|code| code.to_string()).unwrap_or_default();
    let text = std::error::Error::source(failed).map(ToString::to_string).unwrap_or_default();
    let why = format!("{status} {text}");
    if failed.is_permanent() {
        return SendOutcome::Permanent { code: enhanced_code(&text).unwrap_or(&status).to_owned(), why };
    }
    SendOutcome::RetryLater { after_ms: named_delay_ms(&text).unwrap_or(DEFAULT_RETRY_MS), why }
}

/// The enhanced status code (RFC 3463) at the start of a reply's text.
fn enhanced_code(text: &str) -> Option<&str> {
    let first = text.split_whitespace().next()?;
    let mut parts = first.split('.');
    let digits =
        |part: Option<&str>| part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    (digits(parts.next()) && digits(parts.next()) && digits(parts.next()) && parts.next().is_none())
        .then_some(first)
}

/// The delay that greylisting servers put into words, as in `try again in 300 seconds`.
fn named_delay_ms(text: &str) -> Option<u64> {
    let mut words = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';' || c == ')').peekable();
    while let Some(word) = words.next() {
        let (Ok(number), Some(unit)) = (word.parse::<u64>(), words.peek()) else { continue };
        let unit_ms = match unit.trim_end_matches('.').to_ascii_lowercase().as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
            "min" | "mins" | "minute" | "minutes" => 60_000,
            _ => continue,
        };
        return number.checked_mul(unit_ms).filter(|ms| *ms <= MAX_RETRY_MS);
    }
    None
}

/// What the server calls the message, from the customary `queued as X`; else our own Message-ID.
fn queue_id(reply: &Response, message_id: &str) -> String {
    let mut words = reply.message().flat_map(str::split_whitespace);
    let named = words.find(|word| word.eq_ignore_ascii_case("as")).and_then(|_| words.next());
    named.unwrap_or(message_id).to_owned()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_decides_the_protection() {
        let security = |url: &str| match EmailSender::new(url).unwrap().target.security {
            Security::Plain => "plain",
            Security::StartTls(_) => "starttls",
            Security::Tls(_) => "tls",
        };
        assert_eq!(security("smtp://127.0.0.1:2525"), "plain");
        assert_eq!(security("smtp://localhost:2525"), "plain");
        assert_eq!(security("smtp://[::1]:2525"), "plain");
        assert_eq!(security("smtp://mail.example.com"), "starttls");
        assert_eq!(security("smtp+starttls://127.0.0.1:2525"), "starttls");
        assert_eq!(security("smtps://mail.example.com"), "tls");
    }

    #[test]
    fn a_wrong_address_is_refused_without_showing_its_password() {
        for url in ["http://user:secret@mail.example.com", "smtp://", "mail.example.com"] {
            let error = EmailSender::new(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn credentials_are_decoded_from_the_address() {
        assert_eq!(percent_decoded("a%40b%2Fc%"), "a@b/c%");
        assert_eq!(percent_decoded("100%é"), "100%é");
        assert!(EmailSender::new("smtps://a%40b:c@mail.example.com").unwrap().target.credentials.is_some());
    }

    #[test]
    fn the_servers_own_delay_is_taken_from_its_words() {
        assert_eq!(named_delay_ms("4.7.1 greylisted, try again in 2 seconds"), Some(2_000));
        assert_eq!(named_delay_ms("Greylisted (wait 5 minutes)"), Some(300_000));
        assert_eq!(named_delay_ms("4.2.0 mailbox busy"), None);
        assert_eq!(named_delay_ms("error 99999999999999999999 seconds"), None);
        assert_eq!(named_delay_ms("in 18446744073709551615 seconds"), None);
    }

    #[test]
    fn a_header_cannot_be_smuggled_in_through_any_field() {
        let email = Email {
            job: "j1",
            campaign: CampaignId(1),
            from: "Ann <ann@example.com>",
            to: "bob@example.com",
            to_name: "Bob\r\nBcc: eve@example.com",
            subject: "Hello\r\nBcc: eve@example.com",
            text: "text",
            unsubscribe_url: Some("https://example.com/u?x=1"),
        };
        let content = String::from_utf8(Prepared::new(&email).unwrap().content).unwrap();
        let headers = content.split("\r\n\r\n").next().unwrap();
        assert!(!headers.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{headers}");
        assert!(headers.contains("Message-ID: <j1@example.com>"), "{headers}");
        assert!(headers.contains("List-Unsubscribe: <https://example.com/u?x=1>"), "{headers}");

        // Whatever a contact is called, the mail is made, and ASCII.
        for c in (0..0x3000).filter_map(char::from_u32) {
            let named =
                Email { to_name: &format!("x{c}\"\\,<{c}"), subject: &format!("{c}x{c}"), ..email.clone() };
            assert!(Prepared::new(&named).is_ok_and(|mail| mail.content.is_ascii()), "{c:?}");
        }

        for (job, url) in [("j1\r\nBcc: e@example.com", "https://example.com"), ("j1", "https://e\r\nBcc: x")]
        {
            let bad = Email { job, unsubscribe_url: Some(url), ..email.clone() };
            assert!(Prepared::new(&bad).is_err());
        }
    }
}

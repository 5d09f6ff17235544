//! The mail server's address: what protection it gets, and a connection that is ready for an envelope.
//!
//! It does not know messages. What goes wrong here is about us or the server, never about a recipient.

use std::{fmt, io, time::Duration};

use lettre::transport::smtp::{
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, TlsParameters},
    extension::ClientId,
};
use reqwest::Url;
use tokio::net::TcpStream;

use super::{
    super::{ChannelConfigError, SendError, SendOutcome, choose_tls, is_loopback, without_credentials},
    reply::{Reply, Stage},
};

/// How long a connection attempt may take; a mail server that is up answers within a few round trips.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the server is and how to speak to it.
pub(super) struct Target {
    pub(super) host: String,
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

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The credentials stay out of every log.
        let Self { host, port, .. } = self;
        f.debug_struct("Target").field("host", host).field("port", port).finish_non_exhaustive()
    }
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, ChannelConfigError> {
        let bad =
            |why: &str| ChannelConfigError::Address { url: without_credentials(url), why: why.to_owned() };
        let parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        let host =
            parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = || {
            choose_tls();
            TlsParameters::new(host.clone()).map_err(|error| ChannelConfigError::Client(error.to_string()))
        };
        let (security, default_port) = match parsed.scheme() {
            "smtp" if is_loopback(&host) => (Security::Plain, 25),
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

    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, SendOutcome> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await {
            Ok(opened) => opened.map_err(|failed| self.unopened(failed)),
            Err(_) => Err(self.not_sent(format_args!("no greeting within {CONNECT_TIMEOUT:?}"))),
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, Unopened> {
        let hello = |error| Unopened::Smtp(Stage::Hello, error);
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
                .map_err(hello)?
            }
            Security::Plain | Security::StartTls(_) => {
                let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
                socket.set_nodelay(true)?;
                AsyncSmtpConnection::connect_with_transport(Box::new(socket), &self.hello)
                    .await
                    .map_err(hello)?
            }
        };
        if let Security::StartTls(tls) = &self.security {
            connection.starttls(tls.clone(), &self.hello).await.map_err(hello)?;
        }
        if let Some(credentials) = &self.credentials {
            let auth = |error| Unopened::Smtp(Stage::Auth, error);
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(auth)?;
        }
        Ok(connection)
    }

    fn unopened(&self, failed: Unopened) -> SendOutcome {
        match failed {
            Unopened::Socket(error) => self.not_sent(error),
            Unopened::Smtp(stage, error) => match Reply::of(&error) {
                Some(reply) => reply.verdict(stage),
                None => self.not_sent(error),
            },
        }
    }

    fn not_sent(&self, why: impl fmt::Display) -> SendOutcome {
        SendOutcome::Unanswered(SendError::not_sent(format_args!("{}:{}: {why}", self.host, self.port)))
    }
}

/// Why there is no connection.
enum Unopened {
    Socket(io::Error),
    Smtp(Stage, lettre::transport::smtp::Error),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
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
        let security = |url: &str| match Target::parse(url).unwrap().security {
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
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn credentials_are_decoded_from_the_address() {
        assert_eq!(percent_decoded("a%40b%2Fc%"), "a@b/c%");
        assert_eq!(percent_decoded("100%é"), "100%é");
        assert!(Target::parse("smtps://a%40b:c@mail.example.com").unwrap().credentials.is_some());
    }
}

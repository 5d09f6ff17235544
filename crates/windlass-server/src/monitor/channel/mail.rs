//! A small mail, as text and HTML, through an SMTP server.
//!
//! One connection for one mail: there are a few of them in an hour. Certificates are those that this host believes, or
//! that `SSL_CERT_FILE` names. The Message-ID is the notice's, so that a mail that was sent twice is recognisable as one.

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use windlass_api::monitor::{self as api, Channel, Notice};

use crate::monitor::notice;
use crate::monitor::post::SEND_WITHIN;

/// Receivers of a channel: more is a list, which its own server keeps.
const TO_MOST: usize = 20;
/// Bytes of a subject: what a list of mails shows, and less than a line of a mail may have.
const SUBJECT_BYTES_MOST: usize = 150;
/// Bytes of a host's name (RFC 1035).
const HOST_BYTES_MOST: usize = 253;

/// Whether there can be such a channel.
pub(super) fn check(channel: &Channel) -> Result<(), String> {
    Letter::of(channel).map(drop)
}

/// Sends it.
pub(super) async fn send(channel: &Channel, notice: &Notice) -> Result<(), String> {
    let letter = Letter::of(channel)?;
    let message = letter.message(notice)?;
    letter.transport()?.send(message).await.map_err(|error| words(&error))?;
    Ok(())
}

/// A channel's settings, read.
struct Letter<'a> {
    host: &'a str,
    port: u16,
    tls: api::Tls,
    credentials: Option<Credentials>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl<'a> Letter<'a> {
    fn of(channel: &'a Channel) -> Result<Self, String> {
        let Channel::Mail { host, port, tls, user, password, from, to } = channel else {
            return Err("it is no mail".to_owned());
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if host.is_empty() || host.len() > HOST_BYTES_MOST || !host.chars().all(is_host) {
            return Err(format!("host: {host:?} is no name of a server"));
        }
        let mailbox = |what: &str, text: &str| {
            text.parse::<Mailbox>().map_err(|why| format!("{what}: {text:?} is no address: {why}"))
        };
        if to.is_empty() || to.len() > TO_MOST {
            return Err(format!("to: a channel has 1 to {TO_MOST} receivers"));
        }
        let credentials = match (user, password) {
            (Some(user), Some(password)) => Some(Credentials::new(user.clone(), password.clone())),
            (Some(_), None) => return Err("password: who signs in has one".to_owned()),
            (None, Some(_)) => return Err("user: whose password it is".to_owned()),
            (None, None) => None,
        };
        if credentials.is_some() && *tls == api::Tls::None && !is_here(host) {
            return Err("tls: a password is sent to another machine only over TLS".to_owned());
        }
        let usual = match tls {
            api::Tls::Wrapped => 465,
            api::Tls::Starttls => 587,
            api::Tls::None => 25,
        };
        Ok(Self {
            host,
            port: port.unwrap_or(usual),
            tls: *tls,
            credentials,
            from: mailbox("from", from)?,
            to: to.iter().map(|text| mailbox("to", text)).collect::<Result<_, _>>()?,
        })
    }

    fn message(&self, notice: &Notice) -> Result<Message, String> {
        let id = format!("<{}@{}>", notice.data.id, self.from.email.domain());
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(subject(&notice.data.summary))
            .message_id(Some(id))
            .date_now();
        for to in &self.to {
            message = message.to(to.clone());
        }
        let html = notice::html(notice).map_err(|error| error.to_string())?;
        let body = MultiPart::alternative_plain_html(notice::text(notice), html);
        message.multipart(body).map_err(|error| error.to_string())
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let tls = match self.tls {
            api::Tls::None => Tls::None,
            api::Tls::Starttls => Tls::Required(self.certificates()?),
            api::Tls::Wrapped => Tls::Wrapper(self.certificates()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.host)
            .port(self.port)
            .tls(tls)
            .timeout(Some(SEND_WITHIN))
            .pool_config(PoolConfig::new().min_idle(0).max_size(1));
        if let Some(credentials) = &self.credentials {
            builder = builder.credentials(credentials.clone());
        }
        Ok(builder.build())
    }

    fn certificates(&self) -> Result<TlsParameters, String> {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let found = rustls_native_certs::load_native_certs().certs;
        let mut builder = TlsParameters::builder(self.host.to_owned());
        // A host that has none of its own believes those that browsers do.
        if !found.is_empty() {
            builder = builder.certificate_store(CertificateStore::None);
        }
        for one in found {
            if let Ok(one) = Certificate::from_der(one.to_vec()) {
                builder = builder.add_root_certificate(one);
            }
        }
        builder.build_rustls().map_err(|error| error.to_string())
    }
}

/// Whether a server is on this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The summary as a subject: one line, cut. Texts of failures come from jobs, and no control character of theirs belongs
/// in a header.
fn subject(summary: &str) -> String {
    let plain: String = summary.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    windlass_core::bounds::cut(&plain, SUBJECT_BYTES_MOST).to_owned()
}

/// An error with what lies behind it.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(why) = behind {
        words = format!("{words}: {why}");
        behind = why.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(change: impl FnOnce(&mut serde_json::Value)) -> Result<(), String> {
        let mut said = serde_json::json!({
            "type": "mail", "host": "smtp.example", "from": "Windlass <a@b.example>", "to": ["c@d.example"],
        });
        change(&mut said);
        let channel: Channel = serde_json::from_value(said).map_err(|error| error.to_string())?;
        check(&channel)
    }

    #[test]
    fn a_password_goes_over_tls_and_an_address_is_one() {
        mail(|_| {}).expect("a channel");
        let secret = |said: &mut serde_json::Value| {
            said["user"] = "u".into();
            said["password"] = "p".into();
        };
        mail(secret).expect("STARTTLS unless said");
        let told = mail(|said| {
            secret(said);
            said["tls"] = "none".into();
        });
        assert!(told.expect_err("refused").contains("only over TLS"));
        for (field, value) in [("from", "nobody"), ("host", "a b"), ("host", "")] {
            let told = mail(|said| said[field] = value.into()).expect_err("refused");
            assert!(told.starts_with(field), "{told}");
        }
        assert!(mail(|said| said["to"] = serde_json::json!([])).is_err());
        assert!(mail(|said| said["user"] = "u".into()).expect_err("refused").starts_with("password"));
    }

    #[test]
    fn a_subject_is_one_line_whatever_a_job_said() {
        assert_eq!(subject("a\r\nBcc: x@y"), "a  Bcc: x@y");
        assert!(subject(&"ö".repeat(300)).len() <= SUBJECT_BYTES_MOST);
    }
}

//! Mail over SMTP: one message, with a connection kept for the next one.
//!
//! The connections are lettre's; the pool is not, for two reasons. lettre's pool takes back the connection of a
//! send that was cancelled half-way, and the next message then reads the replies of the last one: a worker that
//! cancels handlers would count mails as sent that were not. Here a connection goes back only after a whole
//! conversation, and a cancelled send closes its socket. And walking through the conversation step by step tells
//! an attempt that failed before the content was sent from one whose reply was lost, which a repeat needs as its
//! cause. lettre also leaves Nagle's algorithm on while it ends a message with a second small write, which
//! costs 40 ms a mail; sockets made here have it off.
//!
//! Delivery is at least once: the Message-ID comes from the caller, so that a repeat is recognisable as one.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lettre::transport::smtp::{
    client::AsyncSmtpConnection,
    commands::{Data, Mail, Rcpt, Rset},
};

use self::{
    message::Prepared,
    reply::{Reply, Stage, queue_id},
    target::Target,
};
use super::{ChannelConfigError, Email, SendError, SendOutcome};

mod message;
mod reply;
mod target;

/// How long a whole conversation may take. RFC 5321 allows minutes a step; a sender that holds one of a few
/// slots cannot, and a reply lost to this limit is reported as such.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection idle for longer is asked with NOOP before it is trusted.
const TRUST_IDLE: Duration = Duration::from_secs(2);
/// A connection idle for longer is closed: most servers have done so by then.
const KEEP_IDLE: Duration = Duration::from_secs(30);
/// The most connections kept between sends; above the e-mail queue's concurrency, so that none is wasted.
const MAX_KEPT_CONNECTIONS: usize = 64;

/// Sends mail to one SMTP server; whoever its senders are; shared by reference among any number of tasks.
///
/// The address decides the protection: `smtps://` is TLS from the first byte, `smtp+starttls://` and `smtp://`
/// to another machine insist on STARTTLS, and only `smtp://` to this machine is plain text.
pub struct SmtpSender {
    target: Target,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl fmt::Debug for SmtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SmtpSender").field(&self.target).finish()
    }
}

impl SmtpSender {
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
            Err(unsendable) => return unsendable.into(),
        };
        let content_begun = AtomicBool::new(false);
        match tokio::time::timeout(SEND_TIMEOUT, self.converse(&prepared, &content_begun)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let why = format!("{} did not finish within {SEND_TIMEOUT:?}", self.target.host);
                SendOutcome::Unanswered(SendError {
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
            let (stage, failed) = match self.envelope(&mut connection, prepared).await {
                Ok(()) => break,
                Err(failed) => failed,
            };
            let reply = Reply::of(&failed);
            // A server may have closed a kept connection in the meantime, silently or with 421; nothing was sent
            // on it yet, so a fresh one is tried before an attempt is spent on it.
            let stale = reused && reply.as_ref().is_none_or(Reply::is_closing);
            if !stale {
                return match reply {
                    Some(reply) => self.refused(connection, stage, &reply).await,
                    None => SendOutcome::Unanswered(SendError::not_sent(failed)),
                };
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
            Err(failed) => match Reply::of(&failed) {
                Some(reply) => self.refused(connection, Stage::Content, &reply).await,
                None => SendOutcome::Unanswered(SendError::reply_lost(failed)),
            },
        }
    }

    async fn envelope(
        &self,
        connection: &mut AsyncSmtpConnection,
        prepared: &Prepared,
    ) -> Result<(), (Stage, lettre::transport::smtp::Error)> {
        let at = |stage| move |error| (stage, error);
        let (from, to) = (prepared.from.clone(), prepared.to.clone());
        connection.command(Mail::new(Some(from), Vec::new())).await.map_err(at(Stage::MailFrom))?;
        connection.command(Rcpt::new(to, Vec::new())).await.map_err(at(Stage::RcptTo))?;
        connection.command(Data).await.map_err(at(Stage::Data))?;
        Ok(())
    }

    /// A negative reply is the server's last word on this message, not on the connection.
    async fn refused(&self, mut connection: AsyncSmtpConnection, stage: Stage, reply: &Reply) -> SendOutcome {
        if !reply.is_closing() && connection.command(Rset).await.is_ok() {
            self.keep(connection);
        }
        reply.verdict(stage)
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

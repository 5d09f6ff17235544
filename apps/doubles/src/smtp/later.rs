//! What comes back by mail after a mail was taken: a report that it could not be delivered, an answer, a complaint.
//!
//! The mails are written here as the RFCs say (3464 for reports, 3834 for machines, 5965 for complaints), and handed over as
//! a mail server's pipe or a parsing service would: a POST of the whole mail, as `message/rfc822`. Nothing is tried twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use tokio::sync::watch;

use super::fault::Later;
use crate::{
    Tally,
    caller::{CallError, Caller},
    count,
    moment::{now_ms, rfc2822},
};

/// How many mails may be on their way back at once; more are not written.
const MAX_LIVING: u64 = 50_000;
/// Who reports that a mail was not delivered.
const DAEMON: &str = "MAILER-DAEMON@mx.localhost";

/// A mail that was taken, as far as what comes back says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Original {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) message_id: String,
    pub(super) subject: String,
    pub(super) list_unsubscribe: String,
    /// Its header, as it came.
    pub(super) header: String,
}

/// Where mails go that come back.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) url: String,
    pub(super) pace: Duration,
    pub(super) caller: Caller,
    pub(super) tally: Arc<Tally>,
    pub(super) ending: watch::Receiver<bool>,
    pub(super) living: AtomicU64,
    pub(super) made: AtomicU64,
    /// When the server began: part of the names of mails, so that they are others after a restart.
    pub(super) begun_ms: u64,
}

impl Back {
    /// Has these mails come back, one after the other.
    pub(super) fn begin(self: &Arc<Self>, original: Original, later: Vec<Later>) {
        if self.living.fetch_add(1, Ordering::Relaxed) >= MAX_LIVING {
            self.living.fetch_sub(1, Ordering::Relaxed);
            return count(&self.tally.callbacks_dropped);
        }
        let back = Arc::clone(self);
        let mut ending = self.ending.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = back.live(&original, &later) => {}
                _ = ending.wait_for(|stop| *stop) => {}
            }
            back.living.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn live(&self, original: &Original, later: &[Later]) {
        for what in later {
            tokio::time::sleep(self.pace).await;
            let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
            let id = format!("back{number}.{}", self.begun_ms);
            let Some(mail) = written(original, what, &id, now_ms()) else { continue };
            count(&self.tally.inbound);
            let arrived = self.hand_over(mail).await.is_ok_and(|status| (200..300).contains(&status));
            count(if arrived { &self.tally.callbacks } else { &self.tally.callbacks_failed });
        }
    }

    async fn hand_over(&self, mail: String) -> Result<u16, CallError> {
        let url = self.caller.address(&self.url)?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("message/rfc822"))]);
        Ok(self.caller.send(Method::POST, url, headers, Some(mail)).await?.status)
    }
}

/// The mail that comes back; none where the original leaves nothing to write to.
fn written(original: &Original, later: &Later, id: &str, at_ms: u64) -> Option<String> {
    let Original { from, to, message_id, subject, .. } = original;
    let date = rfc2822(at_ms);
    let own =
        |local: &str| format!("Date: {date}\r\nMessage-ID: <{local}@mx.localhost>\r\nMIME-Version: 1.0\r\n");
    let head = own(id);
    let thread = format!("In-Reply-To: {message_id}\r\nReferences: {message_id}\r\n");
    Some(match later {
        Later::Bounce(status) => {
            let said = format!("smtp; 550 {status} <{to}>: the mailbox is not to be had");
            report(original, &head, id, ("failed", status, &said))
        }
        Later::Delayed => report(
            original,
            &head,
            id,
            ("delayed", "4.4.1", "X-double; connect to mx.localhost: connection timed out"),
        ),
        Later::Reply(words) => format!(
            "{head}From: <{to}>\r\nTo: <{from}>\r\nSubject: Re: {subject}\r\n{thread}\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             {words}\r\n\r\nOn {date}, <{from}> wrote:\r\n> {subject}\r\n> To get no more mail, unsubscribe.\r\n"
        ),
        Later::AutoReply => format!(
            "Return-Path: <>\r\n{head}From: <{to}>\r\nTo: <{from}>\r\nSubject: Automatic reply: {subject}\r\n{thread}\
             Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n\
             I am away, and stop reading mail until Monday.\r\n"
        ),
        Later::Unsubscribe => {
            let (mailbox, subject) = mailto(&original.list_unsubscribe)?;
            format!(
                "{head}From: <{to}>\r\nTo: <{mailbox}>\r\nSubject: {subject}\r\n\
                 Content-Type: text/plain; charset=us-ascii\r\n\r\nSent by a mail program.\r\n"
            )
        }
        Later::SpamReport => format!(
            "{head}From: <feedback@mx.localhost>\r\nTo: <{from}>\r\nSubject: complaint about a mail from {from}\r\n\
             Content-Type: multipart/report; report-type=feedback-report; boundary=\"{id}\"\r\n\r\n\
             --{id}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThis is a report of an unwanted mail.\r\n\
             --{id}\r\nContent-Type: message/feedback-report\r\n\r\n\
             Feedback-Type: abuse\r\nUser-Agent: windlass-doubles/1\r\nVersion: 1\r\nOriginal-Mail-From: <{from}>\r\n\
             Original-Rcpt-To: <{to}>\r\nArrival-Date: {date}\r\n\
             --{id}\r\nContent-Type: text/rfc822-headers\r\n\r\n{}\r\n--{id}--\r\n",
            original.header.trim_end()
        ),
    })
}

/// A report on a delivery, with the header of the original: what was done, its status, and what the other server said.
fn report(original: &Original, head: &str, id: &str, (action, status, said): (&str, &str, &str)) -> String {
    let Original { from, to, header, .. } = original;
    format!(
        "Return-Path: <>\r\n{head}From: Mail Delivery System <{DAEMON}>\r\nTo: <{from}>\r\n\
         Subject: Delivery Status Notification ({action})\r\nAuto-Submitted: auto-replied\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"{id}\"\r\n\r\n\
         --{id}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         What became of your mail to {to}: {action}.\r\n\r\n    {said}\r\n\
         --{id}\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.localhost\r\n\r\n\
         Final-Recipient: rfc822; {to}\r\nOriginal-Recipient: rfc822;{to}\r\nAction: {action}\r\nStatus: {status}\r\n\
         Diagnostic-Code: {said}\r\n\
         --{id}\r\nContent-Type: text/rfc822-headers\r\n\r\n{}\r\n--{id}--\r\n",
        header.trim_end()
    )
}

/// The mailbox and the subject of the `mailto:` in a List-Unsubscribe.
fn mailto(list_unsubscribe: &str) -> Option<(String, String)> {
    let addresses = list_unsubscribe.split(',').map(str::trim);
    let mut addresses = addresses.filter_map(|address| address.strip_prefix("<mailto:")?.strip_suffix('>'));
    let (mailbox, query) =
        addresses.next().map(|address| address.split_once('?').unwrap_or((address, "")))?;
    // In these addresses a plus is a plus.
    let query = query.replace('+', "%2B");
    let subject = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "subject");
    let subject = subject.map_or(String::new(), |(_, subject)| subject.into_owned());
    let one_line = |text: &str| text.chars().all(|c| !c.is_control());
    (one_line(mailbox) && one_line(&subject)).then(|| (mailbox.to_owned(), subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original() -> Original {
        Original {
            from: "ann@example.com".to_owned(),
            to: "bob@example.org".to_owned(),
            message_id: "<t17.a1@example.com>".to_owned(),
            subject: "News".to_owned(),
            list_unsubscribe: "<https://x/u/T>, <mailto:u+1@example.com?subject=unsubscribe-T%20x>"
                .to_owned(),
            header: "Message-ID: <t17.a1@example.com>\r\nSubject: News\r\n".to_owned(),
        }
    }

    #[test]
    fn what_comes_back_has_lines_of_crlf_only_and_borders_that_close() {
        for later in [
            Later::Bounce("5.1.1".to_owned()),
            Later::Delayed,
            Later::Reply("Yes".to_owned()),
            Later::AutoReply,
            Later::Unsubscribe,
            Later::SpamReport,
        ] {
            let mail = written(&original(), &later, "back1.1", 0).unwrap();
            assert!(!mail.replace("\r\n", "").contains(['\r', '\n']), "{mail:?}");
            let (header, _) = mail.split_once("\r\n\r\n").unwrap();
            assert!(header.lines().all(|line| line.split_once(": ").is_some()), "{header}");
            if header.contains("multipart") {
                assert_eq!(mail.matches("--back1.1\r\n").count(), 3, "{mail}");
                assert!(
                    mail.ends_with("--back1.1--\r\n") && mail.contains("Message-ID: <t17.a1@example.com>")
                );
            }
        }
    }

    #[test]
    fn a_mail_program_writes_to_the_mailto_and_to_nothing_else() {
        let mail = written(&original(), &Later::Unsubscribe, "back1.1", 0).unwrap();
        assert!(mail.contains("To: <u+1@example.com>\r\nSubject: unsubscribe-T x\r\n"), "{mail}");
        for header in
            ["", "<https://x/u/T>", "mailto:u@example.com", "<mailto:u@example.com?subject=a%0D%0AB:c>"]
        {
            let original = Original { list_unsubscribe: header.to_owned(), ..original() };
            assert_eq!(written(&original, &Later::Unsubscribe, "back1.1", 0), None, "{header}");
        }
    }
}

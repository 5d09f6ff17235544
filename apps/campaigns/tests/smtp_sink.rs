//! The e-mail sender against a real SMTP server and each of its faults.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{collections::HashSet, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
};
use windlass::Time;
use windlass_campaigns::channel::{Email, RefusalClass, SendOutcome, SmtpSender};
use windlass_doubles::log::{CAMPAIGN_HEADER, JOB_HEADER};
use windlass_doubles::{Faults, Handle, Rate, log::Delivery, smtp};

/// A condition that is not met by then never will be.
const DEADLINE: Duration = Duration::from_secs(20);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn sink(dir: &Path, faults: Faults) -> Handle {
    smtp::start(any_port(), &dir.join("mail.jsonl"), faults).await.unwrap()
}

fn logged(sink: &Handle) -> Vec<Delivery<'static>> {
    let text = std::fs::read_to_string(sink.log_path()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn send(sender: &SmtpSender, job: &str, to: &str) -> SendOutcome {
    let email = Email {
        message_id: &format!("<{job}@example.com>"),
        touch: job,
        campaign: "7",
        from: "Ann <ann@example.com>",
        reply_to: None,
        to,
        to_name: "Bob",
        subject: "Hello",
        text: "Hi Bob,\n.\n..\nall is well\n",
        html: None,
        unsubscribe: None,
        feedback_id: None,
        date: Time(1_800_000_000_000),
        headers: &[(JOB_HEADER, job), (CAMPAIGN_HEADER, "7")],
    };
    sender.send(&email).await
}

#[tokio::test]
async fn the_sender_and_the_server_agree_on_every_mail() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;
    let sender = Arc::new(SmtpSender::new(&sink.url()).unwrap());
    let mut tasks = JoinSet::new();
    for task in 0..30 {
        let sender = Arc::clone(&sender);
        tasks.spawn(async move {
            for number in 0..20 {
                let (job, to) = (format!("j{task}-{number}"), format!("c{task}.{number}@example.com"));
                let outcome = send(&sender, &job, &to).await;
                assert!(
                    matches!(&outcome, SendOutcome::Sent { provider_id } if provider_id.starts_with('q')),
                    "{outcome:?}"
                );
            }
        });
    }
    tasks.join_all().await;
    let log = logged(&sink);
    let jobs: HashSet<&str> = log.iter().map(|delivery| delivery.job.as_deref().unwrap()).collect();
    assert_eq!((log.len(), jobs.len()), (600, 600));
    for delivery in &log {
        let job = delivery.job.as_deref().unwrap();
        assert_eq!(delivery.message_id.as_deref(), Some(&*format!("<{job}@example.com>")));
        assert_eq!(delivery.campaign.as_deref(), Some("7"));
        assert_eq!(delivery.to, format!("c{}@example.com", job[1..].replace('-', ".")));
    }
    assert!(sink.counters().connections <= 30, "connections are kept: {:?}", sink.counters());
}

#[tokio::test]
async fn a_refusal_is_the_recipients_and_leaves_the_connection_usable() {
    let dir = tempfile::tempdir().unwrap();
    let refused_recipients = HashSet::from(["gone@example.com".to_owned()]);
    let sink = sink(dir.path(), Faults { refused_recipients, ..Faults::default() }).await;
    let sender = SmtpSender::new(&sink.url()).unwrap();
    for _ in 0..3 {
        let outcome = send(&sender, "j1", "Gone@example.com").await;
        assert!(
            matches!(&outcome, SendOutcome::Refused(no) if no.code == "smtp/550-5.1.1" && no.class == RefusalClass::Bounce),
            "{outcome:?}"
        );
        assert!(matches!(send(&sender, "j2", "bob@example.com").await, SendOutcome::Sent { .. }));
    }
    assert_eq!((sink.counters().connections, sink.counters().refused), (1, 3));
    assert_eq!(logged(&sink).len(), 3);
}

#[tokio::test]
async fn greylisting_says_when_to_come_back_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults { defer: Rate::ALWAYS, ..Faults::default() }).await;
    let sender = SmtpSender::new(&sink.url()).unwrap();
    let outcome = send(&sender, "j1", "bob@example.com").await;
    assert!(
        matches!(&outcome, SendOutcome::Refused(no) if no.code == "smtp/451-4.7.1" && no.class == RefusalClass::Temporary && no.retry_after_ms == Some(1_000)),
        "{outcome:?}"
    );
    assert_eq!(logged(&sink).len(), 0);
    assert_eq!(sink.counters().deferred, 1);
}

#[tokio::test]
async fn a_dropped_reply_leaves_a_mail_that_may_have_arrived_and_did() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults { drop_reply: Rate::ALWAYS, ..Faults::default() }).await;
    let sender = SmtpSender::new(&sink.url()).unwrap();
    let outcome = send(&sender, "j1", "bob@example.com").await;
    let SendOutcome::Unanswered(error) = outcome else { panic!("{outcome:?}") };
    assert!(error.may_have_arrived && error.to_string().starts_with("reply_lost: "), "{error}");
    let log = logged(&sink);
    assert!(log.len() == 1 && log[0].reply_dropped);
}

#[tokio::test]
async fn a_server_that_is_not_there_has_taken_nothing() {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let sender = SmtpSender::new(&format!("smtp://{addr}")).unwrap();
    let outcome = send(&sender, "j1", "bob@example.com").await;
    assert!(matches!(&outcome, SendOutcome::Unanswered(error) if !error.may_have_arrived), "{outcome:?}");
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_costs_no_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let first = sink(dir.path(), Faults::default()).await;
    let (addr, log) = (first.addr(), first.log_path().to_owned());
    let sender = SmtpSender::new(&first.url()).unwrap();
    assert!(matches!(send(&sender, "j1", "bob@example.com").await, SendOutcome::Sent { .. }));
    first.shutdown().await;
    let second = smtp::start(addr, &log, Faults::default()).await.unwrap();
    assert!(matches!(send(&sender, "j2", "bob@example.com").await, SendOutcome::Sent { .. }));
    assert_eq!(logged(&second).len(), 2, "a log is appended to");
}

#[tokio::test]
async fn a_cancelled_send_closes_its_connection_instead_of_leaving_replies_to_the_next_mail() {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let sender = Arc::new(SmtpSender::new(&format!("smtp://{}", listener.local_addr().unwrap())).unwrap());
    let (content_read, mut content_was_read) = mpsc::channel::<()>(1);
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        socket.get_mut().write_all(b"220 x\r\n").await.unwrap();
        let (mut line, mut in_content) = (String::new(), false);
        loop {
            line.clear();
            if socket.read_line(&mut line).await.unwrap() == 0 {
                return in_content;
            }
            if in_content {
                if line == ".\r\n" {
                    content_read.send(()).await.unwrap();
                }
                continue;
            }
            in_content = line.starts_with("DATA");
            let reply: &[u8] = if in_content { b"354 go\r\n" } else { b"250 ok\r\n" };
            socket.get_mut().write_all(reply).await.unwrap();
        }
    });
    let send = {
        let sender = Arc::clone(&sender);
        tokio::spawn(async move { send(&sender, "j1", "bob@example.com").await })
    };
    tokio::time::timeout(DEADLINE, content_was_read.recv()).await.unwrap().unwrap();
    send.abort();
    assert!(send.await.unwrap_err().is_cancelled());
    assert!(tokio::time::timeout(DEADLINE, server).await.expect("the connection was closed").unwrap());
}

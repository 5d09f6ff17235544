//! The mail client against a server that says what a test tells it: every stage at which it can say no.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use windlass::Time;
use windlass_campaigns::channel::{Email, Refusal, RefusalClass, SendError, SendOutcome, SmtpSender};

/// Replies by the first word of a command; `greeting` and `content` for what no command asks for.
type Script = HashMap<&'static str, &'static str>;

#[derive(Clone)]
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(replies: &[(&'static str, &'static str)]) -> Self {
        let mut script = Script::from([
            ("greeting", "220 x"),
            ("EHLO", "250-x\r\n250 AUTH PLAIN LOGIN"),
            ("AUTH", "235 2.7.0 welcome"),
            ("MAIL", "250 2.1.0 ok"),
            ("RCPT", "250 2.1.5 ok"),
            ("DATA", "354 go on"),
            ("content", "250 2.0.0 ok: queued as 42"),
            ("RSET", "250 2.0.0 ok"),
        ]);
        script.extend(replies.iter().copied());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), heard: Arc::default() };
        let heard = Arc::clone(&server.heard);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(talk(socket, script.clone(), Arc::clone(&heard)));
            }
        });
        server
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn talk(socket: TcpStream, script: Script, heard: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    socket.write_all(format!("{}\r\n", script["greeting"]).as_bytes()).await?;
    let (mut line, mut in_content) = (String::new(), false);
    loop {
        line.clear();
        if socket.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let said = line.trim_end();
        heard.lock().unwrap().push(said.to_owned());
        let key = match (in_content, said) {
            (true, ".") => "content",
            (true, _) => continue,
            (false, command) => command.split(' ').next().unwrap_or_default(),
        };
        let reply = script.get(key).copied().unwrap_or("502 5.5.1 what?");
        in_content = key == "DATA" && reply.starts_with("354");
        socket.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

async fn send(sender: &SmtpSender, html: Option<&str>) -> SendOutcome {
    let email = Email {
        message_id: "<t17.a1@example.com>",
        touch: "17",
        campaign: "3",
        from: "Ann <ann@example.com>",
        reply_to: None,
        to: "bob@example.org",
        to_name: "",
        subject: "Hello",
        text: "Hi",
        html,
        unsubscribe: None,
        feedback_id: None,
        date: Time(1_700_000_000_000),
        headers: &[],
    };
    sender.send(&email).await
}

async fn outcome(replies: &[(&'static str, &'static str)]) -> SendOutcome {
    let server = Server::start(replies).await;
    let sender = SmtpSender::new(&format!("smtp://ann:secret@127.0.0.1:{}", server.port)).unwrap();
    send(&sender, None).await
}

#[tokio::test]
async fn a_refusal_says_at_which_stage_it_came_and_whom_it_is_about() {
    use RefusalClass::{Bounce, Ours, Temporary};
    for (stage, reply, code, class, retry_after_ms) in [
        ("AUTH", "535 5.7.8 bad password", "smtp/auth/535-5.7.8", Ours, None),
        ("greeting", "554 5.7.1 listed", "smtp/hello/554-5.7.1", Ours, None),
        ("MAIL", "550 5.1.1 no such sender", "smtp/mail/550-5.1.1", Ours, None),
        ("MAIL", "451 4.7.1 slower", "smtp/mail/451-4.7.1", Temporary, None),
        ("RCPT", "550-5.1.1 no\r\n550 5.1.1 such user", "smtp/550-5.1.1", Bounce, None),
        ("RCPT", "450 4.2.0 greylisted for 300 seconds", "smtp/450-4.2.0", Temporary, Some(300_000)),
        ("RCPT", "421 4.7.0 too many from you", "smtp/421-4.7.0", Temporary, None),
        ("DATA", "554 5.7.1 no", "smtp/554-5.7.1/content", Bounce, None),
        ("content", "554 5.7.1 spam", "smtp/554-5.7.1/content", Bounce, None),
        ("content", "552 5.2.2 full", "smtp/552-5.2.2/content", Bounce, None),
    ] {
        let refused = outcome(&[(stage, reply)]).await;
        let SendOutcome::Refused(Refusal { code: seen, why, class: seen_class, retry_after_ms: wait }) =
            refused
        else {
            panic!("{stage} {reply}: {refused:?}")
        };
        assert_eq!((seen.as_str(), seen_class, wait), (code, class, retry_after_ms), "{stage} {reply}");
        assert!(why.contains(&reply[..3]) && !why.contains('\n'), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_is_busy_before_the_envelope_says_nothing_about_the_message() {
    for (stage, reply) in [
        ("greeting", "421 4.3.2 later"),
        ("EHLO", "450 4.3.2 later"),
        ("AUTH", "454 4.7.0 later"),
        ("greeting", "nonsense"),
    ] {
        let unanswered = outcome(&[(stage, reply)]).await;
        let SendOutcome::Unanswered(SendError { may_have_arrived, .. }) = unanswered else {
            panic!("{stage} {reply}: {unanswered:?}")
        };
        assert!(!may_have_arrived, "{stage} {reply}");
    }
    let sent = outcome(&[]).await;
    assert_eq!(sent, SendOutcome::Sent { provider_id: "42".to_owned() });
}

#[tokio::test]
async fn a_refused_recipient_leaves_the_connection_to_the_next_mail_and_a_closing_server_does_not() {
    let count = |heard: &[String], word: &str| heard.iter().filter(|line| line.starts_with(word)).count();
    for (reply, connections) in [("550 5.1.1 no such user", 1), ("421 4.7.0 closing", 2)] {
        let server = Server::start(&[("RCPT", reply)]).await;
        let sender = SmtpSender::new(&format!("smtp://127.0.0.1:{}", server.port)).unwrap();
        send(&sender, None).await;
        send(&sender, None).await;
        assert_eq!(count(&server.heard(), "EHLO"), connections, "{reply}");
        assert_eq!(count(&server.heard(), "RCPT"), 2, "{reply}");
    }
}

#[tokio::test]
async fn a_password_is_not_sent_to_a_server_without_tls_that_had_to_have_it() {
    let server = Server::start(&[]).await;
    let url = format!("smtp+starttls://ann:secret@127.0.0.1:{}", server.port);
    let unanswered = send(&SmtpSender::new(&url).unwrap(), None).await;
    assert!(
        matches!(&unanswered, SendOutcome::Unanswered(error) if !error.may_have_arrived && error.why.contains("STARTTLS")),
        "{unanswered:?}"
    );
    assert_eq!(server.heard().len(), 1, "nothing but EHLO: {:?}", server.heard());
}

#[tokio::test]
async fn both_parts_of_a_mail_arrive_whole() {
    let server = Server::start(&[]).await;
    let sender = SmtpSender::new(&format!("smtp://127.0.0.1:{}", server.port)).unwrap();
    let sent = send(&sender, Some("<p>Hi</p>\n.\n<p>..</p>")).await;
    assert!(matches!(sent, SendOutcome::Sent { .. }), "{sent:?}");
    let heard = server.heard();
    let at = |line: &str| {
        heard.iter().position(|heard| heard == line).unwrap_or_else(|| panic!("{line}: {heard:?}"))
    };
    assert!(at("Hi") < at("<p>Hi</p>"), "the text comes first");
    assert!(at("<p>Hi</p>") < at("..") && at("..") < at("<p>..</p>"), "a dot alone is doubled on the wire");
    assert!(at("Message-ID: <t17.a1@example.com>") < at("Hi"));
}

//! The SMTP server against well-behaved clients and against nonsense.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{net::SocketAddr, path::Path, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        client::{Tls as ClientTls, TlsParameters},
    },
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use windlass_doubles::{
    Faults, Handle, Rules,
    log::Delivery,
    smtp::{self, MAX_COMMAND_LINE_BYTES, MAX_MESSAGE_BYTES, Options, Tls, User},
};

/// A condition that is not met by then never will be.
const DEADLINE: Duration = Duration::from_secs(20);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn sink(dir: &Path, faults: Faults) -> Handle {
    smtp::start(any_port(), &dir.join("mail.jsonl"), faults).await.unwrap()
}

async fn ruled(dir: &Path, rules: &[&str]) -> Handle {
    let options = Options { rules: Rules::parse(1, rules).unwrap(), ..Options::default() };
    smtp::start(any_port(), &dir.join("mail.jsonl"), options).await.unwrap()
}

fn logged(sink: &Handle) -> Vec<Delivery<'static>> {
    let text = std::fs::read_to_string(sink.log_path()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A client without manners.
struct Raw(BufReader<TcpStream>);

impl Raw {
    async fn connect(sink: &Handle) -> Self {
        let mut raw = Self(BufReader::new(TcpStream::connect(sink.addr()).await.unwrap()));
        assert!(raw.line().await.starts_with("220 "));
        raw
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next reply line, or an empty one when the server has closed.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        match tokio::time::timeout(DEADLINE, self.0.read_line(&mut line)).await {
            Ok(Ok(_)) => line.trim_end().to_owned(),
            // A server that closes with our bytes unread resets the connection.
            Ok(Err(_)) => String::new(),
            Err(_) => panic!("no reply within {DEADLINE:?}"),
        }
    }

    async fn reply(&mut self) -> String {
        loop {
            let line = self.line().await;
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    async fn ask(&mut self, command: &str) -> String {
        self.say(format!("{command}\r\n")).await;
        self.reply().await
    }

    async fn expect_closed(&mut self) {
        let mut rest = Vec::new();
        let _ =
            tokio::time::timeout(DEADLINE, self.0.read_to_end(&mut rest)).await.expect("the server closes");
    }
}

#[tokio::test]
async fn a_mail_stands_in_the_log_when_its_sender_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;
    let transport =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(sink.addr().port()).build();
    let message = Message::builder()
        .from("Zoë <zoe@example.com>".parse().unwrap())
        .to("bob@example.com".parse().unwrap())
        .to("eve@example.com".parse().unwrap())
        .subject("dots")
        .message_id(Some("<m1@example.com>".to_owned()))
        .body(".\r\n..\r\n...x\r\n".to_owned())
        .unwrap();
    let size = message.formatted().len() as u64;
    transport.send(message).await.unwrap();

    let log = logged(&sink);
    assert_eq!(log.len(), 2, "one line for each recipient");
    assert_eq!([&*log[0].to, &*log[1].to], ["bob@example.com", "eve@example.com"]);
    for delivery in &log {
        assert_eq!(delivery.message_id.as_deref(), Some("<m1@example.com>"));
        assert_eq!(delivery.from, "zoe@example.com");
        assert_eq!(delivery.subject.as_deref(), Some("dots"));
        assert_eq!(delivery.job, None);
        assert_eq!(delivery.bytes, size + 2, "the dots that transport adds are taken out");
    }
    assert_eq!(sink.counters().accepted, 1);
}

#[tokio::test]
async fn a_whole_conversation_in_one_packet_is_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;
    let mut raw = Raw::connect(&sink).await;
    raw.say(
        "HELO me\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\nSubject: 1\r\n\r\none\r\n.\r\n\
         mail from: <> SIZE=10 BODY=8BITMIME\r\nrcpt to:<c@x.org>\r\nDATA\r\n.\r\nNOOP\r\nVRFY x\r\nQUIT\r\nNOOP\r\n",
    )
    .await;
    let mut codes = Vec::new();
    loop {
        let line = raw.line().await;
        if line.is_empty() {
            break;
        }
        codes.push(line[..3].to_owned());
    }
    assert_eq!(codes, ["250", "250", "250", "354", "250", "250", "250", "354", "250", "250", "252", "221"]);
    let log = logged(&sink);
    assert_eq!((log.len(), &*log[0].to, &*log[1].to, &*log[1].from), (2, "b@x.org", "c@x.org", ""));
}

#[tokio::test]
async fn extensions_are_announced() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;
    let mut raw = Raw::connect(&sink).await;
    raw.say("EHLO me\r\n").await;
    let mut lines = Vec::new();
    loop {
        lines.push(raw.line().await);
        if lines.last().unwrap().starts_with("250 ") {
            break;
        }
    }
    for extension in ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 10485760"] {
        assert!(lines.iter().any(|line| line.ends_with(extension)), "{extension} in {lines:?}");
    }
}

#[tokio::test]
async fn commands_out_of_order_are_refused_and_the_conversation_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;
    let mut raw = Raw::connect(&sink).await;
    for (command, code) in [
        ("MAIL FROM:<a@x.org>", "503"),
        ("EHLO", "501"),
        ("EHLO me", "250"),
        ("RCPT TO:<b@x.org>", "503"),
        ("DATA", "503"),
        ("MAIL FROM:a@x.org", "501"),
        ("MAIL FROM:<a>", "501"),
        ("MAIL FROM:<a@x.org> SIZE=99999999999", "552"),
        ("MAIL FROM:<a@x.org> SMTPUTF8", "555"),
        ("MAIL FROM:<a@x.org>", "250"),
        ("MAIL FROM:<a@x.org>", "503"),
        ("DATA", "554"),
        ("RCPT TO:<>", "501"),
        ("RCPT TO:<b@x.org> NOTIFY=NEVER", "555"),
        ("RCPT TO:<b@x.org>", "250"),
        ("DATA now", "501"),
        ("RSET", "250"),
        ("DATA", "503"),
        ("AUTH PLAIN", "502"),
        ("QUIT", "221"),
    ] {
        let reply = raw.ask(command).await;
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
    raw.expect_closed().await;
    assert_eq!(logged(&sink).len(), 0);
}

#[tokio::test]
async fn nonsense_is_answered_bounded_and_hurts_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;

    let mut long = Raw::connect(&sink).await;
    for _ in 0..200 {
        long.say(vec![b'x'; MAX_COMMAND_LINE_BYTES]).await;
    }
    long.say("\r\n").await;
    assert!(long.reply().await.starts_with("500 5.5.2 line too long"));
    assert!(long.ask("NOOP").await.starts_with("250"), "the line after it is a command again");

    let mut bare = Raw::connect(&sink).await;
    bare.say("NOOP\n").await;
    assert!(bare.reply().await.starts_with("500 5.5.2 lines end with CRLF"));

    let mut binary = Raw::connect(&sink).await;
    let noise: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    // The server may have closed before all of it is written.
    let _ = binary.0.get_mut().write_all(&noise).await;
    binary.expect_closed().await;

    let silent = Raw::connect(&sink).await;
    let mut unfinished = Raw::connect(&sink).await;
    unfinished.say("MAIL FRO").await;
    drop(unfinished);

    let mut polite = Raw::connect(&sink).await;
    for command in ["EHLO me", "MAIL FROM:<a@x.org>", "RCPT TO:<b@x.org>", "DATA"] {
        polite.ask(command).await;
    }
    assert!(polite.ask("Subject: x\r\n\r\n.").await.starts_with("250"));
    assert_eq!(logged(&sink).len(), 1);
    assert!(sink.counters().nonsense > 20, "{:?}", sink.counters());
    drop(silent);
}

#[tokio::test]
async fn a_mail_cut_off_before_its_end_was_never_sent() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;
    let mut raw = Raw::connect(&sink).await;
    raw.ask("EHLO me").await;
    raw.ask("MAIL FROM:<a@x.org>").await;
    raw.ask("RCPT TO:<b@x.org>").await;
    assert!(raw.ask("DATA").await.starts_with("354"));
    raw.say("Subject: half\r\n\r\nhalf\r\n.\r").await;
    drop(raw);
    sink.shutdown().await;
    assert_eq!(std::fs::read_to_string(dir.path().join("mail.jsonl")).unwrap(), "");
}

#[tokio::test]
async fn a_mail_above_the_limit_is_refused_while_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;
    let mut raw = Raw::connect(&sink).await;
    raw.ask("EHLO me").await;
    raw.ask("MAIL FROM:<a@x.org>").await;
    raw.ask("RCPT TO:<b@x.org>").await;
    assert!(raw.ask("DATA").await.starts_with("354"));
    let (mut read, mut write) = raw.0.into_inner().into_split();
    let writer = tokio::spawn(async move {
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..=(MAX_MESSAGE_BYTES / chunk.len() as u64) {
            if write.write_all(&chunk).await.is_err() {
                return;
            }
        }
    });
    // A reset may overtake the reply; the server's count says the same.
    let _ =
        tokio::time::timeout(DEADLINE, read.read_to_end(&mut Vec::new())).await.expect("the server closes");
    writer.await.unwrap();
    assert_eq!((sink.counters().refused, sink.counters().accepted), (1, 0));
}

#[tokio::test]
async fn a_stopping_server_finishes_the_mail_that_has_begun_and_sends_the_others_away() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path(), Faults::default()).await;
    let (addr, mut idle, mut busy) = (sink.addr(), Raw::connect(&sink).await, Raw::connect(&sink).await);
    busy.ask("EHLO me").await;
    busy.ask("MAIL FROM:<a@x.org>").await;
    busy.ask("RCPT TO:<b@x.org>").await;
    assert!(busy.ask("DATA").await.starts_with("354"));
    let stopping = tokio::spawn(sink.shutdown());
    assert!(idle.reply().await.starts_with("421"), "the idle connection hears of it");
    busy.say("Subject: last\r\n\r\n.\r\n").await;
    assert!(busy.reply().await.starts_with("250"));
    assert_eq!(stopping.await.unwrap().accepted, 1);
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

/// Says everything up to the recipient, and gives the reply to it.
async fn offer(raw: &mut Raw, to: &str) -> String {
    raw.ask("EHLO me").await;
    raw.ask("MAIL FROM:<a@x.org>").await;
    raw.ask(&format!("RCPT TO:<{to}>")).await
}

#[tokio::test]
async fn recipients_are_answered_as_the_rules_say() {
    let dir = tempfile::tempdir().unwrap();
    let rules = [
        "gone@*=550",
        "full@*=552",
        "spam@*=554",
        "*@busy.example=450",
        "moved@*=551:5.1.6 moved away",
        "shut@*=421",
        "*@grey.example=greylist",
    ];
    let sink = ruled(dir.path(), &rules).await;
    let mut raw = Raw::connect(&sink).await;
    for (to, reply) in [
        ("Gone@x.org", "550 5.1.1 "),
        ("full@x.org", "552 5.2.2 "),
        ("spam@x.org", "554 5.7.1 "),
        ("bob@busy.example", "450 4.2.1 "),
        ("moved@x.org", "551 5.1.6 moved away"),
        ("bob@grey.example", "450 4.2.0 greylisted"),
        ("bob@grey.example", "250 "),
        ("eve@grey.example", "450 4.2.0 greylisted"),
        ("bob@x.org", "250 "),
    ] {
        let said = offer(&mut raw, to).await;
        assert!(said.starts_with(reply), "{to}: {said}");
    }
    assert!(offer(&mut raw, "shut@x.org").await.starts_with("421 4.7.0 "));
    raw.expect_closed().await;
    assert_eq!(logged(&sink).len(), 0);
    assert_eq!((sink.counters().refused, sink.counters().deferred), (4, 4));
}

#[tokio::test]
async fn a_dropped_reply_is_of_a_mail_that_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let sink = ruled(dir.path(), &["lost@*=drop", "*=slow:1ms"]).await;
    let mut raw = Raw::connect(&sink).await;
    offer(&mut raw, "lost@x.org").await;
    raw.ask("DATA").await;
    raw.say("Subject: x\r\n\r\n.\r\n").await;
    raw.expect_closed().await;
    let log = logged(&sink);
    assert!(log.len() == 1 && log[0].reply_dropped);
}

#[tokio::test]
async fn whoever_has_not_logged_in_may_not_send_where_a_user_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let user = User { name: "ann".into(), password: "secret".into() };
    let options = Options { user: Some(user), ..Options::default() };
    let sink = smtp::start(any_port(), &dir.path().join("mail.jsonl"), options).await.unwrap();
    let mut raw = Raw::connect(&sink).await;
    for (command, reply) in [
        ("EHLO me", "250"),
        ("MAIL FROM:<a@x.org>", "530 5.7.0"),
        ("AUTH CRAM-MD5", "504"),
        ("AUTH PLAIN", "334 "),
        ("*", "501"),
        ("AUTH PLAIN ?", "501"),
        // NUL ann NUL guess, and NUL ann NUL secret.
        ("AUTH PLAIN AGFubgBndWVzcw==", "535 5.7.8"),
        ("AUTH PLAIN", "334 "),
        ("AGFubgBzZWNyZXQ=", "235"),
        ("AUTH PLAIN AGFubgBzZWNyZXQ=", "503"),
        ("MAIL FROM:<a@x.org> AUTH=<>", "250"),
    ] {
        let said = raw.ask(command).await;
        assert!(said.starts_with(reply.trim_end()), "{command}: {said}");
    }
    let mut raw = Raw::connect(&sink).await;
    for (command, reply) in [
        ("EHLO me", "250"),
        ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
        ("YW5u", "334 UGFzc3dvcmQ6"),
        ("c2VjcmV0", "235"),
        ("MAIL FROM:<a@x.org>", "250"),
        ("RCPT TO:<b@x.org>", "250"),
        ("DATA", "354"),
        ("\r\n.", "250"),
    ] {
        let said = raw.ask(command).await;
        assert!(said.starts_with(reply), "{command}: {said}");
    }
    assert_eq!(logged(&sink)[0].account.as_deref(), Some("ann"));
}

#[tokio::test]
async fn a_real_client_encrypts_logs_in_by_either_way_and_sends() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let options = Options {
        user: Some(User { name: "ann".into(), password: "secret".into() }),
        tls: Some(Tls::from_files(&certificate, &key).unwrap()),
        ..Options::default()
    };
    let sink = smtp::start(any_port(), &dir.path().join("mail.jsonl"), options).await.unwrap();

    let mut raw = Raw::connect(&sink).await;
    raw.ask("EHLO me").await;
    assert!(raw.ask("AUTH PLAIN AGFubgBzZWNyZXQ=").await.starts_with("502"), "no password in the clear");
    assert!(raw.ask("MAIL FROM:<a@x.org>").await.starts_with("530 5.7.0 STARTTLS first"));

    let trusted = lettre::transport::smtp::client::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let tls = TlsParameters::builder("localhost".to_owned()).add_root_certificate(trusted.clone());
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
            .port(sink.addr().port())
            .tls(ClientTls::Required(tls.build().unwrap()))
            .credentials(Credentials::new("ann".into(), "secret".into()))
            .authentication(vec![mechanism])
            .build();
        let message = Message::builder().from("a@x.org".parse().unwrap()).to("b@x.org".parse().unwrap());
        transport.send(message.body("x".to_owned()).unwrap()).await.unwrap();
    }
    assert_eq!(logged(&sink).len(), 2);
    assert!(Tls::from_pem(b"", b"").is_err());
}

#[tokio::test]
async fn what_was_sent_in_the_clear_ahead_of_the_encryption_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let options = Options { tls: Some(tls), ..Options::default() };
    let sink = smtp::start(any_port(), &dir.path().join("mail.jsonl"), options).await.unwrap();
    let mut raw = Raw::connect(&sink).await;
    raw.ask("EHLO me").await;
    raw.say("STARTTLS\r\nMAIL FROM:<evil@x.org>\r\n").await;
    assert!(raw.line().await.starts_with("220 "));
    // What is no handshake ends the connection.
    raw.say("NOOP\r\n").await;
    raw.expect_closed().await;
}

#[tokio::test]
async fn the_inbox_shows_every_mail_with_its_header_and_a_verdict_and_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { inbox: Some(any_port()), ..Options::default() };
    let sink = smtp::start(any_port(), &dir.path().join("mail.jsonl"), options).await.unwrap();
    let mut raw = Raw::connect(&sink).await;
    for (to, header) in [
        (
            "bob@x.org",
            "List-Unsubscribe: <https://x.org/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        ),
        ("eve@x.org", ""),
    ] {
        offer(&mut raw, to).await;
        raw.ask("DATA").await;
        let said = raw.ask(&format!("Subject: Hi <b>you</b>\r\n{header}\r\n..dotted <i>\r\n.")).await;
        assert!(said.starts_with("250"), "{said}");
    }
    let log = logged(&sink);
    assert_eq!(log[0].list_unsubscribe.as_deref(), Some("<https://x.org/u>"));
    assert_eq!(log[0].list_unsubscribe_post.as_deref(), Some("List-Unsubscribe=One-Click"));

    // The error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let base = sink.page_url().unwrap();
    let get =
        async |path: &str| client.get(format!("{base}{path}")).send().await.unwrap().text().await.unwrap();
    let json = async |path: &str| serde_json::from_str::<Value>(&get(path).await).unwrap();
    let list = json("/messages").await;
    assert_eq!((&list["seen"], &list["data"][0]["to"][0]), (&2.into(), &"eve@x.org".into()), "newest first");
    let verdicts: Vec<&Value> = (0..2).map(|at| &list["data"][at]["unsubscribe"]["one_click"]).collect();
    assert_eq!(verdicts, [&Value::Bool(false), &Value::Bool(true)]);
    assert_eq!(json("/messages?to=BOB@x.org").await["data"].as_array().unwrap().len(), 1);
    let mail = json("/messages/1").await;
    assert_eq!(mail["headers"][0], serde_json::json!(["Subject", "Hi <b>you</b>"]));
    assert_eq!(mail["parts"][0]["text"], ".dotted <i>\r\n");
    assert!(get("/messages/1/raw").await.ends_with("\r\n\r\n.dotted <i>\r\n"));
    let page = get("/").await;
    assert!(
        page.contains("not one click")
            && page.contains("Hi &lt;b&gt;you&lt;/b&gt;")
            && !page.contains("<b>you")
    );
    let page = get("/mail/2").await;
    assert!(page.contains("There is no List-Unsubscribe.") && page.contains(".dotted &lt;i&gt;"), "{page}");
    client.delete(format!("{base}/messages")).send().await.unwrap();
    assert_eq!(json("/messages").await["data"].as_array().unwrap().len(), 0);
    assert!(json("/messages/1").await["error"].is_string());
    sink.shutdown().await;
    assert!(client.get(&base).send().await.is_err(), "the inbox has ended too");
}

#[tokio::test]
async fn what_comes_back_is_posted_as_a_mail_to_this_machine_only() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    let url = format!("http://{}/inbound?key=k", listener.local_addr().unwrap());
    let take = move |headers: axum::http::HeaderMap, body: String| async move {
        told.send((headers["content-type"].to_str().unwrap().to_owned(), body)).unwrap();
    };
    let router = axum::Router::new().route("/inbound", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let dir = tempfile::tempdir().unwrap();
    let send = async |url: &str| {
        let rules = ["gone@*=bounce:5.1.10", "bob@*=reply:Yes", "bob@*=autoreply"];
        let options = Options {
            rules: Rules::parse(1, &rules).unwrap(),
            inbound_url: Some(url.to_owned()),
            pace: Duration::from_millis(1),
            ..Options::default()
        };
        let sink = smtp::start(any_port(), &dir.path().join("mail.jsonl"), options).await.unwrap();
        let port = sink.addr().port();
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(port).build();
        let message = Message::builder()
            .from("ann@example.com".parse().unwrap())
            .to("gone@example.org".parse().unwrap())
            .to("bob@example.org".parse().unwrap())
            .to("eve@example.org".parse().unwrap())
            .subject("News")
            .message_id(Some("<m1@example.com>".to_owned()))
            .body("Hello".to_owned())
            .unwrap();
        transport.send(message).await.unwrap();
        sink
    };
    let sink = send(&url).await;
    let mut mails = Vec::new();
    for _ in 0..3 {
        let mail = tokio::time::timeout(DEADLINE, heard.recv()).await.expect("it comes back").unwrap();
        assert_eq!(mail.0, "message/rfc822");
        mails.push(mail.1);
    }
    let with = |part: &str| mails.iter().filter(|mail| mail.contains(part)).count();
    assert_eq!(
        with("Status: 5.1.10\r\nDiagnostic-Code: smtp; 550 5.1.10 <gone@example.org>"),
        1,
        "{mails:#?}"
    );
    assert_eq!(
        with("From: <bob@example.org>\r\nTo: <ann@example.com>\r\nSubject: Re: News\r\n"),
        1,
        "{mails:#?}"
    );
    assert_eq!((with("Auto-Submitted: auto-replied"), with("<m1@example.com>")), (2, 3), "{mails:#?}");
    let counters = sink.shutdown().await;
    assert_eq!((counters.accepted, counters.inbound, counters.callbacks_failed), (1, 3, 0));

    let sink = send("http://192.0.2.1/inbound").await;
    let begun = std::time::Instant::now();
    while sink.counters().callbacks_failed < 3 {
        assert!(begun.elapsed() < DEADLINE, "{:?}", sink.counters());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

//! The SMTP server against well-behaved clients and against nonsense.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{net::SocketAddr, path::Path, time::Duration};

use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use windlass_doubles::{
    Faults, Handle,
    log::Delivery,
    smtp::{self, MAX_COMMAND_LINE_BYTES, MAX_MESSAGE_BYTES},
};

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

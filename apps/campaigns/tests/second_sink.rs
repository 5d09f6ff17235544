//! The e-mail sender before two servers: the double, and aiosmtpd, which is by somebody else. They see the same.
//!
//! What aiosmtpd runs on is brought by `cargo xtask test`, below the target directory. Its judgement of a mail's header
//! and texts is that of Python's own `email` package.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use windlass::Time;
use windlass_campaigns::channel::{Email, SendOutcome, SmtpSender, Unsubscribe};
use windlass_doubles::{
    Rules,
    smtp::{self, Options},
};

/// A condition that is not met by then never will be.
const DEADLINE: Duration = Duration::from_secs(20);

/// A mail server by somebody else; it ends when its input does.
struct Other {
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
    _child: Child,
}

impl Other {
    async fn start() -> Self {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let python = target.parent().unwrap().join("opinions/python/bin/python");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../doubles/tests/opinions/sink.py");
        let started = Command::new(&python)
            .arg(script)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = started.unwrap_or_else(|error| {
            panic!("{}: {error}; `cargo xtask test -p windlass-campaigns` brings it", python.display())
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut other = Self { lines, url: String::new(), _child: child };
        other.url = format!("smtp://127.0.0.1:{}", other.next().await["port"]);
        other
    }

    /// What it says next.
    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await.expect("a line").unwrap();
        serde_json::from_str(&line.expect("it runs")).unwrap()
    }
}

fn plain<'a>(message_id: &'a str, to: &'a str) -> Email<'a> {
    Email {
        message_id,
        touch: "7",
        campaign: "3",
        from: "Ann <ann@example.com>",
        reply_to: None,
        to,
        to_name: "Bob",
        subject: "Hello",
        text: "Hi Bob,\n.\n..\n.hidden\n\nall is well\n",
        html: None,
        unsubscribe: None,
        feedback_id: None,
        date: Time(1_800_000_000_000),
        headers: &[],
    }
}

/// A mail as one of the two saw it, without what is drawn anew for each: the boundary between its parts.
fn comparable(headers: &Value, texts: Vec<&Value>, envelope: [&Value; 2], bytes: &Value) -> Value {
    let headers = headers.as_array().unwrap().iter().filter(|field| field[0] != "Content-Type");
    let texts: Vec<String> = texts.iter().map(|text| text.as_str().unwrap().replace("\r\n", "\n")).collect();
    json!({ "headers": headers.collect::<Vec<_>>(), "texts": texts, "envelope": envelope, "bytes": bytes })
}

#[tokio::test]
async fn the_double_and_another_server_see_the_same_mail_and_say_the_same_no() {
    let dir = tempfile::tempdir().unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let rules = Rules::parse(1, &["gone@*=550", "later@*=451"]).unwrap();
    let options = Options { rules, inbox: Some(any_port), ..Options::default() };
    let double = smtp::start(any_port, &dir.path().join("mail.jsonl"), options).await.unwrap();
    let mut other = Other::start().await;
    let senders = [double.url(), other.url.clone()].map(|url| SmtpSender::new(&url).unwrap());

    let mails = [
        plain("<t1.i1@example.com>", "bob@example.com"),
        Email {
            from: "Zoë Müller <zoe@example.com>",
            reply_to: Some("Desk <desk@example.com>"),
            to_name: "Björn Å",
            subject: "Grüße, and a subject that is long enough to be folded into more than one line of the header ✓",
            text: "Grüße ✓\n.\n= equals =3D and a very long line: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
            html: Some("<p>Grüße ✓</p>\n.\n"),
            unsubscribe: Some(Unsubscribe {
                https_url: "https://mail.example.com/u/t7?a=1&b=2",
                mailto: Some("leave@example.com?subject=t7"),
            }),
            feedback_id: Some("3:7:campaign:windlass"),
            headers: &[("X-Extra", "yes")],
            ..plain("<t2.i1@example.com>", "bob@example.com")
        },
    ];
    // The error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    for (number, mail) in (1..).zip(&mails) {
        for sender in &senders {
            let outcome = sender.send(mail).await;
            assert!(matches!(outcome, SendOutcome::Sent { .. }), "{outcome:?}");
        }
        let url = format!("{}/messages/{number}", double.page_url().unwrap());
        let ours: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        let texts = ours["parts"].as_array().unwrap().iter().map(|part| &part["text"]).collect();
        let ours = comparable(&ours["headers"], texts, [&ours["from"], &ours["to"]], &ours["bytes"]);
        let theirs = other.next().await;
        let texts = theirs["parts"].as_array().unwrap().iter().collect();
        let theirs =
            comparable(&theirs["headers"], texts, [&theirs["from"], &theirs["to"]], &theirs["bytes"]);
        assert_eq!(ours, theirs);
        assert_eq!(ours["texts"].as_array().unwrap().len(), 1 + usize::from(mail.html.is_some()));
    }

    for to in ["gone@example.com", "later@example.com"] {
        let mail = plain("<t3.i1@example.com>", to);
        let (ours, theirs) = (senders[0].send(&mail).await, senders[1].send(&mail).await);
        assert!(matches!(ours, SendOutcome::Refused(_)), "{ours:?}");
        assert_eq!(ours, theirs, "{to}");
    }
}

//! The monitor as people reach it: what may be set, what is shown, and that notices arrive.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use mailin::{Action, Handler, Response, Session, SessionBuilder, response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::talk::{Reply, Talk};

/// Something that must happen, and does not.
const NEVER: Duration = Duration::from_secs(60);

async fn put(talk: &Talk, path: &str, body: Value) -> Reply {
    talk.send(talk.ask("PUT", path).body(body.to_string())).await
}

/// A mail as an SMTP server got it.
#[derive(Clone, Debug, Default)]
struct Letter {
    from: String,
    to: Vec<String>,
    data: String,
}

/// A mailbox behind a real SMTP server.
#[derive(Clone)]
struct Mailbox {
    now: Letter,
    tell: Sender<Letter>,
}

impl Handler for Mailbox {
    fn mail(&mut self, _: std::net::IpAddr, _: &str, from: &str) -> Response {
        self.now = Letter { from: from.to_owned(), ..Letter::default() };
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        if to.starts_with("nobody@") {
            return response::NO_MAILBOX;
        }
        self.now.to.push(to.to_owned());
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.now.data.push_str(&String::from_utf8_lossy(bytes));
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let _ = self.tell.send(self.now.clone());
        response::OK
    }
}

/// An SMTP server on a free port. It ends with the process.
async fn mail_server() -> (u16, Receiver<Letter>) {
    let (tell, told) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        loop {
            let (stream, from) = listener.accept().await.expect("a connection");
            let handler = Mailbox { now: Letter::default(), tell: tell.clone() };
            let session = SessionBuilder::new("mail.example").build(from.ip(), handler);
            tokio::spawn(converse(stream, session));
        }
    });
    (port, told)
}

/// Hands every line to the session and its answer back.
async fn converse(stream: TcpStream, mut session: Session<Mailbox>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut answer = session.greeting();
    loop {
        let mut said = Vec::new();
        answer.write_to(&mut said)?;
        stream.get_mut().write_all(&said).await?;
        if answer.action == Action::Close {
            return Ok(());
        }
        answer = loop {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let answer = session.process(&line);
            if answer.action != Action::NoReply {
                break answer;
            }
        };
    }
}

#[tokio::test]
async fn a_rule_is_set_read_changed_and_removed() {
    let talk = Talk::begin().await;
    let all = talk.get("/v1/monitor/rules").await;
    assert_eq!((all.at("/items/0/name"), all.at("/items/0/is_default")), (json!("dead-burst"), json!(true)));
    let rule = json!({"when": "dead", "above": 5, "queue": "mail-*", "for": "2m", "remind_every": "1h"});
    let set = put(&talk, "/v1/monitor/rules/many-dead", rule).await;
    assert_eq!(
        (set.status, set.text_at("/for"), set.text_at("/recover_after")),
        (200, "2m".into(), "1m".into())
    );
    let mut read = talk.get("/v1/monitor/rules/many-dead").await.json();
    read["above"] = json!(7);
    assert_eq!(
        put(&talk, "/v1/monitor/rules/many-dead", read).await.at("/above"),
        json!(7),
        "as it was read"
    );
    let gone = talk.send(talk.ask("DELETE", "/v1/monitor/rules/many-dead")).await;
    assert_eq!(gone.status, 204);
    assert_eq!(talk.get("/v1/monitor/rules/many-dead").await.status, 404);
    let kept = talk.send(talk.ask("DELETE", "/v1/monitor/rules/dead-burst")).await;
    assert_eq!((kept.status, kept.text_at("/hint").contains("enabled=false")), (400, true));
}

#[tokio::test]
async fn nonsense_is_refused_with_what_would_be_right() {
    let talk = Talk::begin().await;
    for (path, body, told) in [
        ("/v1/monitor/rules/r", json!({"when": "sad"}), "dead_age"),
        ("/v1/monitor/rules/r", json!({"when": "dead"}), "above=20"),
        ("/v1/monitor/rules/r", json!({"when": "paused", "color": 1}), "unknown field `color`"),
        ("/v1/monitor/rules/r", json!({"when": "paused", "for": "soon"}), "1h30m"),
        ("/v1/monitor/rules/r", json!({"when": "paused", "for": "91d"}), "90d"),
        ("/v1/monitor/rules/r", json!({"when": "paused", "name": "s"}), "the address names r"),
        ("/v1/monitor/rules/r", json!({"when": "paused", "channels": ["x"]}), "there are log"),
        ("/v1/monitor/rules/a%20b", json!({"when": "paused"}), "no name of a rule"),
        ("/v1/monitor/channels/c", json!({"type": "pigeon"}), "webhook"),
        (
            "/v1/monitor/channels/c",
            json!({"type": "webhook", "url": "http://127.0.0.1/"}),
            "which is this machine",
        ),
        ("/v1/monitor/channels/c", json!({"type": "webhook", "url": "x"}), "no URL"),
        ("/v1/monitor/channels/c", json!({"type": "webhook", "url": "https://h/", "secret": "x"}), "whsec_"),
        (
            "/v1/monitor/channels/c",
            json!({"type": "mail", "host": "h", "from": "a@b.example", "to": []}),
            "receivers",
        ),
    ] {
        let reply = put(&talk, path, body.clone()).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
        assert!(reply.text_at("/detail").contains(told), "{body}: {}", reply.text);
    }
    assert_eq!(talk.post("/v1/monitor/incidents/none/silence", "{}").await.status, 404);
    assert_eq!(talk.post("/v1/monitor/channels/none/test", "").await.status, 404);
}

#[tokio::test]
async fn what_goes_wrong_is_found_without_anybody_asking() {
    let talk = Talk::begin().await;
    put(&talk, "/v1/monitor/rules/any-dead", json!({"when": "dead", "above": 0})).await;
    talk.post("/v1/queues/mail/jobs", "{}").await;
    let claimed = talk.post("/v1/claim", r#"{"queues":["mail"]}"#).await;
    let body = json!({"lease": claimed.at("/jobs/0/lease"), "error": "boom", "fatal": true});
    talk.post(&format!("/v1/jobs/{}/fail", claimed.text_at("/jobs/0/id")), body.to_string()).await;
    let found = async {
        loop {
            let all = talk.get("/v1/monitor/incidents").await.json();
            let items = all["items"].as_array().cloned().unwrap_or_default();
            let is = |incident: &&Value| incident["rule"] == "any-dead" && incident["stage"] == "firing";
            if let Some(incident) = items.iter().find(is) {
                return incident.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let incident = tokio::time::timeout(NEVER, found).await.expect("it is found");
    assert_eq!((&incident["subject"], &incident["text"]), (&json!("mail"), &json!("has 1 dead job")));
    let id = incident["id"].as_str().expect("an id");
    let quiet = talk.post(&format!("/v1/monitor/incidents/{id}/silence"), r#"{"for":"2h"}"#).await;
    assert_eq!((quiet.status, quiet.at("/silenced_until").is_string()), (200, true));
    let quiet = talk.post(&format!("/v1/monitor/incidents/{id}/acknowledge"), "").await;
    assert_eq!((quiet.status, quiet.text_at("/acknowledged_until")), (200, "never".into()));
}

#[tokio::test]
async fn a_mail_arrives_as_text_and_html_under_the_id_of_its_notice() {
    let (port, mails) = mail_server().await;
    let options = windlass_server::Options {
        public_url: Some("https://q.example".into()),
        ..windlass_server::Options::default()
    };
    let talk = Talk::with(options).await;
    let channel = json!({
        "type": "mail", "host": "127.0.0.1", "port": port, "tls": "none",
        "from": "Windlass <alerts@q.example>", "to": ["ops@q.example", "Boss <boss@q.example>"],
    });
    assert_eq!(put(&talk, "/v1/monitor/channels/ops", channel.clone()).await.status, 200);
    let tested = talk.post("/v1/monitor/channels/ops/test", "").await;
    assert_eq!((tested.status, tested.text_at("/channel")), (200, "ops".into()), "{}", tested.text);
    let mail = mails.recv_timeout(NEVER).expect("a mail");
    assert_eq!(
        (mail.from.as_str(), mail.to.join(" ")),
        ("alerts@q.example", "ops@q.example boss@q.example".into())
    );
    for part in [
        "Subject: A test of this channel: nothing is wrong",
        "From: Windlass <alerts@q.example>",
        "Message-ID: <alert_test_",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
        "tries this channel out; nothing is wrong",
        "https://q.example/monitor",
    ] {
        assert!(mail.data.contains(part), "{part} in {}", mail.data);
    }
    let mut refused = channel;
    refused["to"] = json!(["nobody@q.example"]);
    put(&talk, "/v1/monitor/channels/ops", refused).await;
    let failed = talk.post("/v1/monitor/channels/ops/test", "").await;
    assert_eq!((failed.status, failed.text_at("/code")), (422, "not_delivered".into()), "{}", failed.text);
}

#[tokio::test]
async fn no_password_and_no_secret_comes_back() {
    let talk = Talk::begin().await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let hook = json!({"type": "webhook", "url": "https://hooks.example/T0/very-secret", "secret": secret});
    let mail = json!({
        "type": "mail", "host": "smtp.example", "user": "u", "password": "hunter2",
        "from": "a@b.example", "to": ["c@d.example"],
    });
    for (name, channel) in [("hook", hook), ("mail", mail)] {
        let set = put(&talk, &format!("/v1/monitor/channels/{name}"), channel).await;
        assert_eq!(set.json(), json!({"name": name}), "only what the server made is told");
    }
    let mut told = talk.get("/v1/monitor/channels").await.text;
    told.push_str(&talk.get("/v1/monitor/channels/mail").await.text);
    told.push_str(&talk.get("/metrics").await.text);
    for hidden in [secret, "very-secret", "hunter2"] {
        assert!(!told.contains(hidden), "{told}");
    }
    assert!(
        told.contains(r#""url":"https://hooks.example/…""#) && told.contains(r#""has_secret":true"#),
        "{told}"
    );
    let kept = talk.get("/v1/meta/~windlass.monitor").await;
    assert_eq!(kept.status, 403, "{}", kept.text);
    let made = json!({"type": "webhook", "url": "https://hooks.example/other"});
    let made = put(&talk, "/v1/monitor/channels/new", made).await;
    assert!(made.text_at("/secret").starts_with("whsec_"), "{}", made.text);
}

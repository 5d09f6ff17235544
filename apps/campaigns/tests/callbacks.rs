//! What the providers' doubles do and tell, against the clients and the readers of callbacks: neither knows the other.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
};
use tokio::{net::TcpListener, sync::mpsc};
use windlass::Time;
use windlass_campaigns::{
    channel::{
        Email, HttpMailClient, MachineDetection, RefusalClass, SendOutcome, Sms, TwilioClient, Twiml,
        Voicemail,
    },
    hooks::{
        AnsweredBy, CallbackEvent, Progress, TouchResult, What,
        http_mail::{self, MAX_AWAY_MS, VerificationKey},
        twilio,
    },
};
use windlass_doubles::{Rules, mail as mail_double, twilio as twilio_double};

/// A condition that is not met by then never will be.
const DEADLINE: Duration = Duration::from_secs(20);
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const FROM: &str = "+15005550006";
const TO: &str = "+15550000001";

/// One request to us.
struct Heard {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Where callbacks come in.
struct Desk {
    url: String,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Desk {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, heard) = mpsc::unbounded_channel();
        let listen = async |State(tell): State<mpsc::UnboundedSender<Heard>>,
                            uri: Uri,
                            headers: HeaderMap,
                            body: Bytes| {
            tell.send(Heard { uri, headers, body }).unwrap();
        };
        let app = Router::new().fallback(listen).with_state(tell);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, heard }
    }

    async fn next(&mut self) -> Heard {
        tokio::time::timeout(DEADLINE, self.heard.recv()).await.expect("a callback comes").unwrap()
    }

    /// The next callback about texts and calls, which must be genuine, and must not be for any other token or address.
    async fn next_of_phone(&mut self) -> CallbackEvent {
        let heard = self.next().await;
        let form = twilio::Form::parse(&heard.body).unwrap();
        let (url, signature) = (format!("{}{}", self.url, heard.uri), heard.header(twilio::SIGNATURE_HEADER));
        twilio::verify(TOKEN, &url, &form, signature).unwrap();
        assert!(twilio::verify("another", &url, &form, signature).is_err());
        assert!(twilio::verify(TOKEN, &format!("{url}x"), &form, signature).is_err());
        twilio::parse(&form).unwrap()
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn phone(
    dir: &Path,
    rules: &[&str],
    inbound_url: Option<String>,
) -> (windlass_doubles::Handle, TwilioClient) {
    let options = twilio_double::Options {
        account: Some(twilio_double::Account { sid: ACCOUNT.to_owned(), token: TOKEN.to_owned() }),
        rules: Rules::parse(1, rules).unwrap(),
        pace: Duration::from_millis(1),
        inbound_url,
        ..twilio_double::Options::default()
    };
    let handle = twilio_double::start(any_port(), &dir.join("phone.jsonl"), options).await.unwrap();
    let client = TwilioClient::new(&handle.url(), ACCOUNT, TOKEN).unwrap();
    (handle, client)
}

fn now() -> Time {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Time(u64::try_from(since.as_millis()).unwrap())
}

fn progress(event: CallbackEvent) -> Progress {
    match event.what {
        What::Progress(progress) => progress,
        other => panic!("{other:?}"),
    }
}

fn sent(outcome: SendOutcome) -> String {
    match outcome {
        SendOutcome::Sent { provider_id } => provider_id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_way_of_a_text_is_told_by_genuine_callbacks_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open().await;
    let (_handle, client) = phone(dir.path(), &["+15550000002=30005"], None).await;
    let callback = format!("{}/hooks/twilio/17?who=me&x=%26", desk.url);
    for (to, result, code) in
        [(TO, TouchResult::Delivered, None), ("+15550000002", TouchResult::Bounced, Some("twilio/30005"))]
    {
        let sms =
            Sms { to, from: FROM, body: "Hi & bye ✓", status_callback: Some(&callback), headers: &[] };
        let sid = sent(client.send_sms(&sms).await);
        let last = loop {
            let event = desk.next_of_phone().await;
            assert_eq!(event.provider_id, sid);
            let progress = progress(event);
            if progress.result.expect("every word is known").is_final() {
                break progress;
            }
        };
        assert_eq!((last.result, last.code.as_deref()), (Some(result), code));
        let status = client.status(windlass_campaigns::channel::Channel::Sms, &sid).await.unwrap();
        assert_eq!((status.status, status.error_code.is_some()), (last.word, code.is_some()));
    }
}

#[tokio::test]
async fn a_call_tells_who_answered_and_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open().await;
    let rules = ["+15550000002=busy", "+15550000003=machine"];
    let (_handle, client) = phone(dir.path(), &rules, None).await;
    let (status, amd) = (format!("{}/status", desk.url), format!("{}/amd", desk.url));
    let call = |to| Voicemail {
        to,
        from: FROM,
        twiml: Twiml::Inline("Hello <you>"),
        status_callback: Some(status.as_str()),
        machine_detection: MachineDetection::BeforeSpeech,
        ring_s: None,
        headers: &[],
    };
    for (to, result, code, answered_by) in [
        ("+15550000002", TouchResult::Failed, Some("twilio/busy"), None),
        ("+15550000003", TouchResult::Delivered, None, Some(AnsweredBy::MachineEndBeep)),
    ] {
        sent(client.place_call(&call(to)).await);
        let last = loop {
            let progress = progress(desk.next_of_phone().await);
            if progress.result.expect("every word is known").is_final() {
                break progress;
            }
        };
        assert_eq!((last.result, last.code.as_deref()), (Some(result), code));
        assert_eq!(last.answered_by, answered_by);
    }

    let aside = Voicemail {
        machine_detection: MachineDetection::Aside(&amd),
        status_callback: None,
        ..call("+15550000003")
    };
    let sid = sent(client.place_call(&aside).await);
    let answered = desk.next_of_phone().await;
    assert_eq!(answered.provider_id, sid);
    assert!(matches!(answered.what, What::Answered { .. }), "{answered:?}");
}

#[tokio::test]
async fn a_persons_stop_comes_in_as_a_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open().await;
    let inbound = Some(format!("{}/inbound", desk.url));
    let (_handle, client) = phone(dir.path(), &["*=reply:STOP"], inbound).await;
    let sms = Sms { to: TO, from: FROM, body: "Hi", status_callback: None, headers: &[] };
    sent(client.send_sms(&sms).await);
    let What::Inbound { from, to, body, .. } = desk.next_of_phone().await.what else { panic!("a text") };
    assert_eq!((from.as_str(), to.as_str(), body.as_str()), (TO, FROM, "STOP"));
    let refused = client.send_sms(&sms).await;
    assert!(matches!(&refused, SendOutcome::Refused(no) if no.code == "twilio/21610"), "{refused:?}");
}

#[tokio::test]
async fn a_text_whose_reply_was_lost_is_found_and_one_that_was_never_taken_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (_handle, client) = phone(dir.path(), &["+15550000002=drop", "+15550000003=503"], None).await;
    for (to, arrived) in [("+15550000002", true), ("+15550000003", false)] {
        let since = now();
        let sms = Sms { to, from: FROM, body: "Hi & bye ✓", status_callback: None, headers: &[] };
        let SendOutcome::Unanswered(error) = client.send_sms(&sms).await else { panic!("{to}") };
        assert_eq!(error.may_have_arrived, arrived);
        let found = client.find_sms(to, FROM, sms.body, since, &|_| false).await.unwrap();
        assert_eq!(found.is_some(), arrived);
        if let Some(found) = found {
            let again = client.find_sms(to, FROM, sms.body, since, &|sid| sid == found.sid).await.unwrap();
            assert_eq!(again, None, "it belongs to a touch already");
        }
    }
}

#[tokio::test]
async fn the_way_of_a_mail_by_http_is_told_by_signed_events() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open().await;
    let options = mail_double::Options {
        key: Some("SG.key".to_owned()),
        rules: Rules::parse(1, &["gone@*=bounce:5.1.1", "angry@*=spamreport", "busy@*=429:3s"]).unwrap(),
        pace: Duration::from_millis(1),
        events_url: Some(format!("{}/events", desk.url)),
        ..mail_double::Options::default()
    };
    let handle = mail_double::start(any_port(), &dir.path().join("mail.jsonl"), options).await.unwrap();
    let key = VerificationKey::parse(handle.public_key().unwrap()).unwrap();
    let client = HttpMailClient::new(&handle.url(), "SG.key").unwrap();
    let send = async |to: &str| {
        let email = Email {
            message_id: "<t17.a1@example.com>",
            touch: "17",
            campaign: "3",
            from: "Ann <ann@example.com>",
            reply_to: None,
            to,
            to_name: "",
            subject: "Hello",
            text: "Hi",
            html: Some("<p>Hi</p>"),
            unsubscribe: None,
            feedback_id: None,
            date: Time(0),
            headers: &[],
        };
        client.send(&email).await
    };
    for (to, expected) in
        [("bob@x.org", "delivered"), ("gone@x.org", "bounced"), ("angry@x.org", "complained")]
    {
        let provider_id = sent(send(to).await);
        'told: loop {
            let heard = desk.next().await;
            let header = |name| heard.header(name);
            let (signature, timestamp) =
                (header(http_mail::SIGNATURE_HEADER), header(http_mail::TIMESTAMP_HEADER));
            key.verify(&heard.body, signature, timestamp, now(), MAX_AWAY_MS).unwrap();
            let late = now().plus_ms(MAX_AWAY_MS + 60_000);
            assert!(key.verify(&heard.body, signature, timestamp, late, MAX_AWAY_MS).is_err());
            let batch = http_mail::parse(&heard.body).unwrap();
            assert_eq!(batch.unreadable, 0);
            for event in batch.events {
                assert_eq!((event.touch.as_deref(), event.campaign.as_deref()), (Some("17"), Some("3")));
                assert_eq!(event.provider_id, provider_id);
                let seen = match &event.what {
                    What::Progress(progress) => match progress.result.expect("every word is known") {
                        TouchResult::Delivered => "delivered",
                        TouchResult::Bounced => {
                            let code = progress.code.as_deref().unwrap();
                            assert!(code.starts_with("smtp/") && code.ends_with("5.1.1"), "{code}");
                            "bounced"
                        }
                        _ => continue,
                    },
                    What::Complained => "complained",
                    other => panic!("{other:?}"),
                };
                if seen == expected {
                    break 'told;
                }
            }
        }
    }
    let SendOutcome::Refused(slow) = send("busy@x.org").await else { panic!("it was slowed down") };
    assert_eq!((slow.code.as_str(), slow.class), ("mail/429", RefusalClass::Temporary));
    let wait_ms = slow.retry_after_ms.expect("the reset is a wait");
    assert!((2_000..=4_000).contains(&wait_ms), "{wait_ms}");
}

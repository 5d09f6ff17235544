//! The HTTP provider against the senders, against nonsense, and with each of its faults.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{collections::HashSet, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use windlass_campaigns::channel::{
    Channel, MachineDetection, Refusal, RefusalClass, SendOutcome, Sms, TwilioClient, Twiml, Voicemail,
};
use windlass_doubles::log::{CAMPAIGN_HEADER, JOB_HEADER};
use windlass_doubles::{
    Faults, Handle, Rate,
    log::{self, Delivery},
    twilio,
};

/// A condition that is not met by then never will be.
const DEADLINE: Duration = Duration::from_secs(20);
const FROM: &str = "+15550009999";

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn start(dir: &Path, faults: Faults) -> (Handle, TwilioClient) {
    let handle = twilio::start(any_port(), &dir.join("calls.jsonl"), faults).await.unwrap();
    let client = TwilioClient::new(&handle.url(), "AC123", "token").unwrap();
    (handle, client)
}

const TRACE: &[(&str, &str)] = &[(JOB_HEADER, "j1"), (CAMPAIGN_HEADER, "7")];

fn sms(to: &str) -> Sms<'_> {
    Sms { to, from: FROM, body: "Hi & bye = 100 % ✓", status_callback: None, headers: TRACE }
}

fn call(to: &str) -> Voicemail<'_> {
    Voicemail {
        to,
        from: FROM,
        twiml: Twiml::Inline("Hello <you>"),
        status_callback: None,
        machine_detection: MachineDetection::BeforeSpeech,
        ring_s: None,
        headers: &[(JOB_HEADER, "j2"), (CAMPAIGN_HEADER, "8")],
    }
}

fn log_text(handle: &Handle) -> String {
    std::fs::read_to_string(handle.log_path()).unwrap()
}

#[tokio::test]
async fn texts_and_calls_stand_in_the_log_when_their_sender_hears_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Faults { latency_ms: 0..=2, ..Faults::default() }).await;
    let outcome = client.send_sms(&sms("+15550000001")).await;
    let SendOutcome::Sent { provider_id: text } = outcome else { panic!("{outcome:?}") };
    let outcome = client.place_call(&call("+15550000002")).await;
    let SendOutcome::Sent { provider_id: call_id } = outcome else { panic!("{outcome:?}") };
    assert!(text.starts_with("SM") && text.len() == 34 && call_id.starts_with("CA") && call_id.len() == 34);

    let log = log_text(&handle);
    let log: Vec<Delivery<'_>> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(log.len(), 2);
    let seen = |at: usize| {
        let delivery = &log[at];
        (
            delivery.channel,
            &*delivery.provider_id,
            &*delivery.to,
            delivery.job.as_deref(),
            delivery.campaign.as_deref(),
        )
    };
    assert_eq!(seen(0), (log::Channel::Sms, &*text, "+15550000001", Some("j1"), Some("7")));
    assert_eq!(seen(1), (log::Channel::Voicemail, &*call_id, "+15550000002", Some("j2"), Some("8")));
    assert_eq!(log[0].bytes, "Hi & bye = 100 % ✓".len() as u64, "the form's escapes are undone");
    assert_eq!(handle.counters().accepted, 2);

    let text_status = client.status(Channel::Sms, &text).await.unwrap().status;
    assert!(["queued", "sent", "delivered"].contains(&&*text_status), "{text_status}");
    let call_status = client.status(Channel::Voicemail, &call_id).await.unwrap().status;
    assert!(["queued", "in-progress", "completed"].contains(&&*call_status), "{call_status}");
    assert!(client.status(Channel::Voicemail, &text).await.is_err(), "a text is not a call");
    let forged = format!("{}0{}", &text[..20], &text[21..]);
    let forged = if forged == text { format!("{}1{}", &text[..20], &text[21..]) } else { forged };
    assert!(client.status(Channel::Sms, &forged).await.is_err(), "an id that was never given is not known");
}

#[tokio::test]
async fn a_provider_that_slows_us_down_takes_nothing_and_says_for_how_long() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Faults { defer: Rate::ALWAYS, ..Faults::default() }).await;
    let outcome = client.send_sms(&sms("+15550000001")).await;
    let SendOutcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!((refusal.code.as_str(), refusal.class), ("twilio/20429", RefusalClass::Temporary));
    assert_eq!(refusal.retry_after_ms, Some(1_000));
    assert_eq!((log_text(&handle).len(), handle.counters().deferred), (0, 1));
}

#[tokio::test]
async fn a_provider_that_is_down_has_taken_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Faults { unavailable: Rate::ALWAYS, ..Faults::default() }).await;
    let outcome = client.send_sms(&sms("+15550000001")).await;
    assert!(matches!(&outcome, SendOutcome::Unanswered(error) if !error.may_have_arrived), "{outcome:?}");
    assert_eq!((log_text(&handle).len(), handle.counters().unavailable), (0, 1));
}

#[tokio::test]
async fn a_dropped_answer_leaves_a_text_that_may_have_arrived_and_did() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Faults { drop_reply: Rate::ALWAYS, ..Faults::default() }).await;
    let outcome = client.send_sms(&sms("+15550000001")).await;
    let SendOutcome::Unanswered(error) = outcome else { panic!("{outcome:?}") };
    assert!(error.may_have_arrived && error.to_string().starts_with("reply_lost: "), "{error}");
    let log = log_text(&handle);
    assert!(serde_json::from_str::<Delivery<'_>>(log.trim_end()).unwrap().reply_dropped);
    assert_eq!((handle.counters().accepted, handle.counters().replies_dropped), (1, 1));
}

#[tokio::test]
async fn a_recipient_refused_for_good_is_a_permanent_outcome_with_the_providers_code() {
    let dir = tempfile::tempdir().unwrap();
    let refused_recipients = HashSet::from(["+15550000013".to_owned()]);
    let (handle, client) = start(dir.path(), Faults { refused_recipients, ..Faults::default() }).await;
    let refused = |outcome| match outcome {
        SendOutcome::Refused(Refusal { code, class, .. }) => (code, class),
        other => panic!("{other:?}"),
    };
    for (to, expected) in [
        ("+15550000013", "twilio/21211"),
        ("+15005550004", "twilio/21610"),
        ("nonsense", "twilio/21211"),
        ("", "twilio/21604"),
    ] {
        let seen = refused(client.send_sms(&sms(to)).await);
        assert_eq!(seen, (expected.to_owned(), RefusalClass::Permanent), "{to}");
    }
    let seen = refused(client.place_call(&call("+15005550001")).await);
    assert_eq!(seen, ("twilio/21217".to_owned(), RefusalClass::Permanent));
    let full = Sms { from: "+15005550008", ..sms("+15550000001") };
    let seen = refused(client.send_sms(&full).await);
    assert_eq!(seen, ("twilio/21611".to_owned(), RefusalClass::Temporary), "a full sender queue empties");
    assert_eq!(log_text(&handle).len(), 0);
}

#[tokio::test]
async fn a_provider_that_is_not_there_has_taken_nothing() {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = TwilioClient::new(&url, "AC123", "token").unwrap();
    let outcome = client.send_sms(&sms("+15550000001")).await;
    assert!(matches!(&outcome, SendOutcome::Unanswered(error) if !error.may_have_arrived), "{outcome:?}");
}

/// Sends raw bytes and gives the whole answer; the server must close or answer `Connection: close`.
async fn raw(handle: &Handle, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(handle.addr()).await.unwrap();
    // The server may have closed before all of it is written.
    let _ = socket.write_all(bytes).await;
    let _ = socket.shutdown().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn nonsense_is_answered_bounded_and_hurts_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Faults::default()).await;
    let messages = "/2010-04-01/Accounts/AC1/Messages.json";
    let basic = "Authorization: Basic eDp5\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let noise: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    for (what, bytes, expected) in [
        ("noise", noise, ""),
        ("no credentials", request(messages, form, "To=%2B15550000001"), "20003"),
        ("json", request(messages, &format!("{basic}Content-Type: application/json\r\n"), "{}"), "20001"),
        ("no recipient", request(messages, &format!("{basic}{form}"), "Body=x"), "21604"),
        ("bad escapes", request(messages, &format!("{basic}{form}"), "To=%zz%ff&From=%"), "21211"),
        ("too large", request(messages, &format!("{basic}{form}"), &"x".repeat(70_000)), "20001"),
        ("elsewhere", request("/2010-04-01/Accounts/AC1/Faxes.json", basic, ""), "20404"),
        (
            "half",
            b"POST /2010-04-01/Accounts/AC1/Messages.json HTTP/1.1\r\nContent-Length: 50\r\n\r\nTo=".to_vec(),
            "",
        ),
    ] {
        let answer = raw(&handle, &bytes).await;
        assert!(answer.contains(expected), "{what}: {answer}");
    }
    assert_eq!(log_text(&handle).len(), 0);
    let outcome = client.send_sms(&sms("+15550000001")).await;
    assert!(matches!(outcome, SendOutcome::Sent { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_stopped_provider_leaves_no_listener_and_its_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, client) = start(dir.path(), Faults::default()).await;
    for number in 0..50 {
        let to = format!("+1555{number:07}");
        assert!(matches!(client.send_sms(&sms(&to)).await, SendOutcome::Sent { .. }));
    }
    let (addr, path) = (handle.addr(), handle.log_path().to_owned());
    let counters = handle.shutdown().await;
    assert_eq!((counters.accepted, counters.connections), (50, 1), "connections are kept");
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 50);
    assert!(TcpStream::connect(addr).await.is_err());
}

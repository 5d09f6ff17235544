//! Requests to real servers: what is sent, what is read, and what each way of failing is called.

use std::time::Duration;

use rustls::RootCertStore;
use windlass_webhook::{
    BadHeader, Failure, Forbidden, Guard, Post, Secret, Sender, Target, TargetUrl, header, verify,
};

use crate::hostile::Liar;
use crate::receiver::Receiver;

const AT_S: u64 = 1_763_800_000;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn allowing(allowed: &str) -> Guard {
    Guard::new([allowed.parse().expect("something to allow")])
}

fn sender(guard: Guard) -> Sender {
    Sender::believing(guard, RootCertStore::empty()).expect("a sender")
}

fn target(url: &str) -> Target {
    Target::new(TargetUrl::parse(url).expect("a URL"))
}

fn post(id: &str) -> Post<'_> {
    Post { id, at_s: AT_S, ..Post::json(br#"{"n":1}"#) }
}

#[tokio::test]
async fn a_request_bears_what_a_receiver_needs_to_believe_it() {
    let receiver = Receiver::answering(OK).await;
    let secrets = [Secret::generate().expect("random bytes"), Secret::generate().expect("random bytes")];
    let own = header("authorization", "Bearer abc").expect("a header");
    assert!(!format!("{own:?}").contains("abc"));
    let target = target(&format!("http://{}/in?a=b", receiver.address))
        .signed_by(secrets.clone())
        .with_headers([own, header("x-a", "b").expect("a header")]);
    let mut post = post("evt-1");
    post.headers.insert("x-a", "c".parse().expect("a value"));
    let answer = sender(allowing("127.0.0.1")).post(&target, post).await.expect("an answer");
    assert_eq!((answer.status, &answer.body[..], answer.cut), (200, &b"ok"[..], false));
    let came = &receiver.came()[0];
    assert_eq!((came.line.as_str(), &came.body[..]), ("POST /in?a=b HTTP/1.1", &br#"{"n":1}"#[..]));
    assert_eq!((came.header("authorization"), came.header("x-a")), ("Bearer abc", "c"));
    assert_eq!(came.header("content-type"), "application/json");
    assert_eq!(came.header("host"), receiver.address.to_string());
    for secret in secrets {
        let (id, at, signature) = ("webhook-id", "webhook-timestamp", "webhook-signature");
        let [id, at, signature] = [id, at, signature].map(|name| came.header(name));
        assert_eq!(verify(&[secret], id, at, signature, &came.body, AT_S), Ok(()));
    }
}

#[tokio::test]
async fn a_request_over_tls_goes_to_the_name_and_to_nobody_who_cannot_show_it() {
    let (receiver, roots) = Receiver::over_tls(OK).await;
    let target = target(&format!("https://localhost:{}/", receiver.address.port()));
    // The name may also resolve to `::1`, where nobody listens and nothing is allowed.
    let guard = || allowing("127.0.0.0/8").resolving_by(Liar::default().says("localhost", &[&["127.0.0.1"]]));
    let believing = Sender::believing(guard(), roots).expect("a sender");
    assert_eq!(believing.post(&target, post("evt-1")).await.expect("an answer").status, 200);
    let told = sender(guard()).post(&target, post("evt-2")).await.expect_err("a stranger");
    assert!(matches!(&told, Failure::Tls(why) if why.contains("certificate")), "{told:?}");
    assert!(!told.may_have_taken_effect());
    let other = Liar::default().says("other.example", &[&["127.0.0.1"]]);
    let believing_other = allowing("127.0.0.0/8").resolving_by(other);
    let url = format!("https://other.example:{}/", receiver.address.port());
    let told = sender(believing_other).post(&self::target(&url), post("evt-3")).await;
    assert!(matches!(told, Err(Failure::Tls(_))), "{told:?}");
    assert_eq!(receiver.came().len(), 1);
}

#[tokio::test]
async fn a_redirection_is_an_answer_and_is_not_followed() {
    let secret = Receiver::answering(OK).await;
    let places =
        ["http://169.254.169.254/latest/meta-data/".to_owned(), format!("http://{}/", secret.address)];
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        for place in &places {
            let head = format!("HTTP/1.1 {status}\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
            let receiver = Receiver::answering(head).await;
            let target = target(&format!("http://{}/", receiver.address));
            let answer = sender(allowing("127.0.0.1")).post(&target, post("evt-1")).await.expect("an answer");
            assert_eq!(answer.status.to_string(), status[..3]);
            assert_eq!(receiver.came().len(), 1);
        }
    }
    assert!(secret.came().is_empty());
}

#[tokio::test]
async fn a_name_that_resolves_to_something_else_the_next_moment_gains_nothing() {
    let receiver = Receiver::answering(OK).await;
    let url = format!("https://rebinding.example:{}/", receiver.address.port());
    let url = TargetUrl::parse(&url).expect("a URL");
    // Public when it is set, this machine when it is connected to.
    let port = format!("8.8.8.8:{}", receiver.address.port());
    let liar = Liar::default().says("rebinding.example", &[&["8.8.8.8"], &["127.0.0.1"]]);
    let guard = allowing(&port).resolving_by(liar);
    assert_eq!(guard.check(&url).await, Ok(()));
    let told = sender(guard).post(&Target::new(url), post("evt-1")).await.expect_err("closed");
    assert!(matches!(&told, Failure::Forbidden(Forbidden::Address { .. })), "{told:?}");
    assert!(!told.may_have_taken_effect());
    assert!(told.to_string().contains("127.0.0.1, which is this machine"), "{told}");
    assert!(receiver.came().is_empty());
}

#[tokio::test]
async fn whether_it_may_have_been_done_is_told_of_every_failure() {
    let sender = sender(allowing("127.0.0.1"));
    let silent = Receiver::answering("").await;
    let quickly = target(&format!("http://{}/", silent.address)).within(Duration::from_millis(200));
    let told = sender.post(&quickly, post("evt-1")).await.expect_err("no answer");
    assert!(matches!(told, Failure::TimedOut(_)) && told.may_have_taken_effect(), "{told:?}");
    assert_eq!(silent.came().len(), 1);

    let half = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let halfway = target(&format!("http://{}/", half.address)).within(Duration::from_millis(200));
    let told = sender.post(&halfway, post("evt-1")).await.expect_err("half an answer");
    assert!(told.may_have_taken_effect(), "{told:?}");

    let nonsense = Receiver::answering("220 mail.example ESMTP\r\n").await;
    let mail = target(&format!("http://{}/", nonsense.address));
    let told = sender.post(&mail, post("evt-1")).await.expect_err("no HTTP");
    assert!(matches!(told, Failure::Broken(_)) && told.may_have_taken_effect(), "{told:?}");

    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = target(&format!("http://{}/", gone.local_addr().expect("an address")));
    drop(gone);
    let told = sender.post(&nobody, post("evt-1")).await.expect_err("nobody there");
    assert!(matches!(told, Failure::Unreachable(_)) && !told.may_have_taken_effect(), "{told:?}");

    let unnamed = target("https://no-such-name.example/");
    let guard = Guard::default().resolving_by(Liar::default());
    let told = self::sender(guard).post(&unnamed, post("evt-1")).await.expect_err("no name");
    assert!(matches!(&told, Failure::Unreachable(why) if why.contains("no such name")), "{told:?}");

    for id in ["", "a.b", "a b", "ü", "a\n"] {
        let told = sender.post(&nobody, post(id)).await.expect_err("no id");
        assert!(matches!(told, Failure::Impossible(_)), "{id:?}: {told:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_read_as_far_as_its_bound() {
    let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}", "x".repeat(1 << 20));
    let receiver = Receiver::answering(endless).await;
    let target = target(&format!("http://{}/", receiver.address));
    let answer = sender(allowing("127.0.0.1")).post(&target, post("evt-1")).await.expect("an answer");
    assert_eq!((answer.status, answer.body.len(), answer.cut), (200, 64 << 10, true));
    let heady = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let receiver = Receiver::answering(heady).await;
    let target = self::target(&format!("http://{}/", receiver.address));
    let told = sender(allowing("127.0.0.1")).post(&target, post("evt-1")).await.expect_err("too much");
    assert!(matches!(told, Failure::Broken(_)), "{told:?}");
}

#[test]
fn headers_of_the_request_itself_are_nobodys_to_set() {
    for name in ["Host", "content-length", "Transfer-Encoding", "webhook-signature", "Connection"] {
        assert!(matches!(header(name, "x"), Err(BadHeader::Ours(_))), "{name}");
    }
    assert!(matches!(header("a b", "x"), Err(BadHeader::Name(_))));
    let told = header("x-a", "secret\r\nhost: b").expect_err("two lines");
    assert!(matches!(&told, BadHeader::Value(_)) && !told.to_string().contains("secret"), "{told}");
}

#[tokio::test]
async fn a_request_is_held_to_the_rules_that_its_address_was_checked_by() {
    let guard = || Guard::default().resolving_by(Liar::default().says("hook.example", &[&["8.8.8.8"]]));
    for (url, scheme, port) in
        [("http://hook.example/", true, false), ("https://hook.example:22/", false, true)]
    {
        let told = sender(guard()).post(&target(url), post("evt-1")).await.expect_err("forbidden");
        assert_eq!(matches!(told, Failure::Forbidden(Forbidden::Scheme { .. })), scheme, "{told:?}");
        assert_eq!(matches!(told, Failure::Forbidden(Forbidden::Port { .. })), port, "{told:?}");
    }
}

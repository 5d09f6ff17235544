//! Channels that fail, and what becomes of the others; what is secret.

use windlass_api::monitor::{Channel, Rule, When};

use super::place::{GATHER, HOUR, MINUTE, Place, SECOND, look, of, said, server};
use crate::monitor;

async fn dead() -> Place {
    Place::with("r", Rule { above: Some(0), ..of(When::Dead) }).await
}

#[tokio::test]
async fn a_channel_that_fails_is_tried_again_later_each_time_and_says_so() {
    let place = dead().await;
    place.receiver.answer(503);
    place.kill("mail", 1, "boom").await;
    place.after(0).await;
    place.after(GATHER).await;
    let shown = monitor::channel(&place.app, "hook").await.expect("a channel");
    assert_eq!((shown.failures, shown.error.as_deref(), shown.waiting), (1, Some("it answered 503"), 1));
    assert!(shown.next_try_at.is_some_and(|at| at > place.now()));
    assert_eq!(place.after(10 * SECOND).await, [], "not yet");
    assert_eq!(place.after(6 * SECOND).await.len(), 1);
    assert_eq!(place.after(16 * SECOND).await, [], "twice as long");
    place.kill("sms", 1, "boom").await;
    place.after(0).await;
    place.receiver.answer(200);
    let told = place.after(15 * SECOND).await;
    assert_eq!(said(&told), (vec!["mail"], vec![]), "the notice as it was");
    assert_eq!(said(&place.after(GATHER).await), (vec!["sms"], vec![]), "what gathered meanwhile");
    let shown = monitor::channel(&place.app, "hook").await.expect("a channel");
    assert_eq!((shown.failures, shown.error, shown.waiting), (0, None, 0));
    assert!(shown.delivered_at.is_some());
}

#[tokio::test]
async fn each_try_of_a_notice_bears_the_same_id() {
    let place = dead().await;
    place.receiver.answer(500);
    place.kill("mail", 1, "boom").await;
    place.after(0).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        place.clock.advance_ms(2 * MINUTE);
        place.look().await;
        ids.extend(place.receiver.take_ids());
    }
    assert!(ids.len() >= 4, "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_channel_that_nobody_answers_keeps_no_other_waiting() {
    let place = dead().await;
    // A port that was free a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let gone = Channel::Webhook { url, secret: None };
    let made = monitor::set_channel(&place.app, "gone", gone).await.expect("a channel").secret;
    assert!(made.is_some_and(|secret| secret.starts_with("whsec_")));
    place
        .set("r", Rule { above: Some(0), channels: vec!["gone".into(), "hook".into()], ..of(When::Dead) })
        .await;
    place.kill("mail", 1, "boom").await;
    assert_eq!(place.told().await.len(), 1);
    let shown = monitor::channel(&place.app, "gone").await.expect("a channel");
    assert!(shown.error.is_some_and(|why| why.contains("cannot connect")));
    let failed = monitor::test(&place.app, "gone").await.expect_err("nobody is there");
    assert_eq!((failed.0.status, failed.0.code.as_str()), (422, "not_delivered"));
}

#[tokio::test]
async fn a_notice_whose_server_died_is_sent_by_another_after_its_time() {
    let place = dead().await;
    place.kill("mail", 1, "boom").await;
    place.after(0).await;
    place.clock.advance_ms(GATHER);
    // It is taken, and nothing goes out.
    for delivery in monitor::look(&place.app, place.now()).await.expect("a look") {
        delivery.abort();
        let _ = delivery.await;
    }
    place.receiver.take();
    let other = server(&place.client);
    look(&other, place.now()).await;
    assert_eq!(place.receiver.take(), [], "it may still be on its way");
    place.clock.advance_ms(MINUTE);
    look(&other, place.now()).await;
    assert_eq!(said(&place.receiver.take()), (vec!["mail"], vec![]));
}

#[tokio::test]
async fn a_notice_that_nobody_takes_for_a_day_is_told_no_more() {
    let place = dead().await;
    place.receiver.answer(500);
    place.kill("mail", 1, "boom").await;
    place.after(0).await;
    for _ in 0..25 {
        place.after(HOUR).await;
    }
    place.receiver.answer(200);
    assert_eq!(place.after(HOUR).await, []);
    place.kill("sms", 1, "boom").await;
    assert_eq!(said(&place.told().await), (vec!["sms"], vec![]));
}

#[tokio::test]
async fn a_test_goes_out_at_once_and_is_signed() {
    let place = Place::silent(None).await;
    monitor::test(&place.app, "hook").await.expect("it arrives");
    let told = place.receiver.take();
    assert_eq!(told[0].data.summary, "A test of this channel: nothing is wrong");
    let secret = Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    let other = Channel::Webhook { url: place.receiver.url().into(), secret };
    monitor::set_channel(&place.app, "hook", other).await.expect("a channel");
    let failed = monitor::test(&place.app, "hook").await.expect_err("another secret");
    assert!(failed.0.detail.contains("401"), "{}", failed.0.detail);
}

#[tokio::test]
async fn a_channel_cannot_be_pointed_at_what_is_not_public() {
    let place = Place::silent(None).await;
    for url in ["https://169.254.169.254/latest", "http://10.0.0.1/", "ftp://h/", "https://u:p@h.example/"] {
        let hook = Channel::Webhook { url: url.into(), secret: None };
        let told = monitor::set_channel(&place.app, "x", hook).await.expect_err("refused");
        assert_eq!(told.0.status, 400, "{url}");
    }
}

#[tokio::test]
async fn what_is_secret_of_a_channel_is_shown_nowhere() {
    let place = Place::silent(None).await;
    let shown = serde_json::to_string(&monitor::channels(&place.app).await.expect("channels")).expect("json");
    assert!(
        !shown.contains("whsec_") && !shown.contains("/hook") && shown.contains("\"has_secret\":true"),
        "{shown}"
    );
    let (value, _) = place.store().meta("windlass.monitor.record".into()).await.expect("a value");
    assert!(!String::from_utf8_lossy(&value).contains("whsec_"));
}

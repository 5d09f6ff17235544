//! What the client promises without any worker.

use crate::store::{Watched, place};
use crate::{Note, Number, on_both_stores};
use std::sync::atomic::Ordering;
use std::time::Duration;
use windlass::core::job::{OnConflict, State};
use windlass::core::limit::LimitSettings;
use windlass::core::queue::{GroupSettings, QueueSettings};
use windlass::core::store::{Cancelled, EnqueueStatus, From};
use windlass::core::why::Reason;
use windlass::{Client, Draft, Job, Rejection, Time};

on_both_stores! {
    what_an_enqueue_asks_for_stands_in_the_store
    a_known_id_is_answered_with_its_job
    a_unique_key_is_held_within_its_kind
    a_bulk_answers_per_item_and_a_refused_one_stops_none
    a_child_waits_for_its_parent
    people_can_cancel_retry_and_ask_why
    a_schedule_is_set_and_deleted
    a_reader_goes_on_from_its_cursor
}

async fn what_an_enqueue_asks_for_stands_in_the_store(client: Client) {
    let at = Time(client.now().0 + 3_600_000);
    let enqueued = client
        .enqueue(Number { n: 7 })
        .queue("other")
        .group("campaign 7")
        .priority(5)
        .run_at(at)
        .expires_in(Duration::from_secs(7_200))
        .limit("gpu", 2)
        .tag("bulk")
        .timeout(Duration::from_secs(9))
        .await
        .expect("taken");
    assert_eq!((enqueued.status, enqueued.state), (EnqueueStatus::Created, State::Scheduled));
    let job = client.get(enqueued.id).await.expect("answered").expect("known");
    assert_eq!((job.view.queue.as_str(), job.view.kind.as_str(), job.view.priority), ("other", "number", 5));
    assert_eq!(job.view.group.expect("its group").as_str(), "campaign 7");
    assert_eq!((job.view.since, job.timeout_ms), (at, Some(9_000)));
    assert!(job.expires_at.expect("a time") > at);
    assert_eq!((job.limits[0].name.as_str(), job.limits[0].cost), ("gpu", 2));
    assert_eq!(job.view.tags[0].as_str(), "bulk");
    assert_eq!(serde_json::from_slice::<Number>(&job.payload).expect("its payload"), Number { n: 7 });
    assert_eq!(job.retry.expect("its type's policy").max_failures(), 3);
}

async fn a_known_id_is_answered_with_its_job(client: Client) {
    let id = client.new_id();
    let first = client.enqueue(Number { n: 1 }).id(id).await.expect("taken");
    let second = client.enqueue(Number { n: 2 }).id(id).await.expect("answered");
    assert_eq!((first.status, second.status), (EnqueueStatus::Created, EnqueueStatus::Known));
    let job = client.get(id).await.expect("answered").expect("known");
    assert_eq!(job.payload, br#"{"n":1}"#);
}

async fn a_unique_key_is_held_within_its_kind(client: Client) {
    let first = client.enqueue(Number { n: 1 }).unique("one").await.expect("taken");
    let second = client.enqueue(Number { n: 2 }).unique("one").await.expect("answered");
    assert_eq!((second.id, second.status), (first.id, EnqueueStatus::Existing));
    let other = client.enqueue(Note { text: "n".into() }).unique("one").await.expect("taken");
    assert_eq!(other.status, EnqueueStatus::Created);
    let third = client.enqueue(Number { n: 3 }).unique("one").on_conflict(OnConflict::Replace);
    assert_eq!(third.await.expect("answered").status, EnqueueStatus::Replaced);
    let refused = client.enqueue(Number { n: 4 }).unique("one").on_conflict(OnConflict::Refuse).await;
    let refused = refused.expect_err("refused");
    assert_eq!(refused.rejection(), Some(&Rejection::UniqueConflict { holder: first.id }));
}

async fn a_bulk_answers_per_item_and_a_refused_one_stops_none(client: Client) {
    let bad = |n| n == 3 || n == 1_700 || n == 2_499;
    let jobs = (0..2_500u64).map(|n| match bad(n) {
        true => Draft::raw("bad queue", "number", *b"{}"),
        false => Number { n }.draft(),
    });
    let answers = client.enqueue_many(jobs).await.expect("answered");
    assert_eq!(answers.len(), 2_500);
    for (n, answer) in (0..).zip(&answers) {
        assert_eq!(answer.is_err(), bad(n), "{n}: {answer:?}");
    }
    let ids: Vec<_> = answers.iter().flatten().map(|enqueued| enqueued.id).collect();
    assert!(ids.is_sorted(), "ids are in the order of the jobs");
    let last = client.get(ids[2_496]).await.expect("answered").expect("known");
    assert_eq!(last.payload, br#"{"n":2498}"#);
}

async fn a_child_waits_for_its_parent(client: Client) {
    let parent = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    let child = client.enqueue(Number { n: 2 }).after(&[parent]).await.expect("taken");
    assert_eq!(child.state, State::Blocked);
    let unknown = client.enqueue(Number { n: 3 }).after(&[client.new_id()]).await.expect_err("refused");
    assert!(matches!(unknown.rejection(), Some(Rejection::BadParents { .. })), "{unknown}");
    assert_eq!(client.cancel(parent).await.expect("answered"), Cancelled::Now);
    let child = client.get(child.id).await.expect("answered").expect("known");
    assert_eq!(child.view.state, State::Cancelled);
}

async fn people_can_cancel_retry_and_ask_why(client: Client) {
    let id = client.enqueue(Number { n: 1 }).delay(Duration::from_secs(60)).await.expect("taken").id;
    assert_eq!(client.why(id).await.expect("answered").reason, Reason::Scheduled);
    client.run_now(id).await.expect("ready now");
    client.pause("numbers").await.expect("paused");
    assert_eq!(client.why(id).await.expect("answered").reason, Reason::QueuePaused);
    client.resume("numbers").await.expect("resumed");
    assert_eq!(client.cancel(id).await.expect("answered"), Cancelled::Now);
    client.retry(id).await.expect("another life");
    let refused = client.retry(id).await.expect_err("it is live");
    assert!(matches!(refused.rejection(), Some(Rejection::WrongState { .. })), "{refused}");
    let settings = QueueSettings { max_waiting: Some(1), ..QueueSettings::default() };
    client.set_queue("numbers", settings).await.expect("set");
    let full = client.enqueue(Number { n: 2 }).await.expect_err("full");
    assert!(matches!(full.rejection(), Some(Rejection::QueueFull { .. })), "{full}");
    let group = GroupSettings { weight: 3, ..GroupSettings::default() };
    client.set_group("numbers", "a group", Some(group)).await.expect("set");
    let limit = LimitSettings { concurrency: Some(2), rate: None };
    client.set_limit("gpu", Some(limit)).await.expect("set");
    let costly = client.enqueue(Note { text: String::new() }).queue("x").limit("gpu", 3).await;
    assert!(matches!(costly.expect_err("refused").rejection(), Some(Rejection::CostTooHigh { .. })));
}

async fn a_schedule_is_set_and_deleted(client: Client) {
    let nightly = client.schedule("nightly").cron("0 3 * * *", "Europe/Berlin").job(Number { n: 1 });
    nightly.await.expect("set");
    let every = client.schedule("often").every(Duration::from_secs(60)).job(Number { n: 2 }).paused(true);
    every.await.expect("set");
    let schedules = client.store().schedules().await.expect("answered");
    let names: Vec<_> = schedules.iter().map(|schedule| schedule.spec.name.as_str()).collect();
    assert_eq!(names, ["nightly", "often"]);
    client.delete_schedule("often").await.expect("deleted");
    let none = client.schedule("x").job(Number { n: 1 }).await.expect_err("no timing");
    assert!(none.to_string().contains("no timing"), "{none}");
    let bad = client.schedule("x").cron("0 25 * * *", "UTC").job(Number { n: 1 }).await;
    assert!(bad.is_err());
}

async fn a_reader_goes_on_from_its_cursor(client: Client) {
    let mut events = client.events(From::Earliest);
    assert_eq!(events.poll_now(10).await.expect("answered"), []);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(client.enqueue(Number { n }).await.expect("taken").id);
    }
    let two = [events.next().await.expect("an event"), events.next().await.expect("an event")];
    let cursor = events.cursor().expect("it has read");
    let mut later = client.events(place(cursor));
    let three = later.poll_now(10).await.expect("answered");
    let seen: Vec<_> = two.iter().chain(&three).map(|event| event.job).collect();
    assert_eq!(seen, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_single_enqueues_share_calls_of_the_store() {
    let (store, client) = Watched::memory().await;
    let tasks: Vec<_> = (0..100u64)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    client.enqueue(Number { n: task * 50 + n }).await.expect("taken");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    let (calls, jobs) = (store.enqueues.load(Ordering::SeqCst), store.enqueued.load(Ordering::SeqCst));
    assert_eq!(jobs, 5_000);
    assert!(calls * 4 < jobs, "{jobs} jobs went in {calls} calls");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_when_the_directory_is_opened_again() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let url = format!("file:{}?ack=process", directory.path().join("data").display());
    let client = windlass::open(&url).await.expect("opens");
    let taken = windlass::open(&url).await.expect_err("one process owns a directory").to_string();
    assert!(taken.contains(&std::process::id().to_string()), "{taken}");
    let id = client.enqueue(Number { n: 7 }).await.expect("taken").id;
    client.close().await.expect("closes");
    let client = windlass::open(&url).await.expect("opens again");
    let job = client.get(id).await.expect("answered").expect("known");
    assert_eq!(job.payload, br#"{"n":7}"#);
    client.close().await.expect("closes");
    let error =
        windlass::open(&format!("file:{}?create=false", directory.path().join("none").display())).await;
    assert!(error.is_err(), "it was told not to make a directory");
}

//! Payloads in the archive: all that the store had, each once, and the word of those that it had no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use windlass_archive::{Archiver, Options};
use windlass_core::bounds::PAYLOAD_BYTES_MAX;
use windlass_core::name::Tag;
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::store::Edit;
use windlass_core::{JobId, NewJob};

use crate::life::{Life, queue};
use crate::place::Place;

fn with_payloads() -> Options {
    Options { payloads: true, adopt: true, ..Options::default() }
}

/// One archive after the other of the same store.
async fn afresh(life: &Life) {
    windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
}

async fn payload_of(place: &Place, id: JobId) -> String {
    let sql = format!(
        "SELECT coalesce(payload, CASE WHEN payload_bytes IS NOT NULL THEN 'bytes' WHEN payload_gone THEN 'gone' END) FROM jobs WHERE id{} = '{id}'",
        if matches!(place, Place::File(_)) { "" } else { "::text" }
    );
    place.rows(&sql).await.remove(0)
}

async fn edit(life: &Life, id: JobId, payload: &[u8]) {
    let edit = Edit { id, payload: Some(payload.to_vec()), priority: Some(4), run_at: None };
    life.store.edit(vec![edit], life.at()).await.expect("an answer").remove(0).expect("it waits");
}

#[tokio::test]
async fn a_job_is_archived_with_what_it_brought_to_its_handler() {
    for place in Place::both() {
        let mut life = Life::new();
        let tagged = NewJob {
            payload: br#"{"to":"Zo\u00eb"}"#.to_vec(),
            priority: -2,
            tags: vec![Tag::new("a\"b").expect("a tag"), Tag::new("c").expect("a tag")],
            trace: Some("00-4bf9".into()),
            ..life.job()
        };
        let tagged = life.put(tagged).await;
        let binary = NewJob { payload: vec![0xff, 0, 1], ..life.job() };
        let binary = life.put(binary).await;
        let empty = NewJob { payload: Vec::new(), ..life.job() };
        let empty = life.put(empty).await;
        let mut archiver = life.archiver(&place, with_payloads()).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!(payload_of(&place, tagged).await, r#"{"to":"Zo\u00eb"}"#);
        assert_eq!(payload_of(&place, binary).await, "bytes");
        assert_eq!(payload_of(&place, empty).await, "");
        let sql =
            "SELECT cast(priority AS text) || ' ' || tags || ' ' || trace FROM jobs WHERE tags IS NOT NULL";
        assert_eq!(place.rows(sql).await, [r#"-2 ["a\"b","c"] 00-4bf9"#]);
        edit(&life, binary, b"now a text").await;
        archiver.catch_up(|_| {}).await.expect("it goes on");
        assert_eq!(payload_of(&place, binary).await, "now a text");
        let standing = archiver.standing();
        assert_eq!((standing.payloads, standing.payloads_gone), (4, 0));
        assert_eq!(place.count("(SELECT count(*) FROM payload)").await, 3);
    }
}

#[tokio::test]
async fn without_being_asked_for_no_payload_is_archived_and_no_job_is_held_back() {
    for place in Place::both() {
        let mut life = Life::new();
        life.complete_many(2).await;
        life.archive(&place).await;
        assert_eq!(place.count("(SELECT count(*) FROM payload)").await, 0);
        let reader = life.store.readers().await.expect("readers").remove(0);
        assert_eq!(reader.keeps_from, None);
    }
}

#[tokio::test]
async fn a_job_that_was_gone_before_is_told_as_gone_and_what_was_read_stays() {
    for place in Place::both() {
        let mut life = Life::new();
        let gone = life.put_new().await;
        let there = life.put_new().await;
        life.store.delete(vec![gone], life.at()).await.expect("an answer").remove(0).expect("it waits");
        let mut archiver = life.archiver(&place, with_payloads()).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!(archiver.standing().payloads_gone, 1);
        assert_eq!(payload_of(&place, gone).await, "gone");
        life.store.delete(vec![there], life.at()).await.expect("an answer").remove(0).expect("it waits");
        archiver.catch_up(|_| {}).await.expect("it goes on");
        drop(archiver);
        let before = place.rows("SELECT payload FROM payload ORDER BY job").await;
        // The same stretch again, when neither job is there any more: an archive that was restored reads it so.
        place.execute("UPDATE archive SET cursor = NULL").await;
        afresh(&life).await;
        let mut archiver = life.archiver_when_free(&place, with_payloads()).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!(place.rows("SELECT payload FROM payload ORDER BY job").await, before);
        assert_eq!(payload_of(&place, there).await, "{}");
    }
}

#[tokio::test]
async fn what_a_relay_noted_for_itself_is_no_payload_and_not_missed() {
    for place in Place::both() {
        let mut life = Life::new();
        let fence = NewJob { queue: "windlass.outbox".parse().expect("a name"), ..life.job() };
        let fence = life.put(fence).await;
        life.put_new().await;
        life.store.delete(vec![fence], life.at()).await.expect("an answer").remove(0).expect("it waits");
        let mut archiver = life.archiver(&place, with_payloads()).await;
        let standing = archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!((standing.payloads, standing.payloads_gone), (1, 0));
        assert_eq!(place.count("(SELECT count(*) FROM payload)").await, 1);
        assert_eq!(place.count("(SELECT count(*) FROM job)").await, 2, "its history is there as every job's");
    }
}

#[tokio::test]
async fn a_job_from_before_is_read_when_it_ends_and_not_twice() {
    for place in Place::both() {
        let mut life = Life::new();
        life.put_new().await;
        let waiting = life.put_new().await;
        life.archive(&place).await;
        let mut archiver = life.archiver_when_free(&place, with_payloads()).await;
        let job = life.take().await;
        life.complete(&job, None).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!(payload_of(&place, job.lease.job).await, "{}");
        assert_eq!(payload_of(&place, waiting).await, "-");
        let new = life.put_new().await;
        archiver.catch_up(|_| {}).await.expect("it goes on");
        for _ in 0..2 {
            let job = life.take().await;
            life.complete(&job, None).await;
        }
        archiver.catch_up(|_| {}).await.expect("it goes on");
        assert_eq!([payload_of(&place, waiting).await, payload_of(&place, new).await], ["{}", "{}"]);
        assert_eq!(archiver.standing().payloads, 3);
    }
}

#[tokio::test]
async fn retention_waits_until_the_payloads_are_archived_and_no_longer() {
    for place in Place::both() {
        let mut life = Life::new();
        let retention = Retention { completed_ms: 0, ..Retention::default() };
        let settings = QueueSettings { retention, ..QueueSettings::default() };
        life.store.set_queue(queue(), settings, life.at()).await.expect("an answer").expect("settings");
        let later = NewJob { delay_ms: Some(24 * 3_600_000), ..life.job() };
        life.put(later).await;
        let now = Arc::new(AtomicU64::new(life.now.0));
        let clock = Arc::clone(&now);
        let options = Options {
            clock: Some(Arc::new(move || windlass_core::Time(clock.load(Ordering::SeqCst)))),
            ..with_payloads()
        };
        let mut archiver =
            Archiver::start(Arc::clone(&life.store), &place.target(), options).await.expect("it opens");
        archiver.catch_up(|_| {}).await.expect("it has a place");
        life.pass(60_000);
        let mut ids = Vec::new();
        for _ in 0..3 {
            let id = life.put_new().await;
            let job = life.take().await;
            life.complete(&job, None).await;
            ids.push(id);
        }
        let ended = life.now;
        life.pass(600_000);
        life.upkeep().await;
        let kept = life.store.bodies(ids.clone()).await.expect("an answer");
        assert!(kept.iter().all(Option::is_some), "nobody has read that they ended");
        now.store(ended.0, Ordering::SeqCst);
        archiver.catch_up(|_| {}).await.expect("it goes on");
        assert_eq!((archiver.standing().payloads, archiver.standing().payloads_gone), (4, 0));
        // Nothing older can come any more.
        now.store(life.now.0, Ordering::SeqCst);
        archiver.catch_up(|_| {}).await.expect("it goes on");
        life.pass(2_000);
        life.upkeep().await;
        let left = life.store.bodies(ids.clone()).await.expect("an answer");
        assert!(left.iter().all(Option::is_none), "and it has been read");
        let gone = place.count("(SELECT count(*) FROM payload WHERE gone)").await;
        assert_eq!((gone, payload_of(&place, ids[1]).await), (0, "{}".into()));
    }
}

#[tokio::test]
async fn payloads_that_do_not_fit_in_one_batch_are_in_the_next() {
    for place in Place::both() {
        let mut life = Life::new();
        let mut ids = Vec::new();
        for n in 0..40 {
            let job = NewJob { payload: vec![b'A' + n; PAYLOAD_BYTES_MAX], ..life.job() };
            ids.push(life.put(job).await);
        }
        let mut archiver = life.archiver(&place, with_payloads()).await;
        let mut steps = 0;
        archiver.catch_up(|_| steps += 1).await.expect("it catches up");
        assert!(steps > 2, "{steps} batches");
        assert_eq!((archiver.standing().events, archiver.standing().payloads), (40, 40));
        let sql = format!(
            "(SELECT count(DISTINCT payload) FROM payload WHERE length(payload) = {PAYLOAD_BYTES_MAX})"
        );
        assert_eq!(place.count(&sql).await, 40);
    }
}

#[tokio::test]
async fn payloads_go_with_the_history_of_their_jobs() {
    for place in Place::both() {
        let mut life = Life::new();
        life.complete_many(3).await;
        let waiting = life.put_new().await;
        let mut archiver = life.archiver(&place, with_payloads()).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        drop(archiver);
        life.pass(10_000);
        let options = Options { keep_ms: Some(1_000), ..with_payloads() };
        let mut archiver = life.archiver_when_free(&place, options).await;
        archiver.catch_up(|_| {}).await.expect("it deletes");
        assert_eq!(place.count("(SELECT count(*) FROM payload)").await, 1);
        assert_eq!(payload_of(&place, waiting).await, "{}");
    }
}

#[tokio::test]
async fn an_archive_of_the_first_version_gets_what_is_new() {
    for place in Place::both() {
        let mut life = Life::new();
        life.complete_many(2).await;
        life.archive(&place).await;
        let before = place.dump().await;
        place.execute("DROP VIEW jobs").await;
        place.execute("DROP TABLE payload").await;
        place.execute("UPDATE archive SET schema_version = 1").await;
        let mut archiver = life.archiver_when_free(&place, with_payloads()).await;
        assert_eq!(place.dump().await, before);
        let id = life.put_new().await;
        archiver.catch_up(|_| {}).await.expect("it goes on");
        assert_eq!(payload_of(&place, id).await, "{}");
    }
}

//! What the tables say of each job is what happened to it.

use windlass_archive::Options;
use windlass_core::store::{From, Reader};

use crate::life::Life;
use crate::place::Place;

const JOBS: &str = "SELECT cast(id AS text) || ' ' || coalesce(state, '?') || ' ' || coalesce(cause, '-') || ' attempts ' || attempts
     || ' generation ' || generation || CASE WHEN removed_at IS NULL THEN '' ELSE ' removed' END FROM jobs";

const ATTEMPTS: &str = "SELECT cast(id AS text) || ' #' || attempt || ' g' || generation || ' ' || coalesce(outcome, 'open') || ' '
     || coalesce(cause, '-') || ' ' || coalesce(cast(ms AS text), '?') || ' ' || coalesce(text, '-') FROM attempts ORDER BY id, attempt";

#[tokio::test]
async fn every_way_to_end_stands_in_the_tables_as_it_happened() {
    let mut life = Life::new();
    let all = life.every_ending().await;
    life.a_day_later().await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        life.archive(&place).await;
        let jobs = place.rows(JOBS).await;
        assert_eq!(jobs.len(), all.len());
        for (name, says) in [
            ("completed", "completed - attempts 1 generation 1 removed"),
            ("failed once", "completed - attempts 2 generation 1 removed"),
            ("fatal", "dead fatal attempts 1 generation 1"),
            ("lost", "dead lost attempts 3 generation 1"),
            ("cancelled waiting", "cancelled requested attempts 0 generation 1 removed"),
            ("cancelled running", "cancelled requested attempts 1 generation 1 removed"),
            ("cancelled retrying", "cancelled requested attempts 1 generation 1 removed"),
            ("expired", "cancelled expired attempts 0 generation 1 removed"),
            ("given back twice", "completed - attempts 3 generation 1 removed"),
            ("retried twice", "completed - attempts 2 generation 3 removed"),
            ("deleted", "deleted - attempts 0 generation 1 removed"),
            ("parent", "dead fatal attempts 1 generation 1"),
            ("child", "cancelled parent_failed attempts 0 generation 1 removed"),
            ("waiting", "waiting - attempts 0 generation 1"),
            ("running", "waiting - attempts 1 generation 1"),
        ] {
            let id = all.iter().find(|(known, _)| *known == name).expect("a name of ours").1;
            assert!(jobs.contains(&format!("{id} {says}")), "{name} {id}: {says}, in {jobs:#?}");
        }
        let attempts = place.rows(ATTEMPTS).await;
        for (name, says) in [
            ("completed", "#1 g1 completed - 10 -"),
            ("failed once", "#1 g1 failed - 10 HTTP 503 after 12 ms\u{fffd}"),
            ("failed once", "#2 g1 completed - 10 -"),
            ("fatal", "#1 g1 died fatal 10 no such user 8412"),
            ("lost", "#3 g1 died lost 3600000 -"),
            ("cancelled running", "#1 g1 cancelled requested 10 -"),
            ("cancelled retrying", "#1 g1 failed - 10 HTTP 500"),
            ("given back twice", "#1 g1 snoozed - 10 too early"),
            ("given back twice", "#2 g1 released shutdown 10 -"),
            ("retried twice", "#1 g1 died fatal 10 no such user 77"),
            ("retried twice", "#2 g3 completed - 10 -"),
        ] {
            let id = all.iter().find(|(known, _)| *known == name).expect("a name of ours").1;
            assert!(attempts.contains(&format!("{id} {says}")), "{name} {id}: {says}, in {attempts:#?}");
        }
        assert_eq!(attempts.len(), 16, "{attempts:#?}");
        let was = place.rows("SELECT e.name || ' ' || c.name FROM retry r JOIN event_type e ON e.id = was_event JOIN cause c ON c.id = was_cause ORDER BY place").await;
        assert_eq!(was, ["died fatal", "cancelled requested"]);
        let titles = place.rows("SELECT title || ' ' || jobs FROM dead_by_day ORDER BY title").await;
        assert_eq!(titles, ["lost 1", "no such user <n> 2"]);
        assert_eq!(place.count("(SELECT count(*) FROM job WHERE edited_at IS NOT NULL)").await, 1);
        assert_eq!(place.count("(SELECT count(*) FROM job WHERE cancel_requested_at IS NOT NULL)").await, 1);
        assert_eq!(place.count("(SELECT count(*) FROM attempt WHERE result IS NOT NULL)").await, 1);
        assert_eq!(place.count("(SELECT count(*) FROM attempt WHERE result_bytes IS NOT NULL)").await, 1);
        assert_eq!(place.count("(SELECT sum(completed) FROM throughput_by_hour)").await, 4);
        let p50 = place
            .rows("SELECT cast(p50_ms AS text) FROM attempt_durations WHERE outcome = 'completed'")
            .await;
        assert_eq!(p50, ["10"]);
    }
}

#[tokio::test]
async fn both_databases_hold_the_same_and_no_batch_size_changes_it() {
    let mut life = Life::new();
    let (steps, at_once) = (Place::file(), Place::schema());
    let mut archiver = life.archiver(&steps, Options { name: "steps".into(), ..Options::default() }).await;
    // The archive looks now and then while the jobs live, so that every row is written in parts.
    for _ in 0..3 {
        life.every_ending().await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        life.complete_many(3).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        life.a_day_later().await;
        let left = life.take().await;
        life.complete(&left, None).await;
    }
    archiver.catch_up(|_| {}).await.expect("it catches up");
    let mut archiver =
        life.archiver(&at_once, Options { name: "steps".into(), adopt: true, ..Options::default() }).await;
    archiver.catch_up(|_| {}).await.expect("it catches up");
    assert_same(&without_cursor(steps.dump().await), &without_cursor(at_once.dump().await));
}

#[tokio::test]
async fn one_event_at_a_time_gives_what_all_at_once_gives() {
    let mut life = Life::new();
    life.every_ending().await;
    life.a_day_later().await;
    let whole = Place::file();
    life.archive(&whole).await;
    let expected: Vec<String> = without_cursor(whole.dump().await);
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        let options = Options { adopt: true, batch_events: 1, ..Options::default() };
        let mut archiver = life.archiver(&place, options).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_same(&without_cursor(place.dump().await), &expected);
    }
}

#[tokio::test]
async fn a_stretch_that_is_read_again_changes_nothing() {
    let mut life = Life::new();
    life.every_ending().await;
    life.a_day_later().await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        let mut archiver = life.archiver(&place, Options { adopt: true, ..Options::default() }).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        drop(archiver);
        let before = place.dump().await;
        for cursor in [0, life.events().await.len() / 2] {
            // As if the archive were a copy from then: the place goes back, the rows stay.
            let cursor = match cursor {
                0 => "NULL".to_owned(),
                n => format!("'{}'", life.events().await[n].cursor),
            };
            place.execute(&format!("UPDATE archive SET cursor = {cursor}, events = 0")).await;
            life.archive(&place).await;
            let again = place.dump().await;
            let differ = |line: &&String| !line.starts_with("archive:");
            assert_eq!(
                again.iter().filter(differ).collect::<Vec<_>>(),
                before.iter().filter(differ).collect::<Vec<_>>()
            );
        }
    }
}

#[tokio::test]
async fn what_happened_before_the_archive_began_stays_unknown_and_hurts_nothing() {
    let mut life = Life::new();
    let id = life.put_new().await;
    let job = life.take().await;
    let begun = life.store.events(From::Latest, 1, 0).await.expect("the log").expect("its end").next;
    life.complete(&job, None).await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        // An archive that is given a place has everything from there on and nothing before.
        let archiver = life.archiver(&place, Options { adopt: true, ..Options::default() }).await;
        drop(archiver);
        place.execute(&format!("UPDATE archive SET cursor = '{begun}'")).await;
        life.archive(&place).await;
        let sql = "SELECT cast(id AS text) || ' ' || state || ' ' || queue || ' ' || coalesce(cast(enqueued_at AS text), 'unknown') FROM jobs";
        assert_eq!(place.rows(sql).await, [format!("{id} completed mail unknown")]);
        assert_eq!(
            place
                .count("(SELECT count(*) FROM attempts WHERE started_at IS NULL AND outcome = 'completed')")
                .await,
            1
        );
    }
}

#[tokio::test]
async fn the_store_is_told_what_it_may_forget_only_after_the_commit() {
    let mut life = Life::new();
    life.complete_many(2).await;
    let place = Place::file();
    let reader = |readers: Vec<Reader>| readers.into_iter().find(|reader| reader.name == "archive:main");
    let mut archiver = life.archiver(&place, Options::default()).await;
    let held = reader(life.store.readers().await.expect("readers")).expect("the log is held from the start");
    assert_eq!(held.cursor, windlass_core::event::Cursor::default());
    archiver.catch_up(|_| {}).await.expect("it catches up");
    let moved = reader(life.store.readers().await.expect("readers")).expect("a reader").cursor;
    assert_eq!(place.rows("SELECT cursor FROM archive").await, [moved.to_string()]);
    drop(archiver);
    assert!(windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten"));
    assert!(reader(life.store.readers().await.expect("readers")).is_none());
    assert!(!windlass_archive::forget(life.store.as_ref(), "main").await.expect("nothing to forget"));
}

#[tokio::test]
async fn every_query_of_the_page_runs_in_the_database_it_is_written_for() {
    let page = include_str!("../../../../docs/archive.md");
    let block =
        page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of SQL");
    let mut life = Life::new();
    life.every_ending().await;
    for (place, other) in Place::both().into_iter().zip(["-- PostgreSQL:", "-- SQLite:"]) {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        life.archive(&place).await;
        let queries = block.split("\n\n").filter(|query| !query.starts_with(other));
        for query in queries.map(|query| query.trim().trim_end_matches(';')) {
            place.count(&format!("(SELECT count(*) FROM (\n{query}\n) q)")).await;
        }
    }
}

/// Two dumps that differ are told by the lines that differ.
fn assert_same(left: &[String], right: &[String]) {
    let only =
        |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    assert!(left == right, "only left: {:#?}\nonly right: {:#?}", only(left, right), only(right, left));
}

/// How many events were read, and to where, depends on who looked when.
fn without_cursor(dump: Vec<String>) -> Vec<String> {
    dump.into_iter().filter(|line| !line.starts_with("archive:")).collect()
}

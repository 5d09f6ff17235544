//! Gaps, strangers, rivals, newer tables and servers that go away.

use std::time::Duration;

use windlass_archive::{ArchiveError, GapReason, News, Options};
use windlass_core::event::Cursor;
use windlass_core::store::Reader;

use crate::life::Life;
use crate::place::Place;

fn named(name: &str) -> Options {
    Options { name: name.into(), ..Options::default() }
}

#[tokio::test]
async fn what_the_store_threw_away_unread_is_a_row_and_a_warning() {
    let mut life = Life::forgetful();
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        life.complete_many(3).await;
        let mut archiver = life.archiver(&place, Options { adopt: true, ..Options::default() }).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        let last = place.rows("SELECT cursor FROM archive").await.remove(0);
        // Nobody holds the log back any more, and it goes on without us until it has thrown away what we have not read.
        life.store.delete_reader("archive:main".into()).await.expect("an answer");
        let place_of = |text: &str| text.parse::<Cursor>().expect("a cursor").place;
        while life.events().await.first().is_none_or(|event| event.cursor.place <= place_of(&last)) {
            life.complete_many(10).await;
            life.a_day_later().await;
        }
        let before = archiver.standing().gaps;
        let mut told = Vec::new();
        let tell = |news: News<'_>| {
            if let News::Step(step, _) = news {
                told.extend(step.gaps.iter().map(|gap| (gap.reason, gap.after.to_string())));
            }
        };
        archiver.catch_up(tell).await.expect("it goes on behind the gap");
        assert_eq!(told[0], (GapReason::Trimmed, last.clone()));
        life.complete_many(1).await;
        let standing = archiver.catch_up(|_| {}).await.expect("it goes on");
        assert_eq!(standing.gaps, before + told.len() as u64, "told once");
        let gaps =
            place.rows("SELECT reason || ' ' || after FROM gaps WHERE first_event_after IS NOT NULL").await;
        assert!(gaps.contains(&format!("trimmed {last}")), "{gaps:?}");
    }
}

#[tokio::test]
async fn a_place_that_the_store_does_not_know_is_a_gap_and_reading_begins_anew() {
    let mut life = Life::new();
    life.every_ending().await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        let mut archiver = life.archiver(&place, Options { adopt: true, ..Options::default() }).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        drop(archiver);
        let before = place.dump().await;
        // The store was restored from an older copy: the archive is ahead of it.
        let ahead = Cursor { place: u64::MAX - 1, index: 0 };
        place.execute(&format!("UPDATE archive SET cursor = '{ahead}'")).await;
        life.archive(&place).await;
        let kept = |lines: &[String]| -> Vec<String> {
            let of_rows = |line: &&String| !line.starts_with("archive:") && !line.starts_with("gap:");
            lines.iter().filter(of_rows).cloned().collect()
        };
        assert_eq!(kept(&place.dump().await), kept(&before));
        assert_eq!(place.rows("SELECT reason FROM gap").await, ["rewound"]);
    }
}

#[tokio::test]
async fn a_second_archiver_is_refused_while_the_first_lives() {
    let mut life = Life::new();
    life.complete_many(1).await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        let first = life.archiver(&place, Options { adopt: true, ..Options::default() }).await;
        let told = life.try_archiver(&place, Options::default()).await.err().expect("refused");
        assert!(matches!(told, ArchiveError::Held { .. }), "{told}");
        assert!(told.to_string().contains("another archiver"), "{told}");
        drop(first);
        // A server notices the end of a connection a moment later.
        let patience = std::time::Instant::now();
        while let Err(told) = life.try_archiver(&place, Options::default()).await {
            assert!(patience.elapsed() < Duration::from_secs(30), "{told}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn an_archiver_that_was_overtaken_writes_nothing() {
    let mut life = Life::new();
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        life.complete_many(2).await;
        let mut archiver = life.archiver(&place, Options { adopt: true, ..Options::default() }).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        life.complete_many(1).await;
        // Where no lock holds (a pooler, a network disk), somebody else may have moved the place.
        place.execute("UPDATE archive SET cursor = 'elsewhere'").await;
        let before = place.dump().await;
        let told = archiver.catch_up(|_| {}).await.expect_err("refused");
        assert!(matches!(told, ArchiveError::Overtaken { .. }), "{told}");
        assert_eq!(place.dump().await, before);
    }
}

#[tokio::test]
async fn an_archive_belongs_to_one_store_and_one_name() {
    let (mut life, mut other) = (Life::new(), Life::new());
    life.complete_many(2).await;
    other.complete_many(3).await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        windlass_archive::forget(other.store.as_ref(), "main").await.expect("forgotten");
        let mut archiver = life.archiver(&place, Options::default()).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        drop(archiver);
        let told = refusal(&life, &place, named("second")).await;
        assert!(told.contains("is the archive named \"main\", not \"second\""), "{told}");
        let told = refusal(&life, &place, named("no name")).await;
        assert!(told.contains("archive name") && told.contains("letters, digits"), "{told}");
        let told = refusal(&other, &place, Options::default()).await;
        assert!(told.contains("adopt"), "{told}");
        let elsewhere = Place::file();
        let told = refusal(&life, &elsewhere, Options::default()).await;
        assert!(told.contains("choose another name"), "{told}");
        assert_eq!(place.count("(SELECT count(*) FROM job)").await, 2);
        // Adopted, the other store's jobs stand beside those of the first, and the seam is told.
        let mut archiver = other.archiver(&place, Options { adopt: true, ..Options::default() }).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!(place.rows("SELECT reason FROM gap").await, ["adopted"]);
        assert!(place.count("(SELECT count(*) FROM job)").await >= 3);
    }
}

#[tokio::test]
async fn what_an_adopted_archive_has_already_is_not_counted_as_new() {
    for place in Place::both() {
        let mut life = Life::new();
        life.complete_many(5).await;
        let mut archiver = life.archiver(&place, Options::default()).await;
        let first = archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!((first.jobs, first.known), (5, 0));
        drop(archiver);
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        life.complete_many(2).await;
        // In batches of which several are read anew.
        let options = Options { adopt: true, batch_events: 4, ..Options::default() };
        let mut archiver = life.archiver(&place, options).await;
        let again = archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!((again.jobs, again.known), (2, 5));
        assert_eq!(place.count("(SELECT count(*) FROM job)").await, 7);
        life.complete_many(1).await;
        let after = archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!((after.jobs, after.known), (3, 5));
    }
}

/// Whether there is anything where the archive would lie.
async fn is_untouched(place: &Place) -> bool {
    match place {
        Place::File(directory) => std::fs::read_dir(directory.path()).expect("a directory").count() == 0,
        Place::Schema(_, schema) => {
            let sql = format!("SELECT count(*)::text FROM pg_namespace WHERE nspname = '{schema}'");
            place.rows(&sql).await == ["0"]
        }
    }
}

#[tokio::test]
async fn a_refused_archive_leaves_nothing_where_it_would_lie() {
    let mut life = Life::new();
    life.complete_many(1).await;
    life.archive(&Place::file()).await;
    for place in Place::both() {
        let told = refusal(&life, &place, Options::default()).await;
        assert!(told.contains("forget the archive of that name"), "{told}");
        assert!(is_untouched(&place).await, "{}", place.url());
        let told = refusal(&life, &place, named("no name")).await;
        assert!(told.contains("archive name") && is_untouched(&place).await, "{told}");
    }
    // What is no database keeps its content, and gets no lock beside it.
    let place = Place::file();
    let Place::File(directory) = &place else { unreachable!("a file") };
    let file = directory.path().join("a.db");
    std::fs::write(&file, "shopping list: ".repeat(100)).expect("a file");
    let told = refusal(&life, &place, named("list")).await;
    assert!(told.contains("not a database"), "{told}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").flatten().collect();
    assert_eq!(left.iter().map(|entry| entry.path()).collect::<Vec<_>>(), [file]);
}

#[tokio::test]
async fn an_archive_that_never_began_leaves_its_name_to_the_next() {
    let mut life = Life::new();
    life.complete_many(1).await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        let mut archiver = life.archiver(&place, Options::default()).await;
        place.execute("ALTER TABLE job RENAME TO elsewhere").await;
        let told = archiver.catch_up(|_| {}).await.expect_err("it cannot be written");
        assert!(!told.is_retryable(), "{told}");
        assert_eq!(life.store.readers().await.expect("readers").len(), 0, "nothing is held back for it");
        life.archive(&Place::file()).await;
    }
    // One that has written something keeps its name, whatever comes then.
    let place = Place::file();
    windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
    let mut archiver = life.archiver(&place, Options::default()).await;
    archiver.catch_up(|_| {}).await.expect("it catches up");
    life.complete_many(1).await;
    place.execute("ALTER TABLE job RENAME TO elsewhere").await;
    archiver.catch_up(|_| {}).await.expect_err("it cannot be written");
    assert_eq!(life.store.readers().await.expect("readers").len(), 1);
}

/// What is said when the archive does not open; a lock of before may linger for a moment.
async fn refusal(life: &Life, place: &Place, options: Options) -> String {
    let patience = std::time::Instant::now();
    loop {
        match life.try_archiver(place, options.clone()).await {
            Err(ArchiveError::Held { .. }) if patience.elapsed() < Duration::from_secs(30) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            told => return told.err().expect("refused").to_string(),
        }
    }
}

#[tokio::test]
async fn newer_tables_and_foreign_ones_are_refused() {
    let mut life = Life::new();
    life.complete_many(1).await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        let mut archiver = life.archiver(&place, Options { adopt: true, ..Options::default() }).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        drop(archiver);
        place.execute("UPDATE archive SET schema_version = schema_version + 1").await;
        let told = refusal(&life, &place, Options::default()).await;
        assert!(told.contains("version 3") && told.contains("update this program"), "{told}");
        place.execute("UPDATE archive SET schema_version = schema_version - 1").await;
        life.archive(&place).await;
    }
    let foreign = Place::file();
    foreign.execute("CREATE TABLE orders (id INTEGER)").await;
    let told = refusal(&life, &foreign, named("foreign")).await;
    assert!(told.contains("hold") && told.contains("of its own"), "{told}");
    let readers: Vec<Reader> = life.store.readers().await.expect("readers");
    assert!(
        readers.iter().all(|reader| reader.name != "archive:foreign"),
        "a refused archive holds nothing back"
    );
}

#[tokio::test]
async fn a_server_that_restarts_is_waited_for_and_nothing_is_doubled() {
    let server: &'static crate::server::Server = Box::leak(Box::new(crate::server::Server::start()));
    let mut life = Life::new();
    life.complete_many(3).await;
    let place = Place::Schema(server, "restarted".into());
    let mut archiver = life.archiver(&place, Options::default()).await;
    archiver.catch_up(|_| {}).await.expect("it catches up");
    life.every_ending().await;
    server.end(rustix::process::Signal::KILL);
    let told = archiver.catch_up(|_| {}).await.expect_err("the server is gone");
    assert!(told.is_retryable(), "{told}");
    let held = life.store.readers().await.expect("readers").remove(0).cursor;
    server.run();
    assert_eq!(
        place.rows("SELECT cursor FROM archive").await,
        [held.to_string()],
        "nothing unwritten may be forgotten"
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut stop = Some(stop);
    let events = life.events().await.len() as u64;
    let standing = archiver
        .run(async { drop(stopped.await) }, |news| {
            if let News::Step(_, standing) = news
                && standing.events == events
            {
                stop.take();
            }
        })
        .await
        .expect("it goes on by itself");
    assert_eq!(standing.events, events);
    let reference = Place::file();
    windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
    life.archive(&reference).await;
    let of_rows = |lines: Vec<String>| {
        lines.into_iter().filter(|line| !line.starts_with("archive:")).collect::<Vec<_>>()
    };
    assert_eq!(of_rows(place.dump().await), of_rows(reference.dump().await));
    server.end(rustix::process::Signal::INT);
}

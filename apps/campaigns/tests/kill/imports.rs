//! An import whose process is killed again and again: every row is counted once, and every refused row is told once.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use windlass_campaigns::{
    app::{App, Options},
    db::Db,
    intake,
    model::{
        ImportId,
        import::{Import, ImportStatus},
    },
    store::{contacts, imports, lists},
};
use windlass_testkit::Dice;

use crate::process::{self, Running};

const KILLS: u64 = 8;
const PEOPLE: u64 = 30_000;
/// Each so manieth row is refused.
const REFUSED_EACH: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run() {
    crate::on_a_runtime(scene());
}

fn file() -> String {
    let row = |nth: u64| {
        let zone = if nth.is_multiple_of(REFUSED_EACH) { "Nowhere" } else { "Eastern" };
        format!("a{nth}@example.com,Ann Nr{nth},{zone}\n")
    };
    "email,name,time zone\n".to_owned() + &(0..PEOPLE).map(row).collect::<String>()
}

async fn scene() {
    let mut dice = Dice::new("imports");
    let dir = tempfile::tempdir().unwrap();
    let file = file();
    let id = brought(dir.path(), &file).await;
    let db = Db::open(&process::database(dir.path())).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..KILLS {
        let before = standing(&db, id).await.progress.rows;
        let mut running = Running::importing(dir.path(), id);
        running.until_it_begins();
        // Each writes something, and is killed wherever it is then.
        until(&db, id, |import| import.progress.rows > before || import.status.is_over()).await;
        tokio::time::sleep(Duration::from_millis(dice.below(80))).await;
        drop(running);
        seen.insert(standing(&db, id).await.progress.rows);
    }
    println!("it was killed with so many rows behind it: {seen:?}");
    assert!(seen.len() > 2, "it is killed in the middle, more than once");
    let last = Running::importing(dir.path(), id);
    let import = until(&db, id, |import| import.status.is_over()).await;
    let begun = Instant::now();
    while kept(&db).await > 0 {
        assert!(begun.elapsed() < PATIENCE, "the file goes with its import");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(last);

    let refused = PEOPLE / REFUSED_EACH;
    let progress = &import.progress;
    assert_eq!((import.status, progress.rows), (ImportStatus::Done, PEOPLE), "{import:?}");
    assert_eq!((progress.added, progress.updated), (PEOPLE - refused, 0), "nobody is counted twice");
    assert_eq!((progress.refused, progress.bytes_done), (refused, file.len() as u64));
    let errors = db.read(move |tx| imports::errors(tx, id)).await.unwrap();
    let lines: Vec<&str> = errors.lines().skip(1).collect();
    let told: BTreeSet<&str> = lines.iter().copied().collect();
    assert_eq!((lines.len() as u64, told.len() as u64), (refused, refused), "each refused row once");
    let list = import.list.unwrap();
    let (people, on_list) = db
        .read(move |tx| {
            Ok::<_, windlass_campaigns::db::DbError>((contacts::count(tx)?, lists::size(tx, list)?))
        })
        .await
        .unwrap();
    let wanted = i64::try_from(PEOPLE - refused).unwrap();
    assert_eq!((people, on_list), (wanted, wanted));
}

/// Takes the file in, in a process that is gone when this answers.
async fn brought(dir: &std::path::Path, file: &str) -> ImportId {
    let db = Db::open(&process::database(dir)).await.unwrap();
    let client = windlass::open(&process::queue(dir)).await.unwrap();
    let app = App::open(db, client, Options::default()).await.unwrap();
    let pieces: Vec<_> =
        file.as_bytes().chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let id = intake::receive::<Infallible>(&app, "people.csv", "test", stream::iter(pieces)).await.unwrap();
    app.client().close().await.unwrap();
    id
}

async fn until(db: &Db, id: ImportId, holds: impl Fn(&Import) -> bool) -> Import {
    let begun = Instant::now();
    loop {
        let import = standing(db, id).await;
        if holds(&import) {
            return import;
        }
        assert!(begun.elapsed() < PATIENCE, "{import:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn standing(db: &Db, id: ImportId) -> Import {
    db.read(move |tx| imports::get(tx, id)).await.unwrap().unwrap()
}

async fn kept(db: &Db) -> i64 {
    db.read(|tx| tx.count("SELECT count(*) FROM import_files", &[])).await.unwrap()
}

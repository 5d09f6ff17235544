//! The database by itself: what is answered is on disk, what failed has left nothing, and neighbours do not meet.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    task::Poll,
};

use tokio::task::JoinSet;
use windlass_campaigns::{
    db::{Db, DbError, Tx},
    model::CampaignId,
    store::{settings, usage},
};

const OF: usage::Of<'_> = usage::Of::Campaign(CampaignId(1));

#[derive(Debug)]
enum Fault {
    Own,
    Db(DbError),
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

async fn open(dir: &tempfile::TempDir) -> Db {
    Db::open(&format!("sqlite:{}", dir.path().join("app.db").display())).await.unwrap()
}

/// What another process sees.
fn rows_on_disk(dir: &tempfile::TempDir) -> i64 {
    let connection = rusqlite::Connection::open(dir.path().join("app.db")).unwrap();
    connection.query_row("SELECT count(*) FROM settings", [], |row| row.get(0)).unwrap()
}

fn put(tx: &mut Tx<'_>, name: &str) -> Result<(), DbError> {
    settings::set(tx, name, &1)
}

/// Holds the writer until the other end is dropped, so that what comes meanwhile shares the next commit.
fn held(db: &Db) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (go, wait) = channel::<()>();
    let wait: Mutex<Receiver<()>> = Mutex::new(wait);
    let db = db.clone();
    let (entered, inside) = channel();
    let entered = Mutex::new(entered);
    let task = tokio::spawn(async move {
        let held = db.write(move |_| {
            entered.lock().unwrap().send(()).unwrap();
            // It ends with the sender.
            let _ = wait.lock().unwrap().recv();
            Ok::<_, DbError>(())
        });
        held.await.unwrap();
    });
    inside.recv().unwrap();
    (go, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_fails_writes_nothing_and_its_neighbours_in_the_same_commit_stand() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir).await;
    let (go, held) = held(&db);
    let mut writes = JoinSet::new();
    for nth in 0..60_usize {
        let db = db.clone();
        writes.spawn(async move {
            let done = db
                .write(move |tx| {
                    put(tx, &format!("{nth} a"))?;
                    match nth % 4 {
                        0 => Err(Fault::Own),
                        1 => Err(tx
                            .run("INSERT INTO settings (name) VALUES ('no value')", &[])
                            .unwrap_err()
                            .into()),
                        2 => panic!("a transaction that panics on purpose"),
                        _ => Ok(put(tx, &format!("{nth} b"))?),
                    }
                })
                .await;
            (nth, done)
        });
    }
    drop(go);
    held.await.unwrap();
    while let Some(done) = writes.join_next().await {
        let (nth, done) = done.unwrap();
        let fits = match nth % 4 {
            0 => matches!(done, Err(Fault::Own)),
            1 => matches!(done, Err(Fault::Db(DbError::Refused(_)))),
            2 => matches!(done, Err(Fault::Db(DbError::Failed(_)))),
            _ => done.is_ok(),
        };
        assert!(fits, "{nth}: {done:?}");
    }
    let names = db
        .read(|tx| {
            let rows = tx.rows("SELECT name FROM settings", &[])?;
            rows.into_iter().map(|mut row| row.text()).collect::<Result<Vec<_>, _>>()
        })
        .await
        .unwrap();
    assert_eq!(names.len(), 30, "{names:?}");
    assert!(names.iter().all(|name| name.split(' ').next().unwrap().parse::<usize>().unwrap() % 4 == 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_answered_before_the_commit_that_they_share_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir).await;
    let (go, first) = held(&db);
    let (go_on, wait) = channel::<()>();
    let (entered, inside) = channel();
    let (wait, entered) = (Mutex::new(wait), Mutex::new(entered));
    let mut early = Box::pin(db.write(|tx| put(tx, "early")));
    let mut late = Box::pin(db.write(move |tx| {
        entered.lock().unwrap().send(()).unwrap();
        let _ = wait.lock().unwrap().recv();
        put(tx, "late")
    }));
    // Asked for in this order while the writer is held, they share its commit.
    assert!(is_pending(&mut early).await && is_pending(&mut late).await);
    drop(go);
    inside.recv().unwrap();
    // The first two have run by now, and their neighbour has not.
    assert!(is_pending(&mut early).await && !first.is_finished());
    assert_eq!(rows_on_disk(&dir), 0);
    drop(go_on);
    early.await.unwrap();
    assert_eq!(rows_on_disk(&dir), 2);
    late.await.unwrap();
    first.await.unwrap();
}

/// A full disk ends a transaction as a rollback does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_disk_has_ended_fails_for_all_who_share_it_and_writes_nothing_of_any() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir).await;
    let (go, first) = held(&db);
    let mut before = Box::pin(db.write(|tx| put(tx, "before")));
    let mut ends = Box::pin(db.write(|tx| tx.run("ROLLBACK", &[])));
    let mut behind = Box::pin(db.write(|tx| put(tx, "behind")));
    assert!(is_pending(&mut before).await && is_pending(&mut ends).await && is_pending(&mut behind).await);
    drop(go);
    assert!(before.await.is_err() && ends.await.is_err() && behind.await.is_err());
    // The one that held the writer was of the same commit: it is told so, too.
    assert!(first.await.is_err());
    assert_eq!(rows_on_disk(&dir), 0);
    db.write(|tx| put(tx, "later")).await.unwrap();
    assert_eq!(rows_on_disk(&dir), 1);
}

async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_file_count_every_message_once() {
    const CAP: u32 = 70;
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(&dir).await, open(&dir).await);
    let mut writes = JoinSet::new();
    for nth in 0..100 {
        let db = if nth % 2 == 0 { one.clone() } else { other.clone() };
        writes.spawn(async move { db.write(|tx| usage::take(tx, OF, "2026-11-22", CAP)).await.unwrap() });
    }
    let mut taken = 0;
    while let Some(done) = writes.join_next().await {
        taken += u32::from(done.unwrap());
    }
    assert_eq!(taken, CAP);
    assert_eq!(one.read(|tx| usage::used(tx, OF, "2026-11-22")).await.unwrap(), i64::from(CAP));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_newer_version_or_of_another_build_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir).await);
    let path = dir.path().join("app.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let ours: String =
        connection.query_row("SELECT sha256 FROM campaigns_schema", [], |row| row.get(0)).unwrap();
    let say = |version: i64, hash: &str| {
        connection.execute("UPDATE campaigns_schema SET version = ?1, sha256 = ?2", (version, hash)).unwrap();
    };
    say(99, &ours);
    let refused = Db::open(&format!("sqlite:{}", path.display())).await.unwrap_err();
    assert!(matches!(refused, DbError::Version { found: 99, .. }), "{refused:?}");
    say(1, "another");
    let refused = Db::open(path.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(refused, DbError::Build { version: 1 }), "{refused:?}");
    say(1, &ours);
    assert!(Db::open(path.to_str().unwrap()).await.is_ok(), "and nothing of them is held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_writes_nothing_and_sees_one_state() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir).await;
    assert!(db.read(|tx| put(tx, "x")).await.is_err());
    let (go, wait) = channel::<()>();
    let (entered, inside) = channel();
    let (wait, entered) = (Mutex::new(wait), Mutex::new(entered));
    let look = tokio::spawn({
        let db = db.clone();
        async move {
            db.read(move |tx| {
                let before = tx.count("SELECT count(*) FROM settings", &[])?;
                entered.lock().unwrap().send(()).unwrap();
                let _ = wait.lock().unwrap().recv();
                Ok::<_, DbError>((before, tx.count("SELECT count(*) FROM settings", &[])?))
            })
            .await
            .unwrap()
        }
    });
    inside.recv().unwrap();
    db.write(|tx| put(tx, "y")).await.unwrap();
    drop(go);
    assert_eq!(look.await.unwrap(), (0, 0));
    assert_eq!(db.read(|tx| tx.count("SELECT count(*) FROM settings", &[])).await.unwrap(), 1);
    assert!(db.read(|_| Err::<(), _>(Fault::Own)).await.is_err());
    assert_eq!(db.read(|tx| tx.count("SELECT count(*) FROM settings", &[])).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_database_says_so_without_its_password() {
    for address in ["mysql://ann:secret@host/db", "sqlite:", ""] {
        let refused = Db::open(address).await.unwrap_err().to_string();
        assert!(refused.contains("use sqlite:PATH or postgres://"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

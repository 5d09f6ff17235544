//! Who changed what: one record for each call that operates or administers, kept by the store.
//!
//! The answer to such a call leaves after its record is written, so that nothing is acknowledged that the log does not
//! tell; records that come at the same time are written in one step. Where the store does not take them, the answer
//! leaves after two seconds all the same, since what was done cannot be undone: the record stands in the server's
//! own log in any case (`target: audit`), waits in memory to be written, and if that fills up, the number of those that
//! are missing is written in their place. The call runs to its end even if whoever asked goes away.
//!
//! The log is a ring of values of the store, each a chunk of records; the newest chunk takes the place of the oldest.
//! Calls that only look are not recorded, and calls that were refused at the door only in the server's log, so that
//! nobody who may do nothing can push out what others did.

mod deeds;
mod pages;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_api::audit::AuditRecord;
use windlass_core::store::Store;
use windlass_core::{Rejection, StoreError, Time};

pub(crate) use deeds::Deeds;
pub(crate) use pages::read;
pub(crate) use watch::{is_recorded, recorded};

use crate::app::{App, Inner};
use crate::keys::BY_COMMAND;

/// Where the store keeps which chunk is the newest.
pub(crate) const PLACE: &str = "windlass.audit";
/// Records of a chunk, which is written whole for each record that it gets: three kilobytes at the mean.
const CHUNK_RECORDS: usize = 20;
/// Chunks that are kept: 20,000 records, some years of people's work or some days of a busy script's.
const CHUNKS_KEPT: u64 = 1_000;
/// How long an answer waits for its record.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);
/// Records that wait for a store that does not take them.
const WAITING_MOST: usize = 1_000;
/// How often those are tried again.
const AGAIN_EVERY: Duration = Duration::from_secs(5);
/// Writers that were faster, after which something is wrong.
const TRIES: usize = 50;

/// Some records, in their order; a chunk's place in the ring follows from its number.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Chunk {
    number: u64,
    records: Vec<AuditRecord>,
}

/// The newest chunk, or one before it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    newest: u64,
}

fn place_of(number: u64) -> String {
    format!("{PLACE}.{}", number % CHUNKS_KEPT)
}

async fn head(store: &dyn Store) -> Result<(Head, u64), StoreError> {
    let (value, version) = store.meta(PLACE.to_owned()).await?;
    Ok((serde_json::from_slice(&value).unwrap_or_default(), version))
}

/// The chunk of that number, empty if it is not there (yet, or no longer), and its version.
async fn chunk(store: &dyn Store, number: u64) -> Result<(Chunk, u64), StoreError> {
    let (value, version) = store.meta(place_of(number)).await?;
    let chunk: Chunk = serde_json::from_slice(&value).unwrap_or_default();
    let records = if chunk.number == number { chunk.records } else { Vec::new() };
    Ok((Chunk { number, records }, version))
}

/// Adds records to the log.
async fn append(store: &dyn Store, mut records: &[AuditRecord]) -> Result<(), StoreError> {
    let refused = |why: Rejection| StoreError::refused("audit", why.to_string());
    let mut slower = 0;
    while !records.is_empty() {
        if slower >= TRIES {
            return Err(StoreError::refused("audit", "others write the audit log all the time"));
        }
        let (Head { newest }, head_version) = head(store).await?;
        let (mut last, version) = chunk(store, newest).await?;
        if last.records.len() >= CHUNK_RECORDS {
            let value = serde_json::to_vec(&Head { newest: newest + 1 }).unwrap_or_default();
            match store.set_meta(PLACE.to_owned(), value, head_version).await? {
                Ok(_) => {}
                Err(Rejection::VersionConflict { .. }) => slower += 1,
                Err(why) => return Err(refused(why)),
            }
            continue;
        }
        let (now, later) = records.split_at(records.len().min(CHUNK_RECORDS - last.records.len()));
        last.records.extend_from_slice(now);
        let value = serde_json::to_vec(&last).map_err(|why| StoreError::refused("audit", why.to_string()))?;
        match store.set_meta(place_of(newest), value, version).await? {
            Ok(_) => records = later,
            Err(Rejection::VersionConflict { .. }) => slower += 1,
            Err(why) => return Err(refused(why)),
        }
    }
    Ok(())
}

/// The newest records of a store before that place, newest first, and the place before which to go on.
///
/// # Errors
/// The store's failure.
pub async fn records(
    store: &dyn Store,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<AuditRecord>, Option<u64>), StoreError> {
    let page = read(store, before, limit).await?;
    Ok((page.items, page.next))
}

/// Records what a command has done on a store that no server stands before.
pub(crate) async fn by_command(
    store: &dyn Store,
    action: &str,
    done: String,
    at: Time,
) -> Result<(), StoreError> {
    let (who, action) = (BY_COMMAND.to_owned(), action.to_owned());
    let done = vec![done];
    append(store, &[AuditRecord { who, action, done, status: 200, ..gap(at, 0) }]).await
}

#[derive(Default)]
struct Waiting {
    records: Vec<AuditRecord>,
    missing: u64,
}

/// The log as a server writes it.
pub(crate) struct Log {
    /// Weak, so that a task that writes does not hold the store open for longer than the server does.
    store: Weak<dyn Store>,
    waiting: Mutex<Waiting>,
    /// One writer at a time, who writes for all that wait.
    writing: tokio::sync::Mutex<()>,
}

impl Log {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::downgrade(store),
            waiting: Mutex::default(),
            writing: tokio::sync::Mutex::new(()),
        })
    }

    /// Records a call: told to the server's log at once, and written when this comes back, unless the store does not
    /// take it.
    pub(crate) async fn record(self: &Arc<Self>, record: AuditRecord) {
        say(&record);
        self.wait(record);
        let log = self.clone();
        // Written by a task of its own, so that whoever goes away does not take the record along.
        let written = tokio::spawn(async move { log.flush().await });
        match tokio::time::timeout(WRITTEN_WITHIN, written).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(target: "audit", %error, "a record waits to be written"),
            _ => tracing::error!(target: "audit", "a record waits to be written"),
        }
    }

    fn wait(&self, record: AuditRecord) {
        let mut waiting = self.waiting();
        if waiting.records.len() >= WAITING_MOST {
            waiting.missing += 1;
        } else {
            waiting.records.push(record);
        }
    }

    /// Writes whatever waits.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let Waiting { mut records, missing } = std::mem::take(&mut *self.waiting());
        let Some(last) = records.last() else { return Ok(()) };
        if missing > 0 {
            records.push(gap(last.at, missing));
        }
        let Some(store) = self.store.upgrade() else { return Ok(()) };
        let written = append(store.as_ref(), &records).await;
        if written.is_err() {
            let mut waiting = self.waiting();
            records.truncate(records.len() - usize::from(missing > 0));
            let room = WAITING_MOST.saturating_sub(records.len());
            let more = waiting.records.len().saturating_sub(room);
            waiting.records.truncate(room);
            waiting.missing += missing + more as u64;
            records.append(&mut waiting.records);
            waiting.records = records;
        }
        written
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands in the place of records that could not be kept.
fn gap(at: Time, missing: u64) -> AuditRecord {
    AuditRecord {
        at,
        who: "server".to_owned(),
        from: "-".to_owned(),
        action: "audit".to_owned(),
        target: String::new(),
        done: vec![format!("{missing} records are missing here: the store took none for too long")],
        jobs: 0,
        refused: 0,
        status: 500,
    }
}

/// A line of the server's log. What came from outside is quoted, so that it can end no line and drive no terminal.
fn say(record: &AuditRecord) {
    let AuditRecord { who, from, action, target, done, jobs, refused, status, .. } = record;
    tracing::info!(target: "audit", who, from, action, ?target, ?done, jobs, refused, status);
}

/// Writes what waits, again and again, for as long as the server is there, and when it ends.
pub(crate) async fn keep(app: Weak<Inner>) {
    loop {
        let Some(drain) = app.upgrade().map(|inner| App::of(inner).drain().clone()) else { return };
        let ends = tokio::select! {
            () = tokio::time::sleep(AGAIN_EVERY) => false,
            () = drain.begun() => true,
        };
        let Some(log) = app.upgrade().map(|inner| App::of(inner).log().clone()) else { return };
        if let Err(error) = log.flush().await {
            tracing::error!(target: "audit", %error, "records wait to be written");
        }
        if ends {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64) -> AuditRecord {
        AuditRecord { target: format!("/{n}"), ..gap(Time(n), 0) }
    }

    #[tokio::test]
    async fn records_are_told_newest_first_by_pages_and_the_oldest_make_room() {
        let client = windlass::open("memory:").await.expect("memory");
        let store = client.store().as_ref();
        let all = CHUNK_RECORDS as u64 * 3 + 7;
        let records: Vec<AuditRecord> = (0..all).map(record).collect();
        for some in records.chunks(90) {
            append(store, some).await.expect("written");
        }
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = read(store, before, 150).await.expect("a page");
            seen.extend(page.items);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        let told: Vec<u64> = seen.iter().map(|record| record.at.0).collect();
        assert_eq!(told, (0..all).rev().collect::<Vec<_>>());

        // The ring is full once: the first chunks are gone, and nothing else.
        let more: Vec<AuditRecord> = (all..CHUNK_RECORDS as u64 * (CHUNKS_KEPT + 2)).map(record).collect();
        for some in more.chunks(5_000) {
            append(store, some).await.expect("written");
        }
        let (mut count, mut last, mut before) = (0, u64::MAX, None);
        loop {
            let page = read(store, before, 1_000).await.expect("a page");
            count += page.items.len();
            last = page.items.last().map_or(last, |record| record.at.0);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!((count, last), (CHUNK_RECORDS * CHUNKS_KEPT as usize, CHUNK_RECORDS as u64 * 2));
    }

    #[tokio::test]
    async fn two_servers_write_one_log_and_lose_nothing() {
        let client = windlass::open("memory:").await.expect("memory");
        let (one, other) = (Log::new(client.store()), Log::new(client.store()));
        let writes = (0..60).map(|n| {
            let log = if n % 2 == 0 { one.clone() } else { other.clone() };
            async move { log.record(record(n)).await }
        });
        futures_util::future::join_all(writes).await;
        let page = read(client.store().as_ref(), None, 1_000).await.expect("a page");
        let mut told: Vec<u64> = page.items.iter().map(|record| record.at.0).collect();
        told.sort_unstable();
        assert_eq!(told, (0..60).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_store_does_not_take_waits_and_what_is_too_much_is_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = windlass::open("memory:").await.expect("memory");
            let log = Log::new(client.store());
            for n in 0..WAITING_MOST as u64 + 3 {
                log.wait(record(n));
            }
            log.flush().await.expect("written");
            let page = read(client.store().as_ref(), None, 1).await.expect("a page");
            assert!(page.items[0].done[0].starts_with("3 records are missing"), "{:?}", page.items);
        });
    }
}

//! A full look at a store, written into its history: new events, counts, every job, limits, schedules.
//!
//! It is made of the store's ordinary reads. Whether anything moved meanwhile is found by reading the counts twice, and
//! told in the last line: what moves cannot be counted.

use crate::format::{DumpBegins, DumpEnd, Says};
use crate::recorder::Recorder;
use crate::recording::Follow;
use std::io;
use windlass_core::store::{Filter, From, Store};
use windlass_core::{Rejection, StoreError};

/// Items asked for at once.
const PAGE: usize = 1_000;

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store refused a read.
    #[error("the store refused a read: {0}")]
    Rejected(#[from] Rejection),
    /// The history cannot be written.
    #[error("the history cannot be written: {0}")]
    History(#[from] io::Error),
}

/// Writes down what `store` shows now. `follow` remembers where the event log was read to; a new one begins with the
/// oldest event that is kept.
///
/// # Errors
/// A read failed, or the history cannot be written; the look is then without an end and is not judged.
pub async fn dump(
    store: &dyn Store,
    recorder: &Recorder,
    follow: &mut Follow,
    begins: DumpBegins,
) -> Result<(), DumpError> {
    recorder.say(None, Says::Dump(begins))?;
    events(store, recorder, follow).await?;
    let queues = store.queues(None, None).await?;
    for info in &queues {
        recorder.say(None, Says::Queue(info.clone().into()))?;
    }
    let mut cursor = None;
    loop {
        let page = store.list(Filter::default(), cursor, PAGE, usize::MAX).await??;
        for view in page.items {
            recorder.say(None, Says::Job(view.into()))?;
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let page = store.limits(after, PAGE).await?;
        after = page.items.last().filter(|_| page.next.is_some()).map(|info| info.name.clone());
        for info in page.items {
            recorder.say(None, Says::Limit(info.into()))?;
        }
        if after.is_none() {
            break;
        }
    }
    for info in store.schedules().await? {
        recorder.say(None, Says::Schedule(info.into()))?;
    }
    let moved = events(store, recorder, follow).await? > 0;
    let again = store.queues(None, None).await?;
    let same = queues.len() == again.len()
        && queues.iter().zip(&again).all(|(a, b)| a.counts == b.counts && a.totals == b.totals);
    let end = DumpEnd { quiet: same && !moved, events_complete: !follow.gap };
    Ok(recorder.say(None, Says::DumpEnd(end))?)
}

/// Reads the event log to its end; how many events were new.
async fn events(store: &dyn Store, recorder: &Recorder, follow: &mut Follow) -> Result<usize, DumpError> {
    let mut read = 0;
    loop {
        let from = follow.cursor.map_or(From::Earliest, From::After);
        let page = store.events(from, PAGE, 0).await??;
        follow.gap |= page.gap;
        follow.cursor = Some(page.next);
        for event in &page.events {
            recorder.say(None, Says::Event(event.into()))?;
        }
        read += page.events.len();
        if page.events.is_empty() {
            return Ok(read);
        }
    }
}

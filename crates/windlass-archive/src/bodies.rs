//! What jobs brought to their handlers, read from the store as their events pass by.
//!
//! A payload is read when its job is enqueued and when it is edited, and at its end if nobody has read it before: so
//! what the archive holds is what the job had when that event was archived. A reader that names a time holds back
//! retention meanwhile. What is gone all the same (deleted, or the reader fell behind the bound) is told as gone.

use std::collections::HashSet;

use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::event::{Cursor, Event, EventType};
use windlass_core::job::JobBody;
use windlass_core::store::Store;
use windlass_core::{JobId, StoreError, Time};

use crate::batch::Batch;
use crate::fold::is_end;

/// The queue in which a relay of an outbox (`docs/outbox.md`) keeps its own notes for moments: what they hold is of no use to
/// anybody, and to miss it is no loss. A test of the command, which has both, holds this against the outbox's own name.
const NOTES_OF_THE_OUTBOX: &str = "windlass.outbox";

/// How far the times of two events may lie in another order than the log has them, in ms: a store may read its clock
/// before it waits for a lock, and a clock is set back now and then.
const DISORDER_MS: u64 = 10_000;

/// A job whose body is to be read, behind the place of the event that says so.
pub(crate) type Wanted = (usize, JobId);

/// From which end on the store has to keep jobs for an archive that has read up to an event at `last`. Where nothing
/// came for so long that nothing older can come, all that is there has been read.
pub(crate) fn keeps_from(last: Option<Time>, quiet_ms: u64) -> Time {
    match last {
        Some(last) if quiet_ms >= DISORDER_MS => last.plus_ms(1),
        Some(last) => last.minus_ms(DISORDER_MS),
        None => Time::ZERO,
    }
}

/// The jobs of these events whose bodies are to be read, each with the place of its first event: those that are new or
/// changed here, and those that end here (to be asked of the archive first).
pub(crate) fn wanted(events: &[Event]) -> (Vec<Wanted>, Vec<Wanted>) {
    let (mut seen, mut fresh, mut ended) = (HashSet::new(), Vec::new(), Vec::new());
    let of_users = |event: &&Event| event.queue.as_str() != NOTES_OF_THE_OUTBOX;
    let events = || events.iter().enumerate().filter(move |(_, event)| of_users(event));
    for (at, event) in events() {
        if matches!(event.event, EventType::Enqueued | EventType::Edited) && seen.insert(event.job) {
            fresh.push((at, event.job));
        }
    }
    for (at, event) in events() {
        if is_end(event.event) && seen.insert(event.job) {
            ended.push((at, event.job));
        }
    }
    (fresh, ended)
}

/// Reads the bodies of `wanted` (in the order of the events) into the batch until it is full of them; answers up to
/// which event it came, if not to the last.
pub(crate) async fn read(
    store: &dyn Store,
    wanted: &[Wanted],
    batch: &mut Batch,
    bytes_max: usize,
) -> Result<Option<usize>, StoreError> {
    let mut done = 0;
    while done < wanted.len() {
        if done > 0 && batch.rows.bytes >= bytes_max {
            return Ok(Some(wanted[done].0));
        }
        let asked: Vec<JobId> = wanted[done..].iter().take(BATCH_ITEMS_MAX).map(|(_, job)| *job).collect();
        let bodies: Vec<Option<JobBody>> = store.bodies(asked).await?;
        if bodies.is_empty() {
            return Err(StoreError::stopped("bodies", "the store answers for no job at all"));
        }
        for ((_, job), body) in wanted[done..].iter().zip(bodies) {
            batch.rows.take_body(*job, body);
            done += 1;
        }
    }
    Ok(None)
}

/// Drops the events from `upto` on, which are for the next batch; answers where that begins.
pub(crate) fn cut(events: &mut Vec<Event>, upto: usize) -> Option<Cursor> {
    events.truncate(upto);
    events.last().map(|event| event.cursor)
}

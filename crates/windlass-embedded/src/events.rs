//! The event log: the journal itself, read as events.
//!
//! Every fact about a job names it in full, so a stretch of the journal is a stretch of the event
//! log; nothing is written twice. Only what is durable is shown. A cursor is a batch's position and
//! how many of its events have been read.

use crate::codec::Decoder;
use crate::fact::{Fact, Held, Origin, Ref};
use crate::journal::{Position, ReadError, Reader};
use windlass_core::bounds::EVENT_TEXT_BYTES_MAX;
use windlass_core::event::{Cause, Cursor, Event, EventType};
use windlass_core::store::EventPage;
use windlass_core::{GroupKey, JobId, Kind, QueueName, Time, WorkerId};

/// Bytes of journal that one page looks at before it answers with what it has.
const PAGE_BYTES: usize = 4 << 20;

/// Names of queues and kinds by number, which never change.
#[derive(Clone, Default)]
pub(crate) struct Names {
    pub(crate) queues: Vec<QueueName>,
    pub(crate) kinds: Vec<Kind>,
}

pub(crate) fn cursor_of(position: Position, index: u32) -> Cursor {
    Cursor { place: (u64::from(position.segment) << 32) | u64::from(position.offset), index }
}

pub(crate) fn position_of(cursor: Cursor) -> Position {
    Position { segment: (cursor.place >> 32) as u32, offset: cursor.place as u32 }
}

/// Why a stretch of the log could not be read.
pub(crate) enum Unreadable {
    /// The cursor names no place of it.
    Cursor,
    /// The journal does not read back.
    Journal(String),
}

/// Reads on from a cursor, between the oldest segment that is kept and the place where the names end.
pub(crate) fn read(
    reader: &Reader,
    names: &Names,
    from: Cursor,
    (first, end): (u32, Position),
    limit: usize,
    lsn: u64,
) -> Result<EventPage, Unreadable> {
    let mut page = EventPage { next: from, ..EventPage::default() };
    let mut at = position_of(from);
    let mut skip = from.index;
    if at.segment < first {
        page.gap = from.place != 0;
        at = Position::start_of(first);
        skip = 0;
        page.next = cursor_of(at, 0);
    }
    let mut looked = 0;
    while page.events.len() < limit && looked < PAGE_BYTES {
        let run = match reader.batches_up_to(at, 256 << 10, lsn) {
            Ok(run) => run,
            Err(ReadError::Gone) => {
                page.gap = true;
                return Ok(page);
            }
            // No batch begins where the cursor says: the store has never given it.
            Err(ReadError::Damaged { .. }) if looked == 0 => return Err(Unreadable::Cursor),
            Err(why) => return Err(Unreadable::Journal(why.to_string())),
        };
        if run.batches.is_empty() {
            page.next = cursor_of(run.next, if run.next == at { skip } else { 0 });
            break;
        }
        for batch in &run.batches {
            if batch.position >= end {
                page.next = cursor_of(batch.position, 0);
                return Ok(page);
            }
            looked += batch.body.len();
            let skipped = if batch.position == at { skip } else { 0 };
            let more = read_batch(&batch.body, batch.position, names, skipped, limit, &mut page);
            if more {
                return Ok(page);
            }
        }
        at = run.next;
        skip = 0;
        page.next = cursor_of(at, 0);
    }
    Ok(page)
}

/// Adds the events of one batch; true when the page is full before its end.
fn read_batch(
    body: &[u8],
    position: Position,
    names: &Names,
    skip: u32,
    limit: usize,
    page: &mut EventPage,
) -> bool {
    let mut from = Decoder::new(body);
    let (mut wall, mut index) = (0, 0);
    while !from.is_empty() {
        let Ok(fact) = Fact::decode(&mut from, false) else { break };
        if let Fact::Tick { wall: at, .. } = fact {
            wall = at;
        }
        let Some(mut event) = event_of(&fact, names, wall) else { continue };
        index += 1;
        if index <= skip {
            continue;
        }
        if page.events.len() >= limit {
            return true;
        }
        event.cursor = cursor_of(position, index);
        page.next = event.cursor;
        page.events.push(event);
    }
    false
}

fn event_of(fact: &Fact<'_>, names: &Names, wall: u64) -> Option<Event> {
    use EventType as T;
    let plain = |job: Ref<'_>, event, cause| build(names, wall, job, event, cause, None);
    let held =
        |job: Ref<'_>, event, cause, held: Held| build(names, wall, job, event, cause, Some(held.worker));
    match *fact {
        Fact::Job(job) if job.origin == Origin::Enqueued => plain(job.job, T::Enqueued, Cause::None),
        Fact::Job(job) if job.origin == Origin::Edited => plain(job.job, T::Edited, Cause::None),
        Fact::Job(job) if job.origin == Origin::Conflicted => plain(job.job, T::Edited, Cause::Unique),
        Fact::Promoted { job, cause, .. } => plain(job, T::Promoted, cause),
        Fact::Claimed { job, held: h, .. } => held(job, T::Claimed, Cause::None, h),
        Fact::Completed { job, held: h, result } => {
            let mut event = held(job, T::Completed, Cause::None, h)?;
            event.result = result.map(|bytes| bytes[..bytes.len().min(EVENT_TEXT_BYTES_MAX)].to_vec());
            Some(event)
        }
        Fact::Failed { job, held: h, dead, cause, error, .. } => {
            let mut event = held(job, if dead { T::Died } else { T::Failed }, cause, h)?;
            let error: Option<windlass_core::job::ErrorReport> = serde_json::from_slice(error).ok();
            event.text =
                error.map(|e| windlass_core::bounds::cut(&e.message, EVENT_TEXT_BYTES_MAX).to_owned());
            Some(event)
        }
        Fact::Lost { job, held: h, dead, cause, .. } => {
            held(job, if dead { T::Died } else { T::Lost }, cause, h)
        }
        Fact::Snoozed { job, held: h, cause, reason, .. } => {
            let mut event = held(job, T::Snoozed, cause, h)?;
            event.text = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
            Some(event)
        }
        Fact::Released { job, held: h, cause, .. } => held(job, T::Released, cause, h),
        Fact::Cancelled { job, cause } => plain(job, T::Cancelled, cause),
        Fact::CancelRequested { job } => plain(job, T::CancelRequested, Cause::Requested),
        Fact::Retried { job, .. } => plain(job, T::Retried, Cause::Requested),
        Fact::Unblocked { job, .. } => plain(job, T::Unblocked, Cause::None),
        Fact::Removed { job, cause, .. } => plain(job, T::Removed, cause),
        _ => None,
    }
}

fn build(
    names: &Names,
    wall: u64,
    job: Ref<'_>,
    event: EventType,
    cause: Cause,
    worker: Option<u64>,
) -> Option<Event> {
    Some(Event {
        cursor: Cursor::default(),
        at: Time(wall),
        event,
        job: JobId(job.id),
        queue: names.queues.get(usize::from(job.queue))?.clone(),
        kind: names.kinds.get(usize::from(job.kind))?.clone(),
        group: GroupKey::new(job.group).ok(),
        attempt: job.attempt,
        cause,
        worker: worker.map(WorkerId),
        text: None,
        result: None,
    })
}

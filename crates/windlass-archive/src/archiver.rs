//! The loop: read a stretch of the log, write it in one transaction, then let the store forget it.
//!
//! One job's story: its events ride in the store's log, held back there by a reader of ours. A batch of them becomes
//! rows and a new place in one commit. Only after that commit is the reader moved, so what the log gives up is in the
//! archive, or the store says that there is a gap. After a kill anywhere the archive's own place is the truth.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use windlass_core::event::Cursor;
use windlass_core::name::check_name;
use windlass_core::store::{EventPage, From, Reader, Store};
use windlass_core::{JobId, Rejection, Time};

use crate::acquaint::{Meeting, acquaint, forget, reader_name, refuse_stranger};
use crate::batch::{Batch, Gap, GapReason};
use crate::bodies;
use crate::database::Database;
use crate::error::ArchiveError;
use crate::news::{News, Standing, Step};
use crate::options::Options;
use crate::target::Target;

/// Texts and results of one transaction, in bytes: a batch of long errors must not fill the memory.
const BATCH_BYTES: usize = 16 << 20;
/// Events asked for at once. Each may carry 8 KiB of text and result.
const PAGE_EVENTS: usize = 2_000;
/// How long events are gathered into a batch while few come, so that a trickle does not mean a sync for each.
const GATHER: Duration = Duration::from_millis(200);
/// How long one wait for the next event lasts.
const WAIT: Duration = Duration::from_secs(5);
/// How often the store is told what it may forget, while there is work. Each time is a write for the store.
const READER_EVERY: Duration = Duration::from_secs(1);
/// How often it is told while nothing but the place moves (telling it may itself be what moves it).
const READER_EVERY_IDLE: Duration = Duration::from_secs(60);
/// Jobs that one step of retention deletes: about as many as a full batch can end.
const PRUNE_JOBS: usize = 5_000;
/// How often retention looks for what is too old, once there was nothing left.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// The first and the longest wait after a fault that may pass.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Writes what a store's event log says to an archive.
pub struct Archiver {
    store: Arc<dyn Store>,
    database: Database,
    options: Options,
    /// Where the archive stands.
    stored: Option<Cursor>,
    /// Where reading goes on.
    next: From,
    /// A gap that is known before the next page is read.
    pending: Option<GapReason>,
    /// A gap that is written, and behind which no event has been read yet.
    open_gap: Option<Gap>,
    /// Gaps that are written and not yet told: a fault between the two must not make them silent.
    untold: Vec<Gap>,
    standing: Standing,
    /// The store knows the archive's name since this start, and nothing can have been written under it yet.
    is_new: bool,
    /// Reading has begun anew: what comes may be in the tables already.
    again: bool,
    reader: ReaderPlace,
    prune_at: Instant,
}

/// What the store knows of our place.
struct ReaderPlace {
    told: Option<(Cursor, Option<Time>)>,
    at: Instant,
    /// When an event was read last.
    read_at: Time,
    /// Events were archived since.
    work: bool,
}

impl Archiver {
    /// Opens the archive, makes its tables if there are none, and has the store hold its log back from there.
    ///
    /// # Errors
    /// [`ArchiveError`] when the archive cannot be had, is another's, or does not belong to this store. What is refused is
    /// left as it was found, and the store knows no name that it did not know before.
    pub async fn start(
        store: Arc<dyn Store>,
        target: &Target,
        options: Options,
    ) -> Result<Self, ArchiveError> {
        check_name("archive name", &options.name)?;
        let now = options.now();
        let found = Database::look(target, &options.name).await?;
        refuse_stranger(store.as_ref(), target, &options, found.as_ref()).await?;
        // The name is claimed last, when everything else is there.
        let (database, head) = Database::open(target, &options.name, now).await?;
        let meeting = acquaint(store.as_ref(), target, &options, &head).await?;
        let adopted = meeting == Meeting::Strangers;
        let next = match head.cursor {
            Some(cursor) if !adopted => From::After(cursor),
            _ => From::Earliest,
        };
        // A reader at the beginning holds everything that is still kept.
        let from = if let From::After(cursor) = next { cursor } else { Cursor::default() };
        let keeps_from = options.payloads.then(|| bodies::keeps_from(head.last_event_at, 0));
        let reader = Reader { keeps_from, ..Reader::of_log(reader_name(&options.name), from) };
        if let Err(error) = store.set_reader(reader).await {
            if meeting == Meeting::New {
                // As in `give_up`.
                let _ = forget(store.as_ref(), &options.name).await;
            }
            return Err(error.into());
        }
        let standing = Standing { last_event_at: head.last_event_at, ..Standing::default() };
        let instant = Instant::now();
        Ok(Self {
            store,
            database,
            reader: ReaderPlace { told: None, at: instant, read_at: now, work: false },
            options,
            stored: head.cursor,
            next,
            is_new: meeting == Meeting::New,
            pending: (adopted && head.cursor.is_some()).then_some(GapReason::Adopted),
            open_gap: None,
            untold: Vec::new(),
            standing,
            again: false,
            prune_at: instant,
        })
    }

    /// What has been done so far.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Archives what there is, at most one batch; waits up to `wait` for the first event.
    ///
    /// # Errors
    /// When the store or the database fails. Nothing is lost: the next step begins at the same place.
    pub async fn step(&mut self, wait: Duration) -> Result<Step, ArchiveError> {
        let gathered = self.gather(wait).await?;
        self.settle(gathered).await
    }

    /// Archives everything that the log holds now.
    ///
    /// # Errors
    /// As [`Archiver::step`].
    pub async fn catch_up(&mut self, mut tell: impl FnMut(News<'_>)) -> Result<Standing, ArchiveError> {
        loop {
            let step = match self.step(Duration::ZERO).await {
                Ok(step) => step,
                Err(error) => return Err(self.give_up(error).await),
            };
            tell(News::Step(&step, self.standing));
            if step.caught_up && step.deleted == 0 {
                self.tell_reader().await?;
                return Ok(self.standing);
            }
        }
    }

    /// Archives until `stop` is ready, and then to the end of the batch that is being written.
    ///
    /// # Errors
    /// When something fails that waiting cannot repair; what may pass is told and tried again.
    pub async fn run(
        &mut self,
        stop: impl Future<Output = ()>,
        mut tell: impl FnMut(News<'_>),
    ) -> Result<Standing, ArchiveError> {
        let mut stop = std::pin::pin!(stop);
        let mut backoff = BACKOFF.0;
        loop {
            // Reading may be dropped in the middle; writing may not.
            let gathered = tokio::select! {
                biased;
                () = &mut stop => break,
                gathered = self.gather(WAIT) => gathered,
            };
            let done = match gathered {
                Ok(gathered) => self.settle(gathered).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(step) => {
                    backoff = BACKOFF.0;
                    tell(News::Step(&step, self.standing));
                }
                Err(error) if error.is_retryable() => {
                    // Whether the batch was written is not known until the next one.
                    self.is_new = false;
                    tell(News::Trouble(&error, backoff));
                    tokio::select! {
                        () = &mut stop => break,
                        () = tokio::time::sleep(backoff) => {}
                    }
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
                Err(error) => return Err(self.give_up(error).await),
            }
        }
        // The archive's own place is the truth: a store that cannot be told now is told at the next start.
        let _ = self.tell_reader().await;
        Ok(self.standing)
    }

    /// An archive that never began leaves its name to the next one, and holds nothing back. It has not begun if its first
    /// batch was refused for good; where nobody knows what became of that, or somebody else wrote, the name stays.
    async fn give_up(&self, error: ArchiveError) -> ArchiveError {
        let unknown = error.is_retryable() || matches!(error, ArchiveError::Overtaken { .. });
        if self.is_new && self.stored.is_none() && !unknown {
            // The error that led here is the one worth telling; the name can still be forgotten by hand.
            let _ = forget(self.store.as_ref(), &self.options.name).await;
        }
        error
    }

    /// Reads a batch, and changes nothing.
    async fn gather(&mut self, wait: Duration) -> Result<(Batch, From, bool), ArchiveError> {
        let gaps = self.open_gap.iter().cloned().collect();
        let mut batch =
            Batch { from: self.stored, to: self.stored, gaps, again: self.again, ..Batch::default() };
        let (mut next, mut pending) = (self.next, self.pending);
        let mut patience = wait;
        let mut until = None;
        loop {
            let room = self.options.batch_events.max(1).saturating_sub(batch.rows.events as usize);
            let most = room.min(PAGE_EVENTS);
            let mut page = match self.page(next, most, patience).await? {
                Ok(page) => page,
                Err(Rejection::BadCursor) if matches!(next, From::After(_)) => {
                    (next, pending) = (From::Earliest, Some(GapReason::Rewound));
                    continue;
                }
                Err(rejection) => return Err(rejection.into()),
            };
            batch.again |= pending.is_some();
            let reason = pending.take().or_else(|| page.gap.then_some(GapReason::Trimmed));
            self.note_gap(&mut batch, reason, &page);
            // A stretch of the log without an event is no end: the place moves on behind it.
            let end = page.events.is_empty() && !page.gap && next == From::After(page.next);
            let few = page.events.len() < most;
            let full = self.add_bodies(&mut batch, &mut page).await?;
            next = From::After(page.next);
            batch.to = Some(page.next);
            batch.last_event_at = page.events.last().map(|event| event.at).or(batch.last_event_at);
            page.events.into_iter().for_each(|event| batch.rows.take(event));
            if full
                || batch.rows.events >= self.options.batch_events as u64
                || batch.rows.bytes >= BATCH_BYTES
            {
                return Ok((batch, next, false));
            }
            if wait.is_zero() {
                if end {
                    return Ok((batch, next, true));
                }
                continue;
            }
            if batch.rows.events == 0 && end {
                return Ok((batch, next, true));
            }
            // Few came: some more may be on their way, and one sync serves them all.
            let until = *until.get_or_insert_with(|| Instant::now() + GATHER);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && few {
                return Ok((batch, next, true));
            }
            patience = left;
            if few {
                // Each page is a look into the store: not one for every few events.
                tokio::time::sleep(left).await;
                patience = Duration::ZERO;
            }
        }
    }

    /// Reads what the jobs of a page brought to their handlers, if that is archived too. When the batch is full before
    /// the page's end, the page ends there.
    async fn add_bodies(&mut self, batch: &mut Batch, page: &mut EventPage) -> Result<bool, ArchiveError> {
        if !self.options.payloads || page.events.is_empty() {
            return Ok(false);
        }
        let (mut wanted, ended) = bodies::wanted(&page.events);
        let without = self.database.without_payload(ended.iter().map(|(_, job)| *job).collect()).await?;
        let without: HashSet<JobId> = without.into_iter().collect();
        wanted.extend(ended.into_iter().filter(|(_, job)| without.contains(job)));
        wanted.sort_unstable();
        let upto = bodies::read(self.store.as_ref(), &wanted, batch, BATCH_BYTES).await?;
        if let Some(next) = upto.and_then(|upto| bodies::cut(&mut page.events, upto)) {
            page.next = next;
        }
        Ok(upto.is_some())
    }

    async fn page(
        &self,
        from: From,
        most: usize,
        wait: Duration,
    ) -> Result<Result<EventPage, Rejection>, ArchiveError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Ok(self.store.events(from, most, wait_ms).await?)
    }

    /// Adds what the page says about gaps; nothing is missed where there was no place before.
    fn note_gap(&self, batch: &mut Batch, reason: Option<GapReason>, page: &EventPage) {
        let first = page.events.first();
        let (resumed, next_at) = (first.map_or(page.next, |event| event.cursor), first.map(|event| event.at));
        // As long as no event has been read behind a gap, it is the same gap, however often the store tells it.
        if let Some(open) = batch.gaps.last_mut().filter(|gap| gap.next_at.is_none()) {
            (open.resumed, open.next_at) = (resumed, next_at);
            return;
        }
        let (Some(reason), Some(after)) = (reason, batch.to) else { return };
        let last_at = batch.last_event_at.or(self.standing.last_event_at);
        let found_at = self.options.now();
        batch.gaps.push(Gap { after, resumed, last_at, next_at, found_at, reason });
    }

    /// Writes a batch, then tells the store, then lets retention do a step.
    async fn settle(
        &mut self,
        (mut batch, next, caught_up): (Batch, From, bool),
    ) -> Result<Step, ArchiveError> {
        // The gap that was open before is written again only with what has become known of it.
        let known = usize::from(self.open_gap.is_some());
        let news = batch.gaps[known..].to_vec();
        if known == 1 && batch.gaps.first() == self.open_gap.as_ref() {
            batch.gaps.remove(0);
        }
        let work = batch.rows.events > 0 || !news.is_empty();
        let mut step = Step { events: batch.rows.events, caught_up, ..Step::default() };
        // A place that has moved past nothing is worth a commit only when the store is to be told.
        if work || (batch.to != self.stored && self.reader.at.elapsed() >= READER_EVERY_IDLE) {
            batch.rows.sort();
            let batch = Arc::new(batch);
            let known = self.database.write(&batch).await?;
            self.written(&batch, known);
            self.standing.gaps += news.len() as u64;
            self.untold.extend(news);
            self.reader.work |= work;
        }
        if step.events > 0 {
            self.reader.read_at = self.options.now();
        }
        (self.next, self.pending) = (next, None);
        if caught_up {
            self.standing.lag_ms = 0;
        }
        // What ended last is let go once nothing older can come, not only when the next event does.
        let lets_go = caught_up && self.reader.told.is_some_and(|told| told.1 != self.keeps_from());
        let every = if self.reader.work || lets_go { READER_EVERY } else { READER_EVERY_IDLE };
        if self.reader.at.elapsed() >= every {
            self.tell_reader().await?;
        }
        step.deleted = self.prune().await?;
        step.gaps = std::mem::take(&mut self.untold);
        Ok(step)
    }

    fn written(&mut self, batch: &Batch, known: u64) {
        self.stored = batch.to;
        self.again = batch.again;
        if let Some(gap) = batch.gaps.last() {
            self.open_gap = Some(gap.clone()).filter(|gap| gap.next_at.is_none());
        }
        let standing = &mut self.standing;
        standing.events += batch.rows.events;
        standing.jobs += batch.rows.enqueued.saturating_sub(known);
        standing.known += known;
        let there = batch.rows.bodies.iter().filter(|row| row.body.is_some()).count() as u64;
        standing.payloads += there;
        standing.payloads_gone += batch.rows.bodies.len() as u64 - there;
        standing.last_event_at = batch.last_event_at.or(standing.last_event_at);
        standing.lag_ms = standing.last_event_at.map_or(0, |at| self.options.now().since(at));
    }

    /// The store may forget what lies before the archive's place.
    async fn tell_reader(&mut self) -> Result<(), ArchiveError> {
        let place = self.stored.map(|cursor| (cursor, self.keeps_from()));
        if let Some((cursor, keeps_from)) = place.filter(|_| place != self.reader.told) {
            let reader = Reader::of_log(reader_name(&self.options.name), cursor);
            self.store.set_reader(Reader { keeps_from, ..reader }).await?;
            self.reader.told = place;
        }
        self.reader.at = Instant::now();
        self.reader.work = false;
        Ok(())
    }

    /// From which end on the store has to keep jobs for us, if their payloads are archived.
    fn keeps_from(&self) -> Option<Time> {
        let quiet_ms = self.options.now().since(self.reader.read_at);
        self.options.payloads.then(|| bodies::keeps_from(self.standing.last_event_at, quiet_ms))
    }

    async fn prune(&mut self) -> Result<u64, ArchiveError> {
        let Some(keep_ms) = self.options.keep_ms.filter(|_| Instant::now() >= self.prune_at) else {
            return Ok(0);
        };
        let before = self.options.now().minus_ms(keep_ms);
        let deleted = self.database.prune(before, PRUNE_JOBS).await?;
        // A full step means that there is more: the next one follows the next batch.
        if deleted < PRUNE_JOBS {
            self.prune_at = Instant::now() + PRUNE_EVERY;
        }
        self.standing.deleted += deleted as u64;
        Ok(deleted as u64)
    }
}

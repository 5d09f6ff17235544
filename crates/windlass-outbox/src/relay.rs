//! The relay: rows that are committed become jobs, one batch after the other, and no batch twice.
//!
//! ```text
//! database: the rows of a batch are recorded under a fence        (begun)
//! queue:    fence and jobs are enqueued, all or nothing           (delivered)
//! queue:    where the last moments may be lost, they have passed  (for good)
//! database: rows and record go; the next rows are recorded        (done)
//! queue:    the fence is removed
//! ```
//!
//! After any failure the relay starts again from the records: for each batch that was begun it asks the queue whether
//! the fence is there. It may be killed between any two steps.

use crate::fence::{self, Fences};
use crate::outbox::{Batch, Found, Outbox, Refusal, Turn};
use crate::row::Row;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use windlass_core::bounds::{BATCH_ITEMS_MAX, PAGE_MAX};
use windlass_core::error::Outcome;
use windlass_core::queue::{GroupSettings, OnHeadDeath};
use windlass_core::store::{AckLevel, EnqueueStatus, Enqueued, PerItem, Store};
use windlass_core::{GroupKey, NewJob, QueueName, Rejection, StoreError, Time};

/// Payload bytes at which a batch ends: what the relay holds in memory, twice at most.
const BATCH_BYTES: u64 = 8 << 20;
/// Batches, and rows, that wait until a store can no longer lose them: bounds the records and the relay's memory.
const UNDER_WAY_BATCHES_MAX: usize = 64;
/// See [`UNDER_WAY_BATCHES_MAX`].
const UNDER_WAY_ROWS_MAX: usize = 20_000;
/// Fences removed at once while there is work; all of them when there is none.
const SPENT_MAX: usize = 200;
/// First and longest look for new rows when nothing rings.
const POLL_MIN: Duration = Duration::from_millis(5);
/// See [`POLL_MIN`].
const POLL_MAX: Duration = Duration::from_secs(1);
/// First and longest wait after a fault.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// See [`BACK_OFF_MIN`].
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// A relay that stands by asks this often whether the table is free.
const STAND_BY: Duration = Duration::from_millis(500);
/// Bounds on the wait for a queue that is full, whatever it hints.
const FULL_MIN: Duration = Duration::from_millis(50);
/// See [`FULL_MIN`].
const FULL_MAX: Duration = Duration::from_secs(5);
/// How long the rows of a queue wait when one of them has a parent that is a row still.
const PARENT_WAIT: Duration = Duration::from_millis(500);
/// Pages of a queue's groups looked through for a group's own settings; refusals are rare, groups may be many.
const GROUP_PAGES_MAX: usize = 10;
/// How often rows that were kept are trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// What a relay may be told.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// How long delivered rows are kept aside as `sent`; none deletes them at once.
    pub keep: Option<Duration>,
    /// Rows of a batch at most; bounded by what the contract lets a batch hold.
    pub batch_rows: usize,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self { keep: None, batch_rows: ROWS_MAX }
    }
}

/// A batch's jobs and its fence.
const ROWS_MAX: usize = BATCH_ITEMS_MAX - 1;

/// What a relay has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Rows whose jobs the queue took in.
    pub rows: u64,
    /// Of those, rows whose job was there: its id was known, or its unique key held.
    pub known: u64,
    /// Rows that the queue refused for good.
    pub refused: u64,
    /// Batches.
    pub batches: u64,
    /// Faults after which the relay began anew.
    pub faults: u64,
}

/// A batch whose jobs the queue has, though perhaps not for good yet.
struct UnderWay {
    batch: Batch,
    safe_at: Instant,
}

/// A row as a job.
struct Item {
    seq: i64,
    job: NewJob,
}

/// A row that is refused for good.
struct Refused {
    seq: i64,
    queue: String,
    group: Option<GroupKey>,
    why: Rejection,
}

/// What the queue said to a batch.
enum Verdict {
    Taken,
    Again,
    Wait(StoreError),
}

/// Moves the rows of one outbox to one store.
pub struct Relay {
    outbox: Box<dyn Outbox>,
    store: Arc<dyn Store>,
    options: RelayOptions,
    relayed: Relayed,
    /// A fault was told, and not yet that it is over.
    in_trouble: bool,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl Relay {
    /// A relay that has not begun.
    pub fn new(outbox: Box<dyn Outbox>, store: Arc<dyn Store>, options: RelayOptions) -> Self {
        let relayed = Relayed::default();
        Self { outbox, store, options, relayed, in_trouble: false, tell: Box::new(|_| ()) }
    }

    /// Who hears of faults that the relay goes on after, and that they are over.
    #[must_use]
    pub fn telling(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// What was done so far.
    pub fn relayed(&self) -> Relayed {
        self.relayed
    }

    /// Relays until `stop` turns true or its sender is gone; waits while another relay has the table. Faults that may
    /// pass are told, and tried again.
    ///
    /// # Errors
    /// What trying again does not repair: tables that are not there, a store that must be opened again.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), StoreError> {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let before = self.relayed;
            match Session::run(self, Some(&mut stop)).await {
                Ok(()) => return Ok(()),
                Err(fault) if !fault.retryable => return Err(fault),
                Err(fault) => {
                    self.relayed.faults += 1;
                    if self.relayed.rows > before.rows {
                        back_off = BACK_OFF_MIN;
                    }
                    self.in_trouble = true;
                    (self.tell)(&format!("{}; again in {} ms", in_words(&fault), back_off.as_millis()));
                    if stopped(&mut stop, back_off).await {
                        return Ok(());
                    }
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                }
            }
        }
    }

    /// Relays every row that is committed and free to go, and ends when there is none.
    ///
    /// # Errors
    /// The first fault; a queue that is full; another relay that has the table.
    pub async fn drain(&mut self) -> Result<(), StoreError> {
        Session::run(self, None).await
    }
}

/// What a relay or its outbox has met, in words for people: what was wanted, and of whom. What they say of themselves names
/// the place already.
pub fn in_words(fault: &StoreError) -> String {
    let wanted = match fault.operation {
        "open" | "relay" | "status" | "retry" | "trim" => return fault.cause.clone(),
        "enqueue" => "putting rows into the queue",
        "cancel" | "delete" => "removing spent fences from the queue",
        _ => "asking the queue",
    };
    format!("{wanted}: {}", fault.cause)
}

/// Waits that long; whether it is time to stop.
async fn stopped(stop: &mut watch::Receiver<bool>, wait: Duration) -> bool {
    // A sender that is gone can stop nobody any more, and is a stop itself.
    tokio::time::timeout(wait, stop.wait_for(|stop| *stop)).await.is_ok()
}

fn wall() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn wait_for(cause: String) -> StoreError {
    StoreError { operation: "relay", cause, outcome: Outcome::NotDone, retryable: true, hint: None }
}

/// The work from taking the table over to the first fault.
struct Session<'a> {
    relay: &'a mut Relay,
    fences: Fences,
    /// How long the store may lose what it has acknowledged.
    window: Duration,
    under_way: VecDeque<UnderWay>,
    /// Queues whose rows wait, and until when.
    full: HashMap<QueueName, Instant>,
    /// Fences whose rows are gone.
    spent: Vec<windlass_core::JobId>,
    trimmed: Instant,
}

impl<'a> Session<'a> {
    /// With `stop` until then; without, until nothing is left.
    async fn run(
        relay: &'a mut Relay,
        mut stop: Option<&mut watch::Receiver<bool>>,
    ) -> Result<(), StoreError> {
        let window = match relay.store.info().await?.ack_level {
            AckLevel::None => {
                let why = "this store keeps nothing when it ends: rows would be lost that were committed";
                return Err(StoreError::refused("relay", why));
            }
            AckLevel::Window { ms } => Duration::from_millis(ms),
            AckLevel::Process | AckLevel::Power => Duration::ZERO,
        };
        let found = loop {
            match (relay.outbox.take_over().await?, &mut stop) {
                (Some(found), _) => break found,
                (None, None) => {
                    return Err(StoreError::refused("relay", "another relay has this table"));
                }
                (None, Some(stop)) => {
                    if stopped(stop, STAND_BY).await {
                        return Ok(());
                    }
                }
            }
        };
        let fences = Fences::new(relay.store.clone(), &found.source)?;
        let (under_way, full, spent) = Default::default();
        let mut session = Session { relay, fences, window, under_way, full, spent, trimmed: Instant::now() };
        session.begin(found).await?;
        session.work(stop).await
    }

    /// Takes up what was begun before.
    async fn begin(&mut self, found: Found) -> Result<(), StoreError> {
        for batch in found.begun {
            if self.fences.was_delivered(batch.fence).await? {
                self.delivered(batch);
            } else {
                self.relay.outbox.amend(batch, Vec::new(), Vec::new(), fence::new_id()).await?;
            }
        }
        let begun: Vec<_> = self.under_way.iter().map(|one| one.batch.fence).collect();
        let left = self.fences.left_over(&begun, wall()).await?;
        // A step in the database says that the table is still ours.
        self.turn(Vec::new(), 0).await?;
        self.fences.remove(left).await
    }

    async fn work(&mut self, mut stop: Option<&mut watch::Receiver<bool>>) -> Result<(), StoreError> {
        let mut poll = POLL_MIN;
        loop {
            let stopping = stop.as_ref().is_some_and(|stop| *stop.borrow() || stop.has_changed().is_err());
            let busy = self.step(stopping).await?;
            // What was begun has been looked for in the queue, and this step was the database's and the queue's.
            if std::mem::take(&mut self.relay.in_trouble) {
                (self.relay.tell)("the outbox's database and the queue answer again; going on");
            }
            if busy {
                poll = POLL_MIN;
                continue;
            }
            self.remove_spent(0).await?;
            if stopping {
                return Ok(());
            }
            self.trim().await?;
            let wait = self.next_due().unwrap_or(poll).min(poll.max(POLL_MIN));
            match &mut stop {
                None if self.under_way.is_empty() && self.full.is_empty() => return Ok(()),
                None if self.under_way.is_empty() => {
                    let queues: Vec<&str> = self.full.keys().map(QueueName::as_str).collect();
                    return Err(wait_for(format!(
                        "rows wait: queue {} takes no more now",
                        queues.join(", ")
                    )));
                }
                None => self.relay.outbox.doorbell(wait).await,
                Some(stop) => {
                    let began = Instant::now();
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => {}
                        () = self.relay.outbox.doorbell(wait) => {}
                    }
                    // What rings is followed by quick looks again.
                    poll = if began.elapsed() < wait { POLL_MIN } else { (poll * 2).min(POLL_MAX) };
                }
            }
        }
    }

    /// One step; whether there was anything to do.
    async fn step(&mut self, stopping: bool) -> Result<bool, StoreError> {
        let now = Instant::now();
        self.full.retain(|_, until| *until > now);
        let done = self.safe(now).await?;
        let rows_under_way: usize = self.under_way.iter().map(|one| one.batch.seqs.len()).sum();
        let room = self.under_way.len() < UNDER_WAY_BATCHES_MAX && rows_under_way < UNDER_WAY_ROWS_MAX;
        let rows = if stopping || !room { 0 } else { self.relay.options.batch_rows.clamp(1, ROWS_MAX) };
        let ended = !done.is_empty();
        if rows == 0 && !ended {
            return Ok(false);
        }
        let picked = self.turn(done, rows).await?;
        self.remove_spent(SPENT_MAX).await?;
        match picked {
            Some((batch, rows)) => self.deliver(batch, rows).await.map(|()| true),
            None => Ok(ended),
        }
    }

    async fn turn(&mut self, done: Vec<Batch>, rows: usize) -> Result<Option<(Batch, Vec<Row>)>, StoreError> {
        let spent: Vec<_> = done.iter().map(|batch| batch.fence).collect();
        let turn = Turn {
            done,
            keep: self.relay.options.keep.is_some(),
            fence: fence::new_id(),
            full: self.full.keys().map(ToString::to_string).collect(),
            under_way: self.under_way.iter().flat_map(|one| one.batch.seqs.iter().copied()).collect(),
            rows,
            bytes: BATCH_BYTES,
        };
        let picked = self.relay.outbox.turn(turn).await?;
        self.spent.extend(spent);
        Ok(picked)
    }

    /// The batches that the store has for good, taken off those under way.
    async fn safe(&mut self, now: Instant) -> Result<Vec<Batch>, StoreError> {
        let mut done = Vec::new();
        while self.under_way.front().is_some_and(|one| one.safe_at <= now) {
            let Some(one) = self.under_way.pop_front() else { break };
            if !self.window.is_zero() && !self.fences.is_there(one.batch.fence).await? {
                return Err(wait_for("the store has lost what it had acknowledged".into()));
            }
            done.push(one.batch);
        }
        Ok(done)
    }

    fn delivered(&mut self, batch: Batch) {
        self.under_way.push_back(UnderWay { batch, safe_at: Instant::now() + self.window });
    }

    /// When something is due by the clock: a batch that becomes safe, a full queue that is asked again.
    fn next_due(&self) -> Option<Duration> {
        let safe = self.under_way.front().map(|one| one.safe_at);
        let due = safe.into_iter().chain(self.full.values().copied()).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    async fn remove_spent(&mut self, most: usize) -> Result<(), StoreError> {
        if self.spent.len() > most {
            self.fences.remove(std::mem::take(&mut self.spent)).await?;
        }
        Ok(())
    }

    async fn trim(&mut self) -> Result<(), StoreError> {
        match self.relay.options.keep {
            Some(keep) if self.trimmed.elapsed() >= TRIM_EVERY => {
                self.trimmed = Instant::now();
                self.relay.outbox.trim(keep).await
            }
            _ => Ok(()),
        }
    }

    /// Brings the rows of a batch into the queue, those aside that it refuses for good.
    async fn deliver(&mut self, mut batch: Batch, rows: Vec<Row>) -> Result<(), StoreError> {
        let (mut items, mut refused) = read(rows);
        loop {
            items.truncate(until_repeated(&items));
            if items.len() < batch.seqs.len() {
                let refusals = self.shut(std::mem::take(&mut refused), &mut items).await?;
                self.relay.relayed.refused += refusals.len() as u64;
                let left = items.iter().map(|item| item.seq).collect();
                match self.relay.outbox.amend(batch, refusals, left, fence::new_id()).await? {
                    Some(amended) => batch = amended,
                    None => return Ok(()),
                }
            }
            let mut jobs = Vec::with_capacity(items.len() + 1);
            jobs.push(self.fences.fence(batch.fence, items.len())?);
            jobs.extend(items.iter().map(|item| item.job.clone()));
            let answers = self.relay.store.enqueue(jobs, true, None).await?;
            match self.judge(answers, &mut items, &mut refused).await? {
                Verdict::Taken => {
                    self.delivered(batch);
                    return Ok(());
                }
                Verdict::Again => {}
                Verdict::Wait(fault) => {
                    self.relay.outbox.amend(batch, Vec::new(), Vec::new(), fence::new_id()).await?;
                    return Err(fault);
                }
            }
        }
    }

    /// Sorts the rows by what the queue said: refused for good, to be tried again later (dropped from `items`), or fit.
    async fn judge(
        &mut self,
        answers: PerItem<Enqueued>,
        items: &mut Vec<Item>,
        refused: &mut Vec<Refused>,
    ) -> Result<Verdict, StoreError> {
        let mut answers = answers.into_iter();
        match answers.next() {
            Some(Ok(_) | Err(Rejection::BatchRefused)) => {}
            Some(Err(why)) => return Ok(Verdict::Wait(wait_for(format!("the queue takes nothing: {why}")))),
            None => return Ok(Verdict::Wait(wait_for("the store gave no answer to an enqueue".into()))),
        }
        let answers: Vec<_> = answers.collect();
        if answers.iter().all(Result::is_ok) {
            let known = answers.iter().flatten().filter(|one| one.status != EnqueueStatus::Created).count();
            self.relay.relayed.rows += items.len() as u64;
            self.relay.relayed.known += known as u64;
            self.relay.relayed.batches += 1;
            return Ok(Verdict::Taken);
        }
        let before = items.len();
        let mut waits: HashSet<QueueName> = HashSet::new();
        for (item, answer) in std::mem::take(items).into_iter().zip(answers) {
            match answer {
                // A later row of a queue that takes no more waits behind those before it.
                _ if waits.contains(&item.job.queue) => {}
                Ok(_) | Err(Rejection::BatchRefused) => items.push(item),
                Err(Rejection::OutOfSpace) => {
                    return Ok(Verdict::Wait(wait_for(Rejection::OutOfSpace.to_string())));
                }
                Err(why @ Rejection::Invalid { what: "batch", .. }) => {
                    return Ok(Verdict::Wait(wait_for(why.to_string())));
                }
                Err(Rejection::QueueFull { retry_after_ms, .. }) => {
                    let wait = Duration::from_millis(retry_after_ms).clamp(FULL_MIN, FULL_MAX);
                    self.full.insert(item.job.queue.clone(), Instant::now() + wait);
                    waits.insert(item.job.queue);
                }
                Err(Rejection::BadParents { .. }) if self.parent_waits(&item).await? => {
                    self.full.insert(item.job.queue.clone(), Instant::now() + PARENT_WAIT);
                    waits.insert(item.job.queue);
                }
                Err(why) => refused.push(Refused {
                    seq: item.seq,
                    queue: item.job.queue.to_string(),
                    group: item.job.group,
                    why,
                }),
            }
        }
        if items.len() == before {
            return Ok(Verdict::Wait(wait_for("the store refused a batch without saying why".into())));
        }
        Ok(Verdict::Again)
    }

    /// Whether a parent of the job is a row that waits, too.
    async fn parent_waits(&mut self, item: &Item) -> Result<bool, StoreError> {
        let parents = item.job.parents.iter().map(|parent| parent.id).collect();
        self.relay.outbox.waits(parents).await
    }

    /// Decides for each refused row whether the later rows of its group must wait for it, and drops those of this batch.
    async fn shut(
        &mut self,
        refused: Vec<Refused>,
        items: &mut Vec<Item>,
    ) -> Result<Vec<Refusal>, StoreError> {
        let mut refusals = Vec::with_capacity(refused.len());
        for one in refused {
            let shuts = match &one.group {
                Some(group) => self.is_shut_by_its_head(&one.queue, group).await?,
                None => false,
            };
            if shuts {
                let behind = |item: &Item| {
                    item.seq > one.seq && item.job.queue.as_str() == one.queue && item.job.group == one.group
                };
                items.retain(|item| !behind(item));
            }
            let (code, reason) = (one.why.code(), one.why.to_string());
            (self.relay.tell)(&format!("row {} is refused: {reason}", one.seq));
            refusals.push(Refusal { seq: one.seq, code, reason, shuts });
        }
        Ok(refusals)
    }

    /// Whether a job of that group that cannot go on shuts the group: what the contract says of a dead head holds for a
    /// row that is no job yet.
    async fn is_shut_by_its_head(&mut self, queue: &str, group: &GroupKey) -> Result<bool, StoreError> {
        let Ok(name) = QueueName::new(queue) else { return Ok(false) };
        let store = &self.relay.store;
        let shuts =
            |settings: &GroupSettings| settings.ordered && settings.on_head_death == OnHeadDeath::Block;
        let mut after = None;
        for _ in 0..GROUP_PAGES_MAX {
            let page = store.groups(name.clone(), after, PAGE_MAX).await?;
            if let Some(own) = page.items.iter().find(|info| info.key.as_ref() == Some(group)) {
                return Ok(shuts(&own.settings));
            }
            after = page.items.last().and_then(|info| info.key.clone());
            if page.next.is_none() || after.is_none() {
                break;
            }
        }
        let queues = store.queues(Some(name), None).await?;
        Ok(queues.first().is_some_and(|info| shuts(&info.settings.groups)))
    }
}

/// The jobs of the rows, and the rows that are none.
fn read(rows: Vec<Row>) -> (Vec<Item>, Vec<Refused>) {
    let (mut items, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
    for mut row in rows {
        match row.job() {
            Ok(job) => items.push(Item { seq: row.seq, job }),
            Err(why) => {
                let group = row.group();
                refused.push(Refused { seq: row.seq, queue: row.queue, group, why });
            }
        }
    }
    (items, refused)
}

/// How many rows go into one all-or-nothing batch, in which no id and no unique key may stand twice.
fn until_repeated(items: &[Item]) -> usize {
    let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
    let repeats = |item: &Item| {
        let key = item.job.unique.as_ref().map(|unique| unique.key.as_str().to_owned());
        !ids.insert(item.job.id) || key.is_some_and(|key| !keys.insert(key))
    };
    items.iter().position(repeats).unwrap_or(items.len())
}

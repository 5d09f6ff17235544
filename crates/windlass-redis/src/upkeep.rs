//! What has to happen on a clock: the functions do it, this calls them in time, and computes the ticks of
//! schedules, which Redis cannot.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use redis::Value;
use redis::aio::PubSub;
use tokio::time::Instant;
use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::schedule::Overlap;
use windlass_core::store::{ScheduleSpec, StoreFuture, Upkeep, UpkeepReport};
use windlass_core::{JobId, QueueName, StoreError, Time};

use crate::pace::{Pace, REST_AFTER_FAILURE};
use crate::queue::add_job;
use crate::wire::{self, Misread, Read};
use crate::{Handle, RedisStore};

/// Schedules ticked in one round.
const SCHEDULES_A_ROUND: u64 = 20;
/// Steps of one round in the background: short enough that workers are served in between.
const BUDGET: usize = 500;

/// A schedule as the functions keep it.
pub(crate) struct Kept {
    pub(crate) spec: ScheduleSpec,
    /// Every tick up to here was dealt with.
    pub(crate) through: Time,
    pub(crate) last_tick: Option<Time>,
    pub(crate) last_job: Option<JobId>,
    pub(crate) next_tick: Option<Time>,
    pub(crate) ticks: u64,
    pub(crate) skipped: u64,
}

impl Kept {
    /// Reads a schedule: its name and its packed list.
    pub(crate) fn read(value: Value) -> Read<Self> {
        let [_name, list] = wire::fields(value)?;
        let [spec, through, last_tick, last_job, next_tick, ticks, skipped] = wire::fields(list)?;
        let last_job = wire::bytes(last_job)?;
        Ok(Self {
            spec: serde_json::from_slice(&wire::bytes(spec)?).map_err(|_| Misread("schedule"))?,
            through: wire::time(through)?.ok_or(Misread("schedule's place"))?,
            last_tick: wire::time(last_tick)?,
            last_job: if last_job.is_empty() { None } else { Some(wire::id(&last_job)?) },
            next_tick: wire::time(next_tick)?,
            ticks: wire::number(ticks)?,
            skipped: wire::number(skipped)?,
        })
    }
}

impl Upkeep for RedisStore {
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport> {
        Box::pin(async move { Ok(self.keep_up(budget, at, Vec::new()).await?.0) })
    }
}

impl RedisStore {
    /// One round, and the server's time at it. What is claimable in the queues that somebody waits for rings anew: a
    /// ring that was lost costs a worker no longer than the rest between two rounds in the background.
    async fn keep_up(
        &self,
        budget: usize,
        at: Option<Time>,
        waited_for: Vec<QueueName>,
    ) -> Result<(UpkeepReport, Time), StoreError> {
        let mut call = self.call("upkeep", at);
        call.count(budget.clamp(1, BATCH_ITEMS_MAX)).count(waited_for.len());
        for queue in &waited_for {
            call.text(queue.as_str());
        }
        let read = |value| {
            let [done, next, ticks, now] = wire::fields(value)?;
            let now = wire::time(now)?.ok_or(Misread("time"))?;
            Ok((wire::number(done)? as usize, wire::time(next)?, wire::number(ticks)? == 1, now))
        };
        let (done, next_due, ticks, now) = self.done(&call, "upkeep", read).await?;
        // Schedules are looked at however much else there was: retention of a busy queue fills every round.
        if !ticks {
            return Ok((UpkeepReport { done, next_due }, now));
        }
        let (ticked, now) = self.tick_schedules(at).await?;
        // What the ticks have moved is looked up by the next round.
        let next_due = if ticked > 0 { Some(now) } else { next_due };
        Ok((UpkeepReport { done: done + ticked, next_due }, now))
    }
}

impl RedisStore {
    /// Every schedule that is due makes its jobs, one per tick.
    async fn tick_schedules(&self, at: Option<Time>) -> Result<(usize, Time), StoreError> {
        let mut call = self.call("due_schedules", at);
        call.number(SCHEDULES_A_ROUND);
        let read = |value| {
            let [now, due] = wire::fields(value)?;
            let due = wire::items(due)?.into_iter().map(Kept::read).collect::<Read<Vec<_>>>()?;
            Ok((wire::time(now)?.ok_or(Misread("time"))?, due))
        };
        let (now, due) = self.look(&call, "upkeep", read).await?;
        for schedule in &due {
            self.tick(schedule, now, at).await?;
        }
        Ok((due.len(), now))
    }

    async fn tick(&self, schedule: &Kept, now: Time, at: Option<Time>) -> Result<(), StoreError> {
        let spec = &schedule.spec;
        let compiled = spec.timing.compile().map_err(|why| StoreError::refused("upkeep", why))?;
        let due = compiled.due(schedule.through, now, &spec.catch_up);
        let reached = due.through.max(schedule.next_tick.unwrap_or(due.through));
        let next = if spec.paused { None } else { compiled.next_after(reached) };
        let mut call = self.call("tick", at);
        call.text(spec.name.as_str()).number(schedule.through.0).count(due.ticks.len());
        call.flag(spec.overlap == Overlap::Skip);
        let mut skipped = due.skipped;
        for tick in &due.ticks {
            call.number(tick.0).number(std::mem::take(&mut skipped));
            add_job(&mut call, &spec.job_at(*tick), now, None);
        }
        call.number(skipped).number(reached.0).maybe(next.map(|next| next.0));
        self.done(&call, "upkeep", |_| Ok(())).await
    }
}

/// Jobs that one step of a sweep looks at.
const SWEPT_A_STEP: usize = 500;
/// How often a step of the sweep is made in the background.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Where a sweep stands: behind a number of a queue's index.
#[derive(Default)]
struct Sweep {
    queue: String,
    from: String,
}

impl RedisStore {
    /// Looks at every job once and puts right what somebody has deleted behind the store's back: the record of a job is
    /// the truth, and everything else follows from it. Answers how much was put right. The same goes on in the
    /// background all the time, slowly.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let (mut sweep, mut found) = (Sweep::default(), 0);
        while let Some(more) = self.sweep_step(&mut sweep).await? {
            found += more;
        }
        Ok(found)
    }

    /// One step of a sweep; none when it has come to its end.
    async fn sweep_step(&self, sweep: &mut Sweep) -> Result<Option<u64>, StoreError> {
        if sweep.from.is_empty() {
            let names = self.queue_names().await?;
            let Some(next) =
                names.iter().map(|name| name.as_str()).filter(|name| *name > sweep.queue.as_str()).min()
            else {
                *sweep = Sweep::default();
                return Ok(None);
            };
            next.clone_into(&mut sweep.queue);
        }
        let mut call = self.call("sweep", None);
        call.text(&sweep.queue).text(&sweep.from).count(SWEPT_A_STEP);
        let read = |value| {
            let [next, found] = wire::fields(value)?;
            Ok((wire::text(next)?, wire::number(found)?))
        };
        let (next, found) = self.done(&call, "sweep", read).await?;
        sweep.from = next;
        if found > 0 {
            tracing::warn!(queue = %sweep.queue, found, "keys were deleted behind the store's back; put right");
        }
        Ok(Some(found))
    }
}

/// Does upkeep for as long as the store is held, whenever something is due.
pub(crate) async fn run(handle: Weak<Handle>) {
    let mut pace = Pace::new(Instant::now());
    let (mut sweep, mut swept) = (Sweep::default(), Instant::now());
    loop {
        let Some(hub) = handle.upgrade().map(|handle| Arc::clone(&handle.hub)) else { return };
        // Whatever is told while it sleeps may bring the next round forward.
        let _ = tokio::time::timeout_at(pace.wake_at(), hub.sooner.notified()).await;
        if let Some(due) = hub.take_due() {
            pace.told(due, Instant::now());
        }
        drop(hub);
        if Instant::now() < pace.wake_at() {
            continue;
        }
        let Some(handle) = handle.upgrade() else { return };
        let store = RedisStore(handle);
        if swept.elapsed() >= SWEEP_EVERY {
            swept = Instant::now();
            if let Err(why) = store.sweep_step(&mut sweep).await {
                tracing::warn!(error = %why, "a step of the repair sweep failed; it is tried again");
            }
        }
        match store.keep_up(BUDGET, None, store.0.hub.waited_for()).await {
            Ok((report, server)) => pace.rounded(&report, server, Instant::now()),
            Err(why) => {
                tracing::warn!(error = %why, "upkeep failed; it is tried again");
                pace.failed(Instant::now());
            }
        }
    }
}

/// Listens to what calls of other processes owe to those who wait here, for as long as the store is held.
pub(crate) async fn listen(handle: Weak<Handle>, mut listener: Option<PubSub>) {
    loop {
        if let Some(listener) = listener.take() {
            hear(&handle, listener).await;
        }
        tokio::time::sleep(REST_AFTER_FAILURE).await;
        let Some(link) = handle.upgrade().map(|handle| Arc::clone(&handle.link)) else { return };
        match link.listen().await {
            Ok(made) => {
                listener = Some(made);
                // What was told while nobody listened is lost: everyone looks for himself.
                let Some(handle) = handle.upgrade() else { return };
                handle.hub.rouse();
            }
            Err(why) => tracing::warn!(error = %why, "cannot listen to the server; it is tried again"),
        }
    }
}

/// Passes on what is told, until the connection breaks.
async fn hear(handle: &Weak<Handle>, listener: PubSub) {
    let mut messages = listener.into_on_message();
    while let Some(message) = messages.next().await {
        let Ok(bell) = wire::Bell::read(message.get_payload_bytes()) else { continue };
        let Some(handle) = handle.upgrade() else { return };
        if bell.sender != handle.link.sender() {
            handle.hub.tell(&bell);
        }
    }
}

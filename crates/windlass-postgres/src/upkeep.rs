//! Upkeep: one look at what is due, then each queue that has something, under its own lock.

use crate::jobs::item;
use crate::pool::Param;
use crate::store::PostgresStore;
use crate::wire::{Json, ms, read, time};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::Type;
use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::schedule::Overlap;
use windlass_core::store::{ScheduleSpec, StoreFuture, Upkeep, UpkeepReport};
use windlass_core::{JobId, NewJob, StoreError, Time};

/// Jobs that retention removes in one transaction: it waits for the queue's lock once and then holds it about as long as
/// a claim of a full batch does, for most of its work is done before.
const BITE: usize = 2_000;
/// The most, where bite after bite is full: behind full claims each waits for the lock, and the larger waits less often for
/// as many jobs. Readers of the event log wait for a bite's end.
const BITE_MOST: usize = 8_000;
/// Rows that one step of the sweep removes: a few milliseconds.
const SWEEP_BITE: i32 = 1_000;
/// Steps of one sweep, as many as a fast queue leaves work for until the next one.
const SWEEP_STEPS: usize = 100;
/// Queues whose upkeep may fail before a round is given up: then it is the server's fault, not theirs.
const FAILURES_MOST: usize = 3;
const KEEP_UP: &str = "SELECT windlass.upkeep($1, $2, $3, $4)";
const RETAIN: &str = "SELECT windlass.retain($1, $2, $3)";

/// What a look at the clock finds.
#[derive(Deserialize)]
struct Plan {
    now: i64,
    due: Vec<String>,
    next: Option<i64>,
    ticks: Vec<(String, ScheduleSpec, i64)>,
    work: Vec<String>,
    errands: bool,
    limits: bool,
    keys: bool,
}

/// The job of one tick: its id is made of schedule and tick, so that a tick is one job for ever.
pub(crate) fn job_of(spec: &ScheduleSpec, tick: Time) -> NewJob {
    let id = JobId::named(tick, &format!("schedule:{}", spec.name));
    let mut job = NewJob::new(id, spec.queue.clone(), spec.kind.clone(), spec.payload.clone());
    job.group.clone_from(&spec.group);
    job.priority = spec.priority;
    job
}

/// How many steps a call has made.
fn steps(told: &Value) -> usize {
    told.get("done").and_then(Value::as_u64).map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

impl PostgresStore {
    async fn plan(&self, at: Option<Time>, watched: &[String]) -> Result<Plan, StoreError> {
        let rows = self
            .rows(
                "upkeep",
                "SELECT windlass.plan($1, $2)",
                &[(&self.at(at), Type::INT8), (&watched, Type::TEXT_ARRAY)],
            )
            .await?;
        let value = rows.first().map(|row| row.get::<_, Json>(0).0).unwrap_or_default();
        read("upkeep", value)
    }

    /// What time brings to one queue; then what its retention no longer keeps.
    async fn keep_up(&self, queue: &str, budget: usize, at: Option<Time>) -> Result<usize, StoreError> {
        let told = self.step(Some(queue), budget.min(BATCH_ITEMS_MAX), false, at).await?;
        let mut done = steps(&told);
        let mut more = told.get("retain") == Some(&Value::Bool(true));
        let mut bite = BITE;
        while more {
            let asked = budget.saturating_sub(done).clamp(1, bite);
            let removed = self.retain(queue, asked, at).await?;
            done += removed;
            more = removed == asked && done < budget;
            bite = (bite * 2).min(BITE_MOST);
        }
        Ok(done)
    }

    async fn retain(&self, queue: &str, most: usize, at: Option<Time>) -> Result<usize, StoreError> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let params: [Param<'_>; 3] = [(&self.at(at), Type::INT8), (&queue, Type::TEXT), (&most, Type::INT4)];
        let rows = self.rows("upkeep", RETAIN, &params).await?;
        Ok(rows.first().map_or(0, |row| usize::try_from(row.get::<_, i32>(0)).unwrap_or(0)))
    }

    /// One step of upkeep, of a queue or of what belongs to none.
    async fn step(
        &self,
        queue: Option<&str>,
        budget: usize,
        wide: bool,
        at: Option<Time>,
    ) -> Result<Value, StoreError> {
        let budget = i32::try_from(budget).unwrap_or(i32::MAX);
        let params: [Param<'_>; 3] =
            [(&self.at(at), Type::INT8), (&queue, Type::TEXT), (&budget, Type::INT4)];
        let rows = self.rows_wide("upkeep", KEEP_UP, &params, wide).await?;
        self.told("upkeep", &rows)
    }

    /// Does what is due and says when to look again. `watched` are queues of which somebody must hear if they have work
    /// that nobody has rung for.
    pub(crate) async fn round(
        &self,
        budget: usize,
        at: Option<Time>,
        watched: &[String],
    ) -> Result<UpkeepReport, StoreError> {
        let mut done = 0;
        let plan = self.plan(at, watched).await?;
        let nothing =
            plan.due.is_empty() && plan.ticks.is_empty() && !plan.errands && !plan.limits && !plan.keys;
        for queue in &plan.work {
            self.0.hub.ring(queue, 1);
        }
        if nothing {
            return Ok(UpkeepReport { done, next_due: plan.next.map(time) });
        }
        // One time for all steps of the round, so that what is due is due in each of them.
        let now = Some(time(plan.now));
        if plan.errands || plan.limits || plan.keys {
            done += steps(&self.step(None, budget, plan.errands, now).await?);
        }
        for (name, spec, through) in plan.ticks {
            if done >= budget {
                break;
            }
            done += self.tick(&name, &spec, time(through), time(plan.now)).await?;
        }
        let mut failures = Vec::new();
        for (number, queue) in plan.due.iter().enumerate() {
            if done >= budget || failures.len() >= FAILURES_MOST {
                break;
            }
            // A share for each, so that none goes without while another has more than can be done.
            let share = ((budget - done) / (plan.due.len() - number)).max(1);
            // What is wrong with one queue keeps nobody from the others.
            match self.keep_up(queue, share, now).await {
                Ok(steps) => done += steps,
                Err(why) => failures.push(why),
            }
        }
        if let Some(why) = failures.into_iter().next() {
            return Err(why);
        }
        let next = self.plan(now, &[]).await?;
        Ok(UpkeepReport { done, next_due: next.next.map(time) })
    }

    /// Every tick that a schedule owes makes its job; somebody else may do the same at this moment, and each tick is
    /// one job all the same.
    async fn tick(
        &self,
        name: &str,
        spec: &ScheduleSpec,
        through: Time,
        now: Time,
    ) -> Result<usize, StoreError> {
        let Ok(compiled) = spec.timing.compile() else { return Ok(0) };
        let due = compiled.due(through, now, &spec.catch_up);
        let mut was = through;
        let mut skipped = due.skipped;
        let mut steps: Vec<Option<Time>> = due.ticks.iter().copied().map(Some).collect();
        if steps.is_empty() {
            steps.push(None);
        }
        let mut done = 0;
        for step in steps {
            let to = step.unwrap_or(due.through).max(was);
            let to = if step.is_none() && to == was { now } else { to };
            let mut payloads = Vec::new();
            let job = step.map(|tick| Json(item(&job_of(spec, tick), &mut payloads)));
            let next = compiled.next_after(to).map(ms);
            let rows = self
                .rows_wide(
                    "upkeep",
                    "SELECT windlass.tick($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    &[
                        (&ms(now), Type::INT8),
                        (&name, Type::TEXT),
                        (&ms(was), Type::INT8),
                        (&ms(to), Type::INT8),
                        (&next, Type::INT8),
                        (&job, Type::JSONB),
                        (&payloads.pop(), Type::BYTEA),
                        (&(spec.overlap == Overlap::Skip), Type::BOOL),
                        (&i64::try_from(skipped).unwrap_or(i64::MAX), Type::INT8),
                    ],
                    false,
                )
                .await?;
            let told = self.told("upkeep", &rows)?;
            if told.get("lost").is_some() {
                return Ok(done);
            }
            done += 1;
            skipped = 0;
            was = to;
        }
        Ok(done)
    }

    /// Removes what nobody waits for, in bounded steps.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let at = self.at(None);
        for _ in 0..SWEEP_STEPS {
            let params: [Param<'_>; 2] = [(&at, Type::INT8), (&SWEEP_BITE, Type::INT4)];
            let rows = self.rows("upkeep", "SELECT windlass.sweep($1, $2)", &params).await?;
            let swept: i64 = rows.first().map_or(0, |row| row.get(0));
            if swept < i64::from(SWEEP_BITE) {
                break;
            }
        }
        Ok(())
    }
}

impl Upkeep for PostgresStore {
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport> {
        Box::pin(async move { self.round(budget.clamp(1, BATCH_ITEMS_MAX), at, &[]).await })
    }
}

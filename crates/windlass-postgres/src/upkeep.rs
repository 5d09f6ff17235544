//! Upkeep: one look at what is due, then each queue that has something, under its own lock.

use crate::jobs::item;
use crate::store::PostgresStore;
use crate::wire::{Json, ms, read, time};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::Type;
use windlass_core::schedule::Overlap;
use windlass_core::store::{ScheduleSpec, StoreFuture, Upkeep, UpkeepReport};
use windlass_core::{JobId, NewJob, StoreError, Time};

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

    async fn keep_up(
        &self,
        queue: Option<&str>,
        budget: usize,
        wide: bool,
        at: Option<Time>,
    ) -> Result<usize, StoreError> {
        let budget = i32::try_from(budget).unwrap_or(i32::MAX);
        let rows = self
            .rows_wide(
                "upkeep",
                "SELECT windlass.upkeep($1, $2, $3, $4)",
                &[(&self.at(at), Type::INT8), (&queue, Type::TEXT), (&budget, Type::INT4)],
                wide,
            )
            .await?;
        let told = self.told("upkeep", &rows)?;
        Ok(told.get("done").and_then(Value::as_u64).map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)))
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
            done += self.keep_up(None, budget, plan.errands, now).await?;
        }
        for (name, spec, through) in plan.ticks {
            if done >= budget {
                break;
            }
            done += self.tick(&name, &spec, time(through), time(plan.now)).await?;
        }
        for queue in &plan.due {
            if done >= budget {
                break;
            }
            done += self.keep_up(Some(queue), budget - done, false, now).await?;
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
        self.rows("upkeep", "SELECT windlass.sweep($1, 1000)", &[(&at, Type::INT8)]).await.map(drop)
    }
}

impl Upkeep for PostgresStore {
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport> {
        Box::pin(
            async move { self.round(budget.clamp(1, windlass_core::bounds::BATCH_ITEMS_MAX), at, &[]).await },
        )
    }
}

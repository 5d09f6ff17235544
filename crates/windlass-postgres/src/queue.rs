//! The verbs of producers and workers.

use crate::decode;
use crate::jobs::{Columns, check, in_a_cycle, item};
use crate::store::PostgresStore;
use crate::transaction::created;
use crate::wire::{Id, Json, bits, json, per_item, read, rejection, time};
use serde_json::{Value, json};
use std::collections::HashSet;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use windlass_core::bounds::{self, BATCH_BYTES_MAX, BATCH_ITEMS_MAX};
use windlass_core::event::Cause;
use windlass_core::fingerprint::normalise;
use windlass_core::job::{ErrorReport, OnConflict};
use windlass_core::store::{
    Beat, Cancelled, Claim, Claimed, ClaimedJob, EnqueueStatus, Enqueued, Hello, Hold, PerItem, Queue,
    ReleaseReason, Report, Settle, Signal, StoreFuture, Watch,
};
use windlass_core::{
    GroupKey, JobId, Kind, Lease, LeaseToken, NewJob, QueueName, Rejection, State, StoreError, Time, WorkerId,
};

/// Bytes of an error's first line that lists show.
const LAST_ERROR_BYTES: usize = 200;

/// A batch above its bound, refused whole.
pub(crate) fn too_many<T>(n: usize) -> Option<PerItem<T>> {
    (n > BATCH_ITEMS_MAX)
        .then(|| refuse_all(n, &format!("{n} items are more than 1,000; send several batches")))
}

fn refuse_all<T>(n: usize, why: &str) -> PerItem<T> {
    (0..n).map(|_| Err(Rejection::Invalid { what: "batch", why: why.to_owned() })).collect()
}

/// The text cut at a character border, so that it has at most `most` bytes; PostgreSQL keeps no zero character.
fn cut(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{fffd}")
}

/// What an enqueue came to, as SQL tells it.
pub(crate) fn enqueued(answer: Value) -> Result<Result<Enqueued, Rejection>, StoreError> {
    if let Some(why) = answer.get("err") {
        return rejection("enqueue", why.clone()).map(Err);
    }
    let (status, state, id): (u8, u8, JobId) =
        read("enqueue", answer.get("ok").cloned().unwrap_or_default())?;
    let status = match status {
        0 => EnqueueStatus::Created,
        1 => EnqueueStatus::Known,
        2 => EnqueueStatus::Existing,
        3 => EnqueueStatus::Replaced,
        _ => EnqueueStatus::Rescheduled,
    };
    Ok(Ok(Enqueued { id, status, state: State::from_number(state).unwrap_or(State::Completed) }))
}

impl PostgresStore {
    async fn take_in(
        &self,
        jobs: Vec<NewJob>,
        whole: bool,
        at: Option<Time>,
    ) -> Result<PerItem<Enqueued>, StoreError> {
        if let Some(refused) = too_many(jobs.len()) {
            return Ok(refused);
        }
        let bytes: usize = jobs.iter().map(|job| job.payload.len()).sum();
        if bytes > BATCH_BYTES_MAX {
            return Ok(refuse_all(
                jobs.len(),
                &format!("the batch has {bytes} bytes, more than 256 MiB; send several batches"),
            ));
        }
        let now = self.about_now(at);
        let mut answers: Vec<Option<Result<Enqueued, Rejection>>> =
            jobs.iter().map(|job| check(job, now).err().map(Err)).collect();
        let (order, cycle) = windlass_core::flow::sort(&jobs);
        for i in &cycle {
            answers[*i].get_or_insert_with(|| Err(in_a_cycle(&jobs[*i])));
        }
        let refused = answers.iter().any(Option::is_some);
        let order: Vec<usize> = order.into_iter().filter(|i| answers[*i].is_none()).collect();
        if !order.is_empty() {
            let lots =
                if refused && whole { None } else { self.enqueue_lots(&jobs, &order, whole, at).await? };
            let told = match lots {
                Some(told) => told,
                None => self.enqueue_each(&jobs, &order, whole, refused, at).await?,
            };
            for (i, answer) in order.into_iter().zip(told) {
                answers[i] = Some(answer);
            }
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Err(Rejection::BatchRefused))).collect())
    }

    /// The whole batch at once, if it is of the kind that needs no lock.
    async fn enqueue_lots(
        &self,
        jobs: &[NewJob],
        order: &[usize],
        whole: bool,
        at: Option<Time>,
    ) -> Result<Option<PerItem<Enqueued>>, StoreError> {
        let mut ids = HashSet::new();
        let simple = |job: &NewJob| {
            let changes_holder = job.unique.as_ref().is_some_and(|u| {
                whole || matches!(u.on_conflict, OnConflict::Replace | OnConflict::Reschedule)
            });
            job.parents.is_empty() && !changes_holder
        };
        if !order.iter().all(|i| simple(&jobs[*i]) && ids.insert(jobs[*i].id)) {
            return Ok(None);
        }
        let mut columns = Columns::default();
        order.iter().for_each(|i| columns.push(&jobs[*i]));
        let rows = self
            .rows(
                "enqueue",
                "SELECT windlass.enqueue_lots($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                &[
                    (&self.at(at), Type::INT8),
                    (&columns.ids, Type::UUID_ARRAY),
                    (&columns.queues, Type::TEXT_ARRAY),
                    (&columns.kinds, Type::TEXT_ARRAY),
                    (&columns.payloads, Type::BYTEA_ARRAY),
                    (&columns.groups, Type::TEXT_ARRAY),
                    (&columns.priorities, Type::INT2_ARRAY),
                    (&columns.limits, Type::TEXT_ARRAY),
                    (&columns.run_at, Type::INT8_ARRAY),
                    (&columns.delays, Type::INT8_ARRAY),
                    (&columns.options, Type::JSONB_ARRAY),
                ],
            )
            .await?;
        let told = self.told("enqueue", &rows)?;
        if told.is_null() {
            return Ok(None);
        }
        let now = told.get("now").and_then(Value::as_i64).unwrap_or(0);
        let mut given = match told.get("answers").cloned() {
            Some(Value::Array(answers)) => answers,
            _ => vec![Value::Null; order.len()],
        };
        let mut answers = Vec::with_capacity(order.len());
        for (place, i) in order.iter().enumerate() {
            let answer = given.get_mut(place).map(Value::take).unwrap_or_default();
            answers.push(if answer.is_null() {
                Ok(created(&jobs[*i], time(now)))
            } else {
                enqueued(answer)?
            });
        }
        Ok(Some(answers))
    }

    /// One by one, under locks. In a whole batch of which something is refused already, the others only hear what they
    /// would have been answered.
    async fn enqueue_each(
        &self,
        jobs: &[NewJob],
        order: &[usize],
        whole: bool,
        refused: bool,
        at: Option<Time>,
    ) -> Result<PerItem<Enqueued>, StoreError> {
        let mut payloads = Vec::new();
        let mut items: Vec<Value> = order.iter().map(|i| item(&jobs[*i], &mut payloads)).collect();
        if whole && refused {
            items.push(json!({ "refuse": json(&Rejection::BatchRefused) }));
        }
        let wide = order.iter().any(|i| !jobs[*i].parents.is_empty());
        let rows = self
            .rows_wide(
                "enqueue",
                "SELECT windlass.enqueue_each($1, $2, $3, $4, $5)",
                &[
                    (&self.at(at), Type::INT8),
                    (&Json(Value::Array(items)), Type::JSONB),
                    (&payloads, Type::BYTEA_ARRAY),
                    (&whole, Type::BOOL),
                ],
                wide,
            )
            .await?;
        let told = self.told("enqueue", &rows)?;
        let answers: Vec<Value> = read("enqueue", told.get("answers").cloned().unwrap_or_default())?;
        answers.into_iter().map(enqueued).collect()
    }

    /// One of the verbs about a list of jobs: null or a word for each, or a rejection.
    pub(crate) async fn people(
        &self,
        verb: &'static str,
        ids: Vec<JobId>,
        edits: (Value, Vec<Option<Vec<u8>>>),
        at: Option<Time>,
    ) -> Result<Vec<Value>, StoreError> {
        let ids: Vec<Id> = ids.into_iter().map(Id).collect();
        let rows = self
            .rows_wide(
                verb,
                "SELECT windlass.people($1, $2, $3, $4, $5, $6)",
                &[
                    (&self.at(at), Type::INT8),
                    (&verb, Type::TEXT),
                    (&ids, Type::UUID_ARRAY),
                    (&Json(edits.0), Type::JSONB),
                    (&edits.1, Type::BYTEA_ARRAY),
                ],
                false,
            )
            .await?;
        let told = self.told(verb, &rows)?;
        read(verb, told.get("answers").cloned().unwrap_or_default())
    }

    async fn settle_and_claim(&self, claim: Claim, at: Option<Time>) -> Result<Claimed, StoreError> {
        if claim.settle_first.len() > BATCH_ITEMS_MAX {
            let settled =
                refuse_all(claim.settle_first.len(), "more than 1,000 settlements; send several batches");
            return Ok(Claimed { settled, ..Claimed::default() });
        }
        let now = self.about_now(at);
        let settlements = Settlements::of(&claim.settle_first, now);
        let mut left = BATCH_ITEMS_MAX as u32;
        let mut queues: Vec<&str> = Vec::new();
        let mut wants: Vec<i32> = Vec::new();
        for (name, n) in &claim.wants {
            let n = (*n).min(left);
            left -= n;
            queues.push(name.as_str());
            wants.push(i32::try_from(n).unwrap_or(i32::MAX));
        }
        let rows = self
            .rows_wide(
                "claim",
                "SELECT * FROM windlass.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                &[
                    (&self.at(at), Type::INT8),
                    (&settlements.kinds, Type::INT2_ARRAY),
                    (&settlements.jobs, Type::UUID_ARRAY),
                    (&settlements.counters, Type::INT8_ARRAY),
                    (&settlements.nonces, Type::INT8_ARRAY),
                    (&settlements.results, Type::BYTEA_ARRAY),
                    (&settlements.details, Type::JSONB_ARRAY),
                    (&settlements.payloads, Type::BYTEA_ARRAY),
                    (&settlements.queues, Type::TEXT_ARRAY),
                    (&queues, Type::TEXT_ARRAY),
                    (&wants, Type::INT4_ARRAY),
                    (&bits(claim.worker.0), Type::INT8),
                    (&bits(claim.nonce), Type::INT8),
                ],
                settlements.wide,
            )
            .await?;
        let note = rows.last().and_then(|row| row.get::<_, Option<Json>>("note")).unwrap_or_default().0;
        self.ring("claim", &note)?;
        let settled = match note.get("settled") {
            Some(Value::Array(answers)) => {
                let mut settled = per_item("claim", Value::Array(answers.clone()))?;
                settled.truncate(claim.settle_first.len());
                settled
            }
            _ => vec![Ok(()); claim.settle_first.len()],
        };
        let jobs = rows[..rows.len().saturating_sub(1)].iter();
        let jobs = jobs.map(|row| claimed(row, claim.nonce)).collect::<Result<_, _>>()?;
        let try_again_at = note.get("again").and_then(Value::as_i64).map(time);
        Ok(Claimed { settled, jobs, try_again_at })
    }
}

/// A claimed job as its row tells it.
fn claimed(row: &Row, nonce: u64) -> Result<ClaimedJob, StoreError> {
    let name = |why: Rejection| StoreError::refused("claim", why.to_string());
    let number = |at: &str| u32::try_from(row.get::<_, i32>(at)).unwrap_or(0);
    let job = row.get::<_, Id>("job").0;
    let options = decode::options("claim", job, row.get("options"));
    let group: String = row.get("grp");
    Ok(ClaimedJob {
        lease: Lease {
            job,
            attempt: number("attempt"),
            token: LeaseToken { counter: row.get::<_, i64>("counter").cast_unsigned(), nonce },
            deadline: time(row.get("deadline")),
        },
        lease_ms: u64::try_from(row.get::<_, i64>("lease_ms")).unwrap_or(0),
        queue: QueueName::new(row.get::<_, &str>("queue")).map_err(name)?,
        kind: Kind::new(row.get::<_, &str>("kind")).map_err(name)?,
        group: GroupKey::new(group).ok(),
        payload: row.get("payload"),
        priority: i8::try_from(row.get::<_, i32>("prio")).unwrap_or(0),
        failures: number("failures"),
        losses: number("losses"),
        snoozes: number("snoozes"),
        enqueued_at: time(row.get("at")),
        ready_at: time(row.get("since")),
        checkpoint: row.get("checkpoint"),
        tags: options.tags,
        timeout_ms: options.timeout_ms,
        trace: options.trace,
    })
}

/// Settlements, column by column.
#[derive(Default)]
pub(crate) struct Settlements {
    pub(crate) kinds: Vec<i16>,
    pub(crate) jobs: Vec<Id>,
    pub(crate) counters: Vec<i64>,
    pub(crate) nonces: Vec<i64>,
    pub(crate) results: Vec<Option<Vec<u8>>>,
    pub(crate) details: Vec<Option<Json>>,
    pub(crate) payloads: Vec<Vec<u8>>,
    /// Queues of follow-ups.
    pub(crate) queues: Vec<String>,
    pub(crate) wide: bool,
}

impl Settlements {
    pub(crate) fn of(all: &[Settle], now: Time) -> Self {
        let mut columns = Self::default();
        for settle in all {
            let lease = settle.lease();
            columns.jobs.push(Id(lease.job));
            columns.counters.push(bits(lease.token.counter));
            columns.nonces.push(bits(lease.token.nonce));
            let (kind, result, detail) = match settle {
                Settle::Complete { result, then, .. } => {
                    (0, result.clone(), columns.complete(result.as_deref(), then, now))
                }
                Settle::Fail { error, retry_in_ms, fatal, .. } => {
                    (1, None, Some(failed(error, *retry_in_ms, *fatal)))
                }
                Settle::Snooze { delay_ms, reason, holds, .. } => {
                    (2, None, Some(snoozed(*delay_ms, reason, holds.as_ref())))
                }
                Settle::Release { reason, .. } => {
                    (3, None, Some(json!({ "cause": released(*reason) as u8 })))
                }
            };
            columns.kinds.push(kind);
            columns.results.push(result);
            columns.details.push(detail.map(Json));
        }
        columns
    }

    /// What a completion brings beside its result: follow-ups, parents first, or the reason to refuse it.
    fn complete(&mut self, result: Option<&[u8]>, then: &[NewJob], now: Time) -> Option<Value> {
        let refuse = |why: Rejection| Some(json!({ "refuse": json(&why) }));
        let bytes = result.map_or(0, <[u8]>::len);
        if bytes > bounds::RESULT_BYTES_MAX {
            return refuse(too_long("result", bytes, bounds::RESULT_BYTES_MAX));
        }
        if then.is_empty() {
            return None;
        }
        if then.len() > bounds::FOLLOW_UPS_MAX {
            let why = format!("{} follow-ups are more than 1,000", then.len());
            return refuse(Rejection::Invalid { what: "batch", why });
        }
        let (order, cycle) = windlass_core::flow::sort(then);
        if !cycle.is_empty() {
            return refuse(Rejection::BadParents {
                why: "the follow-ups wait for each other in a cycle".into(),
            });
        }
        if let Some(why) = order.iter().find_map(|i| check(&then[*i], now).err()) {
            return refuse(why);
        }
        self.queues.extend(then.iter().map(|job| job.queue.as_str().to_owned()));
        self.wide |= then.iter().any(|job| !job.parents.is_empty());
        let items: Vec<Value> = order.iter().map(|i| item(&then[*i], &mut self.payloads)).collect();
        Some(json!({ "then": items }))
    }
}

fn too_long(what: &'static str, bytes: usize, most: usize) -> Rejection {
    Rejection::Invalid { what, why: format!("{bytes} bytes are more than {most}") }
}

/// A failure: what is too long is cut, never refused, since losing the whole report would be worse.
fn failed(error: &ErrorReport, retry_in_ms: Option<u64>, fatal: bool) -> Value {
    let message = cut(&error.message, bounds::ERROR_BYTES_MAX / 2);
    let detail = error.detail.as_deref().map(|text| cut(text, bounds::ERROR_BYTES_MAX - message.len()));
    let class = error.class.as_deref().map(|text| cut(text, bounds::KEY_BYTES_MAX));
    let line = cut(message.lines().next().unwrap_or(""), LAST_ERROR_BYTES);
    let (title, text) = (normalise(&message), cut(&message, bounds::EVENT_TEXT_BYTES_MAX));
    let print = bits(error.fingerprint.0);
    let error = ErrorReport { class, message, detail, fingerprint: error.fingerprint };
    json!({ "error": error, "line": line, "title": title, "text": text, "print": print, "retry_in": retry_in_ms, "fatal": fatal })
}

fn snoozed(delay_ms: u64, reason: &str, holds: Option<&Hold>) -> Value {
    if reason.len() > bounds::EVENT_TEXT_BYTES_MAX {
        return json!({ "refuse": json(&too_long("snooze", reason.len(), bounds::EVENT_TEXT_BYTES_MAX)) });
    }
    if delay_ms > bounds::DELAY_MS_MAX {
        return json!({ "refuse": json(&Rejection::Invalid { what: "delay", why: "is more than ten years".into() }) });
    }
    let mut detail = json!({ "delay": delay_ms, "reason": cut(reason, reason.len()) });
    match holds {
        None => {}
        Some(Hold::Queue) => detail["hold_queue"] = true.into(),
        Some(Hold::Group) => detail["hold_group"] = true.into(),
        Some(Hold::Limit(name)) => detail["hold_limit"] = name.as_str().into(),
    }
    detail
}

fn released(reason: ReleaseReason) -> Cause {
    match reason {
        ReleaseReason::Shutdown => Cause::Shutdown,
        ReleaseReason::NoHandler => Cause::NoHandler,
        ReleaseReason::Unstarted => Cause::None,
    }
}

/// The three columns that show leases.
fn tokens<'a>(leases: impl Iterator<Item = &'a Lease>) -> (Vec<Id>, Vec<i64>, Vec<i64>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for lease in leases {
        columns.0.push(Id(lease.job));
        columns.1.push(bits(lease.token.counter));
        columns.2.push(bits(lease.token.nonce));
    }
    columns
}

impl Queue for PostgresStore {
    fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        all_or_nothing: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, PerItem<Enqueued>> {
        Box::pin(self.take_in(jobs, all_or_nothing, at))
    }

    fn claim(&self, claim: Claim, at: Option<Time>) -> StoreFuture<'_, Claimed> {
        Box::pin(self.settle_and_claim(claim, at))
    }

    fn heartbeat(&self, leases: Vec<Lease>, at: Option<Time>) -> StoreFuture<'_, PerItem<Beat>> {
        Box::pin(async move {
            let (jobs, counters, nonces) = tokens(leases.iter());
            let rows = self
                .rows(
                    "heartbeat",
                    "SELECT windlass.heartbeat($1, $2, $3, $4)",
                    &[
                        (&self.at(at), Type::INT8),
                        (&jobs, Type::UUID_ARRAY),
                        (&counters, Type::INT8_ARRAY),
                        (&nonces, Type::INT8_ARRAY),
                    ],
                )
                .await?;
            let beats: Vec<Option<(i64, bool)>> = read("heartbeat", self.told("heartbeat", &rows)?)?;
            let beat = |beat: Option<(i64, bool)>| {
                let (deadline, cancel_requested) = beat.ok_or(Rejection::Stale)?;
                Ok(Beat { deadline: time(deadline), cancel_requested })
            };
            Ok(beats.into_iter().map(beat).collect())
        })
    }

    fn report(&self, reports: Vec<Report>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move {
            if let Some(refused) = too_many(reports.len()) {
                return Ok(refused);
            }
            let (jobs, counters, nonces) = tokens(reports.iter().map(|report| &report.lease));
            let detail = |report: &Report| {
                let bytes = report.checkpoint.as_ref().map_or(0, Vec::len);
                if bytes > bounds::CHECKPOINT_BYTES_MAX {
                    return Json(
                        json!({ "refuse": json(&too_long("checkpoint", bytes, bounds::CHECKPOINT_BYTES_MAX)) }),
                    );
                }
                let mut detail = json!({});
                if let Some(progress) = &report.progress {
                    detail["percent"] = progress.percent.min(100).into();
                    let message = progress.message.as_deref();
                    detail["message"] = message.map(|text| cut(text, bounds::EVENT_TEXT_BYTES_MAX)).into();
                }
                if let Some(log) = &report.log {
                    detail["log"] = cut(log, bounds::LOG_BYTES_MAX + 8).into();
                }
                Json(detail)
            };
            let details: Vec<Json> = reports.iter().map(detail).collect();
            let checkpoints: Vec<Option<Vec<u8>>> =
                reports.into_iter().map(|report| report.checkpoint).collect();
            let rows = self
                .rows(
                    "report",
                    "SELECT windlass.report($1, $2, $3, $4, $5, $6)",
                    &[
                        (&self.at(at), Type::INT8),
                        (&jobs, Type::UUID_ARRAY),
                        (&counters, Type::INT8_ARRAY),
                        (&nonces, Type::INT8_ARRAY),
                        (&details, Type::JSONB_ARRAY),
                        (&checkpoints, Type::BYTEA_ARRAY),
                    ],
                )
                .await?;
            per_item("report", self.told("report", &rows)?)
        })
    }

    fn cancel(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<Cancelled>> {
        Box::pin(async move {
            if let Some(refused) = too_many(jobs.len()) {
                return Ok(refused);
            }
            let answers = self.people("cancel", jobs, (Value::Null, Vec::new()), at).await?;
            let one = |answer: Value| match answer.as_str() {
                Some("now") => Ok(Ok(Cancelled::Now)),
                Some(_) => Ok(Ok(Cancelled::Requested)),
                None => rejection("cancel", answer).map(Err),
            };
            answers.into_iter().map(one).collect()
        })
    }

    fn watch(&self, watch: Watch) -> StoreFuture<'_, Signal> {
        Box::pin(async move {
            let asked = watch.queues.iter().filter(|(_, slots)| *slots > 0);
            let queues: Vec<String> = asked.map(|(name, _)| name.as_str().to_owned()).collect();
            // Registered before the look, so that no ring falls between the two.
            let (number, rung) = self.0.hub.watch(watch);
            if !queues.is_empty() {
                let store = self.clone();
                tokio::spawn(async move {
                    let at = store.at(None);
                    let params: [crate::pool::Param<'_>; 2] =
                        [(&at, Type::INT8), (&queues, Type::TEXT_ARRAY)];
                    let rows = store.rows("watch", "SELECT windlass.has_work($1, $2)", &params).await;
                    if rows.is_ok_and(|rows| rows.first().is_some_and(|row| row.get(0))) {
                        store.0.hub.answer(number);
                    }
                });
            }
            Ok(rung.await.unwrap_or(Signal::Work))
        })
    }

    fn hello(&self, hello: Hello, at: Option<Time>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let params: [crate::pool::Param<'_>; 3] = [
                (&self.at(at), Type::INT8),
                (&bits(hello.worker.0), Type::INT8),
                (&Json(json(&hello)), Type::JSONB),
            ];
            self.rows("hello", "SELECT windlass.hello($1, $2, $3)", &params).await.map(drop)
        })
    }

    fn bye(&self, worker: WorkerId, _: Option<Time>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.0.hub.forget(worker);
            let params: [crate::pool::Param<'_>; 1] = [(&bits(worker.0), Type::INT8)];
            self.rows("bye", "DELETE FROM windlass.worker WHERE id = $1", &params).await.map(drop)
        })
    }
}

//! The verbs of people and dashboards.

use crate::decode::{self, Reading, Text};
use crate::pool::Param;
use crate::queue::too_many;
use crate::store::PostgresStore;
use crate::upkeep::job_of;
use crate::wire::{Id, Json, json, ms, per_item, read, rejection};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use windlass_core::bounds::{
    BATCH_ITEMS_MAX, BODIES_BYTES_MAX, LIST_BUDGET_DEFAULT, META_BYTES_MAX, PAGE_MAX, PAYLOAD_BYTES_MAX,
};
use windlass_core::job::{AttemptRecord, ErrorReport, JobBody, JobDetail, JobView, Progress};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{
    Admin, Backup, Edit, EventPage, FailureMode, Filter, From, GroupInfo, LimitInfo, Page, PerItem,
    QueueInfo, QueueSeries, Reader, ScheduleInfo, ScheduleSpec, Series, Store, StoreFuture, StoreInfo,
    WorkerInfo,
};
use windlass_core::why::{Full, Reason, Why};
use windlass_core::{
    GroupKey, JobId, LimitName, QueueName, Rejection, ScheduleName, StoreError, Time, WorkerId,
};

/// What the function `why` answers.
#[derive(Deserialize)]
#[serde(untagged)]
enum ToldWhy {
    Full(Full),
    Other(Reason, String, Option<Time>, Option<u64>),
}

/// The part of a job's detail that is JSON.
#[derive(Deserialize)]
struct Rest<'a> {
    #[serde(borrow)]
    options: Option<&'a RawValue>,
    done: bool,
    percent: Option<u8>,
    message: Option<String>,
    children: Vec<JobId>,
    attempts: Vec<(u32, i64, Time, Time, String, Option<ErrorReport>)>,
    completed: Option<(u32, i64, Time, Time)>,
    lease: Option<(u32, i64, Time, Time, bool)>,
}

fn rest(row: &tokio_postgres::Row) -> Result<Rest<'_>, StoreError> {
    decode::known("get", row.get::<_, Text<'_>>("detail").0)
}

pub(crate) fn worker(bits: i64) -> WorkerId {
    WorkerId(bits.cast_unsigned())
}

impl PostgresStore {
    async fn detail(&self, id: JobId) -> Result<Option<JobDetail>, StoreError> {
        let sql = "SELECT * FROM windlass.get($1)";
        let mut rows = self.rows("get", sql, &[(&Id(id), Type::UUID)]).await?;
        // Completed in a transaction that nobody has taken up: now somebody does.
        if rows.first().map(rest).transpose()?.is_some_and(|rest| rest.done) {
            self.take_up("get").await?;
            rows = self.rows("get", sql, &[(&Id(id), Type::UUID)]).await?;
        }
        let Some(row) = rows.first() else { return Ok(None) };
        let Some(Text(view)) = row.get::<_, Option<Text<'_>>>("view") else { return Ok(None) };
        let rest = rest(row)?;
        let mut reading = Reading::default();
        let options = reading.options(rest.options.map(RawValue::get));
        let view = reading.view("get", view)?;
        reading.tell("get", id);
        let record = |attempt, by, started_at, ended_at, outcome: &str, error| AttemptRecord {
            attempt,
            worker: worker(by),
            started_at,
            ended_at,
            outcome: outcome.to_owned(),
            error,
        };
        let mut attempts: Vec<AttemptRecord> = rest
            .attempts
            .into_iter()
            .map(|(n, by, from, to, outcome, error)| record(n, by, from, Some(to), &outcome, error))
            .collect();
        if let Some((n, by, from, to)) = rest.completed {
            attempts.push(record(n, by, from, Some(to), "completed", None));
        }
        if let Some((n, by, from, _, _)) = rest.lease {
            attempts.push(record(n, by, from, None, "running", None));
        }
        Ok(Some(JobDetail {
            view,
            payload: row.get("payload"),
            result: row.get("result"),
            checkpoint: row.get("checkpoint"),
            progress: rest.percent.map(|percent| Progress { percent, message: rest.message }),
            attempts,
            unique: options.unique,
            limits: options.limits,
            parents: options.parents,
            children: rest.children,
            retry: options.retry,
            expires_at: options.expires_at,
            timeout_ms: options.timeout_ms,
            trace: options.trace,
            cancel_requested: rest.lease.is_some_and(|lease| lease.4),
            worker: rest.lease.map(|lease| worker(lease.1)),
            deadline: rest.lease.map(|lease| lease.3),
        }))
    }

    async fn page(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
        budget: usize,
    ) -> Result<Result<Page<JobView>, Rejection>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let budget = budget.clamp(1, LIST_BUDGET_DEFAULT.max(PAGE_MAX) * 100);
        let needle =
            filter.payload_contains.as_ref().map(|text| text.as_bytes().to_vec()).filter(|n| !n.is_empty());
        let mut page = Page::default();
        if !filter.ids.is_empty() {
            let from = match cursor.as_deref().map(str::parse::<usize>).transpose() {
                Ok(from) => from.unwrap_or(0),
                Err(_) => return Ok(Err(Rejection::BadCursor)),
            };
            let to = filter.ids.len().min(from.saturating_add(limit.min(budget)));
            let ids: Vec<Id> = filter.ids.get(from..to).unwrap_or_default().iter().copied().map(Id).collect();
            let params: [Param<'_>; 3] =
                [(&Json(json(&filter)), Type::JSONB), (&ids, Type::UUID_ARRAY), (&needle, Type::BYTEA)];
            let rows = self.rows("list", "SELECT * FROM windlass.list_ids($1, $2, $3)", &params).await?;
            for row in &rows {
                if let Some(Text(view)) = row.get::<_, Option<Text<'_>>>("view") {
                    page.items.push(decode::view("list", view)?);
                }
            }
            page.examined = rows.len();
            page.next = (to < filter.ids.len()).then(|| to.to_string());
            return Ok(Ok(page));
        }
        let (mut after, mut before) = (None, None);
        if let Some(cursor) = cursor {
            match cursor.split_once('.') {
                Some(("s", seq)) if seq.parse::<i64>().is_ok() => before = seq.parse::<i64>().ok(),
                Some(("j", id)) if id.parse::<JobId>().is_ok() => after = id.parse::<JobId>().ok().map(Id),
                _ => return Ok(Err(Rejection::BadCursor)),
            }
        }
        let (most, looks) =
            (i32::try_from(limit).unwrap_or(i32::MAX), i64::try_from(budget).unwrap_or(i64::MAX));
        let params: [Param<'_>; 6] = [
            (&Json(json(&filter)), Type::JSONB),
            (&after, Type::UUID),
            (&before, Type::INT8),
            (&most, Type::INT4),
            (&looks, Type::INT8),
            (&needle, Type::BYTEA),
        ];
        let rows = self.rows("list", "SELECT * FROM windlass.list($1, $2, $3, $4, $5, $6)", &params).await?;
        let mut last: Option<String> = None;
        for row in &rows {
            let seq: i64 = row.get("seq");
            if row.get::<_, Option<bool>>("matches").is_none() {
                page.next.clone_from(&last);
                break;
            }
            page.examined = usize::try_from(row.get::<_, i64>("n")).unwrap_or(0);
            last = Some(if seq > 0 { format!("s.{seq}") } else { format!("j.{}", row.get::<_, Id>("id").0) });
            if let Some(Text(view)) = row.get::<_, Option<Text<'_>>>("view") {
                page.items.push(decode::view("list", view)?);
            }
        }
        Ok(Ok(page))
    }

    /// A verb that answers nothing or a rejection.
    async fn set(
        &self,
        operation: &'static str,
        template: &'static str,
        params: &[Param<'_>],
    ) -> Result<Result<(), Rejection>, StoreError> {
        let rows = self.rows_wide(operation, template, params, false).await?;
        self.refusal(operation, self.told(operation, &rows)?)
    }

    fn refusal(&self, operation: &'static str, told: Value) -> Result<Result<(), Rejection>, StoreError> {
        match told.get("err") {
            Some(why) => rejection(operation, why.clone()).map(Err),
            None => Ok(Ok(())),
        }
    }

    /// Rows of one JSON column.
    async fn list_of<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        template: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows(operation, template, params).await?;
        rows.iter().map(|row| read(operation, row.get::<_, Json>(0).0)).collect()
    }

    async fn verb(
        &self,
        verb: &'static str,
        jobs: Vec<JobId>,
        at: Option<Time>,
    ) -> Result<PerItem<()>, StoreError> {
        if let Some(refused) = too_many(jobs.len()) {
            return Ok(refused);
        }
        let answers = self.people(verb, jobs, (Value::Null, Vec::new()), at).await?;
        per_item(verb, Value::Array(answers))
    }
}

impl Admin for PostgresStore {
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<JobDetail>> {
        Box::pin(self.detail(id))
    }

    fn bodies(&self, jobs: Vec<JobId>) -> StoreFuture<'_, Vec<Option<JobBody>>> {
        Box::pin(async move {
            let ids: Vec<Id> = jobs.into_iter().take(BATCH_ITEMS_MAX).map(Id).collect();
            let params: [Param<'_>; 2] = [(&ids, Type::UUID_ARRAY), (&(BODIES_BYTES_MAX as i64), Type::INT8)];
            let rows = self.rows("bodies", "SELECT * FROM windlass.bodies($1, $2)", &params).await?;
            let body = |(row, id): (&tokio_postgres::Row, &Id)| {
                let payload = row.get::<_, Option<Vec<u8>>>("payload")?;
                let options = decode::options("bodies", id.0, row.get("options"));
                let priority = i8::try_from(row.get::<_, i16>("prio")).unwrap_or(0);
                Some(JobBody { payload, priority, tags: options.tags, trace: options.trace })
            };
            Ok(rows.iter().zip(&ids).map(body).collect())
        })
    }

    fn logs(&self, id: JobId, attempt: u32) -> StoreFuture<'_, Result<String, Rejection>> {
        Box::pin(async move {
            let attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
            let sql = "SELECT (SELECT string_agg(l.text, '' ORDER BY l.n) FROM windlass.log l WHERE l.job = j.id AND l.attempt = $2)
                       FROM windlass.job j WHERE j.id = $1";
            let rows = self.rows("logs", sql, &[(&Id(id), Type::UUID), (&attempt, Type::INT4)]).await?;
            let Some(row) = rows.first() else {
                return Ok(Err(Rejection::NotFound { what: format!("job {id}") }));
            };
            Ok(Ok(row.get::<_, Option<String>>(0).unwrap_or_default()))
        })
    }

    fn list(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
        budget: usize,
    ) -> StoreFuture<'_, Result<Page<JobView>, Rejection>> {
        Box::pin(self.page(filter, cursor, limit, budget))
    }

    fn why(&self, id: JobId, at: Option<Time>) -> StoreFuture<'_, Result<Why, Rejection>> {
        Box::pin(async move {
            self.take_up("why").await?;
            let rows = self
                .rows(
                    "why",
                    "SELECT windlass.why($1, $2)",
                    &[(&self.at(at), Type::INT8), (&Id(id), Type::UUID)],
                )
                .await?;
            let told = rows.first().and_then(|row| row.get::<_, Option<Json>>(0));
            let Some(Json(told)) = told else {
                return Ok(Err(Rejection::NotFound { what: format!("job {id}") }));
            };
            Ok(Ok(match read("why", told)? {
                ToldWhy::Full(full) => full.into(),
                ToldWhy::Other(reason, detail, eta, ahead) => Why { reason, detail, eta, ahead },
            }))
        })
    }

    fn edit(&self, edits: Vec<Edit>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move {
            if let Some(refused) = too_many(edits.len()) {
                return Ok(refused);
            }
            let mut items = Vec::new();
            for edit in &edits {
                let mut item = json!({ "id": edit.id });
                if edit.payload.as_ref().is_some_and(|payload| payload.len() > PAYLOAD_BYTES_MAX) {
                    item["refuse"] =
                        json(&Rejection::Invalid { what: "payload", why: "is more than 1 MiB".into() });
                }
                if let Some(priority) = edit.priority {
                    item["priority"] = priority.into();
                }
                if let Some(at) = edit.run_at {
                    item["run_at"] = ms(at).into();
                }
                items.push(item);
            }
            let ids = edits.iter().map(|edit| edit.id).collect();
            let fits = |payload: Vec<u8>| (payload.len() <= PAYLOAD_BYTES_MAX).then_some(payload);
            let payloads = edits.into_iter().map(|edit| edit.payload.and_then(fits)).collect();
            let answers = self.people("edit", ids, (Value::Array(items), payloads), at).await?;
            per_item("edit", Value::Array(answers))
        })
    }

    fn retry(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(self.verb("retry", jobs, at))
    }

    fn run_now(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(self.verb("run_now", jobs, at))
    }

    fn delete(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(self.verb("delete", jobs, at))
    }

    fn set_queue(
        &self,
        name: QueueName,
        settings: QueueSettings,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            if let Err(why) = settings.validate() {
                return Ok(Err(why));
            }
            let params: [Param<'_>; 3] = [
                (&self.at(at), Type::INT8),
                (&name.as_str(), Type::TEXT),
                (&Json(json(&settings)), Type::JSONB),
            ];
            self.set("set_queue", "SELECT windlass.set_queue($1, $2, $3, $4)", &params).await
        })
    }

    fn pause(
        &self,
        name: QueueName,
        paused: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            let params: [Param<'_>; 3] =
                [(&self.at(at), Type::INT8), (&name.as_str(), Type::TEXT), (&paused, Type::BOOL)];
            self.set("pause", "SELECT windlass.pause($1, $2, $3, $4)", &params).await
        })
    }

    fn queues(&self, name: Option<QueueName>, at: Option<Time>) -> StoreFuture<'_, Vec<QueueInfo>> {
        Box::pin(async move {
            self.take_up("queues").await?;
            let params: [Param<'_>; 2] =
                [(&self.at(at), Type::INT8), (&name.as_ref().map(QueueName::as_str), Type::TEXT)];
            self.list_of("queues", "SELECT * FROM windlass.queues($1, $2)", &params).await
        })
    }

    fn series(&self, name: QueueName, at: Option<Time>) -> StoreFuture<'_, Result<QueueSeries, Rejection>> {
        Box::pin(async move {
            self.take_up("series").await?;
            let params: [Param<'_>; 2] = [(&self.at(at), Type::INT8), (&name.as_str(), Type::TEXT)];
            let rows = self.rows("series", "SELECT windlass.series_of($1, $2)", &params).await?;
            let Some(Json(told)) = rows.first().and_then(|row| row.get::<_, Option<Json>>(0)) else {
                return Ok(Err(Rejection::NotFound { what: format!("queue {name}") }));
            };
            let points: Vec<(u8, u64, Time, u64)> = read("series", told)?;
            let chart = |what: u8| -> Vec<Series> {
                let of = |width: u64| {
                    points.iter().filter(move |p| p.0 == what && p.1 == width).map(|p| (p.2, p.3))
                };
                [1_000, 60_000, 3_600_000]
                    .map(|slot_ms| Series { slot_ms, points: of(slot_ms).collect() })
                    .to_vec()
            };
            Ok(Ok(QueueSeries { enqueued: chart(0), completed: chart(1), failed: chart(2) }))
        })
    }

    fn set_group(
        &self,
        queue: QueueName,
        key: Option<GroupKey>,
        settings: Option<GroupSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            if let Some(Err(why)) = settings.as_ref().map(GroupSettings::validate) {
                return Ok(Err(why));
            }
            let params: [Param<'_>; 4] = [
                (&self.at(at), Type::INT8),
                (&queue.as_str(), Type::TEXT),
                (&key.as_ref().map_or("", |key| key.as_str()), Type::TEXT),
                (&settings.as_ref().map(|settings| Json(json(settings))), Type::JSONB),
            ];
            self.set("set_group", "SELECT windlass.set_group($1, $2, $3, $4, $5)", &params).await
        })
    }

    fn groups(
        &self,
        queue: QueueName,
        after: Option<GroupKey>,
        limit: usize,
    ) -> StoreFuture<'_, Page<GroupInfo>> {
        Box::pin(async move {
            self.take_up("groups").await?;
            let limit = limit.clamp(1, PAGE_MAX);
            let params: [Param<'_>; 4] = [
                (&self.at(None), Type::INT8),
                (&queue.as_str(), Type::TEXT),
                (&after.as_ref().map(GroupKey::as_str), Type::TEXT),
                (&i32::try_from(limit + 1).unwrap_or(i32::MAX), Type::INT4),
            ];
            let mut items: Vec<GroupInfo> =
                self.list_of("groups", "SELECT * FROM windlass.groups($1, $2, $3, $4)", &params).await?;
            let more = items.len() > limit;
            items.truncate(limit);
            let last = items.last().map(|info| info.key.as_ref().map_or(String::new(), ToString::to_string));
            Ok(Page { examined: items.len(), next: last.filter(|_| more), items })
        })
    }

    fn set_limit(
        &self,
        name: LimitName,
        settings: Option<LimitSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            if let Some(Err(why)) = settings.as_ref().map(LimitSettings::validate) {
                return Ok(Err(why));
            }
            let params: [Param<'_>; 3] = [
                (&self.at(at), Type::INT8),
                (&name.as_str(), Type::TEXT),
                (&settings.as_ref().map(|settings| Json(json(settings))), Type::JSONB),
            ];
            let rows = self.rows("set_limit", "SELECT windlass.set_limit($1, $2, $3)", &params).await?;
            self.refusal("set_limit", self.told("set_limit", &rows)?)
        })
    }

    fn limits(&self, after: Option<LimitName>, limit: usize) -> StoreFuture<'_, Page<LimitInfo>> {
        Box::pin(async move {
            self.take_up("limits").await?;
            let limit = limit.clamp(1, PAGE_MAX);
            let params: [Param<'_>; 3] = [
                (&self.at(None), Type::INT8),
                (&after.as_ref().map(LimitName::as_str), Type::TEXT),
                (&i32::try_from(limit + 1).unwrap_or(i32::MAX), Type::INT4),
            ];
            let mut items: Vec<LimitInfo> =
                self.list_of("limits", "SELECT * FROM windlass.limits($1, $2, $3)", &params).await?;
            let more = items.len() > limit;
            items.truncate(limit);
            let last = items.last().map(|info| info.name.to_string());
            Ok(Page { examined: items.len(), next: last.filter(|_| more), items })
        })
    }

    fn set_schedule(&self, spec: ScheduleSpec, at: Option<Time>) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            let refuse = |why| Rejection::Invalid { what: "schedule", why };
            let compiled = match spec.timing.compile() {
                Ok(compiled) => compiled,
                Err(why) => return Ok(Err(refuse(why))),
            };
            if let Err(why) = spec.catch_up.validate() {
                return Ok(Err(refuse(why)));
            }
            let now = self.about_now(at);
            if let Err(why) = job_of(&spec, now).validate(now) {
                return Ok(Err(why));
            }
            let next = compiled.next_after(now).filter(|_| !spec.paused).map(ms);
            let params: [Param<'_>; 4] = [
                (&spec.name.as_str(), Type::TEXT),
                (&Json(json(&spec)), Type::JSONB),
                (&ms(now), Type::INT8),
                (&next, Type::INT8),
            ];
            let rows =
                self.rows("set_schedule", "SELECT windlass.set_schedule($1, $2, $3, $4)", &params).await?;
            self.refusal("set_schedule", self.told("set_schedule", &rows)?)
        })
    }

    fn delete_schedule(&self, name: ScheduleName, _: Option<Time>) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            let sql = "DELETE FROM windlass.schedule WHERE name = $1 RETURNING name";
            let rows = self.rows("delete_schedule", sql, &[(&name.as_str(), Type::TEXT)]).await?;
            let missing = || Rejection::NotFound { what: format!("schedule {name}") };
            Ok(rows.first().map(drop).ok_or_else(missing))
        })
    }

    fn schedules(&self) -> StoreFuture<'_, Vec<ScheduleInfo>> {
        let sql = "SELECT jsonb_build_object('spec', spec, 'last_tick', last_tick, 'last_job', last_job, 'next_tick', next, 'ticks', ticks, 'skipped', skipped)
                   FROM windlass.schedule ORDER BY name";
        Box::pin(self.list_of("schedules", sql, &[]))
    }

    fn events(
        &self,
        from: From,
        limit: usize,
        wait_ms: u64,
    ) -> StoreFuture<'_, Result<EventPage, Rejection>> {
        Box::pin(self.read_events(from, limit, wait_ms))
    }

    fn set_reader(&self, reader: Reader) -> StoreFuture<'_, ()> {
        Box::pin(self.put_reader(reader))
    }

    fn delete_reader(&self, name: String) -> StoreFuture<'_, ()> {
        Box::pin(self.drop_reader(name))
    }

    fn readers(&self) -> StoreFuture<'_, Vec<Reader>> {
        Box::pin(self.all_readers())
    }

    fn errors(&self, queue: Option<QueueName>, limit: usize) -> StoreFuture<'_, Vec<FailureMode>> {
        Box::pin(async move {
            let sql = "SELECT jsonb_build_object('fingerprint', windlass.hex(fingerprint), 'title', title, 'queue', queue, 'kind', kind, 'dead', dead, 'failures', failures,
                         'first_seen', first_seen, 'last_seen', last_seen, 'sample', sample)
                       FROM windlass.mode WHERE $1::text IS NULL OR queue = $1 ORDER BY dead DESC, failures DESC, windlass.hex(fingerprint) LIMIT $2";
            let params: [Param<'_>; 2] = [
                (&queue.as_ref().map(QueueName::as_str), Type::TEXT),
                (&i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8),
            ];
            self.list_of("errors", sql, &params).await
        })
    }

    fn workers(&self, at: Option<Time>) -> StoreFuture<'_, Vec<WorkerInfo>> {
        Box::pin(async move {
            let sql =
                "SELECT jsonb_build_object('hello', w.hello, 'seen_at', w.seen_at, 'running', w.running)
                       FROM windlass.workers_there($1) w ORDER BY (w.id < 0), w.id";
            self.list_of("workers", sql, &[(&self.at(at), Type::INT8)]).await
        })
    }

    fn info(&self) -> StoreFuture<'_, StoreInfo> {
        Box::pin(self.read_info())
    }

    fn backup(&self) -> StoreFuture<'_, Backup> {
        let cause = "a PostgreSQL database is backed up by its own tools: pg_dump --schema=NAMESPACE, or pg_basebackup with an \
                     archive of its log; see docs/backup.md";
        let refused = StoreError::refused("backup", cause);
        Box::pin(async { Err(refused) })
    }

    fn meta(&self, key: String) -> StoreFuture<'_, (Vec<u8>, u64)> {
        Box::pin(async move {
            let rows = self
                .rows(
                    "meta",
                    "SELECT value, version FROM windlass.meta WHERE key = $1",
                    &[(&key, Type::TEXT)],
                )
                .await?;
            let found =
                |row: &tokio_postgres::Row| (row.get(0), u64::try_from(row.get::<_, i64>(1)).unwrap_or(0));
            Ok(rows.first().map(found).unwrap_or_default())
        })
    }

    fn set_meta(&self, key: String, value: Vec<u8>, version: u64) -> StoreFuture<'_, Result<u64, Rejection>> {
        Box::pin(async move {
            if let Err(why) = windlass_core::name::check_key("meta", &key) {
                return Ok(Err(why));
            }
            if value.len() > META_BYTES_MAX {
                return Ok(Err(Rejection::Invalid { what: "meta", why: "value is more than 1 MiB".into() }));
            }
            let version = i64::try_from(version).unwrap_or(i64::MAX);
            let params: [Param<'_>; 3] = [(&key, Type::TEXT), (&value, Type::BYTEA), (&version, Type::INT8)];
            let rows = self.rows("set_meta", "SELECT windlass.set_meta($1, $2, $3)", &params).await?;
            let told = self.told("set_meta", &rows)?;
            match told.get("ok").and_then(Value::as_u64) {
                Some(version) => Ok(Ok(version)),
                None => rejection("set_meta", told.get("err").cloned().unwrap_or_default()).map(Err),
            }
        })
    }
}

impl Store for PostgresStore {
    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.0.hub.drain();
            self.0.pool.close();
            Ok(())
        })
    }
}

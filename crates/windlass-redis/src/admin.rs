//! The verbs of people and dashboards: `Admin` in its own order, each a call and the reading of its answer. What has a life
//! of its own is elsewhere: the log in `events.rs`, answers in `shown.rs`.

use redis::Value;
use windlass_core::bounds::{BATCH_ITEMS_MAX, BODIES_BYTES_MAX, META_BYTES_MAX, PAGE_MAX};
use windlass_core::job::{JobBody, JobDetail, JobView};
use windlass_core::limit::LimitSettings;
use windlass_core::name::{GroupKey, LimitName, QueueName, ScheduleName};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{
    Admin, Backup, Edit, EventPage, FailureMode, Filter, From, GroupInfo, LimitInfo, Page, PerItem,
    QueueInfo, QueueSeries, Reader, ScheduleInfo, ScheduleSpec, StoreFuture, StoreInfo, WorkerInfo,
};
use windlass_core::why::Why;
use windlass_core::{JobId, Rejection, State, StoreError, Time};

use crate::RedisStore;
use crate::library::LIBRARY;
use crate::open::Server;
use crate::queue::too_many;
use crate::record::{Extras, Record};
use crate::shown::{failure_mode, group_info, limit_info, listed, matches, name, queue_info, series, why_of};
use crate::upkeep::Kept;
use crate::wire::{self, Misread, Read};

/// Queues described in one call.
const QUEUES_A_CALL: usize = 50;
/// Jobs that one call of a list looks at: short enough that workers are served in between.
const JOBS_A_CALL: usize = 500;

fn invalid<T>(what: &'static str, why: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::Invalid { what, why: why.into() })
}

/// A place in a list: which queue of the sorted names, and behind which number of its index.
fn parse_cursor(text: &str) -> Result<(String, String), Rejection> {
    let (queue, number) = text.rsplit_once('@').ok_or(Rejection::BadCursor)?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if is_number || number.is_empty() { Ok((queue.into(), number.into())) } else { Err(Rejection::BadCursor) }
}

impl RedisStore {
    pub(crate) async fn queue_names(&self) -> Result<Vec<QueueName>, StoreError> {
        let call = self.call("queue_names", None);
        let read =
            |value| wire::items(value)?.into_iter().map(|n| name(QueueName::new(wire::text(n)?))).collect();
        self.look(&call, "queues", read).await
    }

    /// A verb on ids that answers nothing or a rejection for each.
    async fn on_each(
        &self,
        verb: &'static str,
        jobs: &[JobId],
        at: Option<Time>,
    ) -> Result<PerItem<()>, StoreError> {
        if let Some(refused) = too_many(jobs.len()) {
            return Ok(refused);
        }
        let mut call = self.call(verb, at);
        call.count(jobs.len());
        jobs.iter().for_each(|id| {
            call.id(*id);
        });
        self.done(&call, verb, wire::all_done).await
    }

    async fn list_ids(
        &self,
        filter: &Filter,
        from: usize,
        limit: usize,
        budget: usize,
    ) -> Result<Page<JobView>, StoreError> {
        let mut page = Page::default();
        let mut at = from;
        while at < filter.ids.len() {
            if page.items.len() >= limit || page.examined >= budget.max(1) {
                page.next = Some(format!("@{at}"));
                break;
            }
            let some = (limit - page.items.len()).min(budget.max(1) - page.examined).min(JOBS_A_CALL);
            let ids = &filter.ids[at..filter.ids.len().min(at + some)];
            let mut call = self.call("list_ids", None);
            call.count(ids.len());
            ids.iter().for_each(|id| {
                call.id(*id);
            });
            for found in self.look(&call, "list", wire::items).await? {
                page.examined += 1;
                let view = match found {
                    Value::Nil => None,
                    found => listed(found)
                        .and_then(|(id, record, error)| matches(id, &record, error, filter))
                        .map_err(|why| why.into_error("list"))?,
                };
                page.items.extend(view);
            }
            at += ids.len();
        }
        Ok(page)
    }
}

/// A stretch of an index: jobs with their numbers, how many were looked at, the last number.
type Stretch = (Vec<(String, Value)>, usize, String);

fn stretch(value: Value) -> Read<Stretch> {
    let [found, examined, last] = wire::fields(value)?;
    let mut rows = Vec::new();
    for row in wire::items(found)? {
        let [number, id, record, error] = wire::fields(row)?;
        let number_text = wire::text(number.clone())?;
        rows.push((number_text, Value::Array(vec![number, id, record, error])));
    }
    Ok((rows, wire::number(examined)? as usize, wire::text(last)?))
}

impl Admin for RedisStore {
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<JobDetail>> {
        Box::pin(async move {
            let mut call = self.call("get", None);
            call.id(id);
            let read = |value| {
                if value == Value::Nil {
                    return Ok(None);
                }
                let [record, extras, children] = wire::fields(value)?;
                let record = wire::bytes(record)?;
                let extras = Extras::read(wire::pairs(extras)?)?;
                let children = wire::items(children)?.into_iter().map(|id| wire::id(&wire::bytes(id)?));
                Ok(Some(Record::read(id, &record)?.detail(&extras, children.collect::<Read<Vec<_>>>()?)))
            };
            self.look(&call, "get", read).await
        })
    }

    fn bodies(&self, jobs: Vec<JobId>) -> StoreFuture<'_, Vec<Option<JobBody>>> {
        Box::pin(async move {
            let jobs = &jobs[..jobs.len().min(BATCH_ITEMS_MAX)];
            let mut call = self.call("bodies", None);
            call.count(jobs.len()).count(BODIES_BYTES_MAX);
            for id in jobs {
                call.id(*id);
            }
            let body = |(id, record): (&JobId, Value)| match record {
                Value::Nil => Ok(None),
                record => Ok(Some(Record::read(*id, &wire::bytes(record)?)?.body())),
            };
            let read = |value| jobs.iter().zip(wire::items(value)?).map(body).collect::<Read<Vec<_>>>();
            self.look(&call, "bodies", read).await
        })
    }

    fn logs(&self, id: JobId, attempt: u32) -> StoreFuture<'_, Result<String, Rejection>> {
        Box::pin(async move {
            let mut call = self.call("logs", None);
            call.id(id).number(attempt);
            let read = |value| match value {
                Value::Nil => Ok(Err(Rejection::NotFound { what: format!("job {id}") })),
                value => {
                    let [log] = wire::fields(value)?;
                    Ok(Ok(String::from_utf8_lossy(&wire::bytes(log)?).into_owned()))
                }
            };
            self.look(&call, "logs", read).await
        })
    }

    fn list(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
        budget: usize,
    ) -> StoreFuture<'_, Result<Page<JobView>, Rejection>> {
        Box::pin(async move {
            let limit = limit.clamp(1, PAGE_MAX);
            let budget = budget.max(1);
            let start = match cursor.as_deref().map(parse_cursor).transpose() {
                Ok(start) => start,
                Err(why) => return Ok(Err(why)),
            };
            if !filter.ids.is_empty() {
                let from = start.map_or(0, |(_, at)| at.parse().unwrap_or(0));
                return Ok(Ok(self.list_ids(&filter, from, limit, budget).await?));
            }
            let queues = match &filter.queue {
                Some(queue) => vec![queue.clone()],
                None => self.queue_names().await?,
            };
            let ended = match filter.states.as_slice() {
                [state] if filter.queue.is_some() && state.is_terminal() && *state != State::Dead => {
                    (*state as u8).to_string()
                }
                _ => String::new(),
            };
            let states: String = filter.states.iter().map(|state| (*state as u8).to_string()).collect();
            let mut page = Page::default();
            let (from_queue, mut from) = start.unwrap_or_default();
            for queue in queues.into_iter().filter(|queue| queue.as_str() >= from_queue.as_str()) {
                if queue.as_str() != from_queue {
                    from.clear();
                }
                loop {
                    if page.items.len() >= limit || page.examined >= budget {
                        page.next = Some(format!("{queue}@{from}"));
                        return Ok(Ok(page));
                    }
                    let most = (budget - page.examined).min(JOBS_A_CALL);
                    let call = if ended.is_empty() {
                        let mut call = self.call("list", None);
                        call.text(queue.as_str()).text(&from).count(most).text(&states);
                        call
                    } else {
                        let mut call = self.call("list_ended", None);
                        call.text(queue.as_str()).text(&ended).text(&from).count(most);
                        call
                    };
                    let (rows, examined, last) = self.look(&call, "list", stretch).await?;
                    if examined == 0 {
                        break;
                    }
                    let before = page.items.len();
                    let mut full = None;
                    for (number, row) in rows {
                        let view = listed(row)
                            .and_then(|(id, record, error)| matches(id, &record, error, &filter))
                            .map_err(|why| why.into_error("list"))?;
                        page.items.extend(view);
                        if page.items.len() >= limit {
                            full = Some(number);
                            break;
                        }
                    }
                    // Of a page that filled up early only what it shows counts as looked at.
                    page.examined += if full.is_some() { page.items.len() - before } else { examined };
                    from = full.unwrap_or(last);
                    if examined < most && page.items.len() < limit {
                        break;
                    }
                }
            }
            Ok(Ok(page))
        })
    }

    fn why(&self, id: JobId, at: Option<Time>) -> StoreFuture<'_, Result<Why, Rejection>> {
        Box::pin(async move {
            let mut call = self.call("why", at);
            call.id(id);
            let why = self.done(&call, "why", why_of).await?;
            Ok(why.ok_or_else(|| Rejection::NotFound { what: format!("job {id}") }))
        })
    }

    fn edit(&self, edits: Vec<Edit>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move {
            if let Some(refused) = too_many(edits.len()) {
                return Ok(refused);
            }
            let mut call = self.call("edit", at);
            call.count(edits.len());
            for edit in &edits {
                call.id(edit.id).maybe_bytes(edit.payload.as_deref());
                call.text(&edit.priority.map_or_else(String::new, |priority| priority.to_string()));
                call.maybe(edit.run_at.map(|at| at.0));
            }
            self.done(&call, "edit", wire::all_done).await
        })
    }

    fn retry(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move { self.on_each("retry", &jobs, at).await })
    }

    fn run_now(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move { self.on_each("run_now", &jobs, at).await })
    }

    fn delete(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move { self.on_each("delete", &jobs, at).await })
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
            let mut call = self.call("set_queue", at);
            call.text(name.as_str()).text(&json(&settings));
            self.done(&call, "set_queue", wire::done).await
        })
    }

    fn pause(
        &self,
        name: QueueName,
        paused: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            let mut call = self.call("pause", at);
            call.text(name.as_str()).text(if paused { "true" } else { "false" });
            self.done(&call, "pause", wire::done).await
        })
    }

    fn queues(&self, name: Option<QueueName>, at: Option<Time>) -> StoreFuture<'_, Vec<QueueInfo>> {
        Box::pin(async move {
            let names = match name {
                Some(name) => vec![name],
                None => self.queue_names().await?,
            };
            let mut all = Vec::with_capacity(names.len());
            for some in names.chunks(QUEUES_A_CALL) {
                let mut call = self.call("queues", at);
                call.count(some.len());
                some.iter().for_each(|name| {
                    call.text(name.as_str());
                });
                let read = |value| wire::items(value)?.into_iter().map(queue_info).collect::<Read<Vec<_>>>();
                all.extend(self.done(&call, "queues", read).await?);
            }
            Ok(all)
        })
    }

    fn series(&self, name: QueueName, at: Option<Time>) -> StoreFuture<'_, Result<QueueSeries, Rejection>> {
        Box::pin(async move {
            let mut call = self.call("series", at);
            call.text(name.as_str());
            let read = |value| {
                if value == Value::Nil {
                    return Ok(None);
                }
                let [now, rings, current] = wire::fields(value)?;
                let now = Time(wire::number(now)?);
                let (rings, current) = (wire::pairs(rings)?, wire::numbers(current)?);
                if current.len() != 18 {
                    return Err(Misread("series"));
                }
                Ok(Some(QueueSeries {
                    enqueued: series(&rings, &current[0..6], b'e', now),
                    completed: series(&rings, &current[6..12], b'c', now),
                    failed: series(&rings, &current[12..18], b'f', now),
                }))
            };
            let found = self.look(&call, "series", read).await?;
            Ok(found.ok_or_else(|| Rejection::NotFound { what: format!("queue {name}") }))
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
            let mut call = self.call("set_group", at);
            call.text(queue.as_str()).text(key.as_ref().map_or("", |key| key.as_str()));
            call.text(&settings.as_ref().map_or_else(String::new, json));
            self.done(&call, "set_group", wire::done).await
        })
    }

    fn groups(
        &self,
        queue: QueueName,
        after: Option<GroupKey>,
        limit: usize,
    ) -> StoreFuture<'_, Page<GroupInfo>> {
        Box::pin(async move {
            let limit = limit.clamp(1, PAGE_MAX);
            let mut call = self.call("groups", None);
            call.text(queue.as_str()).maybe_bytes(after.as_ref().map(|key| key.as_str().as_bytes()));
            call.count(limit + 1);
            let read = |value| wire::items(value)?.into_iter().map(group_info).collect::<Read<Vec<_>>>();
            let mut items = self.look(&call, "groups", read).await?;
            let examined = items.len();
            items.truncate(limit);
            let next =
                (examined > limit).then(|| items.last()?.key.as_ref().map(ToString::to_string)).flatten();
            Ok(Page { items, next, examined })
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
            let mut call = self.call("set_limit", at);
            call.text(name.as_str()).text(&settings.as_ref().map_or_else(String::new, json));
            self.done(&call, "set_limit", wire::done).await
        })
    }

    fn limits(&self, after: Option<LimitName>, limit: usize) -> StoreFuture<'_, Page<LimitInfo>> {
        Box::pin(async move {
            let limit = limit.clamp(1, PAGE_MAX);
            let mut call = self.call("limits", None);
            call.maybe_bytes(after.as_ref().map(|name| name.as_str().as_bytes())).count(limit + 1);
            let read = |value| wire::items(value)?.into_iter().map(limit_info).collect::<Read<Vec<_>>>();
            let mut items = self.look(&call, "limits", read).await?;
            let more = items.len() > limit;
            items.truncate(limit);
            let next = more.then(|| items.last().map(|info| info.name.to_string())).flatten();
            Ok(Page { examined: items.len(), items, next })
        })
    }

    fn set_schedule(&self, spec: ScheduleSpec, at: Option<Time>) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            let now = self.now(at);
            if let Err(why) = spec.validate(now) {
                return Ok(Err(why));
            }
            let compiled = match spec.timing.compile() {
                Ok(compiled) => compiled,
                Err(why) => return Ok(invalid("schedule", why)),
            };
            let next = if spec.paused { None } else { compiled.next_after(now) };
            // The time by which the next tick was computed is the one from which ticks count.
            let mut call = self.call("set_schedule", Some(now));
            call.text(spec.name.as_str()).text(spec.queue.as_str()).text(&json(&spec));
            call.maybe(next.map(|next| next.0));
            self.done(&call, "set_schedule", wire::done).await
        })
    }

    fn delete_schedule(
        &self,
        name: ScheduleName,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            let mut call = self.call("delete_schedule", at);
            call.text(name.as_str());
            self.done(&call, "delete_schedule", wire::done).await
        })
    }

    fn schedules(&self) -> StoreFuture<'_, Vec<ScheduleInfo>> {
        Box::pin(async move {
            let call = self.call("schedules", None);
            let read = |value| wire::items(value)?.into_iter().map(Kept::read).collect::<Read<Vec<_>>>();
            let mut all = self.look(&call, "schedules", read).await?;
            all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
            let info = |kept: Kept| ScheduleInfo {
                spec: kept.spec,
                last_tick: kept.last_tick,
                last_job: kept.last_job,
                next_tick: kept.next_tick,
                ticks: kept.ticks,
                skipped: kept.skipped,
            };
            Ok(all.into_iter().map(info).collect())
        })
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
            let queues = match queue {
                Some(queue) => vec![queue],
                None => self.queue_names().await?,
            };
            let mut modes = Vec::new();
            for queue in queues {
                let mut call = self.call("errors", None);
                call.text(queue.as_str());
                let mode = |value| failure_mode(&queue, value);
                let read = |value| wire::items(value)?.into_iter().map(mode).collect::<Read<Vec<_>>>();
                modes.extend(self.look(&call, "errors", read).await?);
            }
            modes.sort_by(|a, b| {
                (b.dead, b.failures, a.fingerprint).cmp(&(a.dead, a.failures, b.fingerprint))
            });
            modes.truncate(limit);
            Ok(modes)
        })
    }

    fn workers(&self, at: Option<Time>) -> StoreFuture<'_, Vec<WorkerInfo>> {
        Box::pin(async move {
            let call = self.call("workers", at);
            let worker = |value| {
                let [hello, seen_at, running] = wire::fields(value)?;
                Ok(WorkerInfo {
                    hello: serde_json::from_slice(&wire::bytes(hello)?).map_err(|_| Misread("worker"))?,
                    seen_at: Time(wire::number(seen_at)?),
                    running: wire::number(running)?,
                })
            };
            let read = |value| wire::items(value)?.into_iter().map(worker).collect::<Read<Vec<_>>>();
            let mut all: Vec<WorkerInfo> = self.look(&call, "workers", read).await?;
            all.sort_by_key(|worker| worker.hello.worker);
            Ok(all)
        })
    }

    fn info(&self) -> StoreFuture<'_, StoreInfo> {
        Box::pin(async move {
            let call = self.call("info", None);
            let read = |value| {
                let [jobs, events] = wire::fields(value)?;
                Ok((wire::number(jobs)?, wire::number(events)?))
            };
            let (jobs, event_bytes) = self.look(&call, "info", read).await?;
            // Settings may have been changed since the open.
            let server = Server::ask(&self.0.link).await?;
            Ok(StoreInfo {
                store: "redis".into(),
                ack_level: server.level(),
                disk_bytes: server.aof_bytes,
                live_bytes: server.dataset_bytes,
                jobs,
                recovery: self.0.server.clone(),
                space_low: server.maxmemory > 0 && server.used_memory >= server.maxmemory,
                server: Some(server.name()),
                namespace: Some(self.0.link.namespace().to_owned()),
                format: format!("functions {}", LIBRARY.name),
                settings: server.settings(),
                event_bytes: Some(event_bytes),
                memory_bytes: Some(server.used_memory),
                warnings: server.warnings(),
            })
        })
    }

    fn backup(&self) -> StoreFuture<'_, Backup> {
        let cause = "a Redis server backs itself up: redis-cli BGSAVE, then copy its dump.rdb (and its appendonlydir), or \
                     keep a replica; see docs/backup.md";
        let refused = StoreError::refused("backup", cause);
        Box::pin(async { Err(refused) })
    }

    fn meta(&self, key: String) -> StoreFuture<'_, (Vec<u8>, u64)> {
        Box::pin(async move {
            let mut call = self.call("meta", None);
            call.text(&key);
            let read = |value| {
                let [version, value] = wire::fields(value)?;
                Ok((wire::bytes(value)?, wire::number(version)?))
            };
            self.look(&call, "meta", read).await
        })
    }

    fn set_meta(&self, key: String, value: Vec<u8>, version: u64) -> StoreFuture<'_, Result<u64, Rejection>> {
        Box::pin(async move {
            if let Err(why) = windlass_core::name::check_key("meta", &key) {
                return Ok(Err(why));
            }
            if value.len() > META_BYTES_MAX {
                return Ok(invalid("meta", "value is more than 1 MiB"));
            }
            let mut call = self.call("set_meta", None);
            // Made twice, the second would meet the first one's version.
            call.text(&key).bytes(&value).number(version).once();
            let read = |value| {
                let answer = wire::bytes(value)?;
                match std::str::from_utf8(&answer).ok().and_then(|text| text.parse().ok()) {
                    Some(version) => Ok(Ok(version)),
                    None => Ok(Err(wire::rejection(&answer)?)),
                }
            };
            self.done(&call, "set_meta", read).await
        })
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own plain structs always serialise")
}

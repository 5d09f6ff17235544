//! The verbs of people and dashboards: `Admin` in its own order, each one request and the reading of its answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use windlass_api::event::{EventPageShape, FailureModeShape, ReaderShape};
use windlass_api::filter::FilterShape;
use windlass_api::job::{BodyShape, JobRecord, JobRow, WhyRecord};
use windlass_api::page::{Done, PageShape};
use windlass_api::queue::{GroupShape, LimitShape, QueueSeriesShape, QueueShape};
use windlass_api::schedule::ScheduleShape;
use windlass_api::store::{Version, Versioned, WorkerShape};
use windlass_api::work::{EditRequest, EditShape, Ids};
use windlass_core::bounds::{LIST_BUDGET_MAX, PAGE_MAX};
use windlass_core::job::{JobBody, JobDetail, JobView};
use windlass_core::limit::LimitSettings;
use windlass_core::name::{GroupKey, LimitName, QueueName, ScheduleName};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{
    Admin, Backup, Edit, EventPage, FailureMode, Filter, From as Begin, GroupInfo, LimitInfo, Page, PerItem,
    QueueInfo, QueueSeries, Reader, ScheduleInfo, ScheduleSpec, StoreFuture, StoreInfo, WorkerInfo,
};
use windlass_core::why::Why;
use windlass_core::{JobId, Rejection, StoreError, Time};

use crate::call::{Answer, Call};
use crate::path::{key, with_query};
use crate::queue::{ROUND_LEAST, WAIT_MOST, too_many};
use crate::{HttpStore, by_the_servers_clock};

#[derive(Serialize)]
struct Search {
    filter: FilterShape,
    cursor: Option<String>,
    limit: usize,
    budget: usize,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Bodies {
    results: Vec<Option<BodyShape>>,
}

/// A list as this crate's callers know its items.
fn items<T, U: From<T>>(answer: &Answer) -> Result<Vec<U>, StoreError>
where
    T: for<'de> Deserialize<'de>,
{
    let Items::<T> { items } = answer.json()?;
    Ok(items.into_iter().map(U::from).collect())
}

/// One page of such a list.
fn page<T, U: From<T>>(answer: &Answer) -> Result<Page<U>, StoreError>
where
    T: for<'de> Deserialize<'de>,
{
    Ok(answer.json::<PageShape<T>>()?.into_page(U::from))
}

/// None instead of what the server does not know.
fn known<T>(operation: &'static str, told: Result<T, Rejection>) -> Result<Option<T>, StoreError> {
    match told {
        Ok(found) => Ok(Some(found)),
        Err(Rejection::NotFound { .. }) => Ok(None),
        Err(why) => Err(StoreError::refused(operation, why.to_string())),
    }
}

impl HttpStore {
    /// Puts settings there, or takes them away.
    fn put_or_remove<T: Serialize>(
        &self,
        operation: &'static str,
        path: String,
        settings: Option<T>,
    ) -> Result<Call<'_>, StoreError> {
        match settings {
            Some(settings) => self.put(operation, path).json(&settings),
            None => Ok(self.remove(operation, path)),
        }
    }
}

/// The length of a page within what a server gives: a store gives as many as it may, a server refuses what is no page.
fn length(limit: usize) -> usize {
    limit.clamp(1, PAGE_MAX)
}

impl Admin for HttpStore {
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<JobDetail>> {
        Box::pin(async move {
            let call = self.look("get", format!("/v1/jobs/{id}"));
            let read = |answer: &Answer| {
                JobDetail::try_from(answer.json::<JobRecord>()?).map_err(|why| answer.misread(why))
            };
            known("get", call.ruled(read).await?)
        })
    }

    fn bodies(&self, jobs: Vec<JobId>) -> StoreFuture<'_, Vec<Option<JobBody>>> {
        Box::pin(async move {
            let call = self.ask("bodies", "/v1/jobs/bodies").json(&Ids { ids: jobs })?;
            call.done(|answer| {
                let Bodies { results } = answer.json()?;
                let bodies = results.into_iter().map(|body| body.map(JobBody::try_from).transpose());
                bodies.collect::<Result<_, _>>().map_err(|why| answer.misread(why))
            })
            .await
        })
    }

    fn logs(&self, id: JobId, attempt: u32) -> StoreFuture<'_, Result<String, Rejection>> {
        Box::pin(async move {
            let call = self.look("logs", format!("/v1/jobs/{id}/attempts/{attempt}/log"));
            call.ruled(|answer| Ok(answer.text())).await
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
            let (limit, budget) = (length(limit), budget.clamp(1, LIST_BUDGET_MAX));
            let search = Search { filter: FilterShape::of(&filter), cursor, limit, budget };
            self.ask("list", "/v1/jobs/search").json(&search)?.ruled(page::<JobRow, _>).await
        })
    }

    fn why(&self, id: JobId, at: Option<Time>) -> StoreFuture<'_, Result<Why, Rejection>> {
        Box::pin(async move {
            by_the_servers_clock("why", at)?;
            let call = self.look("why", format!("/v1/jobs/{id}/why"));
            call.ruled(|answer| answer.json::<WhyRecord>().map(Why::from)).await
        })
    }

    fn edit(&self, edits: Vec<Edit>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move {
            by_the_servers_clock("edit", at)?;
            if let Some(refused) = too_many(edits.len()) {
                return Ok(refused);
            }
            let request = EditRequest { edits: edits.iter().map(EditShape::of).collect() };
            let call = self.post("edit", "/v1/jobs/edit").json(&request)?;
            drop(request);
            call.done(|answer| answer.per_item(edits.len(), |Done {}| ())).await
        })
    }

    fn retry(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(self.on_each("retry", "/v1/jobs/retry", jobs, at))
    }

    fn run_now(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(self.on_each("run_now", "/v1/jobs/run-now", jobs, at))
    }

    fn delete(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(self.on_each("delete", "/v1/jobs/delete", jobs, at))
    }

    fn set_queue(
        &self,
        name: QueueName,
        settings: QueueSettings,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            by_the_servers_clock("set_queue", at)?;
            let call = self.put("set_queue", format!("/v1/queues/{name}/settings")).json(&settings)?;
            call.ruled(|_| Ok(())).await
        })
    }

    fn pause(
        &self,
        name: QueueName,
        paused: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            by_the_servers_clock("pause", at)?;
            let verb = if paused { "pause" } else { "resume" };
            self.post("pause", format!("/v1/queues/{name}/{verb}")).ruled(|_| Ok(())).await
        })
    }

    fn queues(&self, name: Option<QueueName>, at: Option<Time>) -> StoreFuture<'_, Vec<QueueInfo>> {
        Box::pin(async move {
            by_the_servers_clock("queues", at)?;
            let Some(name) = name else {
                return self.look("queues", "/v1/queues").done(items::<QueueShape, _>).await;
            };
            let call = self.look("queues", format!("/v1/queues/{name}"));
            let found = call.ruled(|answer| answer.json::<QueueShape>().map(QueueInfo::from)).await?;
            Ok(known("queues", found)?.into_iter().collect())
        })
    }

    fn series(&self, name: QueueName, at: Option<Time>) -> StoreFuture<'_, Result<QueueSeries, Rejection>> {
        Box::pin(async move {
            by_the_servers_clock("series", at)?;
            let call = self.look("series", format!("/v1/queues/{name}/series"));
            call.ruled(|answer| answer.json::<QueueSeriesShape>().map(QueueSeries::from)).await
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
            by_the_servers_clock("set_group", at)?;
            let path = match key {
                Some(group) => format!("/v1/queues/{queue}/groups/{}/settings", self::key(group.as_str())),
                None => format!("/v1/queues/{queue}/ungrouped/settings"),
            };
            self.put_or_remove("set_group", path, settings)?.ruled(|_| Ok(())).await
        })
    }

    fn groups(
        &self,
        queue: QueueName,
        after: Option<GroupKey>,
        limit: usize,
    ) -> StoreFuture<'_, Page<GroupInfo>> {
        Box::pin(async move {
            let after = after.as_ref().map(GroupKey::as_str);
            let limit = length(limit).to_string();
            let path = with_query(
                &format!("/v1/queues/{queue}/groups"),
                &[("after", after), ("limit", Some(&limit))],
            );
            self.look("groups", path).done(page::<GroupShape, _>).await
        })
    }

    fn set_limit(
        &self,
        name: LimitName,
        settings: Option<LimitSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            by_the_servers_clock("set_limit", at)?;
            self.put_or_remove("set_limit", format!("/v1/limits/{name}"), settings)?.ruled(|_| Ok(())).await
        })
    }

    fn limits(&self, after: Option<LimitName>, limit: usize) -> StoreFuture<'_, Page<LimitInfo>> {
        Box::pin(async move {
            let after = after.as_ref().map(LimitName::as_str);
            let limit = length(limit).to_string();
            let path = with_query("/v1/limits", &[("after", after), ("limit", Some(&limit))]);
            self.look("limits", path).done(page::<LimitShape, _>).await
        })
    }

    fn set_schedule(&self, spec: ScheduleSpec, at: Option<Time>) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            by_the_servers_clock("set_schedule", at)?;
            let path = format!("/v1/schedules/{}", spec.name);
            let (last_tick, last_job, next_tick) = (None, None, None);
            let info = ScheduleInfo { spec, last_tick, last_job, next_tick, ticks: 0, skipped: 0 };
            let mut shape = ScheduleShape::new(info, Time::ZERO);
            // The server knows what time it is.
            shape.upcoming.clear();
            self.put("set_schedule", path).json(&shape)?.ruled(|_| Ok(())).await
        })
    }

    fn delete_schedule(
        &self,
        name: ScheduleName,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            by_the_servers_clock("delete_schedule", at)?;
            self.remove("delete_schedule", format!("/v1/schedules/{name}")).ruled(|_| Ok(())).await
        })
    }

    fn schedules(&self) -> StoreFuture<'_, Vec<ScheduleInfo>> {
        Box::pin(async move {
            let read = |answer: &Answer| {
                let Items::<ScheduleShape> { items } = answer.json()?;
                let all = items.into_iter().map(ScheduleShape::into_info).collect::<Result<_, _>>();
                all.map_err(|why| answer.misread(why))
            };
            self.look("schedules", "/v1/schedules").done(read).await
        })
    }

    fn events(
        &self,
        from: Begin,
        limit: usize,
        wait_ms: u64,
    ) -> StoreFuture<'_, Result<EventPage, Rejection>> {
        Box::pin(async move {
            let (begun, whole) = (Instant::now(), Duration::from_millis(wait_ms));
            let (mut from, mut gap) = (from, false);
            loop {
                let round = Instant::now();
                let wait = whole.saturating_sub(begun.elapsed()).min(WAIT_MOST);
                let start = match from {
                    Begin::Earliest => "earliest".to_owned(),
                    Begin::Latest => "latest".to_owned(),
                    Begin::After(cursor) => cursor.to_string(),
                };
                let (limit, ms) = (length(limit).to_string(), wait.as_millis().to_string());
                let path = with_query(
                    "/v1/events",
                    &[("from", Some(&start)), ("limit", Some(&limit)), ("wait_ms", Some(&ms))],
                );
                let read = |answer: &Answer| {
                    EventPage::try_from(answer.json::<EventPageShape>()?).map_err(|why| answer.misread(why))
                };
                let mut page = match self.look("events", path).waits(wait).ruled(read).await? {
                    Ok(page) => page,
                    Err(why) => return Ok(Err(why)),
                };
                gap |= page.gap;
                if !page.events.is_empty() || begun.elapsed() >= whole {
                    page.gap = gap;
                    return Ok(Ok(page));
                }
                // Whoever waits for the next event must not miss it between two requests.
                from = Begin::After(page.next);
                tokio::time::sleep_until(round + ROUND_LEAST).await;
            }
        })
    }

    fn set_reader(&self, reader: Reader) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let path = format!("/v1/readers/{}", key(&reader.name));
            self.put("set_reader", path).json(&ReaderShape::from(reader))?.done(|_| Ok(())).await
        })
    }

    fn delete_reader(&self, name: String) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.remove("delete_reader", format!("/v1/readers/{}", key(&name))).done(|_| Ok(())).await
        })
    }

    fn readers(&self) -> StoreFuture<'_, Vec<Reader>> {
        Box::pin(async move { self.look("readers", "/v1/readers").done(items::<ReaderShape, _>).await })
    }

    fn errors(&self, queue: Option<QueueName>, limit: usize) -> StoreFuture<'_, Vec<FailureMode>> {
        Box::pin(async move {
            let queue = queue.as_ref().map(QueueName::as_str);
            let limit = length(limit).to_string();
            let path = with_query("/v1/errors", &[("queue", queue), ("limit", Some(&limit))]);
            self.look("errors", path).done(items::<FailureModeShape, _>).await
        })
    }

    fn workers(&self, at: Option<Time>) -> StoreFuture<'_, Vec<WorkerInfo>> {
        Box::pin(async move {
            by_the_servers_clock("workers", at)?;
            self.look("workers", "/v1/workers").done(items::<WorkerShape, _>).await
        })
    }

    fn info(&self) -> StoreFuture<'_, StoreInfo> {
        Box::pin(async move {
            let read = |answer: &Answer| {
                let mut info: StoreInfo = answer.json()?;
                let behind = match info.server.take() {
                    Some(server) => format!("{} ({server})", info.store),
                    None => info.store,
                };
                info.store = "http".to_owned();
                info.server = Some(format!("windlass {} before {behind}", answer.version()));
                Ok(info)
            };
            self.look("info", "/v1/info").done(read).await
        })
    }

    fn backup(&self) -> StoreFuture<'_, Backup> {
        Box::pin(
            async move { self.look("backup", "/v1/backup").streamed().await.and_then(crate::backup::of) },
        )
    }

    fn meta(&self, key: String) -> StoreFuture<'_, (Vec<u8>, u64)> {
        Box::pin(async move {
            let read = |answer: &Answer| {
                let Versioned { value, version } = answer.json()?;
                let value = STANDARD.decode(value).map_err(|why| answer.misread(why))?;
                Ok((value, version))
            };
            self.look("meta", format!("/v1/meta/{}", self::key(&key))).done(read).await
        })
    }

    fn set_meta(&self, key: String, value: Vec<u8>, version: u64) -> StoreFuture<'_, Result<u64, Rejection>> {
        Box::pin(async move {
            let value = Versioned { value: STANDARD.encode(value), version };
            let call = self.put("set_meta", format!("/v1/meta/{}", self::key(&key))).json(&value)?;
            call.ruled(|answer| answer.json::<Version>().map(|told| told.version)).await
        })
    }
}

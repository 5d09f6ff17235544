//! The verbs of people and dashboards, as one key may use them.

use std::time::Duration;

use tokio::time::Instant;
use windlass_core::job::{JobBody, JobDetail, JobView};
use windlass_core::limit::LimitSettings;
use windlass_core::name::{GroupKey, LimitName, QueueName, ScheduleName};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{
    Admin, Backup, Edit, EventPage, FailureMode, Filter, From, GroupInfo, LimitInfo, Page, PerItem,
    QueueInfo, QueueSeries, Reader, ScheduleInfo, ScheduleSpec, StoreFuture, StoreInfo, WorkerInfo,
};
use windlass_core::why::Why;
use windlass_core::{JobId, Rejection, StoreError, Time};

use super::known::no_such_job;
use super::{Fenced, refused, veil};

/// Failure modes that are read to find those of a key's queues: more than a store keeps of all that fails.
const MODES_READ: usize = 10_000;
/// What stands between a queue and the place in it, in the cursor of a list over several queues: no name holds it.
const CURSOR_MARK: char = '~';

impl Fenced {
    /// The queues that there are and that the key sees, by name.
    async fn own_queues(&self, at: Option<Time>) -> Result<Vec<QueueInfo>, StoreError> {
        let mut own = self.inner.queues(None, at).await?;
        own.retain(|info| self.fence.has(&info.name));
        own.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(own)
    }

    /// A page of the jobs of all of the key's queues: one queue after the other, so that nothing is looked at that lies
    /// beyond, and neither its number nor the time it takes says anything.
    async fn list_own(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
        budget: usize,
    ) -> Result<Result<Page<JobView>, Rejection>, StoreError> {
        let (from, mut inner) = match cursor.as_deref().map(|text| text.split_once(CURSOR_MARK)) {
            None => (String::new(), None),
            Some(Some((queue, place))) => {
                (queue.to_owned(), Some(place.to_owned()).filter(|place| !place.is_empty()))
            }
            Some(None) => return Ok(Err(Rejection::BadCursor)),
        };
        let queues = self.own_queues(None).await?;
        let mut page = Page::default();
        for name in queues.into_iter().map(|info| info.name).filter(|name| name.as_str() >= from.as_str()) {
            // A place belongs to the queue that it was given for.
            inner = inner.filter(|_| name.as_str() == from);
            loop {
                if page.items.len() >= limit || page.examined >= budget {
                    page.next = Some(format!("{name}{CURSOR_MARK}{}", inner.unwrap_or_default()));
                    return Ok(Ok(page));
                }
                let one = Filter { queue: Some(name.clone()), ..filter.clone() };
                let (room, left) = (limit - page.items.len(), budget - page.examined);
                let more = match self.inner.list(one, inner.take(), room, left).await? {
                    Ok(more) => more,
                    Err(refused) => return Ok(Err(refused)),
                };
                // A queue that has nothing to look at is looked at all the same.
                page.examined += more.examined.max(1);
                page.items.extend(more.items);
                inner = more.next;
                if inner.is_none() {
                    break;
                }
            }
        }
        Ok(Ok(page))
    }

    /// The schedule of that name, if there is one.
    async fn schedule(&self, name: &ScheduleName) -> Result<Option<ScheduleInfo>, StoreError> {
        Ok(self.inner.schedules().await?.into_iter().find(|info| info.spec.name == *name))
    }
}

impl Admin for Fenced {
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<JobDetail>> {
        Box::pin(async move {
            self.alive().await?;
            let Some(mut job) = self.inner.get(id).await?.filter(|job| self.fence.has(&job.view.queue))
            else {
                return Ok(None);
            };
            let relatives = job.parents.iter().map(|parent| parent.id).chain(job.children.iter().copied());
            let known = self.known(relatives.collect::<Vec<_>>()).await?;
            job.parents.retain(|parent| !self.is_beyond(&known, parent.id));
            job.children.retain(|child| !self.is_beyond(&known, *child));
            if !self.sees_payloads {
                veil::detail(&mut job);
            }
            Ok(Some(job))
        })
    }

    fn bodies(&self, jobs: Vec<JobId>) -> StoreFuture<'_, Vec<Option<JobBody>>> {
        Box::pin(async move {
            self.alive().await?;
            let known = self.known(jobs.iter().copied()).await?;
            let beyond: Vec<bool> = jobs.iter().map(|id| self.is_beyond(&known, *id)).collect();
            let mut bodies = self.inner.bodies(jobs).await?;
            for (body, beyond) in bodies.iter_mut().zip(beyond) {
                if beyond {
                    *body = None;
                }
                if !self.sees_payloads {
                    body.iter_mut().for_each(veil::body);
                }
            }
            Ok(bodies)
        })
    }

    fn logs(&self, id: JobId, attempt: u32) -> StoreFuture<'_, Result<String, Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            if self.lies_beyond(id).await? {
                return Ok(Err(no_such_job(id)));
            }
            if let Err(refused) = self.sees("it does not see logs") {
                return Ok(Err(refused));
            }
            self.inner.logs(id, attempt).await
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
            self.alive().await?;
            if filter.payload_contains.is_some() || filter.error_contains.is_some() {
                // Whoever may search a text finds out what it is.
                if let Err(refused) = self.sees("it cannot search payloads and errors") {
                    return Ok(Err(refused));
                }
            }
            if let Some(Err(refused)) = filter.queue.as_ref().map(|queue| self.named(queue)) {
                return Ok(Err(refused));
            }
            let page = if !self.fence.is_limited() || filter.queue.is_some() {
                self.inner.list(filter, cursor, limit, budget).await?
            } else if filter.ids.is_empty() {
                self.list_own(filter, cursor, limit, budget).await?
            } else {
                let page = self.inner.list(filter, cursor, limit, budget).await?;
                page.map(|mut page| {
                    page.items.retain(|job| self.fence.has(&job.queue));
                    page.examined = page.items.len();
                    page
                })
            };
            Ok(page.map(|mut page| {
                if !self.sees_payloads {
                    page.items.iter_mut().for_each(veil::view);
                }
                page
            }))
        })
    }

    fn why(&self, id: JobId, at: Option<Time>) -> StoreFuture<'_, Result<Why, Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            if self.lies_beyond(id).await? {
                return Ok(Err(no_such_job(id)));
            }
            let mut why = self.inner.why(id, at).await?;
            if !self.sees_payloads {
                why.iter_mut().for_each(veil::why);
            }
            Ok(why)
        })
    }

    fn edit(&self, edits: Vec<Edit>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move {
            self.alive().await?;
            let known = self.known(edits.iter().map(|edit| edit.id).collect::<Vec<_>>()).await?;
            let (mut on, mut answers) = (Vec::new(), Vec::new());
            for mut edit in edits {
                if !self.sees_payloads && edit.payload.as_deref() == Some(veil::TEXT.as_bytes()) {
                    // What stands for the payload was sent back: it is not meant to change.
                    edit.payload = None;
                }
                if self.is_beyond(&known, edit.id) {
                    answers.push(Some(Err(no_such_job(edit.id))));
                } else {
                    answers.push(None);
                    on.push(edit);
                }
            }
            let done = if on.is_empty() { Vec::new() } else { self.inner.edit(on, at).await? };
            let mut done = done.into_iter();
            let next =
                |answer: Option<_>| answer.or_else(|| done.next()).unwrap_or(Err(Rejection::BatchRefused));
            let answers: PerItem<()> = answers.into_iter().map(next).collect();
            self.note_jobs("edit", &answers);
            Ok(answers)
        })
    }

    fn retry(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move { self.by_id("retry", jobs, |store, jobs| store.retry(jobs, at)).await })
    }

    fn run_now(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move { self.by_id("run now", jobs, |store, jobs| store.run_now(jobs, at)).await })
    }

    fn delete(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move { self.by_id("delete", jobs, |store, jobs| store.delete(jobs, at)).await })
    }

    fn set_queue(
        &self,
        name: QueueName,
        settings: QueueSettings,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            match self.named(&name) {
                Ok(()) => {
                    let set = self.inner.set_queue(name.clone(), settings, at).await?;
                    self.noted(set, || format!("set queue {name}"))
                }
                Err(refused) => Ok(Err(refused)),
            }
        })
    }

    fn pause(
        &self,
        name: QueueName,
        paused: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            match self.named(&name) {
                Ok(()) => {
                    let set = self.inner.pause(name.clone(), paused, at).await?;
                    self.noted(set, || format!("{} queue {name}", if paused { "pause" } else { "resume" }))
                }
                Err(refused) => Ok(Err(refused)),
            }
        })
    }

    fn queues(&self, name: Option<QueueName>, at: Option<Time>) -> StoreFuture<'_, Vec<QueueInfo>> {
        Box::pin(async move {
            self.alive().await?;
            match name {
                Some(name) => {
                    self.named(&name).map_err(refused)?;
                    self.inner.queues(Some(name), at).await
                }
                None => self.own_queues(at).await,
            }
        })
    }

    fn series(&self, name: QueueName, at: Option<Time>) -> StoreFuture<'_, Result<QueueSeries, Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            match self.named(&name) {
                Ok(()) => self.inner.series(name, at).await,
                Err(refused) => Ok(Err(refused)),
            }
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
            self.alive().await?;
            match self.named(&queue) {
                Ok(()) => {
                    let verb = if settings.is_some() { "set" } else { "reset" };
                    let set = self.inner.set_group(queue.clone(), key.clone(), settings, at).await?;
                    self.noted(set, || match key {
                        Some(key) => format!("{verb} group {key:?} of queue {queue}"),
                        None => format!("{verb} the ungrouped of queue {queue}"),
                    })
                }
                Err(refused) => Ok(Err(refused)),
            }
        })
    }

    fn groups(
        &self,
        queue: QueueName,
        after: Option<GroupKey>,
        limit: usize,
    ) -> StoreFuture<'_, Page<GroupInfo>> {
        Box::pin(async move {
            self.alive().await?;
            self.named(&queue).map_err(refused)?;
            self.inner.groups(queue, after, limit).await
        })
    }

    fn set_limit(
        &self,
        name: LimitName,
        settings: Option<LimitSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            match self.whole("named limits") {
                Ok(()) => {
                    let verb = if settings.is_some() { "set" } else { "remove" };
                    let set = self.inner.set_limit(name.clone(), settings, at).await?;
                    self.noted(set, || format!("{verb} limit {name}"))
                }
                Err(refused) => Ok(Err(refused)),
            }
        })
    }

    fn limits(&self, after: Option<LimitName>, limit: usize) -> StoreFuture<'_, Page<LimitInfo>> {
        Box::pin(async move {
            self.alive().await?;
            self.whole("named limits").map_err(refused)?;
            self.inner.limits(after, limit).await
        })
    }

    /// Between the look at who has the name and the change somebody may take it: names of schedules are the whole
    /// store's, and the store has no verb that does both.
    fn set_schedule(
        &self,
        mut spec: ScheduleSpec,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            if let Err(refused) = self.named(&spec.queue) {
                return Ok(Err(refused));
            }
            let is_stand_in = !self.sees_payloads && spec.payload == veil::TEXT.as_bytes();
            if self.fence.is_limited() || is_stand_in {
                match self.schedule(&spec.name).await? {
                    Some(other) if !self.fence.has(&other.spec.queue) => {
                        let what =
                            format!("schedule {} is taken beyond the queues of key {}", spec.name, self.name);
                        return Ok(Err(Rejection::Forbidden { what }));
                    }
                    Some(own) if is_stand_in => spec.payload = own.spec.payload,
                    _ => {}
                }
            }
            let name = spec.name.clone();
            let set = self.inner.set_schedule(spec, at).await?;
            self.noted(set, || format!("set schedule {name}"))
        })
    }

    fn delete_schedule(
        &self,
        name: ScheduleName,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            if self.fence.is_limited()
                && self.schedule(&name).await?.is_some_and(|other| !self.fence.has(&other.spec.queue))
            {
                return Ok(Err(Rejection::NotFound { what: format!("schedule {name}") }));
            }
            let set = self.inner.delete_schedule(name.clone(), at).await?;
            self.noted(set, || format!("delete schedule {name}"))
        })
    }

    fn schedules(&self) -> StoreFuture<'_, Vec<ScheduleInfo>> {
        Box::pin(async move {
            self.alive().await?;
            let mut all = self.inner.schedules().await?;
            all.retain(|info| self.fence.has(&info.spec.queue));
            if !self.sees_payloads {
                all.iter_mut().for_each(veil::schedule);
            }
            Ok(all)
        })
    }

    fn events(
        &self,
        mut from: From,
        limit: usize,
        wait_ms: u64,
    ) -> StoreFuture<'_, Result<EventPage, Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            let until = Instant::now() + Duration::from_millis(wait_ms);
            let mut gap = false;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                let mut page = match self.inner.events(from, limit, left_ms).await? {
                    Ok(page) => page,
                    Err(refused) => return Ok(Err(refused)),
                };
                // The wait may have outlasted the key.
                self.alive().await?;
                let had_some = !page.events.is_empty();
                gap |= page.gap;
                page.events.retain(|event| self.fence.has(&event.queue));
                // Others' events are no news: the wait goes on behind them.
                if had_some && page.events.is_empty() && Instant::now() < until {
                    from = From::After(page.next);
                    continue;
                }
                page.gap = gap;
                if !self.sees_payloads {
                    page.events.iter_mut().for_each(veil::event);
                }
                return Ok(Ok(page));
            }
        })
    }

    fn set_reader(&self, reader: Reader) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.alive().await?;
            self.whole("readers of the event log").map_err(refused)?;
            self.note(|| format!("set reader {:?}", reader.name));
            self.inner.set_reader(reader).await
        })
    }

    fn delete_reader(&self, name: String) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.alive().await?;
            self.whole("readers of the event log").map_err(refused)?;
            self.note(|| format!("delete reader {name:?}"));
            self.inner.delete_reader(name).await
        })
    }

    fn readers(&self) -> StoreFuture<'_, Vec<Reader>> {
        Box::pin(async move {
            self.alive().await?;
            self.whole("readers of the event log").map_err(refused)?;
            self.inner.readers().await
        })
    }

    fn errors(&self, queue: Option<QueueName>, limit: usize) -> StoreFuture<'_, Vec<FailureMode>> {
        Box::pin(async move {
            self.alive().await?;
            if let Some(queue) = &queue {
                self.named(queue).map_err(refused)?;
            }
            let all = queue.is_none() && self.fence.is_limited();
            let mut modes = self.inner.errors(queue, if all { MODES_READ } else { limit }).await?;
            modes.retain(|mode| self.fence.has(&mode.queue));
            modes.truncate(limit);
            if !self.sees_payloads {
                modes.iter_mut().for_each(veil::mode);
            }
            Ok(modes)
        })
    }

    fn workers(&self, at: Option<Time>) -> StoreFuture<'_, Vec<WorkerInfo>> {
        Box::pin(async move {
            self.alive().await?;
            let mut all = self.inner.workers(at).await?;
            for worker in &mut all {
                worker.hello.queues.retain(|(queue, _)| self.fence.has(queue));
            }
            all.retain(|worker| !self.fence.is_limited() || !worker.hello.queues.is_empty());
            Ok(all)
        })
    }

    /// What the store gives; to a limited key nothing of how much is in it, and nothing of the server behind it.
    fn info(&self) -> StoreFuture<'_, StoreInfo> {
        Box::pin(async move {
            self.alive().await?;
            let info = self.inner.info().await?;
            if !self.fence.is_limited() {
                return Ok(info);
            }
            let own = self.own_queues(None).await?;
            Ok(StoreInfo {
                store: info.store,
                ack_level: info.ack_level,
                disk_bytes: 0,
                live_bytes: 0,
                jobs: own.iter().map(|info| info.counts.0.iter().sum::<u64>()).sum(),
                recovery: String::new(),
                space_low: info.space_low,
                server: None,
                namespace: None,
                format: info.format,
                settings: Vec::new(),
                event_bytes: None,
                memory_bytes: None,
                warnings: Vec::new(),
            })
        })
    }

    fn backup(&self) -> StoreFuture<'_, Backup> {
        Box::pin(async move {
            self.alive().await?;
            self.whole("copies of the store").map_err(refused)?;
            self.note(|| "copy the store".to_owned());
            self.inner.backup().await
        })
    }

    fn meta(&self, key: String) -> StoreFuture<'_, (Vec<u8>, u64)> {
        Box::pin(async move {
            self.alive().await?;
            self.whole("values of the store").map_err(refused)?;
            self.inner.meta(key).await
        })
    }

    fn set_meta(&self, key: String, value: Vec<u8>, version: u64) -> StoreFuture<'_, Result<u64, Rejection>> {
        Box::pin(async move {
            self.alive().await?;
            match self.whole("values of the store") {
                Ok(()) => {
                    let set = self.inner.set_meta(key.clone(), value, version).await?;
                    if set.is_ok() {
                        self.note(|| format!("set value {key:?}"));
                    }
                    Ok(set)
                }
                Err(refused) => Ok(Err(refused)),
            }
        })
    }
}

//! Operations on all jobs that a filter means. They are kept by the store, so that they survive the server: one that
//! ends in the middle is gone on with by whichever server comes next, from the last page that was finished.
//!
//! A page is listed, its jobs are changed in batches, and the place is written down. Between two batches four times as
//! much time passes as a batch takes, or as much as the rate asks for, so that claims go on. A job that a worker holds is refused by the
//! store and counted, never raced. A job that came to its end after the operation began is not touched again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use windlass_api::bulk::{Action, Bulk, BulkRequest, Preview, Stage};
use windlass_api::filter::FilterShape;
use windlass_api::job::JobRow;
use windlass_api::spell::rate;
use windlass_core::rate::Rate;
use windlass_core::store::{Page, PerItem, Store};
use windlass_core::{JobId, StoreError};

use crate::answer::Fault;
use crate::app::{App, Inner};
use crate::count;
use crate::fence::{Fence, Fenced};
use crate::kept::Place;

/// Where the store keeps them.
const PLACE: Place<Vec<Bulk>> = Place::new("windlass.bulk", "the list of operations");
/// Operations that are remembered, the newest: what a page of people shows.
const KEPT: usize = 50;
/// Operations at once: each takes from the store's time.
const OPEN_MOST: usize = 8;
/// Jobs of one page, after which the place is written down.
const PAGE: usize = 500;
/// Jobs changed in one step: few enough that a claim waits for no more than a few milliseconds.
const BATCH: usize = 100;
/// How many times as long as a step took passes before the next one: what is left of the store's time is claims'.
const GENTLY: u32 = 4;
/// Jobs looked at for one page.
const BUDGET: usize = 20_000;
/// Jobs looked at for a preview: some tenths of a second.
const PREVIEW_BUDGET: usize = 500_000;
/// Jobs that a preview shows.
const SAMPLE: usize = 5;
/// Refused jobs that are named.
const REFUSED_NAMED: usize = 20;
/// How long a server that says no more still has an operation.
const OWNED_MS: u64 = 15_000;
/// How often a server looks for operations that nobody has.
const LOOK: Duration = Duration::from_secs(5);

/// What this server knows of its own operations.
#[derive(Default)]
pub(crate) struct Desk {
    /// Rung when there is something to begin.
    rung: Notify,
    running: Mutex<HashSet<String>>,
}

/// All operations that the caller sees, oldest first: whoever is limited to queues sees those that are limited so.
pub(crate) async fn all(app: &App) -> Result<Vec<Bulk>, Fault> {
    let mut all = read(app).await?.0;
    all.retain(|bulk| is_seen(app, bulk));
    Ok(all)
}

fn is_seen(app: &App, bulk: &Bulk) -> bool {
    app.caller().queues().is_none_or(|queues| queues == bulk.queues)
}

async fn read(app: &App) -> Result<(Vec<Bulk>, u64), StoreError> {
    PLACE.read(app.by_itself().store().as_ref()).await
}

/// Changes the list.
async fn change<T>(app: &App, mut how: impl FnMut(&mut Vec<Bulk>) -> Result<T, Fault>) -> Result<T, Fault> {
    let change = |list: &mut Vec<Bulk>| {
        let answer = how(list)?;
        let ended = list.iter().filter(|bulk| !bulk.stage.is_open()).count();
        let mut surplus = ended.saturating_sub(KEPT);
        list.retain(|bulk| {
            let goes = surplus > 0 && !bulk.stage.is_open();
            surplus -= usize::from(goes);
            !goes
        });
        Ok(answer)
    };
    PLACE.change(app.by_itself().store().as_ref(), change).await
}

/// What the operation would do. Jobs are counted one by one, for no longer than that, unless a count says how many there
/// are.
pub(crate) async fn preview(
    app: &App,
    shape: &FilterShape,
    within: Option<Duration>,
) -> Result<Preview, Fault> {
    let filter = shape.filter(app.client().now()).map_err(Fault::bad_request)?;
    let mut seen = Preview { matched: 0, examined: 0, complete: false, sample: Vec::new() };
    if let Some(matched) = count::known(app, shape).await? {
        let page = app.store().list(filter, None, SAMPLE, BUDGET).await??;
        let sample = page.items.into_iter().map(JobRow::from).collect();
        return Ok(Preview { matched, examined: page.examined as u64, complete: true, sample });
    }
    let from = Instant::now();
    let mut cursor = None;
    while (seen.examined as usize) < PREVIEW_BUDGET && within.is_none_or(|most| from.elapsed() < most) {
        let page =
            app.store().list(filter.clone(), cursor, windlass_core::bounds::PAGE_MAX, BUDGET).await??;
        seen.matched += page.items.len() as u64;
        seen.examined += page.examined as u64;
        let room = SAMPLE - seen.sample.len().min(SAMPLE);
        seen.sample.extend(page.items.into_iter().take(room).map(JobRow::from));
        cursor = page.next;
        if cursor.is_none() {
            seen.complete = true;
            break;
        }
    }
    Ok(seen)
}

/// Begins an operation; it goes on by itself.
pub(crate) async fn begin(
    app: &App,
    id: JobId,
    request: BulkRequest,
    filter: FilterShape,
) -> Result<Bulk, Fault> {
    if let Some(text) = &request.rate {
        rate::parse(text).map_err(|why| Fault::bad_request(format!("rate: {why}")))?;
    }
    let expected = count::known(app, &filter).await?;
    // Looked at as whoever asks: what they may not name, or may not search, is refused and not begun.
    app.store().list(filter.filter(app.client().now()).map_err(Fault::bad_request)?, None, 1, 1).await??;
    let expect = request.expect;
    let mut bulk = Bulk {
        id: id.to_string(),
        action: request.action,
        filter,
        rate: request.rate,
        by: Some(app.caller().to_string()),
        queues: app.caller().queues().unwrap_or_default().to_vec(),
        stage: Stage::Running,
        why: None,
        began_at: app.client().now(),
        ended_at: None,
        expected,
        examined: 0,
        done: 0,
        refused: Default::default(),
        refused_first: Vec::new(),
        cursor: None,
        owner: None,
        owned_until: None,
        lost: 0,
    };
    if let Some(there) = repeated(&all(app).await?, &bulk)? {
        return Ok(there);
    }
    if let Some(expect) = expect {
        let seen = preview(app, &bulk.filter, None).await?;
        bulk.expected = seen.complete.then_some(seen.matched).or(bulk.expected);
        if seen.matched > expect.saturating_add(expect / 10) {
            let more = if seen.complete { "" } else { " or more" };
            let detail = format!("the filter means {}{more} jobs, and {expect} were expected", seen.matched);
            return Err(Fault::bad_request(detail).hint("look at a dry run, and name the jobs more closely"));
        }
    }
    let begun = change(app, |list| {
        if let Some(there) = repeated(list, &bulk)? {
            return Ok(there);
        }
        if list.iter().filter(|bulk| bulk.stage.is_open()).count() >= OPEN_MOST {
            let fault = Fault::new("too_many_operations", format!("{OPEN_MOST} operations are open already"));
            return Err(fault.hint("wait for one, or abort one"));
        }
        list.push(bulk.clone());
        Ok(bulk.clone())
    })
    .await?;
    app.desk().rung.notify_one();
    let meant = serde_json::to_string(&begun.filter).unwrap_or_default();
    app.note(&format!("begin operation {}: {} {meant}", begun.id, begun.action.as_str()));
    Ok(begun)
}

/// The operation of that id, if there is one: the request that began it has come again, or its key with another one.
fn repeated(list: &[Bulk], asked: &Bulk) -> Result<Option<Bulk>, Fault> {
    let Some(there) = list.iter().find(|bulk| bulk.id == asked.id) else { return Ok(None) };
    let same = (there.action, &there.filter, &there.rate) == (asked.action, &asked.filter, &asked.rate);
    if same {
        return Ok(Some(there.clone()));
    }
    let detail = format!("the key was used for another request, which began operation {}", there.id);
    Err(Fault::new("idempotency_key_reused", detail)
        .hint("give every request a key of its own, and the same one only to its repetition"))
}

/// Moves an operation to another stage, if it is open.
pub(crate) async fn steer(app: &App, id: &str, stage: Stage) -> Result<Bulk, Fault> {
    let now = app.client().now();
    let bulk = change(app, |list| {
        let bulk = list
            .iter_mut()
            .find(|bulk| bulk.id == id && is_seen(app, bulk))
            .ok_or_else(|| Fault::not_found(format!("operation {id}")))?;
        if bulk.stage.is_open() {
            bulk.stage = stage;
            bulk.ended_at = (!stage.is_open()).then_some(now);
        } else if bulk.stage != stage {
            return Err(Fault::bad_request(format!("the operation is {} already", bulk.stage.as_str())));
        }
        Ok(bulk.clone())
    })
    .await?;
    app.desk().rung.notify_one();
    app.note(&format!("operation {id} is {}", stage.as_str()));
    Ok(bulk)
}

/// Goes on with operations that nobody has, for as long as the server is there.
pub(crate) async fn keep(app: Weak<Inner>) {
    let me = format!("{:016x}", std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8));
    loop {
        let Some(app) = app.upgrade().map(App::of) else { return };
        let desk = app.shared_desk();
        let drain = app.drain().clone();
        match take_those_that_nobody_has(&app, &me).await {
            Ok(taken) => {
                for bulk in taken {
                    drain.waits_for(run(app.clone(), bulk, me.clone()));
                }
            }
            Err(fault) => tracing::debug!(why = fault.0.detail, "operations are not looked after"),
        }
        drop(app);
        tokio::select! {
            () = desk.rung.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = drain.begun() => return,
        }
    }
}

async fn take_those_that_nobody_has(app: &App, me: &str) -> Result<Vec<Bulk>, Fault> {
    let now = app.client().now();
    let free = |bulk: &Bulk| {
        let here = app.desk().running.lock().unwrap_or_else(PoisonError::into_inner).contains(&bulk.id);
        bulk.stage == Stage::Running && !here && bulk.owned_until.is_none_or(|until| until <= now)
    };
    if !read(app).await?.0.iter().any(free) {
        return Ok(Vec::new());
    }
    change(app, |list| {
        let mine = list.iter_mut().filter(|bulk| free(bulk)).map(|bulk| {
            // Whoever had it and ended in order has taken its name off.
            bulk.lost += u32::from(bulk.owner.is_some());
            bulk.owner = Some(me.to_owned());
            bulk.owned_until = Some(now.plus_ms(OWNED_MS));
            bulk.clone()
        });
        Ok(mine.collect())
    })
    .await
}

/// Goes through the jobs until all are done, or it is no longer this server's.
async fn run(app: App, bulk: Bulk, me: String) {
    let id = bulk.id.clone();
    app.desk().running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    if let Err(fault) = pages(&app, bulk, &me).await {
        let now = app.client().now();
        tracing::warn!(id, why = fault.0.detail, "an operation cannot go on");
        let failed = change(&app, |list| {
            if let Some(bulk) = list.iter_mut().find(|bulk| bulk.id == id && bulk.stage.is_open()) {
                (bulk.stage, bulk.why, bulk.ended_at) =
                    (Stage::Failed, Some(fault.0.detail.clone()), Some(now));
            }
            Ok(())
        });
        // Where the store is away, its owner's time runs out and somebody goes on with it.
        let _ = failed.await;
    }
    app.desk().running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
}

/// The store as whoever began the operation sees it; it goes on after their key.
fn store_of(app: &App, bulk: &Bulk) -> Result<Arc<dyn Store>, Fault> {
    let store = app.store().clone();
    if bulk.queues.is_empty() {
        return Ok(store);
    }
    let by = bulk.by.as_deref().unwrap_or_default();
    Ok(Arc::new(Fenced::limited(store, by, Fence::parse(&bulk.queues)?)))
}

async fn pages(app: &App, mut bulk: Bulk, me: &str) -> Result<(), Fault> {
    let store = store_of(app, &bulk)?;
    let filter = bulk.filter.filter(bulk.began_at).map_err(Fault::bad_request)?;
    let mut pace = Pace::new(bulk.rate.as_deref().map(rate::parse).transpose().map_err(Fault::bad_request)?);
    loop {
        let page: Page<_> = store.list(filter.clone(), bulk.cursor.clone(), PAGE, BUDGET).await??;
        bulk.examined += page.examined as u64;
        let ended_since =
            |job: &windlass_core::job::JobView| job.state.is_terminal() && job.since > bulk.began_at;
        let ids: Vec<JobId> = page.items.iter().filter(|job| !ended_since(job)).map(|job| job.id).collect();
        for batch in ids.chunks(pace.batch()) {
            let from = Instant::now();
            let answers = apply(store.as_ref(), bulk.action, batch.to_vec()).await?;
            for (job, answer) in batch.iter().zip(answers) {
                match answer {
                    Ok(()) => bulk.done += 1,
                    Err(refused) => {
                        *bulk.refused.entry(refused.code().to_owned()).or_default() += 1;
                        if bulk.refused_first.len() < REFUSED_NAMED {
                            bulk.refused_first.push((*job, refused.code().to_owned()));
                        }
                    }
                }
            }
            tokio::select! {
                () = pace.breathe(batch.len(), from.elapsed()) => {}
                () = app.drain().begun() => return hand_on(app, &mut bulk, me).await,
            }
            if !pace.is_quick() && !write_down(app, &mut bulk, me, Stage::Running).await? {
                return Ok(());
            }
        }
        let over = page.next.is_none();
        bulk.cursor = page.next;
        let stage = if over { Stage::Done } else { Stage::Running };
        if !write_down(app, &mut bulk, me, stage).await? || over {
            return Ok(());
        }
    }
}

/// Writes down how far it is; whether it is still to go on, here.
async fn write_down(app: &App, bulk: &mut Bulk, me: &str, stage: Stage) -> Result<bool, Fault> {
    let now = app.client().now();
    let told = bulk.clone();
    let kept = change(app, |list| {
        let Some(kept) = list.iter_mut().find(|kept| kept.id == told.id) else { return Ok(None) };
        if kept.owner.as_deref() != Some(me) {
            return Ok(None);
        }
        let was = kept.stage;
        *kept = Bulk { stage: was, ended_at: kept.ended_at, ..told.clone() };
        if was == Stage::Running {
            kept.stage = stage;
            kept.ended_at = (!stage.is_open()).then_some(now);
        }
        kept.owned_until = (kept.stage == Stage::Running).then(|| now.plus_ms(OWNED_MS));
        if kept.stage != Stage::Running {
            kept.owner = None;
        }
        Ok(Some(kept.clone()))
    })
    .await?;
    match kept {
        Some(kept) => {
            *bulk = kept;
            Ok(bulk.stage == Stage::Running)
        }
        None => Ok(false),
    }
}

/// Writes down how far it is, and lets another server go on with it at once.
async fn hand_on(app: &App, bulk: &mut Bulk, me: &str) -> Result<(), Fault> {
    write_down(app, bulk, me, Stage::Running).await?;
    change(app, |list| {
        if let Some(bulk) =
            list.iter_mut().find(|kept| kept.id == bulk.id && kept.owner.as_deref() == Some(me))
        {
            (bulk.owner, bulk.owned_until) = (None, None);
        }
        Ok(())
    })
    .await
}

async fn apply(store: &dyn Store, action: Action, ids: Vec<JobId>) -> Result<PerItem<()>, StoreError> {
    match action {
        Action::Retry => store.retry(ids, None).await,
        Action::RunNow => store.run_now(ids, None).await,
        Action::Delete => store.delete(ids, None).await,
        Action::Cancel => {
            let cancelled = store.cancel(ids, None).await?;
            Ok(cancelled.into_iter().map(|answer| answer.map(drop)).collect())
        }
    }
}

/// How fast it may go.
struct Pace {
    rate: Option<Rate>,
}

impl Pace {
    /// The shortest pause that is worth a timer.
    const PAUSE_MS: u64 = 100;

    fn new(rate: Option<Rate>) -> Self {
        Self { rate }
    }

    /// Whether a page is done in no time, so that its end is soon enough to look up.
    fn is_quick(&self) -> bool {
        self.rate.is_none()
    }

    /// Jobs of one step: at a rate, what may be done in a tenth of a second.
    fn batch(&self) -> usize {
        let Some(rate) = self.rate else { return BATCH };
        let jobs = u64::from(rate.count) * Self::PAUSE_MS / rate.period_ms.max(1);
        usize::try_from(jobs).unwrap_or(BATCH).clamp(1, BATCH)
    }

    /// Waits until the next step may come.
    async fn breathe(&mut self, jobs: usize, took: Duration) {
        let pause = match self.rate {
            Some(rate) => {
                let ms = jobs as u64 * rate.period_ms / u64::from(rate.count.max(1));
                Duration::from_millis(ms).saturating_sub(took)
            }
            None => took * GENTLY,
        };
        tokio::time::sleep(pause).await;
    }
}

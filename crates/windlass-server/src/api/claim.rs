//! What workers ask: claim, settle, heartbeat, report, watch.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use tokio::time::Instant;
use windlass_api::work::{
    BeatShape, ClaimRequest, ClaimedShape, HeartbeatRequest, Op, ReportRequest, ReportShape, SettleRequest,
    Settlement, SignalShape, Want, WatchRequest,
};
use windlass_core::fingerprint::fingerprint;
use windlass_core::store::{Claim, Claimed, PerItem, ReleaseReason, Settle, Signal, Watch};
use windlass_core::{QueueName, Rejection, WorkerId};

use crate::answer::{Answer, Fault, done, json, only, results, results_of};
use crate::app::{App, WAIT_MOST};
use crate::read;

/// `POST /v1/claim`: settles, then claims, and waits for a first job if it is asked to.
pub(crate) async fn claim(State(app): State<App>, body: Bytes) -> Answer {
    let request: ClaimRequest<'_> = read::json(&body)?;
    if request.queues.is_empty() && request.settle.is_empty() {
        let fault = Fault::bad_request("the claim names no queues, and settles nothing");
        return Err(fault.hint(r#"say of which queues jobs are wanted: {"queues":["email"],"wait":"20s"}"#));
    }
    let wait = request.wait.as_deref().map(read::wait_ms).transpose()?.unwrap_or(0);
    let max = request.max.unwrap_or(1);
    let wants: Vec<(QueueName, u32)> = request
        .queues
        .into_iter()
        .map(|want| match want {
            Want::Name(queue) => (queue, max),
            Want::Some { queue, max } => (queue, max),
        })
        .collect();
    let random = || app.client().new_id().0 as u64;
    let worker = request.worker.unwrap_or_else(|| WorkerId(random()));
    let nonce = match request.nonce {
        Some(text) => u64::from_str_radix(&text, 16).map_err(|_| {
            Fault::bad_request(format!("nonce: {text:?} is not a hexadecimal number of 64 bits"))
        })?,
        None => random(),
    };
    let settle = settlements(&app, request.settle).await?;
    let (settle_first, places) = split(settle);
    let claim = Claim { settle_first, wants: wants.clone(), worker, nonce };
    let mut claimed = ask(&app, claim).await?;
    let settled = places.merge(std::mem::take(&mut claimed.settled));
    let until = Instant::now() + Duration::from_millis(wait).min(WAIT_MOST);
    while claimed.jobs.is_empty()
        && !wants.is_empty()
        && wait_for_work(&app, worker, &wants, &claimed, until).await?
    {
        let claim = Claim { settle_first: Vec::new(), wants: wants.clone(), worker, nonce };
        claimed = ask(&app, claim).await?;
    }
    json(&ClaimedShape::of(&claimed, settled))
}

/// Whether it is worth asking again: something may be there, and the time is not over.
async fn wait_for_work(
    app: &App,
    worker: WorkerId,
    wants: &[(QueueName, u32)],
    claimed: &Claimed,
    until: Instant,
) -> Result<bool, Fault> {
    let now = Instant::now();
    if now >= until {
        return Ok(false);
    }
    let again =
        claimed.try_again_at.map(|at| now + Duration::from_millis(at.since(app.client().now()).max(1)));
    let watch = Watch { worker, queues: wants.to_vec() };
    tokio::select! {
        signal = app.store().watch(watch) => {
            signal?;
            Ok(true)
        }
        () = tokio::time::sleep_until(again.unwrap_or(until).min(until)) => {
            Ok(again.is_some_and(|again| again < until))
        }
        () = app.drain().begun() => Ok(false),
    }
}

/// Claims in a task of its own: when the asker has gone away before the answer, the jobs are given back at once.
async fn ask(app: &App, claim: Claim) -> Result<Claimed, Fault> {
    let store = app.store().clone();
    let (answer, answered) = tokio::sync::oneshot::channel();
    let (worker, nonce) = (claim.worker, claim.nonce);
    tokio::spawn(async move {
        let Err(Ok(claimed)) = answer.send(store.claim(claim, None).await) else { return };
        let give_back = |job: windlass_core::store::ClaimedJob| Settle::Release {
            lease: job.lease,
            reason: ReleaseReason::Unstarted,
        };
        let settle_first: Vec<Settle> = claimed.jobs.into_iter().map(give_back).collect();
        if !settle_first.is_empty() {
            let release = Claim { settle_first, wants: Vec::new(), worker, nonce };
            if let Err(error) = store.claim(release, None).await {
                tracing::debug!(%error, "jobs of a claim that nobody waited for are held until their leases run out");
            }
        }
    });
    match answered.await {
        Ok(claimed) => Ok(claimed?),
        Err(_) => Err(Fault::new("internal", "the claim was given up")),
    }
}

/// Each settlement as a store takes it, or what is wrong with it.
async fn settlements(app: &App, said: Vec<Settlement<'_>>) -> Result<Vec<Result<Settle, Rejection>>, Fault> {
    let said = read::batch(said)?;
    let now = app.client().now();
    let mut all = Vec::with_capacity(said.len());
    for settlement in said {
        let read = match settlement.settled(|| app.client().new_id(), now) {
            Ok(read) if read.lacks_fingerprint => Ok(with_fingerprint(app, read.settle).await?),
            Ok(read) => Ok(read.settle),
            Err(rejection) => Err(rejection),
        };
        all.push(read);
    }
    Ok(all)
}

/// A failure whose worker leaves it to the server which mode it belongs to: that takes the job's kind.
async fn with_fingerprint(app: &App, settle: Settle) -> Result<Settle, Fault> {
    let Settle::Fail { lease, mut error, retry_in_ms, fatal } = settle else { return Ok(settle) };
    if let Some(job) = app.store().get(lease.job).await? {
        error.fingerprint = fingerprint(job.view.kind.as_str(), error.class.as_deref(), &error.message);
    }
    Ok(Settle::Fail { lease, error, retry_in_ms, fatal })
}

/// Where the answers of a batch go, some of whose items have theirs already.
struct Places(Vec<Result<(), Rejection>>, Vec<usize>);

fn split(read: Vec<Result<Settle, Rejection>>) -> (Vec<Settle>, Places) {
    let (mut settle, mut answers, mut places) =
        (Vec::with_capacity(read.len()), Vec::with_capacity(read.len()), Vec::new());
    for (place, item) in read.into_iter().enumerate() {
        match item {
            Ok(item) => {
                settle.push(item);
                places.push(place);
                answers.push(Ok(()));
            }
            Err(rejection) => answers.push(Err(rejection)),
        }
    }
    (settle, Places(answers, places))
}

impl Places {
    fn merge(mut self, done: PerItem<()>) -> PerItem<()> {
        for (place, answer) in self.1.into_iter().zip(done) {
            self.0[place] = answer;
        }
        self.0
    }
}

async fn settle_all(app: &App, said: Vec<Settlement<'_>>) -> Result<PerItem<()>, Fault> {
    let (settle_first, places) = split(settlements(app, said).await?);
    if settle_first.is_empty() {
        return Ok(places.merge(Vec::new()));
    }
    let claim = Claim { settle_first, wants: Vec::new(), worker: WorkerId::default(), nonce: 1 };
    let claimed = app.store().claim(claim, None).await?;
    Ok(places.merge(claimed.settled))
}

/// `POST /v1/settle`: ends of attempts, of any kinds, in one step.
pub(crate) async fn settle(State(app): State<App>, body: Bytes) -> Answer {
    let request: SettleRequest<'_> = read::json(&body)?;
    results(settle_all(&app, request.settle).await?)
}

async fn settle_one(app: &App, id: &str, op: Op, body: &[u8]) -> Answer {
    let mut said: Settlement<'_> = read::json(body)?;
    let id = read::job_id(id)?;
    if said.id.is_some_and(|other| other != id) || said.op.is_some_and(|other| other != op) {
        return Err(Fault::bad_request("the body speaks of another job or end than the address"));
    }
    (said.id, said.op) = (Some(id), Some(op));
    only(settle_all(app, vec![said]).await?)?;
    done()
}

/// `POST /v1/jobs/{id}/complete`.
pub(crate) async fn complete(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    settle_one(&app, &id, Op::Complete, &body).await
}

/// `POST /v1/jobs/{id}/fail`.
pub(crate) async fn fail(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    settle_one(&app, &id, Op::Fail, &body).await
}

/// `POST /v1/jobs/{id}/snooze`.
pub(crate) async fn snooze(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    settle_one(&app, &id, Op::Snooze, &body).await
}

/// `POST /v1/jobs/{id}/release`.
pub(crate) async fn release(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    settle_one(&app, &id, Op::Release, &body).await
}

/// `POST /v1/heartbeat`: moves the deadlines of leases that are still current.
pub(crate) async fn heartbeat(State(app): State<App>, body: Bytes) -> Answer {
    let request: HeartbeatRequest = read::json(&body)?;
    let leases = read::batch(request.leases)?.into_iter().map(windlass_api::work::Held::lease).collect();
    results_of::<_, BeatShape>(app.store().heartbeat(leases, None).await?)
}

/// `POST /v1/jobs/{id}/heartbeat`: `{"lease":…}`.
pub(crate) async fn heartbeat_one(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    let said: ReportShape<'_> = read::json(&body)?;
    let beat = only(app.store().heartbeat(vec![said.lease.lease(read::job_id(&id)?)], None).await?)?;
    json(&BeatShape::from(beat))
}

/// `POST /v1/report`: progress, log and checkpoint of running attempts.
pub(crate) async fn report(State(app): State<App>, body: Bytes) -> Answer {
    let request: ReportRequest<'_> = read::json(&body)?;
    let reports =
        read::batch(request.reports)?.into_iter().map(ReportShape::report).collect::<Result<_, _>>()?;
    results(app.store().report(reports, None).await?)
}

/// `POST /v1/jobs/{id}/report`.
pub(crate) async fn report_one(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    let mut said: ReportShape<'_> = read::json(&body)?;
    said.id = Some(read::job_id(&id)?);
    only(app.store().report(vec![said.report()?], None).await?)?;
    done()
}

/// `POST /v1/watch`: answers when something concerns the worker, or when it is time to ask again.
pub(crate) async fn watch(State(app): State<App>, body: Bytes) -> Answer {
    let request: WatchRequest = read::json(&body)?;
    let queues = request.queues.into_iter().map(|slots| (slots.queue, slots.slots)).collect();
    let watch = Watch { worker: request.worker, queues };
    let signal = tokio::select! {
        signal = app.store().watch(watch) => match signal? {
            Signal::Drain => SignalShape::None,
            signal => signal.into(),
        },
        () = tokio::time::sleep(WAIT_MOST) => SignalShape::None,
        // It is the server that ends, not its workers: they ask again, and find whoever comes next.
        () = app.drain().begun() => SignalShape::None,
    };
    json(&signal)
}

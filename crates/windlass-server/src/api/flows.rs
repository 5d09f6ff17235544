//! Flows: jobs that wait for each other, enqueued in one step and seen as one.

use std::collections::{HashMap, HashSet, VecDeque};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use windlass_api::flow::{FlowEnqueued, FlowJob, FlowRequest, FlowShape, Named};
use windlass_api::work::{EnqueuedShape, JobRequest};
use windlass_core::bounds::{BATCH_ITEMS_MAX, PAGE_MAX};
use windlass_core::job::JobDetail;
use windlass_core::store::EnqueueStatus;
use windlass_core::{JobId, NewJob, Rejection};

use super::enqueue::enqueue;
use super::idempotency::Keyed;
use crate::answer::{Answer, Fault, json, json_with};
use crate::app::App;
use crate::read::{self, Pairs, job_id};

/// `POST /v1/flows`: all of its jobs, or none.
pub(crate) async fn begin(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let keyed = Keyed::of(&headers)?;
    let FlowRequest { jobs: Named(jobs) } = read::json(&body)?;
    if jobs.is_empty() || jobs.len() > BATCH_ITEMS_MAX {
        let why = format!("a flow has 1 to {BATCH_ITEMS_MAX} jobs, and this one {}", jobs.len());
        return Err(Rejection::Invalid { what: "batch", why }.into());
    }
    let mut read: Vec<(String, JobRequest<'_>)> = Vec::with_capacity(jobs.len());
    for (place, (name, job)) in jobs.into_iter().enumerate() {
        if name.is_empty() || name.contains('=') || name.parse::<JobId>().is_ok() {
            let why =
                format!("{name:?} is no name of a job in a flow: any text without = that is no job's id");
            return Err(Rejection::Invalid { what: "parents", why }.into());
        }
        let mut job: JobRequest<'_> =
            read::json(job.get().as_bytes()).map_err(|fault| of_job(fault, &name))?;
        job.id = Some(job.id.unwrap_or_else(|| keyed.id(&app, place)));
        read.push((name, job));
    }
    let ids: HashMap<String, JobId> =
        read.iter().filter_map(|(name, job)| Some((name.clone(), job.id?))).collect();
    let now = app.client().now();
    let mut new: Vec<NewJob> = Vec::with_capacity(read.len());
    let mut names = Vec::with_capacity(read.len());
    for (name, mut job) in read {
        for parent in job.after.iter_mut().flatten() {
            let (said, how) = parent.split_once('=').map_or((parent.as_ref(), None), |(a, b)| (a, Some(b)));
            if !ids.contains_key(said) && said.parse::<JobId>().is_err() {
                let why = format!("after: {said:?} is neither a job of this flow nor the id of another job");
                return Err(of_job(Rejection::Invalid { what: "parents", why }.into(), &name));
            }
            if let Some(id) = ids.get(said) {
                *parent = how.map_or_else(|| id.to_string(), |how| format!("{id}={how}")).into();
            }
        }
        let made = job.job(None, app.client().new_id(), now);
        new.push(made.map_err(|refused| of_job(refused.into(), &name))?);
        names.push(name);
    }
    keyed.expect(&app, &new).await?;
    let answers = enqueue(&app, new.iter().cloned().map(Ok).collect(), true).await?;
    keyed.confirm(&app, &new, &answers).await?;
    // One refusal refuses all; the others only say so.
    let cause = answers.iter().zip(&names).find_map(|(answer, name)| match answer {
        Err(Rejection::BatchRefused) | Ok(_) => None,
        Err(refused) => Some(of_job(refused.clone().into(), name)),
    });
    if let Some(fault) = cause {
        return Err(fault);
    }
    let mut jobs = Vec::with_capacity(names.len());
    let mut status = StatusCode::OK;
    for (name, answer) in names.into_iter().zip(answers) {
        let enqueued = answer?;
        if enqueued.status == EnqueueStatus::Created {
            status = StatusCode::CREATED;
        }
        jobs.push((name, EnqueuedShape::from(enqueued)));
    }
    json_with(status, &FlowEnqueued { jobs: Named(jobs) })
}

/// A fault with the name of the job that has it.
fn of_job(mut fault: Fault, name: &str) -> Fault {
    fault.0.detail = format!("{name}: {}", fault.0.detail);
    fault.0.more.insert("job".into(), name.into());
    fault
}

/// Jobs of a flow that are shown unless said.
const USUAL: usize = 100;

/// `GET /v1/jobs/{id}/flow`: the job, those it waits for and those that wait for it, near and far.
pub(crate) async fn of(State(app): State<App>, Path(id): Path<String>, mut query: Pairs) -> Answer {
    let limit = read::between("limit", query.take_value("limit")?.unwrap_or(USUAL), PAGE_MAX)?;
    query.end("limit")?;
    let id = job_id(&id)?;
    let mut found: Vec<JobDetail> = Vec::new();
    let mut gone = 0;
    let (mut named, mut rest) = (HashSet::from([id]), VecDeque::from([id]));
    while found.len() < limit
        && let Some(next) = rest.pop_front()
    {
        let Some(job) = app.store().get(next).await? else {
            gone += 1;
            continue;
        };
        for relative in job.parents.iter().map(|parent| parent.id).chain(job.children.iter().copied()) {
            // What will not be shown need not all be named.
            if named.len() < limit + BATCH_ITEMS_MAX && named.insert(relative) {
                rest.push_back(relative);
            }
        }
        found.push(job);
    }
    if found.is_empty() {
        return Err(Fault::not_found(format!("job {id}")));
    }
    let jobs = parents_first(found);
    json(&FlowShape { id, jobs, complete: rest.is_empty(), beyond: rest.into(), gone })
}

/// Jobs in an order in which each stands behind those that it waits for. A store lets no cycle in.
fn parents_first(found: Vec<JobDetail>) -> Vec<FlowJob> {
    let order = {
        let edges: Vec<NewJob> = found
            .iter()
            .map(|job| NewJob {
                parents: job.parents.clone(),
                ..NewJob::new(job.view.id, job.view.queue.clone(), job.view.kind.clone(), Vec::new())
            })
            .collect();
        let (order, left) = windlass_core::flow::sort(&edges);
        order.into_iter().chain(left)
    };
    let mut found: Vec<Option<JobDetail>> = found.into_iter().map(Some).collect();
    order
        .filter_map(|place| found.get_mut(place)?.take())
        .map(|job| FlowJob { row: job.view.into(), parents: job.parents })
        .collect()
}

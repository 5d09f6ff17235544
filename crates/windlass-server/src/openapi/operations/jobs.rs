//! Jobs as people see and change them.

use schemars::json_schema;
use serde_json::json;
use windlass_api::filter::CONDITIONS;
use windlass_api::flow::FlowShape;
use windlass_api::job::{JobRecord, JobRow, WhyRecord};
use windlass_api::page::{Done, PageShape};
use windlass_api::schema::{IdsText, Past, StatesText};
use windlass_api::work::{CancelledShape, EditRequest, EditShape, Ids, Results};
use windlass_core::bounds::LIST_BUDGET_MAX;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::name::Tag;
use windlass_core::{GroupKey, Kind, QueueName};

use super::super::operation::{Operation, delete, get, patch, post};
use super::super::schemas::{Make, of};
use super::{PageLength, spelled};
use crate::api::jobs::{Bodies, SearchRequest};

spelled! {
    /// How many jobs a page looks at.
    Budget |_schemas| json_schema!({ "type": "integer", "minimum": 1, "maximum": LIST_BUDGET_MAX, "default": 10_000 });
}

/// The schema of a condition's value.
fn condition(name: &str) -> Make {
    match name {
        "queue" => of::<QueueName>,
        "state" => of::<StatesText>,
        "group" => of::<GroupKey>,
        "kind" => of::<Kind>,
        "fingerprint" => of::<Fingerprint>,
        "tag" => of::<Tag>,
        "after" | "before" => of::<Past>,
        "id" => of::<IdsText>,
        _ => of::<String>,
    }
}

pub(super) fn operations() -> Vec<Operation> {
    let id = "01a20349-19a4-7000-a26a-6a7218659a2a";
    let many = |path, name, summary| {
        post(path, name, summary)
            .takes::<Ids>(json!({ "ids": [id] }))
            .answers::<Results<Done>>(200, "An answer for each job, in order.")
            .refuses(&["invalid"])
    };
    let mut list = get("/v1/jobs", "listJobs", "One page of the jobs that a filter means")
        .detail("A page looks at a bounded number of jobs and says how many; `next` goes on where it stopped, also when the page is not full.")
        .query::<String>("filter", "Conditions with spaces between them that must all hold: `queue:email state:dead`.");
    for (name, about) in CONDITIONS {
        list = list.query_of(name, about, condition(name));
    }
    vec![
        list.query::<String>("cursor", "What the last page gave as `next`.")
            .query::<PageLength>("limit", "Jobs of the page.")
            .query::<Budget>("budget", "Jobs that are looked at.")
            .answers::<PageShape<JobRow>>(200, "The page.")
            .refuses(&["bad_cursor"]),
        post("/v1/jobs/search", "searchJobs", "The same with the filter in the body")
            .may_take::<SearchRequest<'static>>(
                json!({ "filter": { "queue": "email", "state": "dead" }, "limit": 100 }),
            )
            .answers::<PageShape<JobRow>>(200, "The page.")
            .refuses(&["bad_cursor"]),
        post("/v1/jobs/bodies", "getBodies", "What jobs bring to their handlers")
            .detail("As many of the first ones as fit in 8 MiB, one at least; ask again for the rest.")
            .takes::<Ids>(json!({ "ids": [id] }))
            .answers::<Bodies>(200, "In the order asked; null for one that is not known."),
        get("/v1/jobs/{id}", "getJob", "Everything about one job")
            .answers::<JobRecord>(200, "The job.")
            .refuses(&["not_found"]),
        get("/v1/jobs/{id}/why", "whyJob", "Why a job is not running")
            .answers::<WhyRecord>(200, "The reason.")
            .refuses(&["not_found", "wrong_state"]),
        get(
            "/v1/jobs/{id}/flow",
            "getFlow",
            "The jobs that a job waits for and those that wait for it, near and far",
        )
        .query::<PageLength>("limit", "Jobs that are shown; 100 unless said.")
        .answers::<FlowShape>(200, "The jobs, parents before their children.")
        .refuses(&["not_found"]),
        get("/v1/jobs/{id}/attempts/{attempt}/log", "getLog", "What the handler of an attempt wrote")
            .answers_as(200, "The log.", "text/plain", None)
            .refuses(&["not_found"]),
        patch("/v1/jobs/{id}", "editJob", "Changes a job that is not running; what is not said stays")
            .may_take::<EditShape<'static>>(json!({ "payload": { "to": "b@b.c" }, "priority": 5 }))
            .done()
            .refuses(&["not_found", "wrong_state"]),
        delete("/v1/jobs/{id}", "deleteJob", "Removes a job with its history").done().refuses(&[
            "not_found",
            "wrong_state",
            "has_live_children",
        ]),
        post("/v1/jobs/{id}/cancel", "cancelJob", "Cancels a job; a running one is asked to stop")
            .answers::<CancelledShape>(200, "Whether it is cancelled, or asked to stop.")
            .refuses(&["not_found", "wrong_state"]),
        post("/v1/jobs/{id}/retry", "retryJob", "Gives an ended job another life").done().refuses(&[
            "not_found",
            "wrong_state",
            "unique_conflict",
        ]),
        post("/v1/jobs/{id}/run-now", "runJobNow", "Makes a scheduled or retrying job ready")
            .done()
            .refuses(&["not_found", "wrong_state"]),
        post("/v1/jobs/cancel", "cancelJobs", "Cancels jobs; running ones are asked to stop")
            .takes::<Ids>(json!({ "ids": [id] }))
            .answers::<Results<CancelledShape>>(200, "An answer for each job, in order.")
            .refuses(&["invalid"]),
        many("/v1/jobs/retry", "retryJobs", "Gives ended jobs another life"),
        many("/v1/jobs/run-now", "runJobsNow", "Makes scheduled and retrying jobs ready"),
        many("/v1/jobs/delete", "deleteJobs", "Removes jobs with their history"),
        post("/v1/jobs/edit", "editJobs", "Changes jobs that are not running")
            .takes::<EditRequest<'static>>(json!({ "edits": [{ "id": id, "priority": 5 }] }))
            .answers::<Results<Done>>(200, "An answer for each change, in order.")
            .refuses(&["invalid"]),
    ]
}

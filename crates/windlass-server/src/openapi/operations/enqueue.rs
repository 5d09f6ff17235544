//! Jobs come in.

use schemars::json_schema;
use serde_json::json;
use windlass_api::flow::{FlowEnqueued, FlowRequest};
use windlass_api::schema::{ConflictText, Instant, LimitText, ParentText, RetryText, Span, UniqueText};
use windlass_api::work::{EnqueuedShape, JobRequest, Results};
use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::name::{Tag, UniqueKey};
use windlass_core::{GroupKey, JobId, Kind};

use super::super::operation::{NDJSON, Operation, post};
use super::super::schemas::of;
use super::spelled;
use crate::api::enqueue::Batch;
use crate::api::ndjson::Told;

/// What a batch of jobs may be refused for as a whole.
const ONE: [&str; 8] = [
    "invalid",
    "queue_full",
    "out_of_space",
    "cost_too_high",
    "bad_parents",
    "unique_conflict",
    "bad_json",
    "too_large",
];

spelled! {
    /// Items of a list of jobs.
    Listed |schemas| json_schema!({
        "description": "A job. One that cannot be read is refused by itself, and stops no other.",
        "anyOf": [schemas.subschema_for::<JobRequest<'static>>(), {}],
    });
    /// The body of `POST /v1/jobs`.
    OneOrMore |schemas| json_schema!({
        "oneOf": [
            schemas.subschema_for::<JobRequest<'static>>(),
            { "type": "array", "items": schemas.subschema_for::<Listed>(), "maxItems": BATCH_ITEMS_MAX },
        ],
    });
    /// What `POST /v1/jobs` answers with 200.
    KnownOrResults |schemas| json_schema!({
        "oneOf": [
            schemas.subschema_for::<EnqueuedShape>(),
            schemas.subschema_for::<Results<EnqueuedShape>>(),
        ],
    });
    /// Any JSON.
    AnyJson |_schemas| json_schema!(true);
    /// Priorities.
    Priority |_schemas| json_schema!({ "type": "integer", "minimum": -9, "maximum": 9 });
}

pub(super) fn operations() -> Vec<Operation> {
    let job = json!({ "queue": "email", "payload": { "to": "a@b.c" }, "delay": "10m", "tags": ["a"], "limits": ["smtp=2"] });
    vec![
        post("/v1/queues/{queue}/jobs", "enqueuePayload", "Enqueues the body as a payload")
            .detail("The body may be any bytes; the query has the job's options. The job is durable at the store's level when the answer comes.")
            .query::<Kind>("kind", "Its kind; the queue's name unless said.")
            .query::<JobId>("id", "An id of one's own: the same id sent twice is one job.")
            .query::<GroupKey>("group", "The group that it shares its queue in.")
            .query::<Priority>("priority", "Higher first.")
            .query::<Span>("delay", "Not before that long from now.")
            .query::<Instant>("run_at", "Not before that time; excludes `delay`.")
            .query::<Span>("expires_in", "Cancelled if it has not started that long from now.")
            .query::<Instant>("expires_at", "Cancelled if it has not started by that time; excludes `expires_in`.")
            .query::<Span>("timeout", "How long one attempt may take.")
            .query::<UniqueKey>("unique", "At most one live job with this key.")
            .query::<UniqueText>("unique_for", "How long the key is kept; needs `unique`.")
            .query::<ConflictText>("on_conflict", "What to do when the key is taken; needs `unique`.")
            .query_list::<LimitText>("limit", "A named limit that it takes when it starts, up to four.")
            .query_list::<ParentText>("after", "A job that it waits for.")
            .query_list::<Tag>("tag", "For people and filters, up to eight.")
            .query::<u32>("max_failures", "Failures at which it is dead; excludes `retry`.")
            .query::<RetryText>("retry", "Its own retry policy.")
            .query::<String>("trace", "W3C trace context of its enqueuer.")
            .takes_bytes("application/octet-stream")
            .takes_as("application/json", of::<AnyJson>, json!({ "to": "a@b.c" }))
            .optional_body()
            .answers::<EnqueuedShape>(201, "A new job; `Location` is its address.")
            .answers::<EnqueuedShape>(200, "The job was there already, or holds the unique key.")
            .keyed()
            .refuses(&ONE)
            .refuses(&["unsupported_media_type"]),
        post("/v1/jobs", "enqueue", "Enqueues a job, up to 1,000 of them, or lines without end")
            .detail("A list answers for each of its jobs in order. Lines are read while the store has room; each refused one is told at once, and the last line of the answer counts them.")
            .query::<bool>("all_or_nothing", "Of a list: one refused job refuses all.")
            .takes_as("application/json", of::<OneOrMore>, job.clone())
            .optional_body()
            .takes_lines::<Listed>()
            .answers::<EnqueuedShape>(201, "One new job; `Location` is its address.")
            .answers::<KnownOrResults>(200, "One job that was there already; or of a list an answer for each; or of lines those that were refused, and a count.")
            .answers_as(200, "", NDJSON, Some(of::<Told>))
            .keyed()
            .refuses(&ONE),
        post("/v1/jobs/batch", "enqueueBatch", "Enqueues up to 1,000 jobs in one step")
            .query::<bool>("all_or_nothing", "One refused job refuses all.")
            .takes::<Batch<'static>>(json!({ "jobs": [job] }))
            .answers::<Results<EnqueuedShape>>(200, "An answer for each job, in order.")
            .keyed()
            .refuses(&["invalid"]),
        post("/v1/flows", "enqueueFlow", "Enqueues jobs that wait for each other, all or none")
            .detail("A job names those that it waits for in `after`: by their names in this request, or by the ids of jobs that there are. The first refusal refuses all, and its problem says in `job` whose it is.")
            .takes::<FlowRequest<'static>>(json!({ "jobs": {
                "extract": { "queue": "etl" },
                "load": { "queue": "etl", "after": ["extract"] },
                "tell": { "queue": "email", "after": ["load=always"], "payload": { "to": "a@b.c" } },
            } }))
            .answers::<FlowEnqueued>(201, "What became of each job, under its name.")
            .answers::<FlowEnqueued>(200, "The same of a flow that was there already.")
            .keyed()
            .refuses(&ONE),
    ]
}

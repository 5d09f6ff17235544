//! Jobs are claimed, and their attempts end.

use serde_json::json;
use windlass_api::page::Done;
use windlass_api::store::{HelloShape, WorkerShape};
use windlass_api::work::{
    BeatShape, ClaimRequest, ClaimedShape, HeartbeatRequest, ReportRequest, ReportShape, Results,
    SettleRequest, Settlement, SignalShape, WatchRequest,
};

use super::super::operation::{Operation, delete, get, post};
use crate::answer::Items;

/// What the end of one attempt may be refused for.
const ENDS: [&str; 4] = ["stale", "wrong_state", "too_many_snoozes", "out_of_space"];

pub(super) fn operations() -> Vec<Operation> {
    let id = "01a20349-19a4-7000-a26a-6a7218659a2a";
    let lease = "1.1.9e3779b97f4a7c15";
    let one = |path, name, summary, example| {
        post(path, name, summary)
            .takes::<Settlement<'static>>(example)
            .done()
            .refuses(&ENDS)
            .refuses(&["invalid"])
    };
    vec![
        post("/v1/claim", "claim", "Settles what ended, then claims jobs, in one step")
            .detail("With `wait` it waits up to 30 s for a first job. When whoever asked has gone away before the answer, the jobs are given back at once, no try spent.")
            .takes::<ClaimRequest<'static>>(json!({ "queues": ["email", { "queue": "sms", "max": 3 }], "max": 10 }))
            .answers::<ClaimedShape<'static>>(200, "What became of the settlements, and the jobs, each under its lease.")
            .refuses(&["invalid"]),
        post("/v1/settle", "settle", "Ends attempts, of any kinds, in one step")
            .takes::<SettleRequest<'static>>(json!({ "settle": [{ "op": "complete", "id": id, "lease": lease, "result": { "sent": 1 } }] }))
            .answers::<Results<Done>>(200, "An answer for each settlement, in order.")
            .refuses(&["invalid"]),
        one("/v1/jobs/{id}/complete", "complete", "The attempt ended well", json!({ "lease": lease, "result": { "sent": 1 } }))
            .refuses(&["queue_full", "cost_too_high", "bad_parents", "unique_conflict", "batch_refused"]),
        one("/v1/jobs/{id}/fail", "fail", "The attempt failed: it is tried again by its policy, or dead", json!({ "lease": lease, "error": "timed out" })),
        one("/v1/jobs/{id}/snooze", "snooze", "Later; neither failure nor loss", json!({ "lease": lease, "delay": "10m", "reason": "not yet" })),
        one("/v1/jobs/{id}/release", "release", "Given back; neither failure nor loss", json!({ "lease": lease, "reason": "shutdown" })),
        post("/v1/heartbeat", "heartbeat", "Moves the deadlines of leases")
            .takes::<HeartbeatRequest>(json!({ "leases": [{ "id": id, "lease": lease }] }))
            .answers::<Results<BeatShape>>(200, "An answer for each lease, in order; `stale` means: stop, and say nothing more.")
            .refuses(&["invalid"]),
        post("/v1/jobs/{id}/heartbeat", "heartbeatOne", "Moves the deadline of one lease")
            .takes::<ReportShape<'static>>(json!({ "lease": lease }))
            .answers::<BeatShape>(200, "The new deadline, and whether the job was asked to stop.")
            .refuses(&["stale"]),
        post("/v1/report", "report", "Progress, log and checkpoint of running attempts")
            .takes::<ReportRequest<'static>>(json!({ "reports": [{ "id": id, "lease": lease, "progress": { "percent": 40 } }] }))
            .answers::<Results<Done>>(200, "An answer for each report, in order.")
            .refuses(&["invalid"]),
        post("/v1/jobs/{id}/report", "reportOne", "Progress, log and checkpoint of one running attempt")
            .takes::<ReportShape<'static>>(json!({ "lease": lease, "progress": { "percent": 40, "message": "half" }, "log": "one line\n" }))
            .done()
            .refuses(&["stale", "invalid"]),
        post("/v1/watch", "watch", "Waits until something concerns a worker")
            .detail("It answers after 30 s when nothing does; then it is time to ask again.")
            .takes::<WatchRequest>(json!({ "worker": "w-00000000000000a1", "queues": [{ "queue": "email", "slots": 4 }] }))
            .answers::<SignalShape>(200, "What happened."),
        post("/v1/workers", "hello", "A worker is there")
            .takes::<HelloShape>(json!({ "worker": "w-00000000000000a1", "host": "mail-1", "version": "1.4", "queues": [{ "queue": "email", "slots": 4 }] }))
            .done(),
        delete("/v1/workers/{worker}", "bye", "A worker is gone")
            .detail("Its leases stay until they are settled or run out.")
            .done(),
        get("/v1/workers", "listWorkers", "The workers that said hello and not bye")
            .answers::<Items<WorkerShape>>(200, "The workers."),
    ]
}

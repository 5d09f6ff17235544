//! All jobs that a filter means.

use serde_json::json;
use windlass_api::bulk::{Bulk, BulkRequest, Preview};

use super::super::operation::{Operation, get, post};
use crate::answer::Items;

pub(super) fn operations() -> Vec<Operation> {
    let steer = |path, name, summary| {
        post(path, name, summary).answers::<Bulk>(200, "The operation.").refuses(&["not_found"])
    };
    vec![
        get("/v1/bulk", "listBulk", "The operations that go on, and the last ones that ended")
            .answers::<Items<Bulk>>(200, "The operations, oldest first."),
        post(
            "/v1/bulk",
            "beginBulk",
            "Begins an operation on all jobs that a filter means; it goes on by itself",
        )
        .takes::<BulkRequest>(
            json!({ "action": "retry", "filter": "queue:email state:dead", "dry_run": true }),
        )
        .answers::<Preview>(200, "What it would do: of a dry run.")
        .answers::<Bulk>(202, "The operation, begun.")
        .keyed(),
        get("/v1/bulk/{id}", "getBulk", "One operation")
            .answers::<Bulk>(200, "The operation.")
            .refuses(&["not_found"]),
        steer("/v1/bulk/{id}/pause", "pauseBulk", "Stops an operation for a while"),
        steer("/v1/bulk/{id}/resume", "resumeBulk", "Lets a paused operation go on"),
        steer("/v1/bulk/{id}/abort", "abortBulk", "Ends an operation; what was done stays done"),
    ]
}

//! Where queues' jobs are pushed.

use serde_json::json;
use windlass_api::target::{RotateRequest, TargetRequest, TargetShape};

use super::super::operation::{Operation, delete, get, post, put};
use crate::answer::Items;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/targets", "listTargets", "The targets of all queues")
            .answers::<Items<TargetShape>>(200, "The targets, by queue."),
        get("/v1/queues/{queue}/target", "getTarget", "Where the jobs of a queue are pushed, and how that goes")
            .answers::<TargetShape>(200, "The target.")
            .refuses(&["not_found"]),
        put(
            "/v1/queues/{queue}/target",
            "setTarget",
            "Has the server send each job of a queue to an address, signed by Standard Webhooks",
        )
        .detail("Sets all of it; secrets that are not said stay. A secret that was made is in the answer this once.")
        .takes::<TargetRequest>(json!({
            "url": "https://example.com/jobs",
            "concurrency": 5,
            "timeout": "30s",
            "headers": { "authorization": "Bearer abc" },
        }))
        .answers::<TargetShape>(200, "The target.")
        .refuses(&["target_forbidden"]),
        delete("/v1/queues/{queue}/target", "removeTarget", "Sends the jobs of a queue nowhere any more")
            .done()
            .refuses(&["not_found"]),
        post(
            "/v1/queues/{queue}/target/rotate",
            "rotateTargetSecret",
            "Makes a new secret; the old one signs beside it for a while",
        )
        .may_take::<RotateRequest>(json!({ "keep": "1h" }))
        .answers::<TargetShape>(200, "The target, with the secret, which is shown this once.")
        .refuses(&["not_found"]),
    ]
}

//! Queues, their groups, and named limits.

use serde_json::json;
use windlass_api::page::PageShape;
use windlass_api::queue::{GroupShape, LimitShape, QueueSeriesShape, QueueShape};
use windlass_api::schema::Span;
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::{GroupKey, LimitName};

use super::super::operation::{Operation, delete, get, patch, post, put};
use super::PageLength;
use crate::answer::Items;
use crate::api::queues::Scale;

pub(super) fn operations() -> Vec<Operation> {
    let settings = json!({ "concurrency": 40, "rate": { "count": 100, "period_ms": 60_000, "burst": 20 } });
    let set_group = |path, name, summary| {
        put(path, name, summary).may_take::<GroupSettings>(json!({ "weight": 7, "concurrency": 3 })).done()
    };
    vec![
        get("/v1/queues", "listQueues", "All queues").answers::<Items<QueueShape>>(200, "The queues."),
        get("/v1/queues/{queue}", "getQueue", "One queue")
            .answers::<QueueShape>(200, "The queue.")
            .refuses(&["not_found"]),
        get("/v1/queues/{queue}/scale", "scaleQueue", "How many jobs of a queue should run at once")
            .detail("For autoscalers: so that what is ready is done within the target, by Little's law.")
            .query::<Span>("target", "Within which time what is ready should be done; 1m unless said.")
            .answers::<Scale>(200, "What there is, and what should be.")
            .refuses(&["not_found"]),
        get(
            "/v1/queues/{queue}/series",
            "getSeries",
            "Enqueues, completions and failures by second, minute and hour",
        )
        .answers::<QueueSeriesShape>(200, "The charts.")
        .refuses(&["not_found"]),
        put("/v1/queues/{queue}/settings", "setQueue", "Sets all settings; what is not said has its default")
            .may_take::<QueueSettings>(settings.clone())
            .done(),
        patch(
            "/v1/queues/{queue}/settings",
            "changeQueue",
            "Changes what is said of the settings; the rest stays (RFC 7396)",
        )
        .may_take::<QueueSettings>(settings)
        .answers::<QueueSettings>(200, "The settings as they are now."),
        post(
            "/v1/queues/{queue}/pause",
            "pauseQueue",
            "Nothing is claimed from the queue; running jobs go on",
        )
        .done(),
        post("/v1/queues/{queue}/resume", "resumeQueue", "Jobs are claimed from the queue again").done(),
        get("/v1/queues/{queue}/groups", "listGroups", "One page of a queue's groups, by key")
            .query::<GroupKey>("after", "What the last page gave as `next`.")
            .query::<PageLength>("limit", "Groups of the page.")
            .answers::<PageShape<GroupShape>>(200, "The page."),
        set_group(
            "/v1/queues/{queue}/groups/{group}/settings",
            "setGroup",
            "Gives a group settings of its own",
        ),
        delete(
            "/v1/queues/{queue}/groups/{group}/settings",
            "resetGroup",
            "The group has the queue's defaults again",
        )
        .done(),
        set_group(
            "/v1/queues/{queue}/ungrouped/settings",
            "setUngrouped",
            "Gives the jobs without a group settings of their own",
        ),
        delete(
            "/v1/queues/{queue}/ungrouped/settings",
            "resetUngrouped",
            "The jobs without a group have the queue's defaults again",
        )
        .done(),
        get("/v1/limits", "listLimits", "One page of the named limits, by name")
            .query::<LimitName>("after", "What the last page gave as `next`.")
            .query::<PageLength>("limit", "Limits of the page.")
            .answers::<PageShape<LimitShape>>(200, "The page."),
        put("/v1/limits/{limit}", "setLimit", "Sets a named limit that jobs of any queue share")
            .may_take::<LimitSettings>(json!({ "concurrency": 10 }))
            .done(),
        delete("/v1/limits/{limit}", "removeLimit", "The limit admits everything")
            .done()
            .refuses(&["not_found"]),
    ]
}

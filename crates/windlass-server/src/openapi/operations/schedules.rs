//! Jobs on a clock.

use serde_json::json;
use windlass_api::schedule::{ScheduleRequest, ScheduleShape};

use super::super::operation::{Operation, delete, get, put};
use crate::answer::Items;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/schedules", "listSchedules", "All schedules").answers::<Items<ScheduleShape>>(200, "The schedules."),
        get("/v1/schedules/{schedule}", "getSchedule", "One schedule")
            .answers::<ScheduleShape>(200, "The schedule, with its next ticks.")
            .refuses(&["not_found"]),
        put("/v1/schedules/{schedule}", "setSchedule", "Creates or changes a schedule")
            .detail("What was read of one can be changed and sent back: what only the store knows of it is ignored.")
            .takes::<ScheduleRequest>(json!({
                "timing": { "cron": { "expression": "0 9 * * MON-FRI", "time_zone": "Europe/Berlin" } },
                "queue": "reports",
                "payload": { "report": "daily" },
            }))
            .done(),
        delete("/v1/schedules/{schedule}", "removeSchedule", "Removes a schedule; jobs that it made stay")
            .done()
            .refuses(&["not_found"]),
    ]
}

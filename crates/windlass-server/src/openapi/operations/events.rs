//! What has happened, and failure modes.

use schemars::json_schema;
use serde_json::json;
use windlass_api::event::{EventPageShape, FailureModeShape, ReaderShape};
use windlass_api::schema::Span;
use windlass_core::QueueName;
use windlass_core::event::Cursor;

use super::super::operation::{Operation, delete, get, put};
use super::{PageLength, spelled};
use crate::answer::Items;

spelled! {
    /// Where a read of the log begins.
    Place |schemas| json_schema!({
        "anyOf": [{ "enum": ["earliest", "latest"] }, schemas.subschema_for::<Cursor>()],
    });
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/events", "readEvents", "A stretch of the event log, or all events as they happen")
            .detail("With `Accept: text/event-stream` it goes on as events happen, from `latest` unless said; each has its cursor as `id`.")
            .query::<Place>("from", "`earliest` unless said, `latest`, or the cursor behind which to go on.")
            .query::<PageLength>("limit", "Events of the stretch.")
            .query::<Span>("wait", "How long to wait for a first event, up to 30 s.")
            .query::<u64>("wait_ms", "The same in milliseconds.")
            .header::<Cursor>("Last-Event-ID", "Of a stream: go on behind that event.")
            .answers::<EventPageShape>(200, "The events, and where to go on.")
            .answers_as(200, "", "text/event-stream", None)
            .refuses(&["bad_cursor"]),
        get("/v1/readers", "listReaders", "Readers whose place holds back the trimming of the log")
            .answers::<Items<ReaderShape>>(200, "The readers."),
        put("/v1/readers/{reader}", "setReader", "Registers a reader, or moves its place")
            .takes::<ReaderShape>(json!({ "name": "archive", "cursor": "0000000000000001-0", "keeps_from": null }))
            .done(),
        delete("/v1/readers/{reader}", "removeReader", "Forgets a reader").done(),
        get("/v1/errors", "listErrors", "Failure modes, most dead first")
            .query::<QueueName>("queue", "Of this queue; of all unless said.")
            .query::<PageLength>("limit", "Modes at most.")
            .answers::<Items<FailureModeShape>>(200, "The modes."),
    ]
}

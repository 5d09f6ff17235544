//! What has happened, and failure modes.

use schemars::json_schema;
use serde_json::json;
use windlass_api::event::{EventPageShape, ReaderShape};
use windlass_api::failure::{FailureState, MarkedFailureMode};
use windlass_api::schema::Span;
use windlass_core::QueueName;
use windlass_core::event::Cursor;

use super::super::operation::{Operation, delete, get, post, put};
use super::{PageLength, spelled};
use crate::answer::Items;

spelled! {
    /// Where a read of the log begins.
    Place |schemas| json_schema!({
        "anyOf": [{ "enum": ["earliest", "latest"] }, schemas.subschema_for::<Cursor>()],
    });
}

pub(super) fn operations() -> Vec<Operation> {
    let say = |path, name, summary| {
        post(path, name, summary)
            .answers::<Items<MarkedFailureMode>>(200, "The mode in each queue that knows it.")
            .refuses(&["not_found", "forbidden"])
    };
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
            .query::<FailureState>("state", "Of this state; of all unless said.")
            .answers::<Items<MarkedFailureMode>>(200, "The modes."),
        say("/v1/errors/{fingerprint}/mute", "muteError", "A failure mode is known, and nobody wants to hear of it"),
        say("/v1/errors/{fingerprint}/resolve", "resolveError", "A failure mode was dealt with; it regresses if it comes again"),
        say("/v1/errors/{fingerprint}/reopen", "reopenError", "Takes back what was said of a failure mode"),
    ]
}

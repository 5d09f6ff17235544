//! The server itself and its store.

use schemars::json_schema;
use serde_json::json;
use windlass_api::store::{UpkeepRequest, UpkeepShape, Version, Versioned};
use windlass_core::store::StoreInfo;

use super::super::operation::{Operation, get, post, put};
use super::spelled;

spelled! {
    /// A document of OpenAPI.
    Document |_schemas| json_schema!({ "type": "object", "required": ["openapi", "info", "paths"] });
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/healthz", "healthz", "Whether the process answers").answers_as(
            200,
            "It does.",
            "text/plain",
            None,
        ),
        get("/readyz", "readyz", "Whether the store answers, and the server does not shut down").answers_as(
            200,
            "Both.",
            "text/plain",
            None,
        ),
        get("/metrics", "metrics", "What the store counts, for Prometheus").answers_as(
            200,
            "The metrics.",
            "application/openmetrics-text",
            None,
        ),
        get("/openapi.json", "openapi", "This document").answers::<Document>(200, "The document."),
        get("/problems/{code}", "problem", "What a problem's code means")
            .answers_as(200, "In words.", "text/plain", None)
            .refuses(&["not_found"]),
        get("/v1/backup", "backup", "A copy of the whole store, as one file").answers_as(
            200,
            "A tar archive; its length is told first.",
            "application/x-tar",
            None,
        ),
        get("/v1/info", "info", "What the store is and gives").answers::<StoreInfo>(200, "The store."),
        post("/v1/upkeep", "upkeep", "Does what is due, of which a store takes care by itself")
            .takes::<UpkeepRequest>(json!({ "budget": 1000 }))
            .answers::<UpkeepShape>(200, "What was done."),
        get("/v1/meta/{key}", "getMeta", "A value that the store keeps for servers")
            .answers::<Versioned>(200, "The value; version 0 when there is none."),
        put("/v1/meta/{key}", "setMeta", "Replaces a value if the version is current")
            .takes::<Versioned>(json!({ "value": "aGVsbG8=", "version": 0 }))
            .answers::<Version>(200, "The version that it has now.")
            .refuses(&["version_conflict"]),
    ]
}

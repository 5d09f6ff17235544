//! Who may do what, and who did.

use serde_json::json;
use windlass_api::key::{KeyRequest, KeyShape, NewKeyShape};

use super::super::operation::{Operation, delete, get, post};
use super::PageLength;
use crate::answer::Items;
use crate::api::audit::Records;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/keys", "listKeys", "All keys, without their secrets")
            .answers::<Items<KeyShape>>(200, "The keys."),
        post("/v1/keys", "addKey", "Makes a key; its text is told in this answer and nowhere else")
            .takes::<KeyRequest>(
                json!({ "name": "mailer", "scopes": ["produce", "work"], "queues": ["mail-*"] }),
            )
            .answers::<NewKeyShape>(201, "The key, with its secret.")
            .refuses(&["invalid", "key_exists"]),
        delete(
            "/v1/keys/{key}",
            "revokeKey",
            "Ends a key for good, within a second on every server of the store",
        )
        .done()
        .refuses(&["not_found"]),
        get("/v1/audit", "listAudit", "Who changed what, newest first")
            .query::<u64>("before", "The `next` of the page before.")
            .query::<PageLength>("limit", "Records of a page.")
            .answers::<Records>(200, "The records."),
    ]
}

//! What each route takes and answers: one module for each noun, as in `api/`.
//!
//! A new route gets its operation in its noun's module, or a new module in [`all`]; the parameters of its path stand in
//! [`path_parameter`].

mod access;
mod bulk;
mod enqueue;
mod events;
mod jobs;
mod monitor;
mod queues;
mod schedules;
mod server;
mod targets;
mod work;

use schemars::json_schema;
use windlass_api::schema::WorkerText;
use windlass_core::bounds::PAGE_MAX;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::{JobId, LimitName, QueueName, ScheduleName};

pub(crate) use enqueue::Listed;

use super::operation::Operation;
use super::schemas::{Make, of};

/// The nouns, in the order in which a reader meets them.
pub(super) const TAGS: [(&str, &str); 11] = [
    ("enqueue", "Jobs come in."),
    ("work", "Jobs are claimed, and their attempts end."),
    ("jobs", "Jobs as people see and change them."),
    ("bulk", "All jobs that a filter means."),
    ("queues", "Queues, their groups, and named limits."),
    ("push", "Queues whose jobs are sent to an address."),
    ("schedules", "Jobs on a clock."),
    ("events", "What has happened, and failure modes."),
    ("monitor", "What is watched for, who is told, and what was found."),
    ("access", "Who may do what, and who did."),
    ("server", "The server itself, its store and its workers."),
];

/// Every operation.
pub(super) fn all() -> Vec<Operation> {
    let nouns = [
        ("enqueue", enqueue::operations()),
        ("work", work::operations()),
        ("jobs", jobs::operations()),
        ("bulk", bulk::operations()),
        ("queues", queues::operations()),
        ("push", targets::operations()),
        ("schedules", schedules::operations()),
        ("events", events::operations()),
        ("monitor", monitor::operations()),
        ("access", access::operations()),
        ("server", server::operations()),
    ];
    let tagged = |(tag, operations): (&'static str, Vec<Operation>)| {
        operations.into_iter().map(move |operation| operation.under(tag))
    };
    nouns.into_iter().flat_map(tagged).collect()
}

/// What stands in a path in the place of that name.
///
/// # Panics
/// If nobody says so here; a test meets every path.
pub(super) fn path_parameter(path: &str, name: &str) -> (&'static str, Make) {
    match name {
        "id" if path.starts_with("/v1/bulk") => ("The operation.", of::<String>),
        "id" => ("The job.", of::<JobId>),
        "queue" => ("The queue.", of::<QueueName>),
        "group" => ("The group: `~` and its key, percent-encoded.", of::<Tilded>),
        "reader" => ("The reader: `~` and its name, percent-encoded.", of::<Tilded>),
        "key" if path.starts_with("/v1/keys") => ("The key's name.", of::<String>),
        "key" => ("The value: `~` and its key, percent-encoded.", of::<Tilded>),
        "worker" => ("The worker.", of::<WorkerText>),
        "attempt" => ("Which attempt, from 1.", of::<u32>),
        "limit" => ("The limit.", of::<LimitName>),
        "schedule" => ("The schedule.", of::<ScheduleName>),
        "fingerprint" => ("The failure mode.", of::<Fingerprint>),
        "rule" => ("The rule.", of::<String>),
        "channel" => ("The channel.", of::<String>),
        "incident" => ("The incident.", of::<String>),
        "code" => ("The problem's code.", of::<String>),
        _ => panic!("{path}: say in openapi/operations/mod.rs what {{{name}}} is"),
    }
}

/// Types of requests and answers that are only spelled in the document.
macro_rules! spelled {
    ($($(#[$doc:meta])* $type:ident |$schemas:ident| $schema:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) enum $type {}

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema($schemas: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    )*};
}
pub(super) use spelled;

spelled! {
    /// A key in a path.
    Tilded |_schemas| json_schema!({ "type": "string", "pattern": "^~[^\\u0000-\\u001f\\u007f-\\u009f]{1,255}$" });
    /// The length of a page.
    PageLength |_schemas| json_schema!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": 50 });
}

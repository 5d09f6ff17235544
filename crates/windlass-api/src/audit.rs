//! Who changed what: one record for each call that operates or administers.

use serde::{Deserialize, Serialize};
use windlass_core::Time;

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditRecord {
    /// When it was answered.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub at: Time,
    /// Who: `key:NAME`, `root` for the token of the start, `anyone` where nobody is asked, `command` for the command
    /// line on a store without a server.
    pub who: String,
    /// The address it came from; `socket` for the owner's socket, `-` where it is not known.
    pub from: String,
    /// The route: `POST /v1/jobs/{id}/retry`.
    pub action: String,
    /// The address that was asked: which job, queue, key.
    pub target: String,
    /// What was done to the store, in words: `retry 3 jobs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// Jobs that were meant.
    #[serde(default)]
    pub jobs: u64,
    /// Of those, the ones that refused.
    #[serde(default)]
    pub refused: u64,
    /// The HTTP status that was answered.
    pub status: u16,
}

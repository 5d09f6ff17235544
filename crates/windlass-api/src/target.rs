//! Where a queue's jobs are pushed: the address that the server sends each of them to, and how that goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_core::{QueueName, Time};

/// A target is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TargetRequest {
    /// The address: `https://…`.
    pub url: String,
    /// What signs requests: one `whsec_…`, or two while one takes the place of the other, the new one first. Those that
    /// there are stay when none is given; a new target is given one, and it is shown once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// Requests at once, of each server on the store: 10 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How long the target may take for an answer (`30s` unless said).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Span>"))]
    pub timeout: Option<String>,
    /// Headers that every request bears.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// A secret is made anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// How long the old one still signs, beside the new one (`24h` unless said).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Span>"))]
    pub keep: Option<String>,
}

/// A target as it may be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TargetShape {
    /// The queue.
    pub queue: QueueName,
    /// The address; what its query says may be secret, and is left out.
    pub url: String,
    /// Requests at once, of each server on the store.
    pub concurrency: u32,
    /// How long the target may take for an answer.
    pub timeout_ms: u64,
    /// The names of the headers that every request bears; what they say may be secret.
    pub headers: Vec<String>,
    /// How many secrets sign.
    pub secrets: usize,
    /// The secret that was just made. It is shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// When it was last changed.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub changed_at: Time,
    /// How it goes, as far as the server that answers knows.
    pub health: Health,
}

/// Whether a target is sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// It is.
    #[default]
    Closed,
    /// It failed again and again: nothing is sent until a time, and jobs wait.
    Open,
    /// One request finds out whether it is back.
    HalfOpen,
}

impl Circuit {
    /// The circuit's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Circuit::Closed => "closed",
            Circuit::Open => "open",
            Circuit::HalfOpen => "half_open",
        }
    }
}

/// How it goes with a target, as one server knows since it works on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// Whether this server works on it.
    pub works: bool,
    /// Whether it is sent to.
    pub circuit: Circuit,
    /// Until when nothing is sent.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub open_until: Option<Time>,
    /// Failures since the last answer that was none.
    pub failures_in_a_row: u32,
    /// Requests that were sent, or would have been.
    pub requests: u64,
    /// When the last one ended.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub last_at: Option<Time>,
    /// The status that it was answered with, if it was.
    pub last_status: Option<u16>,
    /// What went wrong last, and when.
    pub last_error: Option<String>,
    /// See `last_error`.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub last_error_at: Option<Time>,
}

//! What makes a type a job: its kind, its queue, and the options that follow from its fields.
//!
//! A producer needs only this: the crate that holds the arguments does not depend on what handles them.

use crate::draft::Draft;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use windlass_core::job::{OnConflict, UniqueScope};
use windlass_core::retry::RetryPolicy;

/// The arguments of one kind of job, sent as JSON.
///
/// Derive it: `#[derive(Serialize, Deserialize, windlass::Job)]`, with the options in `#[job(…)]`:
///
/// | key | example | meaning |
/// |---|---|---|
/// | `kind` | `kind = "send_email"` | which handler understands it; the type's name in snake_case if left out |
/// | `queue` | `queue = "email"` | where it waits; `default` if left out |
/// | `alias` | `alias = "email.send"` | an older kind that the same handler takes; may be repeated |
/// | `max_failures` | `max_failures = 8` | failures at which it is dead (also `max_attempts`) |
/// | `retry` | `retry(exponential(base = "5s", cap = "30min"))`, `retry(fixed = "1min")`, `retry(list("1s", "1min"))`, `retry(never)` | delays between tries; the queue's if left out |
/// | `timeout` | `timeout = "30s"` | how long one attempt may take |
/// | `priority` | `priority = 3` | -9 to 9, higher first |
/// | `group` | `group = "campaign"` | the field whose value is the group |
/// | `unique` | `unique(by("user", "day"), for = "1h", on_conflict = "replace")` | at most one live job of this kind for these fields; `scope = "while_live"` (default) or `"until_start"`, or `for = "…"`; `on_conflict` is `existing` (default), `replace`, `reschedule` or `refuse` |
/// | `tags` | `tags("bulk", "tenant:{tenant}")` | for people and filters; `{field}` is filled in |
/// | `limits` | `limits("gpu" = 2, "smtp:{domain}")` | named limits taken when it starts, with their cost |
/// | `delay`, `expires_in` | `expires_in = "1h"` | not before; cancelled if not started by then |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    label = "the arguments of a job have to implement `windlass::Job`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize, windlass::Job)]` to `{Self}`",
    note = "a handler's first argument is its job, by value; `State<T>` and `Ctx` follow"
)]
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Which handler understands it.
    const KIND: &'static str;
    /// Where it waits unless the enqueue says otherwise.
    const QUEUE: &'static str;
    /// Older kinds that the same handler takes.
    const ALIASES: &'static [&'static str] = &[];

    /// What an enqueue of this job asks for unless it says otherwise.
    fn options(&self) -> JobOptions {
        JobOptions::default()
    }

    /// This job with options of its own, for where a job is expected: `enqueue_many`, `Ctx::enqueue`.
    fn draft(self) -> Draft
    where
        Self: Sized,
    {
        Draft::of(&self)
    }
}

/// What a job asks for by itself; every field may be left as it is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct JobOptions {
    /// The group it shares the queue in.
    pub group: Option<String>,
    /// -9 to 9; higher is claimed first.
    pub priority: i8,
    /// Its own retry policy.
    pub retry: Option<RetryPolicy>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// Not before that long after the enqueue.
    pub delay: Option<Duration>,
    /// Cancelled if it has not started by then.
    pub expires_in: Option<Duration>,
    /// Its unique key; the kind is put before it.
    pub unique: Option<UniqueBy>,
    /// Named limits with their cost.
    pub limits: Vec<(String, u32)>,
    /// For people and filters.
    pub tags: Vec<String>,
}

/// A unique key as a job type asks for it.
#[derive(Clone, Debug, Default)]
pub struct UniqueBy {
    /// The key within the kind.
    pub key: String,
    /// How long it stays taken.
    pub scope: UniqueScope,
    /// What a second enqueue does.
    pub on_conflict: OnConflict,
}

/// What the argument of a generic job has to be.
#[doc(hidden)]
pub trait PayloadPart: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> PayloadPart for T {}

/// A field's value as text for a key, a tag or a name: a string as it is, anything else as JSON.
#[doc(hidden)]
pub fn key_text<T: Serialize + ?Sized>(field: &T) -> String {
    match serde_json::to_value(field) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        // The payload holds the same field, so the enqueue is refused with serde's own words.
        Err(_) => String::new(),
    }
}

/// Several fields as one key; each is JSON, so that `("a", "bc")` and `("ab", "c")` differ.
#[doc(hidden)]
pub fn joined_key(fields: &[String]) -> String {
    fields.join("/")
}

/// One field as JSON.
#[doc(hidden)]
pub fn json_text<T: Serialize + ?Sized>(field: &T) -> String {
    // A field that does not serialise: see `key_text`.
    serde_json::to_string(field).unwrap_or_default()
}

/// The default policy with another number of failures.
#[doc(hidden)]
pub fn default_retry(max: u32) -> RetryPolicy {
    match RetryPolicy::default() {
        RetryPolicy::Exponential { base_ms, cap_ms, jitter, .. } => {
            RetryPolicy::Exponential { base_ms, cap_ms, max_failures: max, jitter }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_several_fields_tells_them_apart() {
        let two = |a: &str, b: &str| joined_key(&[json_text(a), json_text(b)]);
        assert_ne!(two("a", "bc"), two("ab", "c"));
        assert_ne!(two("a\"/\"b", "c"), two("a", "b\"/\"c"));
        assert_eq!(key_text("plain"), "plain");
        assert_eq!(key_text(&42u64), "42");
    }
}

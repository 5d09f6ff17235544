//! How a request fails: `application/problem+json` (RFC 9457), with a code for programs and a hint for people.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use windlass_core::error::Outcome;
use windlass_core::{Rejection, StoreError};

/// The media type.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// The hint of a failure that may pass. It repeats what `retryable` says, in the words of HTTP.
const AGAIN: &str = "the same request may be sent again";

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// A page about this kind of problem, on the server that told it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// The stable word for programs.
    pub code: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What else there is to know, by code.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Every code that is not a rejection of the contract: its status, and its title.
const OTHERS: [(&str, u16, &str); 19] = [
    ("store", 503, "the store failed"),
    ("bad_request", 400, "the request makes no sense"),
    ("bad_json", 400, "the body is not what it should be"),
    ("no_such_route", 404, "there is nothing at this address"),
    ("method_not_allowed", 405, "the address does not take this method"),
    ("too_large", 413, "the body is too large"),
    ("unsupported_media_type", 415, "the body has a type that is not read here"),
    ("host_not_allowed", 421, "the request names a host that this server does not answer for"),
    ("cross_site", 403, "a page of another site may not do this"),
    ("unauthorized", 401, "who is asking is not known"),
    ("too_many_tries", 429, "too many tries with what opens nothing"),
    ("too_busy", 503, "the server has as many requests as it takes"),
    ("shutting_down", 503, "the server shuts down"),
    ("idempotency_key_reused", 422, "the key was used for another request"),
    ("too_many_operations", 409, "as many operations are open as may be"),
    ("key_exists", 409, "there is a key of that name already"),
    ("target_forbidden", 422, "the server may not send to that address"),
    ("not_delivered", 422, "what was to be told did not arrive"),
    ("internal", 500, "the server has a fault"),
];

/// The status and title of a rejection's code.
fn of_code(code: &str) -> (u16, &'static str) {
    match code {
        "invalid" => (400, "an argument breaks a rule"),
        "not_found" => (404, "what is named is not known"),
        "stale" => (409, "the lease is no longer current"),
        "wrong_state" => (409, "the job's state does not allow it"),
        "unique_conflict" => (409, "the unique key is taken"),
        "queue_full" => (429, "the queue is full"),
        "out_of_space" => (507, "the store has no room"),
        "cost_too_high" => (422, "the limit can never admit this cost"),
        "bad_parents" => (422, "the parents cannot be waited for"),
        "version_conflict" => (412, "somebody else was faster"),
        "batch_refused" => (409, "another item of the batch was refused"),
        "has_live_children" => (409, "children of the job are live"),
        "too_many_snoozes" => (409, "the job was snoozed too often"),
        "bad_cursor" => (400, "the cursor is not valid here"),
        "forbidden" => (403, "whoever asks may not do this"),
        other => OTHERS
            .iter()
            .find(|(code, ..)| *code == other)
            .map_or((500, "something failed"), |(_, status, title)| (*status, title)),
    }
}

/// Every code there is.
pub fn codes() -> impl Iterator<Item = (&'static str, u16, &'static str)> {
    const REJECTIONS: [&str; 15] = [
        "invalid",
        "not_found",
        "stale",
        "wrong_state",
        "unique_conflict",
        "queue_full",
        "out_of_space",
        "cost_too_high",
        "bad_parents",
        "version_conflict",
        "batch_refused",
        "has_live_children",
        "too_many_snoozes",
        "bad_cursor",
        "forbidden",
    ];
    REJECTIONS
        .into_iter()
        .map(|code| {
            let (status, title) = of_code(code);
            (code, status, title)
        })
        .chain(OTHERS)
}

impl Problem {
    /// A problem of that code.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        let (status, title) = of_code(code);
        Self {
            kind: format!("/problems/{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            hint: None,
            more: Map::new(),
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The refusal that it tells of, if it is one of the contract's.
    pub fn rejection(&self) -> Option<Rejection> {
        let mut fields = self.more.clone();
        fields.insert("code".into(), Value::String(self.code.clone()));
        serde_json::from_value(Value::Object(fields)).ok()
    }

    /// The failure of the store, or of the server in front of it, that it tells of.
    pub fn store_error(&self, operation: &'static str) -> StoreError {
        let outcome = self.more.get("outcome").and_then(|word| serde_json::from_value(word.clone()).ok());
        let retryable = self.more.get("retryable").and_then(Value::as_bool);
        StoreError {
            operation,
            cause: self.detail.clone(),
            // Whatever has no store behind it stood at the door and did nothing.
            outcome: outcome.unwrap_or(if self.code == "internal" {
                Outcome::Unknown
            } else {
                Outcome::NotDone
            }),
            retryable: retryable.unwrap_or(self.status == 503),
            hint: self.hint.clone().filter(|hint| hint != AGAIN),
        }
    }

    /// After how many seconds it is worth trying again, rounded up; none when nobody knows.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self.more.get("retry_after_ms").and_then(Value::as_u64) {
            Some(ms) => Some(ms.div_ceil(1_000).max(1)),
            None if self.status == 503 => Some(1),
            None => None,
        }
    }
}

impl From<&Rejection> for Problem {
    fn from(rejection: &Rejection) -> Self {
        let mut problem = Problem::new(rejection.code(), rejection.to_string());
        if let Ok(Value::Object(mut fields)) = serde_json::to_value(rejection) {
            fields.remove("code");
            problem.more = fields;
        }
        problem.hint = hint_of(rejection).map(ToOwned::to_owned);
        problem
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        let mut problem = Problem::new("store", error.cause.clone());
        problem.more.insert("operation".into(), error.operation.into());
        problem.more.insert("outcome".into(), serde_json::to_value(error.outcome).unwrap_or_default());
        problem.more.insert("retryable".into(), error.retryable.into());
        problem.hint.clone_from(&error.hint);
        if error.retryable && problem.hint.is_none() {
            problem.hint = Some(AGAIN.to_owned());
        }
        problem
    }
}

/// What to do about a refusal.
pub fn hint_of(rejection: &Rejection) -> Option<&'static str> {
    Some(match rejection {
        Rejection::Stale => {
            "stop this attempt and say nothing more of it: its lease ran out, or it was ended already"
        }
        Rejection::UniqueConflict { .. } => "GET /v1/jobs/{holder} shows who holds the key",
        Rejection::QueueFull { .. } => {
            "try again after Retry-After, start workers, or raise the queue's max_waiting"
        }
        Rejection::OutOfSpace => {
            "free space where the store lies (its disk, or the maxmemory of Redis), or shorten retention"
        }
        Rejection::VersionConflict { .. } => "read it again, and change what stands there now",
        Rejection::BadCursor => "start again without a cursor",
        Rejection::Forbidden { .. } => "ask whoever keeps the keys for one that may: windlass keys add",
        Rejection::HasLiveChildren => "GET /v1/jobs/{id} lists its children; cancel or finish them first",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::{JobId, State, Time};

    #[test]
    fn a_refusal_is_read_back_from_its_problem() {
        for rejection in [
            Rejection::Invalid { what: "payload", why: "too long".into() },
            Rejection::NotFound { what: "job x".into() },
            Rejection::Stale,
            Rejection::WrongState { verb: "retry", state: State::Running },
            Rejection::UniqueConflict { holder: JobId::from_parts(Time(1), 2) },
            Rejection::QueueFull { queue: "email".into(), retry_after_ms: 1_500 },
            Rejection::OutOfSpace,
            Rejection::CostTooHigh { limit: "l".into(), cost: 3, most: 2 },
            Rejection::BadParents { why: "a cycle".into() },
            Rejection::VersionConflict { given: 1, current: 2 },
            Rejection::BatchRefused,
            Rejection::HasLiveChildren,
            Rejection::TooManySnoozes { snoozes: 1_000 },
            Rejection::BadCursor,
            Rejection::Forbidden { what: "key ci may not".into() },
        ] {
            let text = serde_json::to_string(&Problem::from(&rejection)).expect("json");
            let problem: Problem = serde_json::from_str(&text).expect("its own text");
            assert_eq!(problem.rejection(), Some(rejection), "{text}");
            assert!(
                codes().any(|(code, status, _)| code == problem.code && status == problem.status),
                "{text}"
            );
        }
    }

    #[test]
    fn a_stores_failure_keeps_whether_it_may_have_taken_effect() {
        let error = StoreError {
            operation: "claim",
            cause: "the disk".into(),
            outcome: Outcome::Unknown,
            retryable: true,
            hint: None,
        };
        let problem = Problem::from(&error);
        assert_eq!((problem.status, problem.rejection()), (503, None));
        let back = problem.store_error("claim");
        assert_eq!((back.outcome, back.retryable, back.cause.as_str()), (Outcome::Unknown, true, "the disk"));
        assert_eq!(Problem::new("too_busy", "").store_error("get").outcome, Outcome::NotDone);
    }
}

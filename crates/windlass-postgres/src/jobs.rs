//! New jobs on their way to SQL: what a function needs to see of them, parents before their children.

use crate::wire::{Id, Json, json, ms};
use serde_json::{Map, Value};
use windlass_core::job::JobOptions;
use windlass_core::limit::LimitUse;
use windlass_core::{NewJob, Rejection, Time};

/// A job's named limits in their one spelling.
fn limit_set(limits: &[LimitUse]) -> String {
    let mut uses: Vec<String> = limits.iter().map(|limit| format!("{}={}", limit.name, limit.cost)).collect();
    uses.sort_unstable();
    uses.join(",")
}

/// One job as `take_in` reads it; its payload goes beside it.
pub(crate) fn item(job: &NewJob, payloads: &mut Vec<Vec<u8>>) -> Value {
    payloads.push(job.payload.clone());
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| all.insert(key.to_owned(), value);
    put("id", Value::from(job.id.to_string()));
    put("queue", Value::from(job.queue.as_str()));
    put("kind", Value::from(job.kind.as_str()));
    put("grp", Value::from(job.group.as_ref().map_or("", |g| g.as_str())));
    put("prio", Value::from(job.priority));
    put("lset", Value::from(limit_set(&job.limits)));
    put("body", Value::from(payloads.len()));
    if let Some(at) = job.run_at {
        put("run_at", Value::from(ms(at)));
    }
    if let Some(delay) = job.delay_ms {
        put("delay_ms", Value::from(delay));
    }
    if let Some(options) = JobOptions::of(job) {
        put("options", json(&options));
    }
    Value::Object(all)
}

/// A batch as `enqueue_lots` reads it, column by column.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) ids: Vec<Id>,
    pub(crate) queues: Vec<String>,
    pub(crate) kinds: Vec<String>,
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) groups: Vec<String>,
    pub(crate) priorities: Vec<i16>,
    pub(crate) limits: Vec<String>,
    pub(crate) run_at: Vec<Option<i64>>,
    pub(crate) delays: Vec<Option<i64>>,
    pub(crate) options: Vec<Option<Json>>,
}

impl Columns {
    pub(crate) fn push(&mut self, job: &NewJob) {
        self.ids.push(Id(job.id));
        self.queues.push(job.queue.as_str().to_owned());
        self.kinds.push(job.kind.as_str().to_owned());
        self.payloads.push(job.payload.clone());
        self.groups.push(job.group.as_ref().map_or(String::new(), |g| g.as_str().to_owned()));
        self.priorities.push(i16::from(job.priority));
        self.limits.push(limit_set(&job.limits));
        self.run_at.push(job.run_at.map(ms));
        self.delays.push(job.delay_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)));
        self.options.push(JobOptions::of(job).map(|options| Json(json(&options))));
    }
}

/// What no store takes, and what this one cannot keep: a bound, or an id that is none.
pub(crate) fn check(job: &NewJob, now: Time) -> Result<(), Rejection> {
    job.validate(now)?;
    if job.id.0 == 0 {
        return Err(Rejection::Invalid { what: "id", why: "must not be nil".into() });
    }
    if job.trace.as_ref().is_some_and(|trace| trace.contains('\0')) {
        return Err(Rejection::Invalid { what: "tags", why: "trace context holds a zero character".into() });
    }
    Ok(())
}

/// The refusal of a job that waits for itself.
pub(crate) fn in_a_cycle(job: &NewJob) -> Rejection {
    Rejection::BadParents { why: format!("job {} waits for itself through its parents", job.id) }
}

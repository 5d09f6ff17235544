//! A job as a row of the table: names, payload, and options in the JSON form that the whole project has for a new job.

use serde::{Deserialize, Serialize};
use windlass_core::bounds::PAYLOAD_BYTES_MAX;
use windlass_core::job::{Parent, Unique};
use windlass_core::limit::LimitUse;
use windlass_core::name::Tag;
use windlass_core::retry::RetryPolicy;
use windlass_core::{GroupKey, JobId, Kind, NewJob, QueueName, Rejection, Time};

/// A row as the database gives it: nothing in it is trusted.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its place in the table; only grows.
    pub seq: i64,
    /// The job's id.
    pub id: String,
    /// The job's queue.
    pub queue: String,
    /// The job's kind.
    pub kind: String,
    /// The job's payload; none when it is longer than any job's may be.
    pub payload: Option<Vec<u8>>,
    /// Bytes of the payload.
    pub bytes: u64,
    /// The job's options, as JSON.
    pub options: String,
    /// When the row was inserted, by the database's clock.
    pub created_at: Time,
}

/// The options of a row: the fields of [`NewJob`] under their own names. An unknown one is refused, since a misspelt
/// `delay_ms` must not quietly mean now.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RowOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupKey>,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i8,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<Unique>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<LimitUse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<Parent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

fn is_zero(priority: &i8) -> bool {
    *priority == 0
}

impl RowOptions {
    /// The options of the job, as a row's JSON.
    pub fn of(job: &NewJob) -> String {
        let options = Self {
            group: job.group.clone(),
            priority: job.priority,
            run_at: job.run_at,
            delay_ms: job.delay_ms,
            expires_at: job.expires_at,
            retry: job.retry.clone(),
            unique: job.unique.clone(),
            limits: job.limits.clone(),
            parents: job.parents.clone(),
            tags: job.tags.clone(),
            timeout_ms: job.timeout_ms,
            trace: job.trace.clone(),
        };
        serde_json::to_string(&options).expect("our own plain struct always serialises")
    }
}

impl Row {
    /// The job of the row. The same row gives the same job at any time: a delay counts from the row's insertion.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn job(&mut self) -> Result<NewJob, Rejection> {
        let Some(payload) = self.payload.take() else {
            let why = format!(
                "{} bytes are more than {PAYLOAD_BYTES_MAX}; store it elsewhere and pass its address",
                self.bytes
            );
            return Err(Rejection::Invalid { what: "payload", why });
        };
        let options: RowOptions = serde_json::from_str(&self.options)
            .map_err(|why| Rejection::Invalid { what: "options", why: why.to_string() })?;
        let id: JobId = self.id.parse()?;
        let (queue, kind) = (QueueName::new(&self.queue)?, Kind::new(&self.kind)?);
        let exclude = options.run_at.is_some() && options.delay_ms.is_some();
        let due = options.delay_ms.filter(|_| !exclude).map(|ms| self.created_at.plus_ms(ms));
        Ok(NewJob {
            group: options.group,
            priority: options.priority,
            run_at: options.run_at.or(due),
            delay_ms: options.delay_ms.filter(|_| exclude),
            expires_at: options.expires_at,
            retry: options.retry,
            unique: options.unique,
            limits: options.limits,
            parents: options.parents,
            tags: options.tags,
            timeout_ms: options.timeout_ms,
            trace: options.trace,
            ..NewJob::new(id, queue, kind, payload)
        })
    }

    /// The group that the row names, if its options can be read that far.
    pub fn group(&self) -> Option<GroupKey> {
        let options: serde_json::Value = serde_json::from_str(&self.options).ok()?;
        options.get("group")?.as_str().and_then(|key| GroupKey::new(key).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::job::{OnConflict, UniqueScope};
    use windlass_core::name::UniqueKey;

    const NOW: Time = Time(1_763_700_000_000);

    fn row(options: &str) -> Row {
        Row {
            seq: 1,
            id: JobId::from_parts(NOW, 7).to_string(),
            queue: "mail".into(),
            kind: "send".into(),
            payload: Some(b"{}".to_vec()),
            bytes: 2,
            options: options.into(),
            created_at: NOW,
        }
    }

    #[test]
    fn a_row_carries_everything_that_an_enqueue_takes() {
        let mut job = row("{}").job().expect("a job");
        job.group = Some(GroupKey::new("acme").expect("a key"));
        job.priority = -3;
        job.run_at = Some(NOW.plus_ms(5));
        job.expires_at = Some(NOW.plus_ms(9));
        job.unique = Some(Unique {
            key: UniqueKey::new("k").expect("a key"),
            scope: UniqueScope::For { ttl_ms: 5 },
            on_conflict: OnConflict::Refuse,
        });
        job.limits = vec![LimitUse { name: windlass_core::LimitName::new("gpu").expect("a name"), cost: 2 }];
        job.parents = vec![Parent { id: JobId(1 << 80), on: Default::default() }];
        job.tags = vec![Tag::new("t").expect("a tag")];
        job.timeout_ms = Some(1);
        job.trace = Some("00-1".into());
        job.retry = Some(RetryPolicy::default());
        assert_eq!(row(&RowOptions::of(&job)).job().expect("the same job"), job);
    }

    #[test]
    fn a_delay_counts_from_the_insertion_of_the_row() {
        assert_eq!(row(r#"{"delay_ms": 60000}"#).job().expect("a job").run_at, Some(NOW.plus_ms(60_000)));
    }

    #[test]
    fn what_is_wrong_with_a_row_is_told() {
        let told = |row: &mut Row| row.job().expect_err("refused").to_string();
        assert!(told(&mut row(r#"{"dealy_ms": 1}"#)).contains("dealy_ms"));
        assert!(told(&mut Row { queue: "a b".into(), ..row("{}") }).contains("queue name"));
        assert!(told(&mut Row { payload: None, bytes: 9_999_999, ..row("{}") }).contains("9999999 bytes"));
        assert!(told(&mut Row { id: "x".into(), ..row("{}") }).contains("job id"));
        let both = row(r#"{"run_at": 5, "delay_ms": 1}"#).job().expect("the store refuses it");
        assert!(both.validate(NOW).is_err());
    }

    #[test]
    fn the_group_of_a_bad_row_is_known_as_far_as_it_can_be_read() {
        assert_eq!(row(r#"{"group": "g", "nonsense": 1}"#).group(), GroupKey::new("g").ok());
        assert_eq!(row("{").group(), None);
    }
}

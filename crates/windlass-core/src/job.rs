//! A job: what it is made of, how it is asked for, and how it is shown.

use crate::bounds;
use crate::error::Rejection;
use crate::fingerprint::Fingerprint;
use crate::lease::WorkerId;
use crate::limit::LimitUse;
use crate::name::{GroupKey, Kind, QueueName, Tag, UniqueKey};
use crate::retry::RetryPolicy;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A job's identity: 128 bits in the layout of UUIDv7, made by the client, so that an enqueue which
/// is sent twice is one job.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(pub u128);

impl JobId {
    /// The id of a job named by its maker: the same name at the same time gives the same id.
    ///
    /// The first 48 bits are `at` in milliseconds, the rest a fixed hash of `name` (two rounds of
    /// FNV-1a with the finaliser of MurmurHash3, both public domain), so that every store and
    /// language can make it again.
    pub fn named(at: Time, name: &str) -> Self {
        let hash = |seed: u64| {
            let mut h = 0xcbf2_9ce4_8422_2325 ^ seed;
            for byte in name.bytes() {
                h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            h ^= h >> 33;
            h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
            h ^= h >> 33;
            h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
            h ^ (h >> 33)
        };
        Self::from_parts(at, (u128::from(hash(0)) << 64) | u128::from(hash(0x9e37_79b9_7f4a_7c15)))
    }

    /// The id with the time and as many of the random bits as the layout holds.
    pub fn from_parts(at: Time, random: u128) -> Self {
        let time = u128::from(at.0 & 0xffff_ffff_ffff) << 80;
        let low = random & ((1 << 62) - 1);
        let middle = (random >> 64) & 0xfff;
        Self(time | (0x7 << 76) | (middle << 64) | (0b10 << 62) | low)
    }

    /// The time in the id.
    pub fn time(self) -> Time {
        Time((self.0 >> 80) as u64)
    }

    /// Refuses an id whose time lies too far ahead, and says so of one that has no time at all.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with what is wrong.
    pub fn validate(self, now: Time) -> Result<(), Rejection> {
        if self.time() <= now.plus_ms(bounds::ID_AHEAD_MS_MAX) {
            return Ok(());
        }
        let version = (self.0 >> 76) & 0xf;
        let why = if version == 7 {
            format!("{self} lies more than 1 h in the future; check this machine's clock")
        } else {
            format!("{self} is a UUID of version {version}, which holds no time; an id is one of version 7")
        };
        Err(Rejection::Invalid { what: "id", why })
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", uuid::Uuid::from_u128(self.0).hyphenated())
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for JobId {
    type Err = Rejection;
    fn from_str(text: &str) -> Result<Self, Rejection> {
        uuid::Uuid::parse_str(text)
            .map(|id| Self(id.as_u128()))
            .map_err(|_| Rejection::Invalid { what: "id", why: format!("{text:?} is not a job id (a UUID)") })
    }
}

impl TryFrom<String> for JobId {
    type Error = Rejection;
    fn try_from(text: String) -> Result<Self, Rejection> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> String {
        id.to_string()
    }
}

/// Where a job stands. The transitions are in [`crate::lifecycle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Waits for its time.
    Scheduled = 0,
    /// May run as soon as order, limits and a free worker allow.
    Ready = 1,
    /// Held by a lease.
    Running = 2,
    /// Waits for its next try after a failure.
    Retrying = 3,
    /// Waits for its parents.
    Blocked = 4,
    /// Ended well.
    Completed = 5,
    /// Out of attempts, failed fatally or lost too often: the dead letter.
    Dead = 6,
    /// Ended by a person, a parent's end or its expiry.
    Cancelled = 7,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [State; 8] = [
        State::Scheduled,
        State::Ready,
        State::Running,
        State::Retrying,
        State::Blocked,
        State::Completed,
        State::Dead,
        State::Cancelled,
    ];

    /// Whether only retry, prune and delete can change the job any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, State::Completed | State::Dead | State::Cancelled)
    }

    /// Whether the job is live and no worker holds it.
    pub const fn is_waiting(self) -> bool {
        matches!(self, State::Scheduled | State::Ready | State::Retrying | State::Blocked)
    }

    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Ready => "ready",
            State::Running => "running",
            State::Retrying => "retrying",
            State::Blocked => "blocked",
            State::Completed => "completed",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
        }
    }

    /// The state of that number.
    pub const fn from_number(number: u8) -> Option<State> {
        if (number as usize) < Self::ALL.len() { Some(Self::ALL[number as usize]) } else { None }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for State {
    type Err = Rejection;
    fn from_str(text: &str) -> Result<Self, Rejection> {
        State::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| Rejection::Invalid {
            what: "filter",
            why: format!(
                "{text:?} is not a state (scheduled, ready, running, retrying, blocked, completed, dead, cancelled)"
            ),
        })
    }
}

/// How long a unique key stays taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UniqueScope {
    /// As long as its job is live.
    #[default]
    WhileLive,
    /// Until its job starts for the first time; given up for good then.
    UntilStart,
    /// For that long from the enqueue, whatever becomes of the job.
    For {
        /// How long.
        ttl_ms: u64,
    },
}

/// What an enqueue does when its unique key is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Answers with the job that holds the key.
    #[default]
    Existing,
    /// Replaces the holder's payload, unless it is running.
    Replace,
    /// Moves the holder to the new job's time, unless it is running.
    Reschedule,
    /// Refuses with [`Rejection::UniqueConflict`].
    Refuse,
}

/// At most one live job holds the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unique {
    /// The key, one namespace over the whole store.
    pub key: UniqueKey,
    /// How long it stays taken.
    #[serde(default)]
    pub scope: UniqueScope,
    /// What a second enqueue does.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// When a child may start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnParent {
    /// When the parent has completed; the child is cancelled if the parent ends otherwise.
    #[default]
    Success,
    /// When the parent has ended, however.
    Always,
}

/// One edge from a child to the job it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Parent {
    /// The job waited for: a known one, or one of the same batch.
    pub id: JobId,
    /// Which end of it lets the child go.
    #[serde(default)]
    pub on: OnParent,
}

/// A job as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its identity; a known id is answered with the job that has it.
    pub id: JobId,
    /// Where it waits.
    pub queue: QueueName,
    /// Which handler understands it.
    pub kind: Kind,
    /// What the handler gets: opaque bytes, JSON by default, at most 1 MiB.
    pub payload: Vec<u8>,
    /// The group it shares the queue in.
    #[serde(default)]
    pub group: Option<GroupKey>,
    /// -9 to 9; higher is claimed first, strictly.
    #[serde(default)]
    pub priority: i8,
    /// Not before that time.
    #[serde(default)]
    pub run_at: Option<Time>,
    /// Not before that long after the store takes it; added to nothing, exclusive with `run_at`.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// Cancelled if it has not started by then.
    #[serde(default)]
    pub expires_at: Option<Time>,
    /// Its own retry policy; none takes the queue's of that moment.
    #[serde(default)]
    pub retry: Option<RetryPolicy>,
    /// Its unique key.
    #[serde(default)]
    pub unique: Option<Unique>,
    /// Named limits taken when it starts.
    #[serde(default)]
    pub limits: Vec<LimitUse>,
    /// Jobs it waits for.
    #[serde(default)]
    pub parents: Vec<Parent>,
    /// For people and filters.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// How long one attempt may take; the worker ends it then as a failure.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// W3C trace context of the enqueuer.
    #[serde(default)]
    pub trace: Option<String>,
}

/// What only some jobs have beside names and payload, in the JSON form in which stores keep it: what a job does not have
/// is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobOptions {
    /// Its own policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// Its unique key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// The named limits that it takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitUse>,
    /// The jobs that it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// When it is not worth starting any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// How long one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Trace context of its enqueuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl JobOptions {
    /// Those of a new job; none when it has none of them.
    pub fn of(job: &NewJob) -> Option<Self> {
        let options = Self {
            retry: job.retry.clone(),
            unique: job.unique.clone(),
            limits: job.limits.clone(),
            parents: job.parents.clone(),
            tags: job.tags.clone(),
            expires_at: job.expires_at,
            timeout_ms: job.timeout_ms,
            trace: job.trace.clone(),
        };
        (options != Self::default()).then_some(options)
    }
}

impl NewJob {
    /// A job with nothing set but what it must have.
    pub fn new(id: JobId, queue: QueueName, kind: Kind, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            id,
            queue,
            kind,
            payload: payload.into(),
            group: None,
            priority: 0,
            run_at: None,
            delay_ms: None,
            expires_at: None,
            retry: None,
            unique: None,
            limits: Vec::new(),
            parents: Vec::new(),
            tags: Vec::new(),
            timeout_ms: None,
            trace: None,
        }
    }

    /// Refuses what no store takes: sizes, ranges, counts. What depends on the store's state
    /// (known ids, limits, parents) is checked by the store.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] that names the field, the bound and what was given.
    pub fn validate(&self, now: Time) -> Result<(), Rejection> {
        let refuse = |what, why: String| Err(Rejection::Invalid { what, why });
        if self.payload.len() > bounds::PAYLOAD_BYTES_MAX {
            let bytes = self.payload.len();
            return refuse(
                "payload",
                format!("{bytes} bytes are more than 1 MiB; store it elsewhere and pass its address"),
            );
        }
        if !(bounds::PRIORITY_MIN..=bounds::PRIORITY_MAX).contains(&self.priority) {
            return refuse("priority", format!("{} is not between -9 and 9", self.priority));
        }
        self.id.validate(now)?;
        if self.run_at.is_some() && self.delay_ms.is_some() {
            return refuse("delay", "run_at and delay exclude each other".into());
        }
        let ahead = self.delay_ms.unwrap_or_else(|| self.run_at.map_or(0, |at| at.since(now)));
        if ahead > bounds::DELAY_MS_MAX {
            return refuse("run_at", "the time lies more than ten years ahead; is its unit right?".into());
        }
        if self.limits.len() > bounds::LIMITS_PER_JOB_MAX {
            return refuse("limits", format!("{} are more than 4", self.limits.len()));
        }
        for (i, limit) in self.limits.iter().enumerate() {
            if limit.cost == 0 || self.limits[..i].iter().any(|other| other.name == limit.name) {
                return refuse("limits", format!("{} has cost 0 or is named twice", limit.name));
            }
        }
        if self.parents.len() > bounds::PARENTS_MAX {
            return refuse("parents", format!("{} are more than 1,000", self.parents.len()));
        }
        if self.tags.len() > bounds::TAGS_MAX {
            return refuse("tags", format!("{} are more than 8", self.tags.len()));
        }
        if self.timeout_ms == Some(0) {
            return refuse("timeout", "0 ms leave an attempt no time; leave it out for no limit".into());
        }
        if let Some(retry) = &self.retry {
            retry.validate().map_err(|why| Rejection::Invalid { what: "retry policy", why })?;
        }
        if self.trace.as_ref().is_some_and(|t| t.len() > bounds::KEY_BYTES_MAX) {
            return refuse("tags", "trace context is longer than 255 bytes".into());
        }
        Ok(())
    }
}

/// An error as a handler reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorReport {
    /// The error's type or class, if known.
    #[serde(default)]
    pub class: Option<String>,
    /// What is shown first.
    pub message: String,
    /// The source chain or backtrace below it.
    #[serde(default)]
    pub detail: Option<String>,
    /// Which failure mode it belongs to, computed by the caller.
    #[serde(default)]
    pub fingerprint: Fingerprint,
}

impl ErrorReport {
    /// The error within its bound: what is too long is cut, never refused, since losing the whole report
    /// of a failure would be worse.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let message = bounds::cut(&self.message, bounds::ERROR_BYTES_MAX / 2).to_owned();
        let room = bounds::ERROR_BYTES_MAX - message.len();
        let detail = self.detail.as_deref().map(|detail| bounds::cut(detail, room).to_owned());
        let class = self.class.as_deref().map(|class| bounds::cut(class, bounds::KEY_BYTES_MAX).to_owned());
        Self { class, message, detail, fingerprint: self.fingerprint }
    }

    /// What lists show of the error.
    pub fn first_line(&self) -> &str {
        bounds::cut(self.message.lines().next().unwrap_or(""), bounds::ERROR_LINE_BYTES_MAX)
    }
}

/// What one attempt came to, newest kept (at most 25 of them).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Which attempt.
    pub attempt: u32,
    /// Who held it.
    pub worker: WorkerId,
    /// When it was claimed.
    pub started_at: Time,
    /// When it ended; none while it runs.
    pub ended_at: Option<Time>,
    /// How it ended: the event's word.
    pub outcome: String,
    /// With what error, if with one.
    pub error: Option<ErrorReport>,
}

/// How far a handler says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// In the handler's words.
    #[serde(default)]
    pub message: Option<String>,
}

/// One job in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// Identity.
    pub id: JobId,
    /// Where it stands.
    pub state: State,
    /// Its queue.
    pub queue: QueueName,
    /// Its kind.
    pub kind: Kind,
    /// Its group.
    pub group: Option<GroupKey>,
    /// Its priority.
    pub priority: i8,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Attempts so far, over all generations.
    pub attempt: u32,
    /// Failures of this generation.
    pub failures: u32,
    /// Losses of this generation.
    pub losses: u32,
    /// Snoozes of this generation.
    pub snoozes: u32,
    /// When it was enqueued.
    pub enqueued_at: Time,
    /// Due time (scheduled, retrying), time of becoming ready, start (running) or end (terminal).
    pub since: Time,
    /// The last error's first line, if it failed.
    pub last_error: Option<String>,
    /// The last error's failure mode.
    pub fingerprint: Option<Fingerprint>,
    /// Why it ended, when it did not complete.
    pub cause: Option<crate::event::Cause>,
}

/// What a job brings to its handler, beside what its events say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobBody {
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its priority.
    pub priority: i8,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Trace context of its enqueuer.
    pub trace: Option<String>,
}

/// Everything about one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// What a list shows.
    #[serde(flatten)]
    pub view: JobView,
    /// The payload as it was enqueued or last edited.
    pub payload: Vec<u8>,
    /// The result, if it completed with one and it is still kept.
    pub result: Option<Vec<u8>>,
    /// The checkpoint for the next attempt.
    pub checkpoint: Option<Vec<u8>>,
    /// The newest progress.
    pub progress: Option<Progress>,
    /// Attempts with their errors, oldest first, at most the newest 25.
    pub attempts: Vec<AttemptRecord>,
    /// Its unique key, if it brought one.
    pub unique: Option<Unique>,
    /// Named limits it takes.
    pub limits: Vec<LimitUse>,
    /// Jobs it waits or waited for.
    pub parents: Vec<Parent>,
    /// Jobs that wait for it.
    pub children: Vec<JobId>,
    /// Its own retry policy.
    pub retry: Option<RetryPolicy>,
    /// When it is cancelled if it has not started.
    pub expires_at: Option<Time>,
    /// How long one attempt may take.
    pub timeout_ms: Option<u64>,
    /// Trace context.
    pub trace: Option<String>,
    /// Whether its running attempt was asked to stop.
    pub cancel_requested: bool,
    /// Who holds it, while it runs.
    pub worker: Option<WorkerId>,
    /// Until when it is held.
    pub deadline: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_time_and_prints_as_a_uuid_of_version_7() {
        let id = JobId::named(Time(1_763_700_000_123), "daily-report");
        assert_eq!(id.time(), Time(1_763_700_000_123));
        assert_eq!(id, JobId::named(Time(1_763_700_000_123), "daily-report"));
        assert_ne!(id, JobId::named(Time(1_763_700_000_123), "daily-reporu"));
        let uuid = uuid::Uuid::from_u128(id.0);
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(id.to_string().parse::<JobId>().expect("its own text"), id);
    }

    #[test]
    fn what_no_store_takes_is_refused_with_the_field_and_the_bound() {
        let now = Time(1_763_700_000_000);
        let new = || {
            let queue = QueueName::new("q").expect("name");
            NewJob::new(JobId::from_parts(now, 1), queue, Kind::new("k").expect("name"), *b"{}")
        };
        assert!(new().validate(now).is_ok());
        let told = |job: NewJob| job.validate(now).expect_err("refused").to_string();
        assert!(told(NewJob { payload: vec![0; bounds::PAYLOAD_BYTES_MAX + 1], ..new() }).contains("1 MiB"));
        assert!(told(NewJob { priority: 10, ..new() }).contains("-9 and 9"));
        assert!(told(NewJob { id: JobId::from_parts(now.plus_ms(3_600_001), 1), ..new() }).contains("1 h"));
        assert!(told(NewJob { run_at: Some(now), delay_ms: Some(1), ..new() }).contains("exclude"));
        assert!(told(NewJob { delay_ms: Some(u64::MAX), ..new() }).contains("ten years"));
        assert!(told(NewJob { timeout_ms: Some(0), ..new() }).contains("no time"));
    }
}

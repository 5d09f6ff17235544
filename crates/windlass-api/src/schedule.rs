//! Schedules.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::{ScheduleInfo, ScheduleSpec};
use windlass_core::{GroupKey, JobId, Kind, QueueName, Rejection, ScheduleName, Time};

use crate::payload::{self, Encoding};

/// Ticks that are told ahead.
const UPCOMING: usize = 5;

/// A schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScheduleShape {
    /// Its name.
    pub schedule: ScheduleName,
    /// When it ticks.
    pub timing: Timing,
    /// What a tick does while the job of the last one is live.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens to ticks that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// The queue of its jobs.
    pub queue: QueueName,
    /// The kind of its jobs.
    pub kind: Kind,
    /// The group of its jobs.
    #[serde(default)]
    pub group: Option<GroupKey>,
    /// The priority of its jobs.
    #[serde(default)]
    pub priority: i8,
    /// Ticks make no jobs while it is paused.
    #[serde(default)]
    pub paused: bool,
    /// The payload of its jobs.
    pub payload: Box<RawValue>,
    /// How to read the payload.
    #[serde(default)]
    pub payload_encoding: Encoding,
    /// The last tick that made or skipped a job.
    #[serde(default, with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub last_tick: Option<Time>,
    /// The job of the last tick that made one.
    #[serde(default)]
    pub last_job: Option<JobId>,
    /// The next tick.
    #[serde(default, with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub next_tick: Option<Time>,
    /// Ticks that made a job.
    #[serde(default)]
    pub ticks: u64,
    /// Ticks skipped by overlap or catch-up policy.
    #[serde(default)]
    pub skipped: u64,
    /// The next ticks, in the schedule's own time zone.
    #[serde(default)]
    pub upcoming: Vec<String>,
}

impl ScheduleShape {
    /// The schedule as it stands at that time.
    pub fn new(info: ScheduleInfo, now: Time) -> Self {
        let spec = info.spec;
        let (payload, payload_encoding) = payload::show(&spec.payload);
        // A stored timing was valid when it was set; one that this build cannot read shows no ticks.
        let ticks = spec.timing.compile().map(|timing| timing.upcoming(now, UPCOMING)).unwrap_or_default();
        Self {
            schedule: spec.name,
            timing: spec.timing,
            overlap: spec.overlap,
            catch_up: spec.catch_up,
            queue: spec.queue,
            kind: spec.kind,
            group: spec.group,
            priority: spec.priority,
            paused: spec.paused,
            payload: payload.into_owned(),
            payload_encoding,
            last_tick: info.last_tick,
            last_job: info.last_job,
            next_tick: info.next_tick,
            ticks: info.ticks,
            skipped: info.skipped,
            upcoming: ticks.iter().map(ToString::to_string).collect(),
        }
    }

    /// What was asked for.
    ///
    /// # Errors
    /// What is wrong with the payload.
    pub fn into_info(self) -> Result<ScheduleInfo, String> {
        let spec = ScheduleSpec {
            name: self.schedule,
            timing: self.timing,
            overlap: self.overlap,
            catch_up: self.catch_up,
            queue: self.queue,
            kind: self.kind,
            payload: payload::read(&self.payload, self.payload_encoding)?,
            group: self.group,
            priority: self.priority,
            paused: self.paused,
        };
        Ok(ScheduleInfo {
            spec,
            last_tick: self.last_tick,
            last_job: self.last_job,
            next_tick: self.next_tick,
            ticks: self.ticks,
            skipped: self.skipped,
        })
    }
}

/// A schedule as it is asked for. What only the store knows of one may stand beside it, so that what was read can be
/// changed and sent back.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Its name, where the address does not say it.
    #[serde(default)]
    pub schedule: Option<ScheduleName>,
    /// When it ticks: `{"cron":{"expression":"0 9 * * *","time_zone":"Europe/Berlin"}}` or
    /// `{"interval":{"every_ms":60000}}`.
    pub timing: Timing,
    /// What a tick does while the job of the last one is live.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens to ticks that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// The queue of its jobs.
    pub queue: QueueName,
    /// The kind of its jobs; the queue's name unless said.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// The group of its jobs.
    #[serde(default)]
    pub group: Option<GroupKey>,
    /// The priority of its jobs.
    #[serde(default)]
    pub priority: i8,
    /// Ticks make no jobs while it is paused.
    #[serde(default)]
    pub paused: bool,
    /// The payload of its jobs; `{}` unless said.
    #[serde(default)]
    pub payload: Option<Box<RawValue>>,
    /// How to read the payload.
    #[serde(default)]
    pub payload_encoding: Encoding,
    #[serde(default, rename = "last_tick")]
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))]
    _last_tick: IgnoredAny,
    #[serde(default, rename = "last_job")]
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))]
    _last_job: IgnoredAny,
    #[serde(default, rename = "next_tick")]
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))]
    _next_tick: IgnoredAny,
    #[serde(default, rename = "ticks")]
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))]
    _ticks: IgnoredAny,
    #[serde(default, rename = "skipped")]
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))]
    _skipped: IgnoredAny,
    #[serde(default, rename = "upcoming")]
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))]
    _upcoming: IgnoredAny,
}

impl ScheduleRequest {
    /// The schedule that is meant, under the address's name.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with what is wrong.
    pub fn spec(self, name: ScheduleName) -> Result<ScheduleSpec, Rejection> {
        let invalid = |why| Rejection::Invalid { what: "schedule", why };
        if let Some(said) = self.schedule.filter(|said| *said != name) {
            return Err(invalid(format!("the address names {name}, the schedule {said}")));
        }
        let kind = match self.kind {
            Some(kind) => kind,
            None => Kind::new(self.queue.as_str())?,
        };
        let payload = match &self.payload {
            Some(value) => payload::read(value, self.payload_encoding).map_err(invalid)?,
            None => crate::work::EMPTY_PAYLOAD.to_vec(),
        };
        Ok(ScheduleSpec {
            name,
            timing: self.timing,
            overlap: self.overlap,
            catch_up: self.catch_up,
            queue: self.queue,
            kind,
            payload,
            group: self.group,
            priority: self.priority,
            paused: self.paused,
        })
    }
}

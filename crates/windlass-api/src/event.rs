//! Events, their readers, and failure modes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_core::event::{Cause, Cursor, Event, EventType};
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::{EventPage, FailureMode, Reader};
use windlass_core::{GroupKey, JobId, Kind, QueueName, Time, WorkerId};

use crate::payload::{self, Encoding};
use crate::work::worker;

/// One transition of one job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventShape {
    /// Its place in the log.
    pub cursor: Cursor,
    /// When it happened, by the store's clock.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub at: Time,
    /// What happened.
    #[serde(rename = "type")]
    pub event: EventType,
    /// To which job.
    pub job: JobId,
    /// The job's queue.
    pub queue: QueueName,
    /// The job's kind.
    pub kind: Kind,
    /// The job's group.
    pub group: Option<GroupKey>,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// Why, where there is more than one reason.
    pub cause: Option<Cause>,
    /// The worker that held the job.
    #[serde(with = "worker::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::WorkerText>"))]
    pub worker: Option<WorkerId>,
    /// An error's or a snooze's words.
    pub text: Option<String>,
    /// What the job completed with, the first 4 KiB of it.
    #[serde(default, deserialize_with = "payload::present_owned")]
    pub result: Option<Box<RawValue>>,
    /// How to read the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_encoding: Option<Encoding>,
}

impl From<Event> for EventShape {
    fn from(event: Event) -> Self {
        let (result, result_encoding) = payload::show_some(event.result.as_deref());
        Self {
            cursor: event.cursor,
            at: event.at,
            event: event.event,
            job: event.job,
            queue: event.queue,
            kind: event.kind,
            group: event.group,
            attempt: event.attempt,
            cause: (event.cause != Cause::None).then_some(event.cause),
            worker: event.worker,
            text: event.text,
            result: result.map(Cow::into_owned),
            result_encoding,
        }
    }
}

impl TryFrom<EventShape> for Event {
    type Error = String;

    fn try_from(shape: EventShape) -> Result<Self, String> {
        Ok(Self {
            cursor: shape.cursor,
            at: shape.at,
            event: shape.event,
            job: shape.job,
            queue: shape.queue,
            kind: shape.kind,
            group: shape.group,
            attempt: shape.attempt,
            cause: shape.cause.unwrap_or_default(),
            worker: shape.worker,
            text: shape.text,
            result: payload::read_some(shape.result.as_deref(), shape.result_encoding)?,
        })
    }
}

/// A stretch of the event log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventPageShape {
    /// The events.
    pub events: Vec<EventShape>,
    /// Where to go on, also when there are none yet.
    pub next: Cursor,
    /// Events between the place asked for and the first one here are no longer kept.
    pub gap: bool,
}

impl From<EventPage> for EventPageShape {
    fn from(page: EventPage) -> Self {
        Self {
            events: page.events.into_iter().map(EventShape::from).collect(),
            next: page.next,
            gap: page.gap,
        }
    }
}

impl TryFrom<EventPageShape> for EventPage {
    type Error = String;

    fn try_from(page: EventPageShape) -> Result<Self, String> {
        let events = page.events.into_iter().map(Event::try_from).collect::<Result<_, _>>()?;
        Ok(Self { events, next: page.next, gap: page.gap })
    }
}

/// A reader whose place holds back the trimming of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReaderShape {
    /// Its name.
    pub name: String,
    /// It has read up to here.
    pub cursor: Cursor,
    /// Retention removes no job that ended at this time or later; null holds back no job.
    #[serde(default, with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub keeps_from: Option<Time>,
}

impl From<Reader> for ReaderShape {
    fn from(reader: Reader) -> Self {
        Self { name: reader.name, cursor: reader.cursor, keeps_from: reader.keeps_from }
    }
}

impl From<ReaderShape> for Reader {
    fn from(shape: ReaderShape) -> Self {
        Self { name: shape.name, cursor: shape.cursor, keeps_from: shape.keeps_from }
    }
}

/// Jobs that failed the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailureModeShape {
    /// Which mode.
    pub fingerprint: Fingerprint,
    /// Its normalised message.
    pub title: String,
    /// The queue it was seen in.
    pub queue: QueueName,
    /// The kind it was seen in last.
    pub kind: Kind,
    /// Dead jobs in it now.
    pub dead: u64,
    /// Failures of that mode since the store counts it.
    pub failures: u64,
    /// First seen.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub first_seen: Time,
    /// Last seen.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub last_seen: Time,
    /// A job that failed so.
    pub sample: JobId,
}

impl From<FailureMode> for FailureModeShape {
    fn from(mode: FailureMode) -> Self {
        let FailureMode { fingerprint, title, queue, kind, dead, failures, first_seen, last_seen, sample } =
            mode;
        Self { fingerprint, title, queue, kind, dead, failures, first_seen, last_seen, sample }
    }
}

impl From<FailureModeShape> for FailureMode {
    fn from(mode: FailureModeShape) -> Self {
        let FailureModeShape {
            fingerprint,
            title,
            queue,
            kind,
            dead,
            failures,
            first_seen,
            last_seen,
            sample,
        } = mode;
        Self { fingerprint, title, queue, kind, dead, failures, first_seen, last_seen, sample }
    }
}

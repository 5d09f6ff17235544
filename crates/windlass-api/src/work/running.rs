//! What holders say and hear while an attempt runs: heartbeat, report, cancel, watch.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_core::job::Progress;
use windlass_core::store::{Beat, Cancelled, Report, Signal};
use windlass_core::{JobId, Lease, Rejection, Time, WorkerId};

use super::{Held, LeaseText, invalid, worker};
use crate::payload::{self, Encoding};

/// Leases whose deadlines are to move.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// The leases.
    #[serde(deserialize_with = "crate::object::list")]
    #[cfg_attr(feature = "schema", schemars(length(max = 1000)))]
    pub leases: Vec<Held>,
}

/// The answer to the heartbeat of one lease that is still current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BeatShape {
    /// The new deadline.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub deadline: Time,
    /// Somebody asked the job to stop.
    pub cancel_requested: bool,
}

impl From<Beat> for BeatShape {
    fn from(beat: Beat) -> Self {
        Self { deadline: beat.deadline, cancel_requested: beat.cancel_requested }
    }
}

impl From<BeatShape> for Beat {
    fn from(shape: BeatShape) -> Self {
        Self { deadline: shape.deadline, cancel_requested: shape.cancel_requested }
    }
}

/// What a holder says of its attempt. Where the address names the job, it need not be said again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportShape<'a> {
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// The lease that its claim gave.
    pub lease: LeaseText,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Lines added to the attempt's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Cow<'a, str>>,
    /// What the next attempt gets.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::payload::present")]
    pub checkpoint: Option<Cow<'a, RawValue>>,
    /// How to read the checkpoint: `json` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_encoding: Option<Encoding>,
}

impl<'a> ReportShape<'a> {
    /// The report as it is said.
    pub fn of(report: &'a Report) -> Self {
        let (checkpoint, encoding) = payload::show_some(report.checkpoint.as_deref());
        Self {
            id: Some(report.lease.job),
            lease: LeaseText::of(&report.lease),
            progress: report.progress.clone(),
            log: report.log.as_deref().map(Cow::Borrowed),
            checkpoint_encoding: payload::said(checkpoint.as_deref(), encoding),
            checkpoint,
        }
    }

    /// The report that is meant.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with what is wrong.
    pub fn report(self) -> Result<Report, Rejection> {
        let job = self.id.ok_or_else(|| invalid("id")("the report names no job".into()))?;
        Ok(Report {
            lease: self.lease.lease(job),
            progress: self.progress,
            log: self.log.map(Cow::into_owned),
            checkpoint: payload::read_some(self.checkpoint.as_deref(), self.checkpoint_encoding)
                .map_err(invalid("checkpoint"))?,
        })
    }
}

/// Reports of running attempts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportRequest<'a> {
    /// The reports.
    #[serde(borrow, deserialize_with = "crate::object::list")]
    #[cfg_attr(feature = "schema", schemars(length(max = 1000)))]
    pub reports: Vec<ReportShape<'a>>,
}

/// Jobs by their ids.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// The ids.
    #[cfg_attr(feature = "schema", schemars(length(max = 1000)))]
    pub ids: Vec<JobId>,
}

/// What a cancellation came to: `now`, or `requested` of the job's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Cancellation"))]
pub struct CancelledShape {
    /// The word.
    pub cancelled: Cancelled,
}

/// A worker waits until something concerns it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// Who waits.
    #[serde(with = "worker")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::WorkerText"))]
    pub worker: WorkerId,
    /// Its queues with the free slots of each.
    #[serde(deserialize_with = "crate::object::list")]
    pub queues: Vec<crate::store::Slots>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum SignalShape {
    /// Nothing happened for as long as the server lets a request wait: ask again.
    None,
    /// Something may be claimable.
    Work,
    /// That attempt was asked to stop, or its lease is no longer current.
    Cancel {
        /// The job.
        id: JobId,
        /// Its lease.
        lease: LeaseText,
        /// Until when it is held.
        #[serde(with = "crate::time")]
        #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
        deadline: Time,
    },
    /// The store shuts down: finish and stop claiming.
    Drain,
}

impl From<Signal> for SignalShape {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Work => SignalShape::Work,
            Signal::Cancel(lease) => {
                SignalShape::Cancel { id: lease.job, lease: LeaseText::of(&lease), deadline: lease.deadline }
            }
            Signal::Drain => SignalShape::Drain,
        }
    }
}

impl SignalShape {
    /// The signal; none when nothing happened.
    pub fn signal(self) -> Option<Signal> {
        match self {
            SignalShape::None => None,
            SignalShape::Work => Some(Signal::Work),
            SignalShape::Cancel { id, lease, deadline } => {
                Some(Signal::Cancel(Lease { deadline, ..lease.lease(id) }))
            }
            SignalShape::Drain => Some(Signal::Drain),
        }
    }
}

//! Workers, versioned values, and upkeep.

use serde::{Deserialize, Serialize};
use windlass_core::store::{Hello, UpkeepReport, WorkerInfo};
use windlass_core::{QueueName, Time, WorkerId};

use crate::work::worker;

/// A queue that a worker takes from, and how many jobs of it at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// The queue.
    pub queue: QueueName,
    /// Jobs at once.
    pub slots: u32,
}

/// A worker introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HelloShape {
    /// Its id: `w-` and 16 hexadecimal digits, at random at each start.
    #[serde(with = "worker")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::WorkerText"))]
    pub worker: WorkerId,
    /// Where it runs.
    pub host: String,
    /// Its own version.
    pub version: String,
    /// Its queues.
    #[serde(deserialize_with = "crate::object::list")]
    pub queues: Vec<Slots>,
}

impl From<Hello> for HelloShape {
    fn from(hello: Hello) -> Self {
        let queues = hello.queues.into_iter().map(|(queue, slots)| Slots { queue, slots }).collect();
        Self { worker: hello.worker, host: hello.host, version: hello.version, queues }
    }
}

impl From<HelloShape> for Hello {
    fn from(shape: HelloShape) -> Self {
        let queues = shape.queues.into_iter().map(|slots| (slots.queue, slots.slots)).collect();
        Self { worker: shape.worker, host: shape.host, version: shape.version, queues }
    }
}

/// A worker as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkerShape {
    /// Its id.
    #[serde(with = "worker")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::WorkerText"))]
    pub worker: WorkerId,
    /// Where it runs.
    pub host: String,
    /// Its own version.
    pub version: String,
    /// Its queues.
    pub queues: Vec<Slots>,
    /// When it was last heard of.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub seen_at: Time,
    /// Leases that it holds.
    pub running: u64,
}

impl From<WorkerInfo> for WorkerShape {
    fn from(info: WorkerInfo) -> Self {
        let HelloShape { worker, host, version, queues } = info.hello.into();
        Self { worker, host, version, queues, seen_at: info.seen_at, running: info.running }
    }
}

impl From<WorkerShape> for WorkerInfo {
    fn from(shape: WorkerShape) -> Self {
        let WorkerShape { worker, host, version, queues, seen_at, running } = shape;
        Self { hello: HelloShape { worker, host, version, queues }.into(), seen_at, running }
    }
}

/// A value that the store keeps for servers, with its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Versioned {
    /// The value in base64.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Base64"))]
    pub value: String,
    /// Its version; 0 when there is none.
    pub version: u64,
}

/// The version that a value has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Version {
    /// The number.
    pub version: u64,
}

/// What is due is to be done now. A server does it by itself; who asks for it does not want to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UpkeepRequest {
    /// Steps at most.
    pub budget: usize,
}

/// What upkeep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UpkeepShape {
    /// Steps taken.
    pub done: usize,
    /// When there is something to do again; in the past when the budget ran out.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub next_due: Option<Time>,
}

impl From<UpkeepReport> for UpkeepShape {
    fn from(report: UpkeepReport) -> Self {
        Self { done: report.done, next_due: report.next_due }
    }
}

impl From<UpkeepShape> for UpkeepReport {
    fn from(shape: UpkeepShape) -> Self {
        Self { done: shape.done, next_due: shape.next_due }
    }
}

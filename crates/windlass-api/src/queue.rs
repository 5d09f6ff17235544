//! Queues, their groups, charts, and named limits.

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use windlass_core::histogram::Histogram;
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{Counts, GroupInfo, LimitInfo, QueueInfo, QueueSeries, Series, Totals};
use windlass_core::{GroupKey, JobId, LimitName, QueueName, State, Time};

/// Jobs by state, under the states' words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByState(pub Counts);

impl Serialize for ByState {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(State::ALL.len()))?;
        for state in State::ALL {
            map.serialize_entry(state.as_str(), &self.0.of(state))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ByState {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct States;
        impl<'de> Visitor<'de> for States {
            type Value = ByState;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a count for each state")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByState, A::Error> {
                let mut counts = Counts::default();
                while let Some((state, count)) = map.next_entry::<State, u64>()? {
                    let place: Option<&mut u64> = counts.0.get_mut(state as usize);
                    *place.ok_or_else(|| de::Error::custom("a state has no number"))? = count;
                }
                Ok(ByState(counts))
            }
        }
        from.deserialize_map(States)
    }
}

/// Durations in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Times {
    /// How many were measured.
    pub count: u64,
    /// The median, within 12.5 %.
    pub p50: u64,
    /// 95 of 100 took no longer.
    pub p95: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// All of them: the sum, the longest, then pairs of a bucket's number and its count.
    pub histogram: Histogram,
}

impl From<Histogram> for Times {
    fn from(histogram: Histogram) -> Self {
        let at = |share| histogram.quantile(share);
        let (p50, p95, p99) = (at(0.5), at(0.95), at(0.99));
        Self { count: histogram.count(), p50, p95, p99, max: histogram.max(), histogram }
    }
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueShape {
    /// Its name.
    pub queue: QueueName,
    /// Whether nothing is claimed from it.
    pub paused: bool,
    /// Its jobs by state.
    pub jobs: ByState,
    /// When the longest-waiting ready job became ready.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub oldest_ready: Option<Time>,
    /// Groups that have live jobs.
    pub groups: u64,
    /// Completions in the last minute.
    pub completed_last_minute: u64,
    /// What it has done since it exists.
    pub totals: Totals,
    /// From ready to claimed.
    pub wait_ms: Times,
    /// From claimed to settled.
    pub run_ms: Times,
    /// Its settings.
    pub settings: QueueSettings,
}

impl From<QueueInfo> for QueueShape {
    fn from(info: QueueInfo) -> Self {
        Self {
            queue: info.name,
            paused: info.settings.paused,
            jobs: ByState(info.counts),
            oldest_ready: info.oldest_ready,
            groups: info.groups,
            completed_last_minute: info.completed_last_minute,
            totals: info.totals,
            wait_ms: info.wait_ms.into(),
            run_ms: info.run_ms.into(),
            settings: info.settings,
        }
    }
}

impl From<QueueShape> for QueueInfo {
    fn from(shape: QueueShape) -> Self {
        Self {
            name: shape.queue,
            settings: shape.settings,
            counts: shape.jobs.0,
            totals: shape.totals,
            oldest_ready: shape.oldest_ready,
            groups: shape.groups,
            wait_ms: shape.wait_ms.histogram,
            run_ms: shape.run_ms.histogram,
            completed_last_minute: shape.completed_last_minute,
        }
    }
}

/// A group of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupShape {
    /// Its key; null is the group of jobs without one.
    pub group: Option<GroupKey>,
    /// Its jobs by state.
    pub jobs: ByState,
    /// Attempts started since the group exists in memory.
    pub claimed: u64,
    /// Held until, by a rate-limited snooze.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub held_until: Option<Time>,
    /// Shut by the death of its head.
    pub shut_by: Option<JobId>,
    /// Whether the settings are its own, not the queue's defaults.
    pub own_settings: bool,
    /// Its settings in force.
    pub settings: GroupSettings,
}

impl From<GroupInfo> for GroupShape {
    fn from(info: GroupInfo) -> Self {
        Self {
            group: info.key,
            jobs: ByState(info.counts),
            claimed: info.claimed,
            held_until: info.held_until,
            shut_by: info.shut_by,
            own_settings: info.own_settings,
            settings: info.settings,
        }
    }
}

impl From<GroupShape> for GroupInfo {
    fn from(shape: GroupShape) -> Self {
        Self {
            key: shape.group,
            settings: shape.settings,
            own_settings: shape.own_settings,
            counts: shape.jobs.0,
            claimed: shape.claimed,
            held_until: shape.held_until,
            shut_by: shape.shut_by,
        }
    }
}

/// A named limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LimitShape {
    /// Its name.
    pub limit: LimitName,
    /// Its settings; none admit everything.
    #[serde(flatten)]
    pub settings: LimitSettings,
    /// The sum of costs of running jobs.
    pub in_use: u64,
    /// Lanes that wait for it.
    pub waiting_lanes: u64,
    /// Closed until, by its rate or a rate-limited snooze.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub closed_until: Option<Time>,
}

impl From<LimitInfo> for LimitShape {
    fn from(info: LimitInfo) -> Self {
        let LimitInfo { name, settings, in_use, waiting_lanes, closed_until } = info;
        Self { limit: name, settings, in_use, waiting_lanes, closed_until }
    }
}

impl From<LimitShape> for LimitInfo {
    fn from(shape: LimitShape) -> Self {
        let LimitShape { limit, settings, in_use, waiting_lanes, closed_until } = shape;
        Self { name: limit, settings, in_use, waiting_lanes, closed_until }
    }
}

/// One slot of a chart: when it begins, and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Point(
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub Time,
    pub u64,
);

/// Counts by slot of time, oldest first; slots that hold nothing are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeriesShape {
    /// Width of a slot.
    pub slot_ms: u64,
    /// Start and count of each slot.
    pub points: Vec<Point>,
}

/// The charts of one queue, each by second, minute and hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueSeriesShape {
    /// Enqueues.
    pub enqueued: Vec<SeriesShape>,
    /// Completions.
    pub completed: Vec<SeriesShape>,
    /// Failures.
    pub failed: Vec<SeriesShape>,
}

impl From<QueueSeries> for QueueSeriesShape {
    fn from(series: QueueSeries) -> Self {
        let one = |series: Series| SeriesShape {
            slot_ms: series.slot_ms,
            points: series.points.into_iter().map(|(at, n)| Point(at, n)).collect(),
        };
        let all = |list: Vec<Series>| list.into_iter().map(one).collect();
        Self { enqueued: all(series.enqueued), completed: all(series.completed), failed: all(series.failed) }
    }
}

impl From<QueueSeriesShape> for QueueSeries {
    fn from(shape: QueueSeriesShape) -> Self {
        let one = |series: SeriesShape| Series {
            slot_ms: series.slot_ms,
            points: series.points.into_iter().map(|point| (point.0, point.1)).collect(),
        };
        let all = |list: Vec<SeriesShape>| list.into_iter().map(one).collect();
        Self { enqueued: all(shape.enqueued), completed: all(shape.completed), failed: all(shape.failed) }
    }
}

//! Queues and groups: their settings, all changed live.

use crate::bounds;
use crate::error::Rejection;
use crate::limit::LimitSettings;
use crate::name::{GroupKey, QueueName};
use crate::retry::RetryPolicy;
use serde::{Deserialize, Serialize};

/// What happens to an ordered group when its head dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnHeadDeath {
    /// The group is shut until the head is retried in place, cancelled or deleted.
    #[default]
    Block,
    /// The next job goes on; a later retry of the dead one joins the tail.
    Park,
}

/// Settings of one group, or the defaults of a queue's groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct GroupSettings {
    /// Share of the queue against its other groups, 1 to 1,000.
    pub weight: u16,
    /// Limits of this group alone, beside the queue's.
    #[serde(flatten)]
    pub limits: LimitSettings,
    /// At most one lease at a time, in the order of becoming ready; the head keeps its place
    /// through retry, snooze, release, loss and restart. Jobs of ordered groups have priority 0.
    pub ordered: bool,
    /// What the death of an ordered group's head does.
    pub on_head_death: OnHeadDeath,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            weight: 1,
            limits: LimitSettings::default(),
            ordered: false,
            on_head_death: OnHeadDeath::Block,
        }
    }
}

impl GroupSettings {
    /// Refuses settings that cannot be kept.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] that names the fault.
    pub fn validate(&self) -> Result<(), Rejection> {
        if self.weight == 0 || self.weight > bounds::WEIGHT_MAX {
            let why = format!("{} is not between 1 and {}", self.weight, bounds::WEIGHT_MAX);
            return Err(Rejection::Invalid { what: "weight", why });
        }
        self.limits.validate()
    }
}

/// How long and how many ended jobs a queue keeps; whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Retention {
    /// Completed jobs, by age.
    #[serde(deserialize_with = "whole")]
    pub completed_ms: u64,
    /// Completed jobs, by count.
    #[serde(deserialize_with = "whole")]
    pub completed_count: u64,
    /// Cancelled jobs, by age.
    #[serde(deserialize_with = "whole")]
    pub cancelled_ms: u64,
    /// Cancelled jobs, by count.
    #[serde(deserialize_with = "whole")]
    pub cancelled_count: u64,
    /// Dead jobs, by age.
    #[serde(deserialize_with = "whole")]
    pub dead_ms: u64,
    /// Dead jobs, by count.
    #[serde(deserialize_with = "whole")]
    pub dead_count: u64,
}

/// A whole number, also as programs write it that know fractions alone (`1.8446744073709552e19`, for no bound): settings
/// that were read with `jq` or in JavaScript can be written back.
fn whole<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    struct Whole;
    impl serde::de::Visitor<'_> for Whole {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number from 0 on")
        }

        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<u64, E> {
            u64::try_from(number).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
        }

        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<u64, E> {
            // The largest number, once it has lost its last digits, is one more than that: it becomes itself again.
            if number < 0.0 || number.fract() != 0.0 || number > u64::MAX as f64 {
                return Err(E::invalid_value(serde::de::Unexpected::Float(number), &self));
            }
            Ok(number as u64)
        }
    }
    from.deserialize_u64(Whole)
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            completed_ms: bounds::RETENTION_ENDED_MS,
            completed_count: bounds::RETENTION_ENDED_COUNT,
            cancelled_ms: bounds::RETENTION_ENDED_MS,
            cancelled_count: bounds::RETENTION_ENDED_COUNT,
            dead_ms: bounds::RETENTION_DEAD_MS,
            dead_count: u64::MAX,
        }
    }
}

/// Everything that can be set on a queue while it works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct QueueSettings {
    /// Nothing is claimed from a paused queue; running jobs go on.
    pub paused: bool,
    /// Limits over all workers of the queue.
    #[serde(flatten)]
    pub limits: LimitSettings,
    /// How long a claim holds without a heartbeat.
    pub lease_ms: u64,
    /// Retry policy of jobs that bring none.
    pub retry: RetryPolicy,
    /// How long ended jobs stay.
    pub retention: Retention,
    /// Waiting jobs (scheduled, ready, retrying, blocked) above which enqueues are refused.
    pub max_waiting: Option<u64>,
    /// Defaults for groups that have no settings of their own.
    pub groups: GroupSettings,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            paused: false,
            limits: LimitSettings::default(),
            lease_ms: bounds::LEASE_MS_DEFAULT,
            retry: RetryPolicy::default(),
            retention: Retention::default(),
            max_waiting: None,
            groups: GroupSettings::default(),
        }
    }
}

impl QueueSettings {
    /// Refuses settings that cannot be kept.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] that names the fault.
    pub fn validate(&self) -> Result<(), Rejection> {
        self.limits.validate()?;
        self.groups.validate()?;
        self.retry.validate().map_err(|why| Rejection::Invalid { what: "retry policy", why })?;
        if !(bounds::LEASE_MS_MIN..=bounds::LEASE_MS_MAX).contains(&self.lease_ms) {
            let why = format!("lease of {} ms is not between 1 s and 24 h", self.lease_ms);
            return Err(Rejection::Invalid { what: "settings", why });
        }
        Ok(())
    }
}

/// A group named together with its queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupName {
    /// The queue.
    pub queue: QueueName,
    /// The key inside it; none is the group of all jobs without one.
    pub key: Option<GroupKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_that_went_through_a_program_without_whole_numbers_comes_back() {
        let kept = Retention { dead_count: u64::MAX, completed_count: 7, ..Retention::default() };
        let text = serde_json::to_string(&kept).expect("json");
        let through = text.replace("18446744073709551615", "1.8446744073709552e+19").replace(":7,", ":7.0,");
        assert_eq!(serde_json::from_str::<Retention>(&through).expect("the same"), kept);
        for bad in ["-1", "1.5", "1.9e19", "1e999", "\"7\"", "null"] {
            let error = serde_json::from_str::<Retention>(&format!("{{\"dead_count\":{bad}}}"));
            assert!(error.is_err(), "{bad}");
        }
    }
}

//! Concurrency and rate: what queues, groups and named limits may set, and what a job may ask for.

use crate::error::Rejection;
use crate::name::LimitName;
use crate::rate::Rate;
use serde::{Deserialize, Serialize};

/// How much may run at once and how much may start in a time; both hold over all workers, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct LimitSettings {
    /// Jobs running at once (for named limits: the sum of their costs); none means unlimited.
    pub concurrency: Option<u32>,
    /// Starts per time (for named limits: the sum of their costs); none means unlimited.
    pub rate: Option<Rate>,
}

impl LimitSettings {
    /// Refuses a rate that cannot be kept.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] that names the fault.
    pub fn validate(&self) -> Result<(), Rejection> {
        match &self.rate {
            Some(rate) => rate.validate().map_err(|why| Rejection::Invalid { what: "rate", why }),
            None => Ok(()),
        }
    }

    /// The most that can ever be admitted at once; a cost above it would wait for ever. A concurrency of 0 closes the limit
    /// for a while and says nothing of what it admits when it is open.
    pub fn most(&self) -> u32 {
        let by_rate = self.rate.map_or(u32::MAX, |rate| rate.burst);
        self.concurrency.filter(|most| *most > 0).unwrap_or(u32::MAX).min(by_rate)
    }
}

/// One named limit that a job takes when it starts, together with all its others or not at all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LimitUse {
    /// Which limit.
    pub name: LimitName,
    /// How much of it the job takes.
    #[serde(default = "one")]
    pub cost: u32,
}

fn one() -> u32 {
    1
}

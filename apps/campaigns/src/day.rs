//! A campaign day in the queue: settings of the seven queues, and the launches with their moments.
//!
//! It owns when which campaign is launched and in which group its jobs stand. Launching a day again, as a process
//! that was killed does, changes nothing: every launch has an id that follows from the day's start.

use serde::{Deserialize, Serialize};
use windlass::{
    Client, Draft, Job, JobId, Time,
    core::{
        limit::LimitSettings,
        queue::QueueSettings,
        retry::{Jitter, RetryPolicy},
    },
};

use crate::plan::{Campaign, CampaignId, Plan, QUEUES, USERS, WarmUpSender};

/// The group of every job when campaigns do not share fairly.
const ONE_GROUP: &str = "all-campaigns";
/// How far into a campaign day the small campaigns begin, in thousandths of [`Day::launches_ms`]: the whale is in
/// the queue, nobody has been reached.
const HEAD_START_THOUSANDTHS: u64 = 50;
/// Tries of a touch: with the shortest delays a provider has half a minute to come back.
const MAX_FAILURES: u32 = 10;

/// How campaigns share the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// A group for each: no campaign waits for another's contacts.
    FairGroups,
    /// One group for all: first come, first served.
    OneGroup,
}

/// When the campaigns of a day are launched, and how they share the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// The launch of the first campaign, the whale; in milliseconds since 1970.
    pub start_ms: u64,
    /// The time over which the others are launched, one after another.
    pub launches_ms: u64,
    /// How campaigns share the queues.
    pub sharing: Sharing,
    /// How long after its launch a campaign's steps are due.
    pub step_delay_ms: u64,
    /// The delay after a touch's first failure; doubled with each one.
    pub retry_base_ms: u64,
    /// The longest delay after a failure.
    pub retry_cap_ms: u64,
    /// How long a touch is held by a worker that says nothing; what one that was killed held comes back after it.
    pub lease_ms: u64,
}

impl Day {
    /// Sets the queues and enqueues the launches of all campaigns; a second call for the same day changes nothing.
    ///
    /// # Errors
    /// The store's rejection, or its failure.
    pub async fn launch(&self, plan: &Plan, client: &Client) -> Result<(), windlass::Error> {
        for queue in QUEUES {
            client.set_queue(queue.name, self.settings(queue.concurrency)).await?;
        }
        let campaigns = plan.campaigns();
        let launches =
            campaigns.iter().enumerate().map(|(nth, campaign)| self.draft(nth, campaigns.len(), campaign));
        let warm_ups = (1..=USERS).map(|user| self.warm_up(user));
        for enqueued in client.enqueue_many(launches.chain(warm_ups)).await? {
            enqueued?;
        }
        Ok(())
    }

    /// When the `nth` campaign of the plan is launched, in milliseconds since 1970.
    pub fn launch_at_ms(&self, nth: usize, campaigns: usize) -> u64 {
        if nth == 0 {
            return self.start_ms;
        }
        let [nth, campaigns] = [nth, campaigns].map(|number| u64::try_from(number).unwrap_or(u64::MAX));
        let head_start_ms = self.launches_ms * HEAD_START_THOUSANDTHS / 1_000;
        self.start_ms + head_start_ms + self.launches_ms.saturating_mul(nth - 1) / campaigns.max(1)
    }

    /// The id of a launch.
    pub fn launch_id(&self, campaign: CampaignId) -> JobId {
        JobId::named(Time(self.start_ms), &format!("launch/{campaign}"))
    }

    fn draft(&self, nth: usize, campaigns: usize, campaign: &Campaign) -> Draft {
        let group = match self.sharing {
            Sharing::FairGroups => campaign.id.group(),
            Sharing::OneGroup => ONE_GROUP.to_owned(),
        };
        let run_at = Time(self.launch_at_ms(nth, campaigns));
        campaign
            .launch(self.step_delay_ms)
            .draft()
            .id(self.launch_id(campaign.id))
            .group(group)
            .run_at(run_at)
    }

    fn warm_up(&self, user: u32) -> Draft {
        let id = JobId::named(Time(self.start_ms), &format!("warm-up/{user}"));
        WarmUpSender { sender: format!("user{user}@example.com"), day: 1 }.draft().id(id)
    }

    fn settings(&self, concurrency: u32) -> QueueSettings {
        QueueSettings {
            limits: LimitSettings { concurrency: Some(concurrency), rate: None },
            retry: RetryPolicy::Exponential {
                base_ms: self.retry_base_ms,
                cap_ms: self.retry_cap_ms,
                max_failures: MAX_FAILURES,
                jitter: Jitter::Full,
            },
            lease_ms: self.lease_ms,
            ..QueueSettings::default()
        }
    }
}

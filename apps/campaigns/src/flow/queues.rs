//! The seven queues: one for each type of work, each with its own number of jobs at once.

use windlass::{
    Client,
    core::{
        limit::LimitSettings,
        queue::QueueSettings,
        retry::{Jitter, RetryPolicy},
    },
};

use crate::channel::Channel;

/// Tries of a job that fails: with the delays below, a provider or database has about two hours to come back.
pub(super) const MAX_FAILURES: u32 = 12;
/// The delay after the first failure; doubled with each.
const RETRY_BASE_MS: u64 = 2_000;
/// The longest delay after a failure.
const RETRY_CAP_MS: u64 = 30 * 60_000;

/// A queue and how many of its jobs run at once, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlan {
    /// The queue's name.
    pub name: &'static str,
    /// Jobs that run at once.
    pub concurrency: u32,
}

/// Launched campaigns: each pages its contacts.
pub const CAMPAIGN: QueuePlan = QueuePlan { name: "campaign", concurrency: 100 };
/// Steps: one contact in one campaign, decided.
pub const CAMPAIGN_STEP: QueuePlan = QueuePlan { name: "campaign-step", concurrency: 40 };
/// Mails.
pub const EMAIL: QueuePlan = QueuePlan { name: "email", concurrency: 30 };
/// Texts.
pub const SMS: QueuePlan = QueuePlan { name: "sms", concurrency: 50 };
/// Calls, one at a time.
pub const VOICEMAIL: QueuePlan = QueuePlan { name: "voicemail", concurrency: 1 };
/// Looks at what has become of a message.
pub const WATCH: QueuePlan = QueuePlan { name: "watch", concurrency: 100 };
/// Tomorrow's cap of each sender.
pub const SENDER_WARM_UP: QueuePlan = QueuePlan { name: "sender-warm-up", concurrency: 1 };

/// All of them, in the order of a touch's way.
pub const ALL: [QueuePlan; 7] = [CAMPAIGN, CAMPAIGN_STEP, EMAIL, SMS, VOICEMAIL, WATCH, SENDER_WARM_UP];

/// The queues in which campaigns wait for each other, and share.
pub const SHARED: [QueuePlan; 6] = [CAMPAIGN, CAMPAIGN_STEP, EMAIL, SMS, VOICEMAIL, WATCH];

/// The queues of messages.
pub const MESSAGES: [QueuePlan; 3] = [EMAIL, SMS, VOICEMAIL];

/// The queue of a channel's messages.
pub fn of(channel: Channel) -> QueuePlan {
    match channel {
        Channel::Email => EMAIL,
        Channel::Sms => SMS,
        Channel::Voicemail => VOICEMAIL,
    }
}

/// Gives the seven queues their settings, where nobody has given them others: what people have changed stays.
///
/// # Errors
/// The store's.
pub async fn set_up(client: &Client) -> Result<(), windlass::Error> {
    let known = client.store().queues(None, None).await?;
    for queue in ALL {
        let is_set = known
            .iter()
            .any(|info| info.name.as_str() == queue.name && info.settings != QueueSettings::default());
        if !is_set {
            client.set_queue(queue.name, settings(queue)).await?;
        }
    }
    Ok(())
}

/// The settings of a queue when nobody has changed them.
pub fn settings(queue: QueuePlan) -> QueueSettings {
    QueueSettings {
        limits: LimitSettings { concurrency: Some(queue.concurrency), rate: None },
        retry: RetryPolicy::Exponential {
            base_ms: RETRY_BASE_MS,
            cap_ms: RETRY_CAP_MS,
            max_failures: MAX_FAILURES,
            jitter: Jitter::Full,
        },
        ..QueueSettings::default()
    }
}

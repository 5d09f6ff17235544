//! What the queue recorded of a day, as the account asks for it: dead letters, and the attempts of single jobs.
//!
//! The dead letters are read once; there are few. The attempts of a job are looked up when its deliveries repeat,
//! which is rarer still, so a day of any size is never scanned.

use std::collections::HashMap;

use serde::Deserialize;
use tokio::runtime::Handle;
use windlass::{
    Client, JobId,
    core::{
        QueueName,
        bounds::{LIST_BUDGET_DEFAULT, PAGE_MAX},
        event::EventType,
        job::{JobDetail, State},
        store::Filter,
    },
};

use crate::{
    channel::Channel,
    plan::{CampaignId, ContactId, Touch},
    reconcile::{Cause, Record},
};

/// The record of one store.
///
/// Its lookups wait for the store, so they belong on a thread that may block
/// ([`tokio::task::spawn_blocking`]).
pub struct QueueRecord {
    client: Client,
    runtime: Handle,
    dead: HashMap<(Channel, CampaignId, ContactId), String>,
}

/// The part of a touch's payload that names it.
#[derive(Deserialize)]
struct Named {
    campaign: CampaignId,
    contact: ContactId,
}

impl QueueRecord {
    /// Reads the dead letters of the three channels.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn read(client: &Client) -> Result<Self, windlass::Error> {
        let mut dead = HashMap::new();
        for channel in Channel::ALL {
            let filter = Filter {
                queue: Some(QueueName::new(channel.queue().name)?),
                states: vec![State::Dead],
                ..Filter::default()
            };
            let mut cursor = None;
            loop {
                let page =
                    client.store().list(filter.clone(), cursor, PAGE_MAX, LIST_BUDGET_DEFAULT).await??;
                for view in page.items {
                    let Some(detail) = client.get(view.id).await? else { continue };
                    if let Ok(Named { campaign, contact }) = serde_json::from_slice(&detail.payload) {
                        dead.insert((channel, campaign, contact), last_error(&detail));
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(Self { client: client.clone(), runtime: Handle::current(), dead })
    }

    /// How many touches are dead letters.
    pub fn dead(&self) -> usize {
        self.dead.len()
    }
}

fn last_error(detail: &JobDetail) -> String {
    let last = detail.attempts.iter().rev().find_map(|attempt| attempt.error.as_ref());
    last.map(|error| error.message.clone()).or_else(|| detail.view.last_error.clone()).unwrap_or_default()
}

impl Record for QueueRecord {
    fn causes(&self, job: &str) -> Vec<Cause> {
        let Ok(id) = job.parse::<JobId>() else { return Vec::new() };
        // A record that cannot be read explains nothing, and the repeat is reported as unexplained.
        let Ok(Some(detail)) = self.runtime.block_on(self.client.get(id)) else { return Vec::new() };
        let cause = |outcome: &str, error: &str| match outcome {
            word if word == EventType::Lost.as_str() => Some(Cause::LeaseLost),
            word if word == EventType::Released.as_str() => Some(Cause::Released),
            word if word == EventType::Failed.as_str() => Cause::of_failure(error),
            _ => None,
        };
        let attempts = detail.attempts.iter();
        attempts
            .filter_map(|attempt| {
                let error = attempt.error.as_ref().map_or("", |error| error.message.as_str());
                cause(&attempt.outcome, error)
            })
            .collect()
    }

    fn refusal(&self, touch: &Touch) -> Option<String> {
        self.dead.get(&(touch.channel, touch.campaign, touch.contact)).cloned()
    }
}

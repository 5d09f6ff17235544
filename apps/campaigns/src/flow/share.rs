//! Who gets how much of the queues: every user their share, and each of their campaigns its part of that.
//!
//! The queue knows groups with weights, and a group is a campaign. A user with ten campaigns must not get ten times what a
//! user with one gets, so a campaign's weight is its user's, divided by what their live campaigns weigh together.
//! The weights are set anew whenever one of them begins or ends; those of a campaign that is over are removed.
//!
//! An installation may do without: then all campaigns stand in one line, first come, first served.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{try_join, try_join_all},
    stream,
};
use serde::{Deserialize, Serialize};
use windlass::{
    Client,
    core::{
        GroupKey, LimitName, QueueName, Rejection, limit::LimitSettings, queue::GroupSettings,
        store::LimitInfo,
    },
};

use super::{
    jobs::{campaign_of, group},
    limits, queues,
};
use crate::{
    app::{App, AppError},
    db::Tx,
    model::{
        CampaignId, UserId,
        campaign::{Campaign, CampaignStatus},
    },
    store::{campaigns, users},
};

/// How the campaigns share the queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Each campaign is a group of its own, with its part of its user's share: none waits for another's contacts.
    #[default]
    Fair,
    /// First come, first served: all campaigns share one line, and whoever is launched behind a large one waits for it.
    /// Jobs that stand in a queue when this is changed keep the place that they have.
    FirstCome,
}

/// The weight of a group at most, by the contract.
const WEIGHT_MAX: u64 = 1_000;
/// What a user of weight 1 has to divide: a user of the usual weight 10 with one campaign stands in the middle of the
/// scale, and with 500 campaigns each still has a weight.
const UNIT: u64 = 50;
/// Groups, or limits, that are looked at together.
const PAGE: usize = 500;
/// Settings of a queue that are written at once: as many as share a commit of the store's, and no more than its other
/// callers bear.
const AT_ONCE: usize = 32;

/// What the queue is to know of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    weight: u16,
    is_held: bool,
}

/// What the queue is to know of campaigns; none of one that is over.
type Shares = BTreeMap<CampaignId, Option<Share>>;

impl Share {
    fn group(self) -> GroupSettings {
        GroupSettings { weight: self.weight, limits: self.limit(), ..GroupSettings::default() }
    }

    fn limit(self) -> LimitSettings {
        LimitSettings { concurrency: self.is_held.then_some(0), rate: None }
    }
}

/// The weight of a campaign whose user has that weight, and whose live campaigns weigh so much together.
fn weight(user: u32, campaign: u32, together: u32) -> u16 {
    let share = u64::from(user) * UNIT * u64::from(campaign) / u64::from(together.max(1));
    u16::try_from(share.clamp(1, WEIGHT_MAX)).unwrap_or(1)
}

/// Sets the weights of a user's live campaigns. A paused one is held in place: its jobs stay where they are, and nothing
/// is claimed. Whoever changes the campaigns at the same moment, the queue ends up with what the database says.
///
/// # Errors
/// The database's, or the queue's.
pub async fn set(app: &App, user: UserId) -> Result<(), AppError> {
    settle(app, Some(user), BTreeSet::new()).await
}

/// Sets the weights of all live campaigns, and removes what was left of those that are over: whoever was killed between a
/// change of a campaign and its word to the queue has left a pause without a hold, or a hold without a pause.
///
/// # Errors
/// The database's, or the queue's.
pub async fn set_all(app: &App) -> Result<(), AppError> {
    let mut known: BTreeSet<CampaignId> =
        groups(app.client(), queues::CAMPAIGN_STEP.name).await?.into_keys().collect();
    known.extend(held_limits(app.client()).await?);
    let over = app
        .db()
        .read(move |tx| {
            let mut over = BTreeSet::new();
            for id in &known {
                if campaigns::get(tx, *id)?.is_some_and(|campaign| !campaign.status.is_live()) {
                    over.insert(*id);
                }
            }
            Ok::<_, AppError>(over)
        })
        .await?;
    settle(app, None, over).await
}

/// Removes what was set for a campaign that is over, and gives its share to the others of its user.
///
/// # Errors
/// The database's, or the queue's.
pub async fn forget(app: &App, campaign: &Campaign) -> Result<(), AppError> {
    settle(app, Some(campaign.user), BTreeSet::from([campaign.id])).await
}

/// Ends a campaign if all of its contacts have come to their end. It looks after what ended the last one has committed, so
/// that of two that end at once the later one sees both.
///
/// # Errors
/// The database's, or the queue's.
pub(crate) async fn end_if_over(app: &App, id: CampaignId) -> Result<(), AppError> {
    let now = app.now();
    let over = app
        .db()
        .write(move |tx| {
            let ended = campaigns::end_if_over(tx, id, now)?;
            Ok::<_, AppError>(if ended { campaigns::get(tx, id)? } else { None })
        })
        .await?;
    match over {
        Some(campaign) => forget(app, &campaign).await,
        None => Ok(()),
    }
}

/// Tells the queue what the database says of the campaigns of that user, or of all, and that those are over.
///
/// Whoever changes a campaign commits and then comes here, so several may tell the queue of different moments, in any
/// order. Each looks at the database again after it has written: whoever writes last has looked last.
async fn settle(app: &App, whose: Option<UserId>, mut over: BTreeSet<CampaignId>) -> Result<(), AppError> {
    let mut live = live(app, whose).await?;
    loop {
        let mut shares = live.clone();
        shares.extend(over.iter().map(|id| (*id, None)));
        tell(app, shares).await?;
        let now = self::live(app, whose).await?;
        if now == live {
            return Ok(());
        }
        over.extend(live.keys().filter(|id| !now.contains_key(id)));
        live = now;
    }
}

/// What the database says of the live campaigns of that user, or of all.
async fn live(app: &App, whose: Option<UserId>) -> Result<Shares, AppError> {
    let read = move |tx: &mut Tx<'_>| {
        let users = match whose {
            Some(user) => users::get(tx, user)?.into_iter().collect(),
            None => users::all(tx)?,
        };
        let mut shares = Shares::new();
        for user in users {
            let live = campaigns::live_of(tx, user.id)?;
            let sends = |campaign: &&Campaign| campaign.status != CampaignStatus::Paused;
            let together: u32 = live.iter().filter(sends).map(|campaign| campaign.weight).sum();
            shares.extend(live.iter().map(|campaign| {
                let weight = weight(user.weight, campaign.weight, together);
                (campaign.id, Some(Share { weight, is_held: !sends(&campaign) }))
            }));
        }
        Ok::<_, AppError>(shares)
    };
    app.db().read(read).await
}

/// Tells the queue what it does not know yet.
async fn tell(app: &App, shares: Shares) -> Result<(), AppError> {
    if shares.is_empty() {
        return Ok(());
    }
    let shares = Arc::new(shares);
    let queues = queues::SHARED.map(|queue| tell_queue(app.client().clone(), queue.name, shares.clone()));
    try_join(try_join_all(queues), tell_limits(app.client(), &shares)).await.map(drop)
}

async fn tell_queue(client: Client, queue: &'static str, shares: Arc<Shares>) -> Result<(), AppError> {
    let known = groups(&client, queue).await?;
    let mut changed = Vec::new();
    for (id, share) in shares.iter() {
        let settings = share.map(Share::group);
        if known.get(id) != settings.as_ref() {
            changed.push(tell_group(client.clone(), queue, *id, settings));
        }
    }
    stream::iter(changed).buffer_unordered(AT_ONCE).try_collect().await
}

async fn tell_group(
    client: Client,
    queue: &'static str,
    id: CampaignId,
    settings: Option<GroupSettings>,
) -> Result<(), AppError> {
    Ok(client.set_group(queue, group(id), settings).await?)
}

/// Holds the limits of paused campaigns: what stands in one line is held by them. Those of others need none.
async fn tell_limits(client: &Client, shares: &Shares) -> Result<(), AppError> {
    let known = held_limits(client).await?;
    for (id, share) in shares {
        let held = share.filter(|share| share.is_held).map(Share::limit);
        if held.is_some() == known.contains(id) {
            continue;
        }
        match client.set_limit(limits::of_campaign(*id), held).await {
            // Somebody else has removed it.
            Ok(()) | Err(windlass::Error::Rejected(Rejection::NotFound { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What a queue has been told of campaigns.
async fn groups(
    client: &Client,
    queue: &'static str,
) -> Result<BTreeMap<CampaignId, GroupSettings>, AppError> {
    let queue = QueueName::new(queue).map_err(windlass::Error::from)?;
    let (mut known, mut after) = (BTreeMap::new(), None);
    loop {
        let page = client.store().groups(queue.clone(), after, PAGE).await?;
        let own = page.items.iter().filter(|group| group.own_settings);
        known.extend(
            own.filter_map(|group| Some((campaign_of(group.key.as_ref()?.as_str())?, group.settings))),
        );
        let Some(next) = page.next.and_then(|next| GroupKey::new(&next).ok()) else { return Ok(known) };
        after = Some(next);
    }
}

/// The campaigns whose limits are held.
async fn held_limits(client: &Client) -> Result<BTreeSet<CampaignId>, AppError> {
    let (mut held, mut after) = (BTreeSet::new(), LimitName::new(limits::CAMPAIGN).ok());
    loop {
        let page = client.store().limits(after, PAGE).await?;
        let campaigns =
            || page.items.iter().filter(|limit| limit.name.as_str().starts_with(limits::CAMPAIGN));
        let is_held = |limit: &&LimitInfo| limit.settings != LimitSettings::default();
        held.extend(campaigns().filter(is_held).filter_map(|limit| campaign_of(limit.name.as_str())));
        let next = page.next.as_ref().filter(|next| next.starts_with(limits::CAMPAIGN));
        let Some(next) = next.and_then(|next| LimitName::new(next).ok()) else { return Ok(held) };
        after = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_campaigns_together_have_the_users_share() {
        let one = u32::from(weight(10, 10, 10));
        for campaigns in [2_u32, 5, 10, 100] {
            let together: u32 = (0..campaigns).map(|_| u32::from(weight(10, 10, 10 * campaigns))).sum();
            assert!(together.abs_diff(one) <= one / 10, "{campaigns}: {together} of {one}");
        }
        assert_eq!(weight(10, 30, 40), 3 * weight(10, 10, 40), "a campaign's own weight divides its user's");
        assert_eq!(weight(20, 1, 1), 2 * weight(10, 1, 1));
        assert_eq!(weight(1, 1, 1_000_000), 1, "nobody is left without");
        assert_eq!(weight(100, 100, 1), 1_000);
    }
}

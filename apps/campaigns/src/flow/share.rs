//! Who gets how much of the queues: every user their share, and each of their campaigns its part of that.
//!
//! The queue knows groups with weights, and a group is a campaign. A user with ten campaigns must not get ten times what a
//! user with one gets, so a campaign's weight is its user's, divided by what their live campaigns weigh together.
//! The weights are set anew whenever one of them begins or ends; those of a campaign that is over are removed.

use windlass::core::{GroupKey, QueueName, limit::LimitSettings, queue::GroupSettings};

use super::{
    jobs::{campaign_of, group},
    queues,
};
use crate::{
    app::{App, AppError},
    model::{
        CampaignId, UserId,
        campaign::{Campaign, CampaignStatus},
    },
    store::{campaigns, users},
};

/// The weight of a group at most, by the contract.
const WEIGHT_MAX: u64 = 1_000;
/// What a user of weight 1 has to divide: a user of the usual weight 10 with one campaign stands in the middle of the
/// scale, and with 500 campaigns each still has a weight.
const UNIT: u64 = 50;
/// Groups that are looked at together.
const GROUPS_PAGE: usize = 500;

/// The weight of a campaign whose user has that weight, and whose live campaigns weigh so much together.
fn weight(user: u32, campaign: u32, together: u32) -> u16 {
    let share = u64::from(user) * UNIT * u64::from(campaign) / u64::from(together.max(1));
    u16::try_from(share.clamp(1, WEIGHT_MAX)).unwrap_or(1)
}

/// Sets the weights of a user's live campaigns. A paused one is held in place: its jobs stay where they are, and nothing
/// is claimed.
///
/// # Errors
/// The database's, or the queue's.
pub async fn set(app: &App, user: UserId) -> Result<(), AppError> {
    let (user, live) = app
        .db()
        .read(move |tx| Ok::<_, AppError>((users::get(tx, user)?, campaigns::live_of(tx, user)?)))
        .await?;
    let Some(user) = user else { return Ok(()) };
    let sends = |campaign: &&Campaign| campaign.status != CampaignStatus::Paused;
    let together: u32 = live.iter().filter(sends).map(|campaign| campaign.weight).sum();
    for campaign in &live {
        let is_held = campaign.status == CampaignStatus::Paused;
        let settings = GroupSettings {
            weight: weight(user.weight, campaign.weight, together),
            limits: LimitSettings { concurrency: is_held.then_some(0), rate: None },
            ..GroupSettings::default()
        };
        set_group(app, campaign.id, Some(settings)).await?;
    }
    Ok(())
}

/// Sets the weights of all live campaigns, and removes what was left of those that are over: whoever was killed between a
/// change of a campaign and its word to the queue has left a pause without a hold, or a hold without a pause.
///
/// # Errors
/// The database's, or the queue's.
pub async fn set_all(app: &App) -> Result<(), AppError> {
    for user in app.db().read(|tx| Ok::<_, AppError>(users::all(tx)?)).await? {
        set(app, user.id).await?;
    }
    let mut after = None;
    loop {
        let queue = QueueName::new(queues::CAMPAIGN_STEP.name).map_err(windlass::Error::from)?;
        let page = app.client().store().groups(queue, after, GROUPS_PAGE).await?;
        let own = page.items.iter().filter(|group| group.own_settings);
        for id in own.filter_map(|group| campaign_of(group.key.as_ref()?.as_str())) {
            let campaign = app.db().read(move |tx| Ok::<_, AppError>(campaigns::get(tx, id)?)).await?;
            if campaign.is_some_and(|campaign| !campaign.status.is_live()) {
                set_group(app, id, None).await?;
            }
        }
        let Some(next) = page.next.and_then(|next| GroupKey::new(&next).ok()) else { return Ok(()) };
        after = Some(next);
    }
}

/// Removes what was set for a campaign that is over, and gives its share to the others of its user.
///
/// # Errors
/// The database's, or the queue's.
pub async fn forget(app: &App, campaign: &Campaign) -> Result<(), AppError> {
    set_group(app, campaign.id, None).await?;
    set(app, campaign.user).await
}

/// Ends a campaign if all of its contacts have come to their end. It looks after what ended the last one has committed, so
/// that of two that end at once the later one sees both.
///
/// # Errors
/// The database's, or the queue's.
pub(super) async fn end_if_over(app: &App, id: CampaignId) -> Result<(), AppError> {
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

async fn set_group(app: &App, campaign: CampaignId, settings: Option<GroupSettings>) -> Result<(), AppError> {
    for queue in queues::SHARED {
        app.client().set_group(queue.name, group(campaign), settings).await?;
    }
    Ok(())
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

//! What people do to a campaign: launch, pause, resume, cancel, and move to another version of its sequence.
//!
//! A launch is one transaction: the campaign's status, the enrolment of everybody on its list, and the job that pages them
//! stand or fall together, whatever is killed when. What the queue is told besides (weights, holds) follows from the rows
//! and is told again by whoever finds it missing.

use windlass::Time;

use super::{
    jobs::{self, Paused},
    pauses, plan, queues, share,
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{
        CampaignId,
        campaign::{Campaign, CampaignStatus, StopReason, check_sequence},
        touch::Reason,
    },
    preflight,
    store::{audit, campaigns, enrolments, senders, touches},
};

/// Launches a draft: its contacts are those who are on its list at this moment.
///
/// # Errors
/// A campaign that is none or no draft, or that must not go out as it stands ([`preflight`]); the database's.
pub async fn launch(app: &App, id: CampaignId, who: &str) -> Result<Campaign, AppError> {
    is_draft(&app.db().read(move |tx| known(tx, id)).await?)?;
    let preflight = preflight::check(app, id).await?;
    preflight.passed()?;
    begin(app, id, who, Some(preflight.revision)).await
}

/// Launches a draft that nobody has looked at: whatever cannot be sent is skipped, message by message, with its reason.
///
/// # Errors
/// A campaign that is none or no draft, or has no sequence or nobody to reach; the database's.
pub async fn launch_without_preflight(app: &App, id: CampaignId, who: &str) -> Result<Campaign, AppError> {
    begin(app, id, who, None).await
}

/// Launches a draft, if it is still the one that was looked at.
async fn begin(app: &App, id: CampaignId, who: &str, looked_at: Option<i64>) -> Result<Campaign, AppError> {
    let (now, wall, who, clock) = (app.now(), app.client().now(), who.to_owned(), app.clock());
    let sharing = app.sharing();
    queues::set_up(app.client()).await?;
    let campaign = app
        .db()
        .write(move |tx| {
            let draft = known(tx, id)?;
            is_draft(&draft)?;
            if looked_at.is_some_and(|revision| revision != draft.revision) {
                let why = format!(
                    "campaign {id} was changed while it was looked at: look at it, and launch it again"
                );
                return Err(AppError::Conflict(why));
            }
            let steps = campaigns::steps(tx, id, draft.version)?;
            check_sequence(&steps).map_err(|why| AppError::invalid("sequence", why))?;
            if draft.list.is_none() {
                return Err(AppError::invalid("list", "choose whom the campaign reaches"));
            }
            let later = draft.starts_at.is_some_and(|at| at > now);
            let status = if later { CampaignStatus::Scheduled } else { CampaignStatus::Running };
            if !campaigns::change(tx, id, CampaignStatus::Draft, status, now)? {
                return Err(AppError::Conflict(format!("campaign {id} was changed by somebody else")));
            }
            let contacts = campaigns::enrol_all(tx, &draft, now)?;
            if contacts == 0 {
                return Err(AppError::invalid("list", "nobody is on it"));
            }
            let page = jobs::page(sharing, id, clock.wall_at(now));
            let page = match draft.starts_at.filter(|_| later) {
                Some(at) => page.run_at(clock.wall_at(at)),
                None => page,
            };
            tx.enqueue(&[page.into_new_job(wall)?])?;
            audit::note(tx, &who, "launch campaign", &id.to_string(), &format!("{contacts} contacts"), now)?;
            known(tx, id)
        })
        .await?;
    share::set(app, campaign.user).await?;
    Ok(campaign)
}

/// Pauses a campaign that runs or is to begin: nothing of it is claimed any more, and its jobs keep their places.
///
/// # Errors
/// A campaign that is none, a draft or over; the database's, or the queue's.
pub async fn pause(app: &App, id: CampaignId, who: &str) -> Result<Campaign, AppError> {
    pause_until(app, id, None, who).await
}

/// The same until that moment, at which it goes on by itself, whatever lives then; without one, until a person says so. Of one
/// that is paused, it changes until when.
///
/// # Errors
/// As [`pause`], and a moment that is no later one.
pub async fn pause_until(
    app: &App,
    id: CampaignId,
    until: Option<Time>,
    who: &str,
) -> Result<Campaign, AppError> {
    let (now, wall, clock, who) = (app.now(), app.client().now(), app.clock(), who.to_owned());
    let until = pauses::checked(until, now)?;
    let campaign = app
        .db()
        .write(move |tx| {
            let campaign = known(tx, id)?;
            let status = campaign.status;
            let changes = match status {
                CampaignStatus::Scheduled | CampaignStatus::Running => {
                    campaigns::change(tx, id, status, CampaignStatus::Paused, now)?
                }
                CampaignStatus::Paused => until != campaign.paused_until,
                _ => false,
            };
            if !changes {
                let why = format!("campaign {id} is {status}: it cannot become {}", CampaignStatus::Paused);
                return Err(AppError::Conflict(why));
            }
            campaigns::pause_until(tx, id, until)?;
            if let Some(until) = until {
                let due = clock.wall_at(until);
                tx.enqueue(&[jobs::end_pause(Paused::Campaign(id), due).into_new_job(wall)?])?;
            }
            audit::note(tx, &who, "pause campaign", &id.to_string(), &pauses::told(until, ""), now)?;
            known(tx, id)
        })
        .await?;
    share::set(app, campaign.user).await?;
    Ok(campaign)
}

/// Lets a paused campaign go on; one whose beginning lies ahead is scheduled again.
///
/// # Errors
/// A campaign that is none or not paused; the database's, or the queue's.
pub async fn resume(app: &App, id: CampaignId, who: &str) -> Result<Campaign, AppError> {
    let from = [CampaignStatus::Paused];
    let campaign = change(app, id, who, "resume campaign", &from, resumed).await?;
    share::set(app, campaign.user).await?;
    Ok(campaign)
}

/// What a paused campaign becomes when it goes on.
pub(super) fn resumed(campaign: &Campaign, now: Time) -> CampaignStatus {
    // What has been paged has begun, whatever the clock of this process says.
    let is_ahead = campaign.paged_at.is_none() && campaign.starts_at.is_some_and(|at| at > now);
    if is_ahead { CampaignStatus::Scheduled } else { CampaignStatus::Running }
}

/// Ends a campaign: whatever it has not sent is skipped. Its jobs find that out by themselves when their time comes.
///
/// # Errors
/// A campaign that is none or over; the database's, or the queue's.
pub async fn cancel(app: &App, id: CampaignId, who: &str) -> Result<Campaign, AppError> {
    let from =
        [CampaignStatus::Draft, CampaignStatus::Scheduled, CampaignStatus::Running, CampaignStatus::Paused];
    let campaign = change(app, id, who, "cancel campaign", &from, |_, _| CampaignStatus::Cancelled).await?;
    share::forget(app, &campaign).await?;
    Ok(campaign)
}

async fn change(
    app: &App,
    id: CampaignId,
    who: &str,
    what: &'static str,
    from: &[CampaignStatus],
    to: fn(&Campaign, Time) -> CampaignStatus,
) -> Result<Campaign, AppError> {
    let (now, who, from) = (app.now(), who.to_owned(), from.to_vec());
    app.db()
        .write(move |tx| {
            let campaign = known(tx, id)?;
            let to = to(&campaign, now);
            let is_fit = from.contains(&campaign.status);
            if !is_fit || !campaigns::change(tx, id, campaign.status, to, now)? {
                return Err(AppError::Conflict(format!(
                    "campaign {id} is {}: it cannot become {to}",
                    campaign.status
                )));
            }
            if to == CampaignStatus::Cancelled {
                empty(tx, id, now)?;
            }
            audit::note(tx, &who, what, &id.to_string(), "", now)?;
            known(tx, id)
        })
        .await
}

fn empty(tx: &mut Tx<'_>, id: CampaignId, now: Time) -> Result<(), AppError> {
    touches::skip_campaign(tx, id, Reason::CampaignCancelled, now)?;
    enrolments::stop_campaign(tx, id, StopReason::CampaignCancelled, now)?;
    for channel in Channel::ALL {
        for sender in senders::of_campaign(tx, id, channel)? {
            plan::count_again(tx, &sender, now)?;
        }
    }
    Ok(())
}

fn is_draft(campaign: &Campaign) -> Result<(), AppError> {
    if campaign.status == CampaignStatus::Draft {
        return Ok(());
    }
    let Campaign { id, status, .. } = campaign;
    Err(AppError::Conflict(format!("campaign {id} is {status}; only a draft is launched")))
}

fn known(tx: &mut Tx<'_>, id: CampaignId) -> Result<Campaign, AppError> {
    campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))
}

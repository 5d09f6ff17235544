//! What a person changes holds for what waits.
//!
//! A message that waits has been told until when, by the windows, caps and senders of that moment, and a step that is still
//! to come, by its delay. Whoever changes one of these asks, in the same transaction, for one more look at what waits. The
//! look decides nothing: it lets the jobs of messages go on, so that each is checked anew like any other, and writes down
//! anew when steps are due. It goes page by page, and whoever is killed in between leaves the rest to the next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::{
    Ctx, JobError, JobId, Outcome, State, Time,
    core::{Rejection, State as Is},
};

use super::{
    due::Versions,
    failed, jobs,
    jobs::{LookAgain, Waiting},
    next::Place,
    plan, whose,
};
use crate::{
    app::{App, AppError},
    db::Tx,
    model::{
        CampaignId, ContactId, SenderId, TouchId, UserId,
        campaign::{Campaign, CampaignStatus},
    },
    store::{
        campaigns,
        enrolments::{self, Enrolment},
        touches,
    },
};

/// Messages, or contacts, that are looked at together.
const PAGE: u32 = 500;
/// The wait for what cannot be told at this moment: jobs that run, or that the completion of another one brings.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// How often it is waited for: longer than any conversation with a provider lasts.
const WAITS_MAX: u32 = 60;
/// How many of those are kept; all queues of a campaign together run fewer jobs at once.
const UNDER_WAY_MAX: usize = 1_000;

/// Asks for a look at what waits of a campaign, with the transaction that changes it.
pub(crate) fn at_campaign(tx: &mut Tx<'_>, app: &App, id: CampaignId, at: Waiting) -> Result<(), AppError> {
    let campaign = campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?;
    let asked = (app.client().new_id(), named_at(app, &campaign));
    let job = jobs::look_again(app.sharing(), id, at, asked).into_new_job(app.client().now())?;
    Ok(tx.enqueue(&[job])?)
}

/// Asks for a look at the messages of every campaign that has this sender.
pub(crate) fn at_sender(tx: &mut Tx<'_>, app: &App, id: SenderId) -> Result<(), AppError> {
    for campaign in campaigns::live_with(tx, id)? {
        at_campaign(tx, app, campaign, Waiting::Messages)?;
    }
    Ok(())
}

/// Asks for a look at the messages of all campaigns, or of all of a user.
pub(crate) fn at_all(tx: &mut Tx<'_>, app: &App, user: Option<UserId>, at: Waiting) -> Result<(), AppError> {
    for campaign in campaigns::live(tx, user)? {
        at_campaign(tx, app, campaign, at)?;
    }
    Ok(())
}

/// Asks for a look at everything, when the change of a campaign is about anything that makes it wait.
pub(crate) fn after_edit(
    tx: &mut Tx<'_>,
    app: &App,
    (before, after): (&Campaign, &Campaign),
    are_others_senders: bool,
) -> Result<(), AppError> {
    let changed = before.policy != after.policy
        || before.daily_cap != after.daily_cap
        || before.new_per_day != after.new_per_day
        || before.starts_at != after.starts_at
        || are_others_senders;
    if changed { at_campaign(tx, app, after.id, Waiting::Everything) } else { Ok(()) }
}

/// Where the next attempt goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cursor {
    /// The last message that was told.
    touch: TouchId,
    /// The last contact whose next step was looked at.
    contact: ContactId,
    /// Contacts so far who wait for the first step.
    first: u32,
    /// Whether everything was looked at once.
    is_through: bool,
    /// Messages whose jobs could not be told.
    touches: Vec<TouchId>,
    /// Contacts whose steps could not be.
    contacts: Vec<ContactId>,
    /// How often it was waited for them.
    waits: u32,
}

impl Cursor {
    const BEGIN: Cursor = Cursor {
        touch: TouchId(0),
        contact: ContactId(0),
        first: 0,
        is_through: false,
        touches: Vec::new(),
        contacts: Vec::new(),
        waits: 0,
    };
}

pub(super) async fn look(job: LookAgain, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    let mut cursor = cx.resume::<Cursor>()?.unwrap_or(Cursor::BEGIN);
    let id = job.campaign;
    let known = app.db().read(move |tx| Ok::<_, AppError>(campaigns::get(tx, id)?)).await.map_err(failed)?;
    let Some(campaign) = known.filter(|campaign| campaign.status.is_live()) else { return Ok(Outcome::Done) };
    if campaign.paged_at.is_none() {
        // It may begin at another time, and what it has paged by the old one is told afterwards.
        wake(&app, vec![((), jobs::page_id(id, named_at(&app, &campaign)))]).await.map_err(failed)?;
        if campaign.status == CampaignStatus::Scheduled {
            return Ok(Outcome::Done);
        }
        return Ok(Outcome::snooze(UNDER_WAY, "the campaign's first steps are being made"));
    }
    // What an attempt that was killed has written down, it may not have told: the page under way is told as a whole.
    let mut is_sure = false;
    while !cursor.is_through {
        if cx.is_cancelled() {
            return Err(JobError::cancelled());
        }
        let more = messages(&app, id, &mut cursor).await.map_err(failed)?
            || (job.at == Waiting::Everything
                && steps(&app, &campaign, &mut cursor, is_sure).await.map_err(failed)?);
        is_sure = true;
        cursor.is_through = !more;
        cx.checkpoint(&cursor).await?;
    }
    late(&app, &campaign, &mut cursor).await.map_err(failed)?;
    cursor.waits += 1;
    if (cursor.touches.is_empty() && cursor.contacts.is_empty()) || cursor.waits > WAITS_MAX {
        return Ok(Outcome::Done);
    }
    cx.checkpoint(&cursor).await?;
    Ok(Outcome::snooze(UNDER_WAY, "some of it is under way at this moment"))
}

/// Lets the messages of a page go on; whether there was one.
async fn messages(app: &App, id: CampaignId, cursor: &mut Cursor) -> Result<bool, AppError> {
    let after = cursor.touch;
    let page = app.db().read(move |tx| Ok::<_, AppError>(touches::waiting(tx, id, after, PAGE)?)).await?;
    let Some(last) = page.last() else { return Ok(false) };
    cursor.touch = last.touch;
    let without: Vec<TouchId> =
        page.iter().filter(|one| one.is_without_sender).map(|one| one.touch).collect();
    if !without.is_empty() {
        hand_over(app, without).await?;
    }
    let deferred = page.into_iter().filter(|one| one.is_deferred);
    let jobs = deferred.filter_map(|one| Some((one.touch, one.job.parse().ok()?)));
    let late = wake(app, jobs.collect()).await?;
    keep(&mut cursor.touches, late);
    Ok(true)
}

/// Gives messages whose sender is paused or removed to another one of their campaign: their jobs are held by the limit of
/// the one that they have, so they would not find out by themselves.
async fn hand_over(app: &App, touches: Vec<TouchId>) -> Result<(), AppError> {
    let (now, inner) = (app.now(), app.clone());
    let given_up = app
        .db()
        .write(move |tx| {
            let (mut given_up, mut jobs) = (Vec::new(), Vec::new());
            for id in &touches {
                let Some(touch) = touches::get(tx, *id)?.filter(|touch| touch.status.waits()) else {
                    continue;
                };
                let place = Place::of(tx, touch.campaign, touch.contact)?;
                let Place { campaign, contact, .. } = &place;
                if !whose::must_change(tx, &touch)? {
                    continue;
                }
                let to = whose::choose(tx, campaign, contact, touch.channel, now)?;
                let Some(to) = to.filter(|to| Some(to.id) != touch.sender) else { continue };
                plan::leave(tx, &place, &touch, now)?;
                let follow = whose::hand_over(tx, &inner, &touch, &to, None)?;
                if let Some(draft) = follow.draft(&inner) {
                    jobs.push(draft.into_new_job(inner.client().now())?);
                    given_up.extend(touch.job.parse::<JobId>().ok());
                }
            }
            tx.enqueue(&jobs)?;
            Ok::<_, AppError>(given_up)
        })
        .await?;
    if !given_up.is_empty() {
        // Those that are not told so end by themselves when their time comes.
        app.client().store().cancel(given_up, None).await?;
    }
    Ok(())
}

/// Writes down when the steps of a page are due, and lets those go on that are due earlier than before; whether there was
/// one.
async fn steps(app: &App, campaign: &Campaign, cursor: &mut Cursor, is_sure: bool) -> Result<bool, AppError> {
    let (now, after, first) = (app.now(), cursor.contact, cursor.first);
    let of = campaign.clone();
    // A look, so that nobody's message waits behind the contacts of a page.
    let (page, nth) = app
        .db()
        .read(move |tx| {
            let (mut versions, mut nth, mut page) = (Versions::of(&of), first, Vec::new());
            for enrolment in enrolments::before_step(tx, of.id, after, PAGE)? {
                // Whoever was moved may have had something before the first step of their version.
                let due = match versions.later(tx, &enrolment)? {
                    None if enrolment.step == 1 => {
                        nth += 1;
                        Some(versions.first(tx, &enrolment, nth - 1, now)?)
                    }
                    due => due,
                };
                page.push((enrolment, due));
            }
            Ok::<_, AppError>((page, nth))
        })
        .await?;
    let Some((last, _)) = page.last() else { return Ok(false) };
    (cursor.contact, cursor.first) = (last.contact, nth);
    let (mut others, mut earlier) = (Vec::new(), Vec::new());
    for (enrolment, due) in page.iter().filter_map(|(enrolment, due)| Some((enrolment, (*due)?))) {
        let Enrolment { contact, version, step, next_at, .. } = enrolment;
        if *next_at != Some(due) {
            others.push((*contact, *step, due));
        }
        if !is_sure || next_at.is_none_or(|before| due < before) {
            earlier.push((*contact, (*version, *step)));
        }
    }
    let id = campaign.id;
    let write = move |tx: &mut Tx<'_>| {
        for (contact, step, due) in &others {
            enrolments::set_due(tx, id, *contact, *step, *due)?;
        }
        Ok::<_, AppError>(())
    };
    app.db().write(write).await?;
    let late = wake(app, step_jobs(app, campaign, earlier)).await?;
    keep(&mut cursor.contacts, late);
    Ok(true)
}

fn step_jobs(app: &App, campaign: &Campaign, steps: Vec<(ContactId, (u32, u32))>) -> Vec<(ContactId, JobId)> {
    let named_at = named_at(app, campaign);
    let job = |(contact, step)| (contact, jobs::step_id(campaign.id, contact, step, named_at));
    steps.into_iter().map(job).collect()
}

/// When, by the wall's clock, the campaign's jobs are named.
fn named_at(app: &App, campaign: &Campaign) -> Time {
    app.clock().wall_at(campaign.launched_at.unwrap_or(campaign.created_at))
}

/// Tells those that could not be told before, if they still wait.
async fn late(app: &App, campaign: &Campaign, cursor: &mut Cursor) -> Result<(), AppError> {
    let (touches, contacts) = (std::mem::take(&mut cursor.touches), std::mem::take(&mut cursor.contacts));
    let id = campaign.id;
    let still = app
        .db()
        .read(move |tx| {
            let (mut messages, mut steps) = (Vec::new(), Vec::new());
            for touch in &touches {
                let touch = touches::get(tx, *touch)?;
                messages.extend(
                    touch.filter(|touch| !touch.status.is_final()).map(|touch| (touch.id, touch.job)),
                );
            }
            for contact in &contacts {
                let enrolment = enrolments::get(tx, id, *contact)?;
                steps.extend(
                    enrolment.map(|enrolment| (enrolment.contact, (enrolment.version, enrolment.step))),
                );
            }
            Ok::<_, AppError>((messages, steps))
        })
        .await?;
    let jobs = still.0.into_iter().filter_map(|(touch, job)| Some((touch, job.parse().ok()?)));
    cursor.touches = wake(app, jobs.collect()).await?;
    cursor.contacts = wake(app, step_jobs(app, campaign, still.1)).await?;
    Ok(())
}

/// Lets jobs that wait for their time go on now. Those that run at this moment, or are not there yet, may have decided by
/// what held before: they are given back.
async fn wake<T: Copy>(app: &App, jobs: Vec<(T, JobId)>) -> Result<Vec<T>, AppError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let ids = jobs.iter().map(|(_, job)| *job).collect();
    let told = app.client().store().run_now(ids, None).await?;
    let is_late = |told: &Result<(), Rejection>| {
        matches!(told, Err(Rejection::NotFound { .. } | Rejection::WrongState { state: Is::Running, .. }))
    };
    Ok(jobs.iter().zip(&told).filter(|(_, told)| is_late(told)).map(|((what, _), _)| *what).collect())
}

fn keep<T>(kept: &mut Vec<T>, more: Vec<T>) {
    let room = UNDER_WAY_MAX.saturating_sub(kept.len());
    kept.extend(more.into_iter().take(room));
}

//! The paging of a campaign: the contacts that were on its list become steps, page by page.
//!
//! A campaign of 100,000 has 200 pages, so the job may be killed between any two. Each page is durable in the queue before
//! the cursor moves past it, and its steps have ids that follow from campaign and contact: a page that is enqueued again
//! after a kill is answered with the jobs that are there.

use serde::{Deserialize, Serialize};
use windlass::{Ctx, Draft, JobError, Outcome, State, Time};

use super::{due::Versions, failed, jobs, jobs::PageCampaign, share};
use crate::{
    app::{App, AppError},
    db::Tx,
    model::{
        ContactId,
        campaign::{CampaignStatus, EnrolmentStatus},
    },
    store::{
        campaigns,
        enrolments::{self, Enrolment},
    },
};

/// Contacts of a page: one batch of jobs.
pub(super) const PAGE_CONTACTS: u32 = 500;

/// Where the next attempt goes on.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Cursor {
    /// The last contact whose step exists.
    after: ContactId,
    /// How many there are.
    done: u32,
}

pub(super) async fn page(job: PageCampaign, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    let mut cursor = cx.resume::<Cursor>()?.unwrap_or(Cursor { after: ContactId(0), done: 0 });
    let (id, begins) = (job.campaign, app.now());
    let begin = move |tx: &mut Tx<'_>| {
        // Somebody may have moved the beginning since the launch.
        let ahead = campaigns::get(tx, id)?.filter(|campaign| campaign.status == CampaignStatus::Scheduled);
        if let Some(at) = ahead.and_then(|campaign| campaign.starts_at).filter(|at| *at > begins) {
            return Ok(Some(at));
        }
        campaigns::change(tx, id, CampaignStatus::Scheduled, CampaignStatus::Running, begins)?;
        Ok::<_, AppError>(None)
    };
    if let Some(at) = app.db().write(begin).await.map_err(failed)? {
        return Ok(super::asleep(&app, at, "the campaign begins later"));
    }
    loop {
        if cx.is_cancelled() {
            return Err(JobError::cancelled());
        }
        let now = app.now();
        // A look, so that nobody's message waits behind the 500 contacts of a page.
        let (campaign, page, delays) = app
            .db()
            .read(move |tx| {
                let campaign = campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?;
                let page = enrolments::page(tx, id, cursor.after, PAGE_CONTACTS)?;
                let (mut versions, mut due) = (Versions::of(&campaign), Vec::with_capacity(page.len()));
                for (enrolment, nth) in page.iter().zip(cursor.done..) {
                    due.push(versions.first(tx, enrolment, nth, now)?);
                }
                Ok::<_, AppError>((campaign, page, due))
            })
            .await
            .map_err(failed)?;
        if matches!(campaign.status, CampaignStatus::Cancelled | CampaignStatus::Done) {
            return Ok(Outcome::Done);
        }
        let Some(last) = page.last().map(|enrolment| enrolment.contact) else { break };
        let named_at = app.clock().wall_at(campaign.launched_at.unwrap_or(campaign.created_at));
        let waiting = page
            .iter()
            .zip(&delays)
            .filter(|(enrolment, _)| enrolment.status == EnrolmentStatus::Active && enrolment.step == 1);
        let first_step = |(enrolment, due): (&Enrolment, &Time)| {
            let draft = jobs::step(app.sharing(), id, enrolment.contact, (enrolment.version, 1), named_at);
            if *due <= now { draft } else { draft.run_at(app.clock().wall_at(*due)) }
        };
        let drafts: Vec<Draft> = waiting.clone().map(first_step).collect();
        let later: Vec<(ContactId, Time)> = waiting
            .filter(|(_, due)| **due > now)
            .map(|(enrolment, due)| (enrolment.contact, *due))
            .collect();
        if !later.is_empty() {
            let write = move |tx: &mut Tx<'_>| {
                for (contact, due) in &later {
                    enrolments::set_due(tx, id, *contact, 1, *due)?;
                }
                Ok::<_, AppError>(())
            };
            app.db().write(write).await.map_err(failed)?;
        }
        for enqueued in cx.client().enqueue_many(drafts).await? {
            enqueued?;
        }
        cursor = Cursor { after: last, done: cursor.done + u32::try_from(page.len()).unwrap_or(0) };
        cx.checkpoint(&cursor).await?;
        cx.progress(
            percent(cursor.done, campaign.contacts),
            format!("{} of {} contacts", cursor.done, campaign.contacts),
        );
    }
    let now = app.now();
    app.db().write(move |tx| campaigns::paged(tx, id, now).map_err(AppError::from)).await.map_err(failed)?;
    share::end_if_over(&app, id).await.map_err(failed)?;
    Ok(Outcome::Done)
}

fn percent(done: u32, all: u32) -> u8 {
    let percent = u64::from(done) * 100 / u64::from(all.max(1));
    u8::try_from(percent.min(100)).unwrap_or(100)
}

//! The paging of a campaign: the contacts that were on its list become steps, page by page.
//!
//! A campaign of 100,000 has 200 pages, so the job may be killed between any two. Each page is durable in the queue before
//! the cursor moves past it, and its steps have ids that follow from campaign and contact: a page that is enqueued again
//! after a kill is answered with the jobs that are there.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::{Deserialize, Serialize};
use windlass::{Ctx, Draft, JobError, Outcome, State, Time};

use super::{check, failed, jobs, jobs::PageCampaign, share};
use crate::{
    app::{App, AppError},
    db::Tx,
    model::{
        ContactId,
        campaign::{CampaignStatus, EnrolmentStatus},
    },
    store::{
        campaigns, contacts,
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
        campaigns::change(tx, id, CampaignStatus::Scheduled, CampaignStatus::Running, begins)
            .map_err(AppError::from)
    };
    app.db().write(begin).await.map_err(failed)?;
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
                let mut versions = BTreeMap::new();
                let mut due = Vec::with_capacity(page.len());
                for (enrolment, nth) in page.iter().zip(cursor.done..) {
                    let contact = contacts::get(tx, enrolment.contact)?
                        .ok_or_else(|| AppError::unknown("contact", enrolment.contact))?;
                    let begun = campaign.starts_at.into_iter().chain(campaign.launched_at).max();
                    let mut base = begun.unwrap_or(now);
                    // A campaign that may begin with so many a day needs no more steps on a day than that.
                    for _ in 0..campaign.begins_a_day().map_or(0, |cap| nth / cap.max(1)) {
                        base = check::next_day(campaign.policy.zone.name(), base);
                    }
                    // Some may have been moved to another version than the one by which they were enrolled.
                    let delay = match versions.entry(enrolment.version) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(free) => {
                            let steps = campaigns::steps(tx, id, enrolment.version)?;
                            let first = steps.first().ok_or_else(|| AppError::unknown("step", 1))?;
                            *free.insert(first.delay)
                        }
                    };
                    let recipient = check::recipient(&contact);
                    due.push(delay.due(base, &campaign.policy, &recipient).unwrap_or(base));
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
            let draft = jobs::step(app.sharing(), id, enrolment.contact, 1, named_at);
            if *due <= now { draft } else { draft.run_at(app.clock().wall_at(*due)) }
        };
        let drafts: Vec<Draft> = waiting.map(first_step).collect();
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

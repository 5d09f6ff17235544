//! The launch of a campaign: its contacts, page by page, become steps.
//!
//! A whale has a hundred pages, so a launch may be killed between any two of them. Each page is durable before the
//! cursor moves past it, and its steps have ids that follow from the launch and the contact: a page that is
//! enqueued again after a kill is answered with the jobs that are there. The last page commits with the launch's own
//! completion, so a launch that has completed has all its steps.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::{Ctx, Draft, JobError, JobId};

use super::in_group_of;
use crate::plan::{CampaignStep, ContactId, LaunchCampaign, PAGE_CONTACTS};

/// The first step of the sequence; the campaigns of this application have one.
const FIRST_STEP: u32 = 1;

/// Where the next attempt goes on.
#[derive(Serialize, Deserialize)]
struct Cursor {
    /// Contacts of the campaign whose steps exist.
    done: u32,
}

pub(super) async fn launch(job: LaunchCampaign, cx: Ctx) -> Result<(), JobError> {
    let mut done = cx.resume::<Cursor>()?.map_or(0, |cursor| cursor.done);
    while job.contacts.saturating_sub(done) > PAGE_CONTACTS {
        if cx.is_cancelled() {
            return Err(JobError::cancelled());
        }
        let page = (done..done + PAGE_CONTACTS).map(|nth| step(&job, nth, &cx));
        for enqueued in cx.client().enqueue_many(page).await? {
            enqueued?;
        }
        done += PAGE_CONTACTS;
        cx.checkpoint(&Cursor { done }).await?;
        cx.progress(percent(done, job.contacts), format!("{done} of {} contacts", job.contacts));
    }
    for nth in done..job.contacts {
        cx.enqueue(step(&job, nth, &cx))?;
    }
    Ok(())
}

fn step(job: &LaunchCampaign, nth: u32, cx: &Ctx) -> Draft {
    let contact = ContactId(job.first.0 + nth);
    let step = CampaignStep { campaign: job.campaign, contact, step: FIRST_STEP };
    let key = step.unique_key();
    let id = JobId::named(cx.id().time(), &format!("{}/{key}", cx.id()));
    let draft = in_group_of(cx, step).unique(key).id(id);
    match job.step_delay_ms {
        0 => draft,
        delay_ms => draft.delay(Duration::from_millis(delay_ms)),
    }
}

fn percent(done: u32, all: u32) -> u8 {
    let percent = u64::from(done) * 100 / u64::from(all.max(1));
    u8::try_from(percent).unwrap_or(100)
}

//! One step of a campaign's sequence for one contact: it decides on the touch, and enqueues it.
//!
//! The touch commits with the step's completion: there is exactly one for a step that has completed, and none for
//! one that has not, whatever is killed in between.

use std::sync::Arc;

use windlass::{Ctx, JobError, State};

use super::{App, in_group_of};
use crate::{
    channel::Channel,
    plan::{CampaignStep, DropVoicemail, SendEmail, SendSms},
};

pub(super) async fn take(job: CampaignStep, State(app): State<Arc<App>>, cx: Ctx) -> Result<(), JobError> {
    let CampaignStep { campaign, contact, step: _ } = job;
    let (Some(touch), Some(person)) = (app.plan.touch(&app.list, campaign, contact), app.list.get(contact))
    else {
        // Another attempt reads the same list.
        return Err(JobError::msg(format!("contact {} is not reachable", contact.0)).fatal());
    };
    let (to, name) = (touch.to, person.name);
    let draft = match touch.channel {
        Channel::Email => in_group_of(&cx, SendEmail { campaign, contact, to, name }),
        Channel::Sms => in_group_of(&cx, SendSms { campaign, contact, to, name }),
        Channel::Voicemail => in_group_of(&cx, DropVoicemail { campaign, contact, to, name }),
    };
    cx.enqueue(draft)?;
    Ok(())
}

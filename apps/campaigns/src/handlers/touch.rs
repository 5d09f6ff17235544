//! The three touches: render the message, send it, and say to the queue what came of it.
//!
//! [`settle`] is the whole policy. Sent: done, with the provider's id as the result. Told to wait: snoozed for as
//! long as the provider said, no try spent. Refused for good: a dead letter at once. Anything else: a failure whose
//! text says whether the message may have arrived, retried by the queue's policy.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use windlass::{Ctx, JobError, Outcome, State};

use super::{App, in_group_of};
use crate::{
    channel::{
        CAMPAIGN_HEADER, Channel, Email, JOB_HEADER, MachineDetection, NOT_SENT, REPLY_LOST, Refusal,
        RefusalClass, SendOutcome, Sms, Twiml, Unsubscribe, Voicemail,
    },
    plan::{DropVoicemail, SendEmail, SendSms, WatchTouch},
};

/// What to wait when a provider says "not now" without a time: the usual greylisting delay is one to five minutes.
const UNNAMED_WAIT: Duration = Duration::from_secs(60);

/// What a completed touch keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    /// What the provider calls the message.
    provider_id: String,
}

pub(super) async fn email(job: SendEmail, State(app): State<Arc<App>>, cx: Ctx) -> Result<Outcome, JobError> {
    let (id, campaign) = (cx.id().to_string(), job.campaign.to_string());
    let unsubscribe = format!("https://example.com/unsubscribe/{}/{}", job.campaign, job.contact.0);
    let text = format!(
        "{}\n\nOur new catalogue is here: https://example.com/catalogue\n\nUnsubscribe: {unsubscribe}\n",
        greeting(&job.name)
    );
    let message = Email {
        message_id: &message_id(&id, &app.from_email),
        touch: &id,
        campaign: &campaign,
        from: &app.from_email,
        reply_to: None,
        to: &job.to,
        to_name: &job.name,
        subject: "Our new catalogue",
        text: &text,
        html: None,
        unsubscribe: Some(Unsubscribe { https_url: &unsubscribe, mailto: None }),
        feedback_id: None,
        date: cx.id().time(),
        headers: &[(JOB_HEADER, &id), (CAMPAIGN_HEADER, &campaign)],
    };
    settle(app.email.send(&message).await)
}

pub(super) async fn sms(job: SendSms, State(app): State<Arc<App>>, cx: Ctx) -> Result<Outcome, JobError> {
    let (id, campaign) = (cx.id().to_string(), job.campaign.to_string());
    let body = format!(
        "{} Our new catalogue is here: https://example.com/c Reply STOP to opt out.",
        greeting(&job.name)
    );
    let message = Sms {
        to: &job.to,
        from: &app.from_phone,
        body: &body,
        status_callback: None,
        headers: &[(JOB_HEADER, &id), (CAMPAIGN_HEADER, &campaign)],
    };
    settle(app.phone.send_sms(&message).await)
}

pub(super) async fn voicemail(
    job: DropVoicemail,
    State(app): State<Arc<App>>,
    cx: Ctx,
) -> Result<Outcome, JobError> {
    let (id, campaign) = (cx.id().to_string(), job.campaign.to_string());
    let speech = format!("{} Our new catalogue is waiting for you. Goodbye.", greeting(&job.name));
    let call = Voicemail {
        to: &job.to,
        from: &app.from_phone,
        twiml: Twiml::Inline(&speech),
        status_callback: None,
        machine_detection: MachineDetection::BeforeSpeech,
        ring_s: None,
        headers: &[(JOB_HEADER, &id), (CAMPAIGN_HEADER, &campaign)],
    };
    let sent = app.phone.place_call(&call).await;
    if let SendOutcome::Sent { provider_id } = &sent {
        // A placed call has only been dialled: whether it was answered shows later. The watch exists if and only if
        // this completion does.
        let DropVoicemail { campaign, contact, .. } = job;
        let watch =
            WatchTouch { campaign, contact, channel: Channel::Voicemail, provider_id: provider_id.clone() };
        cx.enqueue(in_group_of(&cx, watch).delay(app.watch_every))?;
    }
    settle(sent)
}

/// What the queue is told of a send.
fn settle(sent: SendOutcome) -> Result<Outcome, JobError> {
    match sent {
        SendOutcome::Sent { provider_id } => Outcome::done_with(&Sent { provider_id }),
        SendOutcome::Refused(Refusal { code, why, class, retry_after_ms }) => match class {
            // The provider spoke of this message; the others of the queue are told by their own answers.
            RefusalClass::Temporary => {
                let wait = retry_after_ms.map_or(UNNAMED_WAIT, Duration::from_millis);
                Ok(Outcome::snooze(wait, why))
            }
            RefusalClass::Permanent => Err(JobError::msg(why).class(code).fatal()),
            // Not the contact's fault: worth another attempt while people mend it.
            RefusalClass::Ours => Err(JobError::msg(format!("{NOT_SENT}: {why}")).class(NOT_SENT)),
        },
        SendOutcome::Unanswered(error) => {
            let class = if error.may_have_arrived { REPLY_LOST } else { NOT_SENT };
            Err(JobError::from(error).class(class))
        }
    }
}

/// The Message-ID of a job's mail, in the domain that it comes from.
fn message_id(job: &str, from: &str) -> String {
    let domain = from.rsplit('@').next().unwrap_or_default().trim_end_matches('>');
    format!("<{job}@{domain}>")
}

fn greeting(name: &str) -> String {
    match name.split_whitespace().next() {
        Some(first) => format!("Hello {first},"),
        None => "Hello,".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::SendError;

    #[test]
    fn every_answer_of_a_provider_has_its_end_in_the_queue() {
        let done = settle(SendOutcome::Sent { provider_id: "SM1".into() }).unwrap();
        assert_eq!(done, Outcome::DoneWith(br#"{"provider_id":"SM1"}"#.to_vec()));

        let refused = |class, retry_after_ms| {
            let (code, why) = ("smtp/451-4.7.1".to_owned(), "greylisted".to_owned());
            settle(SendOutcome::Refused(Refusal { code, why, class, retry_after_ms }))
        };
        let later = refused(RefusalClass::Temporary, Some(1_500)).unwrap();
        assert_eq!(later, Outcome::snooze(Duration::from_millis(1_500), "greylisted"));
        let later = refused(RefusalClass::Temporary, None).unwrap();
        assert_eq!(later, Outcome::snooze(UNNAMED_WAIT, "greylisted"));
        assert!(refused(RefusalClass::Permanent, None).unwrap_err().is_fatal());
        let ours = refused(RefusalClass::Ours, None).unwrap_err();
        assert!(!ours.is_fatal() && ours.to_string().starts_with(NOT_SENT), "{ours}");

        for (may_have_arrived, word) in [(true, REPLY_LOST), (false, NOT_SENT)] {
            let error = SendError { why: "connection closed".into(), may_have_arrived };
            let failed = settle(SendOutcome::Unanswered(error)).unwrap_err();
            assert!(!failed.is_fatal(), "another attempt may do better");
            assert!(failed.to_string().starts_with(word), "{failed}");
        }
    }
}

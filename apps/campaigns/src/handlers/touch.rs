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
    channel::{Channel, Email, NOT_SENT, REPLY_LOST, SendOutcome, Sms, Voicemail},
    plan::{DropVoicemail, SendEmail, SendSms, WatchTouch},
};

/// What a completed touch keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    /// What the provider calls the message.
    provider_id: String,
}

pub(super) async fn email(job: SendEmail, State(app): State<Arc<App>>, cx: Ctx) -> Result<Outcome, JobError> {
    let id = cx.id().to_string();
    let unsubscribe = format!("https://example.com/unsubscribe/{}/{}", job.campaign, job.contact.0);
    let text = format!(
        "{}\n\nOur new catalogue is here: https://example.com/catalogue\n\nUnsubscribe: {unsubscribe}\n",
        greeting(&job.name)
    );
    let message = Email {
        job: &id,
        campaign: job.campaign,
        from: &app.from_email,
        to: &job.to,
        to_name: &job.name,
        subject: "Our new catalogue",
        text: &text,
        unsubscribe_url: Some(&unsubscribe),
    };
    settle(app.email.send(&message).await)
}

pub(super) async fn sms(job: SendSms, State(app): State<Arc<App>>, cx: Ctx) -> Result<Outcome, JobError> {
    let id = cx.id().to_string();
    let body = format!(
        "{} Our new catalogue is here: https://example.com/c Reply STOP to opt out.",
        greeting(&job.name)
    );
    settle(app.sms.send(&Sms { job: &id, campaign: job.campaign, to: &job.to, body: &body }).await)
}

pub(super) async fn voicemail(
    job: DropVoicemail,
    State(app): State<Arc<App>>,
    cx: Ctx,
) -> Result<Outcome, JobError> {
    let id = cx.id().to_string();
    let speech = format!("{} Our new catalogue is waiting for you. Goodbye.", greeting(&job.name));
    let call = Voicemail { job: &id, campaign: job.campaign, to: &job.to, speech: &speech };
    let sent = app.voicemail.send(&call).await;
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
        // The provider spoke of this message; the others of the queue are told by their own answers.
        SendOutcome::RetryLater { after_ms, why } => {
            Ok(Outcome::snooze(Duration::from_millis(after_ms), why))
        }
        SendOutcome::Permanent { code, why } => Err(JobError::msg(why).class(code).fatal()),
        SendOutcome::Transient(error) => {
            let class = if error.may_have_arrived { REPLY_LOST } else { NOT_SENT };
            Err(JobError::from(error).class(class))
        }
    }
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

        let later = settle(SendOutcome::RetryLater { after_ms: 1_500, why: "451 greylisted".into() });
        assert_eq!(later.unwrap(), Outcome::snooze(Duration::from_millis(1_500), "451 greylisted"));

        let refused = settle(SendOutcome::Permanent { code: "5.1.1".into(), why: "550 unknown".into() });
        assert!(refused.unwrap_err().is_fatal());

        for (may_have_arrived, word) in [(true, REPLY_LOST), (false, NOT_SENT)] {
            let error = SendError { why: "connection closed".into(), may_have_arrived };
            let failed = settle(SendOutcome::Transient(error)).unwrap_err();
            assert!(!failed.is_fatal(), "another attempt may do better");
            assert!(failed.to_string().starts_with(word), "{failed}");
        }
    }
}

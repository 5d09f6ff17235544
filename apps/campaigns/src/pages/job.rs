//! The way back: from a job in the queue to the page of what it is about.

use serde::de::DeserializeOwned;
use windlass::Job;

use crate::flow::jobs::{
    DropVoicemail, MoveContacts, PageCampaign, SendEmail, SendSms, TakeStep, WarmUpSender, WatchTouch,
};

/// What a job of that kind and payload is about: a word, and the path of its page below [`PATH`](super::PATH). Of a job that
/// is none of the application's, nothing.
pub fn of_job(kind: &str, payload: &[u8]) -> Option<(String, String)> {
    let message = |id: String| (format!("message {id}"), format!("/touches/{id}"));
    Some(match kind {
        SendEmail::KIND => message(read::<SendEmail>(payload)?.touch.to_string()),
        SendSms::KIND => message(read::<SendSms>(payload)?.touch.to_string()),
        DropVoicemail::KIND => message(read::<DropVoicemail>(payload)?.touch.to_string()),
        WatchTouch::KIND => message(read::<WatchTouch>(payload)?.touch.to_string()),
        PageCampaign::KIND => {
            let id = read::<PageCampaign>(payload)?.campaign;
            (format!("campaign {id}"), format!("/{id}"))
        }
        MoveContacts::KIND => {
            let id = read::<MoveContacts>(payload)?.campaign;
            (format!("campaign {id}"), format!("/{id}"))
        }
        TakeStep::KIND => {
            let TakeStep { campaign, contact, .. } = read(payload)?;
            (format!("contact {contact} of campaign {campaign}"), format!("/contacts/{contact}"))
        }
        WarmUpSender::KIND => {
            let id = read::<WarmUpSender>(payload)?.sender;
            (format!("sender {id}"), format!("/senders/{id}"))
        }
        _ => return None,
    })
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    serde_json::from_slice(payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_leads_to_what_it_is_about_and_what_is_no_job_of_ours_leads_nowhere() {
        let leads = |kind: &str, payload: &str| of_job(kind, payload.as_bytes()).map(|(_, path)| path);
        assert_eq!(leads("send_email", r#"{"touch":7}"#).as_deref(), Some("/touches/7"));
        assert_eq!(leads("watch_touch", r#"{"touch":7}"#).as_deref(), Some("/touches/7"));
        let step = r#"{"campaign":1,"contact":9,"version":1,"step":2}"#;
        assert_eq!(leads("take_step", step).as_deref(), Some("/contacts/9"));
        assert_eq!(leads("page_campaign", r#"{"campaign":1}"#).as_deref(), Some("/1"));
        assert_eq!((leads("send_email", "{}"), leads("resize", r#"{"touch":7}"#)), (None, None));
    }
}

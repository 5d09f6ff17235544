//! What becomes known of a message after it was sent: by a callback of its provider, or because somebody asked.
//!
//! The same news may come twice, late, or in the wrong order: a status moves forward only, and an event is kept once by its
//! source's own name for it. News may also come before the worker has written down that the provider took the message, or in
//! place of that: then it is the news that says so.

use windlass::Time;

use super::{accounts, brake, colleagues, late, optout};
use crate::{
    app::{App, AppError},
    channel::{
        Channel,
        rules::{Action, ErrorTable, ProviderKind},
    },
    db::Tx,
    hooks::{CallbackEvent, Progress, Reporter, TouchResult, What},
    model::{
        CampaignId, TouchId,
        campaign::StopReason,
        provider::Provider,
        touch::{EventKind, Reason, Touch, TouchStatus},
    },
    store::{audit, campaigns, enrolments, events, providers, reviews, senders, touches},
};

/// How many events of one request are taken in together: a batch of thousands must not keep every other writer waiting.
const EVENTS_AT_ONCE: usize = 100;

/// Takes in what a provider has told, and says how many of the events are about messages of ours that it carries. `named`
/// is the message that the provider was given to name; the events name theirs otherwise.
///
/// # Errors
/// The database's, or the queue's. Some of the events may be taken in then; all of them may be told again.
pub async fn reports(
    app: &App,
    provider: &Provider,
    named: Option<TouchId>,
    events: Vec<CallbackEvent>,
) -> Result<usize, AppError> {
    let (mut known, mut stopped) = (0, Vec::new());
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let some: Vec<CallbackEvent> = events.by_ref().take(EVENTS_AT_ONCE).collect();
        let (now, inner, provider) = (app.now(), app.clone(), provider.clone());
        let (more, over) = app
            .db()
            .write(move |tx| {
                let (mut known, mut stopped) = (0, Vec::new());
                for event in &some {
                    if let Some(touch) = find(tx, &inner, &provider, named, event)? {
                        known += 1;
                        stopped.extend(take_in_of(tx, &inner, &provider, touch, event, now)?);
                    }
                }
                Ok::<_, AppError>((known, stopped))
            })
            .await?;
        known += more;
        stopped.extend(over);
    }
    settle(app, stopped).await?;
    Ok(known)
}

/// A source's own name for an event, among the names of all sources.
pub fn key(provider: &Provider, event: &str) -> String {
    format!("{}:{event}", provider.id)
}

/// The message that an event is about, if the provider carries it.
fn find(
    tx: &mut Tx<'_>,
    app: &App,
    provider: &Provider,
    named: Option<TouchId>,
    event: &CallbackEvent,
) -> Result<Option<Touch>, AppError> {
    let tagged = event.touch.as_deref().and_then(|tag| tag.parse().ok()).map(TouchId);
    let touch = match named.or(tagged) {
        Some(id) => touches::get(tx, id)?,
        None if event.provider_id.is_empty() => None,
        None => touches::by_provider(tx, &event.provider_id)?,
    };
    let Some(touch) = touch.filter(|touch| accounts::carries(provider, touch.channel)) else {
        return Ok(None);
    };
    if touch.provider_ref.as_deref() == Some(event.provider_id.as_str()) {
        return Ok(Some(touch));
    }
    let sender = touch.sender.map_or(Ok(None), |id| senders::get(tx, id))?;
    // Another installation may use the same account, and its messages have numbers like ours.
    let is_ours = sender.is_some_and(|sender| sender.provider == provider.id)
        && event.campaign.as_ref().is_none_or(|tag| *tag == touch.campaign.to_string())
        && event.recipient.as_ref().is_none_or(|to| app.hash_of(to) == app.hash_of(&touch.address));
    Ok(is_ours.then_some(touch))
}

/// Takes in one event of a provider.
fn take_in_of(
    tx: &mut Tx<'_>,
    app: &App,
    provider: &Provider,
    touch: Touch,
    event: &CallbackEvent,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    let mut touch = touch;
    if let What::Progress(progress) = &event.what {
        let others = |known: &String| *known != event.provider_id;
        let is_copy =
            provider.kind == ProviderKind::Twilio && touch.provider_ref.as_ref().is_some_and(others);
        // A text that was sent twice has two lives; of the other one only an arrival says something of the message.
        if is_copy && progress.result != Some(TouchResult::Delivered) {
            return Ok(Vec::new());
        }
        let unwritten = matches!(touch.status, TouchStatus::Sending | TouchStatus::Unknown);
        if unwritten && touches::sent(tx, touch.id, &event.provider_id, "", now)? {
            let (kind, detail) = (EventKind::Sent, event.provider_id.as_str());
            events::note(tx, &touch, kind, &provider.name, detail, None, now)?;
            let decision = "the provider has told of it";
            reviews::settle(tx, &reviews::of_call(touch.id), decision, &provider.name, now)?;
            touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
        }
    }
    take_in(tx, app, &touch, &event.what, &provider.name, &key(provider, &event.event_id), now)
}

/// Takes in what a provider says of a message: its status, its events, and what follows for its contact and address. The
/// answer is the campaigns in which a contact's sequence has ended by that.
///
/// # Errors
/// The database's.
pub fn take_in(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    what: &What,
    source: &str,
    key: &str,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    let note =
        |tx: &mut Tx<'_>, kind, detail: &str| events::note(tx, touch, kind, source, detail, Some(key), now);
    match what {
        What::Progress(progress) => return went_on(tx, app, touch, progress, source, key, now),
        What::Answered { by } => {
            let who = format!("answered by {by:?}");
            touches::told(tx, touch.id, touch.status, &touch.provider_status, &who, now)?;
        }
        // A program that fetches pictures ahead is no reader.
        What::Opened { by_machine } => {
            if !by_machine {
                note(tx, EventKind::Opened, "")?;
            }
        }
        What::Clicked { url } => {
            if note(tx, EventKind::Clicked, url)? {
                return stop(tx, touch, Ending::Click, now);
            }
        }
        What::Complained => {
            if note(tx, EventKind::Complained, "")? {
                brake::after_complaint(tx, touch, now)?;
                let said = ("spam complaint", StopReason::Complained);
                return optout::opt_out(tx, app, touch, said, source, now);
            }
        }
        What::Unsubscribed => {
            if note(tx, EventKind::OptedOut, "with the provider")? {
                let said = ("unsubscribed", StopReason::OptedOut);
                return optout::opt_out(tx, app, touch, said, source, now);
            }
        }
        What::Inbound { .. } | What::Other { .. } => {}
    }
    Ok(Vec::new())
}

/// A message that went further on its way, or came to its end.
fn went_on(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    progress: &Progress,
    source: &str,
    key: &str,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    let code = progress.code.as_deref();
    let why = progress.why.as_deref().or(code).unwrap_or_default();
    let word = progress.word.as_str();
    let (status, kind) = match progress.result {
        Some(TouchResult::Delivered) => (TouchStatus::Delivered, EventKind::Delivered),
        Some(TouchResult::Bounced) => (TouchStatus::Bounced, EventKind::Bounced),
        Some(TouchResult::Failed) => (TouchStatus::Failed, EventKind::Failed),
        Some(TouchResult::OnItsWay | TouchResult::Sent) | None => {
            if touch.status == TouchStatus::Sent && !is_overtaken(touch, progress) {
                touches::told(tx, touch.id, touch.status, word, &touch.detail, now)?;
            }
            return Ok(Vec::new());
        }
    };
    if !touches::told(tx, touch.id, status, word, why, now)? {
        // What contradicts its end changes nothing any more, and its history says that it was said.
        if touch.status.is_final() && touch.status != status {
            events::note(tx, touch, kind, source, why, Some(key), now)?;
        }
        return Ok(Vec::new());
    }
    events::note(tx, touch, kind, source, why, Some(key), now)?;
    if status == TouchStatus::Delivered {
        return Ok(Vec::new());
    }
    if status == TouchStatus::Bounced {
        brake::after_bounce(tx, touch, now)?;
    }
    // A call that nobody answered says nothing about the number.
    let Some(code) = code else { return Ok(Vec::new()) };
    let table = ErrorTable::default()
        .merged(providers::error_rules(tx)?)
        .map_err(|error| AppError::invalid("the table of errors", error))?;
    let action = table.decide(code, progress.class()).action;
    if late::is_tried_again(tx, app, touch, action, why, now)? {
        return Ok(Vec::new());
    }
    match action {
        Action::Suppress => optout::suppress(tx, app, touch, code, source, now)?,
        Action::Brake => {
            if let Some(sender) = touch.sender {
                let why = format!("{code}: look at what is sent");
                senders::pause(tx, sender, true, &why)?;
                audit::note(tx, "windlass", "pause sender", &sender.to_string(), &why, now)?;
            }
        }
        _ => {}
    }
    if !late::falls_back(tx, app, touch, now)? && status == TouchStatus::Bounced {
        return stop(tx, touch, Ending::Bounce, now);
    }
    Ok(Vec::new())
}

/// Whether the provider has said more of it than that already.
fn is_overtaken(touch: &Touch, progress: &Progress) -> bool {
    let reporter = match touch.channel {
        Channel::Email => Reporter::HttpMail,
        Channel::Sms => Reporter::TwilioMessage,
        Channel::Voicemail => Reporter::TwilioCall,
    };
    let earlier = TouchResult::of(reporter, &touch.provider_status);
    earlier.zip(progress.result).is_some_and(|(earlier, now)| earlier.supersedes(now))
}

/// What may end a sequence, besides an opt-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The contact has answered.
    Reply,
    /// The contact has followed a link.
    Click,
    /// A message came back.
    Bounce,
}

/// Ends the sequence that the message belongs to, if its campaign has that rule, and where an answer stops colleagues, theirs
/// as well; the campaign, if it did.
pub(super) fn stop(
    tx: &mut Tx<'_>,
    touch: &Touch,
    ending: Ending,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    let Some(campaign) = campaigns::get(tx, touch.campaign)? else { return Ok(Vec::new()) };
    let rules = campaign.stop_rules;
    let (ends, why, answer) = match ending {
        Ending::Reply => {
            let answer = colleagues::answered(tx, campaign.id, touch.contact, now)?;
            (rules.end_with_reply(), StopReason::Replied, answer)
        }
        Ending::Click => (rules.click, StopReason::Clicked, None),
        Ending::Bounce => (rules.bounce, StopReason::Bounced, None),
    };
    if !ends {
        return Ok(Vec::new());
    }
    touches::skip_all(tx, touch.contact, Some(touch.campaign), None, Reason::Stopped, now)?;
    enrolments::end(tx, touch.campaign, touch.contact, Some(why), now)?;
    if let Some(answer) = answer.filter(|_| rules.account_reply) {
        colleagues::stop(tx, campaign.id, &answer, now)?;
    }
    Ok(vec![touch.campaign])
}

/// Ends the campaigns among these that are over now.
///
/// # Errors
/// The database's, or the queue's.
pub async fn settle(app: &App, mut campaigns: Vec<CampaignId>) -> Result<(), AppError> {
    campaigns.sort_unstable();
    campaigns.dedup();
    optout::settle(app, campaigns).await
}

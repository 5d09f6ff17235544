//! The three messages: everything is checked, the provider is asked, and what it said is written down.
//!
//! The note that the provider will be asked is on disk before it is asked, and what it said is on disk before the job ends.
//! Whoever is killed between the two leaves a message that is `sending`, and the next one goes by the channel's rule:
//!
//! - a mail is sent again with the same Message-ID, so that the two are recognisable as one;
//! - for a text the provider is asked first whether it has it, and it is sent again only if not;
//! - a call is made at most once: what became of it is unknown, and a person decides.

use windlass::{Ctx, JobError, Outcome, State, Time, core::LimitName, core::store::Hold};

use super::{
    brake, breakers, caps,
    check::{self, Decision, Prepared, Wait},
    failed,
    gateways::Gateway,
    jobs::{DropVoicemail, SendEmail, SendSms},
    limits,
    next::{self, Follow, Place},
    paces::{self, Slowed},
    queues,
};
use crate::{
    app::{App, AppError},
    channel::{
        Channel, Email, MachineDetection, Refusal, SendError, SendOutcome, Sms, Twiml, Unsubscribe,
        Voicemail,
        rules::{Action, ErrorTable},
    },
    db::Tx,
    hooks::inbound_mail::UNSUBSCRIBE,
    model::{
        TouchId,
        touch::{EventKind, Reason, TouchStatus},
    },
    store::{audit, events, providers, senders, suppressions, suppressions::Addressed, touches, usage},
};

/// How often a provider is asked for one message before it is given up: with the waits between, a day of a provider that is
/// busy.
const MAX_SENDS: u32 = 24;
/// What to wait for a provider that does not say for how long.
const RETRY_MS: u64 = 60_000;
/// The longest wait between two tries.
const RETRY_CAP_MS: u64 = 3_600_000;
/// How long after a text's acceptance, and a call's, it is asked what has become of it: callbacks come before.
const WATCH_AFTER_MS: u64 = 60_000;
/// How long a call may ring: about five rings, after which most machines have answered.
pub(super) const RING_S: u16 = 30;

pub(super) async fn email(job: SendEmail, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    send(app, job.touch, cx).await
}

pub(super) async fn sms(job: SendSms, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    send(app, job.touch, cx).await
}

pub(super) async fn voicemail(
    job: DropVoicemail,
    State(app): State<App>,
    cx: Ctx,
) -> Result<Outcome, JobError> {
    send(app, job.touch, cx).await
}

async fn send(app: App, id: TouchId, cx: Ctx) -> Result<Outcome, JobError> {
    let (now, inner) = (app.now(), app.clone());
    let job = cx.id();
    let decision =
        app.db().write(move |tx| check::decide(tx, &inner, (id, job), now)).await.map_err(failed)?;
    let asked = match decision {
        Decision::Over(follows) => {
            super::follow(&app, &cx, follows).await?;
            return Ok(Outcome::Done);
        }
        Decision::Wait(wait) => return later(&app, id, &wait).await,
        Decision::Send(prepared) => {
            let outcome = ask(&app, &prepared).await;
            (prepared, outcome)
        }
        Decision::Interrupted(prepared) => match resume(&app, prepared, &cx).await? {
            Resumed::Asked(prepared, outcome) => (prepared, outcome),
            Resumed::Decided(follows) => {
                super::follow(&app, &cx, follows).await?;
                return Ok(Outcome::Done);
            }
        },
    };
    let (prepared, outcome) = asked;
    record(&app, prepared, outcome, &cx).await
}

/// What the queue is told of a message that waits.
async fn later(app: &App, id: TouchId, wait: &Wait) -> Result<Outcome, JobError> {
    if wait.reason == Reason::SenderPaused {
        // Whoever paused it may have been killed before the queue heard of it, or was a provider's refusal.
        let touch =
            app.db().read(move |tx| Ok::<_, AppError>(touches::get(tx, id)?)).await.map_err(failed)?;
        if let Some(sender) = touch.and_then(|touch| touch.sender) {
            limits::set_as_stored(app, sender).await.map_err(failed)?;
        }
    }
    let asleep = super::asleep(app, wait.until, wait.reason.said());
    Ok(match (wait.hold.as_deref().and_then(|name| LimitName::new(name).ok()), asleep) {
        // Everything else that takes the limit would only be told the same.
        (Some(limit), Outcome::Snooze { delay, .. }) => Outcome::rate_limited(delay, Hold::Limit(limit)),
        (_, asleep) => asleep,
    })
}

/// What came of a message that was left in the middle.
enum Resumed {
    Asked(Box<Prepared>, SendOutcome),
    Decided(Vec<Follow>),
}

async fn resume(app: &App, mut prepared: Box<Prepared>, cx: &Ctx) -> Result<Resumed, JobError> {
    let (now, id, sends) = (app.now(), prepared.touch.id, prepared.touch.sends);
    cx.log("an earlier attempt ended between asking the provider and writing down what it said");
    if prepared.touch.channel == Channel::Sms {
        let found = match find(app, &prepared).await {
            Ok(found) => found,
            Err(error) if is_last(cx) => {
                let (touch, inner, why) = (prepared.touch.clone(), app.clone(), error.to_string());
                let unknown =
                    move |tx: &mut Tx<'_>| next::unknown(tx, &inner, &touch, Reason::WorkerDied, &why, now);
                return app.db().write(unknown).await.map(Resumed::Decided).map_err(failed);
            }
            Err(error) => return Err(error),
        };
        if let Some(found) = found {
            cx.log(format!("the provider has it as {found}"));
            let touch = prepared.touch.clone();
            let detail = found.clone();
            let note = move |tx: &mut Tx<'_>| {
                events::note(tx, &touch, EventKind::Found, "provider", &detail, None, now)
                    .map_err(AppError::from)
            };
            app.db().write(note).await.map_err(failed)?;
            return Ok(Resumed::Asked(prepared, SendOutcome::Sent { provider_id: found }));
        }
        prepared.may_have_arrived = false;
    }
    let touch = prepared.touch.clone();
    let again = move |tx: &mut Tx<'_>| {
        if !touches::begin_again(tx, id, sends)? {
            return Err(AppError::Conflict("somebody else has taken this message up".to_owned()));
        }
        let why = "nobody knows whether the provider has it";
        events::note(tx, &touch, EventKind::Repeated, "worker", why, None, now)?;
        Ok(())
    };
    app.db().write(again).await.map_err(failed)?;
    prepared.touch.sends += 1;
    let outcome = ask(app, &prepared).await;
    Ok(Resumed::Asked(prepared, outcome))
}

/// Whether this is the last time that the queue tries the job.
fn is_last(cx: &Ctx) -> bool {
    cx.failures() + 1 >= queues::MAX_FAILURES
}

/// What the provider calls the text, if it has it.
async fn find(app: &App, prepared: &Prepared) -> Result<Option<String>, JobError> {
    let Ok(Gateway::Twilio(twilio)) = app.gateways().of(&prepared.provider) else { return Ok(None) };
    let (to, from) = (prepared.touch.address.as_str(), prepared.sender.address.as_str());
    // The provider's own time is the wall's.
    let since = app.clock().wall_at(prepared.touch.sending_at.unwrap_or(prepared.touch.created_at));
    let (id, address) = (prepared.touch.id, prepared.touch.address.clone());
    // One that is known as another message of the same words is not this one.
    let others = app
        .db()
        .read(move |tx| touches::refs_to(tx, Channel::Sms, &address, id).map_err(AppError::from))
        .await
        .map_err(failed)?;
    let known = |sid: &str| others.contains(sid);
    let found = twilio.find_sms(to, from, &prepared.content.text, since, &known).await?;
    Ok(found.map(|found| found.sid))
}

/// Asks the provider to send it.
async fn ask(app: &App, prepared: &Prepared) -> SendOutcome {
    let Prepared { touch, contact, sender, provider, content, unsubscribe_url, .. } = prepared;
    let gateway = match app.gateways().of(provider) {
        Ok(gateway) => gateway,
        Err(error) => {
            return SendOutcome::Unanswered(SendError { why: error.to_string(), may_have_arrived: false });
        }
    };
    let (number, campaign) = (touch.id.to_string(), touch.campaign.to_string());
    let callback = app.public_url().map(|base| format!("{base}/hooks/twilio/{}/{number}", provider.id));
    match (gateway, touch.channel) {
        (Gateway::Smtp(_) | Gateway::HttpMail(_), Channel::Email) => {
            let domain = sender.address.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
            let message_id = app.message_id(touch.id, domain);
            let from = format!("{} <{}>", quoted(&sender.name), sender.address);
            let feedback = format!("{campaign}:{}:campaign:{}", touch.step_key, app.instance());
            // The link's own token, so that whoever sends it shows that the mail was theirs.
            let token =
                unsubscribe_url.as_deref().and_then(|url| url.rsplit_once('/')).map(|(_, token)| token);
            let proof = token.unwrap_or(number.as_str());
            let mailto = format!("unsubscribe@{domain}?subject={UNSUBSCRIBE}{proof}");
            let email = Email {
                message_id: &message_id,
                touch: &number,
                campaign: &campaign,
                from: if sender.name.is_empty() { &sender.address } else { &from },
                reply_to: None,
                to: &touch.address,
                to_name: &contact.name,
                subject: &content.subject,
                text: &content.text,
                html: content.html.as_deref(),
                unsubscribe: unsubscribe_url
                    .as_deref()
                    .map(|https_url| Unsubscribe { https_url, mailto: Some(&mailto) }),
                feedback_id: Some(&feedback),
                date: app.now(),
                headers: &[],
            };
            match app.gateways().of(provider) {
                Ok(Gateway::Smtp(smtp)) => smtp.send(&email).await,
                Ok(Gateway::HttpMail(http)) => http.send(&email).await,
                _ => wrong_channel(),
            }
        }
        (Gateway::Twilio(twilio), Channel::Sms) => {
            let sms = Sms {
                to: &touch.address,
                from: &sender.address,
                body: &content.text,
                status_callback: callback.as_deref(),
                headers: &[],
            };
            twilio.send_sms(&sms).await
        }
        (Gateway::Twilio(twilio), Channel::Voicemail) => {
            let call = Voicemail {
                to: &touch.address,
                from: &sender.address,
                twiml: Twiml::Inline(&content.text),
                status_callback: callback.as_deref(),
                machine_detection: MachineDetection::BeforeSpeech,
                ring_s: Some(RING_S),
                headers: &[],
            };
            twilio.place_call(&call).await
        }
        _ => wrong_channel(),
    }
}

fn wrong_channel() -> SendOutcome {
    let why = "the sender's provider does not carry this channel: choose another provider for it".to_owned();
    SendOutcome::Refused(Refusal {
        code: "local/wrong-channel".to_owned(),
        why,
        class: crate::channel::RefusalClass::Ours,
        retry_after_ms: None,
    })
}

/// A name as it stands in front of a mailbox.
pub(super) fn quoted(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What is done with the job when the answer is written down.
enum End {
    Done(Vec<Follow>),
    Wait(Wait),
    /// The provider gave no answer: a failure of the attempt, and the next one finds the message as it is.
    Failed,
}

async fn record(
    app: &App,
    prepared: Box<Prepared>,
    outcome: SendOutcome,
    cx: &Ctx,
) -> Result<Outcome, JobError> {
    let (now, inner, is_last) = (app.now(), app.clone(), is_last(cx));
    let (id, kept, met) = (prepared.touch.id, outcome.clone(), paces::met(&prepared));
    let (end, slowed) = app
        .db()
        .write(move |tx| {
            let action = match &kept {
                SendOutcome::Refused(refusal) => Some(action_of(tx, refusal)?),
                _ => None,
            };
            let whom = (&prepared.provider, &prepared.sender);
            breakers::tell(tx, &inner, whom, prepared.passes, &kept, action, now)?;
            let mut slowed = None;
            let end = match &kept {
                SendOutcome::Sent { provider_id } => sent(tx, &inner, &prepared, provider_id, now),
                SendOutcome::Refused(refusal) => {
                    let action = action.unwrap_or(Action::Fail);
                    slowed = paces::refused(tx, &inner, &prepared, refusal, action, now)?;
                    refused(tx, &inner, &prepared, refusal, action, now)
                }
                SendOutcome::Unanswered(error) => unanswered(tx, &inner, &prepared, error, is_last, now),
            };
            Ok::<_, AppError>((end?, slowed))
        })
        .await
        .map_err(failed)?;
    match slowed {
        // Before its own job is told to wait: a limit that is set anew is held by nothing.
        Some(Slowed::Now(whose)) => drop(paces::tell(app, &whose).await.map_err(failed)?),
        Some(Slowed::Nothing) => {}
        None => paces::went_on(app, &met),
    }
    match end {
        End::Done(follows) => {
            super::follow(app, cx, follows).await?;
            Ok(Outcome::Done)
        }
        End::Wait(wait) => later(app, id, &wait).await,
        End::Failed => match outcome {
            SendOutcome::Unanswered(error) => {
                let class = if error.may_have_arrived { "reply_lost" } else { "not_sent" };
                Err(JobError::from(error).class(class))
            }
            _ => Ok(Outcome::Done),
        },
    }
}

fn sent(
    tx: &mut Tx<'_>,
    app: &App,
    prepared: &Prepared,
    provider_ref: &str,
    now: Time,
) -> Result<End, AppError> {
    let touch = &prepared.touch;
    if touches::sent(tx, touch.id, provider_ref, "", now)? {
        events::note(tx, touch, EventKind::Sent, &prepared.provider.name, provider_ref, None, now)?;
    }
    let touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
    let mut follows = next::after(tx, app, &touch, now)?;
    if touch.channel != Channel::Email {
        let due = now.plus_ms(WATCH_AFTER_MS);
        follows.push(Follow::Watch { touch: Box::new(touch), due });
    }
    Ok(End::Done(follows))
}

/// What the table of errors, as people have edited it, says of a refusal.
fn action_of(tx: &mut Tx<'_>, refusal: &Refusal) -> Result<Action, AppError> {
    let table = ErrorTable::default()
        .merged(providers::error_rules(tx)?)
        .map_err(|error| AppError::invalid("the table of errors", error))?;
    Ok(table.decide(&refusal.code, refusal.class).action)
}

fn refused(
    tx: &mut Tx<'_>,
    app: &App,
    prepared: &Prepared,
    refusal: &Refusal,
    action: Action,
    now: Time,
) -> Result<End, AppError> {
    let Prepared { touch, sender, provider, .. } = prepared;
    let said = format!("{}: {}", refusal.code, refusal.why);
    let asked_too_often = touch.sends >= MAX_SENDS;
    if action.tries_again() && !asked_too_often {
        let backoff = RETRY_MS.saturating_mul(1 << touch.sends.min(6)).min(RETRY_CAP_MS);
        let until = now.plus_ms(refusal.retry_after_ms.unwrap_or(backoff));
        let (reason, hold) = match action {
            Action::SlowSender => (Reason::ProviderBusy, Some(limits::of_sender(sender.id))),
            // A wait that is named is everybody's. Otherwise this message waits, and the others go more slowly.
            Action::SlowProvider if refusal.retry_after_ms.is_some() => {
                (Reason::ProviderBusy, Some(limits::of_provider(provider.id)))
            }
            Action::SlowDomain if refusal.retry_after_ms.is_some() => {
                let domain = touch.address.rsplit_once('@').map(|(_, domain)| domain);
                (Reason::ProviderBusy, domain.and_then(limits::of_domain))
            }
            Action::OpenBreaker => (Reason::BreakerOpen, Some(limits::of_provider(provider.id))),
            Action::Brake => {
                senders::pause(tx, sender.id, true, &said)?;
                audit::note(tx, "windlass", "pause sender", &sender.address, &said, now)?;
                (Reason::SenderPaused, None)
            }
            _ => (Reason::ProviderBusy, None),
        };
        give_back(tx, prepared, now)?;
        if !prepared.may_have_arrived {
            touches::defer(tx, touch.id, reason, &said, until)?;
        }
        events::note(tx, touch, EventKind::Deferred, &provider.name, &said, None, now)?;
        return Ok(End::Wait(Wait { reason, until, hold }));
    }
    if action == Action::Suppress {
        let address = Addressed { hash: app.hash_of(&touch.address), text: Some(touch.address.clone()) };
        let channel = Some(touch.channel);
        suppressions::add(tx, None, channel, &address, &refusal.code, &provider.name, now)?;
    }
    if prepared.may_have_arrived {
        return next::unknown(tx, app, touch, Reason::ReplyLost, &said, now).map(End::Done);
    }
    give_back(tx, prepared, now)?;
    let status = TouchStatus::of_refusal(refusal.class);
    let has_bounced = status == TouchStatus::Bounced;
    let reason = if has_bounced || !action.tries_again() { Reason::Refused } else { Reason::ProviderBusy };
    let kind = if has_bounced { EventKind::Bounced } else { EventKind::Failed };
    if touches::fail(tx, touch.id, status, Some(reason), &said, now)? {
        events::note(tx, touch, kind, &provider.name, &said, None, now)?;
    }
    let touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
    if has_bounced {
        brake::after_bounce(tx, &touch, now)?;
    }
    next::after(tx, app, &touch, now).map(End::Done)
}

fn unanswered(
    tx: &mut Tx<'_>,
    app: &App,
    prepared: &Prepared,
    error: &SendError,
    is_last: bool,
    now: Time,
) -> Result<End, AppError> {
    let Prepared { touch, provider, .. } = prepared;
    let asked_too_often = touch.sends >= MAX_SENDS;
    if error.may_have_arrived {
        // It stays `sending`, and the next attempt goes by the channel's rule: a call has no other one.
        if touch.channel != Channel::Voicemail && !asked_too_often && !is_last {
            return Ok(End::Failed);
        }
        return next::unknown(tx, app, touch, Reason::ReplyLost, &error.why, now).map(End::Done);
    }
    if asked_too_often && prepared.may_have_arrived {
        return next::unknown(tx, app, touch, Reason::ReplyLost, &error.why, now).map(End::Done);
    }
    give_back(tx, prepared, now)?;
    if asked_too_often {
        if touches::fail(tx, touch.id, TouchStatus::Failed, Some(Reason::ProviderBusy), &error.why, now)? {
            events::note(tx, touch, EventKind::Failed, &provider.name, &error.why, None, now)?;
        }
        let touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
        return next::after(tx, app, &touch, now).map(End::Done);
    }
    let backoff = RETRY_MS.saturating_mul(1 << touch.sends.min(6)).min(RETRY_CAP_MS);
    let until = now.plus_ms(backoff);
    if !prepared.may_have_arrived {
        touches::defer(tx, touch.id, Reason::ProviderBusy, &error.why, until)?;
    }
    events::note(tx, touch, EventKind::Deferred, &provider.name, &error.why, None, now)?;
    Ok(End::Wait(Wait { reason: Reason::ProviderBusy, until, hold: None }))
}

/// Gives back what the message was counted against: it was not taken.
fn give_back(tx: &mut Tx<'_>, prepared: &Prepared, now: Time) -> Result<(), AppError> {
    let Prepared { touch, sender, .. } = prepared;
    if prepared.may_have_arrived {
        // The earlier attempt is what it was counted for.
        return Ok(());
    }
    // It was counted when it was last begun, which may be another day than today or than that of the first try.
    let at = touch.evidence.as_ref().map_or(now, |evidence| evidence.checked_at);
    usage::give_back(tx, usage::Of::Sender(sender.id), &check::day_of(&sender.time_zone, at))?;
    let place = Place::of(tx, touch.campaign, touch.contact)?;
    if place.campaign.daily_cap.is_some() {
        let day = check::day_of(place.campaign.policy.zone.name(), at);
        usage::give_back(tx, usage::Of::Campaign(touch.campaign), &day)?;
    }
    caps::give_back(tx, &place, touch, at)
}

//! The outbox, and one message with its whole story.

use axum::{http::StatusCode, response::IntoResponse as _};

use super::{
    Ask, Id, ROWS, Reply, cut,
    lookup::{Names, touch_row},
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    filters,
    flow::content,
    model::{
        CampaignId, ReviewId, TouchId, Word,
        campaign::{MAX_STEPS, Step},
        provider::Provider,
        touch::{Evidence, Reason, Touch, TouchStatus},
        variant::Variant,
    },
    pages::{
        Section, Shell,
        view::{self, Choice, ConsentBasis, Count, TimelineEntry, TouchPage, TouchesPage},
    },
    store::{
        PAGE_MAX, campaigns,
        events::{self, Event},
        providers, reviews, senders, templates, touches,
    },
};

/// What an address says of a word; none for an empty one, and a fault for one that is none.
fn chosen<T: serde::de::DeserializeOwned>(ask: &Ask, name: &'static str) -> Result<Option<T>, AppError> {
    let read = |word: &str| serde_json::from_value(word.into());
    ask.query.filled(name).map(read).transpose().map_err(|_| AppError::invalid(name, "there is no such word"))
}

/// What an address says of a number; none for an empty one, and a fault for one that is none.
fn number_of<T: std::str::FromStr>(ask: &Ask, name: &'static str) -> Result<Option<T>, AppError> {
    let read = |text: &str| text.parse().map_err(|_| AppError::invalid(name, "a whole number"));
    ask.query.filled(name).map(read).transpose()
}

/// Every word of an enum, with `any` before them.
fn any_of<T: Word + Copy>(all: &[T], label: impl Fn(T) -> String, chosen: &str) -> Vec<Choice> {
    let any = std::iter::once(Choice::of("", "any", chosen));
    any.chain(all.iter().map(|one| Choice::of(one.word(), label(*one), chosen))).collect()
}

/// What the outbox can be narrowed by.
const FILTERS: [&str; 7] = ["campaign", "step", "step_key", "variant", "status", "reason", "channel"];
/// Campaigns to choose from: the newest, and the one that is asked for.
const CAMPAIGNS: u32 = 200;

/// Reasons in the order of their own list.
const REASONS: [Reason; 32] = [
    Reason::WindowClosed,
    Reason::RecipientQuietHours,
    Reason::Holiday,
    Reason::CampaignCap,
    Reason::SenderCap,
    Reason::NewCap,
    Reason::UserCap,
    Reason::EverybodyCap,
    Reason::DomainCap,
    Reason::TriedAgain,
    Reason::SenderPaused,
    Reason::NoSender,
    Reason::BreakerOpen,
    Reason::ProviderBusy,
    Reason::CampaignPaused,
    Reason::ContactPaused,
    Reason::ReviewOpen,
    Reason::CampaignCancelled,
    Reason::Suppressed,
    Reason::NoConsent,
    Reason::NoAddress,
    Reason::NoZone,
    Reason::ConditionNotMet,
    Reason::Stopped,
    Reason::StoppedByPerson,
    Reason::ColleagueAnswered,
    Reason::Erased,
    Reason::MissingVariable,
    Reason::Refused,
    Reason::WorkerDied,
    Reason::NeverOpen,
    Reason::SequenceChanged,
];

/// `GET /touches`
pub(super) async fn list(ask: Ask) -> Reply {
    let status: Option<TouchStatus> = chosen(&ask, "status")?;
    let reason: Option<Reason> = chosen(&ask, "reason")?;
    let channel: Option<Channel> = chosen(&ask, "channel")?;
    let campaign = number_of(&ask, "campaign")?.map(CampaignId);
    let (step, step_key) = (number_of(&ask, "step")?, number_of(&ask, "step_key")?);
    let variant: Option<Variant> = chosen(&ask, "variant")?;
    let which = touches::Which { campaign, status, reason, channel, step, step_key, variant };
    let before = TouchId(ask.before()?);
    let (unknown, rows, next, names, campaigns, steps) = ask
        .read(move |tx| {
            let unknown = match filters::touches(tx, &which) {
                Ok(()) => None,
                Err(AppError::Unknown { what, id }) => Some((what, id)),
                Err(error) => return Err(error),
            };
            let (rows, next) = cut(touches::page(tx, which, before, ROWS + 1)?, |touch| touch.id.0);
            let names = Names::of(tx, &rows)?;
            let mut all = campaigns::page(tx, CampaignId(i64::MAX), CAMPAIGNS)?;
            if let Some(id) = campaign.filter(|id| all.iter().all(|one| one.id != *id)) {
                all.extend(campaigns::get(tx, id)?);
            }
            let present = campaign.and_then(|id| all.iter().find(|one| one.id == id)).map(|one| one.version);
            let steps = match campaign.zip(present) {
                Some((id, present)) => steps_of(&campaigns::versions(tx, id)?, present),
                None => (1..=MAX_STEPS).map(|n| (n.to_string(), n.to_string())).collect(),
            };
            Ok((unknown, rows, next, names, all, steps))
        })
        .await?;
    let s = ask.shell(Section::Touches).await?;
    let channels = std::iter::once(Choice::of("", "any", ask.query.word("channel")))
        .chain(Channel::ALL.map(|one| Choice::of(one.name(), one.name(), ask.query.word("channel"))));
    let asked = ask.query.word("campaign");
    let campaigns = std::iter::once(Choice::of("", "any", asked))
        .chain(campaigns.iter().map(|one| Choice::of(one.id, &one.name, asked)));
    // The same number is another step in another campaign, and in another version of one.
    let step_field = if campaign.is_some() { "step_key" } else { "step" };
    let asked = ask.query.word(step_field);
    let steps = std::iter::once(Choice::of("", "any", asked))
        .chain(steps.iter().map(|(value, label)| Choice::of(value, label, asked)));
    let is_narrowed = FILTERS.iter().any(|name| ask.query.filled(name).is_some());
    let page = TouchesPage {
        campaigns: campaigns.collect(),
        steps: steps.collect(),
        step_field: step_field.to_owned(),
        is_narrowed,
        unknown: unknown.as_ref().map(|(what, id)| format!("There is no {what} {id}.")),
        statuses: any_of(&TouchStatus::ALL, |one| view::said(&one.to_string()), ask.query.word("status")),
        reasons: any_of(&REASONS, |one| one.said().to_owned(), ask.query.word("reason")),
        channels: channels.collect(),
        variants: any_of(&Variant::ALL, |one| one.to_string(), ask.query.word("variant")),
        rows: rows.iter().map(|touch| touch_row(&ask, &s, &names, touch)).collect(),
        pages: ask.pages("/touches", &FILTERS, "before", next),
        s,
    };
    let status = if page.unknown.is_some() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    Ok((status, windlass_look::show(&page)).into_response())
}

/// The steps of a campaign by their keys: those of the present version, and then those that only earlier ones had.
fn steps_of(versions: &[(u32, Vec<Step>)], present: u32) -> Vec<(String, String)> {
    let mut all: Vec<(u32, String)> = Vec::new();
    for (version, steps) in versions.iter().rev().filter(|(version, _)| *version <= present) {
        for (number, step) in (1..).zip(steps) {
            if all.iter().any(|(key, _)| *key == step.key) {
                continue;
            }
            let when = if *version == present { String::new() } else { format!(", of version {version}") };
            all.push((step.key, format!("{number}, {}{when}", step.channel)));
        }
    }
    all.into_iter().map(|(key, label)| (key.to_string(), label)).collect()
}

/// What the page of a message is made of.
struct Whole {
    touch: Touch,
    names: Names,
    events: Vec<Event>,
    provider: Option<Provider>,
    content: Option<(String, String)>,
    template: Option<(i64, String)>,
    review: Option<i64>,
}

/// `GET /touches/{touch}`
pub(super) async fn show(ask: Ask, Id(id): Id) -> Reply {
    let app = ask.app.clone();
    let whole = ask
        .read(move |tx| {
            let touch = touches::get(tx, TouchId(id))?.ok_or_else(|| AppError::unknown("message", id))?;
            let names = Names::of(tx, std::slice::from_ref(&touch))?;
            let sender = touch.sender.map_or(Ok(None), |sender| senders::get(tx, sender))?;
            let provider = sender.map_or(Ok(None), |sender| providers::get(tx, sender.provider))?;
            let open = reviews::undecided(tx, ReviewId(0), PAGE_MAX)?;
            let template = touch.template.map_or(Ok(None), |id| templates::get(tx, id))?;
            let template = template.map(|one| (one.id.0, format!("{}, version {}", one.name, one.version)));
            let review = open.into_iter().find(|one| one.touch == Some(touch.id));
            Ok(Whole {
                names,
                events: events::of_touch(tx, touch.id)?,
                provider,
                content: says(tx, &app, &touch)?,
                template,
                review: review.map(|one| one.id.0),
                touch,
            })
        })
        .await?;
    let s = ask.shell(Section::Touches).await?;
    let touch = &whole.touch;
    let page = TouchPage {
        row: touch_row(&ask, &s, &whole.names, touch),
        queue: in_the_queue(&ask, touch).await,
        sender: touch.sender.map(|id| id.0),
        provider: whole.provider.as_ref().map(|provider| (provider.id.0, provider.name.clone())),
        reason: whole.names.why(touch).map(|reason| reason.to_string()).unwrap_or_default(),
        job: Some(touch.job.clone()).filter(|job| !job.is_empty()),
        template: whole.template.clone(),
        sends: Count::from(touch.sends),
        facts: facts(&ask, &s, &whole),
        content: whole.content.clone().filter(|_| s.sees),
        timeline: whole.events.iter().map(|event| entry(&ask, &s, event)).collect(),
        evidence: touch.evidence.as_ref().map(|evidence| shown(&ask, &s, evidence)),
        review: whole.review,
        s,
    };
    Ok(windlass_look::show(&page))
}

/// Why the job of a message that is still to go out is not running, in the queue's words: its turn, a limit, a pause.
async fn in_the_queue(ask: &Ask, touch: &Touch) -> Option<String> {
    if !matches!(touch.status, TouchStatus::Queued | TouchStatus::Deferred) {
        return None;
    }
    // A page about a message does not fail for a job that is gone, or a queue that does not answer.
    let why = ask.app.client().why(touch.job.parse().ok()?).await.ok()?;
    let said = touch.reason.map(|reason| reason.said());
    Some(why.detail).filter(|detail| !detail.is_empty() && Some(detail.as_str()) != said)
}

/// What a message said, or would say now: nothing where the text would be another one by now.
fn says(tx: &mut Tx<'_>, app: &App, touch: &Touch) -> Result<Option<(String, String)>, AppError> {
    let content = match content::of_touch(tx, app, touch) {
        Ok(Some(content)) => content,
        // A message whose step, sender or contact is gone is still shown, without its text.
        Ok(None) | Err(AppError::Unknown { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_it = touch.content_hash.is_empty() || touch.content_hash == content.hash();
    Ok(is_it.then_some((content.subject, content.text)))
}

fn entry(ask: &Ask, s: &Shell, event: &Event) -> TimelineEntry {
    TimelineEntry {
        at: ask.when(event.at),
        kind: event.kind.to_string(),
        source: event.source.clone(),
        detail: s.shown(event.detail.as_str()),
    }
}

fn facts(ask: &Ask, s: &Shell, whole: &Whole) -> Vec<(String, String)> {
    let touch = &whole.touch;
    let domain = whole.names.sender(touch.sender);
    let domain = domain.rsplit_once('@').map(|(_, domain)| domain.to_owned());
    let is_sent = touch.sends > 0 && touch.channel == Channel::Email;
    let message_id = domain.filter(|_| is_sent).map(|domain| ask.app.message_id(touch.id, &domain));
    let facts = [
        ("To", s.shown(touch.address.as_str())),
        ("Its reference", touch.provider_ref.clone().unwrap_or_default()),
        ("Its last word", touch.provider_status.clone()),
        ("Message-ID", message_id.unwrap_or_default()),
        ("Hash of the content", touch.content_hash.clone()),
        ("Counted on", touch.counted_day.clone()),
        ("Version of the sequence", touch.version.to_string()),
        ("Made", touch.created_at.to_string()),
    ];
    let filled = facts.into_iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(label, value)| (label.to_owned(), value)).collect()
}

fn shown(ask: &Ask, s: &Shell, evidence: &Evidence) -> view::Evidence {
    let window = &evidence.window;
    let clock = |whose: &str, reading: &crate::window::ZoneReading| {
        (whose.to_owned(), reading.zone.name().to_owned(), reading.local.clone())
    };
    let mut clocks = vec![clock("The campaign's clock", &window.campaign)];
    clocks.extend(window.recipient.iter().map(|reading| clock("The recipient's clock", reading)));
    view::Evidence {
        checked: ask.when(evidence.checked_at),
        verdict: "open: the campaign's window, and every rule that holds for the recipient".to_owned(),
        clocks,
        rules: window.rules.clone(),
        editions: format!("rules of {}, time zones of {}", window.rules_edition, window.tzdb),
        consent: evidence.consent.as_ref().map(|consent| ConsentBasis {
            basis: view::said(&consent.basis),
            proof: s.shown(consent.proof.as_str()),
            given: ask.when(consent.given_at),
        }),
    }
}

//! Campaigns: the list with a form for a new one, one of them with what became of each step, and its switches.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};

use super::{
    Ask, Fault, Id, Question, ROWS, Reply, Sent, builder, contacts::file_headers, cut, is_sure, lookup,
    moment::instant, number::named, variants, words,
};
use crate::{
    app::AppError,
    attention::{self, Item, Kind},
    channel::Channel,
    drafts::{self, Draft, Moves},
    export::{self, Format},
    figures::{self, Because, Figures, StepFigures},
    flow::{check::day_of, jobs, verbs},
    model::{
        CampaignId, TemplateId, UserId, Word,
        campaign::{Campaign, CampaignStatus, Step, StopRules},
        sender::Sender,
        touch::TouchStatus,
    },
    pages::{
        Section, Shell,
        form::Fields,
        view::{
            AttentionRow, CampaignPage, CampaignRow, CampaignsPage, Count, Input, Reasons, SenderLine,
            StepFunnel,
        },
    },
    store::{campaigns, lists, senders, templates, touches, usage, users},
    window::{Week, WindowPolicy, Zone},
};

/// A page of a campaign is fetched again that often: what its messages wait for changes without any event.
const FRESH_S: u32 = 5;
/// The zone of a new draft, until somebody chooses another: the legal windows that are built in are American.
const USUAL_ZONE: &str = "America/New_York";
/// The hours of a new draft.
const USUAL_HOURS: [(&str, &str); 1] = [("mon-fri", "09:00-20:00")];
/// The share of a new user, and of a new campaign.
const USUAL_WEIGHT: u32 = 10;

/// `GET /`
pub(super) async fn list(ask: Ask) -> Reply {
    list_page(&ask, Input::default()).await
}

async fn list_page(ask: &Ask, name: Input) -> Reply {
    let before = ask.before()?;
    let (page, next, owners) = ask
        .read(move |tx| {
            let page = campaigns::page(tx, CampaignId(before), ROWS + 1)?;
            let (page, next) = cut(page, |campaign| campaign.id.0);
            Ok((page, next, lookup::user_names(tx)?))
        })
        .await?;
    let mut rows = Vec::with_capacity(page.len());
    for campaign in &page {
        let figures = figures::of(&ask.app, campaign.id).await?;
        let owner = owners.get(&campaign.user).cloned().unwrap_or_default();
        rows.push((campaign.status, row(ask, campaign, owner, &figures)));
    }
    rows.sort_by_key(|(status, _)| !status.is_live());
    let s = ask.shell(Section::Campaigns).await?.every(FRESH_S);
    let mut waiting = attention::look(&ask.app).await?;
    if !ask.visitor.may_see_payloads {
        waiting.iter_mut().for_each(|item| item.why.clear());
    }
    Ok(windlass_look::show(&CampaignsPage {
        attention: waiting.iter().map(|item| attention_row(ask, &s, item)).collect(),
        s,
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        pages: ask.pages("", &[], "before", next),
        name,
    }))
}

/// Something that waits for a person.
fn attention_row(ask: &Ask, s: &Shell, item: &Item) -> AttentionRow {
    let many = |one, more| windlass_look::words::many(item.count.max(0).unsigned_abs(), one, more);
    let (what, at) = match item.kind {
        Kind::PossibleOptOut => {
            (many("message that may be an opt-out", "messages that may be opt-outs"), s.at("/reviews"))
        }
        Kind::UnknownCall => {
            (many("call that nobody knows of", "calls that nobody knows of"), s.at("/reviews"))
        }
        Kind::ProviderHeld => {
            (format!("Account {} is held back", item.name), s.at(format_args!("/providers/{}", item.id)))
        }
        Kind::SenderHeld => {
            (format!("Sender {} is held back", item.name), s.at(format_args!("/senders/{}", item.id)))
        }
        Kind::SenderPaused => {
            (format!("Sender {} is paused", item.name), s.at(format_args!("/senders/{}", item.id)))
        }
    };
    AttentionRow {
        what,
        at,
        why: item.why.clone(),
        since: item.since.map(|at| ask.when(at)),
        due: item.due_at.map(|at| ask.when(at)),
    }
}

/// A campaign in the list.
fn row(ask: &Ask, campaign: &Campaign, owner: String, figures: &Figures) -> CampaignRow {
    let cancelled = campaign.status == CampaignStatus::Cancelled;
    CampaignRow {
        id: campaign.id.0,
        name: campaign.name.clone(),
        owner,
        status: campaign.status.to_string(),
        percent: figures.percent,
        // Whom the cancelling has stopped have come to no end of their own.
        done: Count(figures.done + if cancelled { 0 } else { figures.stopped }),
        all: campaign.contacts.into(),
        sent_today: Count(figures.sent_today),
        cap_today: campaign.daily_cap.map(Count::from),
        eta: figures.eta.filter(|_| campaign.ended_at.is_none()).map(|at| ask.when(at)),
        waits: figures.held_by().map(str::to_owned),
        launched: campaign.launched_at.map(|at| ask.when(at)),
        ended: campaign.ended_at.map(|at| ask.when(at)),
    }
}

/// Why messages wait, or were not sent.
fn reasons(ask: &Ask, rows: &[Because]) -> Vec<Reasons> {
    rows.iter()
        .map(|one| Reasons {
            reason: one.reason.clone(),
            said: one.said.to_owned(),
            count: Count(one.count),
            first_until: one.first_until.filter(|at| *at > ask.now).map(|at| ask.when(at)),
        })
        .collect()
}

/// `POST /`: a draft of whoever asks.
pub(super) async fn create(ask: Ask, Sent(form): Sent) -> Reply {
    let user = owner(&ask).await?;
    let zone = Zone::named(USUAL_ZONE).map_err(|why| AppError::invalid("time zone", why))?;
    let week = Week::of(&USUAL_HOURS).map_err(|why| AppError::invalid("hours", why))?;
    let policy = WindowPolicy::new(zone, week).map_err(|why| AppError::invalid("hours", why))?;
    let draft = Draft {
        name: form.word("name").to_owned(),
        user,
        list: None,
        weight: USUAL_WEIGHT,
        daily_cap: None,
        new_per_day: None,
        policy,
        stop_rules: StopRules::default(),
        postal_address: String::new(),
        starts_at: None,
        senders: Vec::new(),
        steps: Vec::new(),
        revision: None,
    };
    match drafts::create(&ask.app, draft, ask.who()).await {
        Ok(campaign) => {
            let said = format!("{} is a draft now.", campaign.name);
            Ok(ask.done(format_args!("/{}/edit", campaign.id), said))
        }
        Err(AppError::Invalid { why, .. }) => list_page(&ask, Input::of(form.text("name")).wrong(why)).await,
        Err(error) => Err(error.into()),
    }
}

/// The user that the visitor is: of their own name, made with their first draft.
async fn owner(ask: &Ask) -> Result<UserId, Fault> {
    let name = ask.who().rsplit(':').next().unwrap_or_default().to_owned();
    let now = ask.now;
    Ok(ask.app.db().write(move |tx| users::ensure(tx, &name, "", USUAL_WEIGHT, now)).await?)
}

/// What the page of a campaign is made of.
struct Whole {
    campaign: Campaign,
    owner: String,
    steps: Vec<Step>,
    said: Vec<(TemplateId, String)>,
    list: Option<String>,
    senders: Vec<(Sender, i64)>,
}

/// `GET /{campaign}`
pub(super) async fn show(ask: Ask, Id(id): Id) -> Reply {
    one_page(&ask, CampaignId(id), Input::default()).await
}

async fn one_page(ask: &Ask, id: CampaignId, until: Input) -> Reply {
    let now = ask.now;
    let whole = ask
        .read(move |tx| {
            let campaign = known(tx, id)?;
            let steps = campaigns::steps(tx, id, campaign.version)?;
            let mut said = Vec::new();
            for step in &steps {
                for (_, id) in step.texts() {
                    if let Some(template) = templates::get(tx, id)? {
                        said.push((id, format!("{}, version {}", template.name, template.version)));
                    }
                }
            }
            let list = match campaign.list {
                Some(list) => lists::all(tx)?
                    .into_iter()
                    .find(|one| one.id == list)
                    .map(|list| format!("{}, {} now", list.name, people(list.contacts))),
                None => None,
            };
            let mut chosen = Vec::new();
            for channel in Channel::ALL {
                for sender in senders::of_campaign(tx, id, channel)? {
                    let day = day_of(&sender.time_zone, now);
                    let used = usage::used(tx, usage::Of::Sender(sender.id), &day)?;
                    chosen.push((sender, used));
                }
            }
            let owner = users::get(tx, campaign.user)?.map(|user| user.name).unwrap_or_default();
            Ok(Whole { campaign, owner, steps, said, list, senders: chosen })
        })
        .await?;
    let figures = figures::of(&ask.app, id).await?;
    let goal = variants::goal(ask)?;
    let campaign = &whole.campaign;
    let s = ask.shell(Section::Campaigns).await?.every(FRESH_S);
    let (by, named) = jobs::found_by(ask.app.sharing(), id);
    let standing = [("active", figures.active), ("done", figures.done), ("stopped", figures.stopped)];
    let page = CampaignPage {
        jobs_at: s.f.jobs(&[(by, &named)]),
        goals: variants::goals(&s, id, goal),
        moves: builder::moves(&Moves::Everybody.word()),
        tests: variants::tables(campaign, &figures, goal),
        s,
        row: row(ask, campaign, whole.owner.clone(), &figures),
        revision: campaign.revision,
        facts: facts(campaign, whole.list.as_deref()),
        starts: campaign.starts_at.filter(|at| *at > ask.now).map(|at| ask.when(at)),
        steps: funnel(&whole, &figures),
        deferred: reasons(ask, &figures.waiting),
        skipped: reasons(ask, &figures.skipped),
        stops: figures.stops.iter().map(|one| (one.said, Count(one.count))).collect(),
        between: between(campaign, &figures),
        enrolments: standing.map(|(word, n)| (word.to_owned(), Count(n))).to_vec(),
        senders: whole.senders.iter().map(|one| sender_line(ask, one)).collect(),
        goes_on: campaign.paused_until.map(|at| ask.when(at)),
        until,
        zone: campaign.policy.zone.name().to_owned(),
    };
    Ok(windlass_look::show(&page))
}

/// Contacts who wait for a step of which no message is made yet.
fn between(campaign: &Campaign, figures: &Figures) -> Option<String> {
    let is_open =
        |status| matches!(status, TouchStatus::Queued | TouchStatus::Deferred | TouchStatus::Sending);
    let made = figures.funnel.iter().flat_map(|row| &row.counts).filter(|(status, _)| is_open(*status));
    let waiting = figures.active.saturating_sub(made.map(|(_, count)| count).sum());
    let who = windlass_look::words::many(waiting, "contact waits", "contacts wait");
    let because = match campaign.begins_a_day() {
        Some(cap) => format!(", or for their day: it begins with {} a day at most", Count::from(cap)),
        None => String::new(),
    };
    (waiting > 0 && campaign.status.is_live()).then(|| format!("{who} for the next step's time{because}"))
}

fn sender_line(ask: &Ask, (sender, used): &(Sender, i64)) -> SenderLine {
    let is_used_up = *used >= i64::from(sender.cap_today);
    let held = match (sender.paused, is_used_up) {
        (true, _) if sender.pause_reason.is_empty() => Some("it is paused".to_owned()),
        (true, _) => Some(format!("it is paused: {}", sender.pause_reason)),
        (false, true) => Some("its messages of the day are used up".to_owned()),
        (false, false) => None,
    };
    let goes_on = sender.paused_until.map(|at| format!(", and goes on {}", ask.when(at).said));
    let held = held.map(|held| held + &goes_on.unwrap_or_default());
    SenderLine {
        id: sender.id.0,
        address: sender.address.clone(),
        sent_today: (*used).into(),
        cap_today: sender.cap_today.into(),
        held,
    }
}

fn people(contacts: i64) -> String {
    windlass_look::words::many(contacts.max(0).unsigned_abs(), "contact", "contacts")
}

fn facts(campaign: &Campaign, list: Option<&str>) -> Vec<(String, String)> {
    let StopRules { reply, click, bounce, account_reply } = campaign.stop_rules;
    let stops = [
        // Who ends it for colleagues ends it for themselves.
        (reply && !account_reply, "they answer"),
        (account_reply, "they or a colleague answer"),
        (click, "they follow a link"),
        (bounce, "a message bounces"),
    ];
    let stops: Vec<&str> = stops.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect();
    let stops = if stops.is_empty() { "they opt out".to_owned() } else { stops.join(", ") };
    let none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    [
        ("List", list.unwrap_or("not chosen yet").to_owned()),
        ("Window", words::policy(&campaign.policy)),
        ("Ends for a contact when", stops),
        (
            "Messages a day",
            campaign.daily_cap.map_or("no cap".to_owned(), |cap| Count::from(cap).to_string()),
        ),
        ("Weight", campaign.weight.to_string()),
        ("Version of the sequence", campaign.version.to_string()),
        ("Postal address", none(&campaign.postal_address)),
    ]
    .map(|(label, value)| (label.to_owned(), value))
    .to_vec()
}

/// What became of each step; those that only earlier versions of the sequence had stand below.
fn funnel(whole: &Whole, figures: &Figures) -> Vec<StepFunnel> {
    let present = (1..).zip(&whole.steps).map(|(number, step)| (Some((number, step)), step.key));
    let mut gone: Vec<u32> =
        figures.funnel.iter().filter(|row| row.step.is_none()).map(|row| row.step_key).collect();
    gone.dedup();
    let all = present.chain(gone.into_iter().map(|key| (None, key)));
    all.map(|(step, key)| step_funnel(whole, figures, step, key)).collect()
}

fn step_funnel(whole: &Whole, figures: &Figures, step: Option<(u32, &Step)>, key: u32) -> StepFunnel {
    let (number, step) = step.unzip();
    // A step has a row for each channel by which it was taken.
    let rows: Vec<&StepFigures> = figures.funnel.iter().filter(|row| row.step_key == key).collect();
    let in_status = |wanted: &[TouchStatus]| -> Count {
        let all = rows.iter().flat_map(|row| &row.counts);
        Count(all.filter(|(status, _)| wanted.contains(status)).map(|(_, n)| n).sum())
    };
    let sum = |of: fn(&StepFigures) -> u64| Count(rows.iter().map(|row| of(row)).sum());
    let template = step.and_then(|step| says(whole, step));
    StepFunnel {
        number: number.map_or_else(|| "–".to_owned(), |number| number.to_string()),
        key,
        channel: step
            .map_or_else(|| rows.first().map_or(Channel::Email, |row| row.channel), |step| step.channel),
        fallback: step.and_then(|step| step.fallback.as_ref()).map(|fallback| fallback.channel),
        template: template.unwrap_or_else(|| "no longer in the sequence".to_owned()),
        after: step
            .map_or("in an earlier version".to_owned(), |step| words::delay(step.delay, number == Some(1))),
        contacts: whole.campaign.contacts.into(),
        queued: in_status(&[TouchStatus::Queued, TouchStatus::Sending]),
        deferred: in_status(&[TouchStatus::Deferred]),
        sent: in_status(&[TouchStatus::Sent]),
        delivered: in_status(&[TouchStatus::Delivered]),
        bounced: in_status(&[TouchStatus::Bounced]),
        failed: in_status(&[TouchStatus::Failed]),
        skipped: in_status(&[TouchStatus::Skipped]),
        unknown: in_status(&[TouchStatus::Unknown]),
        opened: sum(|row| row.opened),
        clicked: sum(|row| row.clicked),
        replied: sum(|row| row.replied),
    }
}

/// What a step says: the name of its text, or of each of its variants.
fn says(whole: &Whole, step: &Step) -> Option<String> {
    let name = |id| whole.said.iter().find(|(one, _)| *one == id).map(|(_, said)| said.as_str());
    let arms = step.arms();
    if arms.is_empty() {
        return name(step.template).map(str::to_owned);
    }
    let lettered = arms.iter().filter_map(|arm| Some(format!("{} {}", arm.variant, name(arm.template)?)));
    Some(lettered.collect::<Vec<_>>().join("; "))
}

/// `GET /{campaign}/messages.csv`: every message with what was checked before it.
pub(super) async fn messages(ask: Ask, Id(id): Id) -> Reply {
    if !ask.visitor.may_see_payloads {
        return Err(Fault::Payloads);
    }
    let number = CampaignId(id);
    ask.read(move |tx| known(tx, number)).await?;
    ask.visitor.note(&format!("exported the messages of campaign {id}"));
    let lines = Body::from_stream(export::of_campaign(&ask.app, number, Format::Csv));
    Ok((file_headers(Format::Csv, &format!("campaign-{id}.csv")), lines).into_response())
}

/// `POST /{campaign}/pause`
pub(super) async fn pause(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let number = CampaignId(id);
    let campaign = ask.read(move |tx| known(tx, number)).await?;
    let until = form.filled("until").map(|text| instant(campaign.policy.zone.name(), text)).transpose();
    let wrong = |why: String| Input::of(form.text("until")).wrong(why);
    let until = match until {
        Ok(until) => until,
        Err(why) => return one_page(&ask, number, wrong(why)).await,
    };
    match verbs::pause_until(&ask.app, number, until, ask.who()).await {
        Err(AppError::Invalid { field: "until", why }) => one_page(&ask, number, wrong(why)).await,
        done => {
            ask.told(format_args!("/{id}"), done, format!("Campaign {id} is paused: nothing of it goes out."))
        }
    }
}

/// `POST /{campaign}/resume`
pub(super) async fn resume(ask: Ask, Id(id): Id) -> Reply {
    let done = verbs::resume(&ask.app, CampaignId(id), ask.who()).await;
    ask.told(format_args!("/{id}"), done, format!("Campaign {id} goes on."))
}

/// `POST /{campaign}/cancel`: asks first.
pub(super) async fn cancel(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let number = CampaignId(id);
    let (campaign, counted) =
        ask.read(move |tx| Ok((known(tx, number)?, touches::tallies(tx, number)?))).await?;
    let back = format!("/{id}");
    if let Err(error) = unchanged(&campaign, &form) {
        return ask.not_done(back, error);
    }
    if is_sure(&form) {
        let done = verbs::cancel(&ask.app, number, ask.who()).await;
        return ask.told(back, done, format!("Campaign {id} is cancelled."));
    }
    let waits = |status| matches!(status, TouchStatus::Queued | TouchStatus::Deferred);
    let waiting: i64 = counted.iter().filter(|tally| waits(tally.status)).map(|tally| tally.count).sum();
    let waiting = match waiting {
        1 => "One message that waits is not sent.".to_owned(),
        more => format!("{} messages that wait are not sent.", Count::from(more)),
    };
    question(&ask, &campaign, &waiting).await
}

async fn question(ask: &Ask, campaign: &Campaign, waiting: &str) -> Result<Response, Fault> {
    let means = [
        waiting,
        "No contact comes to another step. What was sent stays sent, and stays counted.",
        "It cannot be taken back. To stop it for a while, pause it.",
    ];
    let ask_first = Question {
        title: format!("Cancel {}?", campaign.name),
        means: &means,
        button: "Cancel the campaign",
        action: format!("/{}/cancel", campaign.id),
        back: format!("/{}", campaign.id),
        fields: vec![("revision".to_owned(), campaign.revision.to_string())],
    };
    Ok(ask_first.show(ask.shell(Section::Campaigns).await?))
}

/// Refuses what was asked on the sight of an older revision.
pub(super) fn unchanged(campaign: &Campaign, form: &Fields) -> Result<(), AppError> {
    match named(form, "revision")? {
        Some(revision) if revision != campaign.revision && campaign.status != CampaignStatus::Done => Err(
            AppError::Conflict(format!("{} was changed by somebody else: look at it again", campaign.name)),
        ),
        _ => Ok(()),
    }
}

/// That campaign.
pub(super) fn known(tx: &mut crate::db::Tx<'_>, id: CampaignId) -> Result<Campaign, AppError> {
    campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))
}

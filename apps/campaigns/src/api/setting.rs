//! What campaigns are set up with: users, templates, providers, senders, the table of errors; and what people look at.

use axum::{Json, extract::State};
use serde::{Deserialize, Deserializer, Serialize};
use windlass::Time;
use windlass_look::Visitor;

use super::{
    answer::Answer,
    ask::{Body, Path, Query},
    campaigns::Before,
};
use crate::{
    app::{App, AppError},
    attention,
    channel::{
        Channel,
        pace::{Pace, Slowdown},
        rules::{ErrorRule, ErrorTable, ProviderKind},
    },
    flow::{
        accounts,
        breakers::{self, Hand},
        decide::{self, Decision},
        hours,
        paces::{self, Whose},
        strangers::{self, Strangers},
        texts::{self, NewText, named},
    },
    model::{
        ProviderId, ReviewId, SenderId, User, UserId,
        provider::Provider,
        sender::{Sender, WarmUp},
    },
    store::{
        audit,
        audit::Change,
        providers::{self, DomainLimit},
        reviews::{self, Review},
        senders, settings,
        templates::{self, StoredTemplate},
        users,
    },
    template::Finding,
    window::RuleTable,
};

/// `GET /v1/users`
pub(super) async fn users(State(app): State<App>) -> Answer<Vec<User>> {
    Ok(Json(app.db().read(|tx| Ok::<_, AppError>(users::all(tx)?)).await?))
}

/// A user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetUser {
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    weight: Option<u32>,
    /// Left out it stays as it is; null takes it away.
    #[serde(default, deserialize_with = "said")]
    daily_cap: Option<Option<u32>>,
}

/// Tells null from what was left out.
fn said<'de, D: Deserializer<'de>>(given: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(given).map(Some)
}

/// `POST /v1/users`
pub(super) async fn set_user(
    State(app): State<App>,
    visitor: Visitor,
    Body(given): Body<SetUser>,
) -> Answer<User> {
    if given.daily_cap == Some(Some(0)) {
        return Err(AppError::invalid("daily_cap", "at least 1; null is no cap").into());
    }
    let mut user = accounts::set_user(&app, &given.name, &given.email, given.weight, &visitor.name).await?;
    if let Some(cap) = given.daily_cap {
        accounts::set_daily_cap(&app, Some(user.id), cap, &visitor.name).await?;
        user.daily_cap = cap;
    }
    Ok(Json(user))
}

/// What all campaigns send together.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DailyCap {
    /// Messages a day; null is no cap.
    messages: Option<u32>,
}

/// `GET /v1/daily-cap`
pub(super) async fn daily_cap(State(app): State<App>) -> Answer<DailyCap> {
    let messages = app.db().read(|tx| Ok::<_, AppError>(settings::get(tx, settings::DAILY_CAP)?)).await?;
    Ok(Json(DailyCap { messages }))
}

/// `PUT /v1/daily-cap`
pub(super) async fn set_daily_cap(
    State(app): State<App>,
    visitor: Visitor,
    Body(given): Body<DailyCap>,
) -> Answer<DailyCap> {
    accounts::set_daily_cap(&app, None, given.messages, &visitor.name).await?;
    Ok(Json(given))
}

/// `GET /v1/templates`: the newest version of each.
pub(super) async fn templates(State(app): State<App>) -> Answer<Vec<StoredTemplate>> {
    Ok(Json(app.db().read(|tx| Ok::<_, AppError>(templates::newest(tx)?)).await?))
}

/// The next version of a template.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteTemplate {
    name: String,
    channel: Channel,
    #[serde(default)]
    subject: String,
    body: String,
    #[serde(default)]
    html: Option<String>,
}

/// A template with what a launch would say of it.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    #[serde(flatten)]
    template: StoredTemplate,
    findings: Vec<Finding>,
}

/// `POST /v1/templates`
pub(super) async fn write_template(
    State(app): State<App>,
    visitor: Visitor,
    Body(given): Body<WriteTemplate>,
) -> Answer<Written> {
    let WriteTemplate { name, channel, subject, body, html } = given;
    let text = NewText { name, channel, subject, body, html };
    let template = texts::write(&app, text, &visitor.name).await?;
    let findings = texts::findings(&template);
    Ok(Json(Written { template, findings }))
}

/// An account, or what a domain bears, with how slow it is where it has said that it is too much.
#[derive(Debug, Serialize)]
pub(super) struct Paced<T> {
    #[serde(flatten)]
    what: T,
    slowed: Option<Slowdown>,
}

fn paced<T>(app: &App, what: T, pace: &Pace) -> Paced<T> {
    Paced { what, slowed: paces::slowdown(app, pace) }
}

/// `GET /v1/providers`: without their secrets.
pub(super) async fn providers(State(app): State<App>) -> Answer<Vec<Paced<Provider>>> {
    let all = app.db().read(|tx| Ok::<_, AppError>(providers::all(tx)?)).await?;
    let paced = |one: Provider| paced(&app, one.clone(), &one.pace);
    Ok(Json(all.into_iter().map(paced).collect()))
}

/// What a person makes of a breaker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByHand {
    gate: Hand,
    #[serde(default)]
    why: String,
}

/// How a breaker stands.
#[derive(Debug, Serialize)]
pub(super) struct Stands {
    state: &'static str,
    /// The state in a sentence.
    says: String,
}

/// `GET /v1/providers/{id}/breaker`
pub(super) async fn breaker(State(app): State<App>, Path(id): Path<ProviderId>) -> Answer<Stands> {
    let breaker = app.db().read(move |tx| {
        providers::get(tx, id)?.ok_or_else(|| AppError::unknown("provider", id))?;
        Ok::<_, AppError>(providers::breaker(tx, id)?)
    });
    let breaker = breaker.await?;
    Ok(Json(Stands { state: breaker.state(), says: breaker.says() }))
}

/// `PUT /v1/providers/{id}/breaker`
pub(super) async fn set_breaker(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ProviderId>,
    Body(given): Body<ByHand>,
) -> Answer<Stands> {
    breakers::decide(&app, id, given.gate, &given.why, &visitor.name).await?;
    breaker(State(app), Path(id)).await
}

/// `DELETE /v1/providers/{id}/slowed`: brings an account back to its full pace.
pub(super) async fn bring_provider_back(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ProviderId>,
) -> Answer<Vec<Paced<Provider>>> {
    paces::reset(&app, Whose::Provider(id), &visitor.name).await?;
    providers(State(app)).await
}

/// An account at a provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetProvider {
    name: String,
    kind: ProviderKind,
    url: String,
    #[serde(default)]
    account: String,
    /// Left out, the one that the account has: what nothing shows cannot be sent back.
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    callback_key: Option<String>,
    #[serde(default)]
    inbound_key: Option<String>,
    #[serde(default)]
    per_second: Option<u32>,
    #[serde(default)]
    concurrency: Option<u32>,
}

/// `POST /v1/providers`
pub(super) async fn set_provider(
    State(app): State<App>,
    visitor: Visitor,
    Body(given): Body<SetProvider>,
) -> Answer<Provider> {
    let SetProvider { name, kind, url, account, secret, callback_key, inbound_key, per_second, concurrency } =
        given;
    let name = named(&name)?;
    let known = app.db().read(|tx| Ok::<_, AppError>(providers::all(tx)?)).await?;
    let known = known.into_iter().find(|known| known.name == name);
    let known = known.unwrap_or_else(|| accounts::new_provider(&name, kind, &url));
    let (secret, callback_key) = (secret.unwrap_or(known.secret), callback_key.unwrap_or(known.callback_key));
    let inbound_key = inbound_key.unwrap_or(known.inbound_key);
    let provider = Provider {
        id: ProviderId(0),
        name,
        kind,
        url,
        account,
        secret,
        callback_key,
        inbound_key,
        per_second,
        concurrency,
        pace: Pace::default(),
        revision: 0,
    };
    Ok(Json(accounts::set_provider(&app, provider, &visitor.name).await?))
}

/// `GET /v1/senders`
pub(super) async fn senders(State(app): State<App>) -> Answer<Vec<Sender>> {
    Ok(Json(app.db().read(|tx| Ok::<_, AppError>(senders::all(tx)?)).await?))
}

/// A sender.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetSender {
    channel: Channel,
    address: String,
    #[serde(default)]
    name: String,
    provider: ProviderId,
    #[serde(default)]
    user: Option<UserId>,
    time_zone: String,
    daily_cap: u32,
    #[serde(default)]
    per_minute: Option<u32>,
    /// How it grows; left out, it may send its whole cap at once.
    #[serde(default)]
    warm_up: Option<WarmUp>,
}

/// `POST /v1/senders`
pub(super) async fn set_sender(
    State(app): State<App>,
    visitor: Visitor,
    Body(given): Body<SetSender>,
) -> Answer<Sender> {
    let SetSender { channel, address, name, provider, user, time_zone, daily_cap, per_minute, warm_up } =
        given;
    let warm_up = warm_up.unwrap_or_else(WarmUp::warm);
    let sender = Sender {
        user,
        name,
        per_minute,
        warm_up,
        ..Sender::new(channel, address, provider, time_zone, daily_cap)
    };
    Ok(Json(accounts::set_sender(&app, sender, &visitor.name).await?))
}

/// Why a sender is paused, and until when; without that, until a person says so.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Why {
    reason: String,
    until: Option<Time>,
}

async fn stored(app: &App, id: SenderId) -> Answer<Sender> {
    let stored =
        app.db().read(move |tx| senders::get(tx, id)?.ok_or_else(|| AppError::unknown("sender", id)));
    Ok(Json(stored.await?))
}

/// `POST /v1/senders/{id}/pause`
pub(super) async fn pause_sender(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<SenderId>,
    Body(Why { reason, until }): Body<Why>,
) -> Answer<Sender> {
    match until {
        Some(until) => accounts::pause_sender_until(&app, id, until, &reason, &visitor.name).await?,
        None => accounts::pause_sender(&app, id, true, &reason, &visitor.name).await?,
    }
    stored(&app, id).await
}

/// `POST /v1/senders/{id}/resume`
pub(super) async fn resume_sender(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<SenderId>,
) -> Answer<Sender> {
    accounts::pause_sender(&app, id, false, "", &visitor.name).await?;
    stored(&app, id).await
}

/// `GET /v1/error-rules`: every row that holds, those that people have edited among them.
pub(super) async fn error_rules(State(app): State<App>) -> Answer<Vec<ErrorRule>> {
    let rules = app.db().read(|tx| {
        let edited = providers::error_rules(tx)?;
        let table = ErrorTable::default()
            .merged(edited)
            .map_err(|why| AppError::invalid("the table of errors", why))?;
        Ok::<_, AppError>(table.rules().to_vec())
    });
    Ok(Json(rules.await?))
}

/// `PUT /v1/error-rules`: edits one row.
pub(super) async fn set_error_rule(
    State(app): State<App>,
    visitor: Visitor,
    Body(rule): Body<ErrorRule>,
) -> Answer<ErrorRule> {
    Ok(Json(accounts::set_error_rule(&app, rule, &visitor.name).await?))
}

/// `DELETE /v1/error-rules/{provider}/{code}`: what the program brings holds again.
pub(super) async fn remove_error_rule(
    State(app): State<App>,
    visitor: Visitor,
    Path((provider, code)): Path<(ProviderKind, String)>,
) -> Answer<Vec<ErrorRule>> {
    accounts::remove_error_rule(&app, provider, &code, &visitor.name).await?;
    error_rules(State(app)).await
}

/// `GET /v1/domain-limits`: what recipients' domains bear.
pub(super) async fn domain_limits(State(app): State<App>) -> Answer<Vec<Paced<DomainLimit>>> {
    let all = app.db().read(|tx| Ok::<_, AppError>(providers::domain_limits(tx)?)).await?;
    let paced = |one: DomainLimit| paced(&app, one.clone(), &one.pace);
    Ok(Json(all.into_iter().map(paced).collect()))
}

/// `DELETE /v1/domain-limits/{domain}/slowed`: brings a domain back to its full pace.
pub(super) async fn bring_domain_back(
    State(app): State<App>,
    visitor: Visitor,
    Path(domain): Path<String>,
) -> Answer<Vec<Paced<DomainLimit>>> {
    paces::reset(&app, Whose::Domain(domain.to_ascii_lowercase()), &visitor.name).await?;
    domain_limits(State(app)).await
}

/// `PUT /v1/domain-limits`: sets one.
pub(super) async fn set_domain_limit(
    State(app): State<App>,
    visitor: Visitor,
    Body(limit): Body<DomainLimit>,
) -> Answer<DomainLimit> {
    Ok(Json(accounts::set_domain_limit(&app, limit, &visitor.name).await?))
}

/// `DELETE /v1/domain-limits/{domain}`: takes one away.
pub(super) async fn remove_domain_limit(
    State(app): State<App>,
    visitor: Visitor,
    Path(domain): Path<String>,
) -> Answer<Vec<Paced<DomainLimit>>> {
    accounts::remove_domain_limit(&app, &domain, &visitor.name).await?;
    domain_limits(State(app)).await
}

/// The table of legal calling hours, as a program sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetHours {
    /// The whole table, as the file of the built-in one is written.
    toml: String,
}

/// `GET /v1/calling-hours`: the rows that hold.
pub(super) async fn calling_hours(State(app): State<App>) -> Answer<RuleTable> {
    Ok(Json(RuleTable::clone(&app.rules())))
}

/// `PUT /v1/calling-hours`: has another table hold.
pub(super) async fn set_calling_hours(
    State(app): State<App>,
    visitor: Visitor,
    Body(given): Body<SetHours>,
) -> Answer<RuleTable> {
    Ok(Json(hours::set(&app, &given.toml, &visitor.name).await?))
}

/// `DELETE /v1/calling-hours`: has the table hold that the program brings.
pub(super) async fn reset_calling_hours(State(app): State<App>, visitor: Visitor) -> Answer<RuleTable> {
    Ok(Json(hours::reset(&app, &visitor.name).await?))
}

/// `GET /v1/attention`: everything that waits for a person.
pub(super) async fn attention(State(app): State<App>, visitor: Visitor) -> Answer<Vec<attention::Item>> {
    let mut all = attention::look(&app).await?;
    if !visitor.may_see_payloads {
        // In the words of a person or of a provider, which may name somebody.
        all.iter_mut().for_each(|item| item.why.clear());
    }
    Ok(Json(all))
}

/// `GET /v1/reviews`: what people have to decide, oldest first.
pub(super) async fn reviews(State(app): State<App>) -> Answer<Vec<Review>> {
    let open =
        app.db().read(|tx| Ok::<_, AppError>(reviews::undecided(tx, ReviewId(0), crate::store::PAGE_MAX)?));
    Ok(Json(open.await?))
}

/// `GET /v1/strangers`: what people who are no contacts have left, how much that may be, and what was dropped.
pub(super) async fn strangers(State(app): State<App>) -> Answer<Strangers> {
    let now = app.now();
    Ok(Json(app.db().read(move |tx| strangers::standing(tx, now)).await?))
}

/// A person's word.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decided {
    decision: Decision,
}

/// `POST /v1/reviews/{id}`
pub(super) async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ReviewId>,
    Body(given): Body<Decided>,
) -> Answer<Review> {
    Ok(Json(decide::decide(&app, id, given.decision, &visitor.name).await?))
}

/// `GET /v1/audit`
pub(super) async fn audit(State(app): State<App>, Query(which): Query<Before>) -> Answer<Vec<Change>> {
    let (before, limit) = which.page()?;
    let page = app.db().read(move |tx| Ok::<_, AppError>(audit::page(tx, before, limit)?));
    Ok(Json(page.await?))
}

//! Contacts, lists, and addresses that must not be reached.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use windlass::Time;
use windlass_look::Visitor;

use super::{
    answer::Answer,
    ask::{self, Body, MaybeBody, Path, Query},
    campaigns::Before,
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    filters,
    flow::{self, colleagues, erasure, optout},
    model::{
        CampaignId, ContactId, ListId, ReviewId, UserId,
        contact::{Consent, Contact},
        import::{NUMBER_ERASED, NUMBER_KEPT},
        pause::Pause,
        touch::Touch,
    },
    optout::{EmailAddress, PhoneNumber},
    store::{
        audit,
        contacts::{self, NewContact},
        enrolments::{self, Enrolment},
        events::About,
        lists, pauses,
        suppressions::{self, Suppression},
        touches,
    },
    window::Recipient,
};

/// Messages of a contact that are shown at once.
const TOUCHES_SHOWN: u32 = 200;

/// Which contacts are meant: those after that number, whose mailbox or number begins so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    begins: String,
    #[serde(default)]
    list: Option<ListId>,
    #[serde(default)]
    after: Option<ContactId>,
    #[serde(default)]
    limit: Option<u32>,
}

/// `GET /v1/contacts`
pub(super) async fn page(State(app): State<App>, Query(which): Query<Which>) -> Answer<Vec<Contact>> {
    let limit = ask::page_of(which.limit)?;
    let begins = which.begins.trim().to_lowercase();
    let found = app.db().read(move |tx| {
        filters::list(tx, which.list)?;
        let after = which.after.unwrap_or(ContactId(0));
        Ok::<_, AppError>(contacts::page(tx, which.list, &begins, after, limit)?)
    });
    Ok(Json(found.await?))
}

/// A contact as a program sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    phone: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    zip: Option<String>,
    /// Left out it stays as it is; an empty one leaves it to the domain of their mail.
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    #[serde(default)]
    consents: Vec<Consent>,
    /// Lists that they are put on, by name; one that there is not is made.
    #[serde(default)]
    lists: Vec<String>,
}

impl Given {
    fn checked(self) -> Result<(NewContact, Vec<String>), AppError> {
        let email = match self.email.as_deref().map(EmailAddress::parse) {
            Some(email) => Some(email.map_err(|why| AppError::invalid("email", why))?.as_str().to_owned()),
            None => None,
        };
        let phone = match self.phone.as_deref().map(|phone| PhoneNumber::parse(phone, None)) {
            Some(phone) => Some(phone.map_err(|why| AppError::invalid("phone", why))?.as_str().to_owned()),
            None => None,
        };
        if email.is_none() && phone.is_none() {
            return Err(AppError::invalid("contact", "give an email or a phone"));
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Recipient::read(
            &text(&self.time_zone),
            &text(&self.country),
            &text(&self.state),
            &text(&self.zip),
            phone.as_deref().unwrap_or_default(),
        )
        .map_err(|why| AppError::invalid("contact", why))?;
        let account = match self.account.as_deref().map(colleagues::checked) {
            Some(account) => Some(account?.unwrap_or_default()),
            None => None,
        };
        let Self { name, time_zone, country, state, zip, fields, consents, lists, .. } = self;
        let contact =
            NewContact { email, phone, name, time_zone, country, state, zip, account, fields, consents };
        Ok((contact, lists))
    }
}

/// A contact as they are kept, with what of the request is not.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    #[serde(flatten)]
    contact: Contact,
    left_out: Vec<LeftOut>,
}

/// A field that was given and is not kept.
#[derive(Debug, Serialize)]
struct LeftOut {
    field: &'static str,
    /// The word by which an import counts the same.
    why: &'static str,
}

/// `POST /v1/contacts`: adds a contact, or writes what is new of one that is known.
pub(super) async fn upsert(
    State(app): State<App>,
    visitor: Visitor,
    Body(given): Body<Given>,
) -> Answer<Stored> {
    let (given, on_lists) = given.checked()?;
    let (now, inner) = (app.now(), app.clone());
    let stored = app.db().write(move |tx| {
        let kept = erasure::refuse_erased(tx, &inner, &given)?;
        let id = contacts::upsert(tx, &kept, now)?.id();
        for name in &on_lists {
            let list = lists::ensure(tx, name, now)?;
            lists::add(tx, list, [id])?;
        }
        audit::note(tx, &visitor.name, "set contact", &id.to_string(), "", now)?;
        let contact = contacts::get(tx, id)?.ok_or_else(|| AppError::unknown("contact", id))?;
        let why = match &given.phone {
            Some(_) if kept.phone.is_none() => Some(NUMBER_ERASED),
            Some(_) if contact.phone != given.phone => Some(NUMBER_KEPT),
            _ => None,
        };
        let left_out = why.map(|why| LeftOut { field: "phone", why }).into_iter().collect();
        Ok::<_, AppError>(Stored { contact, left_out })
    });
    Ok(Json(stored.await?))
}

/// Everything that is known of a contact.
#[derive(Debug, Serialize)]
pub(super) struct Known {
    #[serde(flatten)]
    contact: Contact,
    consents: Vec<Consent>,
    /// Why they are not reached.
    suppressions: Vec<Suppression>,
    /// The lists that they are on, by name.
    lists: Vec<String>,
    enrolments: Vec<Enrolment>,
    touches: Vec<Touch>,
    /// Where they are paused, and until when.
    pauses: Vec<Pause>,
    /// What they wrote that a person has to read before anything is sent to them.
    review: Option<ReviewId>,
}

/// `GET /v1/contacts/{id}`
pub(super) async fn get(State(app): State<App>, Path(id): Path<ContactId>) -> Answer<Known> {
    let (now, inner) = (app.now(), app.clone());
    let known = app.db().read(move |tx| {
        let contact = contacts::get(tx, id)?.ok_or_else(|| AppError::unknown("contact", id))?;
        let mut suppressed = Vec::new();
        for address in [&contact.email, &contact.phone].into_iter().flatten() {
            for hash in inner.hashes_of(address) {
                suppressed.extend(suppressions::of_address(tx, &hash)?);
            }
        }
        Ok::<_, AppError>(Known {
            contact,
            consents: contacts::consents(tx, id)?,
            suppressions: suppressed,
            lists: lists::names_of(tx, id)?,
            enrolments: enrolments::of_contact(tx, id)?,
            touches: touches::of_contact(tx, id, TOUCHES_SHOWN)?,
            pauses: pauses::of_contact(tx, id, now)?,
            review: pauses::review_of(tx, id)?,
        })
    });
    Ok(Json(known.await?))
}

/// Something that was done.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    done: bool,
}

/// `DELETE /v1/contacts/{id}`: removes everything that names them, and keeps that they must not be reached.
pub(super) async fn erase(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ContactId>,
) -> Answer<Done> {
    erasure::erase(&app, id, &visitor.name).await?;
    Ok(Json(Done { done: true }))
}

/// An opt-out that a person passes on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OptOut {
    /// By which channel; none is any.
    #[serde(default)]
    channel: Option<Channel>,
    #[serde(default)]
    reason: String,
}

/// `POST /v1/contacts/{id}/opt-out`
pub(super) async fn opt_out(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ContactId>,
    Body(given): Body<OptOut>,
) -> Answer<Done> {
    let about = About { contact: Some(id), ..About::default() };
    let reason = if given.reason.is_empty() { "opted out" } else { &given.reason };
    optout::by_contact(&app, id, given.channel, about, reason, &visitor.name).await?;
    Ok(Json(Done { done: true }))
}

/// A pause: in which campaign (none is all of them), until when (none is until a person says so), and why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PauseIn {
    campaign: Option<CampaignId>,
    until: Option<Time>,
    reason: String,
}

/// `POST /v1/contacts/{id}/pause`
pub(super) async fn pause(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ContactId>,
    MaybeBody(PauseIn { campaign, until, reason }): MaybeBody<PauseIn>,
) -> Answer<Done> {
    flow::pauses::pause(&app, id, campaign, until, &reason, &visitor.name).await?;
    Ok(Json(Done { done: true }))
}

/// The pause that ends: of that campaign, or the one of everything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResumeIn {
    campaign: Option<CampaignId>,
}

/// `POST /v1/contacts/{id}/resume`
pub(super) async fn resume(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ContactId>,
    MaybeBody(ResumeIn { campaign }): MaybeBody<ResumeIn>,
) -> Answer<Done> {
    flow::pauses::resume(&app, id, campaign, &visitor.name).await?;
    Ok(Json(Done { done: true }))
}

/// The sequence that ends for a contact, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StopIn {
    campaign: CampaignId,
    #[serde(default)]
    reason: String,
}

/// `POST /v1/contacts/{id}/stop`
pub(super) async fn stop(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ContactId>,
    Body(StopIn { campaign, reason }): Body<StopIn>,
) -> Answer<Done> {
    flow::pauses::stop(&app, campaign, id, &reason, &visitor.name).await?;
    Ok(Json(Done { done: true }))
}

/// `GET /v1/lists`
pub(super) async fn lists(State(app): State<App>) -> Answer<Vec<lists::List>> {
    Ok(Json(app.db().read(|tx| Ok::<_, AppError>(lists::all(tx)?)).await?))
}

/// `GET /v1/suppressions`
pub(super) async fn suppressions(
    State(app): State<App>,
    Query(which): Query<Before>,
) -> Answer<Vec<Suppression>> {
    let (before, limit) = which.page()?;
    let page = app.db().read(move |tx| Ok::<_, AppError>(suppressions::page(tx, before, limit)?));
    Ok(Json(page.await?))
}

/// An address that must not be reached.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suppress {
    /// A mailbox or a number.
    address: String,
    /// By which channel; none is any.
    #[serde(default)]
    channel: Option<Channel>,
    /// By whose campaigns; none is anybody's.
    #[serde(default)]
    user: Option<UserId>,
    #[serde(default)]
    reason: String,
}

/// `POST /v1/suppressions`
pub(super) async fn suppress(
    State(app): State<App>,
    visitor: Visitor,
    Body(given): Body<Suppress>,
) -> Answer<Done> {
    let address = optout::address_of(&given.address)?;
    let reason = if given.reason.is_empty() { optout::BY_A_PERSON } else { &given.reason };
    let done = optout::suppress_address(&app, &address, given.user, given.channel, reason, &visitor.name);
    Ok(Json(Done { done: done.await? }))
}

/// `DELETE /v1/suppressions/{id}`
pub(super) async fn lift(State(app): State<App>, visitor: Visitor, Path(id): Path<i64>) -> Answer<Done> {
    optout::lift(&app, id, &visitor.name).await?;
    Ok(Json(Done { done: true }))
}

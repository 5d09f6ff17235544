//! Contacts: who there is, and one of them with everything that is kept of them.

use std::collections::HashMap;

use axum::{
    http::{HeaderName, header},
    response::IntoResponse,
};

use super::{
    Ask, Fault, Id, Question, ROWS, Reply, Sent, cut, is_sure,
    lookup::{Names, touch_row},
    pauses,
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    export::{self, Format},
    flow::{check, colleagues as flow, consents, erasure, optout},
    model::{
        CampaignId, ContactId,
        campaign::StopReason,
        contact::{Consent, Contact},
        touch::Touch,
    },
    pages::{
        Section, Shell,
        view::{ConsentRow, ContactPage, ContactRow, ContactsPage, EnrolmentRow, Input, said},
    },
    store::{
        colleagues, contacts,
        enrolments::{self, Enrolment},
        events::About,
        suppressions::{self, Suppression},
        touches,
    },
    window::{Zone, ZoneSource},
};

/// Messages of a contact that their page shows.
const TOUCHES: u32 = 200;

/// `GET /contacts`
pub(super) async fn list(ask: Ask) -> Reply {
    let s = ask.shell(Section::Contacts).await?;
    // Whoever may not see addresses cannot find out by searching who is there.
    let search = if s.sees { ask.query.word("search").to_owned() } else { String::new() };
    let (before, begins) = (ContactId(ask.before()?), search.clone());
    let (rows, next, all) = ask
        .read(move |tx| {
            let found = contacts::newest(tx, &begins, before, ROWS + 1)?;
            let (found, next) = cut(found, |person| person.id.0);
            let mut rows = Vec::with_capacity(found.len());
            for person in found {
                let agreed = contacts::consents(tx, person.id)?;
                rows.push((person, agreed));
            }
            Ok((rows, next, contacts::count(tx)?))
        })
        .await?;
    let page = ContactsPage {
        all: all.into(),
        search,
        rows: rows.iter().map(|(person, agreed)| row(&ask, &s, person, agreed)).collect(),
        pages: ask.pages("/contacts", &["search"], "before", next),
        s,
    };
    Ok(windlass_look::show(&page))
}

fn row(ask: &Ask, s: &Shell, person: &Contact, agreed: &[Consent]) -> ContactRow {
    let text = |value: &Option<String>| s.shown(value.clone().unwrap_or_default());
    let place: Vec<&str> =
        [&person.state, &person.country].into_iter().flatten().map(String::as_str).collect();
    ContactRow {
        id: person.id.0,
        name: if s.sees { person.name.clone() } else { String::new() },
        email: text(&person.email),
        phone: text(&person.phone),
        zone: zones(person),
        place: place.join(", "),
        consents: agreed.iter().filter(|one| one.revoked_at.is_none()).map(|one| one.channel).collect(),
        is_erased: person.erased_at.is_some(),
        added: Some(ask.when(person.created_at)),
    }
}

/// The zones that a contact may be in, and where that comes from if not from themselves; none if nothing tells.
fn zones(person: &Contact) -> Option<String> {
    let located = check::recipient(person).locate().ok()?;
    let names: Vec<&str> = located.zones.iter().map(Zone::name).collect();
    let by = match located.source {
        ZoneSource::Address => ", by the address",
        ZoneSource::AreaCode => ", by the area code",
        ZoneSource::Contact | ZoneSource::Campaign => "",
    };
    Some(format!("{}{by}", names.join(" or ")))
}

/// Everything that is known of a contact.
struct Known {
    person: Contact,
    consents: Vec<Consent>,
    enrolments: Vec<Enrolment>,
    touches: Vec<Touch>,
    suppressions: Vec<Suppression>,
    names: Names,
    /// Whose answer has stopped which campaign for their colleagues.
    colleagues: HashMap<CampaignId, ContactId>,
}

impl Known {
    fn of(tx: &mut Tx<'_>, app: &App, id: ContactId, most: u32) -> Result<Self, AppError> {
        let person = contacts::get(tx, id)?.ok_or_else(|| AppError::unknown("contact", id))?;
        let touches = touches::of_contact(tx, id, most)?;
        let enrolments = enrolments::of_contact(tx, id)?;
        let mut names = Names::of(tx, &touches)?;
        for one in &enrolments {
            names.add_campaign(tx, one.campaign)?;
        }
        let mut answered = HashMap::new();
        if let Some(account) = person.colleagues_by() {
            for one in enrolments.iter().filter(|one| one.reason == StopReason::ColleagueAnswered.to_string())
            {
                if let Some(who) = colleagues::who_answered(tx, one.campaign, &account)? {
                    answered.insert(one.campaign, who);
                }
            }
        }
        let mut suppressed = Vec::new();
        for address in [&person.email, &person.phone].into_iter().flatten() {
            for hash in app.hashes_of(address) {
                suppressed.extend(suppressions::of_address(tx, &hash)?);
            }
        }
        Ok(Self {
            consents: contacts::consents(tx, id)?,
            person,
            enrolments,
            touches,
            suppressions: suppressed,
            names,
            colleagues: answered,
        })
    }
}

/// `GET /contacts/{contact}`
pub(super) async fn show(ask: Ask, Id(id): Id) -> Reply {
    one_page(&ask, ContactId(id), Written::default()).await
}

/// What somebody has written into the forms of a contact's page.
#[derive(Default)]
pub(super) struct Written {
    pub(super) proof: Input,
    pub(super) account: Option<Input>,
    pub(super) until: Input,
}

pub(super) async fn one_page(ask: &Ask, id: ContactId, written: Written) -> Reply {
    let Written { proof, account, until } = written;
    let (app, now) = (ask.app.clone(), ask.now);
    let (known, held) =
        ask.read(move |tx| Ok((Known::of(tx, &app, id, TOUCHES)?, pauses::Held::of(tx, id, now)?))).await?;
    let s = ask.shell(Section::Contacts).await?;
    let Known { person, names, .. } = &known;
    let mut agreed: Vec<&Consent> = known.consents.iter().collect();
    agreed.sort_by_key(|consent| std::cmp::Reverse(consent.given_at));
    let page = ContactPage {
        row: row(ask, &s, person, &known.consents),
        colleagues: colleagues_of(&s, person),
        account: account
            .unwrap_or_else(|| Input::some(person.account.as_ref().map(|text| s.shown(text.as_str())))),
        fields: person.fields.iter().map(|(name, value)| (name.clone(), s.shown(value.as_str()))).collect(),
        consents: agreed.into_iter().map(|consent| consent_row(ask, &s, consent)).collect(),
        suppressed: known.suppressions.iter().map(|one| why(&s, one)).collect(),
        enrolments: known.enrolments.iter().map(|one| enrolment_row(ask, &known, one)).collect(),
        touches: known.touches.iter().map(|touch| touch_row(ask, &s, names, touch)).collect(),
        erased: person.erased_at.map(|at| ask.when(at)),
        proof,
        pauses: held.rows(ask, &s),
        review: held.review.map(|id| id.0),
        places: pauses::places(&known.enrolments, names),
        until,
        zone: pauses::zone_of(person),
        s,
    };
    Ok(windlass_look::show(&page))
}

fn consent_row(ask: &Ask, s: &Shell, consent: &Consent) -> ConsentRow {
    ConsentRow {
        channel: consent.channel,
        basis: consent.basis.clone(),
        proof: s.shown(consent.proof.as_str()),
        source: consent.source.clone(),
        given: ask.when(consent.given_at),
        revoked: consent.revoked_at.map(|at| ask.when(at)),
    }
}

/// What they share with their colleagues, and where it comes from.
fn colleagues_of(s: &Shell, person: &Contact) -> Option<(String, &'static str)> {
    let key = person.colleagues_by()?;
    Some(match &person.account {
        Some(account) => (s.shown(account.as_str()), "as somebody wrote it"),
        None => (s.shown(key), "the domain of their mail"),
    })
}

fn why(s: &Shell, one: &Suppression) -> String {
    let address = one.address.as_ref().map_or("An address".to_owned(), |address| s.shown(address.as_str()));
    let by = one.channel.map_or("any channel".to_owned(), |channel| channel.to_string());
    format!("{address} is not reached by {by}: {}, said {}.", said(&one.reason), one.source)
}

fn enrolment_row(ask: &Ask, known: &Known, one: &Enrolment) -> EnrolmentRow {
    let reason = serde_json::from_value::<StopReason>(one.reason.as_str().into());
    EnrolmentRow {
        campaign: one.campaign.0,
        name: known.names.campaign(one.campaign),
        colleague: known.colleagues.get(&one.campaign).map(|who| who.0),
        status: one.status.to_string(),
        step: one.step,
        why: reason.map_or_else(|_| one.reason.clone(), |reason| reason.said().to_owned()),
        next: one.next_at.filter(|at| *at > ask.now).map(|at| ask.when(at)),
    }
}

/// `POST /contacts/{contact}/consents`
pub(super) async fn consent(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let path = format!("/contacts/{id}");
    let Some(channel) = channel_of(form.word("channel")) else {
        return ask.not_done(path, AppError::invalid("channel", "choose one"));
    };
    let (basis, proof) = (form.word("basis"), form.word("proof"));
    match consents::give(&ask.app, ContactId(id), channel, basis, proof, ask.who()).await {
        Ok(()) => Ok(ask.done(path, format!("Their consent to {channel} is recorded."))),
        Err(AppError::Invalid { field: "proof", why }) => {
            let proof = Input::of(form.text("proof")).wrong(why);
            one_page(&ask, ContactId(id), Written { proof, ..Written::default() }).await
        }
        Err(error) => ask.not_done(path, error),
    }
}

/// `POST /contacts/{contact}/account`
pub(super) async fn account(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let path = format!("/contacts/{id}");
    // Whoever may not see it would write over what they do not know.
    if !ask.visitor.may_see_payloads {
        return Err(Fault::Payloads);
    }
    let given = form.text("account");
    match flow::set_account(&ask.app, ContactId(id), given, ask.who()).await {
        Ok(()) => Ok(ask.done(path, "Their account is set: whoever shares it is a colleague.")),
        Err(AppError::Invalid { field: "account", why }) => {
            let account = Some(Input::of(given).wrong(why));
            one_page(&ask, ContactId(id), Written { account, ..Written::default() }).await
        }
        Err(error) => ask.not_done(path, error),
    }
}

/// `POST /contacts/{contact}/revoke`
pub(super) async fn revoke(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let path = format!("/contacts/{id}");
    let Some(channel) = channel_of(form.word("channel")) else {
        return ask.not_done(path, AppError::invalid("channel", "choose one"));
    };
    let done = consents::revoke(&ask.app, ContactId(id), channel, ask.who()).await;
    ask.told(path, done, format!("Their consent to {channel} is taken back."))
}

/// `POST /contacts/{contact}/opt-out`: what the contact has told a person.
pub(super) async fn opt_out(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let path = format!("/contacts/{id}");
    let channel = match maybe_channel(form.word("channel")) {
        Ok(channel) => channel,
        Err(error) => return ask.not_done(path, error),
    };
    let about = About { contact: Some(ContactId(id)), ..About::default() };
    let reason = form.filled("reason").unwrap_or(optout::BY_A_PERSON);
    let done = optout::by_contact(&ask.app, ContactId(id), channel, about, reason, ask.who()).await;
    let by = channel.map_or("any channel".to_owned(), |channel| channel.to_string());
    ask.told(path, done, format!("They are not reached by {by} any more, and their sequences have ended."))
}

/// The channel of a choice in which nothing means any of them: a word that is none must not end all.
pub(super) fn maybe_channel(word: &str) -> Result<Option<Channel>, AppError> {
    match word {
        "" => Ok(None),
        word => channel_of(word).map(Some).ok_or_else(|| AppError::invalid("channel", "choose one")),
    }
}

fn channel_of(word: &str) -> Option<Channel> {
    Channel::ALL.into_iter().find(|channel| channel.name() == word)
}

/// `POST /contacts/{contact}/erase`: asks first.
pub(super) async fn erase(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let path = format!("/contacts/{id}");
    if is_sure(&form) {
        let done = erasure::erase(&ask.app, ContactId(id), ask.who()).await;
        return ask.told(path, done, format!("Everything that named contact {id} is removed."));
    }
    let there = ask.app.db().read(move |tx| erasure::not_erased(tx, ContactId(id)).map(drop)).await;
    if let Err(error) = there {
        return ask.not_done(path, error);
    }
    let question = Question {
        title: format!("Erase contact {id}?"),
        means: &[
            "Name, addresses, fields, proofs and texts are removed; it cannot be taken back.",
            "A keyed hash of the addresses stays, so that they are not reached again.",
            "What was sent stays counted, without a name.",
        ],
        button: "Erase the contact",
        action: format!("{path}/erase"),
        back: path,
        fields: Vec::new(),
    };
    Ok(question.show(ask.shell(Section::Contacts).await?))
}

/// `GET /contacts/{contact}/export`
pub(super) async fn export(ask: Ask, Id(id): Id) -> Reply {
    if !ask.visitor.may_see_payloads {
        return Err(Fault::Payloads);
    }
    let format = Format::JsonLines;
    let lines = export::of_contact(&ask.app, ContactId(id), format).await?;
    ask.visitor.note(&format!("exported contact {id}"));
    Ok((file_headers(format, &format!("contact-{id}.jsonl")), lines).into_response())
}

/// The headers of a file that is handed out and kept by nobody between.
pub(super) fn file_headers(format: Format, name: &str) -> [(HeaderName, String); 3] {
    [
        (header::CONTENT_TYPE, format.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ]
}

//! Named limits: what is in use, who waits, and one form that sets them.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use windlass_core::store::LimitInfo;
use windlass_core::{LimitName, Time};
use windlass_look::{Flash, Frame};

use super::confirm::{Question, ask, is_confirmed};
use super::form::{Fields, back, said};
use super::page::{Reply, show_with};
use super::queue::{Field, faults, limits, spell_concurrency, spell_rate};
use super::visit::Visit;
use super::words::{self, When};
use crate::read::Pairs;

/// Limits of a page.
const LIMITS_SHOWN: usize = 100;

struct LimitRow {
    name: String,
    concurrency: String,
    rate: String,
    in_use: u64,
    in_use_said: String,
    /// How much of the concurrency is in use, 0 to 100.
    share: Option<u64>,
    waiting: u64,
    waiting_said: String,
    closed_until: Option<When>,
    is_closed: bool,
    edit: String,
    remove: String,
}

impl LimitRow {
    fn of(f: &Frame, limit: &LimitInfo, now: Time) -> Self {
        let settings = &limit.settings;
        let most = settings.concurrency.map(u64::from);
        let name = limit.name.to_string();
        Self {
            concurrency: spell_concurrency(settings),
            rate: spell_rate(settings),
            in_use: limit.in_use,
            in_use_said: words::count(limit.in_use),
            share: most.and_then(|most| (limit.in_use * 100).checked_div(most)).map(|share| share.min(100)),
            waiting: limit.waiting_lanes,
            waiting_said: words::count(limit.waiting_lanes),
            closed_until: words::some_when(limit.closed_until.filter(|at| *at > now), now),
            is_closed: most == Some(0),
            edit: format!("{}/limits?edit={}#set", f.base, words::part(&name)),
            remove: format!("{}/limits/{}/remove", f.base, words::part(&name)),
            name,
        }
    }
}

/// The form.
#[derive(Default)]
struct Form {
    name: Field,
    concurrency: Field,
    rate: Field,
}

#[derive(Template)]
#[template(path = "limits.html")]
struct LimitsPage {
    f: Frame,
    rows: Vec<LimitRow>,
    first: Option<String>,
    next: Option<String>,
    form: Form,
}

/// `GET /limits`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let (after, edit) = (query.take_value::<LimitName>("after")?, query.take_value::<LimitName>("edit")?);
    query.end("after and edit")?;
    draw(&visit, after, edit, None).await
}

async fn draw(visit: &Visit, after: Option<LimitName>, edit: Option<LimitName>, form: Option<Form>) -> Reply {
    let page = visit.store().limits(after.clone(), LIMITS_SHOWN).await?;
    let status = if form.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut f = visit.frame("limits");
    if let Some(form) = &form {
        let mut told = vec!["Nothing was changed.".to_owned()];
        told.extend(faults([("Name", &form.name), ("Concurrency", &form.concurrency), ("Rate", &form.rate)]));
        f.flash = Some(Flash::bad(told.join("\n")));
    }
    let edited = page.items.iter().find(|limit| Some(&limit.name) == edit.as_ref());
    let edited = edited.map(|limit| Form {
        name: Field::of(limit.name.as_str()),
        concurrency: Field::of(spell_concurrency(&limit.settings)),
        rate: Field::of(spell_rate(&limit.settings)),
    });
    let last = page.items.last().filter(|_| page.next.is_some());
    let view = LimitsPage {
        rows: page.items.iter().map(|limit| LimitRow::of(&f, limit, visit.now)).collect(),
        first: after.is_some().then(|| format!("{}/limits", f.base)),
        next: last.map(|limit| format!("{}/limits?after={}", f.base, words::part(limit.name.as_str()))),
        form: form.or(edited).unwrap_or_default(),
        f,
    };
    show_with(status, &view)
}

/// `POST /limits`: sets one, a new one or one that there is.
pub(crate) async fn set(visit: Visit, fields: Fields) -> Reply {
    let field = |name: &str| Field::of(fields.word(name));
    let mut form = Form { name: field("name"), concurrency: field("concurrency"), rate: field("rate") };
    let name = form.name.read(str::parse::<LimitName>);
    let settings = limits(&mut form.concurrency, &mut form.rate);
    if let (Some(name), Some(settings)) = (name, settings) {
        let text = format!(
            "Limit {name} has concurrency {}, rate {}.",
            spell_concurrency(&settings),
            spell_rate(&settings)
        );
        match visit.store().set_limit(name, Some(settings), None).await? {
            Ok(()) => return Ok(visit.go(&format!("{}/limits", visit.base()), Some(said(Ok(()), text)))),
            Err(refused) => form.name.fault = Some(refused.to_string()),
        }
    }
    draw(&visit, None, None, Some(form)).await
}

/// `POST /limits/{limit}/remove`.
pub(crate) async fn remove(visit: Visit, Path(limit): Path<String>, fields: Fields) -> Reply {
    let name = LimitName::new(limit)?;
    let home = format!("{}/limits", visit.base());
    if is_confirmed(&fields) {
        let answer = visit.store().set_limit(name.clone(), None, None).await?;
        return Ok(back(&visit, &fields, &home, said(answer, format!("Limit {name} is removed."))));
    }
    ask(
        &visit,
        Question {
            place: "limits",
            title: format!("Remove limit {name}?"),
            means: vec![
                "Jobs that name it are no longer held back by it: those that wait for it can start at once.",
            ],
            items: Vec::new(),
            more: 0,
            action: format!("{home}/{}/remove", words::part(name.as_str())),
            fields: vec![("back", home.clone())],
            button: "Remove it".to_owned(),
            is_danger: true,
            back: home,
        },
    )
}

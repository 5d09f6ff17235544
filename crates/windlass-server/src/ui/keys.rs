//! Keys: who may do what, a form that makes one, and its text, shown once.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use windlass_api::key::{KeyRequest, KeyShape, NewKeyShape};
use windlass_core::Time;
use windlass_look::{Flash, Frame};

use super::confirm::{Question, ask, is_confirmed};
use super::form::{Fields, back};
use super::page::{Reply, show_with};
use super::queue::Field;
use super::visit::Visit;
use super::words::{self, When};
use crate::api;
use crate::app::Access;
use crate::keys::{self, scopes};

struct KeyRow {
    name: String,
    prefix: String,
    scopes: String,
    queues: String,
    created: When,
    created_by: String,
    expires: Option<When>,
    is_over: bool,
    used: Option<When>,
    revoke: String,
}

impl KeyRow {
    fn of(f: &Frame, key: KeyShape, now: Time) -> Self {
        Self {
            revoke: format!("{}/keys/{}/revoke", f.base, words::part(&key.name)),
            scopes: key.scopes.join(", "),
            queues: if key.queues.is_empty() { "all".to_owned() } else { key.queues.join(", ") },
            created: words::when(key.created_at, now),
            created_by: key.created_by,
            is_over: key.expires_at.is_some_and(|at| at <= now),
            expires: words::some_when(key.expires_at, now),
            used: words::some_when(key.last_used_at, now),
            name: key.name,
            prefix: key.prefix,
        }
    }
}

/// A scope as a box of the form.
struct Choice {
    word: &'static str,
    means: &'static str,
    is_on: bool,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    f: Frame,
    rows: Vec<KeyRow>,
    /// The key that was just made.
    made: Option<NewKeyShape>,
    called: Field,
    queues: Field,
    expires_in: Field,
    choices: Vec<Choice>,
    /// Whether keys are asked for here at all.
    asks: bool,
}

async fn draw(visit: &Visit, form: Option<(&Fields, Flash)>, made: Option<NewKeyShape>) -> Reply {
    let own = visit.app.by_itself();
    let all = keys::all(own.store().as_ref()).await?;
    let mut f = visit.frame("keys");
    let said = |name: &str| Field::of(form.as_ref().map_or("", |(fields, _)| fields.text(name)));
    let is_on = |word: &str| form.as_ref().is_some_and(|(fields, _)| fields.ticked(&format!("scope-{word}")));
    let page = KeysPage {
        called: said("name"),
        queues: said("queues"),
        expires_in: said("expires_in"),
        choices: scopes::ALL
            .map(|(scope, means)| Choice { word: scope.as_str(), means, is_on: is_on(scope.as_str()) })
            .into(),
        rows: all.into_iter().map(|key| KeyRow::of(&f, key, visit.now)).collect(),
        made,
        asks: matches!(visit.app.options().access, Access::Bearer(_)),
        f: {
            let status = form.as_ref().map(|(_, flash)| flash.clone());
            f.flash = status.or(f.flash);
            f
        },
    };
    let status = if form.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show_with(status, &page)
}

/// `GET /keys`.
pub(crate) async fn page(visit: Visit) -> Reply {
    draw(&visit, None, None).await
}

/// `POST /keys`: makes one, and shows its text on this answer alone.
pub(crate) async fn add(visit: Visit, fields: Fields) -> Reply {
    let chosen = scopes::ALL.map(|(scope, _)| scope.as_str());
    let list = |text: &str| {
        let parts = text.split(|c: char| c == ',' || c.is_whitespace());
        parts.filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
    };
    let request = KeyRequest {
        name: fields.word("name").to_owned(),
        scopes: chosen
            .into_iter()
            .filter(|word| fields.ticked(&format!("scope-{word}")))
            .map(ToOwned::to_owned)
            .collect(),
        queues: list(fields.text("queues")),
        expires_in: fields.filled("expires_in").map(ToOwned::to_owned),
    };
    match api::keys::make(&visit.app, request).await {
        Ok(made) => draw(&visit, None, Some(made)).await,
        Err(fault) if fault.0.status < 500 => {
            let hint = fault.0.hint.as_deref().map(|hint| format!("\n{hint}.")).unwrap_or_default();
            let flash = Flash::bad(format!("No key was made: {}.{hint}", fault.0.detail));
            draw(&visit, Some((&fields, flash)), None).await
        }
        Err(fault) => Err(fault.into()),
    }
}

/// `POST /keys/{key}/revoke`.
pub(crate) async fn revoke(visit: Visit, Path(name): Path<String>, fields: Fields) -> Reply {
    let home = format!("{}/keys", visit.base());
    if is_confirmed(&fields) {
        api::keys::end(&visit.app, &name).await?;
        return Ok(back(&visit, &fields, &home, Flash::good(format!("Key {name} is revoked."))));
    }
    ask(
        &visit,
        Question {
            place: "keys",
            title: format!("Revoke key {name}?"),
            means: vec![
                "Within a second no server of this store lets it in. That cannot be undone.",
                "Whoever still uses it is answered 401; sessions that it began end.",
            ],
            items: Vec::new(),
            more: 0,
            action: format!("{home}/{}/revoke", words::part(&name)),
            fields: vec![("back", home.clone())],
            button: "Revoke it".to_owned(),
            is_danger: true,
            back: home,
        },
    )
}

//! What answers for each page: it asks the store, fills the page's struct and shows it; or it does what a form says, by
//! the same functions as the API, and goes back with a word about it.
//!
//! One module a section. What they share is [`Ask`], which has the application, the visitor and the query, and [`Fault`],
//! which becomes a page that says what is wrong. [`guard`] stands around all of them: the door has asked already whether
//! the visitor may change something, and it is asked here once more, so that the pages are safe behind any door.

mod audit;
mod builder;
mod campaigns;
mod contacts;
mod domains;
mod enrolments;
mod hours;
mod imports;
mod launch;
mod lookup;
mod moment;
mod number;
mod pauses;
mod providers;
mod reviews;
mod sample;
mod senders;
mod suppressions;
mod templates;
mod touches;
mod users;
mod variants;
mod words;

use std::fmt::Display;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request},
    http::{Method, StatusCode, header, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use windlass::Time;
use windlass_look::{Flash, Visitor, words::part};

use super::{
    PATH, Section, Shell,
    form::Fields,
    view::{CONFIRMED, Pages, QuestionPage, When},
};
use crate::{
    api::answer::verdict,
    app::{App, AppError},
    db::{DbError, Tx},
    store::reviews as review_store,
};

/// Rows of a page of a list: what fits on a few screens.
const ROWS: u32 = 50;

/// What the application shows and what its forms do, below [`PATH`].
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(campaigns::list).post(campaigns::create))
        .route("/{id}", get(campaigns::show))
        .route("/{id}/edit", get(builder::show).post(builder::edit))
        .route("/{id}/check", get(launch::check))
        .route("/{id}/launch", post(launch::launch))
        .route("/{id}/messages.csv", get(campaigns::messages))
        .route("/{id}/contacts", get(enrolments::list))
        .route("/{id}/keep", post(variants::keep))
        .route("/{id}/pause", post(campaigns::pause))
        .route("/{id}/resume", post(campaigns::resume))
        .route("/{id}/cancel", post(campaigns::cancel))
        .route("/touches", get(touches::list))
        .route("/touches/{id}", get(touches::show))
        .route("/contacts", get(contacts::list))
        .route("/contacts/{id}", get(contacts::show))
        .route("/contacts/{id}/consents", post(contacts::consent))
        .route("/contacts/{id}/revoke", post(contacts::revoke))
        .route("/contacts/{id}/opt-out", post(contacts::opt_out))
        .route("/contacts/{id}/account", post(contacts::account))
        .route("/contacts/{id}/pause", post(pauses::pause))
        .route("/contacts/{id}/resume", post(pauses::resume))
        .route("/contacts/{id}/stop", post(pauses::stop))
        .route("/contacts/{id}/erase", post(contacts::erase))
        .route("/contacts/{id}/export", get(contacts::export))
        .route(
            "/imports",
            get(imports::list).post(imports::upload).layer(DefaultBodyLimit::max(imports::UPLOAD_BYTES_MAX)),
        )
        .route("/imports/{id}", get(imports::show).post(imports::begin))
        .route("/imports/{id}/cancel", post(imports::cancel))
        .route("/imports/{id}/errors.csv", get(imports::errors))
        .route("/templates", get(templates::list).post(templates::write))
        .route("/templates/new", get(templates::new))
        .route("/templates/{id}", get(templates::show))
        .route("/templates/{id}/preview.html", get(templates::preview))
        .route("/senders", get(senders::list).post(senders::set))
        .route("/senders/{id}", get(senders::show))
        .route("/senders/{id}/pause", post(senders::pause))
        .route("/senders/{id}/resume", post(senders::resume))
        .route("/providers", get(providers::list).post(providers::set))
        .route("/providers/{id}", get(providers::show))
        .route("/providers/{id}/breaker", post(providers::breaker))
        .route("/providers/{id}/pace", post(providers::pace))
        .route("/providers/{id}/rules", post(providers::set_rule))
        .route("/providers/{id}/rules/remove", post(providers::remove_rule))
        .route("/suppressions", get(suppressions::list).post(suppressions::add))
        .route("/suppressions/{id}/lift", post(suppressions::lift))
        .route("/reviews", get(reviews::list))
        .route("/reviews/{id}", post(reviews::decide))
        .route("/domains", get(domains::list).post(domains::set))
        .route("/domains/pace", post(domains::pace))
        .route("/domains/remove", post(domains::remove))
        .route("/users", get(users::list).post(users::set))
        .route("/users/everybody", post(users::set_everybodys))
        .route("/hours", get(hours::show).post(hours::set))
        .route("/hours/reset", post(hours::reset))
        .route("/audit", get(audit::list))
        .route("/audit.csv", get(audit::file))
        .fallback(nowhere)
        .layer(from_fn(guard))
        .with_state(app)
}

/// What a handler gives.
type Reply = Result<Response, Fault>;

/// A page that is not shown, or a form that was not done.
#[derive(Debug)]
enum Fault {
    /// What the application says.
    App(AppError),
    /// It takes an administrator.
    Admin,
    /// It takes somebody who may see addresses, names and texts.
    Payloads,
}

impl From<AppError> for Fault {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Self::App(error.into())
    }
}

/// What is told of a fault, on its way to [`guard`], who knows the visitor.
#[derive(Clone)]
struct Told {
    code: &'static str,
    detail: String,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, code, detail) = match self {
            Fault::App(error) => {
                let (status, code) = verdict(&error);
                if status.is_server_error() {
                    tracing::error!("a page failed: {error}");
                }
                (status, code, error.to_string())
            }
            Fault::Admin => {
                let detail = "only an administrator may change this: accounts hold secrets".to_owned();
                (StatusCode::FORBIDDEN, "forbidden", detail)
            }
            Fault::Payloads => {
                let detail = "this shows names, addresses and texts: it takes the scope payloads".to_owned();
                (StatusCode::FORBIDDEN, "forbidden", detail)
            }
        };
        let mut response = status.into_response();
        response.extensions_mut().insert(Told { code, detail });
        response
    }
}

/// Lets only those change something who may, and makes a page of whatever is wrong.
async fn guard(visitor: Visitor, request: Request, next: Next) -> Response {
    let frame = visitor.frame(PATH);
    let only_looks = matches!(*request.method(), Method::GET | Method::HEAD);
    if !only_looks && !visitor.may_operate {
        let detail = "you may look at campaigns, and change nothing";
        let hint = Some("ask for a key with the scope operate");
        return windlass_look::sorry(frame, StatusCode::FORBIDDEN, "forbidden", detail, hint);
    }
    let mut response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_page = kind.is_some_and(|kind| kind.starts_with("text/html"));
    if !(status.is_client_error() || status.is_server_error()) || is_page {
        return response;
    }
    let told = response.extensions_mut().remove::<Told>().unwrap_or_else(|| {
        let (code, detail) = match status {
            StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "this address does not do that"),
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the form is larger than the server takes"),
            _ => ("bad_request", "the request makes no sense"),
        };
        Told { code, detail: detail.to_owned() }
    });
    let hint = (status == StatusCode::CONFLICT).then_some("look at it again, and decide anew");
    windlass_look::sorry(frame, status, told.code, &told.detail, hint)
}

async fn nowhere(request: Request) -> Fault {
    AppError::unknown("page", request.uri().path()).into()
}

/// Somebody asks for something.
#[derive(Clone, Debug)]
struct Ask {
    app: App,
    visitor: Visitor,
    query: Fields,
    /// The application's time when they asked.
    now: Time,
}

impl FromRequestParts<App> for Ask {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        let query = decoded(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self { app: app.clone(), visitor, query, now: app.now() })
    }
}

fn decoded(form: &[u8]) -> Fields {
    form_urlencoded::parse(form).into_owned().collect::<Vec<_>>().into()
}

/// What a form sends.
struct Sent(Fields);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self(decoded(&body)))
    }
}

/// The number in an address; an address without one leads nowhere.
struct Id(i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let unknown = |text: &str| Fault::from(AppError::unknown("page", text));
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(unknown(parts.uri.path()));
        };
        text.parse().map(Self).map_err(|_| unknown(&text))
    }
}

impl Ask {
    /// What stands around a page of that section.
    async fn shell(&self, here: Section) -> Result<Shell, Fault> {
        let waiting = self.read(|tx| Ok(review_store::count(tx)?)).await?;
        Ok(Shell::of(&self.visitor, here).reviews(waiting.max(0).unsigned_abs()))
    }

    /// Looks at one state of the database.
    async fn read<T: Send + 'static>(
        &self,
        look: impl Fn(&mut Tx<'_>) -> Result<T, AppError> + Send + Sync + 'static,
    ) -> Result<T, Fault> {
        Ok(self.app.db().read(look).await?)
    }

    /// An instant, as far away as it is.
    fn when(&self, at: Time) -> When {
        When::new(at, at.0, self.now.0)
    }

    /// Who asks, as the log of changes names them.
    fn who(&self) -> &str {
        &self.visitor.name
    }

    /// Lets nobody on but administrators.
    fn admin(&self) -> Result<(), Fault> {
        if self.visitor.may_admin { Ok(()) } else { Err(Fault::Admin) }
    }

    /// The address of that path of the application.
    fn at(&self, path: impl Display) -> String {
        format!("{}{PATH}{path}", self.visitor.base())
    }

    /// Goes on with a word about what was done.
    fn done(&self, path: impl Display, said: impl Into<String>) -> Response {
        let said = said.into();
        self.visitor.note(&said);
        self.visitor.go(&self.at(path), Some(Flash::good(said)))
    }

    /// Goes back with what keeps it from being done; what the world did is a page of its own.
    fn not_done(&self, path: impl Display, error: AppError) -> Reply {
        if verdict(&error).0.is_server_error() || matches!(error, AppError::Unknown { .. }) {
            return Err(error.into());
        }
        Ok(self.visitor.go(&self.at(path), Some(Flash::bad(error.to_string()))))
    }

    /// Goes on with a word if it was done, and back with the reason if it was not.
    fn told<T>(&self, path: impl Display, done: Result<T, AppError>, said: impl Into<String>) -> Reply {
        match done {
            Ok(_) => Ok(self.done(path, said)),
            Err(error) => self.not_done(path, error),
        }
    }

    /// The number before which a list that goes back in time goes on.
    fn before(&self) -> Result<i64, AppError> {
        Ok(number::named(&self.query, "before")?.unwrap_or(i64::MAX))
    }

    /// The number after which a list that goes forward goes on.
    fn after(&self) -> Result<i64, AppError> {
        Ok(number::named(&self.query, "after")?.unwrap_or(0))
    }

    /// The way through a list: `path` with those conditions that are not empty, and where the next page begins.
    fn pages(&self, path: &str, conditions: &[&str], place: &str, next: Option<i64>) -> Pages {
        let filled = conditions.iter().filter_map(|name| Some((*name, self.query.filled(name)?)));
        let kept: Vec<String> = filled.map(|(name, value)| format!("{name}={}", part(value))).collect();
        let address = |place: Option<String>| {
            let all: Vec<String> = kept.iter().cloned().chain(place).collect();
            let mark = if all.is_empty() { "" } else { "?" };
            self.at(format_args!("{path}{mark}{}", all.join("&")))
        };
        Pages {
            first: self.query.filled(place).map(|_| address(None)),
            next: next.map(|id| address(Some(format!("{place}={id}")))),
        }
    }
}

/// The rows of one page of those that were asked for with one more, and the last's number if there are others.
fn cut<T>(mut rows: Vec<T>, number: impl Fn(&T) -> i64) -> (Vec<T>, Option<i64>) {
    let has_more = rows.len() > ROWS as usize;
    rows.truncate(ROWS as usize);
    let next = rows.last().filter(|_| has_more).map(number);
    (rows, next)
}

/// Whether somebody was asked before they did it.
fn is_sure(form: &Fields) -> bool {
    form.word(CONFIRMED) == "yes"
}

/// Asks before something is done.
struct Question<'a> {
    title: String,
    means: &'a [&'a str],
    button: &'a str,
    /// Where the form goes, and where to go instead.
    action: String,
    back: String,
    fields: Vec<(String, String)>,
}

impl Question<'_> {
    fn show(self, s: Shell) -> Response {
        windlass_look::show(&QuestionPage {
            action: s.at(&self.action),
            back: s.at(&self.back),
            s,
            title: self.title,
            means: self.means.iter().map(|&sentence| sentence.to_owned()).collect(),
            fields: self.fields,
            button: self.button.to_owned(),
            is_danger: true,
        })
    }
}

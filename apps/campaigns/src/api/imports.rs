//! Contacts from a file: it comes in, is looked at, and is imported.

use axum::{
    Json,
    extract::{FromRequest as _, Multipart, Request, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use windlass_look::Visitor;

use super::{
    answer::{Answer, Fault},
    ask::{Body, Path, Query},
    campaigns::Before,
    exports,
};
use crate::{
    app::{App, AppError},
    export,
    import::{Format, Mapping, Preview, Target},
    intake,
    model::{
        ImportId,
        import::{Import, ImportPlan, ImportStatus, Known},
    },
    optout::Country,
};

/// An import, with what its columns probably mean as long as nobody has said so.
#[derive(Debug, Serialize)]
pub(super) struct Looked {
    #[serde(flatten)]
    import: Import,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<Preview>,
}

async fn looked(app: &App, visitor: &Visitor, import: Import) -> Result<Looked, AppError> {
    let preview = match import.status {
        ImportStatus::Waiting => {
            let mut preview = intake::look_at(app, import.id, Some(Country::US)).await?;
            if !visitor.may_see_payloads {
                preview.rows.clear();
            }
            Some(preview)
        }
        _ => None,
    };
    Ok(Looked { import, preview })
}

/// `GET /v1/imports`
pub(super) async fn page(State(app): State<App>, Query(which): Query<Before>) -> Answer<Vec<Import>> {
    let (before, limit) = which.page()?;
    Ok(Json(intake::page(&app, ImportId(before), limit).await?))
}

/// `GET /v1/imports/{id}`
pub(super) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ImportId>,
) -> Answer<Looked> {
    let import = intake::look(&app, id).await?;
    Ok(Json(looked(&app, &visitor, import).await?))
}

/// What is said of a file in the address that it is sent to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// The file's name.
    #[serde(default)]
    name: String,
    /// With a list it is imported at once; without one it waits for [`begin`].
    #[serde(default)]
    list: Option<String>,
    /// What its columns mean, with commas between; left out, what they probably mean.
    #[serde(default)]
    columns: Option<String>,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    basis: Option<String>,
    #[serde(default)]
    known: Known,
}

impl Said {
    /// How the file is to be imported, if it is to be at once.
    fn begin(&self) -> Result<Option<Begin>, AppError> {
        let Some(list) = self.list.clone() else { return Ok(None) };
        let columns = match &self.columns {
            None => None,
            Some(words) => {
                let targets: Result<Vec<Target>, _> =
                    words.split(',').map(|word| word.trim().parse()).collect();
                let targets = targets.map_err(|why| AppError::invalid("columns", why))?;
                Some(Mapping::new(targets).map_err(|why| AppError::invalid("columns", why))?)
            }
        };
        let country = match self.country.as_deref() {
            None => usual_home(),
            Some("") => None,
            Some(code) => {
                Some(Country::try_from(code.to_owned()).map_err(|why| AppError::invalid("country", why))?)
            }
        };
        Ok(Some(Begin { list, columns, format: None, country, basis: self.basis.clone(), known: self.known }))
    }
}

/// `POST /v1/imports`: takes a file in, as the body or as the field `file` of a form; with a list, imports it as well.
pub(super) async fn bring(
    State(app): State<App>,
    visitor: Visitor,
    Query(said): Query<Said>,
    request: Request,
) -> Answer<Looked> {
    // What makes no sense is told before the file is read.
    let begin = said.begin()?;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_form = kind.is_some_and(|kind| kind.starts_with("multipart/form-data"));
    let id = if is_form {
        of_form(&app, &visitor, &said.name, request).await?
    } else {
        let body = request.into_body().into_data_stream();
        intake::receive(&app, &said.name, &visitor.name, body).await?
    };
    let Some(begin) = begin else {
        let import = intake::look(&app, id).await?;
        return Ok(Json(looked(&app, &visitor, import).await?));
    };
    match begun(&app, &visitor, id, begin).await {
        Ok(import) => Ok(Json(Looked { import, preview: None })),
        Err(error) => {
            // Whoever asked for all at once does not come back for the file.
            intake::refuse(&app, id, &error.to_string(), &visitor.name).await?;
            Err(error.into())
        }
    }
}

async fn of_form(app: &App, visitor: &Visitor, name: &str, request: Request) -> Result<ImportId, Fault> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|why| Fault::bad(why.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(|why| Fault::bad(why.body_text()))? {
        if field.name() == Some("file") {
            let own = field.file_name().unwrap_or_default().to_owned();
            let name = if name.is_empty() { &own } else { name };
            return Ok(intake::receive(app, name, &visitor.name, field).await?);
        }
    }
    Err(AppError::invalid("file", "the form has no field of that name").into())
}

/// How a file is imported that is here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    /// The list that its contacts are put on, by name; one that there is not is made.
    list: String,
    /// What its columns mean; left out, what they probably mean.
    #[serde(default)]
    columns: Option<Mapping>,
    /// How it is written; left out, as it seems to be.
    #[serde(default)]
    format: Option<Format>,
    /// Where numbers without a country code are from: null is nowhere.
    #[serde(default = "usual_home")]
    country: Option<Country>,
    #[serde(default)]
    basis: Option<String>,
    #[serde(default)]
    known: Known,
}

fn usual_home() -> Option<Country> {
    Some(Country::US)
}

async fn begun(app: &App, visitor: &Visitor, id: ImportId, begin: Begin) -> Result<Import, AppError> {
    let preview = intake::look_at(app, id, begin.country).await?;
    let mapping = match begin.columns {
        Some(mapping) => mapping,
        None => preview.mapping().map_err(|why| AppError::invalid("columns", why))?,
    };
    let usual = ImportPlan::new(begin.format.unwrap_or(preview.format), mapping);
    let basis = begin.basis.unwrap_or_else(|| usual.basis.clone());
    let plan = ImportPlan { home: begin.country, basis, known: begin.known, ..usual };
    intake::begin(app, id, plan, &begin.list, &visitor.name).await
}

/// `POST /v1/imports/{id}/start`
pub(super) async fn begin(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ImportId>,
    Body(begin): Body<Begin>,
) -> Answer<Import> {
    Ok(Json(begun(&app, &visitor, id, begin).await?))
}

/// `POST /v1/imports/{id}/cancel`
pub(super) async fn cancel(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ImportId>,
) -> Answer<Import> {
    intake::cancel(&app, id, &visitor.name).await?;
    Ok(Json(intake::look(&app, id).await?))
}

/// `GET /v1/imports/{id}/errors`: the rows that were refused, as CSV.
pub(super) async fn errors(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ImportId>,
) -> Result<Response, Fault> {
    let file = intake::errors(&app, id).await?;
    visitor.note(&format!("downloaded the refused rows of import {id}"));
    Ok((exports::headers(export::Format::Csv), file).into_response())
}

//! Contacts from a file: it comes in, somebody says what its columns mean, and it is watched until it is done.

use axum::{
    extract::{Multipart, multipart::MultipartError},
    response::IntoResponse,
};
use windlass_look::words;

use super::{Ask, Fault, Id, ROWS, Reply, Sent, contacts::file_headers, cut};
use crate::{
    app::AppError,
    channel::Channel,
    export::Format as FileFormat,
    import::{Encoding, Format, Mapping, Preview, RowCode, Separator, Target},
    intake::{self, MAX_FILE_BYTES, Tried},
    model::{
        ImportId,
        import::{ERASED, Import, ImportPlan, ImportStatus, Known, NUMBER_ERASED},
    },
    optout::Country,
    pages::{
        Section, Shell,
        form::Fields,
        view::{
            Choice, ColumnForm, Count, ImportPage, ImportRow, ImportsPage, Input, MappingPage, TriedRow, said,
        },
    },
    store::{contacts::NewContact, lists},
};

/// The page of an import that goes on is fetched again that often.
const FRESH_S: u32 = 1;
/// What a form with a file may have besides the file: the lines between its fields.
const FORM_BYTES: u64 = 64 * 1024;
/// The largest form that is read.
pub(super) const UPLOAD_BYTES_MAX: usize = (MAX_FILE_BYTES + FORM_BYTES) as usize;
/// Values of a column that are shown, and the refused rows that a page names.
const SAMPLES: usize = 3;
const FIRST_REFUSED: usize = 5;
/// How much of a heading is shown: some exports have sentences there.
const HEADING_CHARS: usize = 60;

/// `GET /imports`
pub(super) async fn list(ask: Ask) -> Reply {
    list_page(&ask, None).await
}

async fn list_page(ask: &Ask, fault: Option<String>) -> Reply {
    let page = intake::page(&ask.app, ImportId(ask.before()?), ROWS + 1).await?;
    let (page, next) = cut(page, |import| import.id.0);
    let names = ask.read(|tx| Ok(lists::all(tx)?)).await?;
    let s = ask.shell(Section::Contacts).await?;
    let is_open = page.iter().any(|import| !import.status.is_over());
    Ok(windlass_look::show(&ImportsPage {
        rows: page.iter().map(|import| row(ask, import, &names)).collect(),
        pages: ask.pages("/imports", &[], "before", next),
        fault,
        most: most(),
        s: if is_open { s.every(FRESH_S) } else { s },
    }))
}

fn most() -> String {
    usize::try_from(MAX_FILE_BYTES).map_or_else(|_| String::new(), words::bytes)
}

fn row(ask: &Ask, import: &Import, names: &[lists::List]) -> ImportRow {
    let list = names.iter().find(|list| Some(list.id) == import.list);
    ImportRow {
        id: import.id.0,
        file: import.name.clone(),
        list: list.map_or(String::new(), |list| list.name.clone()),
        status: import.status.to_string(),
        why: import.why.clone(),
        is_over: import.status.is_over(),
        percent: import.percent(),
        added: import.progress.added.into(),
        known: import.progress.updated.into(),
        twice: import.progress.duplicates.into(),
        refused: import.progress.refused.into(),
        began: ask.when(import.created_at),
    }
}

/// `POST /imports`: takes the file of the form in.
pub(super) async fn upload(ask: Ask, mut form: Multipart) -> Reply {
    match taken(&ask, &mut form).await {
        Ok(id) => {
            ask.visitor.note(&format!("brought the file of import {id}"));
            Ok(ask.visitor.go(&ask.at(format_args!("/imports/{id}")), None))
        }
        Err(AppError::Invalid { why, .. } | AppError::Conflict(why)) => list_page(&ask, Some(why)).await,
        Err(error) => Err(error.into()),
    }
}

async fn taken(ask: &Ask, form: &mut Multipart) -> Result<ImportId, AppError> {
    let unread = |why: MultipartError| AppError::invalid("file", why.body_text());
    while let Some(field) = form.next_field().await.map_err(unread)? {
        if field.name() != Some("file") {
            continue;
        }
        let name = field.file_name().unwrap_or_default().to_owned();
        if name.is_empty() {
            break;
        }
        return intake::receive(&ask.app, &name, ask.who(), field).await;
    }
    Err(AppError::invalid("file", "choose a file"))
}

/// `GET /imports/{import}`: what its columns mean, as long as nobody has said so; then how far it is.
pub(super) async fn show(ask: Ask, Id(id): Id) -> Reply {
    let import = intake::look(&ask.app, ImportId(id)).await?;
    if import.status == ImportStatus::Waiting {
        return mapping_page(&ask, &import, &Chosen::default(), None).await;
    }
    progress_page(&ask, &import).await
}

async fn progress_page(ask: &Ask, import: &Import) -> Reply {
    let s = ask.shell(Section::Contacts).await?;
    let names = ask.read(|tx| Ok(lists::all(tx)?)).await?;
    let progress = &import.progress;
    let has_refused = progress.duplicates + progress.refused > 0;
    let errors = if has_refused { intake::errors(&ask.app, import.id).await? } else { String::new() };
    Ok(windlass_look::show(&ImportPage {
        row: row(ask, import, &names),
        rows: progress.rows.into(),
        why: import.why.clone(),
        ended: import.ended_at.map(|at| ask.when(at)),
        codes: progress.faults().map(|(code, rows)| told(code, rows)).collect(),
        without_number: progress.without_number().map(|(code, rows)| told(code, rows)).collect(),
        // The reasons quote what stands in the file.
        first: if s.sees { first_reasons(import, &errors) } else { Vec::new() },
        has_file: !errors.is_empty(),
        is_cut: progress.errors_cut,
        s: if import.status.is_over() { s } else { s.every(FRESH_S) },
    }))
}

/// What a code means, and how often it was found.
fn told(code: &str, rows: u64) -> (String, String, Count) {
    let known = RowCode::ALL.iter().find(|known| known.name() == code).map(|known| known.says());
    let says = known.unwrap_or(match code {
        ERASED => {
            "The contact was erased, and is not kept again; the file of refused rows has no trace of them."
        }
        NUMBER_ERASED => "The number was erased with another contact, and is not kept again.",
        _ => "The number is another contact's already, who keeps it.",
    });
    (code.to_owned(), says.to_owned(), Count(rows))
}

fn first_reasons(import: &Import, errors: &str) -> Vec<String> {
    let separator = import.plan.as_ref().map_or(Separator::Comma, |plan| plan.format.separator);
    let mut rows =
        csv::ReaderBuilder::new().delimiter(separator.byte()).flexible(true).from_reader(errors.as_bytes());
    let rows = rows.records().filter_map(Result::ok).take(FIRST_REFUSED);
    rows.filter_map(|row| row.get(0).map(str::to_owned)).collect()
}

/// What somebody has chosen: nothing yet, or the fields of the form.
#[derive(Default)]
struct Chosen(Option<Fields>);

impl Chosen {
    fn word<'a>(&'a self, name: &str, usual: &'a str) -> &'a str {
        self.0.as_ref().map_or(usual, |form| form.word(name))
    }
}

/// What stands in a field that says how a file is read.
fn encodings(found: Encoding) -> Vec<Encoding> {
    match found {
        Encoding::Utf8 | Encoding::Windows1252 => vec![Encoding::Utf8, Encoding::Windows1252],
        other => vec![other],
    }
}

fn word_of(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The plan that the form asks for; what is wrong with it is told by its field.
fn plan(preview: &Preview, chosen: &Chosen) -> Result<ImportPlan, AppError> {
    let Some(form) = &chosen.0 else {
        let mapping = preview.mapping().map_err(|why| AppError::invalid("columns", why))?;
        return Ok(ImportPlan::new(preview.format, mapping));
    };
    let targets: Result<Vec<Target>, _> =
        (0..preview.headings.len()).map(|at| form.word(&format!("column-{at}")).parse()).collect();
    let targets = targets.map_err(|why| AppError::invalid("columns", why))?;
    let mapping = Mapping::new(targets).map_err(|why| AppError::invalid("columns", why))?;
    let found = preview.format;
    let again = |field| AppError::invalid(field, "what was chosen is none of the choices; choose again");
    let encoding = match form.filled("encoding") {
        None => found.encoding,
        Some(word) => encodings(found.encoding)
            .into_iter()
            .find(|one| word_of(one) == word)
            .ok_or_else(|| again("encoding"))?,
    };
    let header = match form.word("header") {
        "headings" => true,
        "contact" => false,
        "" => found.header,
        _ => return Err(again("header")),
    };
    let format = Format { encoding, separator: found.separator, header };
    let home = match form.filled("country") {
        None => None,
        Some(code) => Some(Country::parse(code).ok_or_else(|| {
            AppError::invalid("country", "two letters of a country whose numbers are known, such as US or GB")
        })?),
    };
    let known = match form.filled("known") {
        None => Known::default(),
        Some(word) => {
            Known::ALL.into_iter().find(|one| one.to_string() == word).ok_or_else(|| again("known"))?
        }
    };
    let basis = form.filled("basis").unwrap_or("express").to_owned();
    Ok(ImportPlan { home, basis, known, ..ImportPlan::new(format, mapping) })
}

async fn mapping_page(ask: &Ask, import: &Import, chosen: &Chosen, fault: Option<AppError>) -> Reply {
    let preview = intake::look_at(&ask.app, import.id, Some(Country::US)).await?;
    let (tried, fault) = match (plan(&preview, chosen), fault) {
        (Ok(plan), None) => match intake::try_out(&ask.app, import.id, &plan).await {
            Ok(tried) => (tried, None),
            Err(error) => (Vec::new(), Some(error)),
        },
        // What nobody has chosen yet is not wrong: the notes say what is missing.
        (Err(_), None) if chosen.0.is_none() => (Vec::new(), None),
        (Err(error), None) | (_, Some(error)) => (Vec::new(), Some(error)),
    };
    let s = ask.shell(Section::Contacts).await?;
    let lists = ask.read(|tx| Ok(lists::all(tx)?)).await?;
    let (mut list, mut country) =
        (Input::of(chosen.word("list", stem(&import.name))), Input::of(chosen.word("country", "US")));
    let mut said = None;
    match fault {
        Some(AppError::Invalid { field: "list", why }) => list = list.wrong(why),
        Some(AppError::Invalid { field: "country", why }) => country = country.wrong(why),
        Some(AppError::Invalid { why, .. }) => said = Some(why),
        Some(error) => said = Some(error.to_string()),
        None => {}
    }
    let Format { encoding, header, .. } = preview.format;
    Ok(windlass_look::show(&MappingPage {
        id: import.id.0,
        file: import.name.clone(),
        format: written(import, &preview),
        notes: preview.notes.clone(),
        fault: said,
        columns: columns(&s, &preview, chosen),
        tried: tried.into_iter().map(|one| tried_row(&s, one)).collect(),
        list,
        lists: lists.into_iter().map(|list| list.name).collect(),
        known: Choice::all(
            &[
                ("update", "take what the file says"),
                ("fill", "take what is not known yet"),
                ("keep", "stay as they are"),
            ],
            chosen.word("known", "update"),
        ),
        basis: Choice::all(
            &[("express", "expressly"), ("express_written", "in writing"), ("implied", "by implication")],
            chosen.word("basis", "express"),
        ),
        country,
        encoding: encodings(encoding)
            .into_iter()
            .map(|one| Choice::of(word_of(one), word_of(one), chosen.word("encoding", &word_of(encoding))))
            .collect(),
        header: Choice::all(
            &[("headings", "headings"), ("contact", "a contact")],
            chosen.word("header", if header { "headings" } else { "contact" }),
        ),
        s,
    }))
}

/// The name of a file as the name of a list.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn written(import: &Import, preview: &Preview) -> String {
    let apart = match preview.format.separator {
        Separator::Comma => "commas",
        Separator::Semicolon => "semicolons",
        Separator::Tab => "tabs",
        Separator::Bar => "bars",
    };
    let size = usize::try_from(import.bytes).map_or_else(|_| String::new(), words::bytes);
    let columns = words::many(preview.headings.len() as u64, "column", "columns");
    format!("{size}, {columns} with {apart} between")
}

fn columns(s: &Shell, preview: &Preview, chosen: &Chosen) -> Vec<ColumnForm> {
    let proposed = preview.columns.iter().map(ToString::to_string);
    let columns = preview.headings.iter().zip(proposed).enumerate().map(|(index, (heading, proposed))| {
        let on = chosen.word(&format!("column-{index}"), &proposed).to_owned();
        let cells = preview.rows.iter().filter_map(|row| row.get(index)).filter(|cell| !cell.is_empty());
        let mut targets: Vec<Choice> =
            Target::all().map(|target| Choice::of(&target, label(&target), &on)).collect();
        // A free field is offered by the name that the heading makes.
        let field = crate::template::field_name(heading).map(Target::Field);
        for target in field.into_iter().chain(proposed.parse()).filter(|one| matches!(one, Target::Field(_)))
        {
            if targets.iter().all(|choice| choice.value != target.to_string()) {
                targets.push(Choice::of(&target, label(&target), &on));
            }
        }
        ColumnForm {
            index,
            heading: match heading.as_str() {
                "" => format!("Column {}", index + 1),
                heading => heading.chars().take(HEADING_CHARS).collect(),
            },
            samples: cells.take(SAMPLES).map(|cell| s.shown(cell.as_str())).collect(),
            targets,
        }
    });
    columns.collect()
}

/// What a target is called on the page.
fn label(target: &Target) -> String {
    match target {
        Target::Email => "mailbox".to_owned(),
        Target::Phone => "phone number".to_owned(),
        Target::Zip => "postal code".to_owned(),
        Target::TimeZone => "time zone".to_owned(),
        Target::Consent(channel) => format!("agrees to {channel}"),
        Target::Field(name) => format!("own field: {name}"),
        Target::Ignore => "nothing, leave it out".to_owned(),
        other => said(&other.to_string()),
    }
}

fn tried_row(s: &Shell, tried: Tried) -> TriedRow {
    match tried {
        Tried::Refused(error) => {
            TriedRow { line: error.line, refused: Some(s.shown(error.to_string())), ..TriedRow::default() }
        }
        Tried::Contact(line, contact) => {
            let NewContact {
                email,
                phone,
                name,
                time_zone,
                state,
                country,
                zip,
                account,
                mut fields,
                consents,
            } = *contact;
            fields.extend(account.map(|account| ("account".to_owned(), account)));
            let shown = |text: Option<String>| s.shown(text.unwrap_or_default());
            let place: Vec<String> = [time_zone, zip, state, country].into_iter().flatten().collect();
            let agreed = Channel::ALL.into_iter().filter(|channel| {
                consents.iter().any(|one| one.channel == *channel && one.revoked_at.is_none())
            });
            TriedRow {
                line,
                refused: None,
                name: shown(name),
                email: shown(email),
                phone: shown(phone),
                place: place.join(", "),
                agreed: agreed.collect(),
                fields: fields.into_iter().map(|(name, value)| (name, s.shown(value))).collect(),
            }
        }
    }
}

/// `POST /imports/{import}`: imports it as the form says, looks again, or leaves it.
pub(super) async fn begin(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let import = intake::look(&ask.app, ImportId(id)).await?;
    let path = format!("/imports/{id}");
    if import.status != ImportStatus::Waiting {
        let why = AppError::Conflict(format!("import {id} is {}: it does not wait", import.status));
        return ask.not_done(path, why);
    }
    match form.word("then") {
        "cancel" => {
            let done = intake::cancel(&ask.app, import.id, ask.who()).await;
            return ask.told("/imports", done, format!("{} is left; nothing of it was read.", import.name));
        }
        "look" => return mapping_page(&ask, &import, &Chosen(Some(form)), None).await,
        _ => {}
    }
    let list = form.text("list").to_owned();
    let chosen = Chosen(Some(form));
    let begun = async {
        let preview = intake::look_at(&ask.app, import.id, None).await?;
        intake::begin(&ask.app, import.id, plan(&preview, &chosen)?, &list, ask.who()).await
    };
    match begun.await {
        Ok(import) => Ok(ask.done(path, format!("{} is being imported.", import.name))),
        Err(error @ (AppError::Invalid { .. } | AppError::Conflict(_))) => {
            mapping_page(&ask, &import, &chosen, Some(error)).await
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /imports/{import}/cancel`
pub(super) async fn cancel(ask: Ask, Id(id): Id) -> Reply {
    let done = intake::cancel(&ask.app, ImportId(id), ask.who()).await;
    ask.told(format_args!("/imports/{id}"), done, "The import is ended; what was read stays.")
}

/// `GET /imports/{import}/errors.csv`
pub(super) async fn errors(ask: Ask, Id(id): Id) -> Reply {
    if !ask.visitor.may_see_payloads {
        return Err(Fault::Payloads);
    }
    let file = intake::errors(&ask.app, ImportId(id)).await?;
    ask.visitor.note(&format!("downloaded the refused rows of import {id}"));
    Ok((file_headers(FileFormat::Csv, &format!("import-{id}-refused.csv")), file).into_response())
}

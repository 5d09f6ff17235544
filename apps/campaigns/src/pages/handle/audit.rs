//! Who changed what, on a page and as a file.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use jiff::{civil::Date, tz::TimeZone};
use windlass::Time;

use super::{Ask, Fault, ROWS, Reply, cut};
use crate::{
    app::AppError,
    import::guard,
    pages::{
        Section, Shell,
        view::{AuditPage, ChangeRow, Input},
    },
    store::{
        PAGE_MAX,
        audit::{self, Change},
    },
};

/// Rows of a file at most: a spreadsheet's own bound.
const FILE_ROWS_MAX: usize = 1_000_000;

/// `GET /audit`
pub(super) async fn list(ask: Ask) -> Reply {
    list_page(&ask, Input::default(), Input::default()).await
}

async fn list_page(ask: &Ask, from: Input, to: Input) -> Reply {
    let before = ask.before()?;
    let (rows, next) =
        ask.read(move |tx| Ok(cut(audit::page(tx, before, ROWS + 1)?, |change| change.id))).await?;
    let s = ask.shell(Section::Audit).await?;
    let page = AuditPage {
        rows: rows.into_iter().map(|change| row(ask, &s, change)).collect(),
        pages: ask.pages("/audit", &[], "before", next),
        from,
        to,
        s,
    };
    Ok(windlass_look::show(&page))
}

fn row(ask: &Ask, s: &Shell, change: Change) -> ChangeRow {
    ChangeRow {
        at: ask.when(change.at),
        at_page: page_of(s, &change),
        // Both name addresses now and then.
        subject: if names_somebody(&change) { s.shown(change.subject) } else { change.subject },
        detail: s.shown(change.detail),
        who: change.who,
        what: change.what,
    }
}

/// Whether the subject of a change is an address.
fn names_somebody(change: &Change) -> bool {
    change.subject.contains('@') || change.subject.starts_with('+')
}

/// The page of what was changed.
fn page_of(s: &Shell, change: &Change) -> Option<String> {
    let number = |text: &str| text.parse::<i64>().ok();
    match change.what.as_str() {
        "write template" => number(&change.detail).map(|id| s.at(format_args!("/templates/{id}"))),
        "pause sender" | "resume sender" => {
            number(&change.subject).map(|id| s.at(format_args!("/senders/{id}")))
        }
        "import contacts" | "cancel import" => {
            number(&change.subject).map(|id| s.at(format_args!("/imports/{id}")))
        }
        "next version" | "keep variant" => number(&change.subject).map(|id| s.campaign(id)),
        what if what.ends_with(" campaign") => number(&change.subject).map(|id| s.campaign(id)),
        what if what.ends_with(" contact") => number(&change.subject).map(|id| s.contact(id)),
        _ => None,
    }
}

/// The first moment of a day in UTC.
fn begin(text: &str, days_later: i32) -> Result<Time, String> {
    let date: Date = text.parse().map_err(|_| "a date, as 2026-11-30".to_owned())?;
    let date = date.checked_add(jiff::Span::new().days(days_later)).map_err(|why| why.to_string())?;
    let begin = date.to_zoned(TimeZone::UTC).map_err(|why| why.to_string())?;
    Ok(Time(u64::try_from(begin.timestamp().as_millisecond()).unwrap_or(0)))
}

/// `GET /audit.csv`
pub(super) async fn file(ask: Ask) -> Reply {
    let (mut from, mut to) = (Input::of(ask.query.word("from")), Input::of(ask.query.word("to")));
    let bound = |input: &mut Input, days: i32, none: Time| {
        if input.text.is_empty() {
            return none;
        }
        begin(&input.text, days).unwrap_or_else(|why| {
            input.fault = Some(why);
            none
        })
    };
    let first = bound(&mut from, 0, Time(0));
    let end = bound(&mut to, 1, Time(u64::MAX));
    if from.fault.is_some() || to.fault.is_some() {
        return list_page(&ask, from, to).await;
    }
    Ok(csv(&written(&ask, first, end).await?))
}

async fn written(ask: &Ask, first: Time, end: Time) -> Result<Vec<u8>, Fault> {
    let failed = |why: csv::Error| AppError::invalid("file", why);
    let s = Shell::of(&ask.visitor, Section::Audit);
    let mut file = csv::Writer::from_writer(Vec::new());
    file.write_record(["at", "who", "what", "subject", "detail"]).map_err(failed)?;
    let (mut before, mut rows) = (i64::MAX, 0);
    loop {
        let page = ask.read(move |tx| Ok(audit::page(tx, before, PAGE_MAX)?)).await?;
        let Some(last) = page.last() else { break };
        before = last.id;
        let is_past = last.at < first;
        for change in page.into_iter().filter(|change| change.at >= first && change.at < end) {
            let subject = if names_somebody(&change) {
                s.shown(change.subject.as_str())
            } else {
                change.subject.clone()
            };
            let detail = s.shown(change.detail.as_str());
            let cells = [change.at.to_string(), change.who, change.what, subject, detail];
            file.write_record(cells.iter().map(|cell| guard(cell).into_owned())).map_err(failed)?;
            rows += 1;
        }
        if is_past || rows >= FILE_ROWS_MAX {
            break;
        }
    }
    Ok(file.into_inner().map_err(|why| AppError::invalid("file", why))?)
}

fn csv(bytes: &[u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"changes.csv\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, bytes.to_owned()).into_response()
}

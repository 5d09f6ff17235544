//! Who changed what, newest first.

use askama::Template;
use windlass_api::audit::AuditRecord;
use windlass_core::Time;
use windlass_look::Frame;

use super::page::{Reply, show};
use super::visit::Visit;
use super::words::{self, When};
use crate::audit;
use crate::read::Pairs;

/// Records of a page.
const RECORDS_SHOWN: usize = 100;

struct RecordRow {
    at: When,
    who: String,
    from: String,
    action: String,
    target: String,
    done: Vec<String>,
    status: u16,
    is_good: bool,
}

impl RecordRow {
    fn of(record: AuditRecord, now: Time) -> Self {
        Self {
            at: words::when(record.at, now),
            who: record.who,
            from: record.from,
            action: record.action,
            target: record.target,
            done: record.done,
            status: record.status,
            is_good: record.status < 400,
        }
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    f: Frame,
    rows: Vec<RecordRow>,
    first: Option<String>,
    next: Option<String>,
}

/// `GET /audit`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let before = query.take_value::<u64>("before")?;
    query.end("before")?;
    let page = audit::read(visit.app.by_itself().store().as_ref(), before, RECORDS_SHOWN).await?;
    let mut f = visit.frame("audit");
    f.every = if before.is_none() { 10 } else { 0 };
    show(&AuditPage {
        rows: page.items.into_iter().map(|record| RecordRow::of(record, visit.now)).collect(),
        first: before.is_some().then(|| format!("{}/audit", f.base)),
        next: page.next.map(|before| format!("{}/audit?before={before}", f.base)),
        f,
    })
}

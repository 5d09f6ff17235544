//! One schedule: what its last ticks made, and the form that changes it.

use std::collections::HashMap;

use askama::Template;
use axum::extract::Path;
use windlass_core::job::JobView;
use windlass_core::store::{Filter, ScheduleInfo};
use windlass_core::{JobId, ScheduleName, Time};
use windlass_look::Frame;

use super::form::{Form, Preview};
use super::{ScheduleRow, find};
use crate::ui::jobs::JobLine;
use crate::ui::page::{Reply, Wrong, show_with};
use crate::ui::visit::Visit;
use crate::ui::words::{self, When};
use axum::http::StatusCode;

/// Past ticks of the page.
const TICKS_BACK: usize = 20;

/// A past tick, with the job that it made, if that is still known.
struct Past {
    at: When,
    job: Option<JobLine>,
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct SchedulePage {
    f: Frame,
    s: ScheduleRow,
    past: Vec<Past>,
    form: Form,
    preview: Option<Preview>,
}

/// `GET /schedules/{schedule}`.
pub(crate) async fn page(visit: Visit, Path(name): Path<String>) -> Reply {
    let info = find(&visit, &ScheduleName::new(name)?).await?;
    let form = Form::of(&info.spec);
    draw(&visit, &info, form, None, StatusCode::OK).await
}

pub(super) async fn draw(
    visit: &Visit,
    info: &ScheduleInfo,
    form: Form,
    preview: Option<Preview>,
    status: StatusCode,
) -> Reply {
    let mut f = visit.frame("schedules");
    f.every = 10;
    if status != StatusCode::OK || preview.is_some() {
        f.address = format!("{}/schedules", f.base);
    }
    let past = past(visit, &f, info).await?;
    let s = ScheduleRow::of(&f, info, visit.now);
    show_with(status, &SchedulePage { s, past, form, preview, f })
}

/// The last ticks, newest first. A tick is one job for ever, so its job's id is known without anybody keeping it.
async fn past(visit: &Visit, f: &Frame, info: &ScheduleInfo) -> Result<Vec<Past>, Wrong> {
    let Some(last) = info.last_tick else { return Ok(Vec::new()) };
    let ticks = info.spec.timing.compile().map(|timing| timing.past(last, TICKS_BACK)).unwrap_or_default();
    let ids: Vec<(Time, JobId)> = ticks.iter().map(|tick| (*tick, info.spec.job_at(*tick).id)).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = Filter { ids: ids.iter().map(|(_, id)| *id).collect(), ..Filter::default() };
    let page = visit.store().list(filter, None, TICKS_BACK, TICKS_BACK).await??;
    let made: HashMap<JobId, &JobView> = page.items.iter().map(|job| (job.id, job)).collect();
    let row = |(tick, id): (Time, JobId)| Past {
        at: words::when(tick, visit.now),
        job: made.get(&id).map(|job| JobLine::of(f, job, visit.now)),
    };
    let mut past: Vec<Past> = ids.into_iter().rev().map(row).collect();
    // Before the oldest job that is known, nobody knows which ticks there were.
    let known = past.iter().rposition(|tick| tick.job.is_some()).map_or(0, |place| place + 1);
    past.truncate(known);
    Ok(past)
}

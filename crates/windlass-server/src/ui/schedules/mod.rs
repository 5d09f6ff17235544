//! Schedules: when each ticks, in plain words and as instants, and what became of its ticks; a page of all, a page of
//! one ([`one`]), and the form that makes and changes one ([`form`]).

mod form;
mod one;

use askama::Template;
use axum::extract::Path;
use windlass_api::schedule::ScheduleShape;
use windlass_api::spell::moment;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::ScheduleInfo;
use windlass_core::{NewJob, ScheduleName, Time};
use windlass_look::{Flash, Frame};

use crate::answer::{Fault, only};
use crate::ui::confirm::{Question, ask, is_confirmed};
use crate::ui::cron;
use crate::ui::form::{Fields, back, said};
use crate::ui::json::Shown;
use crate::ui::page::{Reply, Wrong, show};
use crate::ui::visit::Visit;
use crate::ui::words::{self, When};

pub(crate) use form::{blank, save};
pub(crate) use one::page as one;

/// Ticks told ahead.
const TICKS_AHEAD: usize = 5;

struct ScheduleRow {
    name: String,
    id: String,
    /// In plain words, where there are any.
    words: Option<String>,
    /// As it was written.
    spec: String,
    time_zone: Option<String>,
    policies: String,
    queue: String,
    queue_at: String,
    kind: String,
    group: Option<String>,
    priority: i8,
    paused: bool,
    /// On the schedule's clocks, and as instants.
    upcoming: Vec<(String, When)>,
    last_tick: Option<When>,
    last_job: Option<(String, String)>,
    ticks: String,
    skipped: u64,
    skipped_said: String,
    payload: Shown,
    at: String,
}

impl ScheduleRow {
    fn of(f: &Frame, info: &ScheduleInfo, now: Time) -> Self {
        let spec = &info.spec;
        let (words, text, time_zone) = match &spec.timing {
            Timing::Cron { expression, time_zone } => {
                (cron::words(expression), expression.clone(), Some(time_zone.clone()))
            }
            Timing::Interval { every_ms, .. } => (None, format!("every {}", words::span(*every_ms)), None),
        };
        Self {
            name: spec.name.to_string(),
            id: format!("schedule-{}", spec.name),
            words,
            spec: text,
            time_zone,
            policies: policies(spec.overlap, spec.catch_up),
            queue: spec.queue.to_string(),
            queue_at: f.queue(&spec.queue),
            kind: spec.kind.to_string(),
            group: spec.group.as_ref().map(ToString::to_string),
            priority: spec.priority,
            paused: spec.paused,
            upcoming: upcoming(&spec.timing, now),
            last_tick: words::some_when(info.last_tick, now),
            last_job: info.last_job.map(|id| (words::short(id), f.job(id))),
            ticks: words::count(info.ticks),
            skipped: info.skipped,
            skipped_said: words::count(info.skipped),
            payload: Shown::of(&spec.payload),
            at: format!("{}/schedules/{}", f.base, words::part(spec.name.as_str())),
        }
    }
}

/// The next ticks of a timing. A stored one was valid when it was set; one that this build cannot read shows none.
fn upcoming(timing: &Timing, now: Time) -> Vec<(String, When)> {
    let zone = match timing {
        Timing::Cron { time_zone, .. } => time_zone.as_str(),
        Timing::Interval { .. } => "UTC",
    };
    let ticks = timing.compile().map(|timing| timing.upcoming(now, TICKS_AHEAD)).unwrap_or_default();
    let told = |tick: Time| {
        let at = moment::in_zone(tick, zone).map(|at| format!("{at} {zone}"));
        (at.unwrap_or_default(), words::when(tick, now))
    };
    ticks.into_iter().map(told).collect()
}

/// What a tick does that finds its last job live, and what becomes of ticks that were missed.
fn policies(overlap: Overlap, catch_up: CatchUp) -> String {
    let overlap = match overlap {
        Overlap::Allow => "ticks whether or not its last job is live",
        Overlap::Skip => "skips a tick while its last job is live",
    };
    let catch_up = match catch_up {
        CatchUp::Skip => "missed ticks are left out".to_owned(),
        CatchUp::Last => "of missed ticks the newest runs".to_owned(),
        CatchUp::All { max } => format!("of missed ticks the newest {max} run"),
    };
    format!("{overlap}; {catch_up}")
}

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    f: Frame,
    rows: Vec<ScheduleRow>,
}

/// `GET /schedules`.
pub(crate) async fn page(visit: Visit) -> Reply {
    let mut all = visit.store().schedules().await?;
    all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let mut f = visit.frame("schedules");
    f.every = 10;
    let rows = all.iter().map(|info| ScheduleRow::of(&f, info, visit.now)).collect();
    show(&SchedulesPage { rows, f })
}

async fn find(visit: &Visit, name: &ScheduleName) -> Result<ScheduleInfo, Wrong> {
    let found = visit.store().schedules().await?.into_iter().find(|info| info.spec.name == *name);
    found.ok_or_else(|| Fault::not_found(format!("schedule {name}")).into())
}

async fn set_paused(visit: Visit, name: String, fields: Fields, paused: bool) -> Reply {
    let mut spec = find(&visit, &ScheduleName::new(name)?).await?.spec;
    spec.paused = paused;
    let done = if paused {
        format!("Schedule {} is paused: its ticks make no jobs, and are not caught up later.", spec.name)
    } else {
        format!("Schedule {} ticks again.", spec.name)
    };
    let flash = said(visit.store().set_schedule(spec, None).await?, done);
    Ok(back(&visit, &fields, &format!("{}/schedules", visit.base()), flash))
}

/// `POST /schedules/{schedule}/pause`.
pub(crate) async fn pause(visit: Visit, Path(name): Path<String>, fields: Fields) -> Reply {
    set_paused(visit, name, fields, true).await
}

/// `POST /schedules/{schedule}/resume`.
pub(crate) async fn resume(visit: Visit, Path(name): Path<String>, fields: Fields) -> Reply {
    set_paused(visit, name, fields, false).await
}

/// `POST /schedules/{schedule}/run`: one job of it now, apart from its ticks.
pub(crate) async fn run(visit: Visit, Path(name): Path<String>) -> Reply {
    let spec = find(&visit, &ScheduleName::new(name)?).await?.spec;
    let job = NewJob { id: visit.app.client().new_id(), ..spec.job_at(visit.now) };
    let made = only(visit.store().enqueue(vec![job], false, None).await?)?;
    let text = format!("This is one job of schedule {}, apart from its ticks.", spec.name);
    Ok(visit.go(&visit.frame("").job(made.id), Some(Flash::good(text))))
}

/// `POST /schedules/{schedule}/delete`.
pub(crate) async fn remove(visit: Visit, Path(name): Path<String>, fields: Fields) -> Reply {
    let name = ScheduleName::new(name)?;
    let home = format!("{}/schedules", visit.base());
    if is_confirmed(&fields) {
        let answer = visit.store().delete_schedule(name.clone(), None).await?;
        return Ok(back(&visit, &fields, &home, said(answer, format!("Schedule {name} is deleted."))));
    }
    let info = find(&visit, &name).await?;
    let shape = ScheduleShape::new(info, visit.now);
    let next = shape
        .upcoming
        .first()
        .map_or_else(|| "has no next tick".to_owned(), |tick| format!("next tick {tick}"));
    ask(
        &visit,
        Question {
            place: "schedules",
            title: format!("Delete schedule {name}?"),
            means: vec!["No more jobs are made. Those that it made stay. That cannot be undone."],
            items: vec![(name.to_string(), format!("{} in {}, {next}", shape.kind, shape.queue))],
            more: 0,
            action: format!("{home}/{}/delete", words::part(name.as_str())),
            fields: vec![("back", home.clone())],
            button: "Delete it".to_owned(),
            is_danger: true,
            back: home,
        },
    )
}

//! The form that makes and changes a schedule, with its next ticks before anything is saved.

use askama::Template;
use axum::http::StatusCode;
use windlass_api::payload::Encoding;
use windlass_api::spell::{moment, span};
use windlass_core::bounds::{PRIORITY_MAX, PRIORITY_MIN};
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::ScheduleSpec;
use windlass_core::{GroupKey, Kind, QueueName, Rejection, ScheduleName, Time};
use windlass_look::Frame;

use super::{find, one, upcoming};
use crate::ui::form::{Fields, said};
use crate::ui::json;
use crate::ui::page::{Reply, Wrong, show_with};
use crate::ui::queue::Field;
use crate::ui::visit::Visit;
use crate::ui::words::{self, When};

/// The form, each field as people write it.
pub(super) struct Form {
    pub(super) name: Field,
    /// Whether the schedule is there already: its name is its own then.
    pub(super) is_there: bool,
    pub(super) cron: Field,
    pub(super) time_zone: Field,
    pub(super) every: Field,
    pub(super) queue: Field,
    pub(super) kind: Field,
    pub(super) group: Field,
    pub(super) priority: Field,
    pub(super) payload: Field,
    /// Whether the payload is bytes that no field can hold.
    pub(super) is_bytes: bool,
    pub(super) skips_overlap: bool,
    pub(super) catch_up: Field,
    /// What is wrong with all of it together.
    pub(super) fault: Option<String>,
}

/// The next ticks of what stands in the form: on the schedule's clocks, and as instants.
pub(super) struct Preview(pub(super) Vec<(String, When)>);

impl Form {
    fn blank() -> Self {
        let empty = || Field::of("");
        Self {
            name: empty(),
            is_there: false,
            cron: empty(),
            time_zone: Field::of("UTC"),
            every: empty(),
            queue: empty(),
            kind: empty(),
            group: empty(),
            priority: Field::of("0"),
            payload: Field::of("{}"),
            is_bytes: false,
            skips_overlap: false,
            catch_up: Field::of("last"),
            fault: None,
        }
    }

    pub(super) fn of(spec: &ScheduleSpec) -> Self {
        let (cron, time_zone, every) = match &spec.timing {
            Timing::Cron { expression, time_zone } => (expression.clone(), time_zone.clone(), String::new()),
            Timing::Interval { every_ms, .. } => (String::new(), "UTC".to_owned(), span::exact(*every_ms)),
        };
        Self {
            name: Field::of(spec.name.as_str()),
            is_there: true,
            cron: Field::of(cron),
            time_zone: Field::of(time_zone),
            every: Field::of(every),
            queue: Field::of(spec.queue.as_str()),
            kind: Field::of(spec.kind.as_str()),
            group: Field::of(spec.group.as_ref().map(ToString::to_string).unwrap_or_default()),
            priority: Field::of(spec.priority.to_string()),
            payload: Field::of(json::text(&spec.payload)),
            is_bytes: json::encoding(&spec.payload) == Encoding::Base64,
            skips_overlap: spec.overlap == Overlap::Skip,
            catch_up: Field::of(match spec.catch_up {
                CatchUp::Skip => "skip".to_owned(),
                CatchUp::Last => "last".to_owned(),
                CatchUp::All { max } => format!("all={max}"),
            }),
            fault: None,
        }
    }

    fn from_fields(fields: &Fields, old: Option<&ScheduleSpec>) -> Self {
        let field = |name: &str| Field::of(fields.word(name));
        Self {
            name: field("name"),
            is_there: old.is_some(),
            cron: field("cron"),
            time_zone: field("time_zone"),
            every: field("every"),
            queue: field("queue"),
            kind: field("kind"),
            group: field("group"),
            priority: field("priority"),
            // Browsers end lines as networks do.
            payload: Field::of(fields.text("payload").replace("\r\n", "\n")),
            is_bytes: old.is_some_and(|old| json::encoding(&old.payload) == Encoding::Base64),
            skips_overlap: fields.text("overlap") == "skip",
            catch_up: field("catch_up"),
            fault: None,
        }
    }

    /// When it is to tick; what is wrong stands with its field.
    fn timing(&mut self, old: Option<&ScheduleSpec>) -> Option<Timing> {
        match (self.cron.text.is_empty(), self.every.text.is_empty()) {
            (true, true) => self.cron.fault = Some("write a cron expression, or a span below".to_owned()),
            (false, false) => {
                self.every.fault = Some("write a cron expression or a span, not both".to_owned());
            }
            (true, false) => {
                // A span that is not changed keeps the instant that it counts from.
                let anchor = match old.map(|old| &old.timing) {
                    Some(Timing::Interval { anchor, .. }) => *anchor,
                    _ => Time::ZERO,
                };
                return self.every.read(|text| {
                    let timing = Timing::Interval { every_ms: span::parse(text)?, anchor };
                    timing.validate().map(|()| timing)
                });
            }
            (false, true) => {
                let zone = match self.time_zone.text.as_str() {
                    "" => "UTC".to_owned(),
                    zone => zone.to_owned(),
                };
                self.time_zone.read(|_| moment::in_zone(Time::ZERO, &zone))?;
                return self.cron.read(|text| {
                    let timing = Timing::Cron { expression: text.to_owned(), time_zone: zone };
                    timing.validate().map(|()| timing)
                });
            }
        }
        None
    }

    /// The schedule that is meant; what is wrong stands with its field.
    fn spec(&mut self, old: Option<&ScheduleSpec>) -> Option<ScheduleSpec> {
        let timing = self.timing(old);
        let name = self.name.read(str::parse::<ScheduleName>);
        let queue = self.queue.read(str::parse::<QueueName>);
        let kind = if self.kind.text.is_empty() {
            queue.as_ref().and_then(|queue| Kind::new(queue.as_str()).ok())
        } else {
            self.kind.read(str::parse::<Kind>)
        };
        let group = self.group.read(|text| match text {
            "" => Ok(None),
            key => GroupKey::new(key).map(Some),
        });
        let priority = self.priority.read(priority);
        let payload = match old.filter(|old| json::text(&old.payload) == self.payload.text) {
            Some(old) => Some(old.payload.clone()),
            None => self.payload.read(json::edited),
        };
        let catch_up = self.catch_up.read(catch_up);
        Some(ScheduleSpec {
            name: name?,
            timing: timing?,
            overlap: if self.skips_overlap { Overlap::Skip } else { Overlap::Allow },
            catch_up: catch_up?,
            queue: queue?,
            kind: kind?,
            payload: payload?,
            group: group?,
            priority: priority?,
            paused: old.is_some_and(|old| old.paused),
        })
    }
}

fn priority(text: &str) -> Result<i8, String> {
    let priority = text.parse().ok().filter(|priority| (PRIORITY_MIN..=PRIORITY_MAX).contains(priority));
    priority.ok_or_else(|| format!("{text:?} is not a whole number from {PRIORITY_MIN} to {PRIORITY_MAX}"))
}

fn catch_up(text: &str) -> Result<CatchUp, String> {
    let catch_up = match (text, text.strip_prefix("all=").map(str::parse)) {
        ("skip", _) => CatchUp::Skip,
        ("last" | "", _) => CatchUp::Last,
        (_, Some(Ok(max))) => CatchUp::All { max },
        _ => return Err(format!("{text:?} is none of skip, last, all=10")),
    };
    catch_up.validate().map(|()| catch_up)
}

#[derive(Template)]
#[template(path = "schedule_new.html")]
struct NewPage {
    f: Frame,
    form: Form,
    preview: Option<Preview>,
}

/// `GET /new-schedule`. It stands beside the schedules, whose names may be any word.
pub(crate) async fn blank(visit: Visit) -> Reply {
    draw(&visit, Form::blank(), None, StatusCode::OK)
}

fn draw(visit: &Visit, form: Form, preview: Option<Preview>, status: StatusCode) -> Reply {
    show_with(status, &NewPage { f: visit.frame("schedules"), form, preview })
}

/// `POST /schedules`: makes or changes one, or only shows when it would tick.
pub(crate) async fn save(visit: Visit, fields: Fields) -> Reply {
    let changes = fields.ticked("is_there");
    let old = match ScheduleName::new(fields.word("name")) {
        Ok(name) => match find(&visit, &name).await {
            Ok(info) => Some(info),
            Err(Wrong(fault)) if fault.0.status == 404 && !changes => None,
            Err(wrong) => return Err(wrong),
        },
        Err(_) => None,
    };
    let known = old.as_ref().filter(|_| changes);
    let mut form = Form::from_fields(&fields, known.map(|info| &info.spec));
    if old.is_some() && !changes {
        form.name.fault = Some("there is a schedule of that name already".to_owned());
    }
    let wrong = StatusCode::UNPROCESSABLE_ENTITY;
    let again = async |form, preview, status| match known {
        Some(info) => one::draw(&visit, info, form, preview, status).await,
        None => draw(&visit, form, preview, status),
    };
    if fields.text("then") == "preview" {
        // Whatever else is still to be written: when it would tick is known from its time alone.
        let timing = form.timing(known.map(|info| &info.spec));
        let status = if timing.is_some() { StatusCode::OK } else { wrong };
        return again(form, timing.map(|timing| Preview(upcoming(&timing, visit.now))), status).await;
    }
    let spec = form.spec(known.map(|info| &info.spec));
    let Some(spec) = spec.filter(|_| form.name.fault.is_none()) else {
        return again(form, None, wrong).await;
    };
    let (name, timing) = (spec.name.clone(), spec.timing.clone());
    match visit.store().set_schedule(spec, None).await? {
        Ok(()) => {
            let next = timing.next_after(visit.now).map(|tick| words::when(tick, visit.now).said);
            let next = next.unwrap_or_else(|| "never".to_owned());
            let text = format!("Schedule {name} is saved: it ticks next {next}.");
            let at = format!("{}/schedules/{}", visit.base(), words::part(name.as_str()));
            Ok(visit.go(&at, Some(said(Ok(()), text))))
        }
        Err(refused @ Rejection::Invalid { .. }) => {
            form.fault = Some(refused.to_string());
            again(form, None, wrong).await
        }
        Err(refused) => Err(refused.into()),
    }
}

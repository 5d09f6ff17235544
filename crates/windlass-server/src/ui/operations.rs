//! Operations on all jobs that a filter means: asked for with a count and a few of the jobs, begun, watched, paused and
//! ended. They are the server's own ([`crate::bulk`]); a page that is closed ends none.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use windlass_api::bulk::{Bulk, BulkRequest, Preview, Stage};
use windlass_api::filter::FilterShape;
use windlass_api::problem::Problem;
use windlass_api::spell::rate;
use windlass_core::{State, Time};
use windlass_look::{Flash, Frame};

use super::bulk::Act;
use super::form::{Fields, back, spelled};
use super::jobs;
use super::page::{Reply, show, show_with};
use super::queue::Field;
use super::visit::Visit;
use super::words::{self, When};
use crate::answer::Fault;
use crate::bulk;
use crate::count;
use crate::read::{self, Pairs};

/// How long jobs are counted for the question: a page is there at once, and says when it stopped to count.
const COUNTED_WITHIN: Duration = Duration::from_millis(80);
/// Jobs that are deleted without their number being typed.
const DELETED_LIGHTLY: u64 = 1_000;
/// Seconds after which the page of an open operation is fetched again, whatever happens meanwhile.
const AGAIN_EVERY: u32 = 1;
/// How long after its end the counts of an operation may still move.
const SETTLES_MS: u64 = 10_000;

/// Something that can be done to all jobs of a filter.
pub(crate) struct Offer {
    pub(crate) label: &'static str,
    pub(crate) is_danger: bool,
    /// Where somebody is asked.
    pub(crate) at: String,
}

impl Offer {
    pub(crate) fn of(f: &Frame, act: Act, shape: &FilterShape) -> Self {
        let fields = [("action", act.word()), ("filter", &jobs::spelled(shape)), ("back", &f.address)];
        Self {
            label: act.label(),
            is_danger: act == Act::Delete,
            at: format!("{}/bulk/new?{}", f.base, spelled(fields)),
        }
    }
}

/// What can be done to all jobs of that filter.
pub(crate) fn offers(f: &Frame, shape: &FilterShape) -> Vec<Offer> {
    let all = [Act::Retry, Act::RunNow, Act::Cancel, Act::Delete];
    all.into_iter().filter_map(|act| Some(Offer::of(f, act, &narrowed(act, shape)?))).collect()
}

/// The jobs of a filter to which an act can be done; none if there are no such jobs. Without a word about states, jobs
/// that ended well are not retried. Every job of the store is neither cancelled nor deleted.
fn narrowed(act: Act, shape: &FilterShape) -> Option<FilterShape> {
    let possible: &[State] = match act {
        Act::Retry if shape.state.is_none() => &[State::Dead],
        Act::Retry => &[State::Completed, State::Dead, State::Cancelled],
        Act::RunNow => &[State::Scheduled, State::Retrying],
        Act::Cancel => &[State::Scheduled, State::Ready, State::Running, State::Retrying, State::Blocked],
        Act::Delete => &[
            State::Scheduled,
            State::Ready,
            State::Retrying,
            State::Blocked,
            State::Completed,
            State::Dead,
            State::Cancelled,
        ],
    };
    if matches!(act, Act::Cancel | Act::Delete) && *shape == FilterShape::default() {
        return None;
    }
    let meant = count::states(shape)?;
    let states: Vec<&str> = meant.iter().filter(|s| possible.contains(s)).map(|s| s.as_str()).collect();
    (!states.is_empty()).then(|| FilterShape { state: Some(states.join(",")), ..shape.clone() })
}

#[derive(Template)]
#[template(path = "operation_new.html")]
struct QuestionPage {
    f: Frame,
    act: Act,
    title: String,
    filter: String,
    jobs_at: String,
    /// How many jobs, as far as that is known.
    matched: u64,
    matched_said: String,
    examined: String,
    complete: bool,
    sample: Vec<Sample>,
    more: Option<String>,
    rate: Field,
    /// The word that must be typed, and what was.
    typed: Option<Field>,
    back: String,
    /// Why it was not begun.
    fault: Option<String>,
}

struct Sample {
    id: String,
    at: String,
    text: String,
}

/// What the question's form holds.
struct Form {
    rate: Field,
    typed: Field,
    fault: Option<String>,
    status: StatusCode,
}

/// What is asked for.
struct Asked {
    act: Act,
    filter: String,
    shape: FilterShape,
    back: String,
}

impl Asked {
    fn of(visit: &Visit, action: &str, filter: &str, back: Option<&str>) -> Result<Self, Fault> {
        let act = Act::of(action)?;
        let mut shape = FilterShape::default();
        shape.add(filter).and_then(|()| shape.filter(visit.now).map(drop)).map_err(Fault::bad_request)?;
        if shape == FilterShape::default() {
            let fault = Fault::bad_request("an empty filter means every job of the store");
            return Err(fault.hint("search for the jobs that are meant: queue:email state:dead"));
        }
        let back = back.map_or_else(|| words::jobs_at(visit.base(), filter), ToOwned::to_owned);
        let mut filter = filter.to_owned();
        if shape.state.is_none() {
            let states = act.action().states_text();
            filter.push_str(&format!(" state:{states}"));
            shape.state = Some(states);
        }
        Ok(Self { act, filter, shape, back })
    }

    /// The question, again if it was answered and could not be done.
    async fn draw(self, visit: &Visit, form: Form) -> Reply {
        let seen = bulk::preview(&visit.app, &self.shape, Some(COUNTED_WITHIN)).await?;
        let f = visit.frame("bulk");
        let said = words::many(seen.matched, "job", "jobs");
        let matched_said = if seen.complete { said } else { format!("at least {said}") };
        let rest = seen.matched.saturating_sub(seen.sample.len() as u64);
        let page = QuestionPage {
            act: self.act,
            title: format!("{} {matched_said}?", self.act.label()),
            jobs_at: words::jobs_at(&f.base, &self.filter),
            filter: self.filter,
            matched: seen.matched,
            matched_said,
            examined: words::many(seen.examined, "job", "jobs"),
            complete: seen.complete,
            more: (rest > 0).then(|| words::count(rest)),
            typed: is_typed(self.act, &seen).then_some(form.typed),
            sample: seen
                .sample
                .into_iter()
                .map(|job| Sample {
                    at: f.job(job.id),
                    id: job.id.to_string(),
                    text: format!("{} · {} in {}", job.state, job.kind, job.queue),
                })
                .collect(),
            rate: form.rate,
            back: self.back,
            fault: form.fault,
            f,
        };
        show_with(form.status, &page)
    }
}

/// Whether a click is too little for it.
fn is_typed(act: Act, seen: &Preview) -> bool {
    act == Act::Delete && (seen.matched > DELETED_LIGHTLY || !seen.complete)
}

/// `GET /bulk/new`: asks, with the number of jobs and some of them. Nothing is begun.
pub(crate) async fn question(visit: Visit, mut query: Pairs) -> Reply {
    let (action, filter) =
        (query.take("action")?.unwrap_or_default(), query.take("filter")?.unwrap_or_default());
    let (rate, back) = (query.take("rate")?.unwrap_or_default(), query.take("back")?);
    query.end("action, filter, rate and back")?;
    let back = back.filter(|back| windlass_look::is_local(back));
    let asked = Asked::of(&visit, &action, filter.trim(), back.as_deref())?;
    let form = Form { rate: Field::of(rate), typed: Field::default(), fault: None, status: StatusCode::OK };
    asked.draw(&visit, form).await
}

/// `POST /bulk`: begins it, and goes on to its page.
pub(crate) async fn begin(visit: Visit, fields: Fields) -> Reply {
    let asked = Asked::of(&visit, fields.word("action"), fields.word("filter"), fields.back())?;
    let mut typed = Field::of(fields.word("typed"));
    let mut rate = Field::of(fields.word("rate"));
    let is_right = rate.text.is_empty() || rate.read(rate::parse).is_some();
    if asked.act == Act::Delete {
        let seen = bulk::preview(&visit.app, &asked.shape, Some(COUNTED_WITHIN)).await?;
        if is_typed(asked.act, &seen) && !typed.text.eq_ignore_ascii_case("delete") {
            typed.fault = Some("type the word delete".to_owned());
        }
    }
    let wrong = StatusCode::UNPROCESSABLE_ENTITY;
    if !is_right || typed.fault.is_some() {
        return asked.draw(&visit, Form { rate, typed, fault: None, status: wrong }).await;
    }
    let request = BulkRequest {
        action: asked.act.action(),
        filter: asked.filter.clone(),
        rate: Some(rate.text.clone()).filter(|text| !text.is_empty()),
        dry_run: false,
        expect: fields.filled("expect").map(|n| read::value("expect", n)).transpose()?,
    };
    match bulk::begin(&visit.app, visit.app.client().new_id(), request, asked.shape.clone()).await {
        Ok(begun) => Ok(visit.go(&at(&visit.frame(""), &begun.id), None)),
        // More jobs than were shown, or as many operations as there may be: the question is asked again as it is now.
        Err(fault) if matches!(fault.0.code.as_str(), "bad_request" | "too_many_operations") => {
            let hint = fault.0.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            let fault = Some(format!("Not begun: {}{hint}", fault.0.detail));
            asked.draw(&visit, Form { rate, typed, fault, status: wrong }).await
        }
        Err(fault) => Err(fault.into()),
    }
}

fn at(f: &Frame, id: &str) -> String {
    format!("{}/bulk/{}", f.base, words::part(id))
}

/// A reason for which jobs refused, with their number.
struct Refused {
    code: String,
    title: String,
    n: String,
}

/// An operation, as pages show it.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) at: String,
    pub(crate) label: &'static str,
    pub(crate) filter: String,
    pub(crate) jobs_at: String,
    pub(crate) stage: &'static str,
    /// The icon of the stage, which its colour follows too.
    pub(crate) icon: &'static str,
    pub(crate) is_open: bool,
    pub(crate) is_paused: bool,
    pub(crate) why: Option<String>,
    /// How far it is, and how far it goes, if that is known.
    pub(crate) bar: Option<(u64, u64)>,
    /// The same in words.
    pub(crate) progress: String,
    pub(crate) done: String,
    pub(crate) refused: String,
    pub(crate) has_refused: bool,
    pub(crate) examined: String,
    pub(crate) asked_rate: Option<String>,
    pub(crate) speed: String,
    pub(crate) left: Option<String>,
    pub(crate) began: When,
    /// Who began it.
    pub(crate) by: Option<String>,
    pub(crate) ended: Option<When>,
    pub(crate) lost: u32,
}

impl Operation {
    pub(crate) fn of(f: &Frame, bulk: &Bulk, now: Time) -> Self {
        let refused: u64 = bulk.refused.values().sum();
        let passed = bulk.done + refused;
        // What came after the beginning is met as well: more than all is not shown.
        let expected = bulk.expected.map(|n| n.max(passed)).or((bulk.stage == Stage::Done).then_some(passed));
        let took = bulk.ended_at.unwrap_or(now).since(bulk.began_at).max(1);
        let speed = passed as f64 * 1_000.0 / took as f64;
        let filter = jobs::spelled(&bulk.filter);
        Self {
            id: bulk.id.clone(),
            at: at(f, &bulk.id),
            label: Act::doing(bulk.action).label(),
            jobs_at: words::jobs_at(&f.base, &filter),
            filter,
            stage: bulk.stage.as_str(),
            icon: icon(bulk.stage),
            is_open: bulk.stage.is_open(),
            is_paused: bulk.stage == Stage::Paused,
            why: bulk.why.clone(),
            bar: expected.map(|all| if all == 0 { (1, 1) } else { (passed, all) }),
            progress: match expected {
                Some(all) => format!(
                    "{} of {} ({} %)",
                    words::count(passed),
                    words::many(all, "job", "jobs"),
                    (passed * 100).checked_div(all).unwrap_or(100)
                ),
                None => format!("{} so far", words::many(passed, "job", "jobs")),
            },
            done: words::count(bulk.done),
            refused: words::count(refused),
            has_refused: refused > 0,
            examined: words::count(bulk.examined),
            asked_rate: bulk.rate.clone(),
            speed: if speed >= 10.0 { words::count(speed as u64) } else { format!("{speed:.1}") },
            left: left(bulk, passed, speed),
            began: words::when(bulk.began_at, now),
            by: bulk.by.clone(),
            ended: words::some_when(bulk.ended_at, now),
            lost: bulk.lost,
        }
    }
}

/// How long a running operation still takes, at the rate that was asked for or at the speed it had so far.
fn left(bulk: &Bulk, passed: u64, speed: f64) -> Option<String> {
    let left = bulk.expected?.checked_sub(passed).filter(|_| bulk.stage == Stage::Running && passed > 0)?;
    let asked = bulk.rate.as_deref().and_then(|text| rate::parse(text).ok());
    let asked = asked.map(|rate| f64::from(rate.count) * 1_000.0 / rate.period_ms.max(1) as f64);
    let speed = asked.unwrap_or(speed);
    (speed > 0.0).then(|| words::span((left as f64 * 1_000.0 / speed) as u64))
}

fn icon(stage: Stage) -> &'static str {
    match stage {
        Stage::Running => "running",
        Stage::Paused => "paused",
        Stage::Done => "completed",
        Stage::Aborted => "cancelled",
        Stage::Failed => "dead",
    }
}

#[derive(Template)]
#[template(path = "operation.html")]
struct OperationPage {
    f: Frame,
    o: Operation,
    reasons: Vec<Refused>,
    named: Vec<(String, String, String)>,
    new_at: String,
}

/// `GET /bulk/{id}`.
pub(crate) async fn page(visit: Visit, Path(id): Path<String>) -> Reply {
    let found = bulk::all(&visit.app).await?.into_iter().find(|bulk| bulk.id == id);
    let hint = "the last fifty operations that ended are remembered";
    let bulk = found.ok_or_else(|| Fault::not_found(format!("operation {id}")).hint(hint))?;
    let mut f = visit.frame("bulk");
    // The step that was under way when it was ended is counted a moment later, and no event says so.
    let settles = bulk.ended_at.is_some_and(|at| visit.now.since(at) < SETTLES_MS);
    f.every = if bulk.stage.is_open() || settles { AGAIN_EVERY } else { 0 };
    let reasons = bulk.refused.iter().map(|(code, n)| Refused {
        title: Problem::new(code, "").title,
        code: code.clone(),
        n: words::many(*n, "job", "jobs"),
    });
    let named = bulk.refused_first.iter().map(|(id, code)| (id.to_string(), f.job(id), code.clone()));
    show(&OperationPage {
        reasons: reasons.collect(),
        named: named.collect(),
        new_at: Offer::of(&f, Act::doing(bulk.action), &bulk.filter).at,
        o: Operation::of(&f, &bulk, visit.now),
        f,
    })
}

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    f: Frame,
    rows: Vec<Operation>,
}

/// `GET /bulk`: those that are open first, then the newest.
pub(crate) async fn list(visit: Visit) -> Reply {
    let mut all = bulk::all(&visit.app).await?;
    all.sort_by_key(|bulk| (!bulk.stage.is_open(), std::cmp::Reverse(bulk.began_at)));
    let mut f = visit.frame("bulk");
    f.every = if all.iter().any(|bulk| bulk.stage.is_open()) { AGAIN_EVERY } else { 10 };
    let rows = all.iter().map(|bulk| Operation::of(&f, bulk, visit.now)).collect();
    show(&OperationsPage { rows, f })
}

/// Those that are open, newest first, for the overview.
pub(crate) async fn open(visit: &Visit, f: &Frame) -> Result<Vec<Operation>, Fault> {
    let all = bulk::all(&visit.app).await?;
    let open = all.iter().rev().filter(|bulk| bulk.stage.is_open());
    Ok(open.map(|bulk| Operation::of(f, bulk, visit.now)).collect())
}

/// `POST /bulk/{id}/pause`, `resume` and `abort`.
pub(crate) async fn steer(visit: Visit, Path((id, word)): Path<(String, String)>, fields: Fields) -> Reply {
    let (stage, done) = match word.as_str() {
        "pause" => (Stage::Paused, "The operation is paused."),
        "resume" => (Stage::Running, "The operation goes on."),
        "abort" => (Stage::Aborted, "The operation is ended. What was done stays done."),
        _ => {
            let fault = format!("there is no {word:?} for an operation; there are pause, resume and abort");
            return Err(Fault::bad_request(fault).into());
        }
    };
    let flash = match bulk::steer(&visit.app, &id, stage).await {
        Ok(_) => Flash::good(done),
        // It came to its end before the click.
        Err(fault) if fault.0.status == 400 => Flash::bad(format!("Not done: {}.", fault.0.detail)),
        Err(fault) => return Err(fault.into()),
    };
    Ok(back(&visit, &fields, &at(&visit.frame(""), &id), flash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> FilterShape {
        let mut shape = FilterShape::default();
        shape.add(text).expect("a filter");
        shape
    }

    #[test]
    fn what_ended_well_is_retried_only_if_it_is_named() {
        let states = |act, text| narrowed(act, &shape(text)).and_then(|shape| shape.state);
        assert_eq!(states(Act::Retry, "queue:q").as_deref(), Some("dead"));
        assert_eq!(states(Act::Retry, "queue:q state:completed,ready").as_deref(), Some("completed"));
        assert_eq!(states(Act::Retry, "state:ready"), None);
        assert_eq!(states(Act::RunNow, "queue:q").as_deref(), Some("scheduled,retrying"));
    }

    #[test]
    fn a_store_is_not_emptied_by_two_clicks() {
        assert_eq!(narrowed(Act::Delete, &shape("")), None);
        assert_eq!(narrowed(Act::Cancel, &shape("")), None);
        assert!(narrowed(Act::Retry, &shape("")).is_some());
        let all = narrowed(Act::Delete, &shape("queue:q")).and_then(|shape| shape.state).unwrap_or_default();
        assert!(!all.contains("running") && all.contains("dead") && all.contains("ready"), "{all}");
    }
}

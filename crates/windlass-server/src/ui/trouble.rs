//! What is wrong now: what a person should look into, the worst first.
//!
//! Everything is read from counts, and the questions that go beyond them are bounded: a store with a thousand troubled
//! queues is asked about [`ASKED_MOST`] of them.

use std::collections::BTreeMap;

use windlass_api::monitor::{Incident, Severity, Stage, When as Watched};
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::{FailureMode, Filter, LimitInfo, QueueInfo, StoreInfo, WorkerInfo};
use windlass_core::why::Reason;
use windlass_core::{State, StoreError, Time};
use windlass_look::Frame;

use super::visit::Visit;
use super::words::{self, When};
use crate::answer::Fault;
use crate::failures::Marks;
use crate::monitor;
use crate::standing::{Standing, has_worker, is_old, is_silent};

/// Queues that are asked why their jobs wait, or which of their groups are shut.
const ASKED_MOST: usize = 20;
/// Groups of such a queue that are looked at.
const GROUPS_LOOKED_AT: usize = 100;
/// Jobs looked at to find a ready one.
const BUDGET: usize = 10_000;
/// Failure modes told of one queue.
const MODES_TOLD: usize = 3;
/// A rate that closes a limit for less is at work, not in the way.
const CLOSED_MS: u64 = 5_000;

/// One thing that is wrong.
pub(crate) struct Trouble {
    /// Whether jobs do not get done; if not, it is worth knowing.
    pub(crate) is_bad: bool,
    /// What it is about.
    pub(crate) what: String,
    /// Where to look.
    pub(crate) at: String,
    /// What is wrong with it.
    pub(crate) text: String,
    /// Since when, or until when, and the word before it.
    pub(crate) when: Option<When>,
    pub(crate) when_word: &'static str,
    /// The failure modes with most of them, for dead jobs.
    pub(crate) modes: Vec<Mode>,
}

/// A failure mode in a line.
pub(crate) struct Mode {
    pub(crate) title: String,
    pub(crate) at: String,
    pub(crate) dead: String,
    pub(crate) last_seen: When,
}

/// What the overview has read already.
pub(crate) struct Seen<'a> {
    pub(crate) info: &'a StoreInfo,
    pub(crate) queues: &'a [QueueInfo],
    pub(crate) workers: &'a [WorkerInfo],
    pub(crate) modes: &'a [FailureMode],
    pub(crate) marks: &'a Marks,
    pub(crate) limits: &'a [LimitInfo],
}

/// Everything that is wrong.
pub(crate) async fn find(visit: &Visit, seen: &Seen<'_>) -> Result<Vec<Trouble>, Fault> {
    let f = visit.frame("overview");
    let mut all = of_store(&f, seen.info);
    let mut asked = 0;
    for info in seen.queues {
        let troubled = info.counts.of(State::Dead) > 0 || is_old(info, visit.now);
        all.extend(of_queue(&f, info, has_worker(info, seen.workers), visit.now));
        all.extend(of_dead(&f, info, seen, visit.now));
        if troubled && asked < ASKED_MOST {
            asked += 1;
            all.extend(of_waiting(visit, &f, info, has_worker(info, seen.workers)).await?);
            all.extend(of_groups(visit, &f, info).await?);
        }
    }
    all.extend(seen.limits.iter().filter_map(|limit| of_limit(&f, limit, visit.now)));
    all.extend(seen.workers.iter().filter_map(|worker| of_worker(&f, worker, visit.now)));
    let incidents = monitor::incidents_shown(&visit.app).await?;
    let (new, others): (Vec<_>, Vec<_>) = incidents
        .into_iter()
        .filter(|incident| !is_dealt_with(incident, seen))
        .partition(|incident| incident.when == Watched::NewFailureMode);
    all.extend(others.into_iter().filter_map(|incident| of_incident(&f, incident, visit.now)));
    all.extend(of_new_modes(&f, new, visit.now));
    all.sort_by_key(|trouble| !trouble.is_bad);
    Ok(all)
}

fn trouble(is_bad: bool, what: impl Into<String>, at: String, text: impl Into<String>) -> Trouble {
    Trouble { is_bad, what: what.into(), at, text: text.into(), when: None, when_word: "", modes: Vec::new() }
}

fn of_store(f: &Frame, info: &StoreInfo) -> Vec<Trouble> {
    let at = || format!("{}/workers#store", f.base);
    let low = "runs out of space: it takes no new jobs, and running work goes on";
    let low = info.space_low.then(|| trouble(true, "The store", at(), low));
    low.into_iter()
        .chain(info.warnings.iter().map(|warning| trouble(false, "The store", at(), warning)))
        .collect()
}

fn of_queue(f: &Frame, info: &QueueInfo, has_worker: bool, now: Time) -> Option<Trouble> {
    let ready = words::many(info.counts.of(State::Ready), "ready job", "ready jobs");
    let (is_bad, text) = match Standing::of(info, has_worker) {
        Standing::Paused => (false, format!("is paused and has {ready}")),
        Standing::Closed => (false, format!("is closed by a concurrency of 0 and has {ready}")),
        Standing::NoWorker => (true, format!("has {ready} and no worker")),
        Standing::Full => {
            let most = words::count(info.settings.max_waiting.unwrap_or_default());
            (true, format!("is full: {most} jobs wait, as many as may, and enqueues are refused"))
        }
        Standing::Working | Standing::Waiting | Standing::Idle => return None,
    };
    let mut told = trouble(is_bad, info.name.as_str(), f.queue(&info.name), text);
    (told.when, told.when_word) = (words::some_when(info.oldest_ready, now), "the oldest");
    Some(told)
}

/// Dead jobs, with the modes that most of them died of; without those of modes that are muted or resolved.
fn of_dead(f: &Frame, info: &QueueInfo, seen: &Seen<'_>, now: Time) -> Option<Trouble> {
    let modes = seen.modes.iter().filter(|mode| mode.queue == info.name && mode.dead > 0);
    let (mut open, known): (Vec<&FailureMode>, Vec<_>) =
        modes.partition(|mode| seen.marks.state(mode).is_trouble());
    let known: u64 = known.iter().map(|mode| mode.dead).sum();
    let dead = info.counts.of(State::Dead).saturating_sub(known);
    if dead == 0 {
        return None;
    }
    open.sort_by_key(|mode| (std::cmp::Reverse(mode.dead), std::cmp::Reverse(mode.last_seen)));
    let at = f.jobs(&[("queue", info.name.as_str()), ("state", "dead")]);
    let mut text = format!("has {}", words::many(dead, "dead job", "dead jobs"));
    if open.len() > MODES_TOLD {
        text = format!("{text} of {} failure modes, most of these", words::count(open.len() as u64));
    }
    if known > 0 {
        text = format!("{text}, and {} of failure modes that are muted or resolved", words::count(known));
    }
    let mut told = trouble(true, info.name.as_str(), at, text);
    told.modes = open.into_iter().take(MODES_TOLD).map(|mode| Mode::of(f, mode, now)).collect();
    Some(told)
}

impl Mode {
    fn of(f: &Frame, mode: &FailureMode, now: Time) -> Self {
        Self {
            title: mode.title.clone(),
            at: jobs_of_mode(f, mode),
            dead: words::count(mode.dead),
            last_seen: words::when(mode.last_seen, now),
        }
    }
}

/// The jobs of a mode: the dead ones, if there are any. What is counted under `other` has many fingerprints, so its link is the queue's dead jobs.
pub(crate) fn jobs_of_mode(f: &Frame, mode: &FailureMode) -> String {
    let print = mode.fingerprint.to_string();
    let mut conditions = vec![("queue", mode.queue.as_str())];
    if mode.dead > 0 {
        conditions.push(("state", "dead"));
    }
    if mode.fingerprint != Fingerprint::default() {
        conditions.push(("fingerprint", &print));
    }
    f.jobs(&conditions)
}

/// Ready jobs that wait too long although somebody could take them: one of them says why.
async fn of_waiting(
    visit: &Visit,
    f: &Frame,
    info: &QueueInfo,
    has_worker: bool,
) -> Result<Option<Trouble>, StoreError> {
    let known =
        matches!(Standing::of(info, has_worker), Standing::Paused | Standing::Closed | Standing::NoWorker);
    if known || !is_old(info, visit.now) {
        return Ok(None);
    }
    let filter = Filter { queue: Some(info.name.clone()), states: vec![State::Ready], ..Filter::default() };
    let page = visit.store().list(filter, None, 1, BUDGET).await?.unwrap_or_default();
    let mut text = "has a ready job that waits for more than a minute".to_owned();
    if let Some(job) = page.items.first()
        && let Ok(mut why) = visit.store().why(job.id, None).await?
    {
        visit.app.options().push.explain(&mut why, &info.name, visit.now);
        match why.reason {
            // It was taken meanwhile.
            Reason::Running | Reason::Ended => {}
            // Nothing holds it back but that those who work are at work.
            Reason::FairShare => text.push_str(" for a free worker"),
            _ => text = format!("{text}: {}", why.detail),
        }
    }
    let at = f.jobs(&[("queue", info.name.as_str()), ("state", "ready")]);
    let mut told = trouble(false, info.name.as_str(), at, text);
    (told.when, told.when_word) = (words::some_when(info.oldest_ready, visit.now), "ready since");
    Ok(Some(told))
}

/// Groups that the death of their head has shut, and groups that are held.
async fn of_groups(visit: &Visit, f: &Frame, info: &QueueInfo) -> Result<Vec<Trouble>, StoreError> {
    if info.groups == 0 {
        return Ok(Vec::new());
    }
    let page = visit.store().groups(info.name.clone(), None, GROUPS_LOOKED_AT).await?;
    let shut = page.items.iter().filter(|group| group.shut_by.is_some()).count() as u64;
    let held =
        page.items.iter().filter(|group| group.held_until.is_some_and(|at| at > visit.now)).count() as u64;
    let at = || format!("{}#groups", f.queue(&info.name));
    let mut all = Vec::new();
    if shut > 0 {
        let text = format!("has {} shut by a dead head", words::many(shut, "group", "groups"));
        all.push(trouble(true, info.name.as_str(), at(), text));
    }
    if held > 0 {
        let text = format!("has {} held by a worker's word", words::many(held, "group", "groups"));
        all.push(trouble(false, info.name.as_str(), at(), text));
    }
    Ok(all)
}

/// Whether somebody has muted the failure mode that the incident is about, or declared it solved: the monitor's next look
/// ends it.
fn is_dealt_with(incident: &Incident, seen: &Seen<'_>) -> bool {
    // A mode that came back after it was solved is known by when that was, behind an @.
    let print = incident.fingerprint.as_deref().map(|print| print.split('@').next().unwrap_or(print));
    let is_it = |mode: &&FailureMode| {
        mode.queue.as_str() == incident.subject && Some(mode.fingerprint.to_string().as_str()) == print
    };
    seen.modes.iter().find(is_it).is_some_and(|mode| !seen.marks.state(mode).is_trouble())
}

/// What a rule has found that is seen only over time. What can be seen by a look at the counts is told above.
fn of_incident(f: &Frame, incident: Incident, now: Time) -> Option<Trouble> {
    let is_news = match incident.when {
        Watched::Dead
        | Watched::DeadAge
        | Watched::OldestReady
        | Watched::NoWorker
        | Watched::Paused
        | Watched::SpaceLow => false,
        Watched::DeadRate
        | Watched::DeadShare
        | Watched::NewFailureMode
        | Watched::NearlyFull
        | Watched::ScheduleMissed
        | Watched::StoreSilent => true,
    };
    if !is_news || !is_shown(&incident) {
        return None;
    }
    let at = format!("{}{}", f.base, incident.page);
    let mut told = trouble(incident.severity == Severity::Critical, incident.subject, at, incident.text);
    (told.when, told.when_word) = (Some(words::when(incident.since, now)), "since");
    Some(told)
}

/// Failure modes that were not seen before: a queue that fails in many new ways has one cause, most likely, and one row.
fn of_new_modes(f: &Frame, incidents: Vec<Incident>, now: Time) -> Vec<Trouble> {
    let mut by_queue: BTreeMap<String, Vec<Incident>> = BTreeMap::new();
    for incident in incidents.into_iter().filter(is_shown) {
        by_queue.entry(incident.subject.clone()).or_default().push(incident);
    }
    let of_queue = |(queue, mut new): (String, Vec<Incident>)| {
        if new.len() == 1 {
            return new.pop().and_then(|incident| of_incident(f, incident, now));
        }
        let text = format!("fails in {} new ways", words::count(new.len() as u64));
        let is_bad = new.iter().any(|incident| incident.severity == Severity::Critical);
        let at = format!("{}/errors?queue={}", f.base, words::part(&queue));
        let mut told = trouble(is_bad, queue, at, text);
        let since = new.iter().map(|incident| incident.since).max();
        (told.when, told.when_word) = (words::some_when(since, now), "the newest");
        Some(told)
    };
    by_queue.into_iter().filter_map(of_queue).collect()
}

fn is_shown(incident: &Incident) -> bool {
    incident.stage == Stage::Firing && incident.acknowledged_until.is_none()
}

fn of_limit(f: &Frame, limit: &LimitInfo, now: Time) -> Option<Trouble> {
    if limit.waiting_lanes == 0 {
        return None;
    }
    let until = limit.closed_until.filter(|at| at.since(now) > CLOSED_MS);
    let text = match until {
        _ if limit.settings.concurrency == Some(0) => "is closed by a concurrency of 0, and jobs wait for it",
        Some(_) => "is closed, and jobs wait for it; it opens",
        None => return None,
    };
    let mut told = trouble(false, format!("limit {}", limit.name), format!("{}/limits", f.base), text);
    told.when = words::some_when(until, now);
    Some(told)
}

fn of_worker(f: &Frame, worker: &WorkerInfo, now: Time) -> Option<Trouble> {
    if !is_silent(worker, now) {
        return None;
    }
    let text = format!(
        "on {} holds {} and was last heard of",
        worker.hello.host,
        words::many(worker.running, "job", "jobs")
    );
    let mut told = trouble(true, worker.hello.worker.to_string(), format!("{}/workers", f.base), text);
    told.when = Some(words::when(worker.seen_at, now));
    Some(told)
}

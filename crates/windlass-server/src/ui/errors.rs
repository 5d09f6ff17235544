//! Failure modes: the few faults behind the many dead jobs.

use askama::Template;
use windlass_api::filter::FilterShape;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::FailureMode;
use windlass_core::{QueueName, State, Time};

use super::bulk::Act;
use super::operations::Offer;
use super::page::{Reply, show};
use super::trouble::jobs_of_mode;
use super::visit::{Frame, Visit};
use super::words::{self, When};
use crate::read::Pairs;

/// Modes of a page, those with most dead jobs first.
const MODES_SHOWN: usize = 200;

/// A failure mode in a table.
pub(crate) struct ModeRow {
    pub(crate) title: String,
    pub(crate) fingerprint: String,
    pub(crate) at: String,
    pub(crate) dead: u64,
    pub(crate) dead_said: String,
    pub(crate) failures: String,
    pub(crate) queue: String,
    pub(crate) queue_at: String,
    pub(crate) kind: String,
    pub(crate) first_seen: When,
    pub(crate) last_seen: When,
    pub(crate) sample: String,
    pub(crate) sample_short: String,
    /// What can be done to all of its dead jobs.
    pub(crate) offers: Vec<Offer>,
}

impl ModeRow {
    pub(crate) fn of(f: &Frame, mode: &FailureMode, now: Time) -> Self {
        Self {
            title: mode.title.clone(),
            fingerprint: mode.fingerprint.to_string(),
            at: jobs_of_mode(f, mode),
            dead: mode.dead,
            dead_said: words::count(mode.dead),
            failures: words::count(mode.failures),
            queue: mode.queue.to_string(),
            queue_at: f.queue(&mode.queue),
            kind: mode.kind.to_string(),
            first_seen: When::new(mode.first_seen, now),
            last_seen: When::new(mode.last_seen, now),
            sample: f.job(mode.sample),
            sample_short: words::short(mode.sample),
            offers: offers(f, mode),
        }
    }
}

/// What is counted under `other` has many fingerprints: its jobs cannot be named together.
fn offers(f: &Frame, mode: &FailureMode) -> Vec<Offer> {
    if mode.dead == 0 || mode.fingerprint == Fingerprint::default() {
        return Vec::new();
    }
    let shape = FilterShape {
        queue: Some(mode.queue.to_string()),
        state: Some(State::Dead.to_string()),
        fingerprint: Some(mode.fingerprint.to_string()),
        ..FilterShape::default()
    };
    [Act::Retry, Act::Delete].map(|act| Offer::of(f, act, &shape)).into()
}

#[derive(Template)]
#[template(path = "errors.html")]
struct ErrorsPage {
    f: Frame,
    queue: Option<String>,
    rows: Vec<ModeRow>,
    is_full: bool,
}

/// `GET /errors`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let queue = query.take_value::<QueueName>("queue")?;
    query.end("queue")?;
    let modes = visit.store().errors(queue.clone(), MODES_SHOWN).await?;
    let f = visit.frame("errors");
    let rows: Vec<ModeRow> = modes.iter().map(|mode| ModeRow::of(&f, mode, visit.now)).collect();
    let is_full = rows.len() == MODES_SHOWN;
    show(&ErrorsPage { queue: queue.map(|queue| queue.to_string()), rows, is_full, f })
}

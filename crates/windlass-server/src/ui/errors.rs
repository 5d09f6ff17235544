//! Failure modes: the few faults behind the many dead jobs.

use askama::Template;
use axum::extract::Path;
use windlass_api::failure::FailureState;
use windlass_api::filter::FilterShape;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::FailureMode;
use windlass_core::{QueueName, State, Time};
use windlass_look::{Flash, Frame};

use super::bulk::Act;
use super::form::{Fields, back, spelled};
use super::operations::Offer;
use super::page::{Reply, show};
use super::trouble::jobs_of_mode;
use super::visit::Visit;
use super::words::{self, When};
use crate::answer::Fault;
use crate::failures::{self, Marks, Word, is_new};
use crate::read::{self, Pairs};

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
    pub(crate) state: FailureState,
    pub(crate) is_new: bool,
    /// What can be said about it: the word of the address, and of the button.
    pub(crate) words: &'static [(&'static str, &'static str)],
}

impl ModeRow {
    pub(crate) fn of(f: &Frame, mode: &FailureMode, marks: &Marks, now: Time) -> Self {
        let state = marks.state(mode);
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
            first_seen: words::when(mode.first_seen, now),
            last_seen: words::when(mode.last_seen, now),
            sample: f.job(mode.sample),
            sample_short: words::short(mode.sample),
            offers: offers(f, mode),
            state,
            is_new: is_new(mode, now) && state == FailureState::Open,
            words: if mode.fingerprint == Fingerprint::default() { &[] } else { words_of(state) },
        }
    }
}

/// What can be said about a mode that stands so.
fn words_of(state: FailureState) -> &'static [(&'static str, &'static str)] {
    match state {
        FailureState::Open | FailureState::Regressed => &[("resolve", "Resolve"), ("mute", "Mute")],
        FailureState::Muted | FailureState::Resolved => &[("reopen", "Reopen")],
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
    tabs: Vec<Tab>,
    rows: Vec<ModeRow>,
    /// How many there are that the page does not show.
    more: Option<String>,
    /// Whether anything has failed, whatever is shown of it.
    has_failed: bool,
}

/// A choice of what is shown.
struct Tab {
    label: &'static str,
    n: String,
    at: String,
    is_here: bool,
}

/// What is shown: a word of the address, its name, and the states that it has.
const SHOWN: [(&str, &str, &[FailureState]); 4] = [
    ("open", "Open", &[FailureState::Open, FailureState::Regressed]),
    ("muted", "Muted", &[FailureState::Muted]),
    ("resolved", "Resolved", &[FailureState::Resolved]),
    ("all", "All", &FailureState::ALL),
];

/// `GET /errors`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let queue = query.take_value::<QueueName>("queue")?;
    let show_word = query.take("show")?;
    query.end("queue and show")?;
    let here = show_word.as_deref().unwrap_or(SHOWN[0].0);
    let states = SHOWN.iter().find(|(word, ..)| *word == here).map(|(.., states)| *states);
    let states = states.ok_or_else(|| Fault::bad_request("show is open, muted, resolved or all"))?;
    let (modes, marks) =
        tokio::try_join!(visit.store().errors(queue.clone(), usize::MAX), Marks::read(&visit.app))?;
    let mut f = visit.frame("errors");
    f.every = 10;
    let of =
        |states: &[FailureState]| modes.iter().filter(|mode| states.contains(&marks.state(mode))).count();
    let tabs = SHOWN.map(|(word, label, states)| {
        let mut fields = vec![("show", word)];
        fields.extend(queue.as_ref().map(|queue| ("queue", queue.as_str())));
        let at = format!("{}/errors?{}", f.base, spelled(fields));
        Tab { label, n: words::count(of(states) as u64), at, is_here: word == here }
    });
    let shown = modes.iter().filter(|mode| states.contains(&marks.state(mode)));
    let rows: Vec<ModeRow> =
        shown.take(MODES_SHOWN).map(|mode| ModeRow::of(&f, mode, &marks, visit.now)).collect();
    let more = of(states) - rows.len();
    show(&ErrorsPage {
        queue: queue.map(|queue| queue.to_string()),
        tabs: tabs.into(),
        more: (more > 0).then(|| words::count(more as u64)),
        has_failed: !modes.is_empty(),
        rows,
        f,
    })
}

/// `POST /errors/{fingerprint}/mute`, `resolve` and `reopen`.
pub(crate) async fn mark(
    visit: Visit,
    Path((fingerprint, word)): Path<(String, String)>,
    fields: Fields,
) -> Reply {
    let print: Fingerprint = read::value("fingerprint", &fingerprint)?;
    let word = Word::of(&word)?;
    let marked = failures::say(&visit.app, print, word).await?;
    let title = marked.first().map_or_else(String::new, |marked| marked.mode.title.clone());
    let done = match word {
        Word::Mute => "is muted: it is nobody's trouble until somebody reopens it.",
        Word::Resolve => "is resolved: it is told again once another job fails so.",
        Word::Reopen => "is open again.",
    };
    let flash = Flash::good(format!("“{title}” {done}"));
    Ok(back(&visit, &fields, &format!("{}/errors", visit.base()), flash))
}

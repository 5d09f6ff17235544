//! What people have said about failure modes: muted, or resolved. The store keeps it, so all servers before it know.
//!
//! A mode that nobody spoke of is open. A muted one is nobody's trouble until somebody reopens it; a resolved one until
//! it fails again: then it has regressed. What is said holds for the failure mode in all queues.
//!
//! [`Marks::read`] once for a page or a round of a monitor, then [`Marks::state`] for each mode.

use serde::{Deserialize, Serialize};
use windlass_api::event::FailureModeShape;
use windlass_api::failure::{FailureState, MarkedFailureMode};
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::FailureMode;
use windlass_core::{StoreError, Time};

use crate::answer::Fault;
use crate::app::App;
use crate::kept::Place;

/// Where the store keeps them.
const PLACE: Place<Marks> = Place::new("windlass.failures", "the list of what was said about failure modes");
/// Modes that something is kept of, those spoken of last: as many as a store tells apart in a queue.
const MARKS_MOST: usize = 1_000;
/// How long a mode is new: whoever looks once a day sees each new one once.
const NEW_MS: u64 = 24 * 60 * 60 * 1_000;

/// What somebody says about a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    Mute,
    Resolve,
    Reopen,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Word::Mute => "mute",
            Word::Resolve => "resolve",
            Word::Reopen => "reopen",
        }
    }

    /// The word of an address.
    pub(crate) fn of(text: &str) -> Result<Self, Fault> {
        match text {
            "mute" => Ok(Word::Mute),
            "resolve" => Ok(Word::Resolve),
            "reopen" => Ok(Word::Reopen),
            _ => Err(Fault::bad_request(format!(
                "there is no {text:?} for a failure mode; there are mute, resolve and reopen"
            ))),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    fingerprint: Fingerprint,
    word: Word,
    #[serde(with = "windlass_api::time")]
    at: Time,
}

/// Everything that was said and still holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Marks(Vec<Mark>);

impl Marks {
    /// What is said now.
    pub(crate) async fn read(app: &App) -> Result<Self, StoreError> {
        Ok(PLACE.read(app.by_itself().store().as_ref()).await?.0)
    }

    /// What a person has to do with that mode.
    pub(crate) fn state(&self, mode: &FailureMode) -> FailureState {
        match self.0.iter().find(|mark| mark.fingerprint == mode.fingerprint) {
            Some(Mark { word: Word::Mute, .. }) => FailureState::Muted,
            Some(Mark { word: Word::Resolve, at, .. }) if mode.last_seen > *at => FailureState::Regressed,
            Some(Mark { word: Word::Resolve, .. }) => FailureState::Resolved,
            Some(Mark { word: Word::Reopen, .. }) | None => FailureState::Open,
        }
    }

    /// When it was said that a mode was dealt with, if it has come again since.
    pub(crate) fn resolved_before(&self, mode: &FailureMode) -> Option<Time> {
        let mark = self.0.iter().find(|mark| mark.fingerprint == mode.fingerprint)?;
        (self.state(mode) == FailureState::Regressed).then_some(mark.at)
    }

    /// The mode with its state.
    pub(crate) fn marked(&self, mode: FailureMode, now: Time) -> MarkedFailureMode {
        let (state, new) = (self.state(&mode), is_new(&mode, now));
        MarkedFailureMode { mode: FailureModeShape::from(mode), state, new }
    }
}

/// Whether a mode was first seen not long ago.
pub(crate) fn is_new(mode: &FailureMode, now: Time) -> bool {
    now.since(mode.first_seen) < NEW_MS
}

/// Says something about a mode that some queue knows, and gives it back as it is in each of them.
pub(crate) async fn say(
    app: &App,
    fingerprint: Fingerprint,
    word: Word,
) -> Result<Vec<MarkedFailureMode>, Fault> {
    app.caller().whole("words about failure modes")?;
    let mut modes = app.store().errors(None, usize::MAX).await?;
    modes.retain(|mode| mode.fingerprint == fingerprint);
    if modes.is_empty() {
        return Err(Fault::not_found(format!("failure mode {fingerprint}")));
    }
    let now = app.client().now();
    let change = |marks: &mut Marks| {
        marks.0.retain(|mark| mark.fingerprint != fingerprint);
        if word != Word::Reopen {
            marks.0.push(Mark { fingerprint, word, at: now });
        }
        let surplus = marks.0.len().saturating_sub(MARKS_MOST);
        marks.0.drain(..surplus);
        Ok(marks.clone())
    };
    let marks = PLACE.change(app.by_itself().store().as_ref(), change).await?;
    app.note(&format!("{} failure mode {fingerprint}", word.as_str()));
    Ok(modes.into_iter().map(|mode| marks.marked(mode, now)).collect())
}

//! What the monitor knows, as the store keeps it: incidents, silences, what waits at which channel, and what it has seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_api::monitor::{Incident, Notice, Stage};
use windlass_core::{StoreError, Time};

use crate::answer::Fault;
use crate::app::App;
use crate::kept::Place;

/// Where the store keeps it.
const PLACE: Place<Record> = Place::new("windlass.monitor.record", "the record of the monitor");
/// Incidents that go on at once. More are not told apart by any person; they come up as others end.
pub(super) const OPEN_MOST: usize = 200;
/// Incidents that are over and remembered, the newest: what a page of people shows.
pub(super) const ENDED_MOST: usize = 100;
/// Failure modes that are remembered as seen, the newest; an older one would count as new again.
pub(super) const MODES_MOST: usize = 2_000;
/// Queues whose deaths are followed, those with the newest.
pub(super) const DEATHS_MOST: usize = 300;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Oldest first.
    #[serde(default)]
    pub(super) incidents: Vec<Kept>,
    #[serde(default)]
    pub(super) silences: Vec<Silence>,
    /// By channel.
    #[serde(default)]
    pub(super) posts: BTreeMap<String, Post>,
    /// Failure modes that were seen, the oldest first; none before a rule has looked for new ones.
    #[serde(default)]
    pub(super) modes: Option<Vec<Mode>>,
    /// Deaths by queue; none before a rule has looked for them.
    #[serde(default)]
    pub(super) deaths: Option<BTreeMap<String, Vec<Deaths>>>,
}

/// An incident, and since when what it found is no longer so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(flatten)]
    pub(super) incident: Incident,
    #[serde(default)]
    pub(super) calm_since: Option<Time>,
    /// When its text was written down last.
    #[serde(default)]
    pub(super) text_at: Time,
}

impl Kept {
    pub(super) fn is_open(&self) -> bool {
        self.incident.stage != Stage::Recovered
    }
}

/// Nothing is told of that rule and subject until then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Silence {
    pub(super) rule: String,
    pub(super) subject: String,
    pub(super) until: Time,
}

/// A failure mode that was seen: its queue and its fingerprint.
pub(super) type Mode = (String, String);

/// How many jobs of a queue had died by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deaths {
    pub(super) at: Time,
    pub(super) died: u64,
}

/// What is to be told of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    Fired,
    Reminded,
    Recovered,
}

/// What waits at a channel, and how it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Post {
    /// Incidents that are to be told, by id, in their order.
    #[serde(default)]
    pub(super) waiting: Vec<(String, Change)>,
    /// When the first of them came.
    #[serde(default)]
    pub(super) waiting_since: Option<Time>,
    /// The notice that is on its way.
    #[serde(default)]
    pub(super) sending: Option<Sending>,
    /// When notices went out within the last hour.
    #[serde(default)]
    pub(super) sent_at: Vec<Time>,
    /// When the last one did.
    #[serde(default)]
    pub(super) delivered_at: Option<Time>,
    /// Tries that failed since then.
    #[serde(default)]
    pub(super) failures: u32,
    #[serde(default)]
    pub(super) error: Option<String>,
}

/// A notice on its way: it is the server's that took it, until that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sending {
    pub(super) notice: Notice,
    pub(super) owner: Option<String>,
    /// Until when it is the owner's; without one, when the next try comes.
    pub(super) until: Time,
    pub(super) began_at: Time,
}

/// The record as it stands.
pub(super) async fn read(app: &App) -> Result<Record, StoreError> {
    Ok(PLACE.read(app.by_itself().store().as_ref()).await?.0)
}

/// Changes the record. What is as it was is not written.
pub(super) async fn change<T>(
    app: &App,
    mut how: impl FnMut(&mut Record) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let change = |record: &mut Record| {
        let answer = how(record)?;
        record.shorten();
        Ok(answer)
    };
    PLACE.change(app.by_itself().store().as_ref(), change).await
}

impl Record {
    /// The incident of that id.
    pub(super) fn incident(&mut self, id: &str) -> Option<&mut Kept> {
        self.incidents.iter_mut().find(|kept| kept.incident.id == id)
    }

    /// Forgets what is beyond the bounds, the oldest first.
    fn shorten(&mut self) {
        let ended = self.incidents.iter().filter(|kept| !kept.is_open()).count();
        let mut surplus = ended.saturating_sub(ENDED_MOST);
        self.incidents.retain(|kept| {
            let goes = surplus > 0 && !kept.is_open();
            surplus -= usize::from(goes);
            !goes
        });
        if let Some(modes) = &mut self.modes {
            modes.drain(..modes.len().saturating_sub(MODES_MOST));
        }
        let Some(deaths) = &mut self.deaths else { return };
        if deaths.len() > DEATHS_MOST {
            let newest = |all: &Vec<Deaths>| all.last().map(|last| last.at);
            let mut all: Vec<Option<Time>> = deaths.values().map(newest).collect();
            all.sort_unstable();
            let from = all[all.len() - DEATHS_MOST];
            deaths.retain(|_, all| newest(all) >= from);
        }
    }
}

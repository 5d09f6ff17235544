//! Which failure modes a person wants to hear of. The one place that the monitor asks whether a mode was muted or
//! declared solved.

use windlass_api::failure::FailureState;
use windlass_core::store::FailureMode;
use windlass_core::{StoreError, Time};

use crate::app::App;
use crate::failures::Marks;

/// A failure mode, and since when it counts as new again: after somebody had declared it solved.
pub(super) struct Seen {
    pub(super) mode: FailureMode,
    pub(super) again_since: Option<Time>,
    /// Whether somebody has declared it solved, and it has not come again.
    pub(super) is_resolved: bool,
}

impl Seen {
    /// What it is remembered by. A mode that comes back after it was solved is another one.
    pub(super) fn mark(&self) -> super::record::Mode {
        let print = self.mode.fingerprint.to_string();
        let print = match self.again_since {
            Some(at) => format!("{print}@{}", at.0),
            None => print,
        };
        (self.mode.queue.to_string(), print)
    }
}

/// The modes without those that were muted.
pub(super) async fn judged(app: &App, modes: Vec<FailureMode>) -> Result<Vec<Seen>, StoreError> {
    let marks = Marks::read(app).await?;
    let heard = modes.into_iter().filter(|mode| marks.state(mode) != FailureState::Muted);
    let seen = heard.map(|mode| Seen {
        again_since: marks.resolved_before(&mode),
        is_resolved: marks.state(&mode) == FailureState::Resolved,
        mode,
    });
    Ok(seen.collect())
}

//! What another version of a sequence would mean for those who are under way, before anybody writes it.
//!
//! Contacts are counted by where they stand, and not looked at one by one: those at the same step of the same version have
//! had what comes before it there. Whoever has moved once already may have had less, and is told of as the others are.

use super::{Moves, keyed, live};
use crate::{
    app::{App, AppError},
    model::{
        CampaignId,
        campaign::Step,
        sequence::{self, Way},
    },
    store::{campaigns, enrolments},
};

/// Contacts who stand at the same step, and where they would go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Going {
    /// How many.
    pub count: u64,
    /// The step that is before them by the version that they have, from 1.
    pub from: u32,
    /// Whether its message is made, and waits.
    pub waits: bool,
    /// Where they go on.
    pub to: To,
}

/// Where contacts would go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// By the version that they have.
    Unmoved,
    /// With the same step, which has that number in the new version; a message that waits says what it says there.
    Same(u32),
    /// With another step of the new version. A message that waits is skipped.
    Other(u32),
    /// They would be through. A message that waits is skipped.
    Done,
}

/// Where everybody who is under way would go on, in the order of their steps.
///
/// # Errors
/// A campaign that has no other version, steps whose keys make no sense; the database's.
pub async fn of(app: &App, id: CampaignId, steps: Vec<Step>, moves: Moves) -> Result<Vec<Going>, AppError> {
    app.db()
        .read(move |tx| {
            let there = live(tx, id)?;
            let steps = keyed(tx, &there, &steps)?;
            let versions = campaigns::versions(tx, id)?;
            let mut all: Vec<Going> = Vec::new();
            for stand in enrolments::under_way(tx, id)? {
                let old = versions.iter().find(|(version, _)| *version == stand.version);
                let old = old.map_or(&[][..], |(_, steps)| steps);
                let to = goes(old, &steps, (stand.step, stand.waits), moves);
                let count = stand.count.max(0).unsigned_abs();
                let is_it = |one: &&mut Going| (one.from, one.waits, one.to) == (stand.step, stand.waits, to);
                match all.iter_mut().find(is_it) {
                    Some(same) => same.count += count,
                    None => all.push(Going { count, from: stand.step, waits: stand.waits, to }),
                }
            }
            all.sort_by_key(|one| (one.from, one.waits));
            Ok(all)
        })
        .await
}

fn goes(old: &[Step], new: &[Step], (number, waits): (u32, bool), moves: Moves) -> To {
    if moves == Moves::NotBegun && number != 1 {
        return To::Unmoved;
    }
    let at = usize::try_from(number).unwrap_or(0).saturating_sub(1);
    let Some(step) = old.get(at) else { return To::Done };
    let had: Vec<u32> = old[..at].iter().map(|step| step.key).collect();
    let way = Way { had: &had, at: waits.then_some(step.key) };
    match sequence::goes_on(new, way) {
        None => To::Done,
        Some(to) if sequence::number_of(new, step.key) == Some(to) => To::Same(to),
        Some(to) => To::Other(to),
    }
}

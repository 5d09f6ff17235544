//! How many jobs a filter means, where a count that the store keeps says so: nothing is looked at for it.

use windlass_api::filter::FilterShape;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::Counts;
use windlass_core::{QueueName, State, StoreError};

use crate::app::App;

/// The number of jobs that a filter means, if it names nothing but queue and states, or the dead jobs of one failure
/// mode of a queue.
pub(crate) async fn known(app: &App, shape: &FilterShape) -> Result<Option<u64>, StoreError> {
    let Some(states) = states(shape) else { return Ok(None) };
    if let Some(counts) = by_state(app, shape).await? {
        return Ok(Some(states.iter().map(|state| counts.of(*state)).sum()));
    }
    let mode = FilterShape { queue: None, state: None, fingerprint: None, ..shape.clone() };
    let (Some(Ok(queue)), Some(Ok(print))) = (
        shape.queue.as_deref().map(QueueName::new),
        shape.fingerprint.as_deref().map(str::parse::<Fingerprint>),
    ) else {
        return Ok(None);
    };
    if mode != FilterShape::default() || states != [State::Dead] {
        return Ok(None);
    }
    let known = app.store().errors(Some(queue), usize::MAX).await?;
    Ok(known.into_iter().find(|mode| mode.fingerprint == print).map(|mode| mode.dead))
}

/// How many jobs there are of each state, of all queues or of the one that the filter names, if it names nothing else
/// but states.
pub(crate) async fn by_state(app: &App, shape: &FilterShape) -> Result<Option<Counts>, StoreError> {
    let others = FilterShape { queue: None, state: None, ..shape.clone() };
    if others != FilterShape::default() {
        return Ok(None);
    }
    let Ok(queue) = shape.queue.as_deref().map(QueueName::new).transpose() else { return Ok(None) };
    let mut sum = Counts::default();
    for info in app.store().queues(queue, None).await? {
        for (all, one) in sum.0.iter_mut().zip(info.counts.0) {
            *all += one;
        }
    }
    Ok(Some(sum))
}

/// The states that a filter names; all, if it names none.
pub(crate) fn states(shape: &FilterShape) -> Option<Vec<State>> {
    let Some(text) = &shape.state else { return Some(State::ALL.to_vec()) };
    let named = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut states: Vec<State> = named.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    states.sort_by_key(|state| *state as u8);
    states.dedup();
    Some(if states.is_empty() { State::ALL.to_vec() } else { states })
}

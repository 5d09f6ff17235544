//! The relatives of a job: those it waits for, and those that wait for it.

use windlass_core::bounds::PAGE_MAX;
use windlass_core::job::{OnParent, Parent};
use windlass_core::store::{Counts, Filter};
use windlass_core::{JobId, State};
use windlass_look::Frame;

use super::super::jobs::JobLine;
use super::super::page::Wrong;
use super::super::visit::Visit;
use super::super::words;

/// Relatives named one by one; the rest is counted by state.
const NAMED: usize = 20;

/// A job beside this one.
pub(crate) struct Relative {
    pub(crate) line: JobLine,
    /// Which end of it lets the child go, for a parent.
    pub(crate) on: Option<&'static str>,
}

/// Parents or children.
pub(crate) struct Relatives {
    pub(crate) all: usize,
    pub(crate) named: Vec<Relative>,
    /// How many there are of each state, when not all are named.
    pub(crate) counts: Vec<(&'static str, String)>,
    /// How many are not known any more.
    pub(crate) gone: usize,
}

impl Relatives {
    pub(super) async fn parents(visit: &Visit, f: &Frame, parents: &[Parent]) -> Result<Self, Wrong> {
        let ids: Vec<JobId> = parents.iter().map(|parent| parent.id).collect();
        let on = |id: &str| {
            let parent = parents.iter().find(|parent| parent.id.to_string() == id)?;
            Some(match parent.on {
                OnParent::Success => "on its success",
                OnParent::Always => "on its end",
            })
        };
        let mut all = Self::load(visit, f, &ids).await?;
        for relative in &mut all.named {
            relative.on = on(&relative.line.id);
        }
        Ok(all)
    }

    pub(super) async fn children(visit: &Visit, f: &Frame, children: &[JobId]) -> Result<Self, Wrong> {
        Self::load(visit, f, children).await
    }

    async fn load(visit: &Visit, f: &Frame, ids: &[JobId]) -> Result<Self, Wrong> {
        if ids.is_empty() {
            return Ok(Self { all: 0, named: Vec::new(), counts: Vec::new(), gone: 0 });
        }
        let asked: Vec<JobId> = ids.iter().copied().take(PAGE_MAX).collect();
        let n = asked.len();
        let filter = Filter { ids: asked, ..Filter::default() };
        let page = visit.store().list(filter, None, n, n).await??;
        let mut by_state = Counts::default();
        for view in &page.items {
            by_state.0[view.state as usize] += 1;
        }
        let states = State::ALL.into_iter().filter(|state| by_state.of(*state) > 0);
        let counts = states.map(|state| (state.as_str(), words::count(by_state.of(state))));
        let line = |view| Relative { line: JobLine::of(f, view, visit.now), on: None };
        Ok(Self {
            all: ids.len(),
            counts: if n > NAMED { counts.collect() } else { Vec::new() },
            named: page.items.iter().take(NAMED).map(line).collect(),
            gone: n.saturating_sub(page.items.len()),
        })
    }
}

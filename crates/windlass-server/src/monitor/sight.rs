//! What one look sees: what the store keeps count of, as far as some rule asks for it.

use std::collections::{BTreeMap, BTreeSet};

use windlass_api::monitor::When;
use windlass_core::store::{FailureMode, QueueInfo, ScheduleInfo, Series, StoreInfo, WorkerInfo};
use windlass_core::{StoreError, Time};

use super::config::Config;
use super::modes;
use crate::app::App;

/// Failure modes of a look, those with the most dead first.
const MODES_READ: usize = 1_000;
/// Queues with new deaths whose completions are asked for, those with the most deaths first.
const CHARTS_READ: usize = 20;
/// The width of the slots that completions are counted by.
const MINUTE_MS: u64 = 60_000;

/// What was seen.
pub(super) struct Sight {
    pub(super) now: Time,
    /// The conditions that were looked for: of others nothing is known.
    pub(super) looked_for: BTreeSet<When>,
    pub(super) queues: Vec<QueueInfo>,
    pub(super) workers: Vec<WorkerInfo>,
    /// Failure modes that somebody wants to hear of, and when each became new if that was later than its first failure.
    pub(super) modes: Vec<modes::Seen>,
    pub(super) schedules: Vec<ScheduleInfo>,
    pub(super) store: Option<StoreInfo>,
    /// Completions by minute of queues where jobs died lately.
    pub(super) completed: BTreeMap<String, Series>,
}

impl Sight {
    /// Looks at what the rules ask for.
    pub(super) async fn of(app: &App, config: &Config, now: Time) -> Result<Self, StoreError> {
        let looked_for: BTreeSet<When> = config.watching().map(|(_, rule)| rule.when).collect();
        let wants = |these: &[When]| these.iter().any(|when| looked_for.contains(when));
        let store = app.store();
        let queues = async {
            if looked_for.iter().any(|when| when.is_of_queues()) {
                store.queues(None, None).await
            } else {
                Ok(Vec::new())
            }
        };
        let workers =
            async { if wants(&[When::NoWorker]) { store.workers(None).await } else { Ok(Vec::new()) } };
        let modes = async {
            let wanted = wants(&[When::NewFailureMode, When::DeadAge]);
            if wanted { store.errors(None, MODES_READ).await } else { Ok(Vec::new()) }
        };
        let schedules =
            async { if wants(&[When::ScheduleMissed]) { store.schedules().await } else { Ok(Vec::new()) } };
        let info = async { if wants(&[When::SpaceLow]) { store.info().await.map(Some) } else { Ok(None) } };
        let (queues, workers, modes, schedules, info) =
            tokio::try_join!(queues, workers, modes, schedules, info)?;
        let modes: Vec<FailureMode> = modes;
        let modes = modes::judged(app, modes).await?;
        let mut sight = Self {
            now,
            looked_for,
            queues,
            workers,
            modes,
            schedules,
            store: info,
            completed: BTreeMap::new(),
        };
        if sight.looked_for.contains(&When::DeadShare) {
            sight.read_charts(app).await?;
        }
        Ok(sight)
    }

    /// Asks for the completions of queues in which jobs failed within the last hour.
    async fn read_charts(&mut self, app: &App) -> Result<(), StoreError> {
        let mut died: Vec<&QueueInfo> = self.queues.iter().filter(|info| info.totals.died > 0).collect();
        died.sort_by_key(|info| std::cmp::Reverse(info.counts.of(windlass_core::State::Dead)));
        for info in died.into_iter().take(CHARTS_READ) {
            let Ok(series) = app.store().series(info.name.clone(), None).await? else { continue };
            if let Some(minutes) = series.completed.into_iter().find(|series| series.slot_ms == MINUTE_MS) {
                self.completed.insert(info.name.to_string(), minutes);
            }
        }
        Ok(())
    }

    /// Completions of that queue within that time; the slot in which it begins counts whole.
    pub(super) fn completed_within(&self, queue: &str, ms: u64) -> Option<u64> {
        let series = self.completed.get(queue)?;
        let from = self.now.minus_ms(ms + series.slot_ms);
        Some(series.points.iter().filter(|(at, _)| *at > from).map(|(_, n)| n).sum())
    }
}

//! What a store does by itself: upkeep, the sweep of what nobody waits for, and the doorbell between processes.

use crate::store::{Handle, PostgresStore};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

/// The longest between two looks: how late upkeep may be on this store.
const LOOK: Duration = Duration::from_millis(1_000);
/// The shortest.
const SOON: Duration = Duration::from_millis(20);
/// Steps of one round, in transactions of their own: several bites of retention, where a fast queue leaves so much.
const STEPS: usize = 20_000;
/// Rounds between two sweeps.
const SWEEP_EVERY: u32 = 10;

/// Starts the tasks that the options ask for.
pub(crate) fn start(store: &PostgresStore) {
    let options = &store.0.options;
    let mut tasks = store.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
    let weak = || Arc::downgrade(&store.0);
    if options.upkeep && options.clock.is_none() {
        tasks.push(tokio::spawn(keep_up(weak())));
    }
    if options.listen && options.clock.is_none() {
        tasks.push(tokio::spawn(crate::listen::send(store.0.bell.clone(), weak())));
        tasks.push(tokio::spawn(crate::listen::hear(weak())));
    }
}

async fn keep_up(store: Weak<Handle>) {
    let mut round = 0u32;
    loop {
        let Some(handle) = store.upgrade() else { return };
        let store_ = PostgresStore(handle);
        let mut wait = LOOK;
        let watched = store_.0.hub.watched();
        match store_.round(STEPS, None, &watched).await {
            Ok(report) => {
                let now = store_.about_now(None);
                if let Some(due) = report.next_due {
                    wait = Duration::from_millis(due.since(now)).clamp(SOON, LOOK);
                }
            }
            Err(why) => tracing::warn!(%why, "upkeep did not run; it is tried again"),
        }
        if round.is_multiple_of(SWEEP_EVERY) {
            if let Err(why) = store_.greet().await {
                tracing::debug!(%why, "the server was not asked whether it started anew");
            }
            if let Err(why) = store_.sweep().await {
                tracing::debug!(%why, "the sweep did not run");
            }
        }
        round = round.wrapping_add(1);
        drop(store_);
        tokio::time::sleep(wait).await;
    }
}

//! What a server tells the service manager that started it (systemd's `NOTIFY_SOCKET`): that it is ready, that it ends, and
//! while it is asked to, that its store answers. Without such a manager nothing is said.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use windlass_core::store::Store;

/// It listens, and its store is open.
pub(crate) fn ready(url: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving at {url}"))]);
}

/// It has begun to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that it lives for as long as the store answers within half of the time that the manager waits: a process that only
/// turns in circles is not alive.
pub(crate) async fn watchdog(store: Arc<dyn Store>) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let half = (patience / 2).max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval(half);
    loop {
        ticks.tick().await;
        if matches!(tokio::time::timeout(half, store.info()).await, Ok(Ok(_))) {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// A task that is to run beside another, and never ends that one.
pub(crate) async fn never(beside: impl Future<Output = ()>) {
    beside.await;
    std::future::pending().await
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

//! Who is rung when something becomes claimable, or when a lease is asked to stop: `windlass_core::watch`, with the
//! engine's own way of reaching whoever waits.

use tokio::sync::oneshot;
use windlass_core::store::Signal;

/// Somebody who waits for the answer to a watch.
pub(crate) struct Bell(pub(crate) oneshot::Sender<Signal>);

impl windlass_core::watch::Ring for Bell {
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// Everyone who waits.
pub(crate) type Watchers = windlass_core::watch::Watchers<Bell>;

/// A ring to be given once what it tells of is durable.
pub(crate) type Ring = (Bell, Signal);

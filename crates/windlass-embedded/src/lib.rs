//! The engine inside: a durable queue store in one directory, owned by one process.
//!
//! The journal (`journal`, on the seam `disk`) holds facts. The machine (`machine`) is all jobs in
//! memory, a pure function of those facts. Decisions (`decide`) turn verbs into facts. The engine
//! (`engine`) runs them on one thread and makes them durable on another, one sync for all that
//! wait. [`EmbeddedStore`] is the door: it implements the traits of `windlass_core::store`.
//!
//! The bytes on disk are in `FORMAT.md`. Clocks, files and random numbers are seams with a real and
//! a simulated form ([`clock`], [`disk`]); a lint bans them everywhere else.

pub mod backup;
pub mod clock;
mod codec;
mod compact;
mod decide;
pub mod disk;
mod engine;
mod erase;
mod events;
mod fact;
pub mod journal;
pub mod lock;
mod machine;
mod open;
mod store;
mod verify;
mod watch;

pub use engine::Ack;
pub use open::{AtOpen, EmbeddedOptions, OpenError};
pub use store::EmbeddedStore;
pub use verify::verify;

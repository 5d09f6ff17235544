//! The checker is held against small histories, one fine and one broken for each invariant, and against random ones.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod calls;
mod events;
mod format;
mod looks;
mod property;
mod store;
mod writer;

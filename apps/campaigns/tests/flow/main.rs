//! Campaigns from launch to the last message, against real doubles of the providers.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod open;
mod sequence;
mod stage;

//! Campaigns from launch to the last message, against real doubles of the providers.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(clippy::print_stdout, reason = "seeds are printed")]

mod brake;
mod caps;
mod colleagues;
mod crash;
mod db;
mod enrolled;
mod holds;
mod inbound_mail;
mod late;
mod open;
mod paces;
mod postgres;
mod replans;
mod rules;
mod sequence;
mod shares;
mod stage;
mod statements;
mod stops;
mod variants;
mod versions;
mod windows;

#[path = "../../../../crates/windlass-postgres/tests/server/mod.rs"]
mod server;

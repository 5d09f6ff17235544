//! What the store lives through under full load: a server that is killed again and again, and a network that cuts, delays
//! and turns away, or a pooler between. Each test starts its own server, and has the whole history judged.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::print_stdout, reason = "what is left out is printed")]

mod home;
mod kill;
mod network;
mod pooler;
#[path = "../server/mod.rs"]
mod server;

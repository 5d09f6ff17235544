//! What the store lives through: a server that is killed and comes back, loses its functions or its memory, loses keys,
//! a network that cuts, delays and doubles, and another server that takes
//! over. Each test starts its own redis-server.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests reach servers as users do, and print what they saw"
)]

#[path = "../server/mod.rs"]
mod server;

mod failover;
mod health;
mod home;
mod kill;
mod lost;
mod network;
#[cfg(feature = "tls")]
mod tls;

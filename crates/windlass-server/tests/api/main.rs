//! The API as curl meets it: a real server on a free port, requests as bytes, answers as they come.
#![allow(clippy::disallowed_methods, reason = "tests reach servers as users do")]

#[path = "../asker/mod.rs"]
mod asker;
mod backup;
mod beside;
mod bounds;
mod bulk;
#[path = "../document/mod.rs"]
mod document;
mod doors;
mod examples;
mod flows;
#[path = "../home/mod.rs"]
mod home;
mod idempotency;
mod jobs;
mod keys;
mod lines;
mod matrix;
mod metrics;
mod monitor;
mod push;
mod talk;
mod tls;
mod waits;

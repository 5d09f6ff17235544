//! One module for each noun of the command line: its arguments, its help, and the verbs it calls.

pub(crate) mod archive;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod campaigns;
pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod enqueue;
pub(crate) mod erase;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod info;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod migrate;
pub(crate) mod monitor;
pub(crate) mod ndjson;
pub(crate) mod outbox;
pub(crate) mod pages;
pub(crate) mod place;
pub(crate) mod program;
pub(crate) mod queues;
pub(crate) mod schedules;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod supervise;
pub(crate) mod targets;
pub(crate) mod worker;

use crate::connect::Open;
use crate::fault::Fault;

/// Closes the store whatever came of the command; the command's own fault is the one worth telling.
pub(crate) async fn closing<T>(open: Open, result: Result<T, Fault>) -> Result<T, Fault> {
    let closed = open.close().await;
    let value = result?;
    closed.map(|()| value)
}

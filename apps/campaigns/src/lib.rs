//! Outbound campaigns over e-mail, SMS and voicemail, as an application of windlass.
//!
//! The story of one touch: [`contacts`] says whom there is, [`plan`] says which campaign reaches each of them
//! by which channel, [`day`] sets up the queues and launches the campaigns, [`handlers`] carry them from launch to
//! touch as jobs, [`channel`] speaks SMTP and HTTP to the provider and answers with a typed outcome, [`hooks`] reads
//! what providers report back, and [`reconcile`] compares what the providers saw with what the queue promised
//! ([`record`]).
//!
//! [`sim`] holds two real servers for the loopback interface, so that a whole campaign day runs without an
//! [`window`] says when a contact may be reached: campaign's hours, recipient's zone, legal hours, holidays, delays.
//! account anywhere. Nothing outside `sim` knows that they exist: senders are given an address and no more.

pub mod channel;
pub mod contacts;
pub mod day;
mod delivery;
pub mod handlers;
pub mod hooks;
pub mod import;
pub mod optout;
pub mod plan;
pub mod progress;
pub mod reconcile;
pub mod record;
mod seed;
pub mod sim;
pub mod template;
pub mod window;

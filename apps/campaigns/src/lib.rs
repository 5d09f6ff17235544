//! Outbound campaigns over e-mail, SMS and voicemail, as an application of windlass.
//!
//! A user launches a campaign: a sequence of touches to the contacts of a list. [`flow`] carries each contact through it as
//! jobs of seven queues; what is true of a message stands in the application's own database ([`db`], [`store`], [`model`]).
//! [`window`] says whether somebody may be reached now, [`template`] what they read, [`variants`] which of a step's texts that is, [`optout`] what ends it, [`channel`]
//! asks the provider, [`hooks`] reads what the provider tells later, and [`open`] has the addresses that it tells it to.
//! [`app`] ties them together, on a [`clock`] that may run faster than the wall's. [`pages`] is what people see of
//! it, and [`attention`] what waits for one of them.
//!
//! Nothing here knows whether a campaign is real or rehearsed: providers are addresses.

pub mod api;
pub mod app;
pub mod attention;
pub mod channel;
pub mod clock;
pub mod db;
pub mod drafts;
pub mod enrolled;
pub mod export;
pub mod figures;
mod filters;
pub mod flow;
pub mod hooks;
pub mod import;
pub mod intake;
pub mod model;
pub mod open;
pub mod optout;
pub mod pages;
pub mod preflight;
pub mod store;
pub mod template;
pub mod variants;
pub mod window;

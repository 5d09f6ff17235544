//! The dashboard: pages for people, rendered on the server.
//!
//! A handler asks the store the same questions as the API, makes of the answers what its template says, and knows no
//! rule of the queue. Forms are posts that call one verb and go back to where they stood; every page works without
//! scripts. How pages look, and the frame around them, is `windlass_look`'s. Its script fetches the page again when
//! [`live`] says that something happened, and replaces what changed.
//!
//! Nothing that is stored is trusted: templates escape whatever they print, nothing is ever marked as safe, and the
//! pages allow no script or style but the files of the look.
//!
//! - [`visit`], [`page`]: the frame, answers, and what is said when something is wrong; [`form`]: what comes
//!   in, and what is told of it; [`session`], [`login`]: who it is;
//! - [`overview`] with [`trouble`] and [`rows`], [`queues`], [`queue`], [`jobs`] with [`bulk`], [`operations`], [`job`],
//!   [`errors`], [`charts`], [`schedules`], [`limits`], [`workers`], [`monitor`], [`keys`], [`audit`]: a page each;
//! - [`words`], [`chart`], [`json`], [`cron`]: how things are said.

pub(crate) mod assets;
pub(crate) mod audit;
pub(crate) mod bulk;
mod chart;
pub(crate) mod charts;
mod confirm;
mod cron;
pub(crate) mod errors;
mod form;
pub(crate) mod job;
pub(crate) mod jobs;
mod json;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod login;
pub(crate) mod monitor;
pub(crate) mod operations;
pub(crate) mod overview;
pub(crate) mod page;
pub(crate) mod queue;
pub(crate) mod queues;
mod rows;
pub(crate) mod schedules;
pub(crate) mod session;
mod trouble;
pub(crate) mod visit;
pub(crate) mod words;
pub(crate) mod workers;

//! The history checker: what the clients of a store asked and were told, held against the invariants I1 to I17 of the
//! contract (`docs/contract.md`, section 8).
//!
//! A **history** is a file of JSON lines ([`mod@format`], `docs/history.md`). A [`Recording`] in front of any store writes it,
//! with a [`Recorder`] that survives kill -9; [`dump()`] adds full looks at the store. [`check()`] reads it and says which
//! invariant is broken, by which job, in which lines, and which invariants the history says nothing about.
//!
//! The checks are set and interval checks. What clients know is certain only within the intervals of their calls, so a
//! rule speaks only where every order of events that the intervals allow breaks the invariant; the store's own events
//! are exact, and are held against what clients were told. This crate knows no store and no async runtime.
//!
//! Read `world.rs` first, then any rule: each says what it sees and what it cannot see.

mod checker;
mod dump;
pub mod format;
mod reader;
mod recorder;
mod recording;
mod report;
mod rules;
mod settings;
mod story;
mod world;

pub use checker::{Checker, Options, check};
pub use dump::{DumpError, dump};
pub use format::{EventOrder, FaultKind, Header, VERSION};
pub use reader::HistoryError;
pub use recorder::Recorder;
pub use recording::{Follow, Recording};
pub use report::{Figures, Invariant, Judged, Report, VIOLATIONS_MAX, Violation};

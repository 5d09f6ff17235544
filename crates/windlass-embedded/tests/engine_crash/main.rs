//! The whole engine on disks that fail: whatever the disk does, what was acknowledged holds, or the store refuses.
//!
//! `script` is a row of verbs that is the same on every run, `dump` all that a store says of itself. Since the journal
//! is a row of facts, a store that comes back must be equal to one of the states that the script went through, and not
//! to one before the last acknowledgement. The other modules each try one way of losing something.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "seeds are printed")]
#![allow(clippy::disallowed_methods, reason = "the tests look at directories from outside")]

mod bytes;
mod clock;
mod directory;
mod dump;
mod golden;
mod power;
mod script;
mod space;
mod sync;

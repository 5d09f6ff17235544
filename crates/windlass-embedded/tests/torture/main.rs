//! kill -9, again and again: what was acknowledged to a history outside must be in the store that is opened next.
//!
//! One test drives everything (`cycles`). It starts this very program again as the process that owns the store
//! (`load`), which records every call and answer in a history in another directory, and kills it at a random moment,
//! also while it opens. Then it adds the store's own event log and a full look to the history and has `windlass-check`
//! hold all of it against the contract's invariants before the next cycle begins.
//!
//! `WINDLASS_TORTURE_CYCLES` sets the number of cycles, `WINDLASS_SEED` the seed; both are printed.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "seeds and throughput are printed")]
#![allow(clippy::disallowed_methods, reason = "the tests look at processes and directories from outside")]

mod cycles;
mod dice;
mod load;
mod makeup;

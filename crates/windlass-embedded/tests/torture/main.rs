//! kill -9, again and again: what was acknowledged to an outside ledger must be in the store that is opened next.
//!
//! One test drives everything (`cycles`). It starts this very program again as the process that owns the store
//! (`load`), which writes every acknowledgement to a ledger in another directory (`ledger`), and kills it at a random
//! moment, also while it opens. Then it reads the ledger and the store's own event log, replays the log against the
//! rules of a job's life (`history`), and compares both with a scan of the store before the next cycle begins.
//!
//! `WINDLASS_TORTURE_CYCLES` sets the number of cycles, `WINDLASS_SEED` the seed; both are printed.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "seeds and throughput are printed")]
#![allow(clippy::disallowed_methods, reason = "the tests look at processes and directories from outside")]

mod cycles;
mod dice;
mod history;
mod ledger;
mod load;
mod makeup;

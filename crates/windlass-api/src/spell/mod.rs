//! How values are spelled and read back: spans, instants, rates, retry policies, retention, options of a job.
//!
//! Every spelling has one reader and, where it is shown again, one writer whose text the reader takes. Errors are
//! sentences with an example, because command line and API show them as they are.

pub mod moment;
pub mod option;
pub mod rate;
pub mod retention;
pub mod retry;
pub mod span;

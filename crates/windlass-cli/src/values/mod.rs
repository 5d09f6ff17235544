//! How values are spelled on the command line and read back: spans, times, rates, retry policies, retention, payloads.
//!
//! Every spelling has one reader and, where it is shown again, one writer whose text the reader takes. Errors are
//! sentences with an example, because clap shows them as they are.

pub(crate) mod moment;
pub(crate) mod payload;
pub(crate) mod rate;
pub(crate) mod retention;
pub(crate) mod retry;
pub(crate) mod span;

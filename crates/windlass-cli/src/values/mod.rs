//! What the command line adds to the spellings of [`windlass_api::spell`]: where a payload comes from, and this
//! machine's clock, from which "ten minutes ago" counts.

pub(crate) mod moment;
pub(crate) mod payload;

pub(crate) use windlass_api::spell::{option, rate, retention, retry, span};

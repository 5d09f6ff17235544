//! One line of a provider's log, as the account and the progress of a day read it.
//!
//! It names the fields that they use; what else a provider writes down is not looked at.

use std::borrow::Cow;

use serde::Deserialize;

use crate::channel::Channel;

/// A message or call that a provider took.
#[derive(Debug, Deserialize)]
pub(crate) struct Delivery<'a> {
    /// When it was taken, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// By which channel it came.
    pub(crate) channel: Channel,
    /// The recipient's address or number.
    #[serde(borrow)]
    pub(crate) to: Cow<'a, str>,
    /// The job that sent it.
    #[serde(borrow, default)]
    pub(crate) job: Option<Cow<'a, str>>,
    /// The campaign it belongs to.
    #[serde(borrow, default)]
    pub(crate) campaign: Option<Cow<'a, str>>,
    /// Whether the provider closed the connection in place of the reply.
    #[serde(default)]
    pub(crate) reply_dropped: bool,
}

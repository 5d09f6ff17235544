//! Which jobs: the filter options that `ls` and every changing verb share.

use clap::Args;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::name::Tag;
use windlass_core::store::Filter;
use windlass_core::{GroupKey, Kind, QueueName, State, Time};

use crate::values::moment;

/// Every option narrows; without one, all jobs are meant.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Filter")]
pub(crate) struct FilterArgs {
    /// In this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// In one of these states: scheduled, ready, running, retrying, blocked, completed, dead, cancelled
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',')]
    states: Vec<State>,
    /// In this group
    #[arg(long, value_name = "KEY")]
    group: Option<GroupKey>,
    /// Of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// With this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<Tag>,
    /// That failed in this way (`windlass errors` lists them)
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<Fingerprint>,
    /// Enqueued at that time or later; a span (10m) means that long ago
    #[arg(long, value_name = "TIME", value_parser = moment::parse_past)]
    after: Option<Time>,
    /// Enqueued before that time; a span (7d) means that long ago
    #[arg(long, value_name = "TIME", value_parser = moment::parse_past)]
    before: Option<Time>,
    /// Whose last error holds this text
    #[arg(long, value_name = "TEXT")]
    error_contains: Option<String>,
    /// Whose payload holds this text
    #[arg(long, value_name = "TEXT")]
    payload_contains: Option<String>,
}

impl FilterArgs {
    /// Whether no option was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.clone().into_filter() == Filter::default()
    }

    /// The filter as the store takes it.
    pub(crate) fn into_filter(self) -> Filter {
        Filter {
            ids: Vec::new(),
            queue: self.queue,
            states: self.states,
            group: self.group,
            kind: self.kind,
            fingerprint: self.fingerprint,
            tag: self.tag,
            after: self.after,
            before: self.before,
            error_contains: self.error_contains,
            payload_contains: self.payload_contains,
        }
    }
}

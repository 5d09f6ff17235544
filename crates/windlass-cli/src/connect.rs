//! From the global options to an open store.
//!
//! The only place that knows how stores are opened, and which of the failures means what to a script.

use std::sync::Arc;

use windlass::{Client, OpenError, OpenOptions};
use windlass_core::store::Store;
use windlass_embedded::OpenError as EmbeddedError;
use windlass_embedded::disk::OpenDirectoryError;
use windlass_embedded::lock::LockError;

use crate::arguments::Global;
use crate::fault::{Exit, Fault};

/// Whether the command has a use for a store that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// It looks for something: an empty new directory would only hide a mistyped path.
    Look,
    /// It puts something in.
    Put,
}

/// An open store; give it back with [`Open::close`].
pub(crate) struct Open {
    client: Client,
}

impl Open {
    /// The verbs.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.client.store()
    }

    /// The client, for what micro-batches and for workers.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes everything durable and lets go of the directory.
    ///
    /// # Errors
    /// When the store cannot finish what it took.
    pub(crate) async fn close(self) -> Result<(), Fault> {
        self.client.store().close().await.map_err(Fault::from)
    }
}

/// Opens the store of the global options.
///
/// # Errors
/// With exit code 2 for a URL that makes no sense and 5 for a store that cannot be had.
pub(crate) async fn open(global: &Global, intent: Intent) -> Result<Open, Fault> {
    open_url(&global.store, intent).await
}

/// Opens the store that the URL names.
///
/// # Errors
/// As [`open`].
pub(crate) async fn open_url(url: &str, intent: Intent) -> Result<Open, Fault> {
    let mut options = OpenOptions::new();
    // What the URL says about `create` stands.
    if intent == Intent::Look && url.starts_with("file:") && !url.contains("create=") {
        options = options.create(false);
    }
    match options.open(url).await {
        Ok(client) => Ok(Open { client }),
        Err(error) => Err(refusal(url, &error)),
    }
}

/// Erases a namespace that a benchmark has made on a server; nothing for stores of other kinds.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) async fn erase_url(url: &str) -> Result<(), Fault> {
    let Some((server, query)) = url.split_once('?').filter(|_| url.starts_with("redis")) else {
        return Ok(());
    };
    let Some(namespace) = query.split('&').find_map(|pair| pair.strip_prefix("namespace=")) else {
        return Ok(());
    };
    let erased = windlass_redis::RedisStore::erase(server, namespace).await;
    erased.map(drop).map_err(|error| Fault::new(Exit::Unreachable, "unreachable", error.to_string()))
}

/// The URL as it may be shown: without a password.
pub(crate) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    format!("{scheme}://{}@{host}", user.split_once(':').map_or(user, |(user, _)| user))
}

fn refusal(url: &str, error: &OpenError) -> Fault {
    let url = shown(url);
    match error {
        OpenError::BadUrl { .. }
        | OpenError::NoSuchStore { .. }
        | OpenError::UnknownOption { .. }
        | OpenError::BadOption { .. } => Fault::usage(error.to_string()),
        OpenError::Embedded(embedded) => match embedded {
            EmbeddedError::Locked(error) => lock_fault(error),
            EmbeddedError::Directory(error) => {
                let fault = Fault::new(Exit::Unreachable, "unreachable", error.to_string());
                match error {
                    OpenDirectoryError::Missing { .. } => {
                        fault.next("name another with --store; the first `windlass enqueue` makes one")
                    }
                    _ => fault,
                }
            }
            EmbeddedError::Journal(_) => Fault::new(Exit::Unreachable, "damaged", error.to_string()),
            _ => Fault::new(Exit::Unreachable, "unreachable", format!("cannot open {url}: {error}")),
        },
        _ => Fault::new(Exit::Unreachable, "unreachable", format!("cannot open {url}: {error}")),
    }
}

/// A directory that is taken, with who has it and what can be done.
pub(crate) fn lock_fault(error: &LockError) -> Fault {
    match error {
        LockError::Held { pid, .. } => {
            let stop = pid.map_or_else(String::new, |pid| format!(" (kill {pid})"));
            Fault::new(Exit::Unreachable, "held", error.to_string()).next(format!(
                "one process owns a directory: do it from that process, stop it{stop}, or name another store with --store"
            ))
        }
        _ => Fault::new(Exit::Unreachable, "unreachable", error.to_string())
            .next("the user that runs this command must own the directory and be able to write to it"),
    }
}

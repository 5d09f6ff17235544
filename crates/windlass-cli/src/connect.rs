//! From the global options to an open store.
//!
//! The only place that knows how stores are opened, and which of the failures means what to a script.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass::{Client, OpenError, OpenOptions};
use windlass_core::store::Store;
use windlass_core::url::without_password;
use windlass_embedded::OpenError as EmbeddedError;
use windlass_embedded::disk::OpenDirectoryError;
use windlass_embedded::lock::LockError;
use windlass_http::{HttpOptions, HttpStore};
use windlass_postgres::{OpenError as PostgresError, PostgresStore};
use windlass_redis::{OpenError as RedisError, RedisStore};

use crate::arguments::Global;
use crate::fault::{Exit, Fault};
use crate::output::escape;

/// The namespace of a server's store whose URL names none.
pub(crate) const NAMESPACE_DEFAULT: &str = "windlass";

/// Whether the command has a use for a store that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// It looks for something: an empty new directory would only hide a mistyped path.
    Look,
    /// It puts something in.
    Put,
    /// It works: what a worker in the directory's last owner held is free at once.
    Work,
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
    // A directory that nobody serves at the moment may have workers that wait for their server: looking at it must not end
    // their leases. Only a command that works itself takes the place of the workers that were inside before.
    let mut options = OpenOptions::new().workers_elsewhere(intent != Intent::Work);
    // What the URL says about `create` stands.
    if intent == Intent::Look && url.starts_with("file:") && !url.contains("create=") {
        options = options.create(false);
    }
    // A mistyped namespace must not become a schema, or look like an empty queue, for the same reason.
    let mut looked = url.to_owned();
    let making = match url.split([':', '+']).next() {
        Some("postgres" | "postgresql") => Some("migrate="),
        Some("redis" | "rediss") => Some("create="),
        _ => None,
    };
    if let Some(making) = making.filter(|making| intent == Intent::Look && !url.contains(making)) {
        looked = format!("{url}{}{making}false", mark(url));
    }
    match options.open(&looked).await {
        Ok(client) => Ok(Open { client }),
        Err(error) => match through_its_owner(url, &error).await {
            Some(client) => Ok(Open { client }),
            None => Err(refusal(url, &error)),
        },
    }
}

/// Opens the store that the URL names in this process, for a server: its workers live elsewhere and keep their leases.
///
/// # Errors
/// As [`open`].
pub(crate) async fn open_here(url: &str) -> Result<Open, Fault> {
    let opened = OpenOptions::new().workers_elsewhere(true).open(url).await;
    opened.map(|client| Open { client }).map_err(|error| refusal(url, &error))
}

/// The name of the socket that an owner listens at, in its directory.
pub(crate) const SOCKET: &str = "windlass.sock";

/// The socket at which the owner of a `file:` store's directory answers.
pub(crate) fn socket_of(url: &str) -> Option<PathBuf> {
    url.starts_with("file:").then(|| directory_of(url).join(SOCKET))
}

/// A directory that another process owns is reached through that process, if it answers.
async fn through_its_owner(url: &str, error: &OpenError) -> Option<Client> {
    let OpenError::Embedded(EmbeddedError::Locked(LockError::Held { .. })) = error else { return None };
    let socket = socket_of(url).filter(|socket| socket.exists())?;
    OpenOptions::new().open(&format!("http+unix:{}", socket.display())).await.ok()
}

/// Erases a namespace that a benchmark has made on a server; nothing for stores of other kinds.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) async fn erase_url(url: &str) -> Result<(), Fault> {
    match split_namespace(url) {
        (server, Some(namespace)) => erase(&server, namespace).await.map(drop),
        _ => Ok(()),
    }
}

/// Erases the namespace on that server; `false` when there is none.
///
/// # Errors
/// When the server cannot be asked, or the namespace is no store's.
pub(crate) async fn erase(server: &str, namespace: &str) -> Result<bool, Fault> {
    if server.starts_with("redis") {
        let erased = RedisStore::erase(server, namespace).await;
        erased.map(|keys| keys > 0).map_err(|error| redis_fault(server, &error))
    } else {
        let erased = PostgresStore::erase(server, namespace).await;
        erased.map_err(|error| postgres_fault(server, &error))
    }
}

fn redis_fault(url: &str, error: &RedisError) -> Fault {
    match error {
        // Nothing was tried.
        RedisError::BadAddress(why) => Fault::usage(format!("{}: {why}", without_password(url))),
        RedisError::NotAStore(_) => not_a_store(error),
        // Whatever was asked first: it is the server that cannot be had.
        RedisError::Store(error) => unreachable(url, &error.cause),
        _ => unreachable(url, error),
    }
}

/// A failure of a PostgreSQL store before there was one.
pub(crate) fn postgres_fault(url: &str, error: &PostgresError) -> Fault {
    match error {
        PostgresError::BadAddress(why) => Fault::usage(format!("{}: {why}", without_password(url))),
        PostgresError::NotAStore(_) => not_a_store(error),
        _ => unreachable(url, error),
    }
}

fn not_a_store(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Exit::Refused, "not_a_store", error.to_string())
}

/// A store that cannot be had.
pub(crate) fn unreachable(url: &str, error: &dyn std::fmt::Display) -> Fault {
    let url = without_password(url);
    Fault::new(Exit::Unreachable, "unreachable", format!("cannot open {url}: {error}"))
}

/// The directory of a `file:` URL.
pub(crate) fn directory_of(url: &str) -> PathBuf {
    let path = url.strip_prefix("file:").map_or(url, |rest| rest.split('?').next().unwrap_or(rest));
    PathBuf::from(path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path))
}

/// The URL as the server's own driver reads it, without what is ours, and the namespace that it names.
pub(crate) fn split_namespace(url: &str) -> (String, Option<&str>) {
    let Some((server, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let namespace = query.split('&').find_map(|pair| pair.strip_prefix("namespace="));
    let ours = |pair: &&str| pair.starts_with("namespace=") || pair.starts_with("upkeep=");
    let theirs: Vec<&str> = query.split('&').filter(|pair| !ours(pair)).collect();
    match theirs.is_empty() {
        true => (server.to_owned(), namespace),
        false => (format!("{server}?{}", theirs.join("&")), namespace),
    }
}

/// The URL of another namespace on the same server.
pub(crate) fn in_namespace(url: &str, namespace: &str) -> String {
    format!("{url}{}namespace={namespace}", mark(url))
}

/// What stands before one more option of the URL.
fn mark(url: &str) -> char {
    if url.contains('?') { '&' } else { '?' }
}

/// A command on that store as it can be given to a shell. A URL with a password is shown nowhere, and would be of no use
/// without it: there it is said which store is meant.
pub(crate) fn on_store(command: &str, url: &str, meant: &str) -> String {
    match without_password(url) == url {
        true => format!("{command} --store {}", escape::word(url)),
        false => format!("{command} (with {meant})"),
    }
}

/// The same for a namespace that was made beside what `--store` named.
pub(crate) fn on_made_store(command: &str, url: &str) -> String {
    let namespace = split_namespace(url).1.unwrap_or(NAMESPACE_DEFAULT);
    on_store(command, url, &format!("the same --store, and namespace={namespace} in it"))
}

fn refusal(url: &str, error: &OpenError) -> Fault {
    match error {
        OpenError::BadUrl { .. }
        | OpenError::NoSuchStore { .. }
        | OpenError::UnknownOption { .. }
        | OpenError::BadOption { .. } => Fault::usage(error.to_string()),
        OpenError::Redis(error) => redis_fault(url, error),
        OpenError::Postgres(error) => postgres_fault(url, error),
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
            _ => unreachable(url, error),
        },
        _ => unreachable(url, error),
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

/// The server that `--store` names, or that owns the directory which it names.
pub(crate) async fn server(global: &Global) -> Result<Option<HttpStore>, Fault> {
    let token = std::env::var("WINDLASS_TOKEN").ok().filter(|token| !token.is_empty());
    let options = HttpOptions { token, ..HttpOptions::default() };
    if global.store.starts_with("http") {
        let server = HttpStore::open(&global.store, options).await;
        return server.map(Some).map_err(|error| unreachable(&global.store, &error));
    }
    let socket = socket_of(&global.store).filter(|socket| Path::exists(socket));
    let Some(socket) = socket else { return Ok(None) };
    // A socket that nobody listens at is a dead server's.
    Ok(HttpStore::open(&format!("http+unix:{}", socket.display()), options).await.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_proposed_names_its_store_or_says_which_is_meant() {
        for (url, told) in [
            ("redis://h?namespace=n&upkeep=false", "windlass x --store 'redis://h?namespace=n&upkeep=false'"),
            ("file:./it's", r"windlass x --store 'file:./it'\''s'"),
            ("redis://u:secret@h?namespace=n", "windlass x (with the same --store, and namespace=n in it)"),
        ] {
            assert_eq!(on_made_store("windlass x", url), told);
        }
        assert_eq!(
            on_store("windlass x", "redis://h?pass=s", "the same --store"),
            "windlass x (with the same --store)"
        );
    }

    #[test]
    fn what_is_left_of_a_url_without_our_options_is_the_drivers() {
        for (url, server, namespace) in [
            (
                "postgres://a@b/c?namespace=n&sslmode=require&upkeep=false",
                "postgres://a@b/c?sslmode=require",
                Some("n"),
            ),
            ("redis://h?namespace=n", "redis://h", Some("n")),
            ("postgres:///d?host=/run", "postgres:///d?host=/run", None),
            ("memory:", "memory:", None),
        ] {
            assert_eq!(split_namespace(url), (server.to_owned(), namespace), "{url}");
        }
    }
}

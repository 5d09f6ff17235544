//! How a store is opened.

use crate::error::OpenError;
use std::path::PathBuf;
use std::sync::Arc;
use windlass_core::{StoreError, Time};
use windlass_pg::Verify;

/// A clock that a test moves; the store's own is the server's.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// What may be chosen when a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The schema that holds the store: one schema is one namespace. A plain lower-case name.
    pub schema: String,
    /// Whether this process keeps the store up in the background: promotes what is due, ends leases, prunes, ticks.
    /// Somebody must; all may.
    pub upkeep: bool,
    /// Whether to listen on a connection of its own for what other processes do. A pooler in transaction mode cannot
    /// carry it; without it, a change by another process is seen by the next look, within a second.
    pub listen: bool,
    /// Whether statements are prepared once per connection. Switch it off behind a pooler that does not know them.
    pub prepare: bool,
    /// Connections that are open at once, beside the one that listens and one for each further runtime that asks, as a
    /// worker's heartbeats have.
    pub connections: usize,
    /// Whether opening brings the schema up to date; without it a schema that is not is refused.
    pub migrate: bool,
    /// What is asked of the server's certificate; more than nothing requires TLS. `sslmode` in a URL wins over it.
    pub verify: Verify,
    /// A file of the certificates (PEM) that are trusted; none trusts the system's. `sslrootcert` in a URL wins over it.
    pub root_certificates: Option<PathBuf>,
    /// A clock instead of the server's; only tests have one.
    pub clock: Option<Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: "windlass".into(),
            upkeep: true,
            listen: true,
            prepare: true,
            connections: 8,
            migrate: true,
            verify: Verify::Nothing,
            root_certificates: None,
            clock: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("schema", &self.schema)
            .field("upkeep", &self.upkeep)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// Refuses a schema name that would need quotes: it stands in every statement as it is.
pub(crate) fn check_schema(name: &str) -> Result<(), OpenError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    if starts && name.len() <= 48 && name.bytes().all(plain) && !name.starts_with("pg_") {
        return Ok(());
    }
    let why = match name.starts_with("pg_") {
        true => "PostgreSQL keeps names that begin with pg_ for itself",
        false => "it is not a name of at most 48 lower-case letters, digits and _",
    };
    Err(OpenError::BadAddress(format!("namespace (schema) {name:?}: {why}")))
}

/// As [`check_schema`], for calls on a connection of the caller.
pub(crate) fn plain(name: &str) -> Result<(), StoreError> {
    check_schema(name).map_err(|why| StoreError::refused("open", why.to_string()))
}

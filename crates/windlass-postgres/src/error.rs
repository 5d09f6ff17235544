//! What the server or the way to it says, in the store's terms.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use windlass_core::StoreError;
use windlass_core::error::Outcome;

/// Why a store could not be opened, migrated or erased.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address, an option in it or the schema's name makes no sense; nothing was tried.
    #[error("{0}")]
    BadAddress(String),
    /// There is a schema of that name, and it is no store's, or not a store's alone; it is left as it is. In words, with
    /// what was found there.
    #[error("{0}")]
    NotAStore(String),
    /// The server could not be had, or said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A verb turned out to cross queues: it is repeated under the namespace's lock.
pub(crate) const NEEDS_WIDE: &str = "WL001";

/// The error of a call as the caller gets it. An error that the server reports has rolled the call back; without one,
/// nobody knows whether the call arrived.
pub(crate) fn store_error(operation: &'static str, fault: &Error) -> StoreError {
    let outcome = if fault.as_db_error().is_some() { Outcome::NotDone } else { Outcome::Unknown };
    let retryable = fault.code().is_none_or(passes);
    StoreError { operation, cause: windlass_pg::told(fault), outcome, retryable, hint: None }
}

/// As [`store_error`], of a call about that schema: a role that lacks rights is told which.
pub(crate) fn store_error_in(schema: &str, operation: &'static str, fault: &Error) -> StoreError {
    let mut told = store_error(operation, fault);
    if fault.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        told.cause.push_str(&rights(schema));
    }
    told
}

/// What the owner of a schema gives to a role that is to use its store, as `docs/postgres.md` has it.
fn rights(schema: &str) -> String {
    format!(
        "; as the owner of the schema, with this role in the place of ROLE: \
         GRANT USAGE ON SCHEMA {schema} TO ROLE; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO ROLE; \
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO ROLE"
    )
}

/// A fault on the way to the server, before anything was asked.
pub(crate) fn unreachable(operation: &'static str, cause: String) -> StoreError {
    StoreError { operation, cause, outcome: Outcome::NotDone, retryable: true, hint: None }
}

/// As [`store_error_in`], of a call that went by sqlx.
#[cfg(feature = "sqlx")]
pub(crate) fn sqlx_error(schema: &str, operation: &'static str, fault: &::sqlx::Error) -> StoreError {
    let (cause, outcome) = match fault.as_database_error() {
        Some(told) => {
            let code = told.code().unwrap_or_default();
            (format!("{} ({code})", told.message()), Outcome::NotDone)
        }
        None => (fault.to_string(), Outcome::Unknown),
    };
    let code = sqlx_code(fault).map(|code| SqlState::from_code(&code));
    let hint = if code == Some(SqlState::INSUFFICIENT_PRIVILEGE) { rights(schema) } else { String::new() };
    let retryable = code.is_none_or(|code| passes(&code));
    StoreError { operation, cause: cause + &hint, outcome, retryable, hint: None }
}

/// The server's code for what went wrong, if it was the server.
#[cfg(feature = "sqlx")]
pub(crate) fn sqlx_code(fault: &::sqlx::Error) -> Option<String> {
    Some(fault.as_database_error()?.code()?.into_owned())
}

/// Whether the same call may succeed by itself a moment later.
fn passes(code: &SqlState) -> bool {
    collides(code) || windlass_pg::code_passes(code)
}

/// Whether two transactions met; the loser simply goes again. Two that bring the same job meet at its id.
pub(crate) fn collides(code: &SqlState) -> bool {
    windlass_pg::collides(code) || *code == SqlState::UNIQUE_VIOLATION
}

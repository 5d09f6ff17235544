//! What the server or the way to it says.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// A fault in words: what the server said, with its code; else everything down to the cause.
pub fn told(fault: &Error) -> String {
    if let Some(told) = fault.as_db_error() {
        return format!("{} ({})", told.message(), told.code().code());
    }
    let mut text = fault.to_string();
    let mut source = std::error::Error::source(fault);
    while let Some(below) = source {
        text = format!("{text}: {below}");
        source = below.source();
    }
    text
}

/// Whether the same call may succeed by itself a moment later. Without the server's word nobody knows, and it may.
pub fn passes(fault: &Error) -> bool {
    fault.code().is_none_or(code_passes)
}

/// [`passes`] of the server's code.
pub fn code_passes(code: &SqlState) -> bool {
    collides(code)
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::QUERY_CANCELED,
            SqlState::DISK_FULL,
            SqlState::OUT_OF_MEMORY,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code)
}

/// Whether two transactions met; the loser simply goes again.
pub fn collides(code: &SqlState) -> bool {
    [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE]
        .contains(code)
}

//! Why there is no connection, in words that say what would be right.
//!
//! The driver tells what it met: bytes that are no answer, a connection that was closed, an error of the server. Whoever
//! reads it has a URL before him; so what is told here is what in that URL leads there.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::address::Address;

/// Whether the server answers nobody who has not shown a password. Where the driver names a database first, the code of
/// that answer is lost, and only its words are left.
pub(crate) fn asks_for_password(error: &RedisError) -> bool {
    error.code() == Some("NOAUTH")
        || error.detail().is_some_and(|detail| detail.contains("Authentication required"))
}

/// What kept us from a server at that address.
pub(crate) fn in_words(error: &RedisError, address: &Address) -> String {
    let told = error.to_string();
    match error.kind() {
        _ if asks_for_password(error) => {
            format!("the Redis server asks for a password: write {}", address.login())
        }
        ErrorKind::AuthenticationFailed => {
            format!("the Redis server refused the user or the password: {error}")
        }
        ErrorKind::Server(ServerErrorKind::ResponseError) if told.contains("switch database") => format!(
            "the Redis server refused the database that the URL names: {}; it has as many as its setting `databases` says, \
             from 0 on",
            error.detail().unwrap_or(&told)
        ),
        ErrorKind::Server(_) | ErrorKind::Extension => format!("the Redis server refused: {error}"),
        // What it met instead of an answer says nothing to anybody.
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            "what answers there is no Redis server: it speaks another protocol".to_owned()
        }
        _ if address.is_tls() && told.contains("corrupt message") => {
            "what answers there speaks no TLS; a Redis server without it is written redis://".to_owned()
        }
        // A server without TLS waits for the end of what it takes for a command.
        _ if address.is_tls() && error.is_timeout() => format!(
            "cannot reach the Redis server: {error}; a server that speaks no TLS does not answer: it is written redis://"
        ),
        _ if address.is_plain() && error.is_connection_dropped() && !error.is_connection_refusal() => {
            format!(
                "cannot reach the Redis server: {error}; a server that speaks TLS ends a connection without it: it is written rediss://"
            )
        }
        _ => format!("cannot reach the Redis server: {error}"),
    }
}

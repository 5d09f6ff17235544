//! The remote store: the whole queue contract on a Windlass server, over HTTP.
//!
//! What a verb answers is what the store behind the server answered: a write that is acknowledged here survives what that
//! store says ([`StoreInfo::ack_level`]), and a call that gave no answer says whether it can have been done. The server
//! has the clock and does the upkeep; this crate makes the requests and reads the answers, and keeps nothing but
//! connections.
//!
//! Start with `call.rs` for how an answer is judged, `link.rs` for how a connection is made, `queue.rs` for the verbs of
//! workers. The words on the wire are `windlass-api`'s.

mod address;
mod admin;
mod backup;
mod call;
mod link;
mod path;
mod queue;
#[cfg(feature = "tls")]
mod tls;

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use windlass_api::problem::Problem;
use windlass_api::store::{UpkeepRequest, UpkeepShape};
use windlass_core::store::{Store, StoreFuture, StoreInfo, Upkeep, UpkeepReport};
use windlass_core::{StoreError, Time};

use crate::address::Address;
use crate::call::{Answer, Call};
use crate::link::Link;

/// How long a call may take by default, beside what a request waits on purpose.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How a server is called.
#[derive(Clone)]
pub struct HttpOptions {
    /// Who calls, for a server that wants to know. It is sent with every request, and shown nowhere.
    pub token: Option<String>,
    /// How long a call may take, its connection included; [`CALL_TIMEOUT`] by default. A call that waits for news may
    /// take that much longer than it waits.
    pub call_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { token: None, call_timeout: CALL_TIMEOUT }
    }
}

impl std::fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpOptions").field("call_timeout", &self.call_timeout).finish_non_exhaustive()
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is none.
    #[error("not the address of a Windlass server: {0}; write http://HOST:PORT or http+unix:/PATH")]
    BadAddress(String),
    /// The token cannot be sent.
    #[error("the token holds a character that no request can carry")]
    BadToken,
    /// `https://` in a build without TLS.
    #[error("this build has no TLS: turn on the feature `http-tls`")]
    NoTls,
    /// TLS cannot be had on this host.
    #[error("TLS: {0}")]
    Tls(String),
    /// Nobody answered.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody else answered.
    #[error("{0}")]
    NotAServer(String),
    /// The server wants to know who calls, or does not let this caller in.
    #[error(
        "{server} refuses the caller: {why}; WINDLASS_TOKEN holds the token or the key that is sent, give one that it knows"
    )]
    Unauthorized {
        /// The address.
        server: String,
        /// The server's words.
        why: String,
    },
    /// The server, or the store behind it, could not say what it is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store behind a Windlass server. Cloning gives another handle to the same connections.
#[derive(Clone)]
pub struct HttpStore(Arc<Link>);

impl std::fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpStore").field("server", &self.0.shown()).finish_non_exhaustive()
    }
}

impl HttpStore {
    /// Opens the store of the server at that URL, which has answered once before this does:
    ///
    /// | URL | |
    /// |---|---|
    /// | `http://host:7979` | a server by its host and port |
    /// | `http://host:7979/queue` | the same below a path, where something else stands before it |
    /// | `https://host` | the same over TLS (feature `tls`), by the roots that this host believes or `SSL_CERT_FILE` names |
    /// | `http+unix:/run/windlass.sock` | a server of this machine by its socket |
    ///
    /// No proxy of the environment is used, and no redirect is followed: either would be shown the token.
    ///
    /// # Errors
    /// [`OpenError`] that says what is wrong with the address or the server, and what would be right.
    pub async fn open(url: &str, options: HttpOptions) -> Result<Self, OpenError> {
        let store = Self::at(url, &options)?;
        let mut call = store.look("open", "/v1/info");
        let reply = call.exchange().await.map_err(|why| OpenError::Unreachable(why.cause))?;
        let server = store.0.shown();
        if reply.version.is_none() {
            let (status, shown) = (reply.status, call::excerpt(&reply.body));
            return Err(OpenError::NotAServer(format!("{server} is no Windlass server: {status}, {shown}")));
        }
        if reply.status == StatusCode::NOT_FOUND {
            return Err(OpenError::NotAServer(format!("{server} is a Windlass server with another path")));
        }
        let problem = serde_json::from_slice::<Problem>(&reply.body);
        match problem {
            // A key that may work need not be one that may look.
            Ok(problem) if problem.code == "forbidden" => return Ok(store),
            Ok(problem)
                if matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                    || problem.code == "too_many_tries" =>
            {
                return Err(OpenError::Unauthorized { server, why: problem.detail });
            }
            _ => {}
        }
        match call.judge(reply) {
            Ok(answer) => answer.json::<StoreInfo>().map(|_| ())?,
            Err(failure) => return Err(failure.into_error("open").into()),
        }
        Ok(store)
    }

    /// Asks the server for what it has beside the verbs of a store: its keys, its audit log. An answer without a body is
    /// null.
    ///
    /// # Errors
    /// As of any verb: the refusal, or the failure.
    pub async fn beside<R: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        method: &str,
        path: &str,
        body: Option<&(impl serde::Serialize + Sync)>,
    ) -> Result<Result<R, Problem>, StoreError> {
        let known = Method::from_bytes(method.as_bytes())
            .map_err(|_| StoreError::refused(operation, format!("{method:?} is no method")))?;
        let mut call = match known {
            Method::GET => self.look(operation, path),
            known => Call::write(&self.0, operation, known, path),
        };
        if let Some(body) = body {
            call = call.json(body)?;
        }
        call.answered(Answer::json_or_null).await
    }

    /// The store at that URL, whether anybody is there or not.
    fn at(url: &str, options: &HttpOptions) -> Result<Self, OpenError> {
        let link = Link::new(Address::parse(url)?, options.token.as_deref(), options.call_timeout)?;
        Ok(Self(Arc::new(link)))
    }

    /// A call that looks something up by its address.
    fn look(&self, operation: &'static str, path: impl Into<String>) -> Call<'_> {
        Call::read(&self.0, operation, Method::GET, path)
    }

    /// A call that looks something up by its body.
    fn ask(&self, operation: &'static str, path: impl Into<String>) -> Call<'_> {
        Call::read(&self.0, operation, Method::POST, path)
    }

    fn post(&self, operation: &'static str, path: impl Into<String>) -> Call<'_> {
        Call::write(&self.0, operation, Method::POST, path)
    }

    fn put(&self, operation: &'static str, path: impl Into<String>) -> Call<'_> {
        Call::write(&self.0, operation, Method::PUT, path)
    }

    fn remove(&self, operation: &'static str, path: impl Into<String>) -> Call<'_> {
        Call::write(&self.0, operation, Method::DELETE, path)
    }
}

/// Time is the server's: a test that wants to set it works on the store behind the server.
fn by_the_servers_clock(operation: &'static str, at: Option<Time>) -> Result<(), StoreError> {
    match at {
        None => Ok(()),
        Some(_) => Err(StoreError::refused(operation, "a remote store runs on its server's clock")),
    }
}

impl Upkeep for HttpStore {
    /// The server does it by itself; this is for who does not want to wait for it.
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport> {
        Box::pin(async move {
            by_the_servers_clock("upkeep", at)?;
            let call = self.post("upkeep", "/v1/upkeep").json(&UpkeepRequest { budget })?;
            call.done(|answer| answer.json::<UpkeepShape>().map(UpkeepReport::from)).await
        })
    }
}

impl Store for HttpStore {
    /// Lets go of the connections; what was answered is the server's.
    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.0.let_go();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;

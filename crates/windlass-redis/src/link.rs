//! The connection: made when it is needed, made again when it breaks, and never deaf.
//!
//! One multiplexed connection carries every call of a runtime. A call that fails because the connection broke takes
//! it away; the next call makes a new one, and gives the server the library again if it has lost it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use windlass_core::error::Outcome;
use windlass_core::{JobId, Lease, StoreError, Time, WorkerId};

use crate::address::Address;
use crate::library::Library;
use crate::refusal;
use crate::runtimes::Runtimes;

/// How long a reply may take before the connection counts as broken: far above what any verb takes, so that
/// a busy server is not mistaken for a dead one.
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Nodes of a Cluster that a call follows one another to: one knows better, and in the middle of a failover two.
const REDIRECTS_MAX: usize = 3;

/// What a server is told to be that is one of several.
pub(crate) const NOT_A_CLUSTER: &str = "the server is a node of a Cluster, which answers for some namespaces only: write redis+cluster://HOST:PORT";

/// The way to one namespace.
pub(crate) struct Link {
    address: Address,
    library: &'static Library,
    /// `{namespace}`: what every key begins with, so that a Cluster keeps them together.
    prefix: String,
    sender: u64,
    runtimes: Runtimes,
    /// Tags of calls so far.
    tags: AtomicU64,
}

/// A call of a verb, its arguments growing.
pub(crate) struct Call {
    cmd: Cmd,
    /// What its answer begins with.
    tag: String,
    /// Whether the same call made twice is as good as once.
    repeatable: bool,
    verb: &'static str,
}

impl Call {
    /// Adds bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.cmd.arg(bytes);
        self
    }

    /// Adds text.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.cmd.arg(text);
        self
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        self.cmd.arg(number.into());
        self
    }

    /// Adds how many of something follow.
    pub(crate) fn count(&mut self, count: usize) -> &mut Self {
        self.cmd.arg(count);
        self
    }

    /// Adds yes or no.
    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.text(if flag { "1" } else { "0" })
    }

    /// Adds a number or nothing.
    pub(crate) fn maybe(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.number(number),
            None => self.text(""),
        }
    }

    /// Adds bytes that may be missing: behind a 1 when they are there.
    pub(crate) fn maybe_bytes(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            Some(bytes) => self.bytes(&[b"1", bytes].concat()),
            None => self.text(""),
        }
    }

    /// Adds a job's id.
    pub(crate) fn id(&mut self, id: JobId) -> &mut Self {
        self.bytes(&id.0.to_be_bytes())
    }

    /// Adds a worker's id.
    pub(crate) fn worker(&mut self, worker: WorkerId) -> &mut Self {
        self.bytes(&worker.0.to_be_bytes())
    }

    /// Adds what names a lease: the job and the token.
    pub(crate) fn lease(&mut self, lease: &Lease) -> &mut Self {
        let token = [lease.token.counter.to_be_bytes(), lease.token.nonce.to_be_bytes()].concat();
        self.id(lease.job).bytes(&token)
    }

    /// Says that this call must not be made twice.
    pub(crate) fn once(&mut self) -> &mut Self {
        self.repeatable = false;
        self
    }
}

impl Link {
    /// The namespace that it leads to.
    pub(crate) fn namespace(&self) -> &str {
        self.prefix.trim_start_matches('{').trim_end_matches('}')
    }

    pub(crate) fn new(address: Address, library: &'static Library, namespace: &str, sender: u64) -> Self {
        Self {
            address,
            library,
            prefix: format!("{{{namespace}}}"),
            sender,
            runtimes: Runtimes::default(),
            tags: AtomicU64::new(0),
        }
    }

    /// Which handle this is, in messages to other processes.
    pub(crate) fn sender(&self) -> u64 {
        self.sender
    }

    /// The channel on which every call tells what it owes to others.
    pub(crate) fn channel(&self) -> String {
        format!("{}:bell", self.prefix)
    }

    /// Begins a call.
    pub(crate) fn call(&self, verb: &'static str, at: Option<Time>) -> Call {
        let mut cmd = redis::cmd("FCALL");
        cmd.arg(format!("{}_{verb}", self.library.name)).arg(1).arg(&self.prefix);
        match at {
            Some(at) => cmd.arg(at.0),
            None => cmd.arg(""),
        };
        let tag = self.tags.fetch_add(1, Ordering::Relaxed).to_string();
        cmd.arg(&self.sender.to_be_bytes()).arg(&tag);
        Call { cmd, tag, repeatable: true, verb }
    }

    /// Makes a call, twice if the connection breaks and the call allows it; answers what stands behind the tag.
    pub(crate) async fn send(&self, call: &Call) -> Result<Vec<Value>, Failure> {
        let mut again = call.repeatable;
        let mut redirects = 0;
        loop {
            let answer = match self.try_send(&call.cmd, call.verb).await {
                Ok(answer) => self.answer_to(call, answer),
                Err(failure) => Err(failure),
            };
            match answer {
                Err(Failure::Broken(_)) if again => again = false,
                Err(Failure::Moved(_)) if redirects < REDIRECTS_MAX => redirects += 1,
                answer => return answer,
            }
        }
    }

    /// The answer to this call. One that answers another call means that requests and replies no longer go together:
    /// then nothing that this connection brings can be believed.
    fn answer_to(&self, call: &Call, answer: Value) -> Result<Vec<Value>, Failure> {
        if let Value::Array(mut parts) = answer
            && !parts.is_empty()
            && matches!(&parts[0], Value::BulkString(tag) if *tag == call.tag.as_bytes())
        {
            parts.remove(0);
            return Ok(parts);
        }
        self.drop_connection();
        Err(Failure::Broken(StoreError {
            operation: call.verb,
            cause: "the connection brought the answer to another call, and was given up".into(),
            outcome: Outcome::Unknown,
            retryable: true,
            hint: None,
        }))
    }

    async fn try_send(&self, cmd: &Cmd, verb: &'static str) -> Result<Value, Failure> {
        let mut connection = self.connection(verb).await?;
        let mut loaded = false;
        loop {
            match connection.send_packed_command(cmd).await.and_then(Value::extract_error) {
                Ok(value) => return Ok(value),
                Err(error) if !loaded && is_unknown_function(&error) => {
                    loaded = true;
                    load(&mut connection, self.library).await.map_err(|error| self.failure(verb, &error))?;
                }
                Err(error) => return Err(self.failure(verb, &error)),
            }
        }
    }

    /// Where the namespace is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A command that is not one of ours.
    pub(crate) async fn command(&self, cmd: &Cmd) -> Result<Value, Failure> {
        self.try_send(cmd, "connect").await
    }

    /// The connection, made if there is none.
    async fn connection(&self, verb: &'static str) -> Result<MultiplexedConnection, Failure> {
        let own =
            self.runtimes.own().map_err(|why| Failure::Store(StoreError::refused(verb, why.to_string())))?;
        if let Some(connection) = own.standing() {
            return Ok(connection);
        }
        let _making = own.making.lock().await;
        if let Some(connection) = own.standing() {
            return Ok(connection);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT));
        // Boxed: the many layers of a connection would be part of the type of every future that may make one.
        let made = Box::pin(async {
            let server = self.address.locate(&self.prefix).await?;
            server.get_multiplexed_async_connection_with_config(&config).await
        });
        let connection = made.await.map_err(|error| {
            let cause = refusal::in_words(&error, &self.address);
            Failure::Store(StoreError {
                operation: verb,
                cause,
                outcome: Outcome::NotDone,
                retryable: true,
                hint: None,
            })
        })?;
        own.set(Some(connection.clone()));
        Ok(connection)
    }

    /// What an error means; one that ends the connection takes it away.
    fn failure(&self, verb: &'static str, error: &RedisError) -> Failure {
        use ServerErrorKind as Kind;
        let store = |cause: String, outcome, retryable| StoreError {
            operation: verb,
            cause,
            outcome,
            retryable,
            hint: None,
        };
        let refused =
            |cause: &str| Failure::Store(store(format!("{cause}: {error}"), Outcome::NotDone, true));
        match error.kind() {
            ErrorKind::Server(Kind::Moved) => {
                self.drop_connection();
                match self.address.moved(error) {
                    true => Failure::Moved(store(
                        format!("another node took over: {error}"),
                        Outcome::NotDone,
                        true,
                    )),
                    false => Failure::Store(store(NOT_A_CLUSTER.into(), Outcome::NotDone, false)),
                }
            }
            ErrorKind::Server(Kind::Ask) => refused("the namespace's slot is on its way to another node"),
            ErrorKind::Server(Kind::BusyLoading) => refused("the server is loading its data"),
            ErrorKind::Server(Kind::MasterDown | Kind::ClusterDown | Kind::TryAgain) => {
                refused("the server is not ready")
            }
            ErrorKind::Server(Kind::ReadOnly) => {
                self.drop_connection();
                refused("the server is a replica now")
            }
            _ if refusal::asks_for_password(error) => {
                // One that was made without a password stays so.
                self.drop_connection();
                let cause = refusal::in_words(error, &self.address);
                Failure::Store(store(cause, Outcome::NotDone, true))
            }
            _ if error.code() == Some("OOM") => Failure::OutOfSpace,
            _ if error.code() == Some("BUSY") => refused("the server is busy with another script"),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                let cause = match error.code() {
                    Some("NOPERM") => format!(
                        "the user may not do this; it needs the rights that docs/redis.md lists, on ~{0}* and &{0}:bell: {error}",
                        self.prefix
                    ),
                    _ => format!("the server refused: {error}"),
                };
                Failure::Store(store(cause, Outcome::Unknown, false))
            }
            _ => {
                self.drop_connection();
                let cause = format!("the connection to the server broke: {error}");
                Failure::Broken(store(cause, Outcome::Unknown, true))
            }
        }
    }

    /// Takes the connection of this runtime away; others find out by themselves.
    fn drop_connection(&self) {
        if let Ok(own) = self.runtimes.own() {
            own.set(None);
        }
    }

    /// A connection of its own that listens to what other processes tell. The library sets no bound for making one.
    pub(crate) async fn listen(&self) -> Result<redis::aio::PubSub, RedisError> {
        let server = self.address.locate(&self.prefix).await?;
        let made = Box::pin(async {
            let mut listener = server.get_async_pubsub().await?;
            listener.subscribe(self.channel()).await?;
            Ok(listener)
        });
        let slow = || RedisError::from((ErrorKind::Io, "the server did not answer in time"));
        tokio::time::timeout(CONNECT_TIMEOUT, made).await.unwrap_or_else(|_| Err(slow()))
    }
}

/// Why a call has no answer.
pub(crate) enum Failure {
    /// The connection broke: nobody knows whether the call was made.
    Broken(StoreError),
    /// Nothing was done, since another node of the Cluster owns the namespace now.
    Moved(StoreError),
    /// The server takes no more data.
    OutOfSpace,
    /// Anything else.
    Store(StoreError),
}

impl Failure {
    /// As the contract's own error.
    pub(crate) fn into_error(self, operation: &'static str) -> StoreError {
        match self {
            Failure::Broken(error) | Failure::Moved(error) | Failure::Store(error) => error,
            Failure::OutOfSpace => StoreError {
                operation,
                cause: "the Redis server is out of memory (maxmemory)".into(),
                outcome: Outcome::NotDone,
                retryable: true,
                hint: None,
            },
        }
    }
}

fn is_unknown_function(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("Function not found"))
}

/// Gives the server the library.
async fn load(connection: &mut MultiplexedConnection, library: &Library) -> Result<(), RedisError> {
    let mut cmd = redis::cmd("FUNCTION");
    cmd.arg("LOAD").arg(&library.text);
    match connection.send_packed_command(&cmd).await.and_then(Value::extract_error) {
        Ok(_) => Ok(()),
        // Another process was faster.
        Err(error) if error.to_string().contains("already exists") => Ok(()),
        Err(error) => Err(error),
    }
}

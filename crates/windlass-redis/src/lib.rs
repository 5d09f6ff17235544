//! The Redis store: the whole queue contract on the Redis (7.0 or later, or Valkey) that you already run.
//!
//! Every verb is one function inside Redis, atomic by nature, over one packed record per job, which is
//! the truth about it ([`FORMAT.md`] gives every byte and every key). Ready jobs without a group lie in
//! Streams, those of groups in Lists; leases, times and limits beside them. This crate makes the calls,
//! reads the answers, rings whoever waits, and keeps the clock.
//! What an acknowledged write survives is what the server's settings give: they are read at the open
//! and stated ([`RedisStore::ack_level`]).
//!
//! Start with `lua/prelude/lanes.lua`'s opening comment for the order of jobs, `link.rs` for how a call is
//! made and made again, `queue.rs` for the verbs of workers.
//!
//! [`FORMAT.md`]: https://github.com/windlass-queue/windlass/blob/main/crates/windlass-redis/FORMAT.md

mod address;
mod admin;
mod events;
mod hub;
mod library;
mod link;
mod open;
mod pace;
mod queue;
mod record;
mod refusal;
mod runtimes;
mod shown;
mod upkeep;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use redis::Value;
use tokio::task::JoinHandle;
use windlass_core::store::{AckLevel, Store, StoreFuture};
use windlass_core::{StoreError, Time};

pub use crate::open::{OpenError, RedisOptions};

use crate::hub::Hub;
use crate::link::{Call, Failure, Link};
use crate::wire::{Bell, Misread, Read};

/// A store in one namespace of a Redis server. Cloning gives another handle to the same store.
#[derive(Clone)]
pub struct RedisStore(Arc<Handle>);

struct Handle {
    link: Arc<Link>,
    hub: Arc<Hub>,
    level: AckLevel,
    /// What was read at the open, for people.
    server: String,
    clock: Option<Arc<dyn Fn() -> Time + Send + Sync>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("server", &self.0.server).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// What an acknowledged write survives, by the server's own settings.
    pub fn ack_level(&self) -> AckLevel {
        self.0.level
    }

    /// The server as it was found at the open, in words for people.
    pub fn server(&self) -> &str {
        &self.0.server
    }

    /// Begins a call of a verb. The server's own clock is used unless a test sets another.
    fn call(&self, verb: &'static str, at: Option<Time>) -> Call {
        let at = at.or_else(|| self.0.clock.as_ref().map(|clock| clock()));
        self.0.link.call(verb, at)
    }

    /// The time by which this process checks what it sends; the server's own decides.
    fn now(&self, at: Option<Time>) -> Time {
        at.unwrap_or_else(|| self.0.clock.as_ref().map_or_else(wall_clock, |clock| clock()))
    }

    /// Makes a call that changes something, and tells everyone here what it owes them.
    async fn run(&self, call: &Call, operation: &'static str) -> Result<Value, Failure> {
        let answer = self.0.link.send(call).await?;
        let read = || -> Read<(Value, Bell)> {
            let [value, bell] = wire::fields(Value::Array(answer))?;
            Ok((value, Bell::read(&wire::bytes(bell)?)?))
        };
        let (value, bell) = read().map_err(|why| Failure::Store(why.into_error(operation)))?;
        self.0.hub.tell(&bell);
        Ok(value)
    }

    /// Makes a call and reads its answer.
    async fn done<T>(
        &self,
        call: &Call,
        operation: &'static str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Result<T, StoreError> {
        let value = self.run(call, operation).await.map_err(|failure| failure.into_error(operation))?;
        read(value).map_err(|why| why.into_error(operation))
    }

    /// Makes a call that changes nothing and reads its answer.
    async fn look<T>(
        &self,
        call: &Call,
        operation: &'static str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Result<T, StoreError> {
        let answer = self.0.link.send(call).await.map_err(|failure| failure.into_error(operation))?;
        let value = wire::fields(Value::Array(answer)).map(|[value]| value);
        value.and_then(read).map_err(|why: Misread| why.into_error(operation))
    }
}

/// This machine's clock, for checks before the server is asked.
fn wall_clock() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

impl Store for RedisStore {
    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.0.hub.drain();
            let tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            tasks.iter().for_each(JoinHandle::abort);
            Ok(())
        })
    }
}

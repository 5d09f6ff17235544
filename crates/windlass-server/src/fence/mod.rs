//! The queue as one key sees it: a store that knows only the key's queues, and shows what jobs hold only to those who may
//! see it.
//!
//! It stands between every handler and the store, so that a route need not think of it, and a new route cannot forget it.
//! - What a request *names* beyond the key's queues is refused with what the key may do, whether or not it exists.
//! - What it *refers to* (a job's id, a lease, a cursor, a parent) beyond them is answered exactly as what does not exist.
//! - What is *told* beyond them is left out.
//! - What belongs to the whole store (limits, readers, values, upkeep) a limited key may not use.
//!
//! Every verb asks first whether the key still holds, so that what waits for long ends with its key.

mod admin;
mod known;
mod queue;
pub(crate) mod veil;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};
use windlass_core::name::check_name;
use windlass_core::store::{PerItem, Store, StoreFuture, Upkeep, UpkeepReport};
use windlass_core::{QueueName, Rejection, StoreError, Time};

use crate::answer::Fault;
use crate::audit::Deeds;
use crate::keys::Key;
use crate::keys::ring::Ring;
use crate::routes::Scope;

/// The `operation` of a [`StoreError`] that is no failure of the store: whoever asks may not do this.
pub(crate) const FORBIDDEN: &str = "forbidden";
/// The same when the key has ended since it was let in.
pub(crate) const ENDED: &str = "ended";

/// The queues that a key is limited to: names, and beginnings of names with a `*` behind them. None is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fence(Vec<String>);

impl Fence {
    /// The limit that those patterns mean.
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, Fault> {
        for pattern in patterns {
            let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
            if pattern == "*" {
                return Err(Fault::bad_request("* would be every queue").hint(
                    "a key that names no queue is for all of them; a beginning looks like campaign-*",
                ));
            }
            check_name("queue name", beginning).map_err(|refused| {
                Fault::from(refused).hint("name a queue, or its beginning with a * behind it: campaign-*")
            })?;
        }
        Ok(Self(patterns.to_vec()))
    }

    /// What it was made of.
    pub(crate) fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether that queue lies within.
    pub(crate) fn has(&self, queue: &QueueName) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => queue.as_str().starts_with(beginning),
            None => queue.as_str() == pattern,
        };
        !self.is_limited() || self.0.iter().any(matches)
    }
}

/// Whether a key still holds.
#[derive(Debug)]
pub(crate) struct Alive {
    ring: Weak<Ring>,
    gone: Arc<AtomicBool>,
    expires_at: Option<Time>,
}

impl Alive {
    pub(crate) fn new(ring: &Arc<Ring>, gone: &Arc<AtomicBool>, expires_at: Option<Time>) -> Self {
        Self { ring: Arc::downgrade(ring), gone: gone.clone(), expires_at }
    }
}

/// A store as one key sees it.
pub(crate) struct Fenced {
    inner: Arc<dyn Store>,
    /// Who sees it, for what is said to them.
    name: String,
    fence: Fence,
    /// Whether it sees what jobs hold.
    sees_payloads: bool,
    /// None for an operation that goes on after its key.
    alive: Option<Alive>,
    /// Where it is noted what changes.
    deeds: Option<Arc<Deeds>>,
}

impl Fenced {
    /// The store as that key sees it.
    pub(crate) fn of(inner: Arc<dyn Store>, key: &Key, alive: Alive) -> Self {
        Self {
            inner,
            name: key.name.clone(),
            fence: key.fence.clone(),
            sees_payloads: key.scopes.has(Scope::Payloads),
            alive: Some(alive),
            deeds: None,
        }
    }

    /// The store as somebody sees it who has shown nothing: no queue lies within.
    pub(crate) fn nothing(inner: Arc<dyn Store>) -> Self {
        // No name holds this character.
        let fence = Fence(vec!["~".to_owned()]);
        Self { inner, name: "nobody".to_owned(), fence, sees_payloads: false, alive: None, deeds: None }
    }

    /// The store as it is, with what changes noted there.
    pub(crate) fn noting(inner: Arc<dyn Store>, deeds: Arc<Deeds>) -> Self {
        let fence = Fence::default();
        Self { inner, name: String::new(), fence, sees_payloads: true, alive: None, deeds: Some(deeds) }
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if let Some(deeds) = &self.deeds {
            deeds.note(&what());
        }
    }

    fn note_jobs<T>(&self, verb: &str, answers: &PerItem<T>) {
        if let Some(deeds) = &self.deeds {
            deeds.jobs(verb, answers);
        }
    }

    /// Notes what was done, unless it was refused.
    fn noted(
        &self,
        answer: Result<(), Rejection>,
        what: impl FnOnce() -> String,
    ) -> Result<Result<(), Rejection>, StoreError> {
        if answer.is_ok() {
            self.note(what);
        }
        Ok(answer)
    }

    /// The store limited to those queues, for an operation that a key has begun.
    pub(crate) fn limited(inner: Arc<dyn Store>, name: &str, fence: Fence) -> Self {
        Self { inner, name: name.to_owned(), fence, sees_payloads: true, alive: None, deeds: None }
    }

    /// Ends whatever goes on under a key that no longer holds.
    async fn alive(&self) -> Result<(), StoreError> {
        let Some(alive) = &self.alive else { return Ok(()) };
        let ended =
            || StoreError::refused(ENDED, format!("key:{} has been revoked or has expired", self.name));
        let Some(ring) = alive.ring.upgrade() else { return Err(ended()) };
        ring.freshen().await?;
        if alive.gone.load(Ordering::Acquire) || alive.expires_at.is_some_and(|at| at <= now()) {
            return Err(ended());
        }
        Ok(())
    }

    /// Refuses a queue that is named and lies beyond.
    fn named(&self, queue: &QueueName) -> Result<(), Rejection> {
        if self.fence.has(queue) {
            return Ok(());
        }
        let own = self.fence.patterns().join(", ");
        let what = format!("key:{} is limited to the queues {own}; {queue} is none of them", self.name);
        Err(Rejection::Forbidden { what })
    }

    /// Refuses what belongs to the whole store.
    fn whole(&self, what: &str) -> Result<(), Rejection> {
        if !self.fence.is_limited() {
            return Ok(());
        }
        let own = self.fence.patterns().join(", ");
        let what =
            format!("key:{} is limited to the queues {own}, and {what} belong to all queues", self.name);
        Err(Rejection::Forbidden { what })
    }

    /// Refuses what only somebody may do who sees what jobs hold.
    fn sees(&self, what: &str) -> Result<(), Rejection> {
        if self.sees_payloads {
            return Ok(());
        }
        Err(Rejection::Forbidden { what: format!("key:{} lacks the scope payloads: {what}", self.name) })
    }
}

/// A refusal where a verb has no word for it.
fn refused(rejection: Rejection) -> StoreError {
    StoreError::refused(FORBIDDEN, rejection.to_string())
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Upkeep for Fenced {
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport> {
        Box::pin(async move {
            self.alive().await?;
            self.whole("upkeep's steps").map_err(refused)?;
            self.note(|| format!("upkeep of {budget} steps"));
            self.inner.upkeep(budget, at).await
        })
    }
}

impl Store for Fenced {
    /// No key closes a store.
    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_has_the_queues_that_it_names_and_those_that_begin_so() {
        let fence = Fence::parse(&["campaign-*".into(), "sms".into()]).expect("patterns");
        for (queue, has) in
            [("campaign-", true), ("campaign-7", true), ("campaign", false), ("sms", true), ("sms2", false)]
        {
            assert_eq!(fence.has(&QueueName::new(queue).expect("a name")), has, "{queue}");
        }
        assert!(Fence::default().has(&QueueName::new("any").expect("a name")));
        for bad in ["", "*", "a b", "a*b", "a**"] {
            assert!(Fence::parse(&[bad.into()]).is_err(), "{bad:?}");
        }
    }
}

//! The keys in memory: found without asking the store, and looked up again often enough.
//!
//! Whoever asks with a key is judged by a list that is at most [`STALE_MOST`] old. A list that gets old is read again
//! beside the request that notices it, so that under traffic nobody waits; where nobody asks, nothing is read. A store
//! that does not answer opens no door: who shows a key is told that the store failed.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use windlass::Client;
use windlass_core::store::Store;
use windlass_core::{StoreError, Time};

use super::{Key, USES, Uses, read, text};
use crate::answer::Fault;
use crate::app::{App, Inner};
use crate::fence::{Alive, Fenced};

/// The oldest list by which anybody is judged: a revocation takes hold within a second everywhere.
pub(crate) const STALE_MOST: Duration = Duration::from_millis(900);
/// The age at which it is read again, while requests go on.
const STALE_SOON: Duration = Duration::from_millis(400);
/// How often it is written down when keys were used: people look at days, and a write costs the store a sync.
const USES_EVERY: Duration = Duration::from_secs(60);
/// Addresses remembered of a key, the newest: those of a fleet behind a few gateways.
const ADDRESSES_KEPT: usize = 8;

/// What stands for the token of the start among the prefixes of keys.
pub(crate) const ROOT: &str = "root";

/// A key that is known at present.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) key: Key,
    /// Set once it is no longer in the list; whatever goes on under it ends then.
    gone: Arc<AtomicBool>,
    /// The queue as this key sees it.
    view: OnceLock<Client>,
}

impl Held {
    fn new(key: Key) -> Arc<Self> {
        Arc::new(Self { key, gone: Arc::default(), view: OnceLock::new() })
    }

    /// The queue as this key sees it, which is made once, so that its requests share steps of the store.
    pub(crate) fn view(&self, ring: &Arc<Ring>) -> &Client {
        self.view.get_or_init(|| {
            let alive = Alive::new(ring, &self.gone, self.key.expires_at);
            Client::new(Arc::new(Fenced::of(ring.store.clone(), &self.key, alive)))
        })
    }
}

#[derive(Default)]
struct Snapshot {
    by_prefix: HashMap<String, Arc<Held>>,
    /// When the reading of it began.
    read_at: Option<Instant>,
}

/// The last use of a key that is not written down yet, and where it was used from.
#[derive(Default)]
struct Use {
    at: Time,
    written: bool,
    from: Vec<IpAddr>,
}

/// All keys, and their use.
pub(crate) struct Ring {
    store: Arc<dyn Store>,
    snapshot: RwLock<Snapshot>,
    /// One reader at a time.
    reading: tokio::sync::Mutex<()>,
    /// Whether somebody reads beside a request.
    is_reading: AtomicBool,
    uses: Mutex<HashMap<String, Use>>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring(…)")
    }
}

impl Ring {
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            snapshot: RwLock::default(),
            reading: tokio::sync::Mutex::new(()),
            is_reading: AtomicBool::new(false),
            uses: Mutex::default(),
        })
    }

    /// The key of that text, if it is one now.
    pub(crate) async fn find(
        self: &Arc<Self>,
        shown: &str,
        now: Time,
    ) -> Result<Option<Arc<Held>>, StoreError> {
        let Some(prefix) = text::prefix_of(shown) else { return Ok(None) };
        let held = self.named(prefix, now).await?;
        Ok(held.filter(|held| text::is(shown, &held.key.digest)))
    }

    /// The key of that prefix, if it is one now: for a session that it began.
    pub(crate) async fn named(
        self: &Arc<Self>,
        prefix: &str,
        now: Time,
    ) -> Result<Option<Arc<Held>>, StoreError> {
        self.freshen().await?;
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        Ok(snapshot.by_prefix.get(prefix).filter(|held| !held.key.is_over(now)).cloned())
    }

    /// Sees to it that the list is not too old.
    pub(crate) async fn freshen(self: &Arc<Self>) -> Result<(), StoreError> {
        let age = self.age();
        if age < STALE_SOON {
            return Ok(());
        }
        if age < STALE_MOST {
            if !self.is_reading.swap(true, Ordering::AcqRel) {
                let ring = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = ring.read_again(STALE_SOON).await {
                        tracing::warn!(%error, "the keys cannot be read");
                    }
                    ring.is_reading.store(false, Ordering::Release);
                });
            }
            return Ok(());
        }
        self.read_again(STALE_MOST).await
    }

    /// Forgets how old the list is: the next who asks waits for a new one.
    pub(crate) fn forget(&self) {
        self.snapshot.write().unwrap_or_else(PoisonError::into_inner).read_at = None;
    }

    fn age(&self) -> Duration {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        snapshot.read_at.map_or(Duration::MAX, |at| at.elapsed())
    }

    /// Reads the list, unless somebody else has done so while this waited.
    async fn read_again(&self, older_than: Duration) -> Result<(), StoreError> {
        let _turn = self.reading.lock().await;
        if self.age() < older_than {
            return Ok(());
        }
        let began = Instant::now();
        let (keys, _) = read(self.store.as_ref()).await?;
        let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut snapshot.by_prefix);
        for key in keys {
            let held = match before.remove(&key.prefix) {
                Some(held) if held.key == key => held,
                Some(changed) => {
                    changed.gone.store(true, Ordering::Release);
                    Held::new(key)
                }
                None => Held::new(key),
            };
            snapshot.by_prefix.insert(held.key.prefix.clone(), held);
        }
        for gone in before.into_values() {
            gone.gone.store(true, Ordering::Release);
        }
        snapshot.read_at = Some(began);
        Ok(())
    }

    /// Remembers that a key was used.
    pub(crate) fn note(&self, prefix: &str, from: Option<IpAddr>, now: Time) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if !uses.contains_key(prefix) {
            uses.insert(prefix.to_owned(), Use::default());
        }
        let Some(last) = uses.get_mut(prefix) else { return };
        (last.at, last.written) = (now, false);
        if let Some(from) = from
            && last.from.last() != Some(&from)
        {
            last.from.retain(|other| *other != from);
            if last.from.len() >= ADDRESSES_KEPT {
                last.from.remove(0);
            }
            last.from.push(from);
        }
    }

    /// Remembers where the token of the start was used from. There is nothing of it to write down.
    pub(crate) fn note_root(&self, from: Option<IpAddr>) {
        if let Some(from) = from.filter(|from| !self.was_used_from(ROOT, *from)) {
            self.note(ROOT, Some(from), Time::default());
        }
    }

    /// Whether the key was used from there before.
    pub(crate) fn was_used_from(&self, prefix: &str, from: IpAddr) -> bool {
        let uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.get(prefix).is_some_and(|last| last.from.contains(&from))
    }

    /// Writes down when keys were used since the last time.
    pub(crate) async fn write_uses(&self) -> Result<(), Fault> {
        let new: BTreeMap<String, Time> = {
            let uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            uses.iter()
                .filter(|(prefix, last)| !last.written && *prefix != ROOT)
                .map(|(prefix, last)| (prefix.clone(), last.at))
                .collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let (keys, _) = read(self.store.as_ref()).await?;
        let change = |all: &mut Uses| {
            for (prefix, at) in &new {
                let last = all.entry(prefix.clone()).or_default();
                *last = (*last).max(*at);
            }
            all.retain(|prefix, _| keys.iter().any(|key| key.prefix == *prefix));
            Ok(())
        };
        USES.change(self.store.as_ref(), change).await?;
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        for (prefix, at) in new {
            if let Some(last) = uses.get_mut(&prefix).filter(|last| last.at == at) {
                last.written = true;
            }
        }
        uses.retain(|prefix, _| prefix == ROOT || keys.iter().any(|key| key.prefix == *prefix));
        Ok(())
    }
}

/// Writes down the use of keys from time to time, for as long as the server is there, and when it ends.
pub(crate) async fn keep(app: Weak<Inner>) {
    loop {
        let Some(drain) = app.upgrade().map(|inner| App::of(inner).drain().clone()) else { return };
        let ends = tokio::select! {
            () = tokio::time::sleep(USES_EVERY) => false,
            () = drain.begun() => true,
        };
        let Some(ring) = app.upgrade().map(|inner| App::of(inner).ring().clone()) else { return };
        if let Err(fault) = ring.write_uses().await {
            tracing::debug!(why = fault.0.detail, "the use of keys is not written down");
        }
        if ends {
            return;
        }
    }
}

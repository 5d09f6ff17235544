//! Unique keys: who holds which, and until when it stays taken after its job is gone.

use super::Machine;
use hashbrown::HashMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use windlass_core::job::UniqueScope;

/// The holder of a key. A key with a time to live may outlast its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) id: u128,
    /// Taken until then (wall clock, ms) whatever becomes of the job; 0 without a time to live.
    pub(crate) until: u64,
}

/// Keys that are taken.
#[derive(Default)]
pub(crate) struct UniqueIndex {
    pub(crate) holders: HashMap<Arc<str>, Holder>,
    /// Keys with a time to live, by its end.
    pub(crate) expiring: BTreeSet<(u64, Arc<str>)>,
}

impl UniqueIndex {
    pub(crate) fn get(&self, key: &str, now: u64) -> Option<Holder> {
        self.holders.get(key).copied().filter(|holder| holder.until == 0 || holder.until > now)
    }

    pub(crate) fn take(&mut self, key: &str, holder: Holder) {
        let key: Arc<str> = Arc::from(key);
        if let Some(old) = self.holders.insert(key.clone(), holder)
            && old.until != 0
        {
            self.expiring.remove(&(old.until, key.clone()));
        }
        if holder.until != 0 {
            self.expiring.insert((holder.until, key));
        }
    }

    fn free(&mut self, key: &str, id: u128) {
        if self.holders.get(key).is_some_and(|holder| holder.id == id && holder.until == 0) {
            self.holders.remove(key);
        }
    }

    /// Lets go of keys whose time is over, at most `budget` of them.
    pub(crate) fn expire(&mut self, now: u64, budget: usize) -> usize {
        let mut done = 0;
        while done < budget {
            let Some((until, key)) = self.expiring.first().cloned() else { break };
            if until > now {
                break;
            }
            self.expiring.remove(&(until, key.clone()));
            if self.holders.get(&key).is_some_and(|holder| holder.until == until) {
                self.holders.remove(&key);
            }
            done += 1;
        }
        done
    }
}

impl Machine {
    /// The job ended or was removed: its key is free, unless it has a time to live.
    pub(crate) fn free_unique(&mut self, at: u32) {
        let id = self.slots.at(at).id;
        if let Some(extra) = self.extras.get(self.extra_index(at))
            && let Some(unique) = &extra.unique
        {
            self.unique.free(unique.key.as_str(), id);
        }
    }

    /// T3 of a job whose key is unique until it starts: given up for good.
    pub(crate) fn give_up_unique(&mut self, at: u32) {
        let index = self.extra_index(at);
        let given_up = self
            .extras
            .get(index)
            .is_some_and(|e| e.unique.as_ref().is_some_and(|u| u.scope == UniqueScope::UntilStart));
        if given_up {
            self.free_unique(at);
            self.extras[index].unique = None;
        }
    }
}

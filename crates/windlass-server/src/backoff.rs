//! Slowing down those who try what opens nothing: wrong tokens and failed logins, counted by address.
//!
//! The first few tries of an address are free, since people mistype. After them each failure closes the door to that
//! address for twice as long as the one before. Behind a closed door a right token is told the same as a wrong one, or
//! guessing would go on undisturbed; only a key that came from that address before goes through, so that a worker with
//! a wrong token does not shut out its neighbours. Sessions go through as well: nobody guesses one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures that cost nothing.
const FREE: u32 = 5;
/// How long the door stays closed after the first failure that costs something.
const FIRST: Duration = Duration::from_secs(1);
/// The longest that it stays closed.
const LONGEST: Duration = Duration::from_secs(60);
/// An address that has failed nowhere for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);
/// Addresses that are remembered, some hundred kilobytes. The one that is silent for longest makes room.
const ADDRESSES_MOST: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
    closed_until: Instant,
}

/// The addresses that have failed of late.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    all: Mutex<HashMap<Option<IpAddr>, Failures>>,
    /// How many there are, so that a server at which nobody fails looks at one number.
    count: AtomicUsize,
}

impl Backoff {
    /// For how long the door is still closed to that address.
    pub(crate) fn closed_for(&self, address: Option<IpAddr>) -> Option<Duration> {
        self.closed_for_at(address, Instant::now())
    }

    fn closed_for_at(&self, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let failures = self.all().get(&address.map(network)).copied()?;
        Some(failures.closed_until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Remembers a failure.
    pub(crate) fn failed(&self, address: Option<IpAddr>) {
        self.failed_at(address, Instant::now());
    }

    fn failed_at(&self, address: Option<IpAddr>, now: Instant) {
        let mut all = self.all();
        let address = address.map(network);
        if all.len() >= ADDRESSES_MOST && !all.contains_key(&address) {
            all.retain(|_, failures| now.saturating_duration_since(failures.last) < FORGOTTEN_AFTER);
            if all.len() >= ADDRESSES_MOST {
                let silent =
                    all.iter().min_by_key(|(_, failures)| failures.last).map(|(address, _)| *address);
                silent.and_then(|silent| all.remove(&silent));
            }
        }
        let failures = all.entry(address).or_insert(Failures { count: 0, last: now, closed_until: now });
        if now.saturating_duration_since(failures.last) >= FORGOTTEN_AFTER {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if let Some(beyond) = failures.count.checked_sub(FREE + 1) {
            failures.closed_until = now + FIRST.saturating_mul(1 << beyond.min(16)).min(LONGEST);
        }
        self.count.store(all.len(), Ordering::Release);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, Failures>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One address of version 4; of version 6 the network that one customer gets, which has more addresses than there are
/// names to remember.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

    #[test]
    fn each_failure_closes_the_door_for_twice_as_long() {
        let (backoff, mut now) = (Backoff::default(), Instant::now());
        for _ in 0..FREE {
            backoff.failed_at(ADDRESS, now);
            assert_eq!(backoff.closed_for_at(ADDRESS, now), None);
        }
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            backoff.failed_at(ADDRESS, now);
            let closed = backoff.closed_for_at(ADDRESS, now);
            assert_eq!(closed, Some(Duration::from_secs(expected)));
            now += Duration::from_secs(expected);
            assert_eq!(backoff.closed_for_at(ADDRESS, now), None, "it opens again");
        }
        assert_eq!(backoff.closed_for_at(None, now), None, "others are not concerned");
        backoff.failed_at(ADDRESS, now + FORGOTTEN_AFTER);
        assert_eq!(backoff.closed_for_at(ADDRESS, now + FORGOTTEN_AFTER), None, "and it is forgotten");
    }

    #[test]
    fn memory_is_bounded_and_one_network_is_one_address() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        for n in 0..=ADDRESSES_MOST as u32 {
            backoff.failed_at(Some(IpAddr::V4(n.into())), now + Duration::from_millis(n.into()));
        }
        assert_eq!(backoff.all().len(), ADDRESSES_MOST);
        assert!(!backoff.all().contains_key(&Some(IpAddr::V4(0.into()))), "the oldest has made room");
        let one: IpAddr = "2001:db8:1:2:3:4:5:6".parse().expect("an address");
        let other: IpAddr = "2001:db8:1:2:ffff::1".parse().expect("an address");
        assert_eq!(network(one), network(other));
    }
}

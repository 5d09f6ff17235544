//! What a server does wrong, how often, from a seed.
//!
//! Every decision is the next draw of a stream of its own kind, so that rates are kept exactly in the long run,
//! the same seed gives the same sequence of decisions, and no memory of past messages is needed.

use std::{collections::HashSet, ops::RangeInclusive, time::Duration};

use crate::seed::Draws;

/// How often something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    /// Never.
    pub const NEVER: Rate = Rate(0);
    /// Every time.
    pub const ALWAYS: Rate = Rate(1_000);

    /// So many times in a thousand; more than a thousand is every time.
    pub fn per_thousand(times: u32) -> Self {
        Self(times.min(1_000))
    }
}

/// What a server does wrong; the default is nothing.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The seed of all decisions.
    pub seed: u64,
    /// Refusals for now: 451 to a recipient (greylisting), 429 to a request.
    pub defer: Rate,
    /// Answers 503 before anything was taken; the HTTP provider only.
    pub unavailable: Rate,
    /// Messages that are taken, and the connection closed in place of the reply: what makes duplicates.
    pub drop_reply: Rate,
    /// Addresses that are refused for good: 550 5.1.1, or error 21211; in lower case.
    pub refused_recipients: HashSet<String>,
    /// How long every message or request takes.
    pub latency_ms: RangeInclusive<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 0,
            defer: Rate::NEVER,
            unavailable: Rate::NEVER,
            drop_reply: Rate::NEVER,
            refused_recipients: HashSet::new(),
            latency_ms: 0..=0,
        }
    }
}

/// The faults with their streams of draws.
#[derive(Debug)]
pub(crate) struct FaultRules {
    faults: Faults,
    defer: Draws,
    unavailable: Draws,
    drop_reply: Draws,
    latency: Draws,
}

impl FaultRules {
    pub(crate) fn new(faults: Faults) -> Self {
        let draws = |purpose| Draws::new(faults.seed, purpose);
        Self { defer: draws(1), unavailable: draws(2), drop_reply: draws(3), latency: draws(4), faults }
    }

    pub(crate) fn defers(&self) -> bool {
        happens(&self.defer, self.faults.defer)
    }

    pub(crate) fn is_unavailable(&self) -> bool {
        happens(&self.unavailable, self.faults.unavailable)
    }

    pub(crate) fn drops_reply(&self) -> bool {
        happens(&self.drop_reply, self.faults.drop_reply)
    }

    pub(crate) fn refuses(&self, recipient: &str) -> bool {
        !self.faults.refused_recipients.is_empty()
            && self.faults.refused_recipients.contains(&recipient.to_ascii_lowercase())
    }

    pub(crate) async fn take_time(&self) {
        let (shortest, longest) = self.faults.latency_ms.clone().into_inner();
        if longest > 0 {
            let spread = longest.saturating_sub(shortest).saturating_add(1);
            tokio::time::sleep(Duration::from_millis(shortest + self.latency.below(spread))).await;
        }
    }
}

fn happens(draws: &Draws, rate: Rate) -> bool {
    rate.0 > 0 && draws.below(1_000) < u64::from(rate.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_decisions_at_the_configured_rate() {
        let rules =
            |seed| FaultRules::new(Faults { seed, defer: Rate::per_thousand(100), ..Faults::default() });
        let decisions = |rules: &FaultRules| (0..20_000).map(|_| rules.defers()).collect::<Vec<_>>();
        let first = decisions(&rules(9));
        assert_eq!(first, decisions(&rules(9)));
        assert_ne!(first, decisions(&rules(10)));
        let deferred = first.iter().filter(|deferred| **deferred).count();
        assert!((1_800..2_200).contains(&deferred), "{deferred} of 20000 at 100 per thousand");
        assert!((0..1_000).all(|_| !rules(9).drops_reply()));
        let always = FaultRules::new(Faults { drop_reply: Rate::ALWAYS, ..Faults::default() });
        assert!((0..1_000).all(|_| always.drops_reply()));
    }
}

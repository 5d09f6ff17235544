//! What goes wrong in a rehearsed day, from one seed: which providers misbehave how often, who is refused, when the
//! workers are killed.
//!
//! The rates are those of a bad day, not of a disaster: a campaign day has to end, and its account has to close.

use std::ops::RangeInclusive;

use windlass_campaigns::contacts::ContactList;
use windlass_campaigns::plan::{Plan, Touch};
use windlass_doubles::seed::mix;
use windlass_doubles::{Faults, Rate};

/// Greylisting and 429, which cost a wait each.
const DEFERRED_PER_THOUSAND: u32 = 2;
/// 503 before anything was taken.
const UNAVAILABLE_PER_THOUSAND: u32 = 1;
/// Taken, and the reply lost: what makes repeats besides kills.
const REPLIES_DROPPED_PER_THOUSAND: u32 = 1;
/// One touch of so many is refused for good; at least one a day, so that the dead letters are seen.
const REFUSED_ONE_OF: u32 = 5_000;
/// A day with fewer touches has no refusal: it would be a large part of them.
const REFUSED_FROM_TOUCHES: u32 = 100;
/// How long the mail server takes for a message.
const MAIL_LATENCY_MS: RangeInclusive<u64> = 1..=4;
/// How long the provider of texts and calls takes; one call at a time has to get through 2,000 of them.
const PHONE_LATENCY_MS: RangeInclusive<u64> = 1..=4;
/// Between which parts of a day, in thousandths of its touches, its workers are killed.
const KILLS_THOUSANDTHS: [RangeInclusive<u64>; 2] = [250..=350, 550..=700];

/// What the two providers do wrong.
#[derive(Clone, Debug)]
pub(super) struct Rehearsal {
    /// The mail server.
    pub(super) mail: Faults,
    /// The provider of texts and calls.
    pub(super) phone: Faults,
    /// The touches that are refused for good.
    pub(super) refused: Vec<Touch>,
}

impl Rehearsal {
    /// Providers that take their time and do nothing wrong.
    pub(super) fn quiet(seed: u64) -> Self {
        let faults = |latency_ms| Faults { seed, latency_ms, ..Faults::default() };
        Self { mail: faults(MAIL_LATENCY_MS), phone: faults(PHONE_LATENCY_MS), refused: Vec::new() }
    }

    /// Providers on a bad day. With `refuse`, a few addresses of the list are refused for good; without, whoever is on
    /// the list is reached, as a user expects of a list of their own.
    pub(super) fn bad_day(seed: u64, plan: &Plan, list: &ContactList, refuse: bool) -> Self {
        let refused = if refuse { refused(seed, plan, list) } else { Vec::new() };
        let faults = |purpose: u64, latency_ms| Faults {
            seed: mix(seed, purpose),
            defer: Rate::per_thousand(DEFERRED_PER_THOUSAND),
            unavailable: Rate::per_thousand(UNAVAILABLE_PER_THOUSAND),
            drop_reply: Rate::per_thousand(REPLIES_DROPPED_PER_THOUSAND),
            refused_recipients: refused.iter().map(|touch| touch.to.to_lowercase()).collect(),
            latency_ms,
        };
        Self { mail: faults(1, MAIL_LATENCY_MS), phone: faults(2, PHONE_LATENCY_MS), refused }
    }

    /// After how many of `touches` the workers are killed, in order.
    pub(super) fn kills(seed: u64, touches: u64) -> Vec<u64> {
        let at = |(nth, span): (u64, &RangeInclusive<u64>)| {
            let width = span.end() - span.start() + 1;
            // Not before anything was delivered, however short the day.
            (touches * (span.start() + mix(seed, 100 + nth) % width) / 1_000).max(1)
        };
        (0..).zip(&KILLS_THOUSANDTHS).map(at).collect()
    }
}

fn refused(seed: u64, plan: &Plan, list: &ContactList) -> Vec<Touch> {
    let touches = plan.contacts();
    if touches < REFUSED_FROM_TOUCHES {
        return Vec::new();
    }
    let count = (touches / REFUSED_ONE_OF).max(1);
    let stride = touches / count;
    let offset = u32::try_from(mix(seed, 3) % u64::from(stride)).unwrap_or(0);
    plan.touches(list).filter(|touch| touch.contact.0 % stride == offset).take(count as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_refusal_and_two_kills_in_its_middle_and_a_users_own_list_has_no_refusal() {
        for (contacts, seed) in [(1, 1), (99, 9), (100, 2), (20_000, 3), (100_000, 4)] {
            let list = ContactList::generated(contacts, seed);
            let plan = Plan::new(&list).unwrap();
            let day = Rehearsal::bad_day(seed, &plan, &list, true);
            let refused = if contacts < 100 { 0 } else { (contacts / REFUSED_ONE_OF).max(1) };
            assert_eq!(day.refused.len() as u32, refused);
            assert_eq!(day.mail.refused_recipients.len(), day.refused.len());
            assert!(Rehearsal::bad_day(seed, &plan, &list, false).refused.is_empty());
            let kills = Rehearsal::kills(seed, 1_000 * u64::from(contacts));
            assert!(kills[0] >= 250 * u64::from(contacts) && kills[1] <= 700 * u64::from(contacts));
            assert!(kills[0] < kills[1], "{kills:?}");
        }
    }
}

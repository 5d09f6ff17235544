//! What goes wrong in a rehearsed day, from one seed: which providers misbehave how often, who is refused, when processes
//! are killed.
//!
//! The rates are those of a bad day, not of a disaster: a campaign day has to end, and its account has to close.

use std::ops::RangeInclusive;

use windlass_doubles::seed::mix;
use windlass_doubles::{Rate, Rule, Rules, smtp, twilio};

use super::people::People;

/// Mailboxes that cannot take a message now, and texts that come too fast; each costs a wait.
const DEFERRED: Rate = Rate::per_thousand(2);
/// 503 before anything was taken.
const UNAVAILABLE: Rate = Rate::per_thousand(1);
/// Taken, and the reply lost: what makes repeats besides kills.
const REPLIES_DROPPED: Rate = Rate::per_thousand(1);
/// One person of so many is refused for good; at least one a day, so that it is seen.
const REFUSED_ONE_OF: u32 = 5_000;
/// A day with fewer people has no refusal: it would be a large part of them.
const REFUSED_FROM: u32 = 100;
/// How Twilio says that a number is none.
const NO_SUCH_NUMBER: u32 = 21_211;
/// How long providers take for a message on a bad day: as little as real ones can, so that the day is over soon.
const LATENCY_MS: RangeInclusive<u64> = 1..=4;
/// What a mail, and a text, take on a quiet day is so many milliseconds, divided by its people: with 30 mails and 50 texts at
/// once, the providers are what campaigns wait for, not this machine, and the day lasts about eight seconds.
const QUIET_MS: [u64; 2] = [400_000, 800_000];
/// The longest that a provider takes on a quiet day: a small one is over sooner.
const QUIET_MAX_MS: u64 = 400;
/// Between which parts of a day, in thousandths of its messages, its workers are killed.
const KILLS_THOUSANDTHS: [RangeInclusive<u64>; 2] = [250..=350, 550..=700];

/// What the two providers do wrong.
#[derive(Clone, Debug)]
pub(super) struct Rehearsal {
    seed: u64,
    is_bad: bool,
    /// Of the mail server, and of the provider of texts and calls.
    latencies_ms: [RangeInclusive<u64>; 2],
    /// The people who are refused for good, by their numbers.
    pub(super) refused: Vec<u32>,
}

impl Rehearsal {
    /// Providers that take their time and do nothing wrong.
    pub(super) fn quiet(seed: u64, people: &People) -> Self {
        let latencies_ms = QUIET_MS.map(|ms| {
            let usual = (ms / u64::from(people.count.max(1))).clamp(2, QUIET_MAX_MS);
            usual / 2..=usual * 3 / 2
        });
        Self { seed, is_bad: false, latencies_ms, refused: Vec::new() }
    }

    /// Providers on a bad day.
    pub(super) fn bad_day(seed: u64, people: &People) -> Self {
        Self { seed, is_bad: true, latencies_ms: [LATENCY_MS; 2], refused: refused(seed, people) }
    }

    /// What the mail server does.
    pub(super) fn mail(&self) -> Rules<smtp::Fault> {
        let mut rules = Vec::new();
        if self.is_bad {
            // Of the mailbox alone: a reply about us would hold everything that goes to its domain.
            let full = smtp::Fault::Reply("450 4.2.1 mailbox is busy, try again later".to_owned());
            rules.extend([Rule::at(DEFERRED, full), Rule::at(REPLIES_DROPPED, smtp::Fault::DropReply)]);
        }
        rules.push(Rule::at(Rate::ALWAYS, smtp::Fault::Slow(self.latencies_ms[0].clone())));
        Rules::new(mix(self.seed, 1), rules)
    }

    /// What the provider of texts and calls does.
    pub(super) fn phone(&self, people: &People) -> Rules<twilio::Fault> {
        let number = |person: &u32| people.get(*person).phone;
        let refused = self.refused.iter().filter_map(number);
        let mut rules: Vec<_> =
            refused.map(|number| Rule::of(&number, twilio::Fault::Refuse(NO_SUCH_NUMBER))).collect();
        if self.is_bad {
            rules.extend([
                Rule::at(DEFERRED, twilio::Fault::TooMany(1)),
                Rule::at(UNAVAILABLE, twilio::Fault::Unavailable),
                Rule::at(REPLIES_DROPPED, twilio::Fault::DropAnswer),
            ]);
        }
        rules.push(Rule::at(Rate::ALWAYS, twilio::Fault::Slow(self.latencies_ms[1].clone())));
        Rules::new(mix(self.seed, 2), rules)
    }

    /// After how many of `messages` the workers are killed, in order.
    pub(super) fn kills(seed: u64, messages: u64) -> Vec<u64> {
        let at = |(nth, span): (u64, &RangeInclusive<u64>)| {
            let width = span.end() - span.start() + 1;
            // Not before anything was delivered, however short the day.
            (messages * (span.start() + mix(seed, 100 + nth) % width) / 1_000).max(1)
        };
        (0..).zip(&KILLS_THOUSANDTHS).map(at).collect()
    }
}

/// People without a mailbox, so that nobody is reached another way; none of them has opted out.
fn refused(seed: u64, people: &People) -> Vec<u32> {
    if people.count < REFUSED_FROM || !people.are_made_up() {
        return Vec::new();
    }
    let wanted = (people.count / REFUSED_ONE_OF).max(1);
    let stride = people.count / wanted;
    let offset = u32::try_from(mix(seed, 3) % u64::from(stride)).unwrap_or(0);
    let fits = |number: &u32| people.has_phone_alone(*number) && !people.has_opted_out(*number);
    (0..wanted).filter_map(|nth| (nth * stride + offset..people.count).find(fits)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_refusal_and_two_kills_in_its_middle_and_a_small_one_has_no_refusal() {
        for (count, seed) in [(1, 1), (99, 9), (100, 2), (20_000, 3), (100_000, 4)] {
            let people = People::made_up(count, seed);
            let day = Rehearsal::bad_day(seed, &people);
            let refused = if count < REFUSED_FROM { 0 } else { (count / REFUSED_ONE_OF).max(1) };
            assert_eq!(day.refused.len() as u32, refused);
            assert!(day.refused.iter().all(|number| people.get(*number).email.is_none()));
            let kills = Rehearsal::kills(seed, 1_000 * u64::from(count));
            assert!(kills[0] >= 250 * u64::from(count) && kills[1] <= 700 * u64::from(count));
            assert!(kills[0] < kills[1], "{kills:?}");
        }
    }
}

//! A pace that gives way: halved when a provider says that it is too much, and grown again step by step while it says
//! nothing (additive increase, multiplicative decrease; Chiu and Jain, 1989, show why several that share a provider come to
//! equal parts so).
//!
//! The story: at full pace nothing is kept. When some of the last outcomes were such refusals ([`Recent`]) the pace is halved, a moment is left for that to take effect, and
//! another refusal of a message that was asked for after it halves it again. From then on it grows by a fixed step for each
//! interval, until it is full or refused. Where nobody has set a pace, what the provider took in the last seconds stands
//! for one: the double of it is where nothing is held back any more.
//!
//! It is a value without a clock, like the breaker beside it: the pace of a moment follows from the last cut, and so does the
//! moment at which it grows next. Growing costs no write, and whoever restarts goes on where it is.

use serde::{Deserialize, Serialize};
use windlass::Time;

/// A pace is never below this part of a full one, six times halved: what takes less than that is not busy, it is ill, and
/// the breaker's.
const LEAST_PART: u64 = 64;
/// The least that stands for a pace which nobody has set, in messages a minute: below one a second nothing says that it is
/// the number of messages which is too much.
const LEAST_FOUND: u64 = 60;
/// The longest reason that is kept, in characters; it is a provider's sentence.
const MAX_WHY_CHARS: usize = 200;

/// How a pace gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a cut takes to show, in milliseconds: what was asked for before says nothing of it.
    pub settles_ms: u64,
    /// How long it stays before it grows by a step, in milliseconds.
    pub grows_every_ms: u64,
    /// Steps of a full pace.
    pub steps: u64,
    /// Of how long what was taken stands for a pace that nobody has set, in milliseconds.
    pub looks_back_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Workers have claimed ahead, and a slow provider answers after some seconds.
            settles_ms: 5_000,
            // Ten steps from half of it: full again after 100 seconds, and one refusal in as long where it stays too much.
            grows_every_ms: 10_000,
            steps: 20,
            looks_back_ms: 10_000,
        }
    }
}

/// Refusals among the last 64 outcomes at which they say something of the pace: one of sixteen. Some providers refuse one of
/// a thousand whatever the pace, and halving that would bring nothing but a slow day.
const TELLING_REFUSALS: u32 = 4;

/// The last outcomes of one provider or domain, as far as there were refusals among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// The newest in the lowest bit; set for a refusal that says that it is too much.
    refusals: u64,
}

impl Recent {
    /// Counts an outcome; whether there are so many refusals now that the pace is what they are about.
    pub fn count(&mut self, is_too_much: bool) -> bool {
        self.refusals = (self.refusals << 1) | u64::from(is_too_much);
        self.refusals.count_ones() >= TELLING_REFUSALS
    }

    /// Whether there was no refusal of late.
    pub fn is_quiet(self) -> bool {
        self.refusals == 0
    }
}

/// The pace of one provider or domain; serialises into one small row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slowed: Option<Slowed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slowed {
    /// Messages a minute after the last cut.
    per_minute: u64,
    /// What it grows to.
    full: u64,
    /// The first cut since it was full.
    since: Time,
    /// The last one.
    cut_at: Time,
    /// From when it grows: the last cut, or the end of the wait that the provider has named.
    grows_from: Time,
    why: String,
}

/// A refusal that says that it is too much.
#[derive(Clone, Copy, Debug)]
pub struct TooMuch<'a> {
    /// When the provider was asked for the message.
    pub asked_at: Time,
    /// Until when it wants to be left alone, where it says so.
    pub until: Option<Time>,
    /// In its words.
    pub why: &'a str,
    /// What somebody has set as its pace, in messages a minute.
    pub set: Option<u64>,
    /// What it took of late, in messages a minute.
    pub taken: u64,
}

/// How slow it is at some moment, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slowdown {
    /// Messages a minute.
    pub per_minute: u64,
    /// What it grows to; above it nothing is held back but by what somebody has set.
    pub full_per_minute: u64,
    /// Since when it is not full.
    pub since: Time,
    /// What the provider has answered.
    pub why: String,
}

impl Pace {
    /// Takes in a refusal: true when the pace is cut by it.
    pub fn refused(&mut self, said: &TooMuch<'_>, now: Time, policy: &Policy) -> bool {
        if !self.is_settled(said.asked_at, policy) {
            self.wait(said.until, now, policy);
            return false;
        }
        let found = said.taken.max(LEAST_FOUND).saturating_mul(2);
        let before = self.slowdown(now, policy);
        let full = said.set.or(before.as_ref().map(|before| before.full_per_minute)).unwrap_or(found).max(1);
        let current = before.as_ref().map_or(said.set.unwrap_or(found / 2), |before| before.per_minute);
        self.slowed = Some(Slowed {
            per_minute: (current.min(full) / 2).max(full / LEAST_PART).max(1),
            full,
            since: before.map_or(now, |before| before.since),
            cut_at: now,
            grows_from: said.until.unwrap_or(now).max(now),
            why: said.why.chars().take(MAX_WHY_CHARS).collect(),
        });
        true
    }

    /// Lets it grow no earlier than the end of a wait that was named, from what it has come to; at full pace there is nothing
    /// to grow.
    pub fn wait(&mut self, until: Option<Time>, now: Time, policy: &Policy) {
        let grown = self.slowdown(now, policy);
        if let (Some(slowed), Some(until), Some(grown)) = (&mut self.slowed, until, grown)
            && until > slowed.grows_from
        {
            slowed.per_minute = grown.per_minute;
            slowed.grows_from = until;
        }
    }

    /// Whether a wait that was named is not over, in which it does not grow.
    pub fn is_waiting(&self, now: Time) -> bool {
        self.slowed.as_ref().is_some_and(|slowed| now < slowed.grows_from)
    }

    /// Whether a refusal of a message that was asked for then says anything of this pace: the last cut had taken effect.
    pub fn is_settled(&self, asked_at: Time, policy: &Policy) -> bool {
        self.slowed.as_ref().is_none_or(|slowed| asked_at >= slowed.cut_at.plus_ms(policy.settles_ms))
    }

    /// How slow it is at that moment; none when it is full.
    pub fn slowdown(&self, now: Time, policy: &Policy) -> Option<Slowdown> {
        let Slowed { per_minute, full, since, grows_from, why, .. } = self.slowed.as_ref()?;
        let step = (full / policy.steps.max(1)).max(1);
        let grown = now.since(*grows_from) / policy.grows_every_ms.max(1) * step;
        let per_minute = per_minute.saturating_add(grown);
        (per_minute < *full).then(|| Slowdown {
            per_minute,
            full_per_minute: *full,
            since: *since,
            why: why.clone(),
        })
    }

    /// When it grows by a step next, or is full again; none when it is full.
    pub fn grows_at(&self, now: Time, policy: &Policy) -> Option<Time> {
        self.slowdown(now, policy)?;
        let (from, every) = (self.slowed.as_ref()?.grows_from, policy.grows_every_ms.max(1));
        Some(from.plus_ms((now.since(from) / every + 1).saturating_mul(every)))
    }

    /// When it was cut last, if something is kept of it.
    pub fn cut_at(&self) -> Option<Time> {
        self.slowed.as_ref().map(|slowed| slowed.cut_at)
    }

    /// Whether something is kept of it: that it was cut, and perhaps is full again.
    pub fn was_cut(&self) -> bool {
        self.slowed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { settles_ms: 500, grows_every_ms: 1_000, steps: 20, looks_back_ms: 1_000 };
    const START: Time = Time(1_000_000);

    fn too_much(asked_at: Time, set: Option<u64>, taken: u64) -> TooMuch<'static> {
        TooMuch { asked_at, until: None, why: "twilio/20429: Too Many Requests", set, taken }
    }

    fn per_minute(pace: &Pace, now: Time) -> Option<u64> {
        pace.slowdown(now, &POLICY).map(|slowdown| slowdown.per_minute)
    }

    #[test]
    fn a_burst_of_refusals_halves_the_pace_once_and_silence_brings_it_back_step_by_step() {
        let mut pace = Pace::default();
        let refused: Vec<bool> = (0..50)
            .map(|nth| pace.refused(&too_much(START, Some(1_200), 0), START.plus_ms(nth), &POLICY))
            .collect();
        assert_eq!(refused.iter().filter(|cut| **cut).count(), 1);
        let at = |ms| per_minute(&pace, START.plus_ms(ms));
        assert_eq!([at(0), at(999), at(1_000), at(9_999)].map(Option::unwrap), [600, 600, 660, 1_140]);
        assert_eq!(at(10_000), None, "full");
        let slowdown = pace.slowdown(START, &POLICY).unwrap();
        assert_eq!((slowdown.since, slowdown.full_per_minute), (START, 1_200));
        assert!(slowdown.why.contains("20429"));
    }

    #[test]
    fn a_refusal_now_and_then_says_nothing_and_four_of_sixty_four_do() {
        let mut recent = Recent::default();
        assert!((0..10_000).all(|nth| !recent.count(nth % 22 == 0)));
        assert!([true, false, true, true, true].map(|refused| recent.count(refused)).contains(&true));
        for _ in 0..64 {
            recent.count(false);
        }
        assert!(recent.is_quiet());
    }

    #[test]
    fn what_is_refused_once_the_cut_has_settled_halves_it_again_down_to_a_sixty_fourth() {
        let (mut pace, mut now) = (Pace::default(), START);
        let mut paces = Vec::new();
        for _ in 0..9 {
            assert!(pace.refused(&too_much(now, Some(1_200), 0), now, &POLICY));
            paces.push(per_minute(&pace, now).unwrap());
            assert!(!pace.refused(&too_much(now.plus_ms(499), Some(1_200), 0), now.plus_ms(900), &POLICY));
            now = now.plus_ms(500);
        }
        assert_eq!(paces, [600, 300, 150, 75, 37, 18, 18, 18, 18]);
        assert_eq!(pace.slowdown(now, &POLICY).unwrap().since, START, "it was never full in between");
    }

    #[test]
    fn where_nobody_has_set_a_pace_half_of_what_was_taken_is_one_and_double_of_it_is_none() {
        let mut pace = Pace::default();
        assert!(pace.refused(&too_much(START, None, 6_000), START, &POLICY));
        assert_eq!(per_minute(&pace, START), Some(3_000));
        assert_eq!(per_minute(&pace, START.plus_ms(14_999)), Some(11_400));
        assert_eq!(per_minute(&pace, START.plus_ms(15_000)), None);
        let mut silent = Pace::default();
        silent.refused(&too_much(START, None, 0), START, &POLICY);
        assert_eq!(per_minute(&silent, START), Some(30));
    }

    #[test]
    fn a_wait_that_the_provider_names_is_no_time_to_grow_in() {
        let mut pace = Pace::default();
        let said = |until| TooMuch { until: Some(START.plus_ms(until)), ..too_much(START, Some(1_200), 0) };
        pace.refused(&said(5_000), START, &POLICY);
        assert_eq!(per_minute(&pace, START.plus_ms(5_999)), Some(600));
        assert_eq!(per_minute(&pace, START.plus_ms(6_000)), Some(660));
        assert!(!pace.refused(&said(30_000), START.plus_ms(1), &POLICY), "of the same burst");
        assert_eq!(per_minute(&pace, START.plus_ms(30_999)), Some(600));
    }

    #[test]
    fn a_wait_that_is_named_later_takes_nothing_back_of_what_it_has_grown() {
        let mut pace = Pace::default();
        pace.refused(&too_much(START, Some(1_200), 0), START, &POLICY);
        pace.wait(Some(START.plus_ms(10_000)), START.plus_ms(2_500), &POLICY);
        assert_eq!(per_minute(&pace, START.plus_ms(2_500)), Some(720));
        assert!(pace.is_waiting(START.plus_ms(9_999)) && !pace.is_waiting(START.plus_ms(10_000)));
        assert_eq!(pace.grows_at(START.plus_ms(2_500), &POLICY), Some(START.plus_ms(11_000)));
        assert_eq!(per_minute(&pace, START.plus_ms(11_000)), Some(780));
        let (full, before) = (START.plus_ms(60_000), pace.clone());
        pace.wait(Some(full.plus_ms(1_000)), full, &POLICY);
        assert_eq!(pace, before, "a full one does not wait");
    }

    #[test]
    fn a_pace_that_was_full_in_between_is_slowed_since_the_new_refusal() {
        let mut pace = Pace::default();
        pace.refused(&too_much(START, Some(1_200), 0), START, &POLICY);
        let later = START.plus_ms(60_000);
        assert!(pace.refused(&too_much(later, Some(100), 0), later, &POLICY));
        let slowdown = pace.slowdown(later, &POLICY).unwrap();
        assert_eq!((slowdown.since, slowdown.per_minute, slowdown.full_per_minute), (later, 50, 100));
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds_grows_in_silence_and_comes_back_whatever_was_refused(
            set in prop::option::of(1_u64..100_000),
            told in prop::collection::vec((0_u64..3_000, 0_u64..3_000, prop::option::of(0_u64..9_000), 0_u64..50_000), 1..120),
        ) {
            let (mut pace, mut now, mut last_cut) = (Pace::default(), START, None::<Time>);
            for (passed, ago, wait, taken) in told {
                let before = pace.slowdown(now, &POLICY);
                now = now.plus_ms(passed);
                let grown = pace.slowdown(now, &POLICY);
                if let (Some(before), Some(grown)) = (&before, &grown) {
                    prop_assert!(grown.per_minute >= before.per_minute, "it shrinks in silence");
                }
                prop_assert!(before.is_some() || grown.is_none(), "it is full, and slows down by itself");
                // It stays what it is until the moment that it names, and then it is another one.
                prop_assert_eq!(grown.is_some(), pace.grows_at(now, &POLICY).is_some());
                if let Some(at) = pace.grows_at(now, &POLICY) {
                    prop_assert!(at > now);
                    prop_assert_eq!(&pace.slowdown(at.minus_ms(1), &POLICY), &grown);
                    prop_assert_ne!(&pace.slowdown(at, &POLICY), &grown);
                }
                let asked_at = now.minus_ms(ago);
                let until = wait.map(|wait| now.plus_ms(wait));
                let said = TooMuch { until, ..too_much(asked_at, set, taken) };
                let cut = pace.refused(&said, now, &POLICY);
                if let (false, Some(grown)) = (cut, &grown) {
                    let after = pace.slowdown(now, &POLICY).map(|after| after.per_minute);
                    prop_assert_eq!(after, Some(grown.per_minute), "a wait slows it down");
                }
                let settled = last_cut.is_none_or(|last| asked_at >= last.plus_ms(POLICY.settles_ms));
                prop_assert_eq!(cut, settled);
                if cut {
                    last_cut = Some(now);
                    let after = pace.slowdown(now, &POLICY);
                    if let Some(after) = &after {
                        let least = (after.full_per_minute / LEAST_PART).max(1);
                        prop_assert!((least..after.full_per_minute).contains(&after.per_minute), "{:?}", after);
                        if let Some(grown) = &grown {
                            prop_assert!(after.per_minute <= (grown.per_minute / 2).max(least), "{:?}", after);
                        }
                        if let Some(set) = set {
                            prop_assert_eq!(after.full_per_minute, set);
                        }
                    } else {
                        prop_assert_eq!(set, Some(1), "one a minute cannot be halved");
                    }
                }
                let row = serde_json::to_string(&pace).unwrap();
                prop_assert!(row.len() < 1_000, "{}", row);
                prop_assert_eq!(&serde_json::from_str::<Pace>(&row).unwrap(), &pace);
            }
            // Whatever happened, silence brings it back, and in a time that has a bound.
            let whole = POLICY.grows_every_ms * (2 * POLICY.steps + 1) + 9_000;
            prop_assert_eq!(pace.slowdown(now.plus_ms(whole), &POLICY), None);
        }
    }
}

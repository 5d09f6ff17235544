//! What the numbers of a test mean: a rate with its interval, and whether one variant leads.
//!
//! A rate's interval is Wilson's for 95 % (E. B. Wilson, "Probable inference, the law of succession, and statistical
//! inference", JASA 22 (1927), 209-212), which stays between 0 and 1 and holds for small numbers, too. Two variants are
//! compared by the pooled two-proportion z-test, two-sided, and only where each of them would have at least five of either
//! kind if they were the same (W. G. Cochran, "Some methods for strengthening the common χ² tests", Biometrics 10 (1954),
//! 417-451). The one with the highest rate leads if it differs from every other at 5 %, divided by the number of pairs
//! that there are (Bonferroni): which one leads is seen in the same numbers, so that any pair might have been the one.
//!
//! This holds for one look. Whoever looks again and again until somebody leads finds a leader where there is none far more
//! often than once in twenty; `docs/campaigns.md` says so to people.

use serde::Serialize;

use crate::model::variant::Variant;

/// How far from the mean 95 % of a normal distribution reach, in standard deviations.
const Z_95: f64 = 1.959_963_984_540_054;
/// How often a leader may be found where there is none.
const ERROR: f64 = 0.05;
/// What each variant must be expected to have of either kind for the test to hold.
const EXPECTED_MIN: f64 = 5.0;

/// How many of how many, with the interval in which the true rate lies at 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// The share of all that these are; 0 of nothing.
    pub rate: f64,
    /// The lower end of its interval; 0 where nothing is known.
    pub low: f64,
    /// The upper end; 1 where nothing is known.
    pub high: f64,
}

impl Rate {
    /// So many of so many; what is more than all counts as all.
    pub fn of(count: u64, all: u64) -> Self {
        if all == 0 {
            return Self { count, rate: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, z2) = (all as f64, Z_95 * Z_95);
        let rate = count.min(all) as f64 / n;
        let middle = rate + z2 / (2.0 * n);
        let width = Z_95 * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
        let end = |value: f64| (value / (1.0 + z2 / n)).clamp(0.0, 1.0);
        Self { count, rate, low: end(middle - width), high: end(middle + width) }
    }
}

/// Whether one variant leads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It differs from every other by more than chance explains.
    Leads {
        /// Which.
        variant: Variant,
        /// How often chance alone makes a difference like the least of those, over all pairs.
        p: f64,
    },
    /// One is ahead, and chance explains that, too.
    TooClose {
        /// How often chance alone makes a difference like the least of those, over all pairs; 1 at most.
        p: f64,
    },
    /// There are too few to compare at all.
    TooFew,
}

/// One variant as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub variant: Variant,
    /// Messages that did what is wanted.
    pub count: u64,
    /// Messages that were sent.
    pub of: u64,
}

/// Whether one of these leads.
pub fn of(tried: &[Tried]) -> Verdict {
    let rate = |one: &Tried| Rate::of(one.count, one.of).rate;
    let Some(best) =
        tried.iter().copied().reduce(|best, one| if rate(&one) > rate(&best) { one } else { best })
    else {
        return Verdict::TooFew;
    };
    let pairs = (tried.len() * (tried.len() - 1) / 2) as f64;
    let mut most = 0.0_f64;
    let others = tried.iter().filter(|other| other.variant != best.variant);
    for other in others {
        let Some(p) = differ(&best, other) else { return Verdict::TooFew };
        most = most.max((p * pairs).min(1.0));
    }
    if most < ERROR && tried.len() > 1 {
        Verdict::Leads { variant: best.variant, p: most }
    } else {
        Verdict::TooClose { p: most }
    }
}

/// How often chance alone makes two that are the same differ at least so much; none where there are too few to say.
fn differ(one: &Tried, other: &Tried) -> Option<f64> {
    let (n, m) = (one.of as f64, other.of as f64);
    let (x, y) = (one.count.min(one.of) as f64, other.count.min(other.of) as f64);
    let pooled = (x + y) / (n + m).max(1.0);
    let fewest = n.min(m) * pooled.min(1.0 - pooled);
    if fewest < EXPECTED_MIN {
        return None;
    }
    let z = (x / n - y / m) / (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    Some(two_tails(z))
}

/// How much of a normal distribution lies at least so many standard deviations from its mean, on both sides: the
/// approximation 7.1.26 of M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions" (1964), off by at most
/// 1.5e-7.
fn two_tails(z: f64) -> f64 {
    const P: f64 = 0.327_591_1;
    const A: [f64; 5] = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + P * x);
    let polynomial = A.iter().rev().fold(0.0, |sum, a| (sum + a) * t);
    (polynomial * (-x * x).exp()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(counts: &[(u64, u64)]) -> Vec<Tried> {
        let lettered = Variant::ALL.into_iter().zip(counts);
        lettered.map(|(variant, (count, of))| Tried { variant, count: *count, of: *of }).collect()
    }

    fn near(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() < 5e-5
    }

    #[test]
    fn intervals_are_those_of_the_literature() {
        // R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
        // table I, method 3.
        for (count, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let rate = Rate::of(count, of);
            assert!(near(rate.low, low) && near(rate.high, high), "{count} of {of}: {rate:?}");
        }
        assert_eq!(Rate::of(29, 29).high, 1.0);
        assert_eq!(Rate::of(0, 0), Rate { count: 0, rate: 0.0, low: 0.0, high: 1.0 });
        assert_eq!(Rate::of(9, 3).rate, 1.0);
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        for (z, p) in [
            (0.0, 1.0),
            (1.0, 0.317_311),
            (1.959_964, 0.05),
            (-2.575_829, 0.01),
            (3.290_527, 0.001),
            (40.0, 0.0),
        ] {
            assert!((two_tails(z) - p).abs() < 1e-6, "{z}: {}", two_tails(z));
        }
    }

    #[test]
    fn the_test_of_two_gives_what_its_formula_gives() {
        // Python: z = 0.03 / sqrt(0.045 * 0.955 * 2 / 1000); math.erfc(z / sqrt(2)).
        let [one, other] = tried(&[(60, 1_000), (30, 1_000)])[..] else { unreachable!("there are two") };
        let p = differ(&one, &other).expect("enough of both");
        assert!((p - 0.001_212_5).abs() < 2e-6, "{p}");
        assert_eq!(differ(&other, &one), Some(p), "whoever comes first");
    }

    #[test]
    fn a_variant_leads_when_chance_explains_it_no_longer() {
        assert!(
            matches!(of(&tried(&[(60, 1_000), (30, 1_000)])), Verdict::Leads { variant: Variant::A, p } if p < 0.002)
        );
        assert!(matches!(
            of(&tried(&[(30, 1_000), (60, 1_000)])),
            Verdict::Leads { variant: Variant::B, .. }
        ));
        assert!(matches!(of(&tried(&[(35, 1_000), (30, 1_000)])), Verdict::TooClose { p } if p > 0.5));
        assert!(matches!(of(&tried(&[(30, 1_000), (30, 1_000)])), Verdict::TooClose { p } if p > 0.999_999));
    }

    #[test]
    fn a_handful_of_answers_decides_nothing_however_far_apart() {
        for few in [
            &[][..],
            &[(0, 0), (0, 0)],
            &[(4, 50), (0, 50)],
            &[(3, 3), (0, 3)],
            &[(9, 9), (0, 0)],
            &[(70, 900), (20, 900), (1, 9)],
        ] {
            assert_eq!(of(&tried(few)), Verdict::TooFew, "{few:?}");
        }
        assert_eq!(of(&tried(&[(50, 50), (50, 50)])), Verdict::TooFew, "all of them did: nothing to compare");
    }

    #[test]
    fn more_variants_ask_for_more_of_the_one_that_leads() {
        // Ahead of the other at 5 % where they are two; of five, with the same numbers, any pair might have looked so.
        let (ahead, behind) = ((52, 1_000), (33, 1_000));
        assert!(matches!(of(&tried(&[ahead, behind])), Verdict::Leads { p, .. } if p > 0.03));
        let five = tried(&[ahead, behind, behind, behind, behind]);
        assert!(matches!(of(&five), Verdict::TooClose { p } if p > 0.3), "{:?}", of(&five));
        // It leads only when it is ahead of every other one.
        assert!(matches!(of(&tried(&[(90, 1_000), (88, 1_000), (20, 1_000)])), Verdict::TooClose { .. }));
    }

    #[test]
    fn of_tests_in_which_nothing_differs_few_find_a_leader() {
        // One look each, at the end: of 2,000 tests of three variants at 5 % at most a hundred, and some for chance.
        const SEED: u64 = 11;
        let mut state = SEED;
        let mut replies = |of: u64| {
            let mut count = 0;
            for _ in 0..of {
                // xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016).
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                let drawn = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
                count += u64::from(drawn < (1 << 32) / 20);
            }
            (count, of)
        };
        let found = (0..2_000)
            .filter(|_| {
                matches!(of(&tried(&[replies(400), replies(400), replies(400)])), Verdict::Leads { .. })
            })
            .count();
        assert!(found <= 130, "{found} of 2,000 with seed {SEED}");
    }
}

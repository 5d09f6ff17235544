//! What a server does wrong, to whom and how often, from a seed.
//!
//! A rule names recipients (one, a pattern, or everybody), a rate and a fault; which faults there are is each server's
//! own. Every decision of a rule is the next draw of a stream of its own, so that rates are kept exactly in the
//! long run, the same seed gives the same sequence of decisions, and no memory of past messages is needed.
//!
//! As text a rule is `WHO=FAULT`, `RATE=FAULT` or `WHO,RATE=FAULT`: `gone@*=550`, `2%=429`, `*@slow.example,10%=slow:2s`.

use std::{collections::HashMap, ops::RangeInclusive, str::FromStr, time::Duration};

use thiserror::Error;

use crate::seed::Draws;

/// The most rules of one server: each is looked at for each message unless it names one recipient.
pub const MAX_RULES: usize = 10_000;
/// The longest text of a rule.
pub const MAX_RULE_BYTES: usize = 1_000;
/// The longest delay that a rule may ask for.
const MAX_SLOW: Duration = Duration::from_secs(3_600);
/// The unit of rates.
const MILLION: u32 = 1_000_000;

/// How often something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    /// Never.
    pub const NEVER: Rate = Rate(0);
    /// Every time.
    pub const ALWAYS: Rate = Rate(MILLION);

    /// So many times in a thousand; more than a thousand is every time.
    pub const fn per_thousand(times: u32) -> Self {
        let millionths = times.saturating_mul(1_000);
        Self(if millionths < MILLION { millionths } else { MILLION })
    }

    fn parse(text: &str) -> Option<Self> {
        let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
        // The range is checked first, so that the conversion loses nothing but what is below one in a million.
        (0.0..=100.0).contains(&percent).then(|| Self((percent * 10_000.0).round() as u32))
    }
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every recipient.
    Everybody,
    /// Recipients that match, in any case: `*` stands for any text, the rest for itself.
    Matching(String),
}

impl Who {
    fn parse(text: &str) -> Self {
        if text == "*" { Self::Everybody } else { Self::Matching(text.to_lowercase()) }
    }
}

/// What happens to whom, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<F> {
    /// Whom it is about.
    pub who: Who,
    /// How often it holds for them.
    pub rate: Rate,
    /// What happens then.
    pub fault: F,
}

impl<F> Rule<F> {
    /// A rule for these recipients (a pattern) that always holds.
    pub fn of(who: &str, fault: F) -> Self {
        Self { who: Who::parse(who), rate: Rate::ALWAYS, fault }
    }

    /// A rule for everybody at that rate.
    pub fn at(rate: Rate, fault: F) -> Self {
        Self { who: Who::Everybody, rate, fault }
    }
}

/// A rule that cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RuleError {
    /// There is no fault in it.
    #[error(
        "`{0}` is no rule: write WHO=FAULT, RATE=FAULT or WHO,RATE=FAULT, as in `gone@*=550` or `2%=429`"
    )]
    Shape(String),
    /// The rate is none.
    #[error("`{0}` is no rate: write a percentage from 0% to 100%")]
    Rate(String),
    /// The server knows no such fault.
    #[error("`{fault}` is nothing that this server does: {known}")]
    Fault {
        /// What was asked for.
        fault: String,
        /// What there is.
        known: &'static str,
    },
    /// There are too many, or one is too long.
    #[error("at most {MAX_RULES} rules of {MAX_RULE_BYTES} bytes each")]
    TooMany,
}

impl<F: FromStr<Err = RuleError>> FromStr for Rule<F> {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text.len() > MAX_RULE_BYTES {
            return Err(RuleError::TooMany);
        }
        let (subject, fault) = text
            .split_once('=')
            .filter(|(subject, fault)| !subject.is_empty() && !fault.is_empty())
            .ok_or_else(|| RuleError::Shape(text.to_owned()))?;
        let (who, rate) = match subject.rsplit_once(',') {
            Some((who, rate)) => (Who::parse(who), rate),
            None if subject.ends_with('%') => (Who::Everybody, subject),
            None => (Who::parse(subject), "100%"),
        };
        let rate = Rate::parse(rate).ok_or_else(|| RuleError::Rate(rate.to_owned()))?;
        Ok(Self { who, rate, fault: fault.parse()? })
    }
}

/// The rules of one server with their streams of draws.
#[derive(Debug)]
pub struct Rules<F> {
    rules: Vec<(Rule<F>, Draws)>,
    /// Rules that name one recipient, found without looking at the others.
    exact: HashMap<String, Vec<usize>>,
    others: Vec<usize>,
}

impl<F> Default for Rules<F> {
    fn default() -> Self {
        Self::new(0, [])
    }
}

impl<F> Rules<F> {
    /// These rules, decided by this seed; of rules that contradict each other the first holds.
    pub fn new(seed: u64, rules: impl IntoIterator<Item = Rule<F>>) -> Self {
        let mut made = Self { rules: Vec::new(), exact: HashMap::new(), others: Vec::new() };
        for (nth, rule) in rules.into_iter().take(MAX_RULES).enumerate() {
            match &rule.who {
                Who::Matching(pattern) if !pattern.contains('*') => {
                    made.exact.entry(pattern.clone()).or_default().push(nth);
                }
                Who::Matching(_) | Who::Everybody => made.others.push(nth),
            }
            made.rules.push((rule, Draws::new(seed, nth as u64 + 1)));
        }
        made
    }

    /// The rules that these texts say.
    ///
    /// # Errors
    /// When a text is no rule of this server.
    pub fn parse(seed: u64, texts: &[impl AsRef<str>]) -> Result<Self, RuleError>
    where
        F: FromStr<Err = RuleError>,
    {
        if texts.len() > MAX_RULES {
            return Err(RuleError::TooMany);
        }
        let rules: Result<Vec<Rule<F>>, RuleError> = texts.iter().map(|text| text.as_ref().parse()).collect();
        Ok(Self::new(seed, rules?))
    }

    /// What happens to this recipient this time, in the order of the rules; each call draws anew.
    pub(crate) fn for_one(&self, recipient: &str) -> Vec<&F> {
        let recipient = recipient.to_lowercase();
        let exact = self.exact.get(&recipient).map_or(&[][..], Vec::as_slice);
        let matches = |nth: &&usize| match &self.rules[**nth].0.who {
            Who::Everybody => true,
            Who::Matching(pattern) => glob(pattern, &recipient),
        };
        let mut hit: Vec<usize> = exact.iter().chain(self.others.iter().filter(matches)).copied().collect();
        hit.sort_unstable();
        let holds = |nth: &usize| {
            let (rule, draws) = &self.rules[*nth];
            rule.rate == Rate::ALWAYS
                || (rule.rate != Rate::NEVER && draws.below(u64::from(MILLION)) < u64::from(rule.rate.0))
        };
        hit.into_iter().filter(holds).map(|nth| &self.rules[nth].0.fault).collect()
    }
}

/// Whether a text matches a pattern in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// How long `slow:2s` or `slow:10ms-50ms` takes, in milliseconds.
pub(crate) fn span_ms(text: &str) -> Option<RangeInclusive<u64>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (duration(from)?, duration(to)?);
    let ms = |of: Duration| u64::try_from(of.as_millis()).ok();
    (from <= to && to <= MAX_SLOW).then_some(ms(from)?..=ms(to)?)
}

/// A duration as people write it: `250ms`, `2s`, `1m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Named(String);

    impl FromStr for Named {
        type Err = RuleError;
        fn from_str(text: &str) -> Result<Self, RuleError> {
            match text {
                "unheard-of" => Err(RuleError::Fault { fault: text.to_owned(), known: "anything else" }),
                _ => Ok(Self(text.to_owned())),
            }
        }
    }

    fn rules(seed: u64, texts: &[&str]) -> Rules<Named> {
        Rules::parse(seed, texts).unwrap()
    }

    fn hits(rules: &Rules<Named>, recipient: &str) -> Vec<String> {
        rules.for_one(recipient).into_iter().map(|named| named.0.clone()).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_decisions_at_the_configured_rate() {
        let decisions = |seed| {
            let rules = rules(seed, &["10%=late"]);
            (0..20_000).map(|_| !rules.for_one("a").is_empty()).collect::<Vec<_>>()
        };
        let first = decisions(9);
        assert_eq!(first, decisions(9));
        assert_ne!(first, decisions(10));
        let late = first.iter().filter(|late| **late).count();
        assert!((1_800..2_200).contains(&late), "{late} of 20000 at 10 %");
        assert!((0..1_000).all(|_| rules(9, &["0%=late"]).for_one("a").is_empty()));
        assert!((0..1_000).all(|_| rules(9, &["100%=late"]).for_one("a").len() == 1));
    }

    #[test]
    fn a_rule_is_about_one_recipient_a_pattern_or_everybody_and_the_order_is_kept() {
        let rules = rules(1, &["*@x.org=1", "Gone@x.org=2", "*=3", "a*b*c=4", "+1500*,100%=5"]);
        assert_eq!(hits(&rules, "gone@X.org"), ["1", "2", "3"]);
        assert_eq!(hits(&rules, "gone@x.org.uk"), ["3"]);
        assert_eq!(hits(&rules, "a-b-c"), ["3", "4"]);
        assert_eq!(hits(&rules, "abc-"), ["3"]);
        assert_eq!(hits(&rules, "+15005550006"), ["3", "5"]);
        assert_eq!(hits(&rules, "ac"), ["3"]);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_to_write() {
        let error = |text: &str| text.parse::<Rule<Named>>().unwrap_err().to_string();
        assert!(error("550").contains("WHO=FAULT"));
        assert!(error("=550").contains("WHO=FAULT"));
        assert!(error("a,x%=550").contains("0% to 100%"));
        assert!(error("101%=550").contains("0% to 100%"));
        assert!(error("*=unheard-of").contains("anything else"));
        assert!(Rules::<Named>::parse(0, &vec!["a=b"; MAX_RULES + 1]).is_err());
    }

    #[test]
    fn spans_of_time_have_units_and_an_end() {
        assert_eq!(span_ms("2s"), Some(2_000..=2_000));
        assert_eq!(span_ms("10ms-1m"), Some(10..=60_000));
        for nonsense in ["2", "s", "2h", "5s-1s", "61m", "-", "99999999999999999999s", "1s-"] {
            assert_eq!(span_ms(nonsense), None, "{nonsense}");
        }
    }
}

//! Rules: those that every server has, what a rule must say, and which names a pattern means.

use std::collections::BTreeMap;

use windlass_api::monitor::{Channel, Rule, Severity, When};
use windlass_api::spell::span::Span;

/// Rules of one store: each is looked through at every look.
pub(super) const RULES_MOST: usize = 100;
/// Bytes of a rule's or a channel's name.
const NAME_BYTES_MOST: usize = 60;
/// Bytes of a pattern: the longest name of a queue, and some stars.
const PATTERN_BYTES_MOST: usize = 300;
/// The longest span that a rule says: what is older is a matter of retention, not of alarm.
const SPAN_MS_MOST: u64 = 90 * 86_400_000;
/// The longest time that is looked back over: charts by the minute reach as far.
const WITHIN_MS_MOST: u64 = 3_600_000;
/// The shortest time that is looked back over, and between two reminders: shorter ones are noise.
const WITHIN_MS_LEAST: u64 = 60_000;
/// The channel that every server has.
pub(super) const LOG: &str = "log";

const fn minutes(n: u64) -> Span {
    Span { ms: n * 60_000 }
}

/// The rules of a server that nobody has set up.
///
/// They ask for a person where jobs are lost to sight or do not get done; a queue that merely has much to do asks for
/// nobody.
pub(super) fn defaults() -> BTreeMap<String, Rule> {
    let critical = |when| Rule { severity: Severity::Critical, ..Rule::of(when) };
    let day = Some(minutes(24 * 60));
    [
        ("new-failure-mode", Rule::of(When::NewFailureMode)),
        ("dead-burst", Rule { above: Some(20), within: Some(minutes(5)), ..critical(When::DeadRate) }),
        ("dead-for-a-day", Rule { longer_than: day, remind_every: day, ..Rule::of(When::DeadAge) }),
        (
            "jobs-wait",
            Rule { longer_than: Some(minutes(5)), held_for: minutes(1), ..Rule::of(When::OldestReady) },
        ),
        (
            "no-worker",
            Rule { held_for: minutes(2), remind_every: Some(minutes(240)), ..critical(When::NoWorker) },
        ),
        ("paused-for-long", Rule { held_for: minutes(60), remind_every: day, ..Rule::of(When::Paused) }),
        ("nearly-full", Rule { above: Some(90), ..critical(When::NearlyFull) }),
        ("schedule-missed", Rule { longer_than: Some(minutes(2)), ..Rule::of(When::ScheduleMissed) }),
        ("space-low", Rule { remind_every: Some(minutes(60)), ..critical(When::SpaceLow) }),
        ("store-silent", Rule { longer_than: Some(Span { ms: 30_000 }), ..critical(When::StoreSilent) }),
    ]
    .into_iter()
    .map(|(name, rule)| (name.to_owned(), rule))
    .collect()
}

/// The channels of a server that nobody has set up.
pub(super) fn default_channels() -> BTreeMap<String, Channel> {
    BTreeMap::from([(LOG.to_owned(), Channel::Log)])
}

/// Refuses a name that cannot stand in an address as it is.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match !name.is_empty()
        && name.len() <= NAME_BYTES_MOST
        && name.chars().all(plain)
        && !name.starts_with('.')
    {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name of a {what}: letters, digits and . _ - make one, at most {NAME_BYTES_MOST}"
        )),
    }
}

/// Refuses a rule that says too little, or what its condition has no use for.
pub(super) fn check(rule: &Rule) -> Result<(), String> {
    let when = rule.when;
    let word = when.as_str();
    let one = |name: &str, takes: bool, says: bool, example: &str| match (takes, says) {
        (true, false) => Err(format!("a rule on {word} says {name}: {name}={example}")),
        (false, true) => Err(format!("a rule on {word} has no {name}")),
        _ => Ok(()),
    };
    one("above", when.takes_above(), rule.above.is_some(), "20")?;
    one("longer_than", when.takes_longer_than(), rule.longer_than.is_some(), "10m")?;
    one("within", when.takes_within(), rule.within.is_some(), "5m")?;
    if matches!(when, When::DeadShare | When::NearlyFull) && rule.above.is_some_and(|share| share > 100) {
        return Err(format!("above is a share of a hundred for {word}: 0 to 100"));
    }
    let spans = [
        ("longer_than", rule.longer_than),
        ("for", Some(rule.held_for)),
        ("recover_after", Some(rule.recover_after)),
        ("remind_every", rule.remind_every),
    ];
    for (name, span) in spans {
        if span.is_some_and(|span| span.ms > SPAN_MS_MOST) {
            return Err(format!("{name} is at most 90d"));
        }
    }
    if rule.within.is_some_and(|span| !(WITHIN_MS_LEAST..=WITHIN_MS_MOST).contains(&span.ms)) {
        return Err("within is from 1m to 1h".to_owned());
    }
    if rule.remind_every.is_some_and(|span| span.ms < WITHIN_MS_LEAST) {
        return Err("remind_every is at least 1m".to_owned());
    }
    let pattern = rule.queue.as_str();
    if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MOST {
        return Err(format!(
            "queue is a name or a pattern like email-*, of at most {PATTERN_BYTES_MOST} bytes"
        ));
    }
    if matches!(when, When::SpaceLow | When::StoreSilent) && pattern != "*" {
        return Err(format!("a rule on {word} is about the store: it has no queue"));
    }
    Ok(())
}

/// Whether a pattern means that name; `*` stands for any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else { return false };
    let Some(tail) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_the_names_that_its_parts_make_up() {
        for (pattern, name) in [
            ("*", "a"),
            ("email", "email"),
            ("email-*", "email-"),
            ("*-eu", "sms-eu"),
            ("a*b*c", "a1b2bc"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("email", "email-eu"),
            ("email-*", "email"),
            ("*-eu", "sms-us"),
            ("a*b*c", "acb"),
            ("ab*ba", "aba"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn every_default_is_a_rule_that_may_be_set() {
        for (name, rule) in defaults() {
            check_name("rule", &name).expect("a name");
            check(&rule).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        let watched: std::collections::BTreeSet<When> = defaults().values().map(|rule| rule.when).collect();
        let not: Vec<When> = When::ALL.into_iter().filter(|when| !watched.contains(when)).collect();
        assert_eq!(not, [When::Dead, When::DeadShare], "what a number of one's own is needed for");
    }

    #[test]
    fn a_rule_says_what_its_condition_needs_and_nothing_else() {
        let told = |rule: Rule| check(&rule).expect_err("refused");
        assert!(told(Rule::of(When::Dead)).contains("above=20"));
        assert!(told(Rule { above: Some(1), ..Rule::of(When::Paused) }).contains("has no above"));
        let share = Rule { above: Some(101), within: Some(minutes(5)), ..Rule::of(When::DeadShare) };
        assert!(told(share).contains("0 to 100"));
        let wide = Rule { above: Some(1), within: Some(minutes(61)), ..Rule::of(When::DeadRate) };
        assert!(told(wide).contains("1m to 1h"));
        assert!(told(Rule { queue: "email".into(), ..Rule::of(When::SpaceLow) }).contains("no queue"));
        assert!(told(Rule { queue: String::new(), ..Rule::of(When::Paused) }).contains("email-*"));
    }
}

//! Retry policies: `exponential(base=5s,cap=30m,max=12)`, `fixed(10s,max=5)`, `list(1s,10s,1m)`, `never`.

use windlass_core::retry::{Jitter, RetryPolicy};

use super::span;

/// A retry policy as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(pub RetryPolicy);

impl std::str::FromStr for Policy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map(Policy)
    }
}

/// The default policy with another number of failures.
pub fn with_max_failures(max: u32) -> RetryPolicy {
    match RetryPolicy::default() {
        RetryPolicy::Exponential { base_ms, cap_ms, jitter, .. } => {
            RetryPolicy::Exponential { base_ms, cap_ms, max_failures: max, jitter }
        }
        other => other,
    }
}

/// Reads a policy; what is not said keeps the default policy's value.
///
/// # Errors
/// A sentence with examples, or the bound that the policy breaks.
pub fn parse(text: &str) -> Result<RetryPolicy, String> {
    let policy = read(text)?;
    policy.validate()?;
    Ok(policy)
}

/// Reads a policy whatever its bounds, which whoever takes it checks.
///
/// # Errors
/// A sentence with examples.
pub fn read(text: &str) -> Result<RetryPolicy, String> {
    let (name, inside) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').ok_or_else(|| fault(text))?),
        None => (text, ""),
    };
    let parts = || inside.split(',').map(str::trim).filter(|part| !part.is_empty());
    Ok(match name.trim() {
        "default" if inside.is_empty() => RetryPolicy::default(),
        "never" if inside.is_empty() => RetryPolicy::never(),
        "exponential" => exponential(text, parts())?,
        "fixed" => fixed(text, parts())?,
        "list" => RetryPolicy::List { delays_ms: parts().map(span::parse).collect::<Result<_, _>>()? },
        _ => return Err(fault(text)),
    })
}

fn fault(text: &str) -> String {
    format!(
        "{text:?} is not a retry policy: write exponential(base=5s,cap=30m,max=12,jitter=full|none), fixed(10s,max=5), \
         list(1s,10s,1m), never or default"
    )
}

fn exponential<'a>(text: &str, parts: impl Iterator<Item = &'a str>) -> Result<RetryPolicy, String> {
    let (mut base_ms, mut cap_ms, mut max_failures, mut jitter) = match RetryPolicy::default() {
        RetryPolicy::Exponential { base_ms, cap_ms, max_failures, jitter } => {
            (base_ms, cap_ms, max_failures, jitter)
        }
        _ => return Err(fault(text)),
    };
    for part in parts {
        match part.split_once('=').ok_or_else(|| fault(text))? {
            ("base", value) => base_ms = span::parse(value)?,
            ("cap", value) => cap_ms = span::parse(value)?,
            ("max", value) => max_failures = value.parse().map_err(|_| fault(text))?,
            ("jitter", "full") => jitter = Jitter::Full,
            ("jitter", "none") => jitter = Jitter::None,
            _ => return Err(fault(text)),
        }
    }
    Ok(RetryPolicy::Exponential { base_ms, cap_ms, max_failures, jitter })
}

fn fixed<'a>(text: &str, mut parts: impl Iterator<Item = &'a str>) -> Result<RetryPolicy, String> {
    let delay_ms = span::parse(parts.next().ok_or_else(|| fault(text))?)?;
    let mut max_failures = RetryPolicy::default().max_failures();
    for part in parts {
        let value = part.strip_prefix("max=").ok_or_else(|| fault(text))?;
        max_failures = value.parse().map_err(|_| fault(text))?;
    }
    Ok(RetryPolicy::Fixed { delay_ms, max_failures })
}

/// The policy as [`parse`] reads it.
pub fn spell(policy: &RetryPolicy) -> String {
    match policy {
        RetryPolicy::Exponential { base_ms, cap_ms, max_failures, jitter } => {
            let jitter = if *jitter == Jitter::None { ",jitter=none" } else { "" };
            format!(
                "exponential(base={},cap={},max={max_failures}{jitter})",
                span::exact(*base_ms),
                span::exact(*cap_ms)
            )
        }
        RetryPolicy::Fixed { delay_ms, max_failures } => {
            format!("fixed({},max={max_failures})", span::exact(*delay_ms))
        }
        RetryPolicy::List { delays_ms } if delays_ms.is_empty() => "never".to_owned(),
        RetryPolicy::List { delays_ms } => {
            let delays: Vec<String> = delays_ms.iter().map(|ms| span::exact(*ms)).collect();
            format!("list({})", delays.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_back_from_its_own_spelling() {
        for text in [
            "exponential(base=5s,cap=30m,max=12)",
            "exponential(base=1s,cap=1m,max=3,jitter=none)",
            "fixed(10s,max=5)",
            "list(1s,10s,1m)",
        ] {
            assert_eq!(spell(&parse(text).expect(text)), text);
        }
        assert_eq!(parse("exponential(max=3)"), Ok(with_max_failures(3)));
        assert_eq!(parse(&spell(&parse("never").expect("a policy"))), Ok(RetryPolicy::never()));
    }

    #[test]
    fn what_is_not_a_policy_is_refused() {
        for bad in [
            "",
            "expo",
            "fixed",
            "fixed()",
            "fixed(10s",
            "fixed(10s,5)",
            "exponential(base)",
            "list(1)",
            "never(1)",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("fixed(1s,max=1000000)").is_err(), "above the bound");
    }
}

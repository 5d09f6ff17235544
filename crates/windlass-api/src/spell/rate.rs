//! Rates and numbers that may be switched off: `100/1m`, `100/1m,burst=20`, `none`.

use windlass_core::rate::Rate;

use super::span;

/// A setting that is a value or, spelled `none`, its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maybe<T>(pub Option<T>);

impl std::str::FromStr for Maybe<u32> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        maybe(text, |text| {
            text.parse().map_err(|_| format!("{text:?} is not a whole number; `none` means no limit"))
        })
    }
}

impl std::str::FromStr for Maybe<u64> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        maybe(text, |text| {
            text.parse().map_err(|_| format!("{text:?} is not a whole number; `none` means no limit"))
        })
    }
}

impl std::str::FromStr for Maybe<Rate> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        maybe(text, parse)
    }
}

fn maybe<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Maybe<T>, String> {
    if text == "none" { Ok(Maybe(None)) } else { read(text).map(|value| Maybe(Some(value))) }
}

/// Reads `COUNT/SPAN`, optionally with `,burst=N`; the burst is the count unless said.
///
/// # Errors
/// A sentence with examples, or the rule that the rate breaks.
pub fn parse(text: &str) -> Result<Rate, String> {
    let fault =
        || format!("{text:?} is not a rate: write 100/1m, 10/s or 100/1m,burst=20; `none` means no limit");
    let (main, burst) = match text.split_once(',') {
        Some((main, burst)) => (main, Some(burst.trim().strip_prefix("burst=").ok_or_else(fault)?)),
        None => (text, None),
    };
    let (count, period) = main.split_once('/').ok_or_else(fault)?;
    let count: u32 = count.trim().parse().map_err(|_| fault())?;
    let period = period.trim();
    // `10/s` reads as people say it.
    let spelled = if period.starts_with(|c: char| c.is_ascii_digit()) {
        period.to_owned()
    } else {
        format!("1{period}")
    };
    let period_ms = span::parse(&spelled).map_err(|_| fault())?;
    let burst = burst.map_or(Ok(count), |burst| burst.parse().map_err(|_| fault()))?;
    let rate = Rate { count, period_ms, burst };
    rate.validate()?;
    Ok(rate)
}

/// The rate as [`parse`] reads it.
pub fn spell(rate: &Rate) -> String {
    let burst = if rate.burst == rate.count { String::new() } else { format!(",burst={}", rate.burst) };
    format!("{}/{}{burst}", rate.count, span::exact(rate.period_ms))
}

/// A value, or `none`.
pub fn or_none<T>(value: Option<T>, spell: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), spell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_back_from_its_own_spelling() {
        for text in ["100/1m", "100/1m,burst=20", "1/7d"] {
            assert_eq!(spell(&parse(text).expect(text)), text);
        }
        assert_eq!(parse("10/s"), parse("10/1s"));
        assert_eq!("none".parse(), Ok(Maybe::<Rate>(None)));
        assert_eq!("7".parse(), Ok(Maybe::<u32>(Some(7))));
    }

    #[test]
    fn what_is_not_a_rate_is_refused() {
        for bad in ["", "100", "100/", "/1m", "0/1m", "x/1m", "100/1m,20", "100/1m,burst=", "100/0s", "-1/1m"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

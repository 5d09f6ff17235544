//! How long ended jobs are kept: by age (`1h`), by count (`10000`), or both (`1h,10000`); `forever`.

use super::span;

/// One half of a retention setting or both; what is absent stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// By age.
    pub age_ms: Option<u64>,
    /// By count.
    pub count: Option<u64>,
}

impl std::str::FromStr for Keep {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self { age_ms: Some(u64::MAX), count: Some(u64::MAX) });
        }
        let mut keep = Self { age_ms: None, count: None };
        for part in text.split(',').map(str::trim) {
            let set = if part.starts_with(|c: char| c.is_ascii_digit())
                && part.ends_with(|c: char| c.is_ascii_digit())
            {
                keep.count.replace(part.parse().map_err(|_| fault(text))?)
            } else {
                keep.age_ms.replace(span::parse(part).map_err(|_| fault(text))?)
            };
            if set.is_some() {
                return Err(fault(text));
            }
        }
        Ok(keep)
    }
}

fn fault(text: &str) -> String {
    format!(
        "{text:?} does not say how long to keep jobs: write an age (1h), a count (10000), both (1h,10000) or forever"
    )
}

impl Keep {
    /// Changes what was said, of both halves.
    pub fn apply(self, age_ms: &mut u64, count: &mut u64) {
        *age_ms = self.age_ms.unwrap_or(*age_ms);
        *count = self.count.unwrap_or(*count);
    }
}

/// Both halves for people; the largest numbers mean no bound.
pub fn spell(age_ms: u64, count: u64) -> String {
    match (age_ms, count) {
        (u64::MAX, u64::MAX) => "forever".to_owned(),
        (u64::MAX, count) => format!("{count}"),
        (age_ms, u64::MAX) => span::exact(age_ms),
        (age_ms, count) => format!("{},{count}", span::exact(age_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_an_age_a_count_or_both() {
        assert_eq!("1h".parse(), Ok(Keep { age_ms: Some(3_600_000), count: None }));
        assert_eq!("10000".parse(), Ok(Keep { age_ms: None, count: Some(10_000) }));
        assert_eq!("1h,10000".parse(), Ok(Keep { age_ms: Some(3_600_000), count: Some(10_000) }));
        assert_eq!(spell(3_600_000, 10_000), "1h,10000");
        for bad in ["", "1h,2h", "1,2", "always", "1h,"] {
            assert!(bad.parse::<Keep>().is_err(), "{bad}");
        }
    }
}

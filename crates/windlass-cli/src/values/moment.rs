//! Instants on the command line: spelled as everywhere, and counted from this machine's wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use windlass_api::spell::moment;
pub(crate) use windlass_api::spell::moment::{distance, parse};
use windlass_core::Time;

/// This machine's wall clock, for ages in tables and for ids; the store keeps its own.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a time, or a span that says how long ago it was.
///
/// # Errors
/// A sentence with examples of both.
pub(crate) fn parse_past(text: &str) -> Result<Time, String> {
    moment::parse_past(text, now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_means_that_long_ago_by_this_machines_clock() {
        let before = now().minus_ms(600_000);
        let at = parse_past("10m").expect("a span");
        assert!(at >= before && at.since(before) < 60_000, "{at}");
    }
}

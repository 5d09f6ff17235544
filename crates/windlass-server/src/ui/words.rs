//! Numbers, ages and names as pages say them, and the addresses that links lead to.

use std::fmt::Write as _;

use windlass_api::spell::{moment, span};
use windlass_core::histogram::Histogram;
use windlass_core::{JobId, Time};
pub(crate) use windlass_look::words::{NOTHING, When, bytes, condition, count, jobs_at, many, part};

/// That instant, as far away as it is now.
pub(crate) fn when(at: Time, now: Time) -> When {
    let said = if at == Time::NEVER { "never".to_owned() } else { moment::distance(at, now) };
    When { exact: at.to_string(), said }
}

/// That instant, if there is one.
pub(crate) fn some_when(at: Option<Time>, now: Time) -> Option<When> {
    at.map(|at| when(at, now))
}

/// A span for people: `1m30s`.
pub(crate) fn span(ms: u64) -> String {
    if ms == 0 { "0ms".to_owned() } else { span::rough(ms) }
}

/// That quantile of a histogram of milliseconds.
pub(crate) fn quantile(histogram: &Histogram, share: f64) -> String {
    if histogram.count() == 0 { NOTHING.to_owned() } else { span(histogram.quantile(share)) }
}

/// The end of an id: its beginning is the time, which jobs that were enqueued together share.
pub(crate) fn short(id: JobId) -> String {
    let mut told = String::from("…");
    // The last 8 of 32 digits.
    let _ = write!(told, "{:08x}", id.0 & 0xffff_ffff);
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_api::filter::FilterShape;

    #[test]
    fn a_condition_is_read_back_as_it_was_meant() {
        for value in ["a", "a b", "\"quoted\"", "back\\slash and space", "x:y", "tab\there"] {
            let mut shape = FilterShape::default();
            shape.add(&condition("group", value)).expect(value);
            assert_eq!(shape.group.as_deref(), Some(value));
        }
    }

    #[test]
    fn pages_of_applications_tell_times_as_the_dashboard_and_the_api_do() {
        let now = Time(1_795_253_400_123);
        for power in 0..40 {
            for ms in [1_u64 << power, 3_u64.pow(power / 2), 7 * 86_400_000 + (1 << power)] {
                assert_eq!(windlass_look::words::span(ms), span(ms), "{ms}");
                for at in [now.minus_ms(ms), now.plus_ms(ms)] {
                    assert_eq!(When::new(at, at.0, now.0), when(at, now));
                }
            }
        }
    }
}

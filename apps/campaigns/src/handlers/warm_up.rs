//! A sender's warm-up: how many messages an address may send tomorrow.
//!
//! Mail providers distrust a new sender that is loud at once. The cap doubles by the day until the sender is known.

use serde::{Deserialize, Serialize};
use windlass::{JobError, Outcome};

use crate::plan::WarmUpSender;

/// Messages on the first day, as the big mailbox providers advise.
const FIRST_DAY_MESSAGES: u64 = 50;
/// Messages a day of a sender that is known.
const MOST_MESSAGES: u64 = 200_000;

/// What a completed warm-up keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cap {
    day: u32,
    messages: u64,
}

pub(super) async fn warm_up(job: WarmUpSender) -> Result<Outcome, JobError> {
    Outcome::done_with(&Cap { day: job.day + 1, messages: messages_on(job.day + 1) })
}

fn messages_on(day: u32) -> u64 {
    let doubled = 1_u64.checked_shl(day.saturating_sub(1)).unwrap_or(u64::MAX);
    FIRST_DAY_MESSAGES.saturating_mul(doubled).min(MOST_MESSAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_doubles_by_the_day_and_stops() {
        assert_eq!([1, 2, 5].map(messages_on), [50, 100, 800]);
        assert_eq!([13, 64, 65, u32::MAX].map(messages_on), [200_000; 4]);
    }
}

//! How far a campaign's steps lead its messages.
//!
//! A step is decided faster than its message is sent, so that a large campaign's steps would run far ahead: work that
//! nobody waits for, in the way of other campaigns' messages, and no queue's fairness sees it, since they stand in other
//! queues. So a campaign with many messages that could go out takes its steps slowly until some have. It is slowed, never
//! stopped: its mails may stand in a line before a slow server while its texts could go.
//!
//! The queue counts what is ready in a campaign's group, and holds a group by itself; what is deferred is not ready.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use windlass::{
    Ctx,
    core::{GroupKey, QueueName, State, bounds::PAGE_MAX},
};

use super::{queues, share::Sharing};
use crate::app::{App, AppError};

/// Messages of a campaign that are ready in one queue, from which on its steps are slowed: some seconds' work for quick
/// providers, so that no line is ever empty for want of steps.
const LEAD_MAX: u64 = 1_000;
/// Steps of a campaign between two looks of a process. A campaign with fewer contacts costs no look.
const LOOK_EVERY: u32 = 50;
/// How long the steps are held at [`LEAD_MAX`], and in proportion above it: half of the messages that are ready then would
/// take as long at 2,000 a second, more than two cores send.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest hold: each process still decides [`LOOK_EVERY`] steps a second, more than a sender's number or mailbox takes.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Groups that this process has counted steps of; above it those that had none for [`FORGET_AFTER`] are dropped.
const COUNTED_MAX: usize = 1_000;
/// A campaign without a step for so long has no lead to speak of.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The steps of each campaign since this process looked how far they lead.
#[derive(Debug, Default)]
pub(crate) struct Leads(Mutex<HashMap<GroupKey, Since>>);

#[derive(Debug)]
struct Since {
    steps: u32,
    last: Instant,
}

impl Leads {
    /// Counts a step; whether it is one before which to look.
    fn is_due(&self, group: &GroupKey, now: Instant) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= COUNTED_MAX && !counted.contains_key(group) {
            counted.retain(|_, since| now.duration_since(since.last) < FORGET_AFTER);
        }
        let since = counted.entry(group.clone()).or_insert(Since { steps: 0, last: now });
        since.last = now;
        since.steps = (since.steps + 1) % LOOK_EVERY;
        since.steps == 0
    }
}

/// How long the steps of this one's campaign are to be held, if they lead its messages by too much. Where all campaigns
/// stand in one line there is nobody to give way to.
pub(super) async fn holds(app: &App, cx: &Ctx) -> Result<Option<Duration>, AppError> {
    let Some(group) = cx.group().filter(|_| app.sharing() == Sharing::Fair) else { return Ok(None) };
    if !app.leads().is_due(group, Instant::now()) {
        return Ok(None);
    }
    let ready = try_join_all(queues::MESSAGES.map(|queue| ready(app, queue.name, group))).await?;
    Ok(pause(ready.into_iter().max().unwrap_or(0)))
}

/// The hold for so many messages that are ready.
fn pause(ready: u64) -> Option<Duration> {
    let share = ready as f64 / LEAD_MAX as f64;
    (share >= 1.0).then(|| PAUSE.mul_f64(share.min(PAUSE_MAX.div_duration_f64(PAUSE))))
}

/// Jobs of a group that could be claimed.
async fn ready(app: &App, queue: &'static str, group: &GroupKey) -> Result<u64, AppError> {
    let queue = QueueName::new(queue).map_err(windlass::Error::from)?;
    // There is no look at one group; those that begin alike stand behind each other.
    let text = group.as_str();
    let mut after = text.char_indices().next_back().and_then(|(last, _)| GroupKey::new(&text[..last]).ok());
    loop {
        let page = app.client().store().groups(queue.clone(), after, PAGE_MAX).await?;
        if let Some(found) = page.items.iter().find(|info| info.key.as_ref() == Some(group)) {
            return Ok(found.counts.of(State::Ready));
        }
        let next = page.next.and_then(|next| GroupKey::new(&next).ok());
        let Some(next) = next.filter(|next| next < group) else { return Ok(0) };
        after = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_held_in_proportion_to_their_lead_and_never_for_long() {
        assert_eq!(pause(LEAD_MAX - 1), None);
        assert_eq!(pause(LEAD_MAX), Some(PAUSE));
        assert_eq!(pause(2 * LEAD_MAX), Some(2 * PAUSE));
        assert_eq!(pause(u64::MAX), Some(PAUSE_MAX));
    }

    #[test]
    fn a_process_looks_at_one_of_many_steps_and_forgets_what_has_none() {
        let (leads, began) = (Leads::default(), Instant::now());
        let group = |nth: usize| GroupKey::new(format!("campaign-{nth}")).unwrap();
        let looks = (0..3 * LOOK_EVERY).filter(|_| leads.is_due(&group(0), began)).count();
        assert_eq!(looks, 3);
        for nth in 1..COUNTED_MAX {
            assert!(!leads.is_due(&group(nth), began));
        }
        leads.is_due(&group(COUNTED_MAX), began + FORGET_AFTER);
        assert_eq!(leads.0.lock().unwrap().len(), 1);
    }
}

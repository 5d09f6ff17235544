//! How far a campaign is: its figures as a page shows them.

use windlass::Time;

use super::Ask;
use crate::{
    figures::{Because, Figures},
    flow::check::next_day,
    model::{
        campaign::{Campaign, CampaignStatus},
        touch::TouchStatus,
    },
    pages::view::{CampaignRow, Count, Reasons},
};

/// A day is at most that long, with the hour that a zone may gain.
const LONGEST_DAY_MS: u64 = 25 * 3_600_000;

/// When the first of the messages with a reason goes on.
pub(super) type FirstUntil = Vec<(String, Option<Time>)>;

/// A campaign in the list.
pub(super) fn row(ask: &Ask, campaign: &Campaign, owner: String, figures: &Figures) -> CampaignRow {
    CampaignRow {
        id: campaign.id.0,
        name: campaign.name.clone(),
        owner,
        status: campaign.status.to_string(),
        done: Count(figures.done + figures.stopped),
        all: campaign.contacts.into(),
        sent_today: Count(figures.sent_today),
        cap_today: campaign.daily_cap.map(Count::from),
        eta: figures.eta.map(|at| ask.when(at)),
        waits: waits(campaign, figures).map(str::to_owned),
        launched: campaign.launched_at.map(|at| ask.when(at)),
    }
}

/// Why nothing goes out though it runs: all that is there waits for a time.
fn waits(campaign: &Campaign, figures: &Figures) -> Option<&'static str> {
    let moves = |status| matches!(status, TouchStatus::Queued | TouchStatus::Sending);
    let is_moving = figures.funnel.iter().flat_map(|step| &step.counts).any(|(status, _)| moves(*status));
    if campaign.status != CampaignStatus::Running || is_moving {
        return None;
    }
    figures.waiting.first().map(|because| because.said)
}

/// Why messages wait, or were not sent.
pub(super) fn reasons(ask: &Ask, rows: &[Because], first: &FirstUntil) -> Vec<Reasons> {
    let until = |reason: &str| first.iter().find(|(one, _)| one == reason).and_then(|(_, until)| *until);
    rows.iter()
        .map(|one| Reasons {
            reason: one.reason.clone(),
            said: one.said.to_owned(),
            count: Count(one.count),
            first_until: until(&one.reason).map(|at| ask.when(at)),
        })
        .collect()
}

/// The beginning of the day of that moment in that zone.
pub(super) fn day_begins(zone: &str, now: Time) -> Time {
    let mut begins = Time(next_day(zone, now).0.saturating_sub(LONGEST_DAY_MS));
    while next_day(zone, begins) <= now {
        begins = next_day(zone, begins);
    }
    begins
}

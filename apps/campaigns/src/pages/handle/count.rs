//! How far a campaign is, in numbers: counted from its rows, each number by an index.

use std::collections::BTreeMap;

use windlass::Time;

use super::Ask;
use crate::{
    app::AppError,
    db::Tx,
    figures,
    flow::check::next_day,
    model::{
        campaign::{Campaign, CampaignStatus, EnrolmentStatus},
        touch::{EventKind, Reason, TouchStatus},
    },
    pages::view::{CampaignRow, Count, Reasons, When},
    store::{
        enrolments, events,
        touches::{self, Tally},
    },
};

/// A day is at most that long, with the hour that a zone may gain.
const LONGEST_DAY_MS: u64 = 25 * 3_600_000;

/// What is counted of a campaign.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) campaign: Campaign,
    pub(super) owner: String,
    pub(super) enrolments: Vec<(EnrolmentStatus, i64)>,
    pub(super) tallies: Vec<Tally>,
    pub(super) first_until: Vec<(String, Option<Time>)>,
}

impl Counted {
    /// Counts one.
    pub(super) fn of(tx: &mut Tx<'_>, campaign: Campaign, owner: String) -> Result<Self, AppError> {
        let id = campaign.id;
        Ok(Self {
            enrolments: enrolments::counts(tx, id)?,
            tallies: touches::tallies(tx, id)?,
            first_until: touches::first_until(tx, id)?,
            campaign,
            owner,
        })
    }

    fn standing(&self, status: EnrolmentStatus) -> Count {
        let counted = self.enrolments.iter().find(|(one, _)| *one == status);
        Count::from(counted.map_or(0, |(_, n)| *n))
    }

    fn in_status(&self, wanted: &[TouchStatus]) -> i64 {
        self.tallies.iter().filter(|tally| wanted.contains(&tally.status)).map(|tally| tally.count).sum()
    }

    /// Why nothing goes out though it runs: all that is there waits for a time.
    fn waits(&self, ask: &Ask) -> Option<String> {
        let is_moving = self.in_status(&[TouchStatus::Queued, TouchStatus::Sending]) > 0;
        if self.campaign.status != CampaignStatus::Running || is_moving {
            return None;
        }
        let most = self.reasons(ask, TouchStatus::Deferred).into_iter().next()?;
        let first = self.first_until.iter().filter_map(|(_, until)| *until).min();
        let goes_on = first.map(|at| format!("; the first message goes on {}", ask.when(at).said));
        Some(format!("{}{}", most.said, goes_on.unwrap_or_default()))
    }

    /// It in the list.
    pub(super) async fn row(&self, ask: &Ask) -> Result<CampaignRow, AppError> {
        let figures = figures::of(&ask.app, self.campaign.id).await?;
        let campaign = &self.campaign;
        let done = Count(self.standing(EnrolmentStatus::Done).0 + self.standing(EnrolmentStatus::Stopped).0);
        Ok(CampaignRow {
            id: campaign.id.0,
            name: campaign.name.clone(),
            owner: self.owner.clone(),
            status: campaign.status.to_string(),
            done,
            all: campaign.contacts.into(),
            sent_today: figures.sent_today.into(),
            cap_today: campaign.daily_cap.map(Count::from),
            eta: figures.eta.map(|at| ask.when(at)),
            waits: self.waits(ask),
            launched: campaign.launched_at.map(|at| ask.when(at)),
        })
    }

    /// Why messages wait, or were not sent: most first.
    pub(super) fn reasons(&self, ask: &Ask, status: TouchStatus) -> Vec<Reasons> {
        let mut sums = BTreeMap::<&str, i64>::new();
        for tally in self.tallies.iter().filter(|tally| tally.status == status) {
            *sums.entry(&tally.reason).or_default() += tally.count;
        }
        let first = |reason: &str| -> Option<When> {
            let found = self.first_until.iter().find(|(one, _)| one == reason)?;
            found.1.filter(|_| status == TouchStatus::Deferred).map(|at| ask.when(at))
        };
        let mut rows: Vec<Reasons> = sums
            .into_iter()
            .map(|(reason, n)| Reasons {
                reason: reason.to_owned(),
                said: serde_json::from_value::<Reason>(reason.into())
                    .map_or("no reason is known", Reason::said)
                    .to_owned(),
                count: n.into(),
                first_until: first(reason),
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        rows
    }
}

/// How often messages of a campaign's step were answered in that way.
pub(super) type Answers = Vec<(u32, crate::channel::Channel, EventKind, i64)>;

/// The answers to a campaign.
pub(super) fn answers(tx: &mut Tx<'_>, campaign: &Campaign) -> Result<Answers, AppError> {
    Ok(events::answers(tx, campaign.id)?)
}

/// The beginning of the day of that moment in that zone.
pub(super) fn day_begins(zone: &str, now: Time) -> Time {
    let mut begins = Time(next_day(zone, now).0.saturating_sub(LONGEST_DAY_MS));
    while next_day(zone, begins) <= now {
        begins = next_day(zone, begins);
    }
    begins
}

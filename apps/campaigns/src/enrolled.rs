//! Who of a campaign stands where, and what they wait for: the rows of a list of its contacts.
//!
//! A contact who has steps before them either has a message that waits, whose reason and time are its own, or waits for the
//! step itself: for its delay, or for the day on which the campaign's cap has room for one more first step. The latter is no
//! row anywhere, since a pager lays out a million of them, and is computed here by the pager's own rule.

use serde::Serialize;
use windlass::Time;

use crate::{
    app::AppError,
    db::Tx,
    flow::due::Versions,
    model::{
        CampaignId, ContactId, TouchId,
        campaign::{Campaign, CampaignStatus, EnrolmentStatus, Step},
        touch::{Reason, TouchStatus},
        words,
    },
    store::{
        campaigns,
        enrolments::{self, Enrolment, Which},
        touches,
    },
};

/// A contact of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enrolled {
    /// Where they stand.
    #[serde(flatten)]
    pub enrolment: Enrolment,
    /// The key of the step that is before them, or was when it ended.
    pub step_key: Option<u32>,
    /// What they wait for; nothing once their sequence has ended.
    pub waits_for: Option<Awaited>,
    /// Until when, where that is known and lies ahead.
    pub until: Option<Time>,
    /// The last message that was made for them, and how it stands.
    pub touch: Option<(TouchId, TouchStatus)>,
}

/// What a contact waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// What their message waits for.
    Message(Reason),
    /// What the step before them waits for.
    Step(Wait),
}

/// What a step waits for that has no message yet, and a message that has no reason to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Its delay.
    Delay,
    /// The campaign begins later.
    Start,
    /// Its turn: it is due.
    Turn,
}

words!(Wait);

impl Awaited {
    /// The same in words.
    pub fn said(self) -> &'static str {
        match self {
            Awaited::Message(reason) => reason.said(),
            Awaited::Step(Wait::Delay) => "the step's delay",
            Awaited::Step(Wait::Start) => "the campaign's beginning",
            Awaited::Step(Wait::Turn) => "its turn: it is due",
        }
    }
}

impl Serialize for Awaited {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Awaited::Message(reason) => reason.serialize(serializer),
            Awaited::Step(wait) => wait.serialize(serializer),
        }
    }
}

/// The contacts of a campaign after that one, in their order.
///
/// # Errors
/// A campaign that is none; the database's.
pub fn page(
    tx: &mut Tx<'_>,
    id: CampaignId,
    which: &Which,
    after: ContactId,
    limit: u32,
    now: Time,
) -> Result<Vec<Enrolled>, AppError> {
    let campaign = campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?;
    let versions = campaigns::versions(tx, id)?;
    let mut counted = (ContactId(0), 0);
    let mut rows = Vec::new();
    for enrolment in enrolments::list(tx, id, which, after, limit)? {
        let steps = versions.iter().find(|(version, _)| *version == enrolment.version);
        let at = usize::try_from(enrolment.step).unwrap_or(0).checked_sub(1);
        let step = steps.zip(at).and_then(|((_, steps), at)| steps.get(at));
        rows.push(row(tx, &campaign, enrolment, step, &mut counted, now)?);
    }
    Ok(rows)
}

fn row(
    tx: &mut Tx<'_>,
    campaign: &Campaign,
    enrolment: Enrolment,
    step: Option<&Step>,
    counted: &mut (ContactId, u32),
    now: Time,
) -> Result<Enrolled, AppError> {
    let made = touches::of_enrolment(tx, campaign.id, enrolment.contact)?;
    let open = made
        .iter()
        .rev()
        .find(|touch| !touch.status.is_final() && Some(touch.step_key) == step.map(|step| step.key));
    let (waits_for, until) = match (enrolment.status, open) {
        (EnrolmentStatus::Done | EnrolmentStatus::Stopped, _) => (None, None),
        (EnrolmentStatus::Active, Some(touch)) => match touch.reason_in(campaign.status) {
            Some(Reason::CampaignPaused) => (Some(Awaited::Message(Reason::CampaignPaused)), None),
            Some(reason) => (Some(Awaited::Message(reason)), touch.until),
            None => (Some(Awaited::Step(Wait::Turn)), None),
        },
        (EnrolmentStatus::Active, None) if campaign.status == CampaignStatus::Paused => {
            (Some(Awaited::Message(Reason::CampaignPaused)), None)
        }
        (EnrolmentStatus::Active, None) => {
            let (wait, due) = awaited(tx, campaign, &enrolment, !made.is_empty(), counted, now)?;
            (Some(if due > now { wait } else { Awaited::Step(Wait::Turn) }), Some(due))
        }
    };
    Ok(Enrolled {
        step_key: step.map(|step| step.key),
        waits_for,
        until: until.filter(|until| *until > now),
        touch: made.last().map(|touch| (touch.id, touch.status)),
        enrolment,
    })
}

/// What a contact without a message waits for, and until when.
fn awaited(
    tx: &mut Tx<'_>,
    campaign: &Campaign,
    enrolment: &Enrolment,
    has_begun: bool,
    counted: &mut (ContactId, u32),
    now: Time,
) -> Result<(Awaited, Time), AppError> {
    if has_begun || enrolment.step != 1 {
        return Ok((Awaited::Step(Wait::Delay), enrolment.next_at.unwrap_or(now)));
    }
    let mut versions = Versions::of(campaign);
    let alone = versions.first(tx, enrolment, 0, now)?;
    let due = match enrolment.next_at {
        Some(due) => due,
        None => {
            let (before, nth) = *counted;
            let nth = match campaign.begins_a_day() {
                Some(_) => nth + enrolments::between(tx, campaign.id, before, enrolment.contact)?,
                None => 0,
            };
            *counted = (enrolment.contact, nth);
            versions.first(tx, enrolment, nth, now)?
        }
    };
    let wait = if due > alone {
        let is_new_cap = campaign.new_per_day.is_some() && campaign.new_per_day == campaign.begins_a_day();
        Awaited::Message(if is_new_cap { Reason::NewCap } else { Reason::CampaignCap })
    } else if campaign.starts_at.is_some_and(|at| at > now) {
        Awaited::Step(Wait::Start)
    } else {
        Awaited::Step(Wait::Delay)
    };
    Ok((wait, due))
}

//! Drafts of campaigns: made, changed, and moved on to another version of their sequence.
//!
//! Whatever a form or a program sends comes through here, so that both are told the same of what is wrong. A sequence that
//! was launched never changes: an edit is the next version, and whoever edits says who goes by it.

pub mod outlook;

use serde::{Deserialize, Serialize};
use windlass::Time;

use crate::{
    app::{App, AppError},
    db::Tx,
    flow::{again, moves, share},
    model::{
        CampaignId, ListId, SenderId, UserId,
        campaign::{Campaign, CampaignStatus, Step, StopRules, USUAL_SHARE, check_sequence},
        sequence,
        variant::Variant,
        words,
    },
    store::{audit, campaigns, lists, senders, templates, users},
    window::WindowPolicy,
};

/// The longest name of a campaign, in characters: what fits into a table.
const NAME_CHARS_MAX: usize = 100;
/// The weights of campaigns and users.
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=100;

/// A campaign as people write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub user: UserId,
    /// Whom it reaches; must be chosen before the launch.
    #[serde(default)]
    pub list: Option<ListId>,
    /// Its share among its user's campaigns.
    #[serde(default = "usual_weight")]
    pub weight: u32,
    /// Messages a day at most.
    #[serde(default)]
    pub daily_cap: Option<u32>,
    /// Contacts whom it begins with on a day at most; none is as many as the cap has room for.
    #[serde(default)]
    pub new_per_day: Option<u32>,
    /// When it may reach whom.
    pub policy: WindowPolicy,
    /// What ends the sequence for a contact.
    #[serde(default)]
    pub stop_rules: StopRules,
    /// The postal address that a commercial mail must show.
    #[serde(default)]
    pub postal_address: String,
    /// When it begins; none is at its launch.
    #[serde(default)]
    pub starts_at: Option<Time>,
    /// In whose name.
    #[serde(default)]
    pub senders: Vec<SenderId>,
    /// What is sent.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The revision that was read before it was changed; a change of another one in between refuses this one.
    #[serde(default)]
    pub revision: Option<i64>,
}

fn usual_weight() -> u32 {
    USUAL_SHARE
}

impl Draft {
    /// The same with every weight of its steps' variants written out.
    fn settled(self) -> Self {
        let steps = self.steps.into_iter().map(Step::settled).collect();
        Self { steps, ..self }
    }
}

/// Who goes by the next version of a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moves {
    /// Contacts who have not had the first message yet.
    #[default]
    NotBegun,
    /// Everybody who has steps before them; whoever is past the end of the new sequence is done.
    Everybody,
}

words!(Moves);

/// Which variant of which step is kept, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// The step, from 1.
    pub step: u32,
    /// The variant that everybody is to get.
    pub variant: Variant,
    /// Who goes by the version in which they do.
    pub moves: Moves,
    /// The campaign's revision that was looked at; a change of another one in between refuses this one.
    pub revision: Option<i64>,
}

/// Makes a draft.
///
/// # Errors
/// What is wrong with it; the database's.
pub async fn create(app: &App, draft: Draft, who: &str) -> Result<Campaign, AppError> {
    let (now, who, draft) = (app.now(), who.to_owned(), draft.settled());
    app.db()
        .write(move |tx| {
            check(tx, &draft)?;
            let id = campaigns::create(tx, &written(&draft, now), &draft.steps, now)?;
            senders::choose(tx, id, &draft.senders)?;
            audit::note(tx, &who, "create campaign", &id.to_string(), &draft.name, now)?;
            known(tx, id)
        })
        .await
}

/// Changes a draft. Of a campaign that was launched everything but its list and its sequence can be changed
/// ([`next_version`] is for the latter).
///
/// # Errors
/// What is wrong with it, that it was changed meanwhile or is over; the database's.
pub async fn edit(app: &App, id: CampaignId, draft: Draft, who: &str) -> Result<Campaign, AppError> {
    let (now, who, draft) = (app.now(), who.to_owned(), draft.settled());
    let (inner, asking) = (app.clone(), app.clone());
    let campaign = app
        .db()
        .write(move |tx| {
            check(tx, &draft)?;
            let there = known(tx, id)?;
            let is_draft = there.status == CampaignStatus::Draft;
            let steps = keyed(tx, &there, &draft.steps)?;
            if !is_draft && !there.status.is_live() {
                return Err(AppError::Conflict(format!("campaign {id} is {}", there.status)));
            }
            if !is_draft && draft.list != there.list {
                return Err(AppError::invalid("list", "a campaign that was launched keeps its contacts"));
            }
            if !is_draft && steps != campaigns::steps(tx, id, there.version)? {
                let why = "a sequence that was launched is not changed: make its next version";
                return Err(AppError::invalid("steps", why));
            }
            let revision = draft.revision.unwrap_or(there.revision);
            let changed =
                Campaign { id, revision, version: there.version, user: there.user, ..written(&draft, now) };
            if !campaigns::edit(tx, &changed)? {
                return Err(AppError::Conflict(format!(
                    "campaign {id} was changed by somebody else: look at it again"
                )));
            }
            if is_draft {
                campaigns::write_steps(tx, id, there.version, &steps, now)?;
            }
            let are_others = senders::choose(tx, id, &draft.senders)?;
            if !is_draft {
                again::after_edit(tx, &asking, (&there, &changed), are_others)?;
            }
            audit::note(tx, &who, "edit campaign", &id.to_string(), &draft.name, now)?;
            known(tx, id)
        })
        .await?;
    if campaign.status.is_live() {
        share::set(&inner, campaign.user).await?;
    }
    Ok(campaign)
}

/// Writes the next version of a sequence that was launched.
///
/// # Errors
/// What is wrong with it; a campaign that is no more; the database's.
pub async fn next_version(
    app: &App,
    id: CampaignId,
    steps: Vec<Step>,
    moves: Moves,
    who: &str,
) -> Result<Campaign, AppError> {
    let (now, who, inner) = (app.now(), who.to_owned(), app.clone());
    let steps: Vec<Step> = steps.into_iter().map(Step::settled).collect();
    let campaign = app
        .db()
        .write(move |tx| {
            let there = live(tx, id)?;
            let steps = keyed(tx, &there, &steps)?;
            let detail = move_on(tx, &inner, &there, &steps, moves, now)?;
            audit::note(tx, &who, "next version", &id.to_string(), &detail, now)?;
            known(tx, id)
        })
        .await?;
    moved(app, id).await?;
    Ok(campaign)
}

/// Ends a test of variants: the next version of the sequence has one of them alone. What was sent stays recorded as it was.
///
/// # Errors
/// A step or variant that the present version does not have; a campaign that is no more, or that was changed meanwhile; the
/// database's.
pub async fn keep(app: &App, id: CampaignId, kept: Kept, who: &str) -> Result<Campaign, AppError> {
    let (now, who, inner) = (app.now(), who.to_owned(), app.clone());
    let Kept { step: number, variant, moves, revision } = kept;
    let campaign = app
        .db()
        .write(move |tx| {
            let there = live(tx, id)?;
            if revision.is_some_and(|revision| revision != there.revision) {
                let why = format!("campaign {id} was changed by somebody else: look at it again");
                return Err(AppError::Conflict(why));
            }
            let mut steps = campaigns::steps(tx, id, there.version)?;
            let at = usize::try_from(number).unwrap_or(0).checked_sub(1);
            let step =
                at.and_then(|at| steps.get_mut(at)).ok_or_else(|| AppError::unknown("step", number))?;
            if step.variants.is_empty() {
                let why = format!("step {number} says the same to everybody: there is nothing to end");
                return Err(AppError::Conflict(why));
            }
            let last = step.arms().last().map_or(Variant::A, |arm| arm.variant);
            *step = step.keeping(variant).ok_or_else(|| {
                AppError::invalid("variant", format!("step {number} has A to {last}, and no {variant}"))
            })?;
            let detail = move_on(tx, &inner, &there, &steps, moves, now)?;
            let detail = format!("{variant} of step {number}: {detail}");
            audit::note(tx, &who, "keep variant", &id.to_string(), &detail, now)?;
            known(tx, id)
        })
        .await?;
    moved(app, id).await?;
    Ok(campaign)
}

/// A campaign that may have another version of its sequence.
fn live(tx: &mut Tx<'_>, id: CampaignId) -> Result<Campaign, AppError> {
    let there = known(tx, id)?;
    if there.status.is_live() {
        return Ok(there);
    }
    let what = if there.status == CampaignStatus::Draft {
        "change the draft itself"
    } else {
        "only one that runs has another version"
    };
    Err(AppError::Conflict(format!("campaign {id} is {}: {what}", there.status)))
}

/// Makes these steps the sequence of a campaign, and lets go by it who is to; what happened, in words.
fn move_on(
    tx: &mut Tx<'_>,
    app: &App,
    there: &Campaign,
    steps: &[Step],
    moves: Moves,
    now: Time,
) -> Result<String, AppError> {
    let (id, version) = (there.id, there.version + 1);
    check_steps(tx, steps)?;
    campaigns::write_steps(tx, id, version, steps, now)?;
    if !campaigns::edit(tx, &Campaign { version, ..there.clone() })? {
        return Err(AppError::Conflict(format!("campaign {id} was changed by somebody else")));
    }
    let moved = moves::begin(tx, app, &Campaign { version, ..there.clone() }, moves, now)?;
    let others = if moved.more_after.is_some() { ", and others follow" } else { "" };
    Ok(format!("version {version}, {} contacts go by it{others}", moved.count))
}

/// What follows from another version, once it is written: whoever has come to its end may be the campaign's last.
async fn moved(app: &App, id: CampaignId) -> Result<(), AppError> {
    app.figures().forget(id);
    share::end_if_over(app, id).await
}

/// These steps with their keys: those that they say, or those of the present steps that they are ([`sequence::keyed`]).
fn keyed(tx: &mut Tx<'_>, there: &Campaign, steps: &[Step]) -> Result<Vec<Step>, AppError> {
    let versions = campaigns::versions(tx, there.id)?;
    let known = versions.iter().flat_map(|(_, steps)| steps).map(|step| step.key).collect();
    let present = versions.iter().find(|(version, _)| *version == there.version);
    let present = present.map_or(&[][..], |(_, steps)| steps);
    sequence::keyed(steps, present, &known).map_err(|why| AppError::invalid("steps", why))
}

/// The steps of a campaign's version.
///
/// # Errors
/// The database's.
pub async fn steps(app: &App, campaign: &Campaign) -> Result<Vec<Step>, AppError> {
    let (id, version) = (campaign.id, campaign.version);
    app.db().read(move |tx| Ok(campaigns::steps(tx, id, version)?)).await
}

fn check(tx: &mut Tx<'_>, draft: &Draft) -> Result<(), AppError> {
    let name = draft.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(AppError::invalid("name", format!("1 to {NAME_CHARS_MAX} characters")));
    }
    if !WEIGHTS.contains(&draft.weight) {
        return Err(AppError::invalid("weight", "1 to 100; 10 is the usual one"));
    }
    if draft.daily_cap == Some(0) {
        return Err(AppError::invalid("daily cap", "at least 1; leave it out for no cap"));
    }
    if draft.new_per_day == Some(0) {
        return Err(AppError::invalid(
            "new per day",
            "at least 1; leave it out for as many as the cap has room for",
        ));
    }
    if users::get(tx, draft.user)?.is_none() {
        return Err(AppError::unknown("user", draft.user));
    }
    if let Some(list) = draft.list
        && !lists::is_there(tx, list)?
    {
        return Err(AppError::unknown("list", list));
    }
    for id in &draft.senders {
        let sender = senders::get(tx, *id)?.ok_or_else(|| AppError::unknown("sender", id))?;
        if sender.user.is_some_and(|owner| owner != draft.user) {
            let why = format!(
                "{} is another user's: choose one that is everybody's or the campaign's user's",
                sender.address
            );
            return Err(AppError::invalid("senders", why));
        }
    }
    if draft.steps.is_empty() { Ok(()) } else { check_steps(tx, &draft.steps) }
}

fn check_steps(tx: &mut Tx<'_>, steps: &[Step]) -> Result<(), AppError> {
    check_sequence(steps).map_err(|why| AppError::invalid("steps", why))?;
    for (number, step) in (1..).zip(steps) {
        for (channel, template) in step.texts() {
            let stored = templates::get(tx, template)?.ok_or_else(|| {
                AppError::invalid("steps", format!("step {number}: no template {template}"))
            })?;
            if stored.channel != channel {
                let why = format!("step {number}: template {:?} is for {}", stored.name, stored.channel);
                return Err(AppError::invalid("steps", why));
            }
        }
    }
    Ok(())
}

fn written(draft: &Draft, now: Time) -> Campaign {
    Campaign {
        list: draft.list,
        weight: draft.weight,
        daily_cap: draft.daily_cap,
        stop_rules: draft.stop_rules,
        postal_address: draft.postal_address.trim().to_owned(),
        starts_at: draft.starts_at,
        new_per_day: draft.new_per_day,
        ..Campaign::draft(draft.user, draft.name.trim(), draft.policy.clone(), now)
    }
}

fn known(tx: &mut Tx<'_>, id: CampaignId) -> Result<Campaign, AppError> {
    campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))
}

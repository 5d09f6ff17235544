//! Campaigns and their messages.

use std::collections::HashMap;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use windlass::{Time, core::why::Why};
use windlass_look::Visitor;

use super::{
    answer::{Answer, Fault},
    ask::{self, Body, MaybeBody, Path, Query},
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    drafts::{self, Draft, Kept, Moves},
    figures::{self, Figures},
    filters,
    flow::verbs,
    model::{
        CampaignId, SenderId, TouchId,
        campaign::{Campaign, CampaignStatus, EnrolmentStatus, Step, StopReason},
        sequence,
        touch::{Reason, Touch, TouchStatus},
        variant::Variant,
    },
    preflight::{self, Preflight},
    store::{self, campaigns, enrolments, events, senders, touches},
    variants::{
        results::{Goal, Rates, Tally, Test},
        verdict::Verdict,
    },
};

/// Which page of something numbered is meant: newest first, before that number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    #[serde(default)]
    before: Option<i64>,
    #[serde(default)]
    limit: Option<u32>,
}

impl Before {
    /// Before which number, and how many.
    pub(super) fn page(&self) -> Result<(i64, u32), Fault> {
        Ok((self.before.unwrap_or(i64::MAX), ask::page_of(self.limit)?))
    }
}

/// A campaign with what belongs to it.
#[derive(Debug, Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    campaign: Campaign,
    senders: Vec<SenderId>,
    steps: Vec<Step>,
}

async fn whole(app: &App, campaign: Campaign) -> Result<Whole, AppError> {
    let (id, version) = (campaign.id, campaign.version);
    app.db()
        .read(move |tx| {
            let mut chosen = Vec::new();
            for channel in Channel::ALL {
                let of_channel = senders::of_campaign(tx, id, channel)?;
                chosen.extend(of_channel.into_iter().map(|sender| sender.id));
            }
            let campaign = Campaign { contacts: campaigns::reaches(tx, &campaign)?, ..campaign.clone() };
            Ok(Whole { campaign, senders: chosen, steps: campaigns::steps(tx, id, version)? })
        })
        .await
}

/// `GET /v1/campaigns`
pub(super) async fn page(State(app): State<App>, Query(which): Query<Before>) -> Answer<Vec<Campaign>> {
    let (before, limit) = which.page()?;
    let page = move |tx: &mut Tx<'_>| Ok::<_, AppError>(campaigns::page(tx, CampaignId(before), limit)?);
    Ok(Json(app.db().read(page).await?))
}

/// `POST /v1/campaigns`
pub(super) async fn create(
    State(app): State<App>,
    visitor: Visitor,
    Body(draft): Body<Draft>,
) -> Answer<Whole> {
    let campaign = drafts::create(&app, draft, &visitor.name).await?;
    Ok(Json(whole(&app, campaign).await?))
}

/// `GET /v1/campaigns/{id}`
pub(super) async fn get(State(app): State<App>, Path(id): Path<CampaignId>) -> Answer<Whole> {
    let found = app.db().read(move |tx| Ok::<_, AppError>(campaigns::get(tx, id)?)).await?;
    let campaign = found.ok_or_else(|| AppError::unknown("campaign", id))?;
    Ok(Json(whole(&app, campaign).await?))
}

/// `PUT /v1/campaigns/{id}`
pub(super) async fn edit(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<CampaignId>,
    Body(draft): Body<Draft>,
) -> Answer<Whole> {
    let campaign = drafts::edit(&app, id, draft, &visitor.name).await?;
    Ok(Json(whole(&app, campaign).await?))
}

/// The next version of a sequence.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextVersion {
    steps: Vec<Step>,
    #[serde(default)]
    moves: Moves,
}

/// `PUT /v1/campaigns/{id}/steps`
pub(super) async fn next_version(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<CampaignId>,
    Body(next): Body<NextVersion>,
) -> Answer<Whole> {
    let campaign = drafts::next_version(&app, id, next.steps, next.moves, &visitor.name).await?;
    Ok(Json(whole(&app, campaign).await?))
}

/// The end of a test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keep {
    variant: Variant,
    #[serde(default = "everybody")]
    moves: Moves,
    #[serde(default)]
    revision: Option<i64>,
}

/// Whoever ends a test means those who are on their way, too.
fn everybody() -> Moves {
    Moves::Everybody
}

/// `POST /v1/campaigns/{id}/steps/{step}/keep`
pub(super) async fn keep(
    State(app): State<App>,
    visitor: Visitor,
    Path((id, step)): Path<(CampaignId, u32)>,
    Body(keep): Body<Keep>,
) -> Answer<Whole> {
    let Keep { variant, moves, revision } = keep;
    let campaign = drafts::keep(&app, id, Kept { step, variant, moves, revision }, &visitor.name).await?;
    Ok(Json(whole(&app, campaign).await?))
}

/// `POST /v1/campaigns/{id}/launch`
pub(super) async fn launch(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<CampaignId>,
) -> Answer<Campaign> {
    Ok(Json(verbs::launch(&app, id, &visitor.name).await?))
}

/// Until when something is paused; without it, until a person says so.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Until {
    until: Option<Time>,
}

/// `POST /v1/campaigns/{id}/pause`
pub(super) async fn pause(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<CampaignId>,
    MaybeBody(Until { until }): MaybeBody<Until>,
) -> Answer<Campaign> {
    Ok(Json(verbs::pause_until(&app, id, until, &visitor.name).await?))
}

/// `POST /v1/campaigns/{id}/resume`
pub(super) async fn resume(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<CampaignId>,
) -> Answer<Campaign> {
    Ok(Json(verbs::resume(&app, id, &visitor.name).await?))
}

/// `POST /v1/campaigns/{id}/cancel`
pub(super) async fn cancel(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<CampaignId>,
) -> Answer<Campaign> {
    Ok(Json(verbs::cancel(&app, id, &visitor.name).await?))
}

/// How many contacts and messages of a campaign stand where.
#[derive(Debug, Serialize)]
pub(super) struct Funnel {
    contacts: Vec<(EnrolmentStatus, i64)>,
    /// Of those that are stopped, for which reason how many.
    stopped: Vec<(StopReason, i64)>,
    touches: Vec<Tallied>,
}

/// How many messages of a step stand there.
#[derive(Debug, Serialize)]
struct Tallied {
    /// Its number in the present version; none where that has it no more.
    step: Option<u32>,
    #[serde(flatten)]
    tally: touches::Tally,
}

/// `GET /v1/campaigns/{id}/funnel`
pub(super) async fn funnel(State(app): State<App>, Path(id): Path<CampaignId>) -> Answer<Funnel> {
    let counted = app.db().read(move |tx| {
        let campaign = campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?;
        let steps = campaigns::steps(tx, id, campaign.version)?;
        let tallied =
            |tally: touches::Tally| Tallied { step: sequence::number_of(&steps, tally.step_key), tally };
        Ok::<_, AppError>(Funnel {
            contacts: enrolments::counts(tx, id)?,
            stopped: enrolments::stops(tx, id)?,
            touches: touches::tallies(tx, id)?.into_iter().map(tallied).collect(),
        })
    });
    Ok(Json(counted.await?))
}

/// `GET /v1/campaigns/{id}/preflight`: what would stop its launch, whom it would not reach, and when it would be through.
pub(super) async fn preflight(State(app): State<App>, Path(id): Path<CampaignId>) -> Answer<Preflight> {
    Ok(Json(preflight::check(&app, id).await?))
}

/// `GET /v1/campaigns/{id}/figures`: how far it is, not older than a second.
pub(super) async fn figures(State(app): State<App>, Path(id): Path<CampaignId>) -> Answer<Figures> {
    Ok(Json(Figures::clone(&*figures::of(&app, id).await?)))
}

/// What a test is to find out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    goal: Goal,
}

/// A campaign's tests, with what they say so far of that goal.
#[derive(Debug, Serialize)]
pub(super) struct Tests {
    campaign: CampaignId,
    at: windlass::Time,
    goal: Goal,
    tests: Vec<Tested>,
}

#[derive(Debug, Serialize)]
struct Tested {
    step: u32,
    step_key: u32,
    channel: Channel,
    is_current: bool,
    versions: Vec<u32>,
    #[serde(flatten)]
    verdict: Verdict,
    variants: Vec<Rated>,
}

#[derive(Debug, Serialize)]
struct Rated {
    #[serde(flatten)]
    tally: Tally,
    rates: Rates,
}

/// `GET /v1/campaigns/{id}/variants`: what came of each variant of its steps, and which leads.
pub(super) async fn variants(
    State(app): State<App>,
    Path(id): Path<CampaignId>,
    Query(Wanted { goal }): Query<Wanted>,
) -> Answer<Tests> {
    let figures = figures::of(&app, id).await?;
    let tested = |test: &Test| {
        let Test { step, step_key, channel, is_current, versions, variants } = test.clone();
        Tested {
            step,
            step_key,
            channel,
            is_current,
            versions,
            verdict: test.verdict(goal),
            variants: variants.into_iter().map(|tally| Rated { rates: tally.rates(), tally }).collect(),
        }
    };
    let tests = figures.tests.iter().map(tested).collect();
    Ok(Json(Tests { campaign: id, at: figures.at, goal, tests }))
}

/// Which messages are meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    campaign: Option<CampaignId>,
    #[serde(default)]
    status: Option<TouchStatus>,
    #[serde(default)]
    reason: Option<Reason>,
    #[serde(default)]
    channel: Option<Channel>,
    #[serde(default)]
    step: Option<u32>,
    #[serde(default)]
    step_key: Option<u32>,
    #[serde(default)]
    variant: Option<Variant>,
    #[serde(default)]
    before: Option<i64>,
    #[serde(default)]
    limit: Option<u32>,
}

/// `GET /v1/touches`
pub(super) async fn touches(State(app): State<App>, Query(which): Query<Which>) -> Answer<Vec<Touch>> {
    let Which { campaign, status, reason, channel, step, step_key, variant, before, limit } = which;
    let meant = touches::Which { campaign, status, reason, channel, step, step_key, variant };
    let (before, limit) = Before { before, limit }.page()?;
    let found = app.db().read(move |tx| {
        filters::touches(tx, &meant)?;
        let mut page = touches::page(tx, meant, TouchId(before), limit)?;
        tell_pauses(tx, &mut page)?;
        Ok::<_, AppError>(page)
    });
    Ok(Json(found.await?))
}

/// Gives messages that a pause holds back that reason.
fn tell_pauses(tx: &mut Tx<'_>, touches: &mut [Touch]) -> Result<(), AppError> {
    let mut known: HashMap<CampaignId, Option<CampaignStatus>> = HashMap::new();
    for touch in touches {
        let status = match known.get(&touch.campaign) {
            Some(status) => *status,
            None => {
                let status = campaigns::get(tx, touch.campaign)?.map(|campaign| campaign.status);
                known.insert(touch.campaign, status);
                status
            }
        };
        touch.reason = status.map_or(touch.reason, |status| touch.reason_in(status));
    }
    Ok(())
}

/// A message with what became known of it.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    touch: Touch,
    events: Vec<store::events::Event>,
    /// Why its job is not running, while it has one that is to run: its turn, a limit, a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
}

/// `GET /v1/touches/{id}`
pub(super) async fn touch(State(app): State<App>, Path(id): Path<TouchId>) -> Answer<Told> {
    let told = app.db().read(move |tx| {
        let mut touch = touches::get(tx, id)?.ok_or_else(|| AppError::unknown("touch", id))?;
        tell_pauses(tx, std::slice::from_mut(&mut touch))?;
        Ok::<_, AppError>(Told { touch, events: events::of_touch(tx, id)?, why: None })
    });
    let mut told = told.await?;
    if matches!(told.touch.status, TouchStatus::Queued | TouchStatus::Deferred)
        && let Ok(job) = told.touch.job.parse()
    {
        // A message is told of without it where its job is gone, or the queue does not answer.
        told.why = app.client().why(job).await.ok();
    }
    Ok(Json(told))
}

//! Contacts who move to another version of their sequence: each goes on where [`sequence::goes_on`] says.
//!
//! A campaign may have a million contacts, and a version of its sequence must not keep every other writer waiting: the
//! first of them move together with the version that somebody writes, all others page by page in a job. Until it is their
//! turn they go by the version that they have, which is whole, and nothing tells whether a message was made just before or
//! just after its contact moved.
//!
//! Of a contact's messages only those of the step that is before them can still wait. One whose step and channel are in the
//! new version says what that says; one that is not in it any more is skipped. A contact who waits for a step gets a job for
//! it, under an id of the version, and the one that they had ends by itself ([`super::step`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass::{Ctx, JobError, Outcome, State, Time};

use super::{
    due::Versions,
    failed,
    jobs::{self, MoveContacts},
    next, share,
};
use crate::{
    app::{App, AppError},
    db::Tx,
    drafts::Moves,
    model::{
        CampaignId, ContactId,
        campaign::{Campaign, CampaignStatus, Step},
        sequence::{self, Way},
        touch::{Reason, Touch, TouchStatus},
    },
    store::{
        campaigns,
        enrolments::{self, Enrolment},
        touches,
    },
    variants::choice::{For, choose},
};

/// Contacts who move in one transaction: some fifty milliseconds of its work.
const PAGE_CONTACTS: u32 = 500;

/// What became of a page.
pub(crate) struct Moved {
    /// How many go by the version now.
    pub(crate) count: u32,
    /// The last who was looked at, if there may be more behind them.
    pub(crate) more_after: Option<ContactId>,
}

/// Has the first contacts of a campaign go by the version that it has now, and asks for a job that moves the others.
pub(crate) fn begin(
    tx: &mut Tx<'_>,
    app: &App,
    campaign: &Campaign,
    moves: Moves,
    now: Time,
) -> Result<Moved, AppError> {
    let moved = page(tx, app, (campaign, campaign.version), moves, ContactId(0), now)?;
    if let Some(after) = moved.more_after {
        let job = MoveContacts { campaign: campaign.id, version: campaign.version, moves, after };
        let wall = app.client().now();
        let named_at = app.clock().wall_at(campaign.launched_at.unwrap_or(campaign.created_at));
        tx.enqueue(&[jobs::move_contacts(app.sharing(), job, named_at).into_new_job(wall)?])?;
    }
    Ok(moved)
}

/// Where the next attempt goes on.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Cursor {
    after: ContactId,
    moved: u64,
}

pub(super) async fn go_on(job: MoveContacts, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    let MoveContacts { campaign: id, version, moves, after } = job;
    let mut cursor = cx.resume::<Cursor>()?.unwrap_or(Cursor { after, moved: 0 });
    loop {
        if cx.is_cancelled() {
            return Err(JobError::cancelled());
        }
        let (now, inner) = (app.now(), app.clone());
        let moved = app.db().write(move |tx| {
            let campaign = known(tx, id)?;
            if matches!(campaign.status, CampaignStatus::Cancelled | CampaignStatus::Done) {
                return Ok(Moved { count: 0, more_after: None });
            }
            page(tx, &inner, (&campaign, version), moves, cursor.after, now)
        });
        let moved = moved.await.map_err(failed)?;
        let Some(last) = moved.more_after else { break };
        cursor = Cursor { after: last, moved: cursor.moved + u64::from(moved.count) };
        cx.checkpoint(&cursor).await?;
    }
    share::end_if_over(&app, id).await.map_err(failed)?;
    Ok(Outcome::Done)
}

fn known(tx: &mut Tx<'_>, id: CampaignId) -> Result<Campaign, AppError> {
    campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))
}

/// The next contacts after that one, moved.
fn page(
    tx: &mut Tx<'_>,
    app: &App,
    (campaign, version): (&Campaign, u32),
    moves: Moves,
    after: ContactId,
    now: Time,
) -> Result<Moved, AppError> {
    let at_first = moves == Moves::NotBegun;
    let page = enrolments::behind(tx, campaign.id, version, at_first, after, PAGE_CONTACTS)?;
    let steps = campaigns::steps(tx, campaign.id, version)?;
    let mut mover =
        Mover { app, campaign, version, steps, earlier: BTreeMap::new(), counted: (ContactId(0), 0), now };
    let mut count = 0;
    for enrolment in &page {
        count += u32::from(mover.take(tx, enrolment, moves)?);
    }
    let is_full = page.len() >= PAGE_CONTACTS as usize;
    Ok(Moved { count, more_after: page.last().map(|last| last.contact).filter(|_| is_full) })
}

/// Who moves the contacts of a page.
struct Mover<'a> {
    app: &'a App,
    campaign: &'a Campaign,
    version: u32,
    steps: Vec<Step>,
    earlier: BTreeMap<u32, Vec<Step>>,
    /// A contact, and how many of the campaign come before them.
    counted: (ContactId, u32),
    now: Time,
}

impl Mover<'_> {
    /// Moves a contact, if they are to be.
    fn take(&mut self, tx: &mut Tx<'_>, from: &Enrolment, moves: Moves) -> Result<bool, AppError> {
        let (id, contact) = (self.campaign.id, from.contact);
        let touches = touches::of_enrolment(tx, id, contact)?;
        if moves == Moves::NotBegun && !touches.iter().all(waits) {
            return Ok(false);
        }
        let Some(old) = self.step_of(tx, from)? else { return Ok(false) };
        let (open, had): (Vec<&Touch>, Vec<&Touch>) =
            touches.iter().partition(|touch| touch.step_key == old.key);
        let keys: Vec<u32> = had.iter().map(|touch| touch.step_key).collect();
        let way = Way { had: &keys, at: (!open.is_empty()).then_some(old.key) };
        self.go_by(tx, &had)?;
        let Some(number) = sequence::goes_on(&self.steps, way) else {
            self.skip_all(tx, &open)?;
            enrolments::end(tx, id, contact, None, self.now)?;
            return Ok(true);
        };
        let place = (self.version, number);
        let Some(new) = self.step(number) else { return Err(AppError::unknown("step", number)) };
        if !open.is_empty() && new.key == old.key {
            let again = self.rewrite(tx, &new, number, &open)?;
            let due = if again { Some(self.now) } else { from.next_at };
            enrolments::move_to(tx, id, contact, place, due, self.now)?;
            if again {
                self.enqueue(tx, contact, number, self.now)?;
            }
            return Ok(true);
        }
        self.skip_all(tx, &open)?;
        let is_same = open.is_empty() && (new.key, new.delay) == (old.key, old.delay);
        let due = match from.next_at.filter(|_| is_same) {
            Some(due) => due,
            None => self.due(tx, from, number)?,
        };
        enrolments::move_to(tx, id, contact, place, Some(due), self.now)?;
        self.enqueue(tx, contact, number, due)?;
        Ok(true)
    }

    /// The step that is before a contact, by the version that they have.
    fn step_of(&mut self, tx: &mut Tx<'_>, from: &Enrolment) -> Result<Option<Step>, AppError> {
        if !self.earlier.contains_key(&from.version) {
            let steps = campaigns::steps(tx, self.campaign.id, from.version)?;
            self.earlier.insert(from.version, steps);
        }
        let at = usize::try_from(from.step).unwrap_or(0).checked_sub(1);
        Ok(self.earlier.get(&from.version).zip(at).and_then(|(steps, at)| steps.get(at)).cloned())
    }

    fn step(&self, number: u32) -> Option<Step> {
        self.steps.get(usize::try_from(number).ok()?.checked_sub(1)?).cloned()
    }

    /// Has the messages of a step say what it says by now; whether it has to be taken again, since none of them is its any
    /// more.
    fn rewrite(&self, tx: &mut Tx<'_>, step: &Step, number: u32, open: &[&Touch]) -> Result<bool, AppError> {
        let mut is_skipped = false;
        for touch in open.iter().filter(|touch| waits(touch)) {
            let whose = For { campaign: self.campaign.id, step: step.key, contact: touch.contact };
            match choose(step, touch.channel, whose) {
                Some(said) => {
                    let says = (said.template, said.variant);
                    touches::rewrite(tx, touch.id, (self.version, number), says)?;
                }
                None => {
                    next::skip(tx, touch, Reason::SequenceChanged, "", self.now)?;
                    is_skipped = true;
                }
            }
        }
        Ok(is_skipped)
    }

    /// Has messages of earlier steps that wait for another try say what their steps say by now.
    fn go_by(&self, tx: &mut Tx<'_>, had: &[&Touch]) -> Result<(), AppError> {
        for touch in had.iter().filter(|touch| waits(touch)) {
            match sequence::number_of(&self.steps, touch.step_key) {
                Some(number) => {
                    if let Some(step) = self.step(number) {
                        self.rewrite(tx, &step, number, &[touch])?;
                    }
                }
                None => next::skip(tx, touch, Reason::SequenceChanged, "", self.now)?,
            }
        }
        Ok(())
    }

    fn skip_all(&self, tx: &mut Tx<'_>, open: &[&Touch]) -> Result<(), AppError> {
        for touch in open.iter().filter(|touch| waits(touch)) {
            next::skip(tx, touch, Reason::SequenceChanged, "", self.now)?;
        }
        Ok(())
    }

    /// When that step is due for a contact: it is counted from the last message that they had, and the first from where the
    /// campaign counts it.
    fn due(&mut self, tx: &mut Tx<'_>, from: &Enrolment, number: u32) -> Result<Time, AppError> {
        let to = Enrolment { version: self.version, step: number, ..from.clone() };
        let mut versions = Versions::of(self.campaign);
        if let Some(due) = versions.later(tx, &to)? {
            return Ok(due);
        }
        let (before, nth) = self.counted;
        let nth = match self.campaign.begins_a_day() {
            Some(_) => nth + enrolments::between(tx, self.campaign.id, before, from.contact)?,
            None => 0,
        };
        self.counted = (from.contact, nth);
        versions.first(tx, &to, nth, self.now)
    }

    fn enqueue(&self, tx: &mut Tx<'_>, contact: ContactId, number: u32, due: Time) -> Result<(), AppError> {
        let (app, campaign) = (self.app, self.campaign);
        let named_at = app.clock().wall_at(campaign.launched_at.unwrap_or(campaign.created_at));
        let draft = jobs::step(app.sharing(), campaign.id, contact, (self.version, number), named_at);
        let draft = if due <= self.now { draft } else { draft.run_at(app.clock().wall_at(due)) };
        tx.enqueue(&[draft.into_new_job(app.client().now())?])?;
        Ok(())
    }
}

/// Whether no provider can have it yet, and it is to go out.
fn waits(touch: &Touch) -> bool {
    matches!(touch.status, TouchStatus::Queued | TouchStatus::Deferred)
}

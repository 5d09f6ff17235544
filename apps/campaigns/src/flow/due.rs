//! When a contact's step is due, by the campaign as it stands now.
//!
//! The first step is due after its delay from the campaign's beginning, and of a campaign that may begin with so many contacts
//! a day no more first steps are due on a day than that. Every other step is due after its delay from the message before.
//! The pager and whoever looks again at what waits ask here; what they are told stands with the enrolment, and the step's
//! job goes by that.

use std::collections::BTreeMap;

use windlass::Time;

use super::check;
use crate::{
    app::AppError,
    db::Tx,
    model::{
        campaign::{Campaign, Step},
        touch::Reason,
    },
    store::{campaigns, contacts, enrolments::Enrolment, touches},
};

/// The sequences of a campaign by their versions, each read once.
pub(crate) struct Versions<'a> {
    campaign: &'a Campaign,
    known: BTreeMap<u32, Vec<Step>>,
}

impl<'a> Versions<'a> {
    pub(crate) fn of(campaign: &'a Campaign) -> Self {
        Self { campaign, known: BTreeMap::new() }
    }

    /// The step of that number; none past the end of the sequence.
    fn step(&mut self, tx: &mut Tx<'_>, version: u32, number: u32) -> Result<Option<&Step>, AppError> {
        if !self.known.contains_key(&version) {
            self.known.insert(version, campaigns::steps(tx, self.campaign.id, version)?);
        }
        let at = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
        Ok(self.known.get(&version).and_then(|steps| steps.get(at)))
    }

    /// When the first step of a contact is due, who is the `nth` of those that wait for it, from 0.
    pub(crate) fn first(
        &mut self,
        tx: &mut Tx<'_>,
        enrolment: &Enrolment,
        nth: u32,
        now: Time,
    ) -> Result<Time, AppError> {
        let campaign = self.campaign;
        let begun = campaign.starts_at.into_iter().chain(campaign.launched_at).max().unwrap_or(now);
        let due = self.after(tx, enrolment, begun)?;
        // A campaign that may begin with so many a day needs no more steps on a day than that.
        Ok(match campaign.begins_a_day().map_or(0, |cap| nth / cap.max(1)) {
            0 => due,
            days => due.max(check::days_later(campaign.policy.zone.name(), due.max(now), days)),
        })
    }

    /// When a step is due whose message is not made yet, for a contact who has had others; none if nothing says when the last
    /// of them was sent.
    pub(crate) fn later(&mut self, tx: &mut Tx<'_>, enrolment: &Enrolment) -> Result<Option<Time>, AppError> {
        let before = touches::of_enrolment(tx, enrolment.campaign, enrolment.contact)?;
        // What a version took out before it was sent was none of theirs.
        let had = before.iter().filter(|touch| touch.reason != Some(Reason::SequenceChanged));
        let Some(base) = had.filter_map(|touch| touch.sent_at.or(touch.ended_at)).max() else {
            return Ok(None);
        };
        self.after(tx, enrolment, base).map(Some)
    }

    fn after(&mut self, tx: &mut Tx<'_>, enrolment: &Enrolment, base: Time) -> Result<Time, AppError> {
        let contact = contacts::get(tx, enrolment.contact)?
            .ok_or_else(|| AppError::unknown("contact", enrolment.contact))?;
        let policy = &self.campaign.policy;
        let step = self.step(tx, enrolment.version, enrolment.step)?;
        // Past the end of a sequence that has become shorter there is nothing to wait for.
        Ok(step.and_then(|step| step.delay.due(base, policy, &check::recipient(&contact))).unwrap_or(base))
    }
}

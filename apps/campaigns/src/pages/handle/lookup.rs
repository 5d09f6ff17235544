//! Names for numbers: what the rows of a page refer to, read with them, and messages as rows.

use std::collections::{HashMap, hash_map::Entry};

use crate::{
    app::AppError,
    db::Tx,
    model::{
        CampaignId, ContactId, SenderId, UserId,
        campaign::CampaignStatus,
        touch::{Reason, Touch, TouchStatus},
    },
    pages::{Shell, view::TouchRow},
    store::{campaigns, contacts, senders, users},
};

use super::Ask;

/// What the rows of a page refer to.
#[derive(Debug, Default)]
pub(super) struct Names {
    campaigns: HashMap<CampaignId, (String, CampaignStatus)>,
    senders: HashMap<SenderId, String>,
    contacts: HashMap<ContactId, String>,
}

impl Names {
    /// What those messages refer to.
    pub(super) fn of(tx: &mut Tx<'_>, touches: &[Touch]) -> Result<Self, AppError> {
        let mut names = Self::default();
        for touch in touches {
            names.add_campaign(tx, touch.campaign)?;
            if let Some(id) = touch.sender
                && !names.senders.contains_key(&id)
            {
                let address = senders::get(tx, id)?.map(|sender| sender.address);
                names.senders.insert(id, address.unwrap_or_default());
            }
            if touch.address.is_empty() {
                names.add_contact(tx, touch.contact)?;
            }
        }
        Ok(names)
    }

    /// The name of a campaign besides.
    pub(super) fn add_campaign(&mut self, tx: &mut Tx<'_>, id: CampaignId) -> Result<(), AppError> {
        if let Entry::Vacant(place) = self.campaigns.entry(id)
            && let Some(found) = campaigns::get(tx, id)?
        {
            place.insert((found.name, found.status));
        }
        Ok(())
    }

    /// What a contact is called besides: their name, or how they are reached.
    pub(super) fn add_contact(&mut self, tx: &mut Tx<'_>, id: ContactId) -> Result<(), AppError> {
        if let Entry::Vacant(place) = self.contacts.entry(id) {
            let found = contacts::get(tx, id)?;
            let called = found.and_then(|person| {
                let name = Some(person.name).filter(|name| !name.trim().is_empty());
                name.or(person.email).or(person.phone)
            });
            place.insert(called.unwrap_or_default());
        }
        Ok(())
    }

    pub(super) fn campaign(&self, id: CampaignId) -> String {
        self.campaigns.get(&id).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    /// Why a message is where it is.
    pub(super) fn why(&self, touch: &Touch) -> Option<Reason> {
        self.campaigns.get(&touch.campaign).map_or(touch.reason, |(_, status)| touch.reason_in(*status))
    }

    pub(super) fn sender(&self, id: Option<SenderId>) -> String {
        id.and_then(|id| self.senders.get(&id)).cloned().unwrap_or_default()
    }

    /// A contact in a word that leads to their page: what nobody may see, or nobody knows, is their number.
    pub(super) fn contact(&self, s: &Shell, id: ContactId) -> String {
        let called = self.contacts.get(&id).filter(|called| s.sees && !called.is_empty());
        called.cloned().unwrap_or_else(|| format!("contact {id}"))
    }
}

/// A message as a row.
pub(super) fn touch_row(ask: &Ask, s: &Shell, names: &Names, touch: &Touch) -> TouchRow {
    let since = touch.ended_at.or(touch.sent_at).or(touch.sending_at).unwrap_or(touch.created_at);
    TouchRow {
        id: touch.id.0,
        campaign: touch.campaign.0,
        campaign_name: names.campaign(touch.campaign),
        contact: touch.contact.0,
        to: if s.sees && !touch.address.is_empty() {
            touch.address.clone()
        } else {
            names.contact(s, touch.contact)
        },
        step: touch.step,
        variant: touch.variant.map_or(String::new(), |variant| variant.to_string()),
        channel: touch.channel,
        status: touch.status.to_string(),
        why: names.why(touch).map_or("", |reason| reason.said()).to_owned(),
        // Providers repeat the address that they refuse.
        detail: s.shown(touch.detail.as_str()),
        until: touch.until.filter(|at| *at > ask.now).map(|at| ask.when(at)),
        is_due: touch.until.is_some_and(|at| at <= ask.now) && touch.status == TouchStatus::Deferred,
        sender: names.sender(touch.sender),
        since: ask.when(since),
    }
}

/// The names of all users.
pub(super) fn user_names(tx: &mut Tx<'_>) -> Result<HashMap<UserId, String>, AppError> {
    Ok(users::all(tx)?.into_iter().map(|user| (user.id, user.name)).collect())
}

//! One walk through the contacts of a list: who is reached by which channel, who is not and why, and where they all are.
//!
//! It asks the same as the flow does for each message ([`crate::flow`]), a thousand contacts at a time, and the windows once
//! for everybody who is in the same place. A contact takes some ten microseconds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use windlass::Time;

use super::Parts;
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    flow::{check, content},
    model::{ContactId, ListId, campaign::Step, contact::Contact, touch::Reason, variant::Arm},
    store::{contacts, suppressions},
    template::{self, Source, Template, Variable},
    variants::choice::{self, For},
    window::{self, Place, Recipient, Verdict, Zone},
};

/// Contacts of one question.
const PAGE: u32 = 1_000;
/// Free fields whose names are kept; a text that uses one beyond them would be told wrongly, and no list has so many.
const FIELDS_MAX: usize = 1_000;

/// What a walk through the contacts has shown.
#[derive(Default)]
pub(super) struct Survey {
    /// Contacts that were looked at.
    pub(super) looked_at: u64,
    /// Of those, contacts whom at least one step reaches.
    pub(super) reachable: u64,
    /// Contacts whom a step's own channel does not reach, by channel and reason.
    pub(super) lost: BTreeMap<(Channel, Reason), u64>,
    /// Contacts with a time zone that is none, and one that they have.
    pub(super) bad_zones: u64,
    pub(super) bad_zone: Option<String>,
    /// The names of their free fields.
    pub(super) fields: BTreeSet<String>,
    /// One of them.
    pub(super) sample: Option<Contact>,
    /// For each text of the campaign, whom it is for.
    pub(super) texts: Vec<ForText>,
    /// Where they are.
    pub(super) groups: Vec<Group>,
    variables: Vec<Variable>,
}

/// Whom a text is for.
#[derive(Clone, Debug, Default)]
pub(super) struct ForText {
    /// Contacts.
    pub(super) contacts: u64,
    /// Which of the survey's variables it cannot do without.
    required: Vec<usize>,
    /// For each of those, how many contacts lack it.
    lacking: Vec<u64>,
}

/// Contacts who may be reached at the same times.
pub(super) struct Group {
    /// One who stands for all.
    pub(super) recipient: Recipient,
    /// Messages by step (from 0) and channel.
    pub(super) messages: Vec<[u64; 3]>,
    /// By channel: why its window never opens.
    never: [Option<Reason>; 3],
}

impl Survey {
    /// How many contacts lack each variable that a text cannot do without.
    pub(super) fn lacking(&self, text: usize) -> BTreeMap<Variable, u64> {
        let text = &self.texts[text];
        let counted = text.required.iter().zip(&text.lacking).filter(|(_, count)| **count > 0);
        counted.map(|(at, count)| (self.variables[*at].clone(), *count)).collect()
    }
}

/// What tells where a contact is.
type Whereabouts = (Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);

struct Walk<'a> {
    app: &'a App,
    parts: &'a Parts,
    from: Time,
    survey: Survey,
    /// The group of contacts of whom the same is known, and whether their time zone is one.
    known: HashMap<Whereabouts, (usize, bool)>,
    /// The group of contacts who are in the same places.
    located: HashMap<(Vec<Zone>, Vec<Place>), usize>,
    has_suppressions: bool,
    used: [bool; 3],
    /// The variants of each step.
    arms: Vec<Vec<Arm>>,
}

pub(super) fn make(
    tx: &mut Tx<'_>,
    app: &App,
    parts: &Parts,
    from: Time,
    most: u64,
) -> Result<Survey, AppError> {
    let mut walk = Walk {
        app,
        parts,
        from,
        survey: Survey::default(),
        known: HashMap::new(),
        located: HashMap::new(),
        has_suppressions: suppressions::is_any(tx)?,
        used: Channel::ALL.map(|channel| parts.texts.iter().any(|text| text.channel == channel)),
        arms: parts.steps.iter().map(Step::arms).collect(),
    };
    walk.set_up();
    if let Some(list) = parts.campaign.list {
        let mut after = ContactId(0);
        while walk.survey.looked_at < most {
            let page = contacts::on_list(tx, list, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            walk.page(tx, list, &page)?;
        }
    }
    Ok(walk.survey)
}

impl Walk<'_> {
    /// Which variables of contacts the texts need.
    fn set_up(&mut self) {
        let survey = &mut self.survey;
        for text in &self.parts.texts {
            let mut of_text = ForText::default();
            let required = text.parsed.iter().flat_map(|parsed| parsed.parts().flat_map(Template::required));
            for variable in required {
                let is_own = variable.field().is_some()
                    || variable.known().is_some_and(|known| known.source == Source::Contact);
                if !is_own {
                    continue;
                }
                let known = survey.variables.iter().position(|met| met == variable);
                let at = known.unwrap_or_else(|| {
                    survey.variables.push(variable.clone());
                    survey.variables.len() - 1
                });
                if !of_text.required.contains(&at) {
                    of_text.required.push(at);
                    of_text.lacking.push(0);
                }
            }
            survey.texts.push(of_text);
        }
    }

    fn page(&mut self, tx: &mut Tx<'_>, list: ListId, page: &[Contact]) -> Result<(), AppError> {
        let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(()) };
        let said = contacts::agreed_on_list(tx, list, first.id, last.id)?;
        let mut said = said.into_iter().peekable();
        let hashes = self.hashes(page);
        let suppressed = if self.has_suppressions {
            let all: Vec<String> = hashes.iter().flatten().flatten().cloned().collect();
            suppressions::among(tx, self.parts.campaign.user, &all)?
        } else {
            HashSet::new()
        };
        for (at, contact) in page.iter().enumerate() {
            let mut agreed = [None; 3];
            while let Some((_, channel, agrees)) = said.next_if(|(id, ..)| *id <= contact.id) {
                agreed[channel as usize] = Some(agrees);
            }
            let is_suppressed = |channel: Channel| {
                let kind = usize::from(channel != Channel::Email);
                let hashes = hashes.get(at).into_iter().flat_map(|hashes| &hashes[kind]);
                let by = |hash: &String, channel| suppressed.contains(&(hash.clone(), channel));
                hashes.into_iter().any(|hash| by(hash, Some(channel)) || by(hash, None))
            };
            self.contact(contact, agreed, is_suppressed);
        }
        Ok(())
    }

    /// The hashes of each contact's mailbox and number, one for each key, where they matter; nothing when nothing is
    /// suppressed.
    fn hashes(&self, page: &[Contact]) -> Vec<[Vec<String>; 2]> {
        if !self.has_suppressions {
            return Vec::new();
        }
        let [mails, texts, calls] = self.used;
        let of = |is_used: bool, address: &Option<String>| {
            let address = address.as_deref().filter(|_| is_used);
            address.map_or_else(Vec::new, |address| self.app.hashes_of(address))
        };
        page.iter().map(|contact| [of(mails, &contact.email), of(texts || calls, &contact.phone)]).collect()
    }

    fn contact(
        &mut self,
        contact: &Contact,
        agreed: [Option<bool>; 3],
        is_suppressed: impl Fn(Channel) -> bool,
    ) {
        self.survey.looked_at += 1;
        for name in contact.fields.keys() {
            if self.survey.fields.len() < FIELDS_MAX
                && let Some(name) = template::field_name(name)
            {
                self.survey.fields.insert(name);
            }
        }
        let (group, zone_is_one) = self.group(contact);
        if !zone_is_one {
            self.survey.bad_zones += 1;
            self.survey.bad_zone.get_or_insert_with(|| contact.time_zone.clone().unwrap_or_default());
        }
        // In the order in which the flow asks.
        let reached = Channel::ALL.map(|channel| {
            if !self.used[channel as usize] {
                return Err(Reason::NoSender);
            }
            if contact.address(channel).is_none() {
                return Err(Reason::NoAddress);
            }
            if is_suppressed(channel) {
                return Err(Reason::Suppressed);
            }
            if !agreed[channel as usize].unwrap_or(channel != Channel::Voicemail) {
                return Err(Reason::NoConsent);
            }
            if self.parts.senders[channel as usize].is_empty() {
                return Err(Reason::NoSender);
            }
            self.survey.groups[group].never[channel as usize].map_or(Ok(()), Err)
        });
        let lacks = self.lacks(contact);
        let (is_reached, lost) = self.steps(contact.id, group, reached, &lacks);
        for (channel, reason) in lost {
            *self.survey.lost.entry((channel, reason)).or_default() += 1;
        }
        self.survey.reachable += u64::from(is_reached);
        if self.survey.sample.is_none() {
            self.survey.sample = Some(contact.clone());
        }
    }

    /// Counts the contact for each step: whether one reaches them, and by which channels' fault others do not.
    fn steps(
        &mut self,
        contact: ContactId,
        group: usize,
        reached: [Result<(), Reason>; 3],
        lacks: &[bool],
    ) -> (bool, Vec<(Channel, Reason)>) {
        let (mut is_reached, mut lost) = (false, Vec::new());
        let mut done = None;
        for (text, counts) in self.parts.texts.iter().zip(&mut self.survey.texts) {
            // Of a step's variants a contact gets the one that the flow will choose.
            let is_theirs = |variant| {
                let key = self.parts.steps[text.step].key;
                let whose = For { campaign: self.parts.campaign.id, step: key, contact };
                choice::drawn(&self.arms[text.step], whose).is_some_and(|arm| arm.variant == variant)
            };
            if done == Some(text.step) || text.variant.is_some_and(|variant| !is_theirs(variant)) {
                continue;
            }
            if let Err(reason) = reached[text.channel as usize] {
                let is_told = lost.contains(&(text.channel, reason));
                if !text.is_fallback && !is_told {
                    lost.push((text.channel, reason));
                }
                continue;
            }
            counts.contacts += 1;
            let mut is_whole = true;
            for (at, lacking) in counts.required.iter().zip(&mut counts.lacking) {
                if lacks.get(*at).copied().unwrap_or(false) {
                    *lacking += 1;
                    is_whole = false;
                }
            }
            if is_whole {
                done = Some(text.step);
                is_reached = true;
                self.survey.groups[group].messages[text.step][text.channel as usize] += 1;
            }
        }
        (is_reached, lost)
    }

    /// Which of the variables that some text needs the contact lacks.
    fn lacks(&self, contact: &Contact) -> Vec<bool> {
        if self.survey.variables.is_empty() {
            return Vec::new();
        }
        let values = content::values_of(contact);
        self.survey.variables.iter().map(|variable| values.get(variable).is_none()).collect()
    }

    /// The contact's group, and whether their time zone is one if they have one.
    fn group(&mut self, contact: &Contact) -> (usize, bool) {
        // Of a number, the area code tells.
        let prefix = contact.phone.as_deref().map(|phone| phone.chars().take(5).collect());
        let Contact { time_zone, country, state, zip, .. } = contact;
        let known = (time_zone.clone(), country.clone(), state.clone(), zip.clone(), prefix);
        if let Some(group) = self.known.get(&known) {
            return *group;
        }
        let recipient = check::recipient(contact);
        let is_one = recipient.tz.is_some() || time_zone.as_deref().is_none_or(|zone| zone.trim().is_empty());
        let place = match recipient.locate() {
            Ok(located) => (located.zones, located.places),
            Err(nowhere) => (Vec::new(), nowhere.places),
        };
        let group = match self.located.get(&place) {
            Some(group) => *group,
            None => {
                let never = Channel::ALL.map(|channel| self.never(&recipient, channel));
                let messages = vec![[0; 3]; self.parts.steps.len()];
                self.survey.groups.push(Group { recipient, messages, never });
                self.located.insert(place, self.survey.groups.len() - 1);
                self.survey.groups.len() - 1
            }
        };
        self.known.insert(known, (group, is_one));
        (group, is_one)
    }

    /// Why the windows for somebody there never open, if they never do.
    fn never(&self, recipient: &Recipient, channel: Channel) -> Option<Reason> {
        if !self.used[channel as usize] {
            return None;
        }
        match window::look(&self.parts.campaign.policy, &self.app.rules(), recipient, channel, self.from) {
            Verdict::Closed { until: None, reason, .. } => Some(check::never(&reason)),
            _ => None,
        }
    }
}

//! The campaign day as data: who launches what to whom, by which channel, through which queues.
//!
//! Ten users, up to 100 campaigns. The first campaign is a whale with half of all contacts; the others share the
//! rest. Every contact belongs to one campaign and gets one touch: 60 % e-mail, 38 % SMS, 2 % voicemail, spread
//! evenly over the campaigns. Everything here is computed from the list alone, so that the process that launches
//! the day and the workers that carry it out agree without talking to each other.
//!
//! The payloads of the seven kinds of job are in [`payload`].

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{channel::Channel, contacts::ContactList};

pub mod payload;

pub use payload::{
    CampaignStep, DropVoicemail, LaunchCampaign, SendEmail, SendSms, WarmUpSender, WatchTouch,
};

/// How many users launch campaigns.
pub const USERS: u32 = 10;
/// How many campaigns a day has when there are contacts enough.
pub const CAMPAIGNS: u32 = 100;
/// How many contacts a page of a launching campaign holds: one batch of step jobs.
pub const PAGE_CONTACTS: u32 = 500;

/// The shares of the channels in percent, in the order of [`Channel::ALL`].
const SHARES: [u64; 3] = [60, 38, 2];

/// A campaign, numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CampaignId(pub u32);

impl CampaignId {
    /// The group of all jobs of this campaign, by which the queues are fair.
    pub fn group(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user, numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub u32);

/// A contact, by its place in the day's [`ContactList`], from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContactId(pub u32);

/// A queue of the application and how many of its jobs run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlan {
    /// The queue's name.
    pub name: &'static str,
    /// Jobs that run at once, over all workers.
    pub concurrency: u32,
}

/// Launches of campaigns: each pages its contacts.
pub const CAMPAIGN_QUEUE: QueuePlan = QueuePlan { name: "campaign", concurrency: 100 };
/// Steps: one contact in one campaign, decided.
pub const CAMPAIGN_STEP_QUEUE: QueuePlan = QueuePlan { name: "campaign-step", concurrency: 40 };
/// Mails.
pub const EMAIL_QUEUE: QueuePlan = QueuePlan { name: "email", concurrency: 30 };
/// Texts.
pub const SMS_QUEUE: QueuePlan = QueuePlan { name: "sms", concurrency: 50 };
/// Calls, one at a time.
pub const VOICEMAIL_QUEUE: QueuePlan = QueuePlan { name: "voicemail", concurrency: 1 };
/// Looks at what has become of a touch.
pub const WATCH_QUEUE: QueuePlan = QueuePlan { name: "watch", concurrency: 100 };
/// Tomorrow's cap for each sender.
pub const SENDER_WARM_UP_QUEUE: QueuePlan = QueuePlan { name: "sender-warm-up", concurrency: 1 };

/// The seven queues of the application.
pub const QUEUES: [QueuePlan; 7] = [
    CAMPAIGN_QUEUE,
    CAMPAIGN_STEP_QUEUE,
    EMAIL_QUEUE,
    SMS_QUEUE,
    VOICEMAIL_QUEUE,
    WATCH_QUEUE,
    SENDER_WARM_UP_QUEUE,
];

impl Channel {
    /// The queue that carries this channel's touches.
    pub fn queue(self) -> QueuePlan {
        match self {
            Channel::Email => EMAIL_QUEUE,
            Channel::Sms => SMS_QUEUE,
            Channel::Voicemail => VOICEMAIL_QUEUE,
        }
    }
}

/// One campaign of the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Its number.
    pub id: CampaignId,
    /// Who launches it.
    pub user: UserId,
    /// Its first contact.
    pub first: ContactId,
    /// How many contacts it has, consecutive from the first; at least 1.
    pub contacts: u32,
    /// Whether it is the one that is as large as all the others together.
    pub whale: bool,
}

impl Campaign {
    /// Its contacts.
    pub fn contact_ids(&self) -> impl Iterator<Item = ContactId> + use<> {
        (self.first.0..self.first.0 + self.contacts).map(ContactId)
    }

    /// The payload of the job that launches it, with its steps due that long after the launch.
    pub fn launch(&self, step_delay_ms: u64) -> LaunchCampaign {
        let Self { id, user, first, contacts, whale: _ } = *self;
        LaunchCampaign { campaign: id, user, first, contacts, step_delay_ms }
    }
}

/// How many touches go by each channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Mails.
    pub email: u32,
    /// Texts.
    pub sms: u32,
    /// Calls.
    pub voicemail: u32,
}

/// One delivery that the day owes: this address, by this channel, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// By which channel.
    pub channel: Channel,
    /// For which campaign.
    pub campaign: CampaignId,
    /// To which contact of the list.
    pub contact: ContactId,
    /// The address of the contact on that channel.
    pub to: String,
}

/// There is no day to plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The list is empty.
    #[error("there is no contact to reach")]
    NoContacts,
}

/// The whole day; the same list always gives the same plan.
#[derive(Clone, Debug)]
pub struct Plan {
    campaigns: Vec<Campaign>,
    channels: Vec<Channel>,
}

impl Plan {
    /// Plans the day for these contacts.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(list: &ContactList) -> Result<Self, PlanError> {
        if list.is_empty() {
            return Err(PlanError::NoContacts);
        }
        Ok(Self { campaigns: campaigns(list.len()), channels: channels(list) })
    }

    /// The campaigns in the order of their launch, the whale first.
    pub fn campaigns(&self) -> &[Campaign] {
        &self.campaigns
    }

    /// How many contacts the day reaches.
    pub fn contacts(&self) -> u32 {
        u32::try_from(self.channels.len()).expect("a list is cut at MAX_CONTACTS")
    }

    /// The channel by which a contact is reached, if the contact is part of the day.
    pub fn channel(&self, contact: ContactId) -> Option<Channel> {
        self.channels.get(contact.0 as usize).copied()
    }

    /// How many touches go by each channel.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for channel in &self.channels {
            match channel {
                Channel::Email => totals.email += 1,
                Channel::Sms => totals.sms += 1,
                Channel::Voicemail => totals.voicemail += 1,
            }
        }
        totals
    }

    /// Every delivery that the day owes, computed from the list this plan was made for.
    pub fn touches<'a>(&'a self, list: &'a ContactList) -> impl Iterator<Item = Touch> + 'a {
        let of_campaign = move |campaign: &'a Campaign| {
            campaign.contact_ids().filter_map(move |contact| self.touch(list, campaign.id, contact))
        };
        self.campaigns.iter().flat_map(of_campaign)
    }

    /// The one touch of a contact in a campaign.
    pub fn touch(&self, list: &ContactList, campaign: CampaignId, contact: ContactId) -> Option<Touch> {
        let channel = self.channel(contact)?;
        let person = list.get(contact)?;
        let to = match channel {
            Channel::Email => person.email?,
            Channel::Sms | Channel::Voicemail => person.phone?,
        };
        Some(Touch { channel, campaign, contact, to })
    }
}

/// Half of the contacts to the whale, the rest evenly to as many small campaigns as have one contact each.
fn campaigns(contacts: u32) -> Vec<Campaign> {
    let rest = contacts / 2;
    let small = rest.min(CAMPAIGNS - 1);
    let mut campaigns = Vec::with_capacity(small as usize + 1);
    let mut first = 0;
    for number in 0..=small {
        let size = match number {
            0 => contacts - rest,
            // The remainder of the division goes one by one to the first small campaigns.
            _ => rest / small + u32::from(number <= rest % small),
        };
        campaigns.push(Campaign {
            id: CampaignId(number + 1),
            user: UserId(number % USERS + 1),
            first: ContactId(first),
            contacts: size,
            whale: number == 0,
        });
        first += size;
    }
    campaigns
}

fn channels(list: &ContactList) -> Vec<Channel> {
    let reach: Vec<(bool, bool)> =
        (0..list.len()).filter_map(|number| list.reach(ContactId(number))).collect();
    let count = |wanted: (bool, bool)| reach.iter().filter(|reach| **reach == wanted).count() as u64;
    let [whole, only_email, only_phone] = [reach.len() as u64, count((true, false)), count((false, true))];

    // Contacts with one address take their part of the quotas first; who has both fills what is left of them.
    let wanted = apportion(SHARES, whole);
    let phone_only = apportion([0, SHARES[1], SHARES[2]], only_phone);
    let left = [
        wanted[0].saturating_sub(only_email),
        wanted[1].saturating_sub(phone_only[1]),
        wanted[2].saturating_sub(phone_only[2]),
    ];
    let flexible = whole - only_email - only_phone;
    let left = if left.iter().sum::<u64>() == 0 { SHARES } else { left };
    let mut both = Spread::new(apportion(left, flexible));
    let mut phone = Spread::new(phone_only);
    reach
        .into_iter()
        .map(|reach| match reach {
            (true, true) => both.next(),
            (false, true) => phone.next(),
            // A contact without any address does not come out of a reader; e-mail then finds nothing to send to.
            (_, false) => Channel::Email,
        })
        .collect()
}

/// Divides `whole` by `weights` exactly, each part within one of its share (largest remainder).
fn apportion(weights: [u64; 3], whole: u64) -> [u64; 3] {
    let sum: u64 = weights.iter().sum();
    if sum == 0 {
        return [whole, 0, 0];
    }
    let mut parts = weights.map(|weight| weight * whole / sum);
    let mut order = [0, 1, 2];
    order.sort_by_key(|at| std::cmp::Reverse((weights[*at] * whole) % sum));
    let missing = whole - parts.iter().sum::<u64>();
    for at in order.into_iter().take(missing as usize) {
        parts[at] += 1;
    }
    parts
}

/// Deals quotas out evenly: after any number of deals each channel is within one of its share of them.
struct Spread {
    quotas: [i64; 3],
    credit: [i64; 3],
}

impl Spread {
    fn new(quotas: [u64; 3]) -> Self {
        let quotas = quotas.map(|quota| i64::try_from(quota).expect("quotas are counts of contacts"));
        Self { quotas, credit: [0; 3] }
    }

    fn next(&mut self) -> Channel {
        let mut best = 0;
        for at in 0..3 {
            self.credit[at] += self.quotas[at];
            if self.credit[at] > self.credit[best] {
                best = at;
            }
        }
        self.credit[best] -= self.quotas.iter().sum::<i64>();
        Channel::ALL[best]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contacts::Contact;

    fn day(contacts: u32) -> Plan {
        Plan::new(&ContactList::generated(contacts, 1)).unwrap()
    }

    #[test]
    fn the_shares_of_the_channels_are_exact() {
        for (contacts, email, sms, voicemail) in
            [(1_000, 600, 380, 20), (10_000, 6_000, 3_800, 200), (100_000, 60_000, 38_000, 2_000)]
        {
            assert_eq!(day(contacts).totals(), Totals { email, sms, voicemail });
        }
    }

    #[test]
    fn a_hundred_campaigns_of_ten_users_share_the_contacts_and_one_has_half() {
        for contacts in [1_000, 10_000, 100_000, 100_003] {
            let plan = day(contacts);
            assert_eq!(plan.campaigns().len(), 100);
            let whales: Vec<&Campaign> = plan.campaigns().iter().filter(|campaign| campaign.whale).collect();
            assert_eq!(whales.len(), 1);
            assert_eq!(whales[0].contacts, contacts.div_ceil(2));
            let mut expected = 0;
            for campaign in plan.campaigns() {
                assert_eq!(campaign.first.0, expected);
                expected += campaign.contacts;
            }
            assert_eq!(expected, contacts);
            let small: Vec<u32> = plan.campaigns()[1..].iter().map(|campaign| campaign.contacts).collect();
            assert!(small.iter().max().unwrap() - small.iter().min().unwrap() <= 1);
            for user in 1..=USERS {
                assert_eq!(
                    plan.campaigns().iter().filter(|campaign| campaign.user == UserId(user)).count(),
                    10
                );
            }
        }
    }

    #[test]
    fn each_campaign_has_its_share_of_each_channel() {
        let plan = day(100_000);
        for campaign in plan.campaigns() {
            let count = |channel: Channel| {
                campaign.contact_ids().filter(|contact| plan.channel(*contact) == Some(channel)).count()
                    as f64
            };
            let size = f64::from(campaign.contacts);
            assert!((count(Channel::Email) - size * 0.60).abs() < 2.0, "{campaign:?}");
            assert!((count(Channel::Sms) - size * 0.38).abs() < 2.0, "{campaign:?}");
            assert!((count(Channel::Voicemail) - size * 0.02).abs() < 2.0, "{campaign:?}");
        }
    }

    #[test]
    fn any_number_of_contacts_is_planned_and_each_is_reached_once() {
        for contacts in (1..=260).chain([4_999, 77_777]) {
            let list = ContactList::generated(contacts, 5);
            let plan = Plan::new(&list).unwrap();
            let totals = plan.totals();
            assert_eq!(totals.email + totals.sms + totals.voicemail, contacts);
            assert!(f64::from(totals.email).mul_add(1.0, -f64::from(contacts) * 0.6).abs() < 1.0);
            assert!(plan.campaigns().iter().all(|campaign| campaign.contacts > 0));
            let mut reached: Vec<u32> = plan.touches(&list).map(|touch| touch.contact.0).collect();
            reached.sort_unstable();
            assert!(reached.into_iter().eq(0..contacts));
        }
        assert_eq!(Plan::new(&ContactList::generated(0, 1)).unwrap_err(), PlanError::NoContacts);
    }

    #[test]
    fn who_has_one_address_is_reached_by_it_and_the_others_keep_the_shares() {
        let contacts = (0..1_000).map(|number| Contact {
            email: (number % 4 != 0).then(|| format!("c{number}@example.com")),
            phone: (number % 4 != 1).then(|| format!("+1555{number:07}")),
            ..Contact::default()
        });
        let list = ContactList::of(contacts.collect());
        let plan = Plan::new(&list).unwrap();
        assert_eq!(plan.totals(), Totals { email: 600, sms: 380, voicemail: 20 });
        assert_eq!(plan.touches(&list).count(), 1_000);

        let phones =
            (0..100).map(|number| Contact { phone: Some(format!("+1555{number:07}")), ..Contact::default() });
        let list = ContactList::of(phones.collect());
        assert_eq!(Plan::new(&list).unwrap().totals(), Totals { email: 0, sms: 95, voicemail: 5 });
    }

    #[test]
    fn the_seven_queues_have_their_concurrencies() {
        let queues: Vec<(&str, u32)> = QUEUES.iter().map(|queue| (queue.name, queue.concurrency)).collect();
        let expected = [
            ("campaign", 100),
            ("campaign-step", 40),
            ("email", 30),
            ("sms", 50),
            ("voicemail", 1),
            ("watch", 100),
            ("sender-warm-up", 1),
        ];
        assert_eq!(queues, expected);
    }
}

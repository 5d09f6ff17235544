//! The day as the campaign application knows it: its users, accounts, people, lists and launched campaigns.
//!
//! Everything is written through the application, as its pages would: nothing there knows of a rehearsal. What makes it one
//! are addresses of providers that stand on this machine, and a clock that runs faster than the wall's.

use std::net::SocketAddr;
use std::time::Instant;

use windlass::{Client, Time};
use windlass_campaigns::app::{App, AppError};
use windlass_campaigns::channel::{Channel, rules::ProviderKind};
use windlass_campaigns::clock::Clock;
use windlass_campaigns::drafts::{self, Draft};
use windlass_campaigns::flow::{accounts, queues, share::Sharing, verbs};
use windlass_campaigns::model::campaign::{Condition, Fallback, Step, StopRules};
use windlass_campaigns::model::contact::Consent;
use windlass_campaigns::model::sender::Sender;
use windlass_campaigns::model::{CampaignId, ListId, ProviderId, SenderId, TemplateId, UserId};
use windlass_campaigns::store::{contacts, lists, settings, suppressions, templates, users};
use windlass_campaigns::window::{Delay, HoursIn, Week, WindowPolicy, Zone};
use windlass_doubles::Handle;

use super::people::{Home, People};
use crate::campaigns;
use crate::fault::Fault;

/// Who launches campaigns.
pub(super) const USERS: [&str; 10] =
    ["Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gina", "Hal", "Iris", "Jon"];
/// Campaigns of a day when there are people enough.
pub(super) const CAMPAIGNS: u32 = 100;
/// Campaigns whose people are called, too, a while after their first message; by their places.
const WITH_CALLS: [u32; 2] = [5, 55];
/// When they are called: long enough for somebody to look, short enough for a demonstration.
const CALLED_AFTER_MINUTES: u32 = 2;
/// When the day begins: Wednesday, 2026-11-18, 9:55 where the campaigns are. In the west it is 7:55: those who live there
/// may be reached five minutes later.
pub(super) const BEGINS: Time = Time(1_795_013_700_000);
/// How many seconds pass in one of the wall's: fast enough that delays are seen to end.
const SPEED_MAX: u32 = 60;
/// A day of so many people at most may run as fast as that; more take longer, and must be through before the evening.
const PEOPLE_AT_ONE: u32 = 10_000_000;
/// The hours in which campaigns send, on their own clock.
pub(super) const HOURS: &str = "09:00-20:00";
/// The lease of the day's jobs, compressed as its clock. Inside a program the end of the process ends its leases; a server has
/// to wait for it.
pub(super) const LEASE_MS: u64 = 5_000;
/// Contacts that are written together.
const PAGE: u32 = 1_000;
/// The time between the launch of the whale, which comes first, and that of the first small campaign: by then the application
/// has started, and the whale's contacts stand in the queues.
const HEAD_START_MS: u64 = 2_500;
/// Whose word the audit log notes.
const WHO: &str = "demo";

const MAIL: &str = "Hi {{first_name|there}},\n\nour new catalogue is out.\n\nNo more of this: {{unsubscribe_url}}\n{{postal_address}}";
const TEXT: &str = "Hi {{first_name|there}}, our new catalogue is out. Reply STOP to opt out.";
const CALL: &str =
    "Hello {{first_name|there}}, our new catalogue is out. Call {{sender.phone}} if you want none of this.";

/// Where the providers are that the day is sent through.
#[derive(Clone, Debug)]
pub(super) struct Sinks {
    mail: String,
    phone: String,
}

impl Sinks {
    pub(super) fn of(mail: &Handle, phone: &Handle) -> Self {
        Self { mail: mail.url(), phone: phone.url() }
    }
}

/// How a day is set up.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// The application's database.
    pub(super) database: String,
    /// Where its pages are, and where providers call back.
    pub(super) address: SocketAddr,
    /// Whether campaigns wait in one line.
    pub(super) one_line: bool,
    /// Over how many milliseconds small campaigns are launched.
    pub(super) launches_ms: u64,
    /// Whether some campaigns have a second step: calls.
    pub(super) with_calls: bool,
}

/// One campaign of the day.
#[derive(Clone, Debug)]
pub(super) struct DayCampaign {
    /// Its number in the database.
    pub(super) id: CampaignId,
    /// What it is called.
    pub(super) name: String,
    /// Its people: their first, and how many.
    pub(super) people: std::ops::Range<u32>,
    /// Whether it is the one that is as large as all the others together.
    pub(super) is_whale: bool,
    /// Whether its people are called, too.
    pub(super) has_calls: bool,
    /// When it begins, on the wall's clock.
    pub(super) begins_at_ms: u64,
}

/// A day that is launched.
#[derive(Clone, Debug)]
pub(super) struct Day {
    /// Its campaigns, the whale first.
    pub(super) campaigns: Vec<DayCampaign>,
    /// The application's clock.
    pub(super) clock: Clock,
    /// When the whale was launched.
    pub(super) begun: Instant,
}

impl Day {
    /// Messages and calls that the day owes at most: who has opted out gets none.
    pub(super) fn messages(&self) -> u64 {
        let of = |campaign: &DayCampaign| campaign.people.len() as u64 * (1 + u64::from(campaign.has_calls));
        self.campaigns.iter().map(of).sum()
    }
}

/// Half of the people to the whale, the rest evenly to as many small campaigns as have somebody each.
pub(super) fn divided(people: u32) -> Vec<std::ops::Range<u32>> {
    let rest = people / 2;
    let small = rest.min(CAMPAIGNS - 1);
    let mut first = 0;
    (0..=small)
        .map(|number| {
            let size = match number {
                0 => people - rest,
                // The remainder of the division goes one by one to the first small campaigns.
                _ => rest / small + u32::from(number <= rest % small),
            };
            let range = first..first + size;
            first += size;
            range
        })
        .collect()
}

/// The public address of an application at that address of this machine.
pub(super) fn public_url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Writes the day and launches it: what is left to do is work.
///
/// # Errors
/// What the application says.
pub(super) async fn launch(
    setup: &Setup,
    client: &Client,
    people: &People,
    sinks: &Sinks,
) -> Result<Day, Fault> {
    for queue in queues::ALL {
        let settings = windlass_core::queue::QueueSettings { lease_ms: LEASE_MS, ..queues::settings(queue) };
        client.set_queue(queue.name, settings).await.map_err(AppError::from)?;
    }
    let open = || campaigns::open(&setup.database, client, Some(public_url(setup.address)));
    let app = open().await?;
    let accounts = accounts(&app, people, sinks).await?;
    let lists = lists_of(&app, people).await?;
    // The clock begins when everything is written; an application reads it, and how campaigns share, when it is opened.
    let speed = (PEOPLE_AT_ONE / people.count.max(1)).clamp(1, SPEED_MAX);
    let clock = Clock::running(client.now(), BEGINS, speed);
    let sharing = if setup.one_line { Sharing::FirstCome } else { Sharing::Fair };
    let written = app.db().write(move |tx| {
        settings::set(tx, settings::CLOCK, &clock)?;
        settings::set(tx, settings::SHARING, &sharing)
    });
    written.await.map_err(AppError::from)?;
    let app = open().await?;
    let texts = Texts::write(&app).await?;
    let mut day = Day { campaigns: Vec::with_capacity(lists.len()), clock, begun: Instant::now() };
    let begins_at_ms = client.now().0;
    let small = (lists.len() as u64).saturating_sub(1);
    for (number, (list, range)) in (0_u32..).zip(lists) {
        let (user, senders) = accounts[number as usize % accounts.len()];
        let is_whale = number == 0;
        let later_ms = match u64::from(number) {
            0 => 0,
            nth => HEAD_START_MS + setup.launches_ms * (nth - 1) / small.max(1),
        };
        let has_calls = setup.with_calls && WITH_CALLS.contains(&number);
        let name = match is_whale {
            true => "The whale".to_owned(),
            false => format!("Catalogue {number}"),
        };
        let at_ms = begins_at_ms + later_ms;
        let draft = Draft {
            name: name.clone(),
            user,
            list: Some(list),
            weight: 10,
            daily_cap: None,
            new_per_day: None,
            policy: policy()?,
            stop_rules: StopRules::default(),
            postal_address: "1 Main Street, New York, NY 10001".to_owned(),
            starts_at: (!is_whale).then(|| clock.at(Time(at_ms))),
            senders: senders.to_vec(),
            steps: texts.steps(has_calls),
            revision: None,
        };
        let id = drafts::create(&app, draft, WHO).await?.id;
        verbs::launch(&app, id, WHO).await?;
        day.campaigns.push(DayCampaign { id, name, people: range, is_whale, has_calls, begins_at_ms: at_ms });
    }
    Ok(day)
}

/// Hours on the campaigns' own clock; where a recipient sleeps, the law says so.
fn policy() -> Result<WindowPolicy, Fault> {
    let failed = |error: &dyn std::fmt::Display| Fault::failed(error.to_string());
    let zone = Zone::named(Home::East.zone()).map_err(|error| failed(&error))?;
    let week = Week::daily(HOURS).map_err(|error| failed(&error))?;
    let policy = WindowPolicy::new(zone, week).map_err(|error| failed(&error))?;
    Ok(WindowPolicy { hours_in: HoursIn::Campaign, ..policy })
}

/// The users, the providers, and a mailbox and a number of each user.
async fn accounts(app: &App, people: &People, sinks: &Sinks) -> Result<Vec<(UserId, [SenderId; 3])>, Fault> {
    let now = app.now();
    let users = app.db().write(move |tx| {
        let ids = USERS.iter().map(|name| users::ensure(tx, name, "", 10, now));
        ids.collect::<Result<Vec<UserId>, _>>().map_err(AppError::from)
    });
    let users = users.await?;
    let mail = accounts::new_provider("mail server", ProviderKind::Smtp, &sinks.mail);
    let mut phone = accounts::new_provider("texts and calls", ProviderKind::Twilio, &sinks.phone);
    // The account of somebody whom nobody knows: providers on this machine take any.
    phone.account = "AC00000000000000000000000000000000".to_owned();
    phone.secret = "demo".to_owned();
    let mail = accounts::set_provider(app, mail, WHO).await?.id;
    let phone = accounts::set_provider(app, phone, WHO).await?.id;
    let cap = people.count.saturating_mul(2);
    let mut all = Vec::with_capacity(USERS.len());
    for (number, (id, name)) in users.into_iter().zip(USERS).enumerate() {
        let address = format!("{}@windlass.example", name.to_lowercase());
        let telephone = format!("+12125550{:03}", 100 + number);
        let mut ids = [SenderId(0); 3];
        for (place, (channel, provider, address)) in [
            (Channel::Email, mail, &address),
            (Channel::Sms, phone, &telephone),
            (Channel::Voicemail, phone, &telephone),
        ]
        .into_iter()
        .enumerate()
        {
            let sender = sender(id, name, channel, provider, address, cap);
            ids[place] = accounts::set_sender(app, sender, WHO).await?.id;
        }
        all.push((id, ids));
    }
    Ok(all)
}

fn sender(
    user: UserId,
    name: &str,
    channel: Channel,
    provider: ProviderId,
    address: &str,
    daily_cap: u32,
) -> Sender {
    Sender {
        user: Some(user),
        name: name.to_owned(),
        ..Sender::new(channel, address, provider, Home::East.zone(), daily_cap)
    }
}

/// Writes the people, a list for each campaign.
async fn lists_of(app: &App, people: &People) -> Result<Vec<(ListId, std::ops::Range<u32>)>, Fault> {
    let now = app.now();
    let mut lists = Vec::new();
    for (number, range) in (0_u32..).zip(divided(people.count)) {
        let has_calls = WITH_CALLS.contains(&number);
        let name = if number == 0 { "Everybody else".to_owned() } else { format!("List {number}") };
        let ensured = app.db().write(move |tx| lists::ensure(tx, &name, now).map_err(AppError::from));
        let list = ensured.await?;
        for first in range.clone().step_by(PAGE as usize) {
            let page = first..range.end.min(first + PAGE);
            let written = write_page(app, people, list, page, has_calls && people.are_made_up(), now);
            written.await?;
        }
        lists.push((list, range));
    }
    Ok(lists)
}

async fn write_page(
    app: &App,
    people: &People,
    list: ListId,
    page: std::ops::Range<u32>,
    may_be_called: bool,
    now: Time,
) -> Result<(), Fault> {
    let out: Vec<String> = page
        .clone()
        .filter(|number| people.has_opted_out(*number))
        .flat_map(|number| {
            let person = people.get(number);
            person.email.into_iter().chain(person.phone)
        })
        .collect();
    let page: Vec<contacts::NewContact> = page
        .map(|number| {
            let mut person = people.get(number);
            if may_be_called {
                person.consents.push(Consent {
                    channel: Channel::Voicemail,
                    basis: "express_written".to_owned(),
                    proof: "made up for a demonstration".to_owned(),
                    source: WHO.to_owned(),
                    given_at: now,
                    revoked_at: None,
                });
            }
            person
        })
        .collect();
    let inner = app.clone();
    let written = app.db().write(move |tx| {
        let batch = contacts::upsert_all(tx, &page, contacts::How::FILE, |_| true, now)?;
        lists::add(tx, list, batch.upserted.iter().map(|upserted| upserted.id()))?;
        for address in &out {
            let address =
                suppressions::Addressed { hash: inner.hash_of(address), text: Some(address.clone()) };
            suppressions::add(tx, None, None, &address, "opted_out", WHO, now)?;
        }
        Ok::<_, AppError>(())
    });
    Ok(written.await?)
}

/// What the campaigns say.
struct Texts {
    mail: TemplateId,
    text: TemplateId,
    call: TemplateId,
}

impl Texts {
    async fn write(app: &App) -> Result<Self, Fault> {
        let now = app.now();
        let written = app.db().write(move |tx| {
            let mail = templates::write(
                tx,
                "Catalogue, mail",
                Channel::Email,
                "Our new catalogue",
                MAIL,
                None,
                now,
            )?;
            let text = templates::write(tx, "Catalogue, text", Channel::Sms, "", TEXT, None, now)?;
            let call = templates::write(tx, "Catalogue, call", Channel::Voicemail, "", CALL, None, now)?;
            Ok::<_, AppError>(Self { mail, text, call })
        });
        Ok(written.await?)
    }

    /// A mail, or a text to whom has no mailbox; and a call after a while, where there are calls.
    fn steps(&self, has_calls: bool) -> Vec<Step> {
        let mut steps = vec![Step {
            key: 0,
            channel: Channel::Email,
            delay: Delay::Minutes(0),
            condition: Condition::Always,
            template: self.mail,
            weight: None,
            variants: Vec::new(),
            fallback: Some(Fallback { channel: Channel::Sms, template: self.text }),
        }];
        if has_calls {
            steps.push(Step {
                key: 0,
                channel: Channel::Voicemail,
                delay: Delay::Minutes(CALLED_AFTER_MINUTES),
                condition: Condition::NotReplied,
                template: self.call,
                weight: None,
                variants: Vec::new(),
                fallback: None,
            });
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_campaigns_share_the_people_and_one_has_half_of_them() {
        for people in [1, 2, 3, 260, 1_000, 10_000, 100_003] {
            let ranges = divided(people);
            assert_eq!(ranges.len() as u32, (people / 2).min(99) + 1);
            assert_eq!(ranges[0], 0..people.div_ceil(2));
            assert_eq!(ranges.last().unwrap().end, people);
            assert!(ranges.windows(2).all(|two| two[0].end == two[1].start && !two[1].is_empty()));
            let small = ranges[1..].iter().map(std::ops::Range::len);
            assert!(small.clone().max().unwrap_or(0) - small.min().unwrap_or(0) <= 1);
        }
    }
}

//! How long small campaigns take beside a whale, and without it: 99 campaigns share half of the contacts, and one has the
//! other half. Everything is real but the providers, which are doubles on this machine that take a few milliseconds.
//!
//! `cargo run --release -p windlass-campaigns --example whale -- [CONTACTS] [RUNS]`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a measurement, not a library")]

use std::{ops::RangeInclusive, path::Path, time::Instant};

use windlass_campaigns::{
    app::{App, Options},
    channel::{Channel, rules::ProviderKind},
    clock::Clock,
    db::{self, Db, DbError},
    flow::{accounts, queues, verbs},
    model::{
        CampaignId, SenderId, UserId,
        campaign::{Campaign, CampaignStatus, Condition, Fallback, Step, StopRules},
        sender::{Sender, WarmUp},
    },
    store::{
        campaigns,
        contacts::{self, NewContact},
        lists, senders, settings, templates, users,
    },
    window::{Delay, Week, WindowPolicy, Zone},
};
use windlass_doubles::{Faults, smtp, twilio};

/// How long a provider takes for a message.
const LATENCY_MS: RangeInclusive<u64> = 1..=4;
const SMALL: u32 = 99;
const USERS: u32 = 10;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let contacts: u32 = arguments.next().map_or(100_000, |text| text.parse().unwrap());
    let runs: u32 = arguments.next().map_or(1, |text| text.parse().unwrap());
    for run in 1..=runs {
        let without = day(contacts, false).await;
        let with = day(contacts, true).await;
        println!(
            "run {run}: small campaigns p50 {:.2} s and p95 {:.2} s without the whale, {:.2} s and {:.2} s with it \
             ({:.2} x); the whale {:.2} s; {:.0} messages/s",
            without.p50,
            without.p95,
            with.p50,
            with.p95,
            with.p95 / without.p95,
            with.whale,
            f64::from(contacts) / with.whale,
        );
    }
}

struct Times {
    p50: f64,
    p95: f64,
    whale: f64,
}

async fn day(contacts: u32, whale: bool) -> Times {
    let dir = tempfile::tempdir().unwrap();
    let app = stage(dir.path()).await;
    let begun = Instant::now();
    let ids = campaigns_of(&app, contacts, whale).await;
    eprintln!("{} campaigns are written after {:.1?}", ids.len(), begun.elapsed());
    let relaying = db::relay(app.db(), app.client()).unwrap();
    let worker = app.work().await.unwrap();
    // The whale first, so that it is in the queues when the others come.
    for id in ids.iter().rev() {
        verbs::launch_without_preflight(&app, *id, "bench").await.unwrap();
    }
    let times = until_done(&app, &ids).await;
    worker.shutdown().await;
    relaying.end().await;
    app.client().close().await.unwrap();
    let small = usize::try_from(SMALL).unwrap();
    let mut took: Vec<f64> = times[..small].to_vec();
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    Times { p50: at(50), p95: at(95), whale: times.get(small).copied().unwrap_or_default() }
}

/// From each campaign's launch to its last message.
async fn until_done(app: &App, ids: &[CampaignId]) -> Vec<f64> {
    loop {
        let meant = ids.to_vec();
        let read = move |tx: &mut db::Tx<'_>| {
            meant.iter().map(|id| campaigns::get(tx, *id)).collect::<Result<Vec<Option<Campaign>>, DbError>>()
        };
        let all: Vec<Campaign> = app.db().read(read).await.unwrap().into_iter().flatten().collect();
        if all.iter().all(|campaign| campaign.status == CampaignStatus::Done) {
            let took = |campaign: &Campaign| {
                let (from, to) = (campaign.launched_at.unwrap().0, campaign.ended_at.unwrap().0);
                to.saturating_sub(from) as f64 / 1_000.0
            };
            return all.iter().map(took).collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn stage(dir: &Path) -> App {
    let faults = || Faults { latency_ms: LATENCY_MS, ..Faults::default() };
    let any_port = "127.0.0.1:0".parse().unwrap();
    let mail = smtp::start(any_port, &dir.join("mail.jsonl"), faults()).await.unwrap();
    let phone = twilio::start(any_port, &dir.join("phone.jsonl"), faults()).await.unwrap();
    let client = windlass::open(&format!("file:{}", dir.join("queue").display())).await.unwrap();
    let db = Db::open(&format!("sqlite:{}", dir.join("campaigns.db").display())).await.unwrap();
    // Noon, so that texts may go out for some hours.
    let clock = Clock::running(client.now(), windlass::Time(1_795_003_200_000), 1);
    db.write(move |tx| settings::set(tx, settings::CLOCK, &clock)).await.unwrap();
    let app = App::open(db, client, Options::default()).await.unwrap();
    queues::set_up(app.client()).await.unwrap();
    let smtp = accounts::new_provider("mail", ProviderKind::Smtp, &mail.url());
    let mut twilio = accounts::new_provider("phone", ProviderKind::Twilio, &phone.url());
    (twilio.account, twilio.secret) = ("AC1".into(), "token".into());
    let smtp = accounts::set_provider(&app, smtp, "bench").await.unwrap();
    let twilio = accounts::set_provider(&app, twilio, "bench").await.unwrap();
    for (channel, provider, address) in
        [(Channel::Email, smtp.id, "ann@example.com"), (Channel::Sms, twilio.id, "+12125550100")]
    {
        let sender = Sender {
            id: SenderId(0),
            user: None,
            channel,
            name: "Ann".into(),
            address: address.into(),
            provider,
            time_zone: "UTC".into(),
            daily_cap: 10_000_000,
            per_minute: None,
            warm_up: WarmUp::warm(),
            cap_today: 0,
            paused: false,
            pause_reason: String::new(),
            revision: 0,
        };
        accounts::set_sender(&app, sender, "bench").await.unwrap();
    }
    // The servers live as long as the process.
    std::mem::forget((mail, phone));
    app
}

/// The small campaigns and, behind them, the whale.
async fn campaigns_of(app: &App, contacts: u32, whale: bool) -> Vec<CampaignId> {
    let now = app.now();
    let half = contacts / 2;
    let sizes: Vec<u32> = (0..SMALL).map(|_| half / SMALL).chain(whale.then_some(half)).collect();
    let mut ids = Vec::new();
    let mut first = 0;
    for (nth, size) in (0_u32..).zip(sizes) {
        let people: Vec<NewContact> = (first..first + size).map(person).collect();
        first += size;
        let id = app
            .db()
            .write(move |tx| {
                let user = users::ensure(tx, &format!("user {}", nth % USERS), "", 10, now)?;
                let list = lists::ensure(tx, &format!("list {nth}"), now)?;
                let members = people.iter().map(|person| Ok(contacts::upsert(tx, person, now)?.id()));
                let members = members.collect::<Result<Vec<_>, DbError>>()?;
                lists::add(tx, list, members)?;
                let mail = templates::write(tx, "mail", Channel::Email, "News", "Hi {{name}}", None, now)?;
                let text =
                    templates::write(tx, "text", Channel::Sms, "", "Hi {{name}}. STOP ends.", None, now)?;
                let fallback = Some(Fallback { channel: Channel::Sms, template: text });
                let step = Step {
                    channel: Channel::Email,
                    delay: Delay::Minutes(0),
                    condition: Condition::Always,
                    template: mail,
                    fallback,
                };
                let id = campaigns::create(tx, &campaign(user, nth, list), &[step], now)?;
                senders::choose(tx, id, &[SenderId(1), SenderId(2)])?;
                Ok::<_, DbError>(id)
            })
            .await
            .unwrap();
        ids.push(id);
    }
    ids
}

/// Three of five have a mailbox, the others a number alone.
fn person(number: u32) -> NewContact {
    let has_mail = number % 5 < 3;
    NewContact {
        email: has_mail.then(|| format!("person{number}@example.org")),
        phone: (!has_mail).then(|| format!("+1555{number:07}")),
        name: Some(format!("Person {number}")),
        time_zone: Some("UTC".into()),
        ..NewContact::default()
    }
}

fn campaign(user: UserId, nth: u32, list: windlass_campaigns::model::ListId) -> Campaign {
    let policy = WindowPolicy::new(Zone::named("UTC").unwrap(), Week::daily("00:00-24:00").unwrap()).unwrap();
    Campaign {
        id: CampaignId(0),
        user,
        name: format!("campaign {nth}"),
        status: CampaignStatus::Draft,
        list: Some(list),
        version: 1,
        weight: 10,
        daily_cap: None,
        policy,
        stop_rules: StopRules::default(),
        postal_address: String::new(),
        starts_at: None,
        launched_at: None,
        paged_at: None,
        ended_at: None,
        contacts: 0,
        revision: 0,
        created_at: windlass::Time(0),
    }
}

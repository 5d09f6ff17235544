//! How long small campaigns take beside a whale, and without it: 99 campaigns of nine users share half of the contacts, and
//! a tenth user has the other half in one. Everything is real but the providers, which are doubles on this machine.
//!
//! What bounds a real installation is its providers. The doubles take so long for a message ([`SLOW_MS`]) that 30 mails and
//! 50 texts at once are 250 a second; with `paced` they are quick, and each may be asked so often a second
//! ([`PACES`]); with `fast` nothing bounds them but this machine. With `accounts`, five contacts each belong to one account and
//! one's answer would stop the others; with `one-account` all who have a mailbox are colleagues. The small campaigns have nine tenths of the shares
//! beside the whale, so what fairness allows is 10 / 9 = 1.11 times.
//! The runs are in pairs, without the whale and with it, and the figure is the median of their ratios.
//!
//! `cargo run --release -p windlass-campaigns --example whale -- [CONTACTS] [PAIRS] [paced|fast] [accounts|one-account] [one-line]`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a measurement, not a library")]

use std::{fmt, ops::RangeInclusive, path::Path};

use windlass::Time;
use windlass_campaigns::{
    app::{App, Options},
    channel::{Channel, rules::ProviderKind},
    clock::Clock,
    db::{self, Db, DbError},
    flow::{accounts, queues, share::Sharing, verbs},
    model::{
        CampaignId, ListId, SenderId, UserId,
        campaign::{Campaign, CampaignStatus, Condition, Fallback, Step, StopRules},
        sender::Sender,
    },
    store::{
        campaigns,
        contacts::{self, NewContact},
        lists, senders, settings, templates, users,
    },
    window::{Delay, Week, WindowPolicy, Zone},
};
use windlass_doubles::{Faults, smtp, twilio};

/// How long the providers take for a mail, and for a text or call.
type Latencies = [RangeInclusive<u64>; 2];
const SLOW_MS: Latencies = [120..=280, 300..=700];
const FAST_MS: Latencies = [1..=4, 1..=4];
/// Mails, and texts, that the providers may be asked for in a second.
const PACES: [u32; 2] = [150, 100];
const SMALL: u32 = 99;
/// Users of the small campaigns; the whale is one more's.
const USERS: u32 = 9;

/// Whose answer stops whom.
#[derive(Clone, Copy)]
enum Colleagues {
    None,
    /// So many contacts are an account.
    Of(u32),
    /// The domain of their mail.
    All,
}

/// Contacts of an account.
const COLLEAGUES: u32 = 5;

#[derive(Clone)]
struct Plan {
    contacts: u32,
    latencies: Latencies,
    paces: [Option<u32>; 2],
    colleagues: Colleagues,
    sharing: Sharing,
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_said = |word: &str| words.iter().any(|said| said == word);
    let numbers: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let pairs = numbers.get(1).copied().unwrap_or(1);
    let plan = Plan {
        contacts: numbers.first().copied().unwrap_or(100_000),
        latencies: if is_said("fast") || is_said("paced") { FAST_MS } else { SLOW_MS },
        paces: if is_said("paced") { PACES.map(Some) } else { [None; 2] },
        colleagues: match () {
            () if is_said("accounts") => Colleagues::Of(COLLEAGUES),
            () if is_said("one-account") => Colleagues::All,
            () => Colleagues::None,
        },
        sharing: if is_said("one-line") { Sharing::FirstCome } else { Sharing::Fair },
    };
    let mut ratios = Vec::new();
    for pair in 1..=pairs {
        let without = day(&plan, false).await;
        let with = day(&plan, true).await;
        let ratio = with.p95 / without.p95;
        println!("pair {pair}: {ratio:.2} x; {without} without the whale, {with} with it");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "the median of {pairs}: p95 with the whale is {:.2} x that without it",
        ratios[ratios.len() / 2]
    );
}

/// What became of the small campaigns, in seconds from the launch of each.
struct Times {
    p50: f64,
    p95: f64,
    /// Until the last of the contacts of most of them had their step in the queue, was decided, and was being sent.
    paged: f64,
    decided: f64,
    sending: f64,
    whale: Option<f64>,
    per_second: f64,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p95, paged, decided, sending, whale, per_second } = self;
        write!(
            f,
            "p50 {p50:.2} s, p95 {p95:.2} s (paged {paged:.2}, decided {decided:.2}, sending {sending:.2}"
        )?;
        whale.map_or(Ok(()), |whale| write!(f, "; the whale {whale:.2}"))?;
        write!(f, "; {per_second:.0} messages/s)")
    }
}

async fn day(plan: &Plan, whale: bool) -> Times {
    let dir = tempfile::tempdir().unwrap();
    let app = stage(dir.path(), plan).await;
    let ids = campaigns_of(&app, plan, whale).await;
    let relaying = db::relay(app.db(), app.client()).unwrap();
    let worker = app.work().await.unwrap();
    // The whale first, so that it is in the queues when the others come.
    for id in ids.iter().rev() {
        verbs::launch_without_preflight(&app, *id, "bench").await.unwrap();
    }
    let all = until_done(&app, &ids).await;
    worker.shutdown().await;
    relaying.end().await;
    app.client().close().await.unwrap();
    let small = &all[..usize::try_from(SMALL).unwrap()];
    let at = |percent: usize, of: fn(&Course) -> f64| {
        let mut took: Vec<f64> = small.iter().map(of).collect();
        took.sort_by(f64::total_cmp);
        took[(took.len() * percent).div_ceil(100) - 1]
    };
    let whole = all.iter().map(|course| course.done).fold(0.0, f64::max);
    Times {
        p50: at(50, |course| course.done),
        p95: at(95, |course| course.done),
        paged: at(95, |course| course.paged),
        decided: at(95, |course| course.decided),
        sending: at(95, |course| course.sending),
        whale: all.get(small.len()).map(|course| course.done),
        per_second: f64::from(all.iter().map(|course| course.contacts).sum::<u32>()) / whole,
    }
}

/// What became of a campaign, in seconds from its launch.
struct Course {
    contacts: u32,
    paged: f64,
    decided: f64,
    sending: f64,
    done: f64,
}

async fn until_done(app: &App, ids: &[CampaignId]) -> Vec<Course> {
    loop {
        let meant = ids.to_vec();
        let read = move |tx: &mut db::Tx<'_>| {
            meant.iter().map(|id| campaigns::get(tx, *id)).collect::<Result<Vec<Option<Campaign>>, DbError>>()
        };
        let all: Vec<Campaign> = app.db().read(read).await.unwrap().into_iter().flatten().collect();
        if all.iter().all(|campaign| campaign.status == CampaignStatus::Done) {
            return app.db().read(move |tx| all.iter().map(|one| course(tx, one)).collect()).await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

fn course(tx: &mut db::Tx<'_>, campaign: &Campaign) -> Result<Course, DbError> {
    let launched = campaign.launched_at.unwrap();
    let since = |at: Time| at.0.saturating_sub(launched.0) as f64 / 1_000.0;
    let mut last = |sql| Ok::<_, DbError>(since(Time(tx.count(sql, &[campaign.id.into()])?.unsigned_abs())));
    Ok(Course {
        contacts: campaign.contacts,
        paged: since(campaign.paged_at.unwrap()),
        decided: last("SELECT max(created_at) FROM touches WHERE campaign_id = $1")?,
        sending: last("SELECT max(sending_at) FROM touches WHERE campaign_id = $1")?,
        done: since(campaign.ended_at.unwrap()),
    })
}

async fn stage(dir: &Path, plan: &Plan) -> App {
    let faults = |latency: &RangeInclusive<u64>| Faults { latency_ms: latency.clone(), ..Faults::default() };
    let any_port = "127.0.0.1:0".parse().unwrap();
    let mail = smtp::start(any_port, &dir.join("mail.jsonl"), faults(&plan.latencies[0])).await.unwrap();
    let phone = twilio::start(any_port, &dir.join("phone.jsonl"), faults(&plan.latencies[1])).await.unwrap();
    let client = windlass::open(&format!("file:{}", dir.join("queue").display())).await.unwrap();
    let db = Db::open(&format!("sqlite:{}", dir.join("campaigns.db").display())).await.unwrap();
    // Noon, so that texts may go out for some hours.
    let clock = Clock::running(client.now(), Time(1_795_003_200_000), 1);
    db.write(move |tx| settings::set(tx, settings::CLOCK, &clock)).await.unwrap();
    let app =
        App::open(db, client, Options { sharing: Some(plan.sharing), ..Options::default() }).await.unwrap();
    queues::set_up(app.client()).await.unwrap();
    let mut smtp = accounts::new_provider("mail", ProviderKind::Smtp, &mail.url());
    let mut twilio = accounts::new_provider("phone", ProviderKind::Twilio, &phone.url());
    [smtp.per_second, twilio.per_second] = plan.paces;
    (twilio.account, twilio.secret) = ("AC1".into(), "token".into());
    let smtp = accounts::set_provider(&app, smtp, "bench").await.unwrap();
    let twilio = accounts::set_provider(&app, twilio, "bench").await.unwrap();
    for (channel, provider, address) in
        [(Channel::Email, smtp.id, "ann@example.com"), (Channel::Sms, twilio.id, "+12125550100")]
    {
        let sender = Sender::new(channel, address, provider, "UTC", 10_000_000);
        accounts::set_sender(&app, sender, "bench").await.unwrap();
    }
    // The servers live as long as the process.
    std::mem::forget((mail, phone));
    app
}

/// The small campaigns and, behind them, the whale.
async fn campaigns_of(app: &App, plan: &Plan, whale: bool) -> Vec<CampaignId> {
    let now = app.now();
    let (half, colleagues) = (plan.contacts / 2, plan.colleagues);
    let sizes: Vec<u32> = (0..SMALL).map(|_| half / SMALL).chain(whale.then_some(half)).collect();
    let mut ids = Vec::new();
    let mut first = 0;
    for (nth, size) in (0_u32..).zip(sizes) {
        let people: Vec<NewContact> =
            (first..first + size).map(|number| person(number, colleagues)).collect();
        first += size;
        let id = app
            .db()
            .write(move |tx| {
                let user = if nth < SMALL { nth % USERS } else { USERS };
                let user = users::ensure(tx, &format!("user {user}"), "", 10, now)?;
                let list = lists::ensure(tx, &format!("list {nth}"), now)?;
                let members = people.iter().map(|person| Ok(contacts::upsert(tx, person, now)?.id()));
                let members = members.collect::<Result<Vec<_>, DbError>>()?;
                lists::add(tx, list, members)?;
                let mail = templates::write(tx, "mail", Channel::Email, "News", "Hi {{name}}", None, now)?;
                let text =
                    templates::write(tx, "text", Channel::Sms, "", "Hi {{name}}. STOP ends.", None, now)?;
                let fallback = Some(Fallback { channel: Channel::Sms, template: text });
                let step = Step {
                    key: 0,
                    channel: Channel::Email,
                    delay: Delay::Minutes(0),
                    condition: Condition::Always,
                    template: mail,
                    weight: None,
                    variants: Vec::new(),
                    fallback,
                };
                let id = campaigns::create(tx, &campaign(user, nth, list, colleagues), &[step], now)?;
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
fn person(number: u32, colleagues: Colleagues) -> NewContact {
    let has_mail = number % 5 < 3;
    NewContact {
        email: has_mail.then(|| format!("person{number}@example.org")),
        phone: (!has_mail).then(|| format!("+1555{number:07}")),
        name: Some(format!("Person {number}")),
        time_zone: Some("UTC".into()),
        account: match colleagues {
            Colleagues::Of(so_many) => Some(format!("account {}", number / so_many)),
            Colleagues::None | Colleagues::All => None,
        },
        ..NewContact::default()
    }
}

fn campaign(user: UserId, nth: u32, list: ListId, colleagues: Colleagues) -> Campaign {
    let policy = WindowPolicy::new(Zone::named("UTC").unwrap(), Week::daily("00:00-24:00").unwrap()).unwrap();
    let stop_rules =
        StopRules { account_reply: !matches!(colleagues, Colleagues::None), ..StopRules::default() };
    let draft = Campaign::draft(user, format!("campaign {nth}"), policy, Time(0));
    Campaign { list: Some(list), stop_rules, ..draft }
}

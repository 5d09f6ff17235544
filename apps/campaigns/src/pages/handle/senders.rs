//! Senders: how they fare, what they are set to, and their switch.

use std::collections::HashMap;

use windlass::Time;

use super::{
    Ask, Id, Reply, Sent, lookup,
    moment::instant,
    number::{maybe_number, named, number},
};
use crate::{
    app::AppError,
    channel::{Channel, breaker::Breaker},
    db::Tx,
    figures::day_begins,
    flow::{accounts, check::day_of},
    model::{
        ProviderId, SenderId, UserId,
        provider::Provider,
        sender::{Health, Sender, WarmUp},
    },
    pages::{
        Section,
        form::Fields,
        view::{Choice, Count, Input, SenderDay, SenderForm, SenderPage, SenderRow, SendersPage},
    },
    store::{providers, senders, usage},
    window::Zone,
};

/// Days that the page of a sender shows.
const DAYS: usize = 14;
/// Days whose messages are a sender's health.
const WEEK_MS: u64 = 7 * 24 * 3_600_000;
/// Days of a curve at most; a warm-up takes some weeks.
const CURVE_MAX: u32 = 120;
/// The most messages a day that a form takes: above any account's there is.
const CAP_MAX: u32 = 10_000_000;

/// A sender with what is known of it.
struct Known {
    sender: Sender,
    breaker: Breaker,
    account: Breaker,
    week: Health,
    sent_today: i64,
}

impl Known {
    fn of(tx: &mut Tx<'_>, sender: Sender, now: Time) -> Result<Self, AppError> {
        let day = day_of(&sender.time_zone, now);
        let since = Time(now.0.saturating_sub(WEEK_MS));
        Ok(Self {
            breaker: senders::breaker(tx, sender.id)?,
            account: providers::breaker(tx, sender.provider)?,
            week: senders::health(tx, sender.id, since, now.plus_ms(1))?,
            sent_today: usage::used(tx, usage::Of::Sender(sender.id), &day)?,
            sender,
        })
    }

    fn row(&self, accounts: &Accounts) -> SenderRow {
        let sender = &self.sender;
        let (status, why) = if sender.paused {
            ("paused", sender.pause_reason.clone())
        } else if self.breaker.holds_back() {
            ("held back", self.breaker.says())
        } else if self.account.holds_back() {
            ("held back", format!("its account {} takes nothing", accounts.provider(sender.provider)))
        } else if self.week.is_bad() {
            ("warning", "too many of its messages came back or were reported: it does not grow".to_owned())
        } else {
            ("healthy", String::new())
        };
        SenderRow {
            id: sender.id.0,
            name: sender.name.clone(),
            address: sender.address.clone(),
            channel: sender.channel,
            provider: sender.provider.0,
            provider_name: accounts.provider(sender.provider),
            owner: sender.user.map(|user| accounts.users.get(&user).cloned().unwrap_or_default()),
            sent_today: self.sent_today.into(),
            cap_today: sender.cap_today.into(),
            daily_cap: sender.daily_cap.into(),
            warm_up_day: sender.warm_up.day.filter(|_| sender.cap_today < sender.daily_cap),
            sent_week: self.week.sent.into(),
            bounced_week: self.week.bounced.into(),
            complained_week: self.week.complained.into(),
            status: status.to_owned(),
            why,
        }
    }
}

/// What a sender may belong to.
struct Accounts {
    providers: Vec<Provider>,
    users: HashMap<UserId, String>,
}

impl Accounts {
    fn of(tx: &mut Tx<'_>) -> Result<Self, AppError> {
        Ok(Self { providers: providers::all(tx)?, users: lookup::user_names(tx)? })
    }

    fn provider(&self, id: ProviderId) -> String {
        let found = self.providers.iter().find(|provider| provider.id == id);
        found.map(|provider| provider.name.clone()).unwrap_or_default()
    }

    /// The choices of a form.
    fn choices(&self, form: SenderForm, channel: &str, provider: &str, user: &str) -> SenderForm {
        let mut users: Vec<_> = self.users.iter().collect();
        users.sort_by_key(|(_, name)| *name);
        SenderForm {
            channels: Channel::ALL.map(|one| Choice::of(one.name(), one.name(), channel)).to_vec(),
            providers: self.providers.iter().map(|one| Choice::of(one.id, &one.name, provider)).collect(),
            users: std::iter::once(Choice::of("", "everybody", user))
                .chain(users.into_iter().map(|(id, name)| Choice::of(id, name, user)))
                .collect(),
            ..form
        }
    }

    /// The form of a new sender.
    fn blank(&self) -> SenderForm {
        let WarmUp { first_day, growth_percent, .. } = WarmUp::new_mailbox();
        let form = SenderForm {
            zone: Input::of("America/New_York"),
            daily_cap: Input::of(200),
            warms_up: true,
            first_day: Input::of(first_day),
            growth: Input::of(growth_percent),
            ..SenderForm::default()
        };
        self.choices(form, "", "", "")
    }

    /// The form of a sender as it is.
    fn filled(&self, sender: &Sender) -> SenderForm {
        let form = SenderForm {
            id: Some(sender.id.0),
            revision: sender.revision,
            name: Input::of(&sender.name),
            address: Input::of(&sender.address),
            zone: Input::of(&sender.time_zone),
            daily_cap: Input::of(sender.daily_cap),
            per_minute: Input::some(sender.per_minute),
            warms_up: sender.warm_up.day.is_some(),
            first_day: Input::of(sender.warm_up.first_day),
            growth: Input::of(sender.warm_up.growth_percent),
            ..SenderForm::default()
        };
        let user = sender.user.map(|user| user.to_string()).unwrap_or_default();
        self.choices(form, sender.channel.name(), &sender.provider.to_string(), &user)
    }

    /// The form as somebody has filled it.
    fn sent(&self, form: &Fields) -> SenderForm {
        let field = |name: &str| Input::of(form.text(name));
        let sent = SenderForm {
            id: form.word("id").parse().ok(),
            revision: form.word("revision").parse().unwrap_or(0),
            fault: None,
            name: field("name"),
            address: field("address"),
            zone: field("time_zone"),
            daily_cap: field("daily_cap"),
            per_minute: field("per_minute"),
            warms_up: form.ticked("warms_up"),
            first_day: field("first_day"),
            growth: field("growth"),
            ..SenderForm::default()
        };
        self.choices(sent, form.word("channel"), form.word("provider"), form.word("user"))
    }
}

/// `GET /senders`
pub(super) async fn list(ask: Ask) -> Reply {
    list_page(&ask, None).await
}

async fn list_page(ask: &Ask, form: Option<SenderForm>) -> Reply {
    let now = ask.now;
    let (known, accounts) = ask
        .read(move |tx| {
            let all = senders::all(tx)?;
            let known: Result<Vec<Known>, AppError> =
                all.into_iter().map(|sender| Known::of(tx, sender, now)).collect();
            Ok((known?, Accounts::of(tx)?))
        })
        .await?;
    let page = SendersPage {
        s: ask.shell(Section::Senders).await?,
        rows: known.iter().map(|one| one.row(&accounts)).collect(),
        form: form.unwrap_or_else(|| accounts.blank()),
    };
    Ok(windlass_look::show(&page))
}

/// `GET /senders/{sender}`
pub(super) async fn show(ask: Ask, Id(id): Id) -> Reply {
    one_page(&ask, SenderId(id), None, Input::default()).await
}

async fn one_page(ask: &Ask, id: SenderId, form: Option<SenderForm>, until: Input) -> Reply {
    let now = ask.now;
    let (known, accounts, days) = ask
        .read(move |tx| {
            let sender = senders::get(tx, id)?.ok_or_else(|| AppError::unknown("sender", id))?;
            let days = days(tx, &sender, now)?;
            Ok((Known::of(tx, sender, now)?, Accounts::of(tx)?, days))
        })
        .await?;
    let sender = &known.sender;
    let page = SenderPage {
        s: ask.shell(Section::Senders).await?,
        row: known.row(&accounts),
        curve: curve(sender),
        days,
        form: form.unwrap_or_else(|| accounts.filled(sender)),
        goes_on: sender.paused_until.map(|at| ask.when(at)),
        until,
        zone: sender.time_zone.clone(),
    };
    Ok(windlass_look::show(&page))
}

/// A sender's last days, as far as it has sent something on them.
fn days(tx: &mut Tx<'_>, sender: &Sender, now: Time) -> Result<Vec<SenderDay>, AppError> {
    let zone = &sender.time_zone;
    let (mut begin, mut end) = (day_begins(zone, now), now.plus_ms(1));
    let mut days = Vec::new();
    for back in 0..DAYS {
        let health = senders::health(tx, sender.id, begin, end)?;
        if health.sent > 0 {
            days.push(SenderDay {
                date: day_of(zone, begin),
                sent: health.sent.into(),
                // What it could have sent on earlier days is not kept.
                cap: (back == 0).then(|| Count::from(sender.cap_today)),
                bounced: health.bounced.into(),
                complained: health.complained.into(),
            });
        }
        end = begin;
        begin = day_begins(zone, Time(begin.0.saturating_sub(1)));
    }
    Ok(days)
}

/// The caps of a warm-up until it is over.
fn curve(sender: &Sender) -> Vec<u64> {
    let warm_up = sender.warm_up;
    if warm_up.day.is_none() {
        return Vec::new();
    }
    let mut caps = Vec::new();
    for day in 1..=CURVE_MAX {
        let cap = warm_up.messages_on(day, sender.daily_cap);
        caps.push(u64::from(cap));
        if cap >= sender.daily_cap {
            break;
        }
    }
    caps
}

/// `POST /senders`
pub(super) async fn set(ask: Ask, Sent(form): Sent) -> Reply {
    let (accounts, old) = {
        let id = named(&form, "id")?.map(SenderId);
        ask.read(move |tx| {
            let old = id.map_or(Ok(None), |id| senders::get(tx, id))?;
            if let (Some(id), None) = (id, &old) {
                return Err(AppError::unknown("sender", id));
            }
            Ok((Accounts::of(tx)?, old))
        })
        .await?
    };
    let mut sent = accounts.sent(&form);
    let faulty = match read(&form, &mut sent, old.as_ref()) {
        Some(sender) => match accounts::set_sender(&ask.app, sender, ask.who()).await {
            Ok(stored) => {
                let said = format!("{} is set: in force for every message from now on.", stored.address);
                return Ok(ask.done(format_args!("/senders/{}", stored.id), said));
            }
            Err(AppError::Invalid { field, why }) => Some((field, why)),
            Err(AppError::Conflict(why)) => Some(("sender", why)),
            Err(AppError::Unknown { what: "provider", .. }) => {
                Some(("provider", "choose an account: there is none of that number".to_owned()))
            }
            Err(error @ AppError::Unknown { what: "user", .. }) => Some(("user", error.to_string())),
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    match faulty {
        Some(("address", why)) => sent.address = sent.address.wrong(why),
        Some(("time zone", why)) => sent.zone = sent.zone.wrong(why),
        Some((_, why)) => sent.fault = Some(why),
        None => {}
    }
    match old {
        Some(old) => one_page(&ask, old.id, Some(sent), Input::default()).await,
        None => list_page(&ask, Some(sent)).await,
    }
}

/// The sender that a form means, or nothing, with what is wrong at its field.
fn read(form: &Fields, sent: &mut SenderForm, old: Option<&Sender>) -> Option<Sender> {
    let daily_cap = number(&mut sent.daily_cap, 1..=CAP_MAX);
    let per_minute = maybe_number(&mut sent.per_minute, 1..=CAP_MAX);
    let first_day = number(&mut sent.first_day, 1..=CAP_MAX);
    let growth = number(&mut sent.growth, 0..=1_000);
    let channel = Channel::ALL.into_iter().find(|channel| channel.name() == form.word("channel"));
    if channel.is_none() {
        sent.fault = Some("choose a channel".to_owned());
    }
    if let Some(old) = old {
        if old.revision != sent.revision {
            sent.fault = Some("somebody else has changed it meanwhile: look at it again".to_owned());
        }
        if form.word("address") != old.address || channel != Some(old.channel) {
            let why = "a sender keeps its channel and address: make another one";
            sent.address = std::mem::take(&mut sent.address).wrong(why);
        }
    }
    if let Err(why) = Zone::named(form.word("time_zone")) {
        sent.zone = std::mem::take(&mut sent.zone).wrong(why);
    }
    let is_faulty =
        [&sent.fault, &sent.address.fault, &sent.zone.fault].into_iter().any(|fault| fault.is_some());
    let provider = named(form, "provider").ok().flatten().map(ProviderId);
    let user = named(form, "user").map_err(|why| sent.fault = Some(why.to_string()));
    if provider.is_none() {
        sent.fault
            .get_or_insert_with(|| "choose an account: set one up first where there is none".to_owned());
    }
    let usual = old.map_or_else(WarmUp::new_mailbox, |old| old.warm_up);
    let day = form.ticked("warms_up").then(|| usual.day.unwrap_or(1));
    let warm_up = WarmUp { first_day: first_day?, growth_percent: growth?, day, ..usual };
    let (address, zone) = (form.word("address"), form.word("time_zone"));
    let sender = Sender {
        user: user.ok()?.map(UserId),
        name: form.word("name").to_owned(),
        per_minute: per_minute?,
        warm_up,
        ..Sender::new(channel?, address, provider?, zone, daily_cap?)
    };
    (!is_faulty).then_some(sender)
}

/// `POST /senders/{sender}/pause`
pub(super) async fn pause(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let number = SenderId(id);
    let why = form.filled("why").unwrap_or("paused by a person");
    let found = ask.read(move |tx| senders::get(tx, number)?.ok_or_else(|| AppError::unknown("sender", id)));
    let zone = found.await?.time_zone;
    let wrong = |why: String| Input::of(form.text("until")).wrong(why);
    let done = match form.filled("until").map(|text| instant(&zone, text)) {
        None => accounts::pause_sender(&ask.app, number, true, why, ask.who()).await,
        Some(Ok(until)) => accounts::pause_sender_until(&ask.app, number, until, why, ask.who()).await,
        Some(Err(why)) => return one_page(&ask, number, None, wrong(why)).await,
    };
    if let Err(AppError::Invalid { field: "until", why }) = done {
        return one_page(&ask, number, None, wrong(why)).await;
    }
    ask.told(format_args!("/senders/{id}"), done, "The sender is paused: nothing goes out in its name.")
}

/// `POST /senders/{sender}/resume`
pub(super) async fn resume(ask: Ask, Id(id): Id) -> Reply {
    let done = accounts::pause_sender(&ask.app, SenderId(id), false, "", ask.who()).await;
    ask.told(format_args!("/senders/{id}"), done, "The sender goes on.")
}

/// Senders of a channel to choose from.
pub(super) fn choices(all: &[Sender], channel: Option<Channel>, chosen: &str) -> Vec<Choice> {
    let of_channel = all.iter().filter(|sender| channel.is_none_or(|channel| sender.channel == channel));
    of_channel.map(|sender| Choice::of(sender.id, label(sender), chosen)).collect()
}

/// A sender in a list of choices.
pub(super) fn label(sender: &Sender) -> String {
    if sender.name.is_empty() {
        sender.address.clone()
    } else {
        format!("{} ({})", sender.address, sender.name)
    }
}

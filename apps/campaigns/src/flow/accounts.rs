//! Accounts at providers, and the senders that use them: what is made or changed here, the queue is told as well.

use windlass::Time;

use super::{
    again, gateways,
    jobs::{self, Paused, Waiting},
    limits, pauses, share, texts, warm_up,
};
use crate::{
    app::{App, AppError},
    channel::{
        Channel,
        pace::Pace,
        rules::{ErrorRule, ErrorTable, ProviderKind, TableError},
    },
    model::{ProviderId, SenderId, User, UserId, provider::Provider, sender::Sender},
    optout::{EmailAddress, PhoneNumber},
    store::{
        audit,
        providers::{self, DomainLimit},
        senders, settings, users,
    },
    window::Zone,
};

/// How long the key of mails that come in is: whoever guesses it can end the messages of contacts.
const INBOUND_KEY_CHARS: std::ops::RangeInclusive<usize> = 16..=200;
/// The share of a new user.
pub const USUAL_WEIGHT: u32 = 10;

/// Makes an account, or changes the one of that name.
///
/// # Errors
/// Settings of which no client can be made; the database's, or the queue's.
pub async fn set_provider(app: &App, provider: Provider, who: &str) -> Result<Provider, AppError> {
    if provider.name.trim().is_empty() {
        return Err(AppError::invalid("name", "give the account a name"));
    }
    gateways::make(&provider).map_err(|why| AppError::invalid("url", why))?;
    if provider.kind == ProviderKind::Twilio && !provider.inbound_key.is_empty() {
        let why = "texts come in with Twilio's own signature: only accounts of mail take a key";
        return Err(AppError::invalid("inbound_key", why));
    }
    let key_chars = provider.inbound_key.chars().count();
    if !provider.inbound_key.is_empty() && !(INBOUND_KEY_CHARS).contains(&key_chars) {
        let (least, most) = INBOUND_KEY_CHARS.into_inner();
        let why = format!("{least} to {most} characters, such as `openssl rand -hex 16` makes");
        return Err(AppError::invalid("inbound_key", why));
    }
    let (now, who) = (app.now(), who.to_owned());
    let stored = app
        .db()
        .write(move |tx| {
            let id = providers::set(tx, &provider, now)?;
            audit::note(tx, &who, "set provider", &provider.name, &provider.kind.to_string(), now)?;
            providers::get(tx, id)?.ok_or_else(|| AppError::unknown("provider", id))
        })
        .await?;
    limits::set_provider(app, &stored).await?;
    Ok(stored)
}

/// Makes a sender, or changes the one of that address. Its warm-up begins with it.
///
/// # Errors
/// An address that is none, a provider that does not carry its channel; the database's, or the queue's.
pub async fn set_sender(app: &App, mut sender: Sender, who: &str) -> Result<Sender, AppError> {
    match sender.channel {
        Channel::Email => {
            let address = EmailAddress::parse(&sender.address);
            sender.address = address.map_err(|why| AppError::invalid("address", why))?.as_str().to_owned();
        }
        Channel::Sms | Channel::Voicemail => {
            let number = PhoneNumber::parse(&sender.address, None);
            sender.address = number.map_err(|why| AppError::invalid("address", why))?.as_str().to_owned();
        }
    }
    Zone::named(&sender.time_zone).map_err(|why| AppError::invalid("time zone", why))?;
    if sender.daily_cap == 0 {
        return Err(AppError::invalid(
            "daily cap",
            "at least 1; pause the sender to have nothing go out in its name",
        ));
    }
    sender.cap_today = sender.warm_up.cap(sender.daily_cap);
    let (now, who, inner) = (app.now(), who.to_owned(), app.clone());
    let stored = app
        .db()
        .write(move |tx| {
            let provider = providers::get(tx, sender.provider)?
                .ok_or_else(|| AppError::unknown("provider", sender.provider))?;
            if !carries(&provider, sender.channel) {
                let why = format!("{} does not carry {}", provider.name, sender.channel);
                return Err(AppError::invalid("provider", why));
            }
            if let Some(user) = sender.user {
                users::get(tx, user)?.ok_or_else(|| AppError::unknown("user", user))?;
            }
            let before = senders::by_address(tx, sender.channel, &sender.address)?;
            let id = senders::set(tx, &sender, now)?;
            if before.is_some_and(|before| bears_otherwise(&before, &sender)) {
                again::at_sender(tx, &inner, id)?;
            }
            warm_up::begin(tx, &inner, id)?;
            audit::note(tx, &who, "set sender", &sender.address, sender.channel.name(), now)?;
            senders::get(tx, id)?.ok_or_else(|| AppError::unknown("sender", id))
        })
        .await?;
    limits::set_sender(app, &stored).await?;
    Ok(stored)
}

/// Whether messages that wait for a sender may go at another time now.
fn bears_otherwise(before: &Sender, after: &Sender) -> bool {
    let of = |sender: &Sender| {
        (sender.daily_cap, sender.cap_today, sender.warm_up, sender.time_zone.clone(), sender.provider)
    };
    of(before) != of(after)
}

/// Pauses a sender, or lets it go on: then what has waited for it goes out at once, as far as windows and caps allow, and what
/// was sent before is not held against it any more.
///
/// # Errors
/// A sender that is none; the database's, or the queue's.
pub async fn pause_sender(
    app: &App,
    id: SenderId,
    paused: bool,
    why: &str,
    who: &str,
) -> Result<(), AppError> {
    let (now, who, why, inner) = (app.now(), who.to_owned(), why.to_owned(), app.clone());
    app.db()
        .write(move |tx| {
            if !senders::pause(tx, id, paused, &why)? {
                return Err(AppError::unknown("sender", id));
            }
            let what = if paused { "pause sender" } else { "resume sender" };
            audit::note(tx, &who, what, &id.to_string(), &why, now)?;
            if !paused {
                senders::judge_from(tx, id, now)?;
            }
            again::at_sender(tx, &inner, id)
        })
        .await?;
    limits::set_as_stored(app, id).await
}

/// Pauses a sender until that moment, at which it goes on by itself, whatever lives then. The brake goes on judging what it
/// sent before, since nobody has looked.
///
/// # Errors
/// A sender that is none, a moment that is no later one; the database's, or the queue's.
pub async fn pause_sender_until(
    app: &App,
    id: SenderId,
    until: Time,
    why: &str,
    who: &str,
) -> Result<(), AppError> {
    let (now, wall, clock, inner) = (app.now(), app.client().now(), app.clock(), app.clone());
    let (who, why) = (who.to_owned(), why.to_owned());
    pauses::checked(Some(until), now)?;
    app.db()
        .write(move |tx| {
            if !senders::pause_until(tx, id, &why, until)? {
                return Err(AppError::unknown("sender", id));
            }
            let due = clock.wall_at(until);
            tx.enqueue(&[jobs::end_pause(Paused::Sender(id), due).into_new_job(wall)?])?;
            let told = pauses::told(Some(until), &why);
            audit::note(tx, &who, "pause sender", &id.to_string(), &told, now)?;
            again::at_sender(tx, &inner, id)
        })
        .await?;
    limits::set_as_stored(app, id).await
}

/// Edits one row of the table of errors.
///
/// # Errors
/// A row that the table does not take; the database's.
pub async fn set_error_rule(app: &App, rule: ErrorRule, who: &str) -> Result<ErrorRule, AppError> {
    ErrorTable::new(vec![rule.clone()]).map_err(|error| match error {
        // It is the only row.
        TableError::Row { why, .. } => AppError::invalid("rule", why),
        other => AppError::invalid("rule", other),
    })?;
    let (now, who) = (app.now(), who.to_owned());
    app.db()
        .write(move |tx| {
            providers::set_error_rule(tx, &rule)?;
            audit::note(
                tx,
                &who,
                "set error rule",
                &rule.provider.code(&rule.code),
                rule.action.name(),
                now,
            )?;
            Ok(rule.clone())
        })
        .await
}

/// Takes an edit of the table of errors back: the row of the program holds again.
///
/// # Errors
/// A row that nobody has edited; the database's.
pub async fn remove_error_rule(app: &App, kind: ProviderKind, code: &str, who: &str) -> Result<(), AppError> {
    let (now, who, code) = (app.now(), who.to_owned(), code.to_owned());
    app.db()
        .write(move |tx| {
            if !providers::delete_error_rule(tx, kind, &code)? {
                return Err(AppError::Conflict(format!(
                    "nobody has written a rule for {}",
                    kind.code(&code)
                )));
            }
            Ok(audit::note(tx, &who, "remove error rule", &kind.code(&code), "", now)?)
        })
        .await
}

/// Sets what a recipients' domain bears; mails that are made from now on take its limit.
///
/// # Errors
/// A domain that is none, or that has no limit at all; the database's, or the queue's.
pub async fn set_domain_limit(app: &App, mut limit: DomainLimit, who: &str) -> Result<DomainLimit, AppError> {
    limit.domain = limit.domain.trim().to_ascii_lowercase();
    if !limit.domain.contains('.') || limits::of_domain(&limit.domain).is_none() {
        return Err(AppError::invalid("domain", "write a domain such as gmail.com"));
    }
    if !limit.is_set() {
        return Err(AppError::invalid("domain limit", "give per_minute, concurrency or per_day"));
    }
    if [limit.per_minute, limit.concurrency, limit.per_day].contains(&Some(0)) {
        return Err(AppError::invalid("domain limit", "at least 1: with 0 nothing would ever go out"));
    }
    let (now, who, inner) = (app.now(), who.to_owned(), app.clone());
    let stored = app.db().write(move |tx| {
        let before = providers::domain_limit(tx, &limit.domain)?.and_then(|before| before.per_day);
        providers::set_domain_limit(tx, &limit)?;
        if before != limit.per_day {
            again::at_all(tx, &inner, None, Waiting::Messages)?;
        }
        audit::note(tx, &who, "set domain limit", &limit.domain, "", now)?;
        Ok::<_, AppError>(limit.clone())
    });
    let stored = stored.await?;
    limits::set_domain(app, &stored).await?;
    Ok(stored)
}

/// Takes the limit of a recipients' domain away.
///
/// # Errors
/// A domain that has none; the database's, or the queue's.
pub async fn remove_domain_limit(app: &App, domain: &str, who: &str) -> Result<(), AppError> {
    let (now, who, domain) = (app.now(), who.to_owned(), domain.trim().to_ascii_lowercase());
    let (name, inner) = (domain.clone(), app.clone());
    app.db()
        .write(move |tx| {
            let before = providers::domain_limit(tx, &name)?.and_then(|before| before.per_day);
            if !providers::delete_domain_limit(tx, &name)? {
                return Err(AppError::unknown("limit of the domain", &name));
            }
            if before.is_some() {
                again::at_all(tx, &inner, None, Waiting::Messages)?;
            }
            Ok(audit::note(tx, &who, "remove domain limit", &name, "", now)?)
        })
        .await?;
    limits::forget_domain(app, &domain).await
}

/// Sets a user's share, or makes one; without a weight a new one has the usual share, and one that is there keeps theirs.
///
/// # Errors
/// A name or a share that is none; the database's, or the queue's.
pub async fn set_user(
    app: &App,
    name: &str,
    email: &str,
    weight: Option<u32>,
    who: &str,
) -> Result<User, AppError> {
    let (name, email, now, who) = (texts::named(name)?, email.to_owned(), app.now(), who.to_owned());
    if weight.is_some_and(|weight| !(1..=100).contains(&weight)) {
        return Err(AppError::invalid("weight", "1 to 100; 10 is the usual one"));
    }
    let stored = app.db().write(move |tx| {
        let id: UserId = users::ensure(tx, &name, &email, weight.unwrap_or(USUAL_WEIGHT), now)?;
        if let Some(weight) = weight {
            users::set_weight(tx, id, weight)?;
        }
        audit::note(tx, &who, "set user", &name, "", now)?;
        users::get(tx, id)?.ok_or_else(|| AppError::unknown("user", id))
    });
    let user = stored.await?;
    share::set(app, user.id).await?;
    Ok(user)
}

/// Sets how many messages a day all campaigns of a user send together, or of everybody; none is no cap.
///
/// # Errors
/// A user who is none, a cap of nothing; the database's.
pub async fn set_daily_cap(
    app: &App,
    user: Option<UserId>,
    cap: Option<u32>,
    who: &str,
) -> Result<(), AppError> {
    if cap == Some(0) {
        return Err(AppError::invalid("daily cap", "at least 1; leave it out for no cap"));
    }
    let (now, who, inner) = (app.now(), who.to_owned(), app.clone());
    app.db()
        .write(move |tx| {
            let whose = match user {
                Some(user) => {
                    let found = users::get(tx, user)?.ok_or_else(|| AppError::unknown("user", user))?;
                    users::set_daily_cap(tx, user, cap)?;
                    found.name
                }
                None => {
                    match cap {
                        Some(cap) => settings::set(tx, settings::DAILY_CAP, &cap)?,
                        None => drop(settings::remove(tx, settings::DAILY_CAP)?),
                    }
                    "everybody".to_owned()
                }
            };
            again::at_all(tx, &inner, user, Waiting::Messages)?;
            let detail = cap.map_or("none".to_owned(), |cap| cap.to_string());
            Ok(audit::note(tx, &who, "set daily cap", &whose, &detail, now)?)
        })
        .await
}

/// Whether an account takes messages of that channel.
pub fn carries(provider: &Provider, channel: Channel) -> bool {
    match provider.kind {
        ProviderKind::Smtp | ProviderKind::HttpMail => channel == Channel::Email,
        ProviderKind::Twilio => channel != Channel::Email,
    }
}

/// An account that is not stored yet.
pub fn new_provider(name: &str, kind: ProviderKind, url: &str) -> Provider {
    Provider {
        id: ProviderId(0),
        name: name.to_owned(),
        kind,
        url: url.to_owned(),
        account: String::new(),
        secret: String::new(),
        callback_key: String::new(),
        inbound_key: String::new(),
        per_second: None,
        concurrency: None,
        pace: Pace::default(),
        revision: 0,
    }
}

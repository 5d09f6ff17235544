//! The paces of providers and recipients' domains that say that it is too much: slowed down at once, and brought back step by
//! step.
//!
//! What stands in the database is the last cut, written by compare and set, so that of many refusals in many processes one
//! counts; how many there were of late each process counts by itself, as for breakers. The pace of a moment follows from it, and the queue's named limit is told by whoever sends a message and finds
//! that the queue knows another one: nobody has to look on purpose, and a start tells all of them. A wait that a provider
//! names comes first: it holds the limit ([`super::send`]), and the pace begins to grow behind it.
//!
//! A mail takes the limit of its recipient's domain when it is made, if there is one then. Those that were made before a
//! domain was slowed down stand in a line of the database, and are asked for one after the other.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use windlass::Time;

use super::{check::Prepared, limits};
use crate::{
    app::{App, AppError},
    channel::{
        Channel, Refusal,
        pace::{Pace, Policy, Recent, Slowdown, TooMuch},
        rules::Action,
    },
    db::Tx,
    model::{ProviderId, touch::Reason, touch::Touch, touch::TouchStatus},
    store::{
        audit,
        providers::{self, DomainLimit},
        touches,
    },
};

/// How far ahead mails stand in the line of a domain; who is behind that comes back then, and may find a quicker pace.
const LINE_MS: u64 = 10 * 60_000;

/// Whose pace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    Provider(ProviderId),
    Domain(String),
}

/// What this process knows of paces.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Paces>);

#[derive(Debug, Default)]
struct Paces {
    /// What it has told the queue of those that are slowed down: messages a minute, or that they are full.
    told: HashMap<Whose, Option<u64>>,
    /// The last outcomes of those that have refused something of late.
    recent: HashMap<Whose, Recent>,
}

impl Known {
    fn held(&self) -> MutexGuard<'_, Paces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the queue has heard of that pace from here.
    fn has_told(&self, whose: &Whose, per_minute: Option<u64>) -> bool {
        self.held().told.get(whose) == Some(&per_minute)
    }

    /// Counts a refusal; whether there were so many that the pace is too quick, after which they are counted anew.
    fn is_too_much(&self, whose: &Whose) -> bool {
        let mut known = self.held();
        let is_too_much = known.recent.entry(whose.clone()).or_default().count(true);
        if is_too_much {
            known.recent.remove(whose);
        }
        is_too_much
    }

    /// Counts whatever else came of a message.
    fn went_on(&self, whose: &Whose) {
        let mut known = self.held();
        if let Some(recent) = known.recent.get_mut(whose) {
            recent.count(false);
            if recent.is_quiet() {
                known.recent.remove(whose);
            }
        }
    }
}

/// The policy of all paces; the times are the application's.
fn policy(app: &App) -> Policy {
    let usual = Policy::default();
    // As a breaker's cool-down: it is about the world's machines, not about the rehearsed day.
    let speed = u64::from(app.clock().speed());
    Policy {
        settles_ms: usual.settles_ms.saturating_mul(speed),
        grows_every_ms: usual.grows_every_ms.saturating_mul(speed),
        looks_back_ms: usual.looks_back_ms.saturating_mul(speed),
        ..usual
    }
}

/// How slow that pace is at this moment; none when it is full.
pub(crate) fn slowdown(app: &App, pace: &Pace) -> Option<Slowdown> {
    pace.slowdown(app.now(), &policy(app))
}

/// A pace with what somebody has set beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    pace: Pace,
    /// Messages a minute.
    set: Option<u64>,
    name: String,
}

impl Whose {
    fn read(&self, tx: &mut Tx<'_>) -> Result<Stored, AppError> {
        Ok(match self {
            Whose::Provider(id) => {
                let found = providers::get(tx, *id)?.ok_or_else(|| AppError::unknown("provider", id))?;
                let set = found.per_second.map(|count| u64::from(count) * 60);
                Stored { pace: found.pace, set, name: found.name }
            }
            Whose::Domain(domain) => {
                let found = providers::domain_limit(tx, domain)?.unwrap_or_default();
                let set = found.per_minute.map(u64::from);
                Stored { pace: found.pace, set, name: domain.clone() }
            }
        })
    }

    fn keep(&self, tx: &mut Tx<'_>, before: &Pace, after: &Pace) -> Result<bool, AppError> {
        Ok(match self {
            Whose::Provider(id) => providers::keep_pace(tx, *id, before, after)?,
            Whose::Domain(domain) => providers::keep_domain_pace(tx, domain, before, after)?,
        })
    }

    /// What was taken of late, in messages a minute.
    fn taken(&self, tx: &mut Tx<'_>, now: Time, policy: &Policy) -> Result<u64, AppError> {
        let since = now.minus_ms(policy.looks_back_ms);
        let count = match self {
            Whose::Provider(id) => touches::sent_through(tx, *id, since)?,
            Whose::Domain(domain) => touches::sent_to_domain(tx, domain, since)?,
        };
        let count = u64::try_from(count).unwrap_or(0);
        Ok(count.saturating_mul(60_000) / policy.looks_back_ms.max(1))
    }

    fn kind(&self) -> &'static str {
        match self {
            Whose::Provider(_) => "provider",
            Whose::Domain(_) => "domain",
        }
    }
}

/// The domain that a mail goes to, as limits name it.
fn mailed_to(touch: &Touch) -> Option<String> {
    let (_, domain) = touch.address.rsplit_once('@').filter(|_| touch.channel == Channel::Email)?;
    Some(domain.to_ascii_lowercase())
}

/// Whom a refusal slows down, if anybody.
fn whom(prepared: &Prepared, action: Action) -> Option<Whose> {
    match action {
        Action::SlowProvider => Some(Whose::Provider(prepared.provider.id)),
        Action::SlowDomain => {
            let domain = mailed_to(&prepared.touch)?;
            // One that cannot name a limit cannot be slowed down.
            limits::of_domain(&domain).map(|_| Whose::Domain(domain))
        }
        _ => None,
    }
}

/// What a refusal has changed.
#[derive(Debug)]
pub(super) enum Slowed {
    /// The pace is another one now: the queue must be told.
    Now(Whose),
    /// Nothing: it was slowed down for another refusal of the same burst, or there were too few of them.
    Nothing,
}

/// Takes in a refusal that may say that it is too much.
pub(super) fn refused(
    tx: &mut Tx<'_>,
    app: &App,
    prepared: &Prepared,
    refusal: &Refusal,
    action: Action,
    now: Time,
) -> Result<Option<Slowed>, AppError> {
    let Some(whose) = whom(prepared, action) else { return Ok(None) };
    let policy = policy(app);
    let stored = whose.read(tx)?;
    let why = format!("{}: {}", refusal.code, refusal.why);
    let said = TooMuch {
        asked_at: prepared.asked_at,
        until: refusal.retry_after_ms.map(|wait| now.plus_ms(wait)),
        why: &why,
        set: stored.set,
        taken: if stored.set.is_none() && !stored.pace.was_cut() {
            whose.taken(tx, now, &policy)?
        } else {
            0
        },
    };
    let was_full = stored.pace.slowdown(now, &policy).is_none();
    let mut after = stored.pace.clone();
    let is_settled = stored.pace.is_settled(prepared.asked_at, &policy);
    let is_cut = if is_settled && !app.paces().is_too_much(&whose) {
        after.wait(said.until);
        false
    } else {
        after.refused(&said, now, &policy)
    };
    // Whoever was quicker has cut it.
    let is_kept = after == stored.pace || whose.keep(tx, &stored.pace, &after)?;
    if is_cut && is_kept && was_full {
        audit::note(tx, "windlass", &format!("slow {} down", whose.kind()), &stored.name, &why, now)?;
    }
    Ok(Some(if is_cut { Slowed::Now(whose) } else { Slowed::Nothing }))
}

/// Tells the queue what it does not know yet of the paces that a message was sent at.
pub(super) async fn ease(app: &App, seen: Seen) -> Result<(), AppError> {
    for (whose, pace) in seen.0 {
        app.paces().went_on(&whose);
        let now = slowdown(app, &pace).map(|slowdown| slowdown.per_minute);
        if pace.was_cut() && !app.paces().has_told(&whose, now) {
            // As it stands by now: a limit that is set anew is held by nothing, and a wait may just have been named.
            let of = whose.clone();
            let read = app.db().read(move |tx| Ok::<_, AppError>(of.read(tx)?.pace)).await?;
            let now = slowdown(app, &read).map(|slowdown| slowdown.per_minute);
            if !app.paces().has_told(&whose, now) {
                tell(app, &whose).await?;
            }
        }
    }
    Ok(())
}

/// The paces at which a message was sent: its provider's, and that of the domain that a mail went to.
#[derive(Debug)]
pub(super) struct Seen(Vec<(Whose, Pace)>);

impl Seen {
    pub(super) fn of(prepared: &Prepared) -> Self {
        let provider = &prepared.provider;
        let provider = (Whose::Provider(provider.id), provider.pace.clone());
        let held = prepared.domain.as_ref().map(|limit| limit.pace.clone()).unwrap_or_default();
        let domain = mailed_to(&prepared.touch).map(|domain| (Whose::Domain(domain), held));
        Self([Some(provider), domain].into_iter().flatten().collect())
    }
}

/// Tells the queue how fast that is now, whoever changes it meanwhile. One that is full again is forgotten.
pub(super) async fn tell(app: &App, whose: &Whose) -> Result<(), AppError> {
    loop {
        let (inner, of, now) = (app.clone(), whose.clone(), app.now());
        let stored = app
            .db()
            .write(move |tx| {
                let stored = of.read(tx)?;
                if !stored.pace.was_cut() || stored.pace.slowdown(now, &policy(&inner)).is_some() {
                    return Ok(stored);
                }
                let full = Pace::default();
                if of.keep(tx, &stored.pace, &full)? {
                    let what = format!("bring {} back to full pace", of.kind());
                    audit::note(tx, "windlass", &what, &stored.name, "", now)?;
                }
                Ok::<_, AppError>(Stored { pace: full, ..stored })
            })
            .await?;
        let told = slowdown(app, &stored.pace).map(|slowdown| slowdown.per_minute);
        match whose {
            Whose::Provider(id) => limits::open_again(app, *id).await?,
            Whose::Domain(domain) => limits::set_domain_as_stored(app, domain).await?,
        }
        app.paces().held().told.insert(whose.clone(), told);
        let of = whose.clone();
        let after = app.db().read(move |tx| of.read(tx)).await?;
        if after == stored {
            return Ok(());
        }
    }
}

/// Brings a provider or domain back to its full pace at once.
///
/// # Errors
/// One that is none, or is not slowed down; the database's, or the queue's.
pub(crate) async fn reset(app: &App, whose: Whose, who: &str) -> Result<(), AppError> {
    let (of, now, who) = (whose.clone(), app.now(), who.to_owned());
    app.db()
        .write(move |tx| {
            let stored = of.read(tx)?;
            if !stored.pace.was_cut() {
                let why = format!("{} {} is not slowed down", of.kind(), stored.name);
                return Err(AppError::Conflict(why));
            }
            if !of.keep(tx, &stored.pace, &Pace::default())? {
                return Err(AppError::Conflict("it has changed at this moment: look at it again".to_owned()));
            }
            let what = format!("bring {} back to full pace", of.kind());
            Ok(audit::note(tx, &who, &what, &stored.name, "", now)?)
        })
        .await?;
    tell(app, &whose).await
}

/// A mail that takes no limit of its recipient's domain, because it was made before that was slowed down, waits for its
/// turn: until when, if it has to.
pub(super) fn line_up(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    domain: &DomainLimit,
    now: Time,
) -> Result<Option<(Time, String)>, AppError> {
    let Some(slow) = domain.pace.slowdown(now, &policy(app)) else { return Ok(None) };
    // One that was left in the middle keeps no reason, and is not one of many.
    let has_waited = touch.status == TouchStatus::Sending
        || (touch.status == TouchStatus::Deferred && touch.reason == Some(Reason::ProviderBusy));
    if domain.is_set() || touch.created_at > slow.since || has_waited {
        return Ok(None);
    }
    let apart_ms = 60_000 / slow.per_minute.max(1);
    let end = now.plus_ms(LINE_MS);
    let turn = providers::place_in_line(tx, &domain.domain, now, apart_ms, end)?.unwrap_or(end);
    Ok((turn > now).then(|| (turn, format!("{} is slowed down: {}", domain.domain, slow.why))))
}

/// What a mail's recipient bears, where their domain is held back.
pub(super) fn domain_limit(tx: &mut Tx<'_>, touch: &Touch) -> Result<Option<DomainLimit>, AppError> {
    match mailed_to(touch) {
        Some(domain) => Ok(providers::domain_limit(tx, &domain)?),
        None => Ok(None),
    }
}

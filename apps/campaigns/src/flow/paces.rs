//! The paces of providers and recipients' domains that say that it is too much: slowed down at once, and brought back step by
//! step.
//!
//! What stands in the database is the last cut, written by compare and set, so that of many refusals in many processes one
//! counts; how many there were of late each process counts by itself, as for breakers. The pace of a moment follows from it,
//! and the queue's named limit is told at the moments at which it changes: by whoever cuts it, and from then on by one job
//! for each that is slowed down, which is due when the pace grows by a step, and asks for the next one. So the limit is what
//! pages show, whether or not anything is sent, and where nothing is slowed down nobody looks. A wait that a provider names
//! comes first: it holds the limit ([`super::send`]), and the pace begins to grow behind it.
//!
//! A mail takes the limit of its recipient's domain when it is made, if there is one then. Those that were made before a
//! domain was slowed down stand in a line of the database, and are asked for one after the other.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use windlass::{Ctx, Draft, JobError, Outcome, State, Time};

use super::{
    check::Prepared,
    failed,
    jobs::{self, GrowPace},
    limits,
};
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whose {
    Provider(ProviderId),
    Domain(String),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whose::Provider(id) => write!(f, "provider {id}"),
            Whose::Domain(domain) => write!(f, "domain {domain}"),
        }
    }
}

/// What this process knows of paces: the last outcomes of those that have refused something of late.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Whose, Recent>>);

impl Known {
    fn held(&self) -> MutexGuard<'_, HashMap<Whose, Recent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refusal; whether there were so many that the pace is too quick, after which they are counted anew.
    fn is_too_much(&self, whose: &Whose) -> bool {
        let mut known = self.held();
        let is_too_much = known.entry(whose.clone()).or_default().count(true);
        if is_too_much {
            known.remove(whose);
        }
        is_too_much
    }

    /// Counts whatever else came of a message.
    fn went_on(&self, whose: &Whose) {
        let mut known = self.held();
        if let Some(recent) = known.get_mut(whose) {
            recent.count(false);
            if recent.is_quiet() {
                known.remove(whose);
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
        after.wait(said.until, now, &policy);
        false
    } else {
        after.refused(&said, now, &policy)
    };
    // Whoever was quicker has cut it.
    let is_kept = after == stored.pace || whose.keep(tx, &stored.pace, &after)?;
    if is_cut && is_kept {
        tx.enqueue(&[grows(app, &whose, &after, now).into_new_job(app.client().now())?])?;
        if was_full {
            audit::note(tx, "windlass", &format!("slow {} down", whose.kind()), &stored.name, &why, now)?;
        }
    }
    Ok(Some(if is_cut { Slowed::Now(whose) } else { Slowed::Nothing }))
}

/// Whose paces a message is asked for at: its provider's, and that of the domain that a mail goes to.
pub(super) fn met(prepared: &Prepared) -> Vec<Whose> {
    let domain = mailed_to(&prepared.touch).map(Whose::Domain);
    [Some(Whose::Provider(prepared.provider.id)), domain].into_iter().flatten().collect()
}

/// Counts that what came of a message was not that it is too much.
pub(super) fn went_on(app: &App, met: &[Whose]) {
    for whose in met {
        app.paces().went_on(whose);
    }
}

/// The job that tells the queue when the pace has grown by a step.
fn grows(app: &App, whose: &Whose, pace: &Pace, now: Time) -> Draft {
    let due = app.clock().wall_at(pace.grows_at(now, &policy(app)).unwrap_or(now));
    jobs::grow(whose, app.clock().wall_at(pace.cut_at().unwrap_or(now)), due)
}

pub(super) async fn grow(job: GrowPace, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    // A step that comes while the queue is told is due at once, and not lost.
    let (now, of) = (app.now(), job.of.clone());
    let mut pace = app.db().read(move |tx| Ok::<_, AppError>(of.read(tx)?.pace)).await.map_err(failed)?;
    // A wait may have been named since: it holds the limit, and a limit that is set anew is held by nothing.
    if pace.was_cut() && !pace.is_waiting(now) {
        pace = tell(&app, &job.of).await.map_err(failed)?;
    }
    if pace.was_cut() {
        cx.enqueue(grows(&app, &job.of, &pace, now))?;
    }
    Ok(Outcome::Done)
}

/// Sees to it that whatever is slowed down has its next step planned, should its job have been given up.
///
/// # Errors
/// The database's, or the queue's.
pub(super) async fn begin(app: &App) -> Result<(), AppError> {
    let (providers, domains) =
        app.db().read(|tx| Ok::<_, AppError>((providers::all(tx)?, providers::domain_limits(tx)?))).await?;
    let providers = providers.into_iter().map(|one| (Whose::Provider(one.id), one.pace));
    let domains = domains.into_iter().map(|one| (Whose::Domain(one.domain), one.pace));
    for (whose, pace) in providers.chain(domains).filter(|(_, pace)| pace.was_cut()) {
        app.client().enqueue(grows(app, &whose, &pace, app.now())).await?;
    }
    Ok(())
}

/// Tells the queue how fast that is now, whoever changes it meanwhile, and says what stands in the database. A pace that is
/// full again is forgotten.
pub(super) async fn tell(app: &App, whose: &Whose) -> Result<Pace, AppError> {
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
        match whose {
            Whose::Provider(id) => limits::open_again(app, *id).await?,
            Whose::Domain(domain) => limits::set_domain_as_stored(app, domain).await?,
        }
        let of = whose.clone();
        let after = app.db().read(move |tx| of.read(tx)).await?;
        if after == stored {
            return Ok(after.pace);
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
    tell(app, &whose).await.map(drop)
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

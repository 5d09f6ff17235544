//! The breakers of providers and senders: asked before a message, told what came of it.
//!
//! Each process counts by itself, and what all must know stands in the database: that a breaker is open, who may probe,
//! and what a person has ordered. A closed breaker that stays closed is never written, so that a provider which is well
//! costs nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use windlass::Time;

use super::limits;
use crate::{
    app::{App, AppError},
    channel::{
        SendOutcome,
        breaker::{Answer, Breaker, Gate, Pass, Policy, Sign},
        rules::Action,
    },
    db::Tx,
    model::{ProviderId, SenderId, provider::Provider, sender::Sender},
    store::{audit, providers, senders},
};

/// What to wait for a breaker that a person holds open: until somebody looks again.
const FORCED_MS: u64 = 10 * 60_000;

/// Whose breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Provider(ProviderId),
    Sender(SenderId),
}

/// What this process has counted since a breaker was last written.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<Whose, Breaker>>);

impl Counts {
    fn held(&self) -> MutexGuard<'_, HashMap<Whose, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message waits for.
#[derive(Debug)]
pub(super) struct Waits {
    pub(super) until: Time,
    pub(super) hold: Option<String>,
    pub(super) why: String,
}

/// The right to ask provider and sender once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passes {
    provider: Pass,
    sender: Pass,
}

/// Lets a message through both breakers, or says what it waits for.
pub(super) fn ask(
    tx: &mut Tx<'_>,
    app: &App,
    provider: &Provider,
    sender: &Sender,
    now: Time,
) -> Result<Result<Passes, Waits>, AppError> {
    let of_provider = Whose::Provider(provider.id);
    let first = match one(tx, app, of_provider, now)? {
        Ok(pass) => pass,
        Err((until, why)) => {
            return Ok(Err(Waits { until, why, hold: Some(limits::of_provider(provider.id)) }));
        }
    };
    match one(tx, app, Whose::Sender(sender.id), now)? {
        Ok(second) => Ok(Ok(Passes { provider: first, sender: second })),
        Err((until, why)) => {
            back(tx, of_provider, first)?;
            Ok(Err(Waits { until, why, hold: Some(limits::of_sender(sender.id)) }))
        }
    }
}

/// Whether a message would be let through both breakers at this moment; nothing is taken.
pub(super) fn let_through(
    tx: &mut Tx<'_>,
    app: &App,
    provider: &Provider,
    sender: &Sender,
    now: Time,
) -> Result<bool, AppError> {
    for whose in [Whose::Provider(provider.id), Whose::Sender(sender.id)] {
        if !matches!(read(tx, whose)?.ask(now, &policy(app)), Answer::Pass(_)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives the right back: it was not used.
pub(super) fn give_back(tx: &mut Tx<'_>, whom: (&Provider, &Sender), passes: Passes) -> Result<(), AppError> {
    back(tx, Whose::Provider(whom.0.id), passes.provider)?;
    back(tx, Whose::Sender(whom.1.id), passes.sender)
}

fn back(tx: &mut Tx<'_>, whose: Whose, pass: Pass) -> Result<(), AppError> {
    let before = read(tx, whose)?;
    let mut breaker = before.clone();
    breaker.give_back(pass);
    write(tx, whose, &before, &breaker).map(drop)
}

fn one(
    tx: &mut Tx<'_>,
    app: &App,
    whose: Whose,
    now: Time,
) -> Result<Result<Pass, (Time, String)>, AppError> {
    let before = read(tx, whose)?;
    let mut breaker = before.clone();
    let policy = policy(app);
    let answer = breaker.ask(now, &policy);
    if !write(tx, whose, &before, &breaker)? {
        // Another process probes.
        return Ok(Err((now.plus_ms(policy.cool_down_ms), breaker.state().to_owned())));
    }
    Ok(match answer {
        Answer::Pass(pass) => Ok(pass),
        Answer::Wait { until, why } => Err((until.unwrap_or(now.plus_ms(FORCED_MS)), why)),
    })
}

/// Tells both breakers what came of a message.
pub(super) fn tell(
    tx: &mut Tx<'_>,
    app: &App,
    whom: (&Provider, &Sender),
    passes: Passes,
    outcome: &SendOutcome,
    action: Option<Action>,
    now: Time,
) -> Result<(), AppError> {
    let (provider, sender) = whom;
    let sign = Sign::of_provider(outcome, action);
    count(tx, app, Whose::Provider(provider.id), passes.provider, sign, outcome, now)?;
    if let Some(sign) = Sign::of_sender(outcome, action) {
        count(tx, app, Whose::Sender(sender.id), passes.sender, sign, outcome, now)?;
    }
    Ok(())
}

fn count(
    tx: &mut Tx<'_>,
    app: &App,
    whose: Whose,
    pass: Pass,
    sign: Sign,
    outcome: &SendOutcome,
    now: Time,
) -> Result<(), AppError> {
    let kept = read(tx, whose)?;
    // What the row says of an open breaker holds; while it is closed, this process goes on from its own count.
    let counted = app.breaker_counts().held().get(&whose).filter(|counted| counted.counts_on(&kept)).cloned();
    let mut breaker = counted.unwrap_or_else(|| kept.clone());
    breaker.record(pass, sign, &why(outcome), now, &policy(app));
    write(tx, whose, &kept, &breaker)?;
    app.breaker_counts().held().insert(whose, breaker);
    Ok(())
}

fn why(outcome: &SendOutcome) -> String {
    match outcome {
        SendOutcome::Sent { .. } => String::new(),
        SendOutcome::Refused(refusal) => format!("{}: {}", refusal.code, refusal.why),
        SendOutcome::Unanswered(error) => error.why.clone(),
    }
}

/// What a person makes of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Hand {
    /// Nothing passes.
    #[serde(rename = "open")]
    HoldBack,
    /// Everything passes.
    #[serde(rename = "closed")]
    LetThrough,
    /// The breaker decides again.
    #[serde(rename = "release")]
    LetGo,
}

/// Puts the breaker of an account into a person's hand, or lets it go. Unless it is held back now, so is the limit that
/// waited with it: the next message may ask.
///
/// # Errors
/// An account that is none, no reason for a decision, somebody who was quicker; the database's, or the queue's.
pub(crate) async fn decide(
    app: &App,
    id: ProviderId,
    hand: Hand,
    why: &str,
    who: &str,
) -> Result<(), AppError> {
    let why = why.trim().to_owned();
    if why.is_empty() && hand != Hand::LetGo {
        return Err(AppError::invalid("why", "say why, for those who find it so"));
    }
    let (now, who, policy) = (app.now(), who.to_owned(), policy(app));
    app.db()
        .write(move |tx| {
            let provider = providers::get(tx, id)?.ok_or_else(|| AppError::unknown("provider", id))?;
            let before = providers::breaker(tx, id)?;
            let mut after = before.clone();
            let what = match hand {
                Hand::HoldBack => {
                    after.force(Gate::Open, &who, &why, now);
                    "hold provider back"
                }
                Hand::LetThrough => {
                    after.force(Gate::Closed, &who, &why, now);
                    "let provider through"
                }
                Hand::LetGo => {
                    after.release(&policy);
                    "leave provider to its breaker"
                }
            };
            if !providers::keep_breaker(tx, id, &before, &after)? {
                let why = "the breaker has changed at this moment: look at it again";
                return Err(AppError::Conflict(why.to_owned()));
            }
            Ok(audit::note(tx, &who, what, &provider.name, &why, now)?)
        })
        .await?;
    if hand == Hand::HoldBack { Ok(()) } else { limits::open_again(app, id).await }
}

/// The policy of all breakers; the times are the application's.
fn policy(app: &App) -> Policy {
    let usual = Policy::default();
    // A cool-down is about the world's machines, not about the rehearsed day: it takes the wall's time.
    let speed = u64::from(app.clock().speed());
    Policy {
        cool_down_ms: usual.cool_down_ms.saturating_mul(speed),
        longest_cool_down_ms: usual.longest_cool_down_ms.saturating_mul(speed),
        probe_ms: usual.probe_ms.saturating_mul(speed),
        ..usual
    }
}

fn read(tx: &mut Tx<'_>, whose: Whose) -> Result<Breaker, AppError> {
    Ok(match whose {
        Whose::Provider(id) => providers::breaker(tx, id)?,
        Whose::Sender(id) => senders::breaker(tx, id)?,
    })
}

/// Writes what all must know; false when another process was quicker, and the row says something else by now.
fn write(tx: &mut Tx<'_>, whose: Whose, before: &Breaker, after: &Breaker) -> Result<bool, AppError> {
    if !after.must_be_written_after(before) {
        return Ok(true);
    }
    Ok(match whose {
        Whose::Provider(id) => providers::keep_breaker(tx, id, before, after)?,
        Whose::Sender(id) => senders::keep_breaker(tx, id, before, after)?,
    })
}

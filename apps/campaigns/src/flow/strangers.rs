//! What people who are no contacts leave behind: their orders are obeyed and their wishes go to a person, up to a bound.
//!
//! Anybody can write to a number or a mailbox, and whose name stands over a mail costs nothing to forge. An order ends messages
//! to an address that a list may bring tomorrow, so it is kept although nobody has the address today; a wish waits for a
//! person, who has an hour and not a week. Both are bounded here, over all processes, and what is above a bound is counted by
//! the day, shown and logged.
//!
//! Nothing that a contact says comes here, and nothing that anybody says to whom a message of ours went: that is unbounded,
//! and so is what a person enters by hand.

use serde::Serialize;
use windlass::Time;

use super::check;
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{ContactId, TouchId, UserId},
    store::{
        reviews::{self, ReviewKind},
        suppressions, usage,
    },
};

/// Orders that are obeyed in a day. Each keeps two or three rows for good. So many people to whom nothing was sent do not write
/// in a day, and a program that does fills a few megabytes.
pub const ORDERS_A_DAY: u32 = 10_000;
/// Wishes that wait for a person at once, one of each writer: what a person reads in an hour. More would bury those of contacts,
/// which stand in the same line.
pub const QUESTIONS_OPEN: u32 = 200;
/// Days that are looked back on.
const SHOWN_DAYS: u64 = 7;
const DAY_MS: u64 = 86_400_000;
/// The log has the first that is dropped on a day, and then each of so many: it is no place for a flood either.
const LOGGED_EACH: i64 = 1_000;
/// Whom no suppression is about that is not about everybody.
const NOBODY: UserId = UserId(0);

/// What becomes of something that a stranger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is new, and there is room for it.
    Kept,
    /// It is in force already, or waits for a person.
    Known,
    /// There was too much on this day.
    Dropped,
}

/// Whether an order is obeyed that ends messages to that address by those channels.
pub(super) fn order(
    tx: &mut Tx<'_>,
    app: &App,
    channels: &[Channel],
    address: &str,
    now: Time,
) -> Result<Fate, AppError> {
    if is_suppressed(tx, app, channels, address)? {
        return Ok(Fate::Known);
    }
    if usage::take(tx, usage::Of::StrangersOrders, &day(now), ORDERS_A_DAY)? {
        return Ok(Fate::Kept);
    }
    drop_one(tx, usage::Of::DroppedOrders, "an order to end messages", now)
}

/// Whether nothing is sent to that address by any of those channels, under whichever key it was suppressed.
pub(super) fn is_suppressed(
    tx: &mut Tx<'_>,
    app: &App,
    channels: &[Channel],
    address: &str,
) -> Result<bool, AppError> {
    let hashes = app.hashes_of(address);
    for channel in channels {
        let mut is_suppressed = false;
        for hash in &hashes {
            is_suppressed |= suppressions::why(tx, NOBODY, *channel, hash)?.is_some();
        }
        if !is_suppressed {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A wish that may mean that somebody wants no more.
pub(super) struct Question<'a> {
    /// The writer's address; none where that is none.
    pub(super) from: Option<&'a str>,
    /// The message that they mean, whose it was, and by which channel they wrote.
    pub(super) about: (Option<TouchId>, Option<ContactId>, Channel),
    /// What people read.
    pub(super) text: &'a str,
    /// Its source's own name for it.
    pub(super) key: &'a str,
}

/// Puts a wish before people, if there is room: one at a time of each writer about each contact.
pub(super) fn ask(tx: &mut Tx<'_>, app: &App, question: &Question<'_>, now: Time) -> Result<Fate, AppError> {
    let (_, contact, _) = question.about;
    let hash = app.hash_of(question.from.unwrap_or_default());
    let writer = contact.map_or(hash.clone(), |contact| format!("{hash}/{contact}"));
    if reviews::waits_of(tx, &writer)? {
        return Ok(Fate::Known);
    }
    if reviews::count_of_strangers(tx, QUESTIONS_OPEN)? >= i64::from(QUESTIONS_OPEN) {
        return drop_one(tx, usage::Of::DroppedQuestions, "a wish that may mean an opt-out", now);
    }
    let Question { about, text, key, .. } = question;
    let kind = ReviewKind::PossibleOptOut;
    let is_new = reviews::open_of_stranger(tx, kind, *about, text, key, &writer, now)?;
    Ok(if is_new { Fate::Kept } else { Fate::Known })
}

fn drop_one(tx: &mut Tx<'_>, of: usage::Of<'_>, what: &str, now: Time) -> Result<Fate, AppError> {
    let day = day(now);
    usage::take(tx, of, &day, u32::MAX)?;
    let count = usage::used(tx, of, &day)?;
    if count % LOGGED_EACH == 1 {
        tracing::warn!(count, %day, "{what} of somebody who is no contact is dropped: there are too many");
    }
    Ok(Fate::Dropped)
}

/// The bounds are those of a day of the world's own clock.
fn day(at: Time) -> String {
    check::day_of("UTC", at)
}

/// What was dropped on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The day, as `2026-11-22`.
    pub day: String,
    /// Orders that were not obeyed.
    pub orders: i64,
    /// Wishes that nobody was asked about.
    pub questions: i64,
}

/// How far the bounds are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Strangers {
    /// Orders that were obeyed today.
    pub orders_today: i64,
    /// At most.
    pub orders_a_day: u32,
    /// Wishes that wait for a person.
    pub questions_open: i64,
    /// At most.
    pub questions_at_most: u32,
    /// What was dropped in the last seven days, newest first, where something was.
    pub dropped: Vec<Dropped>,
}

/// How far the bounds are used, and what was dropped of late.
///
/// # Errors
/// The database's.
pub fn standing(tx: &mut Tx<'_>, now: Time) -> Result<Strangers, AppError> {
    let mut dropped = Vec::new();
    for nth in 0..SHOWN_DAYS {
        let day = day(now.minus_ms(nth * DAY_MS));
        let orders = usage::used(tx, usage::Of::DroppedOrders, &day)?;
        let questions = usage::used(tx, usage::Of::DroppedQuestions, &day)?;
        if orders + questions > 0 {
            dropped.push(Dropped { day, orders, questions });
        }
    }
    Ok(Strangers {
        orders_today: usage::used(tx, usage::Of::StrangersOrders, &day(now))?,
        orders_a_day: ORDERS_A_DAY,
        questions_open: reviews::count_of_strangers(tx, QUESTIONS_OPEN)?,
        questions_at_most: QUESTIONS_OPEN,
        dropped,
    })
}

//! The end of a sender's day: what it may send on the next.
//!
//! Each sender has one such job at a time, due when its day ends where it is. The next one commits with this one's
//! completion, so the chain does not break; a sender that is made begins it.

use windlass::{Ctx, JobError, Outcome, State, Time};

use super::{check, failed, jobs, jobs::WarmUpSender, plan};
use crate::{
    app::{App, AppError},
    db::Tx,
    model::{SenderId, sender::Sender},
    store::{senders, usage},
};

pub(super) async fn warm_up(job: WarmUpSender, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    let (now, WarmUpSender { sender: id, day }) = (app.now(), job);
    let sender = app
        .db()
        .write(move |tx| {
            let Some(sender) = senders::get(tx, id)? else { return Ok(None) };
            if check::day_of(&sender.time_zone, now) <= day {
                return Ok(Some((sender, None)));
            }
            let grown = end(tx, &sender, &day)?;
            plan::count_again(tx, &sender, now)?;
            let cap = grown.map(|grown| grown.cap_today);
            Ok::<_, AppError>(Some((sender, cap)))
        })
        .await
        .map_err(failed)?;
    let Some((sender, cap)) = sender else { return Ok(Outcome::Done) };
    cx.enqueue(next(&app, &sender))?;
    Outcome::done_with(&cap)
}

/// Ends a day of a sender; what it is on the next, or nothing when that day has been counted: its job may run again, and a
/// message that came before it may have ended the day.
fn end(tx: &mut Tx<'_>, sender: &Sender, day: &str) -> Result<Option<Sender>, AppError> {
    let Some((begin, end)) = check::bounds_of(day, &sender.time_zone) else { return Ok(None) };
    if !usage::take(tx, usage::Of::Grown(sender.id), day, 1)? {
        return Ok(None);
    }
    let health = senders::health(tx, sender.id, begin, end)?;
    let warm_up = sender.warm_up.after(health, sender.daily_cap);
    let cap_today = warm_up.cap(sender.daily_cap);
    senders::grow(tx, sender.id, warm_up, cap_today)?;
    Ok(Some(Sender { warm_up, cap_today, ..sender.clone() }))
}

/// The sender as it is on the day of that moment: the day before is ended if its job is late.
pub(super) fn settle(tx: &mut Tx<'_>, sender: &Sender, now: Time) -> Result<Sender, AppError> {
    if sender.warm_up.day.is_none() {
        return Ok(sender.clone());
    }
    let zone = &sender.time_zone;
    let yesterday = check::day_of(zone, Time(check::days_later(zone, now, 0).0.saturating_sub(1)));
    Ok(end(tx, sender, &yesterday)?.unwrap_or_else(|| sender.clone()))
}

/// The job at the end of the sender's day.
fn next(app: &App, sender: &Sender) -> windlass::Draft {
    let now = app.now();
    let end = check::next_day(&sender.time_zone, now);
    let due = app.clock().wall_at(end);
    let day = check::day_of(&sender.time_zone, now);
    // An id lies in the past of its job, and a day of a rehearsal is a day of the wall's by no count.
    jobs::warm_up(sender.id, &day, app.client().now().min(due)).run_at(due)
}

/// Begins the chain of a sender, with the transaction that makes it.
pub(crate) fn begin(tx: &mut Tx<'_>, app: &App, id: SenderId) -> Result<(), AppError> {
    let sender = senders::get(tx, id)?.ok_or_else(|| AppError::unknown("sender", id))?;
    let job = next(app, &sender).into_new_job(app.client().now())?;
    Ok(tx.enqueue(&[job])?)
}

//! The end of a sender's day: what it may send on the next.
//!
//! Each sender has one such job at a time, due when its day ends where it is. The next one commits with this one's
//! completion, so the chain does not break; a sender that is made begins it.

use windlass::{Ctx, JobError, Outcome, State, Time};

use super::{check, failed, jobs, jobs::WarmUpSender};
use crate::{
    app::{App, AppError},
    db::Tx,
    model::{SenderId, sender::Sender},
    store::{senders, usage},
};

/// A day is at most that long, with the hour that a zone may gain.
const DAY_MS: u64 = 25 * 3_600_000;

pub(super) async fn warm_up(job: WarmUpSender, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    let (now, WarmUpSender { sender: id, day }) = (app.now(), job);
    let sender = app
        .db()
        .write(move |tx| {
            let Some(sender) = senders::get(tx, id)? else { return Ok(None) };
            if check::day_of(&sender.time_zone, now) <= day {
                return Ok(Some((sender, None)));
            }
            // Whoever was killed before the job ended finds that the day has been counted.
            if !usage::take(tx, usage::Of::Grown(id), &day, 1)? {
                return Ok(Some((sender, None)));
            }
            let begin = Time(now.0.saturating_sub(DAY_MS));
            let health = senders::health(tx, id, begin, now)?;
            let grown = sender.warm_up.after(health, sender.daily_cap);
            let cap = grown.cap(sender.daily_cap);
            senders::grow(tx, id, grown, cap)?;
            Ok::<_, AppError>(Some((sender, Some(cap))))
        })
        .await
        .map_err(failed)?;
    let Some((sender, cap)) = sender else { return Ok(Outcome::Done) };
    cx.enqueue(next(&app, &sender))?;
    Outcome::done_with(&cap)
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

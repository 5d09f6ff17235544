//! The flow of a campaign as jobs, in the order in which a contact passes through them.
//!
//! ```text
//! launch ─(rows and job in one transaction)─► campaign: pages the contacts of the list as it was
//!    campaign-step: is the contact still to be reached, by which channel, in whose name, when?
//!        email · sms · voicemail: everything is checked once more, then the provider is asked
//!            watch: what has become of it, where the provider does not say so by itself
//!        └─ what came of it decides the next step, or the end
//! ```
//!
//! The database has what is true of a message, the queue has who works on it now. Every handler reads the row first, so a
//! job that runs twice finds out; every follow-up commits with the completion of the job that asks for it, under an id that
//! follows from the row, so it exists once. [`queues`] has the seven queues, [`jobs`] what stands in them, [`share`] and
//! [`limits`] who may have how much of them; [`verbs`] is what people do to a campaign.

pub mod accounts;
pub mod consents;
pub mod erasure;
pub mod gateways;
pub mod hours;
pub mod jobs;
pub mod limits;
pub mod pauses;
pub mod queues;
pub mod share;
pub mod strangers;
pub mod texts;
pub mod verbs;

pub(crate) mod again;
mod brake;
pub(crate) mod breakers;
mod campaign;
mod caps;
pub(crate) mod check;
pub(crate) mod colleagues;
pub mod content;
pub mod decide;
pub(crate) mod due;
pub mod inbound;
pub mod inbound_mail;
mod late;
pub(crate) mod lead;
pub(crate) mod moves;
pub mod news;
mod next;
pub mod optout;
pub(crate) mod paces;
mod plan;
mod revive;
mod send;
mod step;
pub(crate) mod warm_up;
mod watch;
mod whose;

use std::time::Duration;

use windlass::{Ctx, JobError, Outcome, RunningWorker, Time};

use crate::{
    app::{App, AppError},
    db::DbError,
};

/// How long a shutdown lets running touches finish: a conversation with a provider takes at most a minute, and
/// cutting one off is what makes repeats.
const GRACE: Duration = Duration::from_secs(20);

impl App {
    /// Starts a worker on all seven queues, with as many slots as each queue admits at once.
    ///
    /// # Errors
    /// When the worker cannot start.
    pub async fn work(&self) -> Result<RunningWorker, AppError> {
        revive::begin(self.client()).await?;
        paces::begin(self).await?;
        let mut worker = self.client().worker(self.clone()).grace(GRACE);
        for queue in queues::ALL {
            worker = worker.queue(queue.name, queue.concurrency);
        }
        let worker = worker
            .handle(campaign::page)
            .handle(again::look)
            .handle(moves::go_on)
            .handle(step::take)
            .handle(send::email)
            .handle(send::sms)
            .handle(send::voicemail)
            .handle(watch::watch)
            .handle(revive::revive)
            .handle(paces::grow)
            .handle(pauses::end)
            .handle(pauses::wake)
            .handle(warm_up::warm_up);
        Ok(worker.start().await?)
    }
}

/// Enqueues what follows with the completion of the job that asks for it. A campaign is ended before that, so that a job
/// which is killed here does it again.
async fn follow(app: &App, cx: &Ctx, follows: Vec<next::Follow>) -> Result<(), JobError> {
    for follow in follows {
        match follow.draft(app) {
            Some(draft) => drop(cx.enqueue(draft)?),
            None => {
                if let next::Follow::Ended(campaign) = follow {
                    share::end_if_over(app, campaign).await.map_err(failed)?;
                }
            }
        }
    }
    Ok(())
}

/// Not before that moment.
fn asleep(app: &App, until: Time, why: impl Into<String>) -> Outcome {
    // From the moment itself, which is rounded up: a span would be rounded down, and a message would come back a moment
    // before midnight, find today's cap used up still, and take another place on the plan.
    let due = app.clock().wall_at(until);
    let delay = Duration::from_millis(due.0.saturating_sub(app.client().now().0).max(1));
    Outcome::snooze(delay, why)
}

/// What a handler says of an error of the application: the database may be back in a moment, what makes no sense will not.
fn failed(error: AppError) -> JobError {
    let is_fatal = matches!(
        error,
        AppError::Unknown { .. }
            | AppError::Invalid { .. }
            | AppError::Db(DbError::Row(_) | DbError::Version { .. } | DbError::Build { .. })
    );
    let error = JobError::from(error);
    if is_fatal { error.fatal() } else { error }
}

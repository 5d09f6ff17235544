//! What each kind of job does, in the order in which a campaign passes through them.
//!
//! A launch pages its contacts into steps (`launch`), a step decides on one touch (`step`), a touch is sent
//! (`touch`), a call is watched until the provider says what became of it (`watch`), and every sender's cap
//! grows by the day (`warm_up`). Each job stands in the group of the launch that it comes from, whatever that is:
//! the handlers pass the group on and never choose it.
//!
//! Nothing here knows whether a day is real or rehearsed: an [`App`] has addresses, not modes.

use std::{sync::Arc, time::Duration};

use windlass::{Client, Ctx, Draft, Job, RunningWorker};

use crate::{
    channel::{ChannelConfigError, SmtpSender, TwilioClient},
    contacts::ContactList,
    plan::{Plan, PlanError, QUEUES},
};

mod launch;
mod step;
mod touch;
mod warm_up;
mod watch;

/// How long a shutdown lets running touches finish: a conversation with a provider takes at most a minute, and
/// cutting one off is what makes repeats.
const GRACE: Duration = Duration::from_secs(20);

/// Where the messages go, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Providers {
    /// The mail server, as [`SmtpSender`] takes it.
    pub smtp_url: String,
    /// The provider of texts and calls, as [`TwilioClient`] takes it.
    pub phone_url: String,
    /// The account there.
    pub account_sid: String,
    /// Its secret.
    pub auth_token: String,
    /// The mailbox that mails come from.
    pub from_email: String,
    /// The number that texts and calls come from.
    pub from_phone: String,
}

/// What the handlers work with; shared by all of them.
#[derive(Debug)]
pub struct App {
    list: ContactList,
    plan: Plan,
    from_email: String,
    from_phone: String,
    email: SmtpSender,
    phone: TwilioClient,
    watch_every: Duration,
}

/// The application cannot be made from what it was given.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// There is nobody to reach.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An address of a provider.
    #[error(transparent)]
    Channel(#[from] ChannelConfigError),
}

impl App {
    /// The application for this list of contacts and these providers; connects with the first message, not now.
    /// The fate of a call is asked for every `watch_every`.
    ///
    /// # Errors
    /// When the list is empty or an address is not one.
    pub fn new(list: ContactList, providers: &Providers, watch_every: Duration) -> Result<Self, AppError> {
        let phone = TwilioClient::new(&providers.phone_url, &providers.account_sid, &providers.auth_token)?;
        Ok(Self {
            plan: Plan::new(&list)?,
            list,
            from_email: providers.from_email.clone(),
            from_phone: providers.from_phone.clone(),
            email: SmtpSender::new(&providers.smtp_url)?,
            phone,
            watch_every,
        })
    }

    /// Starts a worker on all seven queues, with as many slots as each queue admits at once.
    ///
    /// # Errors
    /// When the worker cannot start.
    pub async fn work(self, client: &Client) -> Result<RunningWorker, windlass::Error> {
        let mut worker = client.worker(Arc::new(self)).grace(GRACE);
        for queue in QUEUES {
            worker = worker.queue(queue.name, queue.concurrency);
        }
        worker
            .handle(launch::launch)
            .handle(step::take)
            .handle(touch::email)
            .handle(touch::sms)
            .handle(touch::voicemail)
            .handle(watch::watch)
            .handle(warm_up::warm_up)
            .start()
            .await
    }
}

/// A follow-up in the group of the job that asks for it.
fn in_group_of(cx: &Ctx, job: impl Job) -> Draft {
    match cx.group() {
        Some(group) => job.draft().group(group.as_str()),
        None => job.draft(),
    }
}

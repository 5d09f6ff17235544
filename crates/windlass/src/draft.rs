//! A job in the making: the options of one enqueue, checked when it is sent.
//!
//! The same methods stand on [`Draft`], which is only a value, and on [`Enqueue`], which sends.

use crate::client::Client;
use crate::clock::{IntoTime, whole_ms};
use crate::error::Error;
use crate::ids;
use crate::job::Job;
use crate::trace;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::Span;
use windlass_core::job::{OnConflict, OnParent, Parent, Unique, UniqueScope};
use windlass_core::limit::LimitUse;
use windlass_core::name::{Tag, UniqueKey};
use windlass_core::retry::RetryPolicy;
use windlass_core::store::Enqueued;
use windlass_core::{GroupKey, JobId, Kind, LimitName, NewJob, QueueName, Time};

/// A job with its options, not sent yet; a wrong option is told when it is.
#[derive(Debug)]
#[must_use = "a draft does nothing until it is enqueued"]
pub struct Draft {
    made: Result<NewJob, Error>,
    id: Option<JobId>,
    expires_in_ms: Option<u64>,
}

impl Draft {
    /// The job with the options of its type.
    pub fn of<J: Job>(job: &J) -> Self {
        let options = job.options();
        let made = Kind::new(J::KIND)
            .and_then(|kind| Ok((QueueName::new(J::QUEUE)?, kind)))
            .map_err(Error::Rejected)
            .and_then(|(queue, kind)| match serde_json::to_vec(job) {
                Ok(payload) => Ok(NewJob::new(JobId::default(), queue, kind, payload)),
                Err(cause) => Err(Error::Encode { kind: J::KIND.into(), cause }),
            });
        let mut draft = Self { made, id: None, expires_in_ms: options.expires_in.map(whole_ms) };
        if let Ok(made) = &mut draft.made {
            made.priority = options.priority;
            made.retry = options.retry;
            made.timeout_ms = options.timeout.map(whole_ms);
            made.delay_ms = options.delay.map(whole_ms);
        }
        if let Some(group) = options.group {
            draft = draft.group(group);
        }
        if let Some(unique) = options.unique {
            draft = draft.unique(unique.key).unique_scope(unique.scope).on_conflict(unique.on_conflict);
        }
        for (limit, cost) in options.limits {
            draft = draft.limit(limit, cost);
        }
        for tag in options.tags {
            draft = draft.tag(tag);
        }
        draft
    }

    /// A job that no Rust type describes: the payload goes as it is.
    pub fn raw(queue: impl AsRef<str>, kind: impl AsRef<str>, payload: impl Into<Vec<u8>>) -> Self {
        let made = QueueName::new(queue)
            .and_then(|queue| Ok(NewJob::new(JobId::default(), queue, Kind::new(kind)?, payload)))
            .map_err(Error::Rejected);
        Self { made, id: None, expires_in_ms: None }
    }

    fn set(mut self, change: impl FnOnce(&mut NewJob) -> Result<(), Error>) -> Self {
        if let Ok(job) = &mut self.made
            && let Err(fault) = change(job)
        {
            self.made = Err(fault);
        }
        self
    }

    /// Another queue than its type's.
    pub fn queue(self, queue: impl AsRef<str>) -> Self {
        self.set(|job| {
            job.queue = QueueName::new(queue)?;
            Ok(())
        })
    }

    /// The group in which it shares its queue fairly with others: a campaign, a tenant.
    pub fn group(self, group: impl AsRef<str>) -> Self {
        self.set(|job| {
            job.group = Some(GroupKey::new(group)?);
            Ok(())
        })
    }

    /// -9 to 9; higher is claimed first.
    pub fn priority(self, priority: i8) -> Self {
        self.set(|job| {
            job.priority = priority;
            Ok(())
        })
    }

    /// Not before that long after the store takes it.
    pub fn delay(self, delay: Duration) -> Self {
        self.set(|job| {
            (job.delay_ms, job.run_at) = (Some(whole_ms(delay)), None);
            Ok(())
        })
    }

    /// Not before that time: a [`Time`] or a [`std::time::SystemTime`].
    pub fn run_at(self, at: impl IntoTime) -> Self {
        self.set(|job| {
            (job.run_at, job.delay_ms) = (Some(at.into_time()), None);
            Ok(())
        })
    }

    /// Cancelled if it has not started that long after the enqueue.
    pub fn expires_in(mut self, after: Duration) -> Self {
        self.expires_in_ms = Some(whole_ms(after));
        self
    }

    /// At most one live job of this kind holds that key; a second enqueue answers with the first.
    pub fn unique(self, key: impl AsRef<str>) -> Self {
        self.set(|job| {
            let key = UniqueKey::new(format!("{}:{}", job.kind, key.as_ref()))?;
            let kept = job.unique.take();
            job.unique = Some(Unique {
                key,
                scope: kept.as_ref().map(|unique| unique.scope).unwrap_or_default(),
                on_conflict: kept.map(|unique| unique.on_conflict).unwrap_or_default(),
            });
            Ok(())
        })
    }

    /// How long the unique key stays taken.
    pub fn unique_scope(self, scope: UniqueScope) -> Self {
        self.with_unique(|unique| unique.scope = scope)
    }

    /// What an enqueue does when its unique key is taken.
    pub fn on_conflict(self, on_conflict: OnConflict) -> Self {
        self.with_unique(|unique| unique.on_conflict = on_conflict)
    }

    fn with_unique(self, change: impl FnOnce(&mut Unique)) -> Self {
        self.set(|job| match &mut job.unique {
            Some(unique) => {
                change(unique);
                Ok(())
            }
            None => Err(Error::Rejected(windlass_core::Rejection::Invalid {
                what: "unique key",
                why: "scope and conflict rule come after `unique(…)`, the key they are about".into(),
            })),
        })
    }

    /// Takes that much of a named limit while it runs.
    pub fn limit(self, name: impl AsRef<str>, cost: u32) -> Self {
        self.set(|job| {
            job.limits.push(LimitUse { name: LimitName::new(name)?, cost });
            Ok(())
        })
    }

    /// A tag for people and filters.
    pub fn tag(self, tag: impl AsRef<str>) -> Self {
        self.set(|job| {
            job.tags.push(Tag::new(tag)?);
            Ok(())
        })
    }

    /// Starts when these jobs have completed; it is cancelled if one of them ends otherwise.
    pub fn after(self, parents: &[JobId]) -> Self {
        self.parents(parents, OnParent::Success)
    }

    /// Starts when these jobs have ended, however.
    pub fn after_end_of(self, parents: &[JobId]) -> Self {
        self.parents(parents, OnParent::Always)
    }

    fn parents(self, parents: &[JobId], on: OnParent) -> Self {
        self.set(|job| {
            job.parents.extend(parents.iter().map(|&id| Parent { id, on }));
            Ok(())
        })
    }

    /// Its own retry policy instead of its type's or its queue's.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.set(|job| {
            job.retry = Some(policy);
            Ok(())
        })
    }

    /// How long one attempt may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|job| {
            job.timeout_ms = Some(whole_ms(timeout));
            Ok(())
        })
    }

    /// The W3C trace context that its handler continues.
    pub fn trace(self, traceparent: impl Into<String>) -> Self {
        self.set(|job| {
            job.trace = Some(traceparent.into());
            Ok(())
        })
    }

    /// Its identity: an id that is known already is answered with the job that has it.
    pub fn id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }

    /// The job as the store takes it, with a new id unless it has one.
    ///
    /// # Errors
    /// The first option that was wrong, or what serde says of the payload.
    pub fn into_new_job(self, now: Time) -> Result<NewJob, Error> {
        let mut job = self.made?;
        job.id = self.id.unwrap_or_else(|| ids::next(now));
        if let Some(ms) = self.expires_in_ms {
            job.expires_at = Some(now.plus_ms(ms));
        }
        Ok(job)
    }
}

/// What can be enqueued: a [`Job`], or a [`Draft`] of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be enqueued",
    label = "neither a job nor a draft of one",
    note = "add `#[derive(serde::Serialize, serde::Deserialize, windlass::Job)]` to `{Self}`, or use `Draft::raw`"
)]
pub trait IntoDraft {
    /// The draft.
    fn into_draft(self) -> Draft;
}

impl<J: Job> IntoDraft for J {
    fn into_draft(self) -> Draft {
        Draft::of(&self)
    }
}

impl IntoDraft for Draft {
    fn into_draft(self) -> Draft {
        self
    }
}

/// An enqueue with its options; sent by `.await`.
///
/// ```no_run
/// # async fn doc(client: windlass::Client, job: windlass::Draft) -> Result<(), windlass::Error> {
/// use std::time::Duration;
/// let enqueued = client.enqueue(job).group("campaign-7").delay(Duration::from_secs(60)).await?;
/// println!("{}", enqueued.id);
/// # Ok(()) }
/// ```
#[must_use = "nothing is enqueued until it is awaited"]
pub struct Enqueue<'a> {
    client: &'a Client,
    draft: Draft,
}

macro_rules! forward {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*);)*) => {
        impl<'a> Enqueue<'a> {
            $(
                $(#[$doc])*
                pub fn $name(mut self, $($arg: $type),*) -> Self {
                    self.draft = self.draft.$name($($arg),*);
                    self
                }
            )*
        }
    };
}

forward! {
    /// See [`Draft::queue`].
    queue(queue: impl AsRef<str>);
    /// See [`Draft::group`].
    group(group: impl AsRef<str>);
    /// See [`Draft::priority`].
    priority(priority: i8);
    /// See [`Draft::delay`].
    delay(delay: Duration);
    /// See [`Draft::run_at`].
    run_at(at: impl IntoTime);
    /// See [`Draft::expires_in`].
    expires_in(after: Duration);
    /// See [`Draft::unique`].
    unique(key: impl AsRef<str>);
    /// See [`Draft::unique_scope`].
    unique_scope(scope: UniqueScope);
    /// See [`Draft::on_conflict`].
    on_conflict(on_conflict: OnConflict);
    /// See [`Draft::limit`].
    limit(name: impl AsRef<str>, cost: u32);
    /// See [`Draft::tag`].
    tag(tag: impl AsRef<str>);
    /// See [`Draft::after`].
    after(parents: &[JobId]);
    /// See [`Draft::after_end_of`].
    after_end_of(parents: &[JobId]);
    /// See [`Draft::retry`].
    retry(policy: RetryPolicy);
    /// See [`Draft::timeout`].
    timeout(timeout: Duration);
    /// See [`Draft::trace`].
    trace(traceparent: impl Into<String>);
    /// See [`Draft::id`].
    id(id: JobId);
}

impl<'a> Enqueue<'a> {
    pub(crate) fn new(client: &'a Client, draft: Draft) -> Self {
        Self { client, draft }
    }
}

impl<'a> IntoFuture for Enqueue<'a> {
    type Output = Result<Enqueued, Error>;
    type IntoFuture = Enqueueing<'a>;

    fn into_future(self) -> Enqueueing<'a> {
        Enqueueing { client: self.client, step: EnqueueStep::Unsent(Box::new(self.draft)) }
    }
}

/// An enqueue under way. Dropped before its answer, the job may or may not have been taken; an
/// enqueue with the same [`Draft::id`] finds out.
#[must_use = "futures do nothing unless polled"]
pub struct Enqueueing<'a> {
    client: &'a Client,
    step: EnqueueStep,
}

enum EnqueueStep {
    Unsent(Box<Draft>),
    Sent(oneshot::Receiver<Result<Enqueued, Error>>, Span),
    Over,
}

impl Future for Enqueueing<'_> {
    type Output = Result<Enqueued, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.step, EnqueueStep::Over) {
                EnqueueStep::Unsent(draft) => match draft.into_new_job(self.client.now()) {
                    Ok(mut job) => {
                        let span = trace::send(std::slice::from_mut(&mut job));
                        self.step = EnqueueStep::Sent(self.client.enqueues().submit(job), span);
                    }
                    Err(fault) => return Poll::Ready(Err(fault)),
                },
                EnqueueStep::Sent(mut answer, span) => {
                    let Poll::Ready(answer) = Pin::new(&mut answer).poll(cx) else {
                        self.step = EnqueueStep::Sent(answer, span);
                        return Poll::Pending;
                    };
                    let answer = answer.unwrap_or_else(|_| Err(self.client.enqueues().dropped()));
                    return Poll::Ready(answer.inspect_err(|error| trace::unsent(&span, error)));
                }
                EnqueueStep::Over => panic!("an enqueue was polled after its answer"),
            }
        }
    }
}

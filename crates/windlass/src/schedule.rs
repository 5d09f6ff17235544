//! The builder of a schedule: one job per tick, by cron expression or interval.

use crate::client::Client;
use crate::clock::{IntoTime, whole_ms};
use crate::draft::IntoDraft;
use crate::error::Error;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::ScheduleSpec;
use windlass_core::{Rejection, ScheduleName, Time};

/// A schedule in the making; set by `.await`, replacing one of the same name.
///
/// ```no_run
/// # async fn doc(client: windlass::Client, report: windlass::Draft) -> Result<(), windlass::Error> {
/// client.schedule("nightly-report").cron("0 3 * * *", "Europe/Berlin").job(report).await?;
/// # Ok(()) }
/// ```
#[must_use = "a schedule is set when it is awaited"]
pub struct ScheduleBuilder<'a> {
    client: &'a Client,
    name: String,
    timing: Option<Timing>,
    job: Option<crate::Draft>,
    overlap: Overlap,
    catch_up: CatchUp,
    paused: bool,
}

impl<'a> ScheduleBuilder<'a> {
    pub(crate) fn new(client: &'a Client, name: &str) -> Self {
        Self {
            client,
            name: name.into(),
            timing: None,
            job: None,
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            paused: false,
        }
    }

    /// Ticks at the local times that the expression names, in a time zone of the IANA database.
    pub fn cron(mut self, expression: impl Into<String>, time_zone: impl Into<String>) -> Self {
        self.timing = Some(Timing::Cron { expression: expression.into(), time_zone: time_zone.into() });
        self
    }

    /// Ticks at whole multiples of that span since the Unix epoch.
    pub fn every(self, span: Duration) -> Self {
        self.every_from(span, Time::ZERO)
    }

    /// Ticks at `first` and at every multiple of that span after it.
    pub fn every_from(mut self, span: Duration, first: impl IntoTime) -> Self {
        self.timing = Some(Timing::Interval { every_ms: whole_ms(span), anchor: first.into_time() });
        self
    }

    /// The job of every tick: its payload, queue, group and priority. What else a draft may ask for
    /// (delay, unique key, limits, tags, retry policy) a schedule does not keep.
    pub fn job(mut self, job: impl IntoDraft) -> Self {
        self.job = Some(job.into_draft());
        self
    }

    /// What a tick does while the job of the tick before is live.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// What becomes of ticks that fell into a time when nobody was there.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.catch_up = catch_up;
        self
    }

    /// Ticks make no jobs while it is paused.
    pub fn paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }

    async fn set(self) -> Result<(), Error> {
        let missing = |why: &str| Rejection::Invalid { what: "schedule", why: why.into() };
        let name = ScheduleName::new(&self.name)?;
        let timing = self.timing.ok_or_else(|| missing("it has no timing: call cron(…) or every(…)"))?;
        let job = self.job.ok_or_else(|| missing("it has no job: call job(…)"))?;
        let job = job.into_new_job(self.client.now())?;
        let spec = ScheduleSpec {
            name,
            timing,
            overlap: self.overlap,
            catch_up: self.catch_up,
            queue: job.queue,
            kind: job.kind,
            payload: job.payload,
            group: job.group,
            priority: job.priority,
            paused: self.paused,
        };
        Ok(self.client.store().set_schedule(spec, None).await??)
    }
}

impl<'a> IntoFuture for ScheduleBuilder<'a> {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.set())
    }
}

//! How an attempt ends: the handler's [`Outcome`], or a [`JobError`].
//!
//! An error is retryable unless it says otherwise; *when* the retry comes is the store's business, by
//! the job's policy, so a retry never lives in a handler or a layer.

use serde::Serialize;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;
use windlass_core::bounds::{ERROR_BYTES_MAX, RESULT_BYTES_MAX};
use windlass_core::fingerprint::fingerprint;
use windlass_core::job::ErrorReport;
use windlass_core::store::Hold;

/// Bytes of an error's first text; its source chain may have the rest of the bound.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Bytes of an error's class: a type name may nest for kilobytes.
const CLASS_BYTES_MAX: usize = 200;
/// Sources followed below an error, in case a chain bites its own tail.
const SOURCES_MAX: usize = 64;

/// How an attempt ended well, or without blame.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done: the job is completed.
    #[default]
    Done,
    /// Done, with a result that is kept with the job.
    DoneWith(Vec<u8>),
    /// Later; neither failure nor loss, and no try spent.
    Snooze {
        /// How much later.
        delay: Duration,
        /// In the handler's words, shown by `why`.
        reason: String,
    },
    /// Later, and until then nothing else of the queue, group or limit starts either.
    RateLimited {
        /// How much later.
        delay: Duration,
        /// What else is held back.
        hold: Hold,
    },
    /// Not wanted any more: a fatal failure of class `discarded`, kept as a dead letter.
    Discard {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Done, with a result of at most 64 KiB that is kept with the job as JSON.
    ///
    /// # Errors
    /// A fatal error when the result does not serialise or is too large: the work is done, and a
    /// second try would do it again.
    pub fn done_with<T: Serialize + ?Sized>(result: &T) -> Result<Outcome, JobError> {
        let result = serde_json::to_vec(result).map_err(JobError::from).map_err(JobError::fatal)?;
        if result.len() > RESULT_BYTES_MAX {
            let told = format!("a result of {} bytes is more than 64 KiB", result.len());
            return Err(JobError::msg(told).fatal());
        }
        Ok(Outcome::DoneWith(result))
    }

    /// Later; no try spent.
    pub fn snooze(delay: Duration, reason: impl Into<String>) -> Outcome {
        Outcome::Snooze { delay, reason: reason.into() }
    }

    /// A provider asked to slow down: later, and until then nothing else of the hold starts either.
    pub fn rate_limited(delay: Duration, hold: Hold) -> Outcome {
        Outcome::RateLimited { delay, hold }
    }

    /// Not wanted any more: no further try, kept as a dead letter of class `discarded`.
    pub fn discard(reason: impl Into<String>) -> Outcome {
        Outcome::Discard { reason: reason.into() }
    }
}

/// What a handler may return: `()`, [`Outcome`], or a `Result` of either with any error.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not an outcome",
    note = "return `()`, `Outcome`, `Result<(), E>` or `Result<Outcome, E>`; `E` is `JobError` or any `std::error::Error`",
    note = "to keep a value with the job, return `Outcome::done_with(&value)`"
)]
pub trait IntoOutcome {
    /// The outcome.
    ///
    /// # Errors
    /// The handler's error.
    fn into_outcome(self) -> Result<Outcome, JobError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, JobError> {
        Ok(Outcome::Done)
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, JobError> {
        Ok(self)
    }
}

impl<E: Into<JobError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Result<Outcome, JobError> {
        self.map(|()| Outcome::Done).map_err(Into::into)
    }
}

impl<E: Into<JobError>> IntoOutcome for Result<Outcome, E> {
    fn into_outcome(self) -> Result<Outcome, JobError> {
        self.map_err(Into::into)
    }
}

/// Why an attempt failed. Any `std::error::Error` becomes one by `?`, with its source chain; it is
/// retryable unless told otherwise.
///
/// It does not implement `std::error::Error` itself: that is what lets `?` take every other error.
pub struct JobError(Box<Fault>);

struct Fault {
    cause: Box<dyn StdError + Send + Sync>,
    class: Option<Cow<'static, str>>,
    context: Vec<String>,
    verdict: Verdict,
}

/// What becomes of the job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Retry,
    RetryIn(Duration),
    Fatal,
    Snooze(Duration),
    /// The handler stopped because it was asked to.
    Cancelled,
    /// This worker cannot run it, for example because the payload is not what its type of the kind expects (rule i).
    GivenBack,
}

/// An error that is only a text.
#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Message {}

impl<E: StdError + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        let class = Cow::Borrowed(std::any::type_name::<E>());
        Self::build(Box::new(error), Some(class), Verdict::Retry)
    }
}

impl From<JobError> for Box<dyn StdError + Send + Sync> {
    fn from(error: JobError) -> Self {
        Box::new(Carried(error))
    }
}

/// A [`JobError`] on its way through a tower layer, which speaks of boxed errors.
struct Carried(JobError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Carried {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.0.cause.source()
    }
}

impl JobError {
    fn build(
        cause: Box<dyn StdError + Send + Sync>,
        class: Option<Cow<'static, str>>,
        verdict: Verdict,
    ) -> Self {
        Self(Box::new(Fault { cause, class, context: Vec::new(), verdict }))
    }

    /// An error that is only a text; retryable.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self::build(Box::new(Message(message.to_string())), None, Verdict::Retry)
    }

    /// An error that is boxed already; one that was a [`JobError`] is that again.
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync>) -> Self {
        match error.downcast::<Carried>() {
            Ok(carried) => carried.0,
            Err(error) => Self::build(error, None, Verdict::Retry),
        }
    }

    /// The answer of a handler that stopped because it was asked to. While its worker shuts down, the
    /// job goes back without a try spent; after a cancellation it ends as cancelled.
    pub fn cancelled() -> Self {
        let cause = Box::new(Message("stopped because it was asked to".into()));
        Self::build(cause, Some(Cow::Borrowed("cancelled")), Verdict::Cancelled)
    }

    /// This worker cannot run the job, and another may: it goes back without a try spent, after a delay that grows from
    /// 1 s to 1 min each time, and the attempt's log says why. For what is wrong with the worker (a program that is not
    /// there, a device that is gone), not with the job.
    pub fn give_back(reason: impl fmt::Display) -> Self {
        let cause = Box::new(Message(reason.to_string()));
        Self::build(cause, Some(Cow::Borrowed("given back")), Verdict::GivenBack)
    }

    pub(crate) fn undecodable(kind: &str, cause: &serde_json::Error) -> Self {
        let told = format!("the payload of {kind} does not decode: {cause}");
        Self::build(Box::new(Message(told)), Some(Cow::Borrowed("undecodable")), Verdict::GivenBack)
    }

    /// No further try: the job is dead.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.0.verdict = Verdict::Fatal;
        self
    }

    /// The next try comes that much later, whatever the policy says; whether there is one is still the
    /// policy's business.
    #[must_use]
    pub fn retry_in(mut self, delay: Duration) -> Self {
        self.0.verdict = Verdict::RetryIn(delay);
        self
    }

    /// Not a failure after all: later, with this error's text as the reason and no try spent.
    #[must_use]
    pub fn snooze(mut self, delay: Duration) -> Self {
        self.0.verdict = Verdict::Snooze(delay);
        self
    }

    /// The class it is grouped under, instead of the error's type.
    #[must_use]
    pub fn class(mut self, class: impl Into<Cow<'static, str>>) -> Self {
        self.0.class = Some(class.into());
        self
    }

    /// A text before the error's own.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.context.push(context.to_string());
        self
    }

    /// The error it was made of, if it was of that type.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.cause.downcast_ref()
    }

    /// Whether there is no further try.
    pub fn is_fatal(&self) -> bool {
        self.0.verdict == Verdict::Fatal
    }

    pub(crate) fn verdict(&self) -> &Verdict {
        &self.0.verdict
    }

    /// The error as it is kept with the job, within the bounds.
    pub(crate) fn report(&self, kind: &str) -> ErrorReport {
        let message = cut(self.to_string(), MESSAGE_BYTES_MAX);
        let chain = self.chain();
        let detail = (!chain.is_empty()).then(|| {
            let room = ERROR_BYTES_MAX.saturating_sub(message.len() + CLASS_BYTES_MAX);
            cut(chain.join("\n"), room)
        });
        report(kind, self.0.class.clone().map(Cow::into_owned), message, detail)
    }

    /// What lies below the error, outermost first.
    fn chain(&self) -> Vec<String> {
        let mut chain = Vec::new();
        let mut source = self.0.cause.source();
        while let Some(error) = source.filter(|_| chain.len() < SOURCES_MAX) {
            chain.push(format!("caused by: {error}"));
            source = error.source();
        }
        chain
    }
}

/// An error report with its failure mode.
pub(crate) fn report(
    kind: &str,
    class: Option<String>,
    message: String,
    detail: Option<String>,
) -> ErrorReport {
    let class = class.map(|class| cut(class, CLASS_BYTES_MAX));
    let fingerprint = fingerprint(kind, class.as_deref(), &message);
    ErrorReport { class, message, detail, fingerprint }
}

/// The text without what is over the bound, cut between characters.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for context in self.0.context.iter().rev() {
            write!(f, "{context}: ")?;
        }
        fmt::Display::fmt(&self.0.cause, f)
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        for cause in self.chain() {
            write!(f, "\n{cause}")?;
        }
        write!(f, " ({:?})", self.0.verdict)
    }
}

/// Decides on the spot whether an error deserves another try.
pub trait ResultExt<T, E> {
    /// Retryable if the error is such, else fatal.
    ///
    /// # Errors
    /// The error, with that verdict.
    fn retry_if(self, is_transient: impl FnOnce(&E) -> bool) -> Result<T, JobError>;
    /// Fatal if the error is such, else retryable.
    ///
    /// # Errors
    /// The error, with that verdict.
    fn fatal_if(self, is_permanent: impl FnOnce(&E) -> bool) -> Result<T, JobError>;
    /// A text before the error's own.
    ///
    /// # Errors
    /// The error, with that context.
    fn context(self, context: impl fmt::Display) -> Result<T, JobError>;
}

impl<T, E: Into<JobError>> ResultExt<T, E> for Result<T, E> {
    fn retry_if(self, is_transient: impl FnOnce(&E) -> bool) -> Result<T, JobError> {
        self.fatal_if(|error| !is_transient(error))
    }

    fn fatal_if(self, is_permanent: impl FnOnce(&E) -> bool) -> Result<T, JobError> {
        self.map_err(|error| {
            let permanent = is_permanent(&error);
            let error = error.into();
            if permanent { error.fatal() } else { error }
        })
    }

    fn context(self, context: impl fmt::Display) -> Result<T, JobError> {
        self.map_err(|error| error.into().context(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not reach the provider")]
    struct Outer(#[source] std::io::Error);

    fn failing() -> Result<(), Outer> {
        Err(Outer(std::io::Error::other("connection reset")))
    }

    #[test]
    fn an_error_is_retryable_and_keeps_its_class_and_source_chain() {
        let fails = || -> Result<(), JobError> { Ok(failing()?) };
        let error = fails().unwrap_err();
        assert_eq!(error.verdict(), &Verdict::Retry);
        let report = error.context("sending").report("send");
        assert_eq!(report.message, "sending: could not reach the provider");
        assert_eq!(report.detail.as_deref(), Some("caused by: connection reset"));
        assert!(report.class.unwrap().ends_with("Outer"));
    }

    #[test]
    fn the_verdict_is_decided_where_the_error_is_known() {
        let verdict = |result: Result<(), JobError>| result.unwrap_err().verdict().clone();
        assert_eq!(verdict(failing().retry_if(|_| true)), Verdict::Retry);
        assert_eq!(verdict(failing().retry_if(|_| false)), Verdict::Fatal);
        assert_eq!(verdict(failing().fatal_if(|_| true)), Verdict::Fatal);
        let delay = Duration::from_secs(7);
        assert_eq!(JobError::msg("x").retry_in(delay).verdict(), &Verdict::RetryIn(delay));
        assert_eq!(JobError::msg("x").snooze(delay).verdict(), &Verdict::Snooze(delay));
    }

    #[test]
    fn an_error_longer_than_the_bound_is_cut_between_characters() {
        let report = JobError::msg("ö".repeat(ERROR_BYTES_MAX)).report("send");
        assert!(report.message.len() <= MESSAGE_BYTES_MAX);
        assert!(report.message.ends_with("ö…"));
    }

    #[test]
    fn an_error_that_went_through_a_layer_as_a_box_keeps_its_verdict() {
        let boxed: Box<dyn StdError + Send + Sync> = JobError::msg("no").fatal().into();
        assert!(JobError::from_boxed(boxed).is_fatal());
        let other: Box<dyn StdError + Send + Sync> = "elapsed".into();
        assert_eq!(JobError::from_boxed(other).to_string(), "elapsed");
    }

    #[test]
    fn a_result_over_64_kib_is_a_fatal_error_because_the_work_is_done() {
        assert_eq!(Outcome::done_with(&7).unwrap(), Outcome::DoneWith(b"7".to_vec()));
        assert!(Outcome::done_with(&"x".repeat(RESULT_BYTES_MAX)).unwrap_err().is_fatal());
    }
}

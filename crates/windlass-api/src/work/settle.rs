//! The end of an attempt: completed, failed, postponed or given back.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::job::ErrorReport;
use windlass_core::store::{Hold, ReleaseReason, Settle};
use windlass_core::{JobId, Rejection, Time};

use super::{JobRequest, LeaseText, invalid, is_false};
use crate::payload::{self, Encoding};
use crate::spell::span;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Well.
    Complete,
    /// Not well: tried again by its policy, or dead.
    Fail,
    /// Later; neither failure nor loss.
    Snooze,
    /// Given back; neither failure nor loss.
    Release,
}

/// What went wrong: its message, or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ErrorShape {
    /// The message alone.
    Message(String),
    /// All of it.
    Report {
        /// The error's type or class.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
        /// What is shown first.
        message: String,
        /// The source chain or backtrace below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// Which failure mode it belongs to; found out from class and message unless said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fingerprint: Option<Fingerprint>,
    },
}

impl ErrorShape {
    /// The whole of a report.
    pub fn of(error: &ErrorReport) -> Self {
        ErrorShape::Report {
            class: error.class.clone(),
            message: error.message.clone(),
            detail: error.detail.clone(),
            fingerprint: Some(error.fingerprint),
        }
    }

    /// The report, and whether it says its failure mode itself.
    fn report(self) -> (ErrorReport, bool) {
        match self {
            ErrorShape::Message(message) => (ErrorReport { message, ..ErrorReport::default() }, false),
            ErrorShape::Report { class, message, detail, fingerprint } => {
                let said = fingerprint.is_some();
                (ErrorReport { class, message, detail, fingerprint: fingerprint.unwrap_or_default() }, said)
            }
        }
    }
}

/// The end of one attempt. Where the address names the job and the end, they need not be said again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settlement<'a> {
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// The lease that its claim gave.
    pub lease: LeaseText,
    /// `complete`: kept with the job, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::payload::present")]
    pub result: Option<Cow<'a, RawValue>>,
    /// How to read the result: `json` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_encoding: Option<Encoding>,
    /// `complete`: jobs that exist if and only if this completion does.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::object::list")]
    pub then: Vec<JobRequest<'a>>,
    /// `fail`: what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorShape>,
    /// `fail`: the worker's own delay instead of the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Span>"))]
    pub retry_in: Option<Cow<'a, str>>,
    /// `fail`: no further try.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fatal: bool,
    /// `snooze`: how much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Span>"))]
    pub delay: Option<Cow<'a, str>>,
    /// `snooze`: in the worker's words; `release`: `shutdown`, `no_handler` or `unstarted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// `snooze`: what else is held back until then: `"queue"`, `"group"` or `{"limit":"NAME"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Hold>,
}

/// A settlement as a store takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The verb and its words.
    pub settle: Settle,
    /// A failure that does not say its mode: whoever knows the job's kind finds it out.
    pub lacks_fingerprint: bool,
}

impl<'a> Settlement<'a> {
    /// How a settlement is said over the wire, so that [`Settlement::settled`] reads the same one.
    pub fn of(settle: &'a Settle) -> Self {
        let lease = settle.lease();
        let mut said = Self {
            op: None,
            id: Some(lease.job),
            lease: LeaseText::of(lease),
            result: None,
            result_encoding: None,
            then: Vec::new(),
            error: None,
            retry_in: None,
            fatal: false,
            delay: None,
            reason: None,
            holds: None,
        };
        match settle {
            Settle::Complete { result, then, .. } => {
                said.op = Some(Op::Complete);
                let (result, encoding) = payload::show_some(result.as_deref());
                said.result_encoding = payload::said(result.as_deref(), encoding);
                said.result = result;
                said.then = then.iter().map(JobRequest::of).collect();
            }
            Settle::Fail { error, retry_in_ms, fatal, .. } => {
                said.op = Some(Op::Fail);
                said.error = Some(ErrorShape::of(error));
                said.retry_in = retry_in_ms.map(|ms| span::exact(ms).into());
                said.fatal = *fatal;
            }
            Settle::Snooze { delay_ms, reason, holds, .. } => {
                said.op = Some(Op::Snooze);
                said.delay = Some(span::exact(*delay_ms).into());
                said.reason = Some(reason.as_str().into());
                said.holds.clone_from(holds);
            }
            Settle::Release { reason, .. } => {
                said.op = Some(Op::Release);
                said.reason = Some(spell_release(*reason).into());
            }
        }
        said
    }

    /// The settlement that is meant. `new_id` makes the ids of follow-ups that bring none, `now` is what their spans
    /// count from.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with the field and what is wrong with it.
    pub fn settled(self, mut new_id: impl FnMut() -> JobId, now: Time) -> Result<Settled, Rejection> {
        let op = self.op.ok_or_else(|| {
            invalid("settings")("the settlement names no op: complete, fail, snooze or release".into())
        })?;
        let job = self.id.ok_or_else(|| invalid("id")("the settlement names no job".into()))?;
        let lease = self.lease.lease(job);
        let read_span = |what, text: Option<Cow<'_, str>>| {
            text.map(|text| span::parse(&text)).transpose().map_err(invalid(what))
        };
        let mut lacks_fingerprint = false;
        let settle = match op {
            Op::Complete => Settle::Complete {
                lease,
                result: payload::read_some(self.result.as_deref(), self.result_encoding)
                    .map_err(invalid("result"))?,
                then: self
                    .then
                    .into_iter()
                    .map(|job| job.job(None, new_id(), now))
                    .collect::<Result<_, _>>()?,
            },
            Op::Fail => {
                let error =
                    self.error.ok_or_else(|| invalid("error")("a failure says what went wrong".into()))?;
                let (error, says_its_mode) = error.report();
                lacks_fingerprint = !says_its_mode;
                Settle::Fail {
                    lease,
                    error,
                    retry_in_ms: read_span("retry", self.retry_in)?,
                    fatal: self.fatal,
                }
            }
            Op::Snooze => Settle::Snooze {
                lease,
                delay_ms: read_span("delay", self.delay)?
                    .ok_or_else(|| invalid("delay")("a snooze says how much later".into()))?,
                reason: self.reason.map(Cow::into_owned).unwrap_or_default(),
                holds: self.holds,
            },
            Op::Release => Settle::Release {
                lease,
                reason: match self.reason {
                    Some(reason) => release_reason(&reason).map_err(invalid("release"))?,
                    None => ReleaseReason::Unstarted,
                },
            },
        };
        Ok(Settled { settle, lacks_fingerprint })
    }
}

fn spell_release(reason: ReleaseReason) -> &'static str {
    match reason {
        ReleaseReason::Shutdown => "shutdown",
        ReleaseReason::NoHandler => "no_handler",
        ReleaseReason::Unstarted => "unstarted",
    }
}

fn release_reason(text: &str) -> Result<ReleaseReason, String> {
    match text {
        "shutdown" => Ok(ReleaseReason::Shutdown),
        "no_handler" => Ok(ReleaseReason::NoHandler),
        "unstarted" => Ok(ReleaseReason::Unstarted),
        _ => Err(format!("{text:?} is none of shutdown, no_handler, unstarted")),
    }
}

/// Settlements alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SettleRequest<'a> {
    /// What ended, and how.
    #[serde(borrow, deserialize_with = "crate::object::list")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<crate::schema::SettlementItem>", length(max = 1000))
    )]
    pub settle: Vec<Settlement<'a>>,
}

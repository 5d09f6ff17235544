//! One attempt: the job as a request, and what the answer means to it.
//!
//! | the target | the job |
//! |---|---|
//! | 2xx | completed; the body is its result |
//! | 429, or 503 with `Retry-After` | later, no try spent; nothing of the queue is sent until then |
//! | 410 | its queue is paused, and it goes back, no try spent |
//! | anything else, with `windlass-retry: no` | dead |
//! | any other answer, no answer in time, a connection that broke off | failed, by its retry policy |
//! | not reached at all | failed; while the circuit is open it waits instead, no try spent |

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::sync::Notify;
use windlass::{Ctx, JobError, Outcome, RawJob};
use windlass_api::target::{Circuit, Health};
use windlass_core::bounds::{RESULT_BYTES_MAX, cut};
use windlass_core::store::Hold;
use windlass_core::{QueueName, Time};
use windlass_webhook::{Answer, Failure, Post};

use super::Push;
use super::breaker::{Breaker, Pass};
use super::targets::Kept;

/// How long a target is left alone that says it has enough and not for how long.
const PAUSE: Duration = Duration::from_secs(5);
/// The shortest pause that it may ask for: `Retry-After: 0` would have the same job sent without end.
const PAUSE_LEAST: Duration = Duration::from_secs(1);
/// Bytes of an answer that an error keeps: enough for a message, too little for a page.
const EXCERPT_BYTES: usize = 1_024;
/// By which a target says that another try would not help.
const RETRY: &str = "windlass-retry";

/// What of a name or key is percent-encoded in a header, beside all that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// What this server has of one target.
pub(crate) struct Line {
    queue: QueueName,
    kept: Mutex<Arc<Kept>>,
    breaker: Breaker,
    seen: Mutex<Seen>,
    rung: Arc<Notify>,
}

#[derive(Default)]
struct Seen {
    requests: u64,
    last_at: Option<Time>,
    last_status: Option<u16>,
    last_error: Option<(Time, String)>,
}

impl Line {
    pub(crate) fn new(kept: Kept, rung: Arc<Notify>) -> Self {
        let queue = kept.queue.clone();
        let kept = Mutex::new(Arc::new(kept));
        Self { queue, kept, breaker: Breaker::default(), seen: Mutex::default(), rung }
    }

    /// The settings in force for every request that begins now.
    pub(crate) fn kept(&self) -> Arc<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn keep(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(kept);
    }

    /// Requests that may be under way at once: while the target is down only the one that finds out.
    pub(crate) fn slots(&self) -> u32 {
        if self.breaker.look(Instant::now()).0 == Circuit::Closed { self.kept().concurrency } else { 1 }
    }

    pub(crate) fn health(&self, now: Time) -> Health {
        let (circuit, left, failures_in_a_row) = self.breaker.look(Instant::now());
        let ms = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let seen = self.seen();
        Health {
            works: true,
            circuit,
            open_until: left.map(|left| now.plus_ms(ms(left))),
            failures_in_a_row,
            requests: seen.requests,
            last_at: seen.last_at,
            last_status: seen.last_status,
            last_error: seen.last_error.as_ref().map(|(_, text)| text.clone()),
            last_error_at: seen.last_error.as_ref().map(|(at, _)| *at),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, at: Time, answer: &Result<Answer, Failure>, error: Option<&str>) {
        let mut seen = self.seen();
        seen.requests += 1;
        seen.last_at = Some(at);
        seen.last_status = answer.as_ref().ok().map(|answer| answer.status);
        if let Some(text) = error {
            seen.last_error = Some((at, text.to_owned()));
        }
    }

    fn failed(&self, pass: Pass<'_>) -> Option<Duration> {
        let open = pass.failed(Instant::now());
        if let Some(open) = open {
            tracing::warn!(queue = %self.queue, ?open, "a push target fails; it is left alone for a while");
            self.rung.notify_one();
        }
        open
    }

    fn succeeded(&self, pass: Pass<'_>) {
        let was = self.breaker.look(Instant::now()).0;
        pass.succeeded();
        if was != Circuit::Closed {
            tracing::info!(queue = %self.queue, "a push target is back");
            self.rung.notify_one();
        }
    }
}

/// Sends the job, and says what became of it.
pub(crate) async fn deliver(push: &Push, line: &Line, job: &RawJob, cx: &Ctx) -> Result<Outcome, JobError> {
    let pass = match line.breaker.enter(Instant::now()) {
        Ok(pass) => pass,
        Err(wait) => return Ok(later(wait)),
    };
    let now = cx.client().now();
    let sender = push.sender().map_err(|why| JobError::msg(why).class("tls"))?;
    let target = line.kept().target(now).map_err(|why| JobError::msg(why).class("target"))?;
    let within = cx
        .deadline()
        .map_or(target.timeout(), |at| target.timeout().min(at.saturating_duration_since(Instant::now())));
    let target = target.within(within);
    let id = cx.id().to_string();
    let post = Post {
        id: &id,
        at_s: now.0 / 1_000,
        content_type: content_type(&job.payload),
        headers: headers(cx, now, within),
        body: &job.payload,
    };
    let began = Instant::now();
    let answer = tokio::select! {
        answer = sender.post(&target, post) => answer,
        // The connection is closed, by which the target can know.
        _ = cx.cancelled() => return Err(JobError::cancelled()),
    };
    let took = began.elapsed();
    let error = fault(&answer);
    line.saw(cx.client().now(), &answer, error.as_deref());
    match &answer {
        Ok(answer) => cx.log(format!("answered {} after {took:.1?}", answer.status)),
        Err(why) => cx.log(format!("{why} (after {took:.1?})")),
    }
    match answer {
        Ok(answer) => answered(line, pass, cx, answer, error).await,
        Err(failure) => {
            let open = line.failed(pass);
            match open {
                // Nothing was sent, and it is known that the target is down.
                Some(wait) if !failure.may_have_taken_effect() => Ok(later(wait)),
                _ => Err(JobError::msg(error.unwrap_or_default()).class(class(&failure))),
            }
        }
    }
}

async fn answered(
    line: &Line,
    pass: Pass<'_>,
    cx: &Ctx,
    answer: Answer,
    error: Option<String>,
) -> Result<Outcome, JobError> {
    let pause = answer.retry_after.map(|pause| pause.max(PAUSE_LEAST));
    match answer.status {
        200..300 => {
            line.succeeded(pass);
            if answer.cut || answer.body.len() > RESULT_BYTES_MAX {
                cx.log("the answer is longer than a result may be, and was not kept");
                return Ok(Outcome::Done);
            }
            Ok(if answer.body.is_empty() { Outcome::Done } else { Outcome::DoneWith(answer.body.to_vec()) })
        }
        429 => {
            line.succeeded(pass);
            Ok(later(pause.unwrap_or(PAUSE)))
        }
        503 if pause.is_some() => {
            line.succeeded(pass);
            Ok(later(pause.unwrap_or(PAUSE)))
        }
        410 => {
            line.succeeded(pass);
            cx.log("the target is gone: its queue is paused");
            if let Err(error) = cx.client().pause(cx.queue()).await {
                tracing::warn!(queue = %cx.queue(), %error, "the queue of a target that is gone was not paused");
                return Ok(later(PAUSE));
            }
            Ok(Outcome::snooze(PAUSE_LEAST, "the target answered 410: it is gone, and its queue was paused"))
        }
        status => {
            if status >= 500 {
                line.failed(pass);
            } else {
                line.succeeded(pass);
            }
            let error = JobError::msg(error.unwrap_or_default()).class(format!("http {status}"));
            let no =
                answer.headers.get(RETRY).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"no"));
            Err(match pause {
                _ if no => error.fatal(),
                Some(pause) => error.retry_in(pause),
                None => error,
            })
        }
    }
}

/// Later, no try spent; until then nothing else of the queue is sent either.
fn later(wait: Duration) -> Outcome {
    Outcome::rate_limited(wait, Hold::Queue)
}

/// What went wrong, in words, if anything did.
fn fault(answer: &Result<Answer, Failure>) -> Option<String> {
    let answer = match answer {
        Ok(answer) if (200..300).contains(&answer.status) => return None,
        Ok(answer) => answer,
        Err(why) if why.may_have_taken_effect() => return Some(format!("{why}; it may have been done")),
        Err(why) => return Some(why.to_string()),
    };
    let status = StatusCode::from_u16(answer.status).ok();
    let reason = status.and_then(|status| status.canonical_reason()).unwrap_or("");
    let body = String::from_utf8_lossy(&answer.body);
    let body: Vec<&str> = body.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let body = body.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let excerpt = cut(&body, EXCERPT_BYTES);
    let told = format!("{} {reason}", answer.status).trim_end().to_owned();
    Some(if excerpt.is_empty() { told } else { format!("{told}: {excerpt}") })
}

/// What failures of that kind are grouped under.
fn class(failure: &Failure) -> &'static str {
    match failure {
        Failure::Forbidden(_) => "target forbidden",
        Failure::Unreachable(_) => "unreachable",
        Failure::Tls(_) => "tls",
        Failure::TimedOut(_) => "timeout",
        Failure::Broken(_) => "broken off",
        Failure::Impossible(_) => "target",
    }
}

fn content_type(payload: &[u8]) -> &'static str {
    if serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok() {
        "application/json"
    } else if std::str::from_utf8(payload).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

fn headers(cx: &Ctx, now: Time, within: Duration) -> HeaderMap {
    let deadline = now.plus_ms(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| {
        // A group may have any character, and a header may not.
        let value = utf8_percent_encode(value, ENCODED).to_string();
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("windlass-job-id", &cx.id().to_string());
    set("windlass-queue", cx.queue().as_str());
    set("windlass-kind", cx.kind().as_str());
    set("windlass-attempt", &cx.attempt().to_string());
    set("windlass-deadline", &deadline.to_string());
    if let Some(group) = cx.group() {
        set("windlass-group", group.as_str());
    }
    if let Some(trace) = cx.traceparent() {
        set("traceparent", &trace);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_the_status_and_the_beginning_of_the_body_on_one_line() {
        let answer = |status, body: &str| {
            let (headers, body) = (HeaderMap::new(), body.to_owned().into());
            Ok(Answer { status, retry_after: None, headers, body, cut: false })
        };
        assert_eq!(fault(&answer(204, "")), None);
        let told = fault(&answer(500, "no\n\tdatabase\u{0}here\n")).expect("a fault");
        assert_eq!(told, "500 Internal Server Error: no database here");
        assert_eq!(fault(&answer(599, "")).as_deref(), Some("599"));
        let told = fault(&answer(400, &"ü".repeat(5_000))).expect("a fault");
        assert!(told.len() <= EXCERPT_BYTES + 20 && told.contains('ü'), "{}", told.len());
        let told = fault(&Err(Failure::TimedOut(Duration::from_secs(30)))).expect("a fault");
        assert_eq!(told, "no answer within 30s; it may have been done");
    }

    #[test]
    fn a_payload_is_called_what_it_is() {
        assert_eq!(content_type(br#"{"a":1}"#), "application/json");
        assert_eq!(content_type(b"null"), "application/json");
        assert_eq!(content_type("grüße".as_bytes()), "text/plain; charset=utf-8");
        assert_eq!(content_type(&[0xff, 0]), "application/octet-stream");
    }
}

//! One call: sent, and its answer judged by one rule.
//!
//! - Nothing was sent: not done, and worth trying again.
//! - It was sent and no whole answer came: nobody knows, and the same call may be made again.
//! - A problem is the contract's refusal where it is one, else what the server says of its own failure.
//! - An answer that is not what it should be: nobody knows, and trying again will not help.
//!
//! A call that only reads is never done, whatever went wrong.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use windlass_api::problem::{Problem, hint_of};
use windlass_api::work::Results;
use windlass_core::error::Outcome;
use windlass_core::store::PerItem;
use windlass_core::{Rejection, StoreError};

use crate::link::{Broken, Link, Reply, Streamed};

/// As much of an answer as is shown when it makes no sense.
const EXCERPT_CHARS: usize = 200;

/// A request on its way.
pub(crate) struct Call<'a> {
    link: &'a Link,
    operation: &'static str,
    method: Method,
    path: String,
    body: Option<Vec<u8>>,
    /// Whether it changes nothing.
    reads: bool,
    /// How long the server may take on purpose.
    waits: Duration,
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    operation: &'static str,
    reads: bool,
    version: String,
    body: Bytes,
}

/// Why a call gave no good answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The contract said no.
    Refused(Rejection),
    /// The world failed.
    Store(StoreError),
}

impl Failure {
    /// The same for a verb that the contract does not refuse as a whole.
    pub(crate) fn into_error(self, operation: &'static str) -> StoreError {
        match self {
            Failure::Refused(why) => {
                let hint = hint_of(&why).map(ToOwned::to_owned);
                StoreError { hint, ..StoreError::refused(operation, why.to_string()) }
            }
            Failure::Store(why) => why,
        }
    }
}

impl<'a> Call<'a> {
    /// A call that changes something.
    pub(crate) fn write(
        link: &'a Link,
        operation: &'static str,
        method: Method,
        path: impl Into<String>,
    ) -> Self {
        Self { link, operation, method, path: path.into(), body: None, reads: false, waits: Duration::ZERO }
    }

    /// A call that changes nothing.
    pub(crate) fn read(
        link: &'a Link,
        operation: &'static str,
        method: Method,
        path: impl Into<String>,
    ) -> Self {
        Self { reads: true, ..Self::write(link, operation, method, path) }
    }

    /// The same with a body.
    pub(crate) fn json<T: Serialize>(mut self, body: &T) -> Result<Self, StoreError> {
        let body = serde_json::to_vec(body).map_err(|why| {
            StoreError::refused(self.operation, format!("the request cannot be written: {why}"))
        })?;
        self.body = Some(body);
        Ok(self)
    }

    /// The same when the server waits on purpose for something to happen.
    pub(crate) fn waits(self, waits: Duration) -> Self {
        Self { waits, ..self }
    }

    /// Makes the call and reads its answer.
    pub(crate) async fn done<T>(
        self,
        read: impl FnOnce(&Answer) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let operation = self.operation;
        let answer = self.send().await.map_err(|failure| failure.into_error(operation))?;
        read(&answer)
    }

    /// Makes a call that the contract may refuse, and reads its answer.
    pub(crate) async fn ruled<T>(
        self,
        read: impl FnOnce(&Answer) -> Result<T, StoreError>,
    ) -> Result<Result<T, Rejection>, StoreError> {
        match self.send().await {
            Ok(answer) => read(&answer).map(Ok),
            Err(Failure::Refused(why)) => Ok(Err(why)),
            Err(Failure::Store(why)) => Err(why),
        }
    }

    /// Makes a call that the server may refuse for reasons of its own, and reads its answer.
    pub(crate) async fn answered<T>(
        mut self,
        read: impl FnOnce(&Answer) -> Result<T, StoreError>,
    ) -> Result<Result<T, Problem>, StoreError> {
        let operation = self.operation;
        let reply = self.exchange().await?;
        if reply.status.is_client_error()
            && reply.status != StatusCode::UNAUTHORIZED
            && let Ok(problem) = serde_json::from_slice(&reply.body)
        {
            return Ok(Err(problem));
        }
        let answer = self.judge(reply).map_err(|failure| failure.into_error(operation))?;
        read(&answer).map(Ok)
    }

    async fn send(mut self) -> Result<Answer, Failure> {
        let reply = self.exchange().await.map_err(Failure::Store)?;
        self.judge(reply)
    }

    /// Whatever comes back.
    pub(crate) async fn exchange(&mut self) -> Result<Reply, StoreError> {
        let body = self.body.take();
        let told = self.link.exchange(self.method.clone(), &self.path, body, self.waits).await;
        told.map_err(|why| self.unanswered(why))
    }

    /// Makes a call whose good answer comes piece by piece.
    pub(crate) async fn streamed(self) -> Result<Streamed, StoreError> {
        let told =
            self.link.begin(self.method.clone(), &self.path).await.map_err(|why| self.unanswered(why))?;
        match told {
            Ok(streamed) => Ok(streamed),
            Err(reply) => match self.judge(reply) {
                Ok(answer) => Err(answer.misread("it did not come piece by piece")),
                Err(failure) => Err(failure.into_error(self.operation)),
            },
        }
    }

    fn unanswered(&self, why: Broken) -> StoreError {
        let (cause, outcome, retryable) = match why {
            Broken::NotSent(cause) => (cause, Outcome::NotDone, true),
            Broken::Unanswered(cause) => (cause, Outcome::Unknown, true),
            Broken::Impossible(cause) => (cause, Outcome::NotDone, false),
        };
        self.error(cause, outcome, retryable)
    }

    /// What a reply means.
    pub(crate) fn judge(&self, reply: Reply) -> Result<Answer, Failure> {
        let Reply { status, version, body } = reply;
        match version {
            // Whoever stands before the server may have an answer of its own, which would pass for a good one.
            Some(version) if status.is_success() => {
                return Ok(Answer { operation: self.operation, reads: self.reads, version, body });
            }
            None if status.is_success() => {
                let cause =
                    format!("{} is no Windlass server: {status}, {}", self.link.shown(), excerpt(&body));
                return Err(Failure::Store(self.error(cause, Outcome::Unknown, false)));
            }
            _ => {}
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            let cause = format!("{} gave no reason: {status}, {}", self.link.shown(), excerpt(&body));
            return Err(Failure::Store(self.error(cause, Outcome::Unknown, is_passing(status))));
        };
        match problem.rejection() {
            Some(Rejection::Forbidden { what }) => {
                let what = format!("{what} (WINDLASS_TOKEN holds the key that is sent)");
                return Err(Failure::Refused(Rejection::Forbidden { what }));
            }
            Some(why) => return Err(Failure::Refused(why)),
            None => {}
        }
        let StoreError { cause, outcome, retryable, hint, .. } = problem.store_error(self.operation);
        let cause = match status {
            StatusCode::UNAUTHORIZED => {
                format!(
                    "{} refuses the caller: {cause} (WINDLASS_TOKEN holds what is sent)",
                    self.link.shown()
                )
            }
            _ => cause,
        };
        Err(Failure::Store(StoreError { hint, ..self.error(cause, outcome, retryable) }))
    }

    fn error(&self, cause: String, outcome: Outcome, retryable: bool) -> StoreError {
        let outcome = if self.reads { Outcome::NotDone } else { outcome };
        StoreError { operation: self.operation, cause, outcome, retryable, hint: None }
    }
}

/// Whether those who stand before a server say so while it is away or busy.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The beginning of an answer.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(body).chars().take(EXCERPT_CHARS).collect();
    format!("{shown:?}")
}

impl Answer {
    /// The version of the server that gave it.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The body as JSON.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.body).map_err(|why| self.misread(why))
    }

    /// The body as JSON; none is null.
    pub(crate) fn json_or_null<T: serde::de::DeserializeOwned>(&self) -> Result<T, StoreError> {
        let body: &[u8] = if self.body.is_empty() { b"null" } else { &self.body };
        serde_json::from_slice(body).map_err(|why| self.misread(why))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One answer for each of `asked` items.
    pub(crate) fn per_item<T, U>(&self, asked: usize, item: impl Fn(T) -> U) -> Result<PerItem<U>, StoreError>
    where
        T: serde::de::DeserializeOwned,
    {
        let Results::<T> { results } = self.json()?;
        self.as_many(results.len(), asked)?;
        Ok(results.into_iter().map(|answer| answer.0.map(&item)).collect())
    }

    /// Refuses an answer that has not one for each item.
    pub(crate) fn as_many(&self, told: usize, asked: usize) -> Result<(), StoreError> {
        match told == asked {
            true => Ok(()),
            false => Err(self.misread(format!("{told} answers to {asked} items"))),
        }
    }

    /// What is wrong with the answer.
    pub(crate) fn misread(&self, why: impl std::fmt::Display) -> StoreError {
        StoreError {
            operation: self.operation,
            cause: format!("the server's answer makes no sense: {why}: {}", excerpt(&self.body)),
            outcome: if self.reads { Outcome::NotDone } else { Outcome::Unknown },
            retryable: false,
            hint: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use windlass_api::page::Done;
    use windlass_core::JobId;

    fn link() -> Link {
        let address = Address::parse("http://localhost:1").expect("an address");
        Link::new(address, None, Duration::from_secs(1)).expect("a link")
    }

    fn judged(reads: bool, status: u16, version: Option<&str>, body: &str) -> Result<Answer, Failure> {
        let link = link();
        let call = Call { reads, ..Call::write(&link, "pause", Method::POST, "/v1/queues/q/pause") };
        let status = StatusCode::from_u16(status).expect("a status");
        call.judge(Reply { status, version: version.map(Into::into), body: body.to_owned().into() })
    }

    fn failed(told: Result<Answer, Failure>) -> StoreError {
        match told {
            Err(Failure::Store(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    fn problem(problem: &Problem) -> Result<Answer, Failure> {
        judged(false, problem.status, Some("0.1.0"), &serde_json::to_string(problem).expect("json"))
    }

    #[test]
    fn a_refusal_of_the_contract_comes_back_as_it_was() {
        for rejection in
            [Rejection::Stale, Rejection::UniqueConflict { holder: JobId(7) }, Rejection::BadCursor]
        {
            match problem(&Problem::from(&rejection)) {
                Err(Failure::Refused(why)) => assert_eq!(why, rejection),
                other => panic!("{other:?}"),
            }
        }
        let error = Failure::Refused(Rejection::Stale).into_error("hello");
        assert_eq!((error.operation, error.outcome, error.retryable), ("hello", Outcome::NotDone, false));
    }

    #[test]
    fn a_failure_of_the_store_behind_the_server_keeps_whether_it_was_done() {
        for (outcome, retryable) in
            [(Outcome::Unknown, true), (Outcome::NotDone, true), (Outcome::Unknown, false)]
        {
            let error =
                StoreError { operation: "pause", cause: "the disk".into(), outcome, retryable, hint: None };
            let back = failed(problem(&Problem::from(&error)));
            assert_eq!((back.outcome, back.retryable, back.cause.as_str()), (outcome, retryable, "the disk"));
        }
        let busy = failed(problem(&Problem::new("too_busy", "later")));
        assert_eq!((busy.outcome, busy.retryable), (Outcome::NotDone, true));
        let stranger = failed(problem(&Problem::new("unauthorized", "who is there")));
        assert_eq!((stranger.outcome, stranger.retryable), (Outcome::NotDone, false));
        assert_eq!((busy.hint, stranger.hint), (None, None));
        let told = failed(problem(&Problem::new("unauthorized", "who is there").hint("send the token")));
        assert_eq!(told.hint.as_deref(), Some("send the token"));
        let fault = failed(problem(&Problem::new("internal", "a fault")));
        assert_eq!((fault.outcome, fault.retryable), (Outcome::Unknown, false));
    }

    #[test]
    fn an_answer_of_somebody_else_is_no_answer() {
        let page = failed(judged(false, 200, None, "<html>log in</html>"));
        assert!(page.cause.contains("no Windlass server") && page.cause.contains("<html>log in"), "{page}");
        assert_eq!((page.outcome, page.retryable), (Outcome::Unknown, false));
        for (status, retryable) in
            [(502, true), (503, true), (504, true), (429, true), (404, false), (307, false)]
        {
            let told = failed(judged(false, status, None, "x"));
            assert_eq!((told.outcome, told.retryable), (Outcome::Unknown, retryable), "{status}");
            assert!(told.cause.contains(&status.to_string()), "{told}");
        }
        let long = failed(judged(false, 500, None, &"ü".repeat(1_000)));
        assert_eq!(long.cause.matches('ü').count(), EXCERPT_CHARS);
    }

    #[test]
    fn a_call_that_reads_is_never_done() {
        assert_eq!(failed(judged(true, 502, None, "")).outcome, Outcome::NotDone);
        let answer = judged(true, 200, Some("0.1.0"), "[").expect("an answer");
        assert_eq!(answer.json::<Vec<u8>>().expect_err("half an array").outcome, Outcome::NotDone);
    }

    #[test]
    fn an_answer_has_one_for_each_item() {
        let answer = judged(false, 200, Some("0.1.0"), r#"{"results":[{},{"error":{"code":"stale"}}]}"#);
        let answer = answer.expect("an answer");
        let items = answer.per_item(2, |Done {}| ()).expect("two");
        assert_eq!(items, [Ok(()), Err(Rejection::Stale)]);
        let told = answer.per_item(3, |Done {}| ()).expect_err("one is missing");
        assert_eq!((told.outcome, told.retryable), (Outcome::Unknown, false));
        assert!(told.cause.contains("2 answers to 3 items"), "{told}");
    }
}

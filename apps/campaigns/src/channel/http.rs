//! What the HTTP providers have in common: a client that gives no secret away, answers read with a bound, and what
//! their status says.
//!
//! It knows nothing of any provider's routes or codes.

use std::{fmt::Write as _, time::Duration};

use reqwest::{
    Client, StatusCode, Url,
    header::{HeaderMap, RETRY_AFTER},
};

use super::{ChannelConfigError, RefusalClass, SendError, choose_tls, is_loopback, without_credentials};

/// How long a request may take; a reply lost to this limit is reported as such.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections kept between requests; above the SMS queue's concurrency, so that none is wasted.
const MAX_KEPT_CONNECTIONS: usize = 64;
/// The longest wait taken from the provider's words; the lease of a snoozed job does not care, people do.
const MAX_RETRY_MS: u64 = 24 * 3_600_000;
/// The most that is read of an answer about one message; the real ones are below 2 KiB.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A client for `base_url`, and the address parsed; connects with the first request, not now.
///
/// # Errors
/// When the address is not HTTP, or is plain HTTP to another machine (the secret would travel in clear text).
pub(super) fn client(base_url: &str) -> Result<(Client, Url), ChannelConfigError> {
    let bad =
        |why: &str| ChannelConfigError::Address { url: without_credentials(base_url), why: why.to_owned() };
    let base = Url::parse(base_url).map_err(|error| bad(&error.to_string()))?;
    let local = base.host_str().is_some_and(is_loopback);
    match base.scheme() {
        "https" => {}
        "http" if local => {}
        "http" => return Err(bad("use https:// to any other machine than this one")),
        _ => return Err(bad("use https://")),
    }
    choose_tls();
    let mut http = Client::builder()
        .timeout(REQUEST_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(MAX_KEPT_CONNECTIONS)
        .redirect(reqwest::redirect::Policy::none());
    if local {
        // A proxy of the environment must not see this machine's own traffic.
        http = http.no_proxy();
    }
    if base.scheme() == "http" {
        // Without TLS there is nothing to verify, and a host without root certificates must not matter.
        http = http.tls_certs_only(std::iter::empty());
    }
    let http = http.build().map_err(|error| ChannelConfigError::Client(whole_text(&error)))?;
    Ok((http, base))
}

pub(super) async fn read_bounded(mut answer: reqwest::Response, bound: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| whole_text(&error))? {
        if body.len() + chunk.len() > bound {
            return Err(format!("an answer above {bound} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a request without an answer says about the message.
pub(super) fn unanswered(error: &reqwest::Error) -> SendError {
    let why = whole_text(error);
    // Nothing can have arrived over a connection that never stood, nor from a request that was never built.
    if error.is_connect() || error.is_builder() {
        SendError::not_sent(why)
    } else {
        SendError::reply_lost(why)
    }
}

/// What the status of a negative answer says by itself.
pub(super) enum Verdict {
    Refused(RefusalClass),
    /// Nothing was taken, and nothing was said about the message.
    NotTaken,
    /// The provider broke; it may have taken the message.
    MayBeTaken,
}

/// Reads a status that is not a success.
pub(super) fn verdict_of(status: StatusCode, retry_after_ms: Option<u64>) -> Verdict {
    match status.as_u16() {
        429 => Verdict::Refused(RefusalClass::Temporary),
        503 if retry_after_ms.is_some() => Verdict::Refused(RefusalClass::Temporary),
        408 | 503 => Verdict::NotTaken,
        401 | 403 | 404 | 405 | 415 => Verdict::Refused(RefusalClass::Ours),
        400..=499 => Verdict::Refused(RefusalClass::Permanent),
        // A redirect means a wrong address; it is never followed, for it would carry the secret along.
        300..=399 => Verdict::Refused(RefusalClass::Ours),
        _ => Verdict::MayBeTaken,
    }
}

/// The delay of a `Retry-After` in seconds; its date form is not used by these APIs and counts as absent.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000).min(MAX_RETRY_MS))
}

/// reqwest's own text leaves out the cause, which is the part that helps.
pub(super) fn whole_text(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

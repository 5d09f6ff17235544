//! Requests that a server makes by itself: callbacks to whoever sent something.
//!
//! It owns how many are under way at once, how long each may take, and where they may go: to this machine, unless
//! somebody has said otherwise, so that a rehearsal with real addresses in its settings calls nobody.

use std::{net::IpAddr, time::Duration};

use reqwest::{Client, Method, Url, header::HeaderMap};
use thiserror::Error;
use tokio::sync::Semaphore;

/// How many requests are under way at once.
const MAX_AT_ONCE: usize = 64;
/// How long one may take (Twilio waits so long for an answer).
const TIMEOUT: Duration = Duration::from_secs(15);
/// The most that is read of an answer; TwiML of 4,000 characters is the longest that means anything here.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why nothing was heard.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    #[error("{0} is no address: write http:// or https://")]
    Address(String),
    #[error("{0} is not on this machine; --insecure allows callbacks to go there")]
    Elsewhere(String),
    #[error("no answer: {0}")]
    Unanswered(String),
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Caller {
    anywhere: bool,
    client: Client,
    slots: Semaphore,
}

impl Caller {
    pub(crate) fn new(anywhere: bool) -> std::io::Result<Self> {
        // The error says that a provider is installed already, which is all that is wanted here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("windlass-doubles");
        if !anywhere {
            // A proxy of the environment must not see this machine's own traffic, and a host without root certificates
            // must not matter.
            client = client.no_proxy().tls_certs_only(std::iter::empty());
        }
        let client = client.build().map_err(std::io::Error::other)?;
        Ok(Self { anywhere, client, slots: Semaphore::new(MAX_AT_ONCE) })
    }

    /// The address in the form in which it is requested, and so the one to sign.
    pub(crate) fn address(&self, url: &str) -> Result<Url, CallError> {
        let parsed = Url::parse(url).map_err(|_| CallError::Address(url.to_owned()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(CallError::Address(url.to_owned()));
        }
        let here = parsed.host_str().is_some_and(|host| {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        if here || self.anywhere { Ok(parsed) } else { Err(CallError::Elsewhere(url.to_owned())) }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<String>,
    ) -> Result<Answer, CallError> {
        let _slot = self.slots.acquire().await;
        let failed = |error: reqwest::Error| CallError::Unanswered(error.without_url().to_string());
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            let room = MAX_ANSWER_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() >= room {
                break;
            }
        }
        Ok(Answer { status, body })
    }
}

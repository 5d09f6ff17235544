//! One request and its answer, or what became of it.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use crate::connect::Guarded;
use crate::guard::{Forbidden, Guard, NoWay};
use crate::sign::sign;
use crate::target::Target;

/// Bytes of an answer's body that are read; the rest is left.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer's headers: a target is not believed to be kind.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long a connection is kept that nothing is sent over: less than servers keep theirs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest that a target is believed when it says how long to stay away: a day, as a slip of a clock or of a unit
/// would otherwise hold work back for years.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What is sent.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// Which message it is: the same however often it is sent. Visible ASCII without a dot.
    pub id: &'a str,
    /// When it is sent, in seconds since 1970.
    pub at_s: u64,
    /// What the body is.
    pub content_type: &'a str,
    /// Headers beside the target's own, which they replace.
    pub headers: HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Post<'a> {
    /// A body of JSON, of no id and no time yet.
    pub fn json(body: &'a [u8]) -> Self {
        Self { id: "", at_s: 0, content_type: "application/json", headers: HeaderMap::new(), body }
    }
}

/// What the target said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status, whichever: a redirection is an answer too, and is not followed.
    pub status: u16,
    /// How long it wants to be left alone, at most a day.
    pub retry_after: Option<Duration>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or the first 64 KiB of it.
    pub body: Bytes,
    /// Whether the body was longer.
    pub cut: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The target may not be reached. Nothing was sent.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Nobody answered at the target's address. Nothing was sent.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The target could not show that it is who it should be. Nothing was sent.
    #[error("no safe connection: {0}")]
    Tls(String),
    /// No whole answer came in time. It may have been done.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke off. It may have been done.
    #[error("the connection broke off: {0}")]
    Broken(String),
    /// What was to be sent is no request.
    #[error("it cannot be sent: {0}")]
    Impossible(String),
}

impl Failure {
    /// Whether the target may have done what was asked.
    pub fn may_have_taken_effect(&self) -> bool {
        matches!(self, Failure::TimedOut(_) | Failure::Broken(_))
    }
}

/// Sends requests to targets, by one guard. It belongs to the runtime in which it first sends: connections are kept and
/// driven there.
#[derive(Clone)]
pub struct Sender {
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
    guard: Guard,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Sender {
    /// Believes the certificates that this host believes, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    ///
    /// # Errors
    /// The system cannot do TLS.
    pub fn new(guard: Guard) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        // Some of a system's certificates are for other uses; whichever serve are enough. A host that has none can
        // still reach what is allowed without TLS.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::believing(guard, roots)
    }

    /// Believes those certificates.
    ///
    /// # Errors
    /// The system cannot do TLS.
    pub fn believing(guard: Guard, roots: RootCertStore) -> Result<Self, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| Failure::Tls(why.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Guarded(guard.clone()));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Ok(Self { client, guard })
    }

    /// What decides on targets.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends one request and waits for the answer, both within the target's time.
    ///
    /// # Errors
    /// No answer came; [`Failure::may_have_taken_effect`] says whether it may have been done.
    pub async fn post(&self, target: &Target, post: Post<'_>) -> Result<Answer, Failure> {
        let request = request(target, &post)?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|why| failure(&why))?;
            answer(response).await
        };
        let answer = tokio::time::timeout(target.timeout, exchange).await;
        answer.unwrap_or(Err(Failure::TimedOut(target.timeout)))
    }
}

fn request(target: &Target, post: &Post<'_>) -> Result<Request<Full<Bytes>>, Failure> {
    let impossible = |why: &str| Failure::Impossible(why.to_owned());
    let id = post.id;
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic()) || id.contains('.') {
        return Err(impossible("a message's id is of visible ASCII, without a dot"));
    }
    let text = |value: &str| HeaderValue::from_str(value).map_err(|why| impossible(&why.to_string()));
    let mut request = Request::new(Full::from(Bytes::copy_from_slice(post.body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.url.uri().clone();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in target.headers.iter().chain(&post.headers) {
        headers.insert(name.clone(), value.clone());
    }
    headers.insert(CONTENT_TYPE, text(post.content_type)?);
    headers.insert(ID, text(id)?);
    headers.insert(TIMESTAMP, HeaderValue::from(post.at_s));
    if !target.secrets.is_empty() {
        headers.insert(SIGNATURE, text(&sign(&target.secrets, id, post.at_s, post.body))?);
    }
    Ok(request)
}

async fn answer(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (head, mut body) = response.into_parts();
    let mut read = Vec::new();
    let mut cut = false;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| Failure::Broken(words(&why)))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = BODY_BYTES_MAX - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            // The connection goes with the rest of the body.
            cut = true;
            break;
        }
    }
    let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Ok(Answer {
        status: head.status.as_u16(),
        retry_after: retry_after.and_then(|value| until(value, SystemTime::now())),
        headers: head.headers,
        body: read.into(),
        cut,
    })
}

/// What `Retry-After` says: seconds, or a date.
fn until(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// What an exchange that gave no answer means.
fn failure(error: &hyper_util::client::legacy::Error) -> Failure {
    let cause = error.source();
    if let Some(no_way) = cause.and_then(of::<NoWay>) {
        return match no_way {
            NoWay::Forbidden(forbidden) => Failure::Forbidden(forbidden.clone()),
            unresolved => Failure::Unreachable(unresolved.to_string()),
        };
    }
    let why = cause.map_or_else(|| error.to_string(), words);
    if cause.and_then(of::<rustls::Error>).is_some() {
        return Failure::Tls(why);
    }
    // A request that is cancelled has been handed back whole.
    let handed_back = || cause.and_then(of::<hyper::Error>).is_some_and(hyper::Error::is_canceled);
    if error.is_connect() || handed_back() { Failure::Unreachable(why) } else { Failure::Broken(why) }
}

/// The first error of that type in the chain. An error inside of an [`io::Error`] is no source of it.
fn of<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = inner.map(|inner| inner as &(dyn Error + 'static));
    error.downcast_ref().or_else(|| inner.and_then(of)).or_else(|| error.source().and_then(of))
}

/// An error with what lies behind it.
fn words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(why) = behind {
        let more = why.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        behind = why.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_a_day() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        let is = |value| until(value, now).map(|wait| wait.as_secs());
        assert_eq!(
            (is("120"), is(" 0 "), is("Sun, 06 Nov 1994 08:50:37 GMT")),
            (Some(120), Some(0), Some(60))
        );
        assert_eq!(is("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "it has passed");
        assert_eq!((is("99999999"), is("Sat, 06 Nov 2094 08:50:37 GMT")), (Some(86_400), Some(86_400)));
        assert_eq!((is("soon"), is("-1"), is("")), (None, None, None));
    }
}

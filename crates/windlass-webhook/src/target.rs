//! Where requests go: an address, what signs them, what goes along.

use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

use crate::sign::Secret;

/// The longest address that is taken; some servers take no more, and none needs it.
const URL_BYTES_MAX: usize = 2_048;
/// How long a request may take in all, unless said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An address that a request can go to: `http` or `https`, a host, no name or password, no fragment.
///
/// Read as browsers read it, so `https://0x7f.1/` is `https://127.0.0.1/` before anything looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    url: Url,
    uri: Uri,
    host: String,
    port: u16,
}

/// Why a text is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// No URL at all.
    #[error("it is no URL: {0}")]
    Unreadable(String),
    /// Another protocol.
    #[error("{0} is another protocol: write https://…")]
    Scheme(String),
    /// A name or a password in it.
    #[error("a name or password in an address is shown to people: send them in a header")]
    Userinfo,
    /// A fragment, which is never sent.
    #[error("a fragment (#…) is never sent")]
    Fragment,
    /// Too long.
    #[error("it is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
}

impl TargetUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`BadUrl`], which repeats no part that may be secret.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        if text.len() > URL_BYTES_MAX {
            return Err(BadUrl::TooLong);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            // They would be taken out or turned round in silence.
            return Err(BadUrl::Unreadable("it has a space, a control character or a backslash".into()));
        }
        let url = Url::parse(text).map_err(|why| BadUrl::Unreadable(why.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadUrl::Scheme(url.scheme().to_owned()));
        }
        let authority = text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(BadUrl::Userinfo);
        }
        if url.fragment().is_some() {
            return Err(BadUrl::Fragment);
        }
        let unreadable = |why: &str| BadUrl::Unreadable(why.to_owned());
        let host = match url.host().ok_or_else(|| unreadable("it names no host"))? {
            Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        if host.is_empty() {
            return Err(unreadable("it names no host"));
        }
        let port = url.port_or_known_default().filter(|port| *port > 0);
        let port = port.ok_or_else(|| unreadable("its port is none"))?;
        let uri = Uri::from_str(url.as_str()).map_err(|why| unreadable(&why.to_string()))?;
        Ok(Self { url, uri, host, port })
    }

    /// As it is asked for.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The name, or the address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, said or usual.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is asked for over TLS.
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// Where requests go, and how.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) url: TargetUrl,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) timeout: Duration,
    pub(crate) headers: HeaderMap,
}

impl Target {
    /// That address, with nothing that signs, and 10 s for a request.
    pub fn new(url: TargetUrl) -> Self {
        Self { url, secrets: Vec::new(), timeout: TIMEOUT, headers: HeaderMap::new() }
    }

    /// Signs with each of these: two while one takes the place of the other. With none a request bears its id and
    /// time, and no signature.
    #[must_use]
    pub fn signed_by(mut self, secrets: impl IntoIterator<Item = Secret>) -> Self {
        self.secrets = secrets.into_iter().collect();
        self
    }

    /// How long a request may take, from the name's resolution to the last byte of the answer.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Headers that every request bears; made by [`header`].
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        self.headers = headers.into_iter().collect();
        self
    }

    /// How long a request may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Where it is.
    pub fn url(&self) -> &TargetUrl {
        &self.url
    }
}

/// A header that nobody may set by themselves, or that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// No name of a header.
    #[error("{0:?} is no header's name")]
    Name(String),
    /// No value of a header; what it is may be secret.
    #[error("the value of {0} has characters that no header may have")]
    Value(String),
    /// It belongs to the request itself, or to its signature.
    #[error("{0} is set by whoever sends the request")]
    Ours(String),
}

/// Headers that belong to the connection, the body or the signature.
const OURS: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// A header that users may have sent along. Its value is never logged.
///
/// # Errors
/// [`BadHeader`].
pub fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), BadHeader> {
    let named = HeaderName::from_str(name).map_err(|_| BadHeader::Name(name.to_owned()))?;
    if OURS.contains(&named.as_str()) {
        return Err(BadHeader::Ours(named.to_string()));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| BadHeader::Value(named.to_string()))?;
    value.set_sensitive(true);
    Ok((named, value))
}

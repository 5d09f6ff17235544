//! The way to the server: its connections, and what an exchange that broke means.
//!
//! Each runtime has connections of its own. A connection is driven by a task of the runtime that made it; a heartbeat,
//! which comes from a thread of its own so that handlers may block theirs, must not wait for a task of theirs, and a call
//! must not break off because the runtime of another caller ends.
//!
//! A request that was cut off before any of it was sent, on a connection that was kept and turned out to be closed, is
//! sent again by hyper. Nothing else is sent twice here.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::{Handle, Id};
use tower_service::Service;

use crate::OpenError;
use crate::address::{Address, Way};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is kept that nothing is sent over: less than servers and what stands before them keep theirs, so
/// that a request seldom meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Runtimes whose connections are kept: a program has one, and each of its workers a small one for heartbeats. Those that
/// were not used for longest are let go.
const RUNTIMES_MAX: usize = 16;
/// In which every answer of a server names its version.
const VERSION: HeaderName = HeaderName::from_static("windlass-version");

/// The way to one server.
pub(crate) struct Link {
    address: Address,
    credential: Option<HeaderValue>,
    call_timeout: Duration,
    /// Makes the connections of one more runtime.
    connect: Box<dyn Fn() -> Http + Send + Sync>,
    connections: Mutex<Vec<(Id, Http)>>,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// The version of the Windlass server that answered; none when somebody else did.
    pub(crate) version: Option<String>,
    pub(crate) body: Bytes,
}

/// An answer that goes on coming.
pub(crate) struct Streamed {
    /// How long it will be.
    pub(crate) bytes: Option<u64>,
    pub(crate) body: Incoming,
}

/// Why nothing came back, in words.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing of the request can have arrived.
    NotSent(String),
    /// It may have been done.
    Unanswered(String),
    /// It cannot be sent at all, now or later.
    Impossible(String),
}

impl Link {
    pub(crate) fn new(
        address: Address,
        token: Option<&str>,
        call_timeout: Duration,
    ) -> Result<Self, OpenError> {
        let credential = |token| {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| OpenError::BadToken)?;
            value.set_sensitive(true);
            Ok::<_, OpenError>(value)
        };
        Ok(Self {
            credential: token.map(credential).transpose()?,
            call_timeout,
            connect: by(&address.way)?,
            address,
            connections: Mutex::default(),
        })
    }

    /// The address as it may be shown.
    pub(crate) fn shown(&self) -> String {
        self.address.shown()
    }

    /// Lets go of the connections that nothing is sent over.
    pub(crate) fn let_go(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends one request and waits for the whole answer, `more` longer than any call may take.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        more: Duration,
    ) -> Result<Reply, Broken> {
        let request = self.request(method, path, body).map_err(|why| Broken::Impossible(why.to_string()))?;
        let http = self.http()?;
        let exchange = async {
            let response = http.request(request).await.map_err(|why| self.broken(&why))?;
            self.whole(response).await
        };
        self.in_time(self.call_timeout.saturating_add(more), exchange).await
    }

    /// Sends one request and waits for the beginning of the answer; one that is not good, or no server's, comes whole.
    pub(crate) async fn begin(&self, method: Method, path: &str) -> Result<Result<Streamed, Reply>, Broken> {
        let request = self.request(method, path, None).map_err(|why| Broken::Impossible(why.to_string()))?;
        let http = self.http()?;
        let beginning = async {
            let response = http.request(request).await.map_err(|why| self.broken(&why))?;
            if response.status().is_success() && response.headers().contains_key(&VERSION) {
                let body = response.into_body();
                return Ok(Ok(Streamed { bytes: body.size_hint().exact(), body }));
            }
            self.whole(response).await.map(Err)
        };
        self.in_time(self.call_timeout, beginning).await
    }

    async fn whole(&self, response: hyper::Response<Incoming>) -> Result<Reply, Broken> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|why| {
            Broken::Unanswered(format!("{} broke off in its answer: {}", self.shown(), words(&why)))
        })?;
        let version =
            head.headers.get(&VERSION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(Reply { status: head.status, version, body: body.to_bytes() })
    }

    async fn in_time<T>(
        &self,
        within: Duration,
        exchange: impl Future<Output = Result<T, Broken>>,
    ) -> Result<T, Broken> {
        tokio::time::timeout(within, exchange).await.unwrap_or_else(|_| {
            Err(Broken::Unanswered(format!("{} has not answered within {within:?}", self.shown())))
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.address.base));
        request = request.header(USER_AGENT, concat!("windlass-http/", env!("CARGO_PKG_VERSION")));
        if let Some(credential) = &self.credential {
            request = request.header(AUTHORIZATION, credential);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(body.unwrap_or_default()))
    }

    /// What an exchange that gave no answer means.
    fn broken(&self, why: &hyper_util::client::legacy::Error) -> Broken {
        let cause = why.source().map_or_else(|| why.to_string(), words);
        // A request that is cancelled has been handed back whole.
        let handed_back = || {
            why.source()
                .and_then(|why| why.downcast_ref::<hyper::Error>())
                .is_some_and(hyper::Error::is_canceled)
        };
        if why.is_connect() || handed_back() {
            Broken::NotSent(format!("cannot connect to {}: {cause}", self.shown()))
        } else {
            Broken::Unanswered(format!("{} broke off before it answered: {cause}", self.shown()))
        }
    }

    /// The connections of the runtime that asks.
    fn http(&self) -> Result<Http, Broken> {
        let runtime = Handle::try_current().map_err(|why| Broken::Impossible(why.to_string()))?.id();
        let mut all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().position(|(id, _)| *id == runtime);
        let entry = match found {
            Some(at) => all.remove(at),
            None => {
                if all.len() >= RUNTIMES_MAX {
                    all.remove(0);
                }
                (runtime, (self.connect)())
            }
        };
        let http = entry.1.clone();
        all.push(entry);
        Ok(http)
    }
}

/// What makes connections in that way.
fn by(way: &Way) -> Result<Box<dyn Fn() -> Http + Send + Sync>, OpenError> {
    Ok(match way {
        Way::Tcp => Box::new(|| Http::Tcp(client(tcp()))),
        #[cfg(feature = "tls")]
        Way::Tls => {
            let tls = crate::tls::roots().and_then(crate::tls::config).map_err(OpenError::Tls)?;
            Box::new(move || over_tls(tls.clone()))
        }
        #[cfg(unix)]
        Way::Socket(path) => {
            let socket = Socket(path.as_path().into());
            Box::new(move || Http::Socket(client(socket.clone())))
        }
    })
}

#[cfg(feature = "tls")]
fn over_tls(tls: rustls::ClientConfig) -> Http {
    let safe = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
    let mut below = tcp();
    // The connection below is asked for by the scheme above it.
    below.enforce_http(false);
    Http::Tls(client(safe.wrap_connector(below)))
}

/// The connections of one runtime, by the way that they are made.
#[derive(Clone)]
enum Http {
    Tcp(Client<InTime<HttpConnector>, Full<Bytes>>),
    #[cfg(feature = "tls")]
    Tls(Client<InTime<hyper_rustls::HttpsConnector<HttpConnector>>, Full<Bytes>>),
    #[cfg(unix)]
    Socket(Client<InTime<Socket>, Full<Bytes>>),
}

impl Http {
    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match self {
            Http::Tcp(client) => client.request(request),
            #[cfg(feature = "tls")]
            Http::Tls(client) => client.request(request),
            #[cfg(unix)]
            Http::Socket(client) => client.request(request),
        }
    }
}

fn client<C>(connector: C) -> Client<InTime<C>, Full<Bytes>>
where
    InTime<C>: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(InTime(connector))
}

fn tcp() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

/// A connection that is made within its time or not at all: name, handshake and all.
#[derive(Clone)]
struct InTime<C>(C);

type Unmade = Box<dyn Error + Send + Sync>;
type Making<T> = Pin<Box<dyn Future<Output = Result<T, Unmade>> + Send>>;

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri>,
    C::Error: Into<Unmade>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = Unmade;
    type Future = Making<C::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unmade>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let making = self.0.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, making).await {
                Ok(made) => made.map_err(Into::into),
                Err(_) => Err(format!("no connection within {CONNECT_TIMEOUT:?}").into()),
            }
        })
    }
}

/// Connects to a socket of this machine, whatever host is asked for.
#[cfg(unix)]
#[derive(Clone)]
struct Socket(std::sync::Arc<std::path::Path>);

#[cfg(unix)]
impl Service<Uri> for Socket {
    type Response = hyper_util::rt::TokioIo<tokio::net::UnixStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { tokio::net::UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) })
    }
}

/// An error with what lies behind it: its own words leave that out, and it is the part that helps.
fn words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(why) = behind {
        words.push_str(": ");
        words.push_str(&why.to_string());
        behind = why.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        let address = Address::parse("http://localhost:1").expect("an address");
        Link::new(address, Some("secret"), Duration::from_secs(10)).expect("a link")
    }

    #[test]
    fn each_runtime_has_connections_of_its_own_and_they_stay_few() {
        let link = link();
        let runtimes: Vec<_> = (0..RUNTIMES_MAX + 2)
            .map(|_| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"))
            .collect();
        for runtime in &runtimes {
            for _ in 0..2 {
                runtime.block_on(async { link.http().map(drop) }).expect("connections");
            }
        }
        let kept: Vec<Id> = link.connections.lock().expect("no panic").iter().map(|(id, _)| *id).collect();
        let newest: Vec<Id> = runtimes[2..].iter().map(|runtime| runtime.handle().id()).collect();
        assert_eq!(kept, newest);
        assert!(matches!(link.http(), Err(Broken::Impossible(_))), "no runtime at all");
    }

    #[test]
    fn a_request_bears_the_token_and_no_log_of_it_does() {
        let request = link().request(Method::GET, "/v1/info", None).expect("a request");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer secret");
        assert!(!format!("{request:?}").contains("secret"));
        let address = Address::parse("http://localhost:1").expect("an address");
        let refused = Link::new(address, Some("a\nb"), Duration::from_secs(1));
        assert!(matches!(refused.err(), Some(OpenError::BadToken)));
    }

    #[tokio::test]
    async fn a_path_that_is_none_is_never_sent() {
        let told = link().exchange(Method::GET, "/v1/ü x", None, Duration::ZERO).await;
        assert!(matches!(told.err(), Some(Broken::Impossible(_))));
    }

    #[tokio::test]
    #[cfg(feature = "tls")]
    async fn a_server_over_tls_is_believed_by_its_certificate_alone() {
        use rustls::RootCertStore;
        use std::sync::Arc;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|server| server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key));
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server.expect("a server")));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a caller");
                // Who does not believe the certificate goes away.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let asked = stream.read(&mut [0; 1024]).await.expect("a request");
                assert!(asked > 0);
                let answer = b"HTTP/1.1 200 OK\r\nwindlass-version: 0.1.0\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.expect("an answer");
                stream.shutdown().await.expect("its end");
            }
        });

        let believes = |roots: RootCertStore| {
            let tls = crate::tls::config(roots).expect("a client");
            Link {
                address: Address::parse(&format!("https://localhost:{port}")).expect("an address"),
                connect: Box::new(move || over_tls(tls.clone())),
                ..link()
            }
        };
        let mut roots = RootCertStore::empty();
        let stranger = believes(roots.clone()).exchange(Method::GET, "/v1/info", None, Duration::ZERO).await;
        match stranger {
            Err(Broken::NotSent(why)) => assert!(why.contains("certificate"), "{why}"),
            other => panic!("{:?}", other.map(|reply| reply.status)),
        }
        roots.add(cert.der().clone()).expect("a root");
        let reply = believes(roots).exchange(Method::GET, "/v1/info", None, Duration::ZERO).await;
        assert_eq!(reply.expect("an answer").version.as_deref(), Some("0.1.0"));
    }
}

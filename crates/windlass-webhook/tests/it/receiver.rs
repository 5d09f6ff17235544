//! Real servers on free ports of this machine, which keep what came and answer as told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Came {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Came {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// A server that gives one answer, byte by byte as it is told.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Receiver {
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), None).await
    }

    /// One that shows a certificate for `localhost`, and the root that stands for it.
    pub(crate) async fn over_tls(answer: impl Into<Vec<u8>>) -> (Self, RootCertStore) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a configuration");
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).expect("a root");
        (Self::start(answer.into(), Some(TlsAcceptor::from(Arc::new(config)))).await, roots)
    }

    async fn start(answer: Vec<u8>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let came = Arc::<Mutex<Vec<Came>>>::default();
        let kept = came.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer, tls) = (kept.clone(), answer.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(stream, &kept, &answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, &kept, &answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, came }
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().expect("no panic").clone()
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, kept: &Mutex<Vec<Came>>, answer: &[u8]) {
    while let Some(one) = request(&mut stream).await {
        kept.lock().expect("no panic").push(one);
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if answer.is_empty() {
            // Never an answer, and never an end.
            std::future::pending::<()>().await;
        }
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Came> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("ASCII");
    let (line, rest) = head.split_once("\r\n")?;
    let headers = rest.lines().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut came = Came { line: line.to_owned(), headers, body: Vec::new() };
    came.body = vec![0; came.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut came.body).await.ok()?;
    Some(came)
}

//! TLS by rustls: a certificate and its key from two files, read again when they change, without a restart.
//!
//! New connections get the new certificate; those that are there go on with theirs. Files that cannot be used (half
//! written, a key of another certificate) change nothing: the certificate before stays, and the log says why.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::door::Connection;

/// How long a handshake may take: some round trips over the slowest network.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether the files have changed: certificates are renewed days before they end.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why TLS cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read, or holds nothing of what it should.
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate and the key do not go together.
    Pair(rustls::Error),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlsError::File { path, why } => write!(f, "{}: {why}", path.display()),
            TlsError::Pair(error) => write!(f, "the certificate and the key cannot be used: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// When files were written, and how long they are: what changes if they do.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// A certificate with its key. TLS 1.2 and 1.3 are spoken.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Stamp>,
}

impl Tls {
    /// Reads both files (PEM): the certificate with those that lead to a root behind it, and its key.
    ///
    /// # Errors
    /// [`TlsError`] that names the file and what is wrong with it.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let seen = stamp(certificate, key);
        let config = read(certificate, key)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            config: RwLock::new(config),
            seen: Mutex::new(seen),
        }))
    }

    /// Reads both files again, if they have changed; whether they have.
    ///
    /// # Errors
    /// As [`Tls::load`]; the certificate stays as it was.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let now = stamp(&self.certificate, &self.key);
        if now == *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(false);
        }
        let config = read(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(true)
    }

    /// Reloads whenever the files have changed, until nobody listens with them any more.
    pub(crate) async fn keep(self: Arc<Self>) {
        let tls = Arc::downgrade(&self);
        drop(self);
        // A fault that stays is said once.
        let mut said = String::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(tls) = tls.upgrade() else { return };
            match tls.reload() {
                Ok(true) => {
                    tracing::info!(certificate = %tls.certificate.display(), "a new certificate is in use")
                }
                Ok(false) => {}
                Err(error) if error.to_string() == said => {}
                Err(error) => {
                    tracing::error!(%error, "the certificate before stays in use");
                    said = error.to_string();
                }
            }
        }
    }

    /// Makes a connection one over TLS.
    pub(crate) async fn shake(&self, stream: Connection) -> std::io::Result<Connection> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, TlsAcceptor::from(config).accept(stream)).await;
        Ok(Box::new(shaken.map_err(|_| std::io::ErrorKind::TimedOut)??))
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.modified().ok()?, about.len()))
    })
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let fault = |path: &Path, why: String| TlsError::File { path: path.to_owned(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| fault(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(fault(
            certificate,
            "there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)".into(),
        ));
    }
    let own = PrivateKeyDer::from_pem_file(key).map_err(|error| fault(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, own));
    let mut config = config.map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

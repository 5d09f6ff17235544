//! TLS: a certificate that is read again, and cookies that know of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use windlass_server::{Access, Drain, Listen, Options, Secret, Tls, TlsError, router, serve};

use crate::matrix::ROOT;

/// Writes a new certificate of this machine and its key; the certificate.
fn certify(certificate: &Path, key: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(certificate, made.cert.pem()).expect("written");
    std::fs::write(key, made.signing_key.serialize_pem()).expect("written");
    made.cert.pem()
}

/// Whatever a request is answered by a server that shows a certificate which those roots believe.
async fn ask(at: SocketAddr, roots: &str, request: &str) -> std::io::Result<String> {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(roots.as_bytes()).expect("a certificate")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(store)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(at).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await?;
    Ok(String::from_utf8_lossy(&told).into_owned())
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let home = tempfile::tempdir().expect("a directory");
    let (certificate, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    let first = certify(&certificate, &key);
    let tls = Tls::load(&certificate, &key).expect("a certificate");
    let client = windlass::open("memory:").await.expect("memory");
    let drain = Drain::default();
    let access = Access::Bearer(Secret::new(ROOT));
    let app = router(&client, Options { access, hosts: None, drain: drain.clone(), ..Options::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("an address");
    let server = tokio::spawn(serve(vec![(Listen::Tls(listener, tls.clone()), app)], drain.clone()));

    assert!(ask(at, &first, HEALTH).await.expect("an answer").starts_with("HTTP/1.1 200"));
    // Plain HTTP is no handshake, and keeps nobody waiting.
    let mut plain = TcpStream::connect(at).await.expect("a connection");
    plain.write_all(HEALTH.as_bytes()).await.expect("sent");
    let mut told = Vec::new();
    let _ = plain.read_to_end(&mut told).await;
    assert!(!told.starts_with(b"HTTP/"), "{told:?}");

    let body = format!("token={ROOT}");
    let login = format!(
        "POST /login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let page = ask(at, &first, &login).await.expect("an answer");
    assert!(page.contains("windlass_session=") && page.contains("; Secure"), "{page}");

    assert!(!tls.reload().expect("nothing changed"));
    std::fs::write(&certificate, "half a certi").expect("written");
    assert!(matches!(tls.reload(), Err(TlsError::File { .. })));
    assert!(ask(at, &first, HEALTH).await.is_ok(), "the certificate before stays");
    let other = home.path().join("other.pem");
    let second = certify(&certificate, &other);
    assert!(tls.reload().is_err(), "the key of another certificate");
    std::fs::copy(&other, &key).expect("copied");
    assert!(tls.reload().expect("a new pair"));
    assert!(ask(at, &second, HEALTH).await.expect("an answer").starts_with("HTTP/1.1 200"));
    assert!(ask(at, &first, HEALTH).await.is_err(), "the certificate before is no longer shown");
    drain.begin();
    server.await.expect("the server").expect("it ends in order");
}

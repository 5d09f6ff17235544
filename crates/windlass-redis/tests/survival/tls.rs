//! A server that speaks TLS.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use windlass_core::store::Queue;
use windlass_redis::{RedisOptions, RedisStore};

use crate::health::{claim, job};
use crate::server::Server;

/// Files of PEM: an authority, and a certificate that it gave to `localhost`.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority of this test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let given = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        std::fs::write(directory.path().join("ca"), authority.pem()).unwrap();
        std::fs::write(directory.path().join("cert"), given.pem()).unwrap();
        std::fs::write(directory.path().join("key"), key.serialize_pem()).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn refused(url: &str) -> String {
    RedisStore::open(url, RedisOptions::default()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_server_with_certificates_is_reached_by_rediss_and_nobody_else_is_believed() {
    let files = Files::new();
    let (ca, cert, key) = (files.path("ca"), files.path("cert"), files.path("key"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls_port = port.to_string();
    let _server = Server::with(&[
        "--tls-port",
        &tls_port,
        "--tls-ca-cert-file",
        text(&ca),
        "--tls-cert-file",
        text(&cert),
        "--tls-key-file",
        text(&key),
    ]);
    let (ca, cert, key) = (text(&ca), text(&cert), text(&key));

    let url = format!("rediss://localhost:{port}?tls_ca={ca}&tls_cert={cert}&tls_key={key}");
    let store = RedisStore::open(&url, RedisOptions::default()).await.unwrap();
    store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
    assert_eq!(claim(&store, Vec::new(), 9).await.len(), 1);

    let strangers = Files::new();
    let stranger = strangers.path("ca");
    for (what, url) in [
        ("no certificate of ours", format!("rediss://localhost:{port}?tls_ca={ca}")),
        (
            "an authority that did not give it",
            format!("rediss://localhost:{port}?tls_ca={}&tls_cert={cert}&tls_key={key}", text(&stranger)),
        ),
        (
            "another name than the certificate's",
            format!("rediss://127.0.0.1:{port}?tls_ca={ca}&tls_cert={cert}&tls_key={key}"),
        ),
        ("no TLS", format!("redis://localhost:{port}")),
    ] {
        let told = refused(&url).await;
        println!("{what}: {told}");
        assert!(told.contains("server"), "{what}: {told}");
    }
    let told = refused(&format!("redis://localhost:{port}")).await;
    assert!(told.contains("it is written rediss://"), "{told}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_one_that_is_not_there() {
    let (_server, address) = Server::on_loopback(&["--appendonly", "no"]);
    let told = refused(&format!("rediss://{address}")).await;
    assert!(told.contains("written redis://"), "{told}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = refused(&format!("rediss://{nobody}")).await;
    assert!(told.contains("cannot reach the Redis server") && !told.contains("written"), "{told}");
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_named_and_no_password_is() {
    for (url, says) in [
        ("rediss://user:secret@a:1?tls_ca=/nowhere/ca.pem", "cannot read /nowhere/ca.pem"),
        ("rediss://user:secret@a:1?tls_cert=/dev/null", "two files"),
        ("rediss://user:secret@a:1?tls=yes", "there is no option"),
    ] {
        let told = refused(url).await;
        assert!(told.contains(says), "{url}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

//! Certificates that are made here, and a server that has one.

use crate::server::{Server, free_address};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::net::SocketAddr;

/// An authority, with its certificate in a file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: tempfile::NamedTempFile,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a certificate");
        let mut params = CertificateParams::new(Vec::new()).expect("a certificate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = tempfile::NamedTempFile::new().expect("a certificate");
        std::fs::write(pem.path(), params.self_signed(&key).expect("a certificate").pem())
            .expect("a certificate");
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `localhost`, and its key, as PEM.
    pub(crate) fn certificate(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a certificate");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a certificate");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        (signed.pem(), key.serialize_pem())
    }

    /// A server whose certificate is for `localhost`.
    pub(crate) fn server(&self) -> (Server, SocketAddr) {
        let (certificate, key) = self.certificate();
        let address = free_address();
        let server = Server::prepare(&["ssl=on"], Some(address.port()));
        server.put("server.crt", &certificate);
        server.put("server.key", &key);
        server.run();
        (server, address)
    }

    /// That file.
    pub(crate) fn file(&self) -> String {
        self.pem.path().display().to_string()
    }
}

//! TLS to the server: rustls with ring, and what is asked of the server's certificate.

use crate::{Tls, Verify};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What makes a connection safe, if the server offers TLS and the address wants it.
pub(crate) type Connector = MakeRustlsConnect;
/// What such a connection speaks through.
pub(crate) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// The connector that this asks for.
pub(crate) fn connector(tls: &Tls) -> Result<Connector, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|why| format!("TLS: {why}"))?;
    let roots = || roots(tls.root_certificates.as_deref());
    let chain = match tls.verify {
        Verify::Chain => {
            let chain =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots()?), Arc::clone(&provider));
            Some(chain.build().map_err(|why| format!("TLS: {why}"))?)
        }
        Verify::Name | Verify::Nothing => None,
    };
    let builder = match tls.verify {
        Verify::Name => builder.with_root_certificates(roots()?),
        Verify::Chain | Verify::Nothing => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { chain, provider }))
        }
    };
    let mut config = builder.with_no_client_auth();
    // Servers of version 17 and later insist on it when the connection begins with TLS.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

/// The certificates of that file, or the system's.
fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            let shown = file.display();
            let found =
                CertificateDer::pem_file_iter(file).map_err(|why| format!("sslrootcert {shown}: {why}"))?;
            for certificate in found {
                let certificate = certificate.map_err(|why| format!("sslrootcert {shown}: {why}"))?;
                roots.add(certificate).map_err(|why| format!("sslrootcert {shown}: {why}"))?;
            }
        }
        None => {
            // Some of a system's certificates are for other uses; whichever serve are enough.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(match file {
            Some(file) => format!("sslrootcert {}: there is no certificate in it", file.display()),
            None => "this system has no root certificates; name a file of them: sslrootcert=FILE".to_owned(),
        });
    }
    Ok(roots)
}

/// A certificate whatever name it bears. Signatures are always checked: only its owner can answer.
#[derive(Debug)]
struct AnyName {
    /// `verify-ca`: an authority that is known has signed it. `prefer` and `require` take whoever answers, as libpq has
    /// it: that keeps listeners out, and no impostor.
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last: with another name everything else has been found good.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            told => told,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

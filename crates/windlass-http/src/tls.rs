//! TLS to the server: rustls with ring, and the roots that this host believes.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// What a connection is made safe with: the server shows a certificate of its name that one of these roots stands for.
pub(crate) fn config(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The roots that this host believes, or those that the environment's `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
pub(crate) fn roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Some of a system's certificates are for other uses; whichever serve are enough.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this system has no root certificates; name a file of them in SSL_CERT_FILE".to_owned());
    }
    Ok(roots)
}

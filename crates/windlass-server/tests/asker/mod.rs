//! Whoever sends requests in tests.

/// A client in the making. Where another crate of the workspace asks for a TLS without a provider, a client cannot be
/// built before there is one, whether it speaks TLS or not.
pub(crate) fn asker() -> reqwest::ClientBuilder {
    // Whoever came first has installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

//! What every handler has: the client, the options, and the signal to come to an end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ring::digest;
use tokio_util::sync::CancellationToken;
use windlass::Client;
use windlass_core::store::Store;

use crate::bulk::Desk;
use crate::ui::session::Sessions;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who may use it.
    pub access: Access,
    /// The names that a request may give as its host, without ports; none allows every name. A page that a browser got
    /// from elsewhere can be made to reach this server under a name of its own (DNS rebinding), so a server without
    /// keys must name its hosts.
    pub hosts: Option<Vec<String>>,
    /// When it begins to end: requests that wait are answered, and events stop.
    pub drain: Drain,
}

impl Default for Options {
    /// For this machine alone.
    fn default() -> Self {
        let hosts = ["localhost", "127.0.0.1", "[::1]"].map(ToOwned::to_owned).to_vec();
        Self { access: Access::Anyone, hosts: Some(hosts), drain: Drain::default() }
    }
}

/// Who may use a server.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever reaches it.
    Anyone,
    /// Whoever shows this secret as `Authorization: Bearer …`.
    Bearer(Secret),
}

/// A secret of which only the digest is kept.
#[derive(Clone)]
pub struct Secret(digest::Digest);

impl Secret {
    /// The secret of that text.
    pub fn new(text: &str) -> Self {
        Self(digest::digest(&digest::SHA256, text.as_bytes()))
    }

    /// Whether the text is the secret. Digests are compared, so the time it takes says nothing about the secret.
    pub fn is(&self, text: &str) -> bool {
        Self::new(text).0.as_ref() == self.0.as_ref()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The signal that a server comes to its end. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct Drain(CancellationToken);

impl Drain {
    /// Lets the server come to its end.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// When it begins.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }
}

/// The longest that a request waits for something to happen: below the minute after which proxies give up.
pub(crate) const WAIT_MOST: Duration = Duration::from_secs(30);

/// What every handler has.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    client: Client,
    options: Options,
    desk: Arc<Desk>,
    sessions: Sessions,
}

impl App {
    pub(crate) fn new(client: &Client, options: Options) -> Self {
        Self(Arc::new(Inner {
            client: client.clone(),
            options,
            desk: Arc::default(),
            sessions: Sessions::default(),
        }))
    }

    /// Who has signed in with a browser.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The same again, from what a background task keeps of it.
    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// What a background task keeps, so that it does not hold the store open.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    /// Operations on many jobs.
    pub(crate) fn desk(&self) -> &Desk {
        &self.0.desk
    }

    pub(crate) fn shared_desk(&self) -> Arc<Desk> {
        self.0.desk.clone()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// The verbs.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.0.client.store()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn drain(&self) -> &Drain {
        &self.0.options.drain
    }
}

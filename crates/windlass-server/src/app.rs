//! What every handler has: the client, the options, and the signal to come to an end.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use axum::extract::FromRef;
use ring::digest;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windlass::Client;
use windlass_core::store::Store;

use crate::audit::{Deeds, Log};
use crate::backoff::Backoff;
use crate::beside::Beside;
use crate::bulk::Desk;
use crate::caller::{Caller, Origin, Who};
use crate::fence::Fenced;
use crate::keys::ring::Ring;
use crate::monitor::Monitor;
use crate::push::Push;
use crate::traffic::Traffic;
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
    /// Whether a proxy stands before it that says who asks (`X-Forwarded-For`) and puts TLS before it. Nobody else is
    /// believed.
    pub behind_proxy: bool,
    /// When it begins to end: requests that wait are answered, and events stop.
    pub drain: Drain,
    /// Sends the jobs of queues that have a target.
    pub push: Push,
    /// The address under which people reach this server, for links in notices; none leaves them out.
    pub public_url: Option<String>,
    /// Whether it watches the store and sends notices. Of several routers of one process one does.
    pub monitors: bool,
    /// The applications whose pages stand beside the dashboard, behind the same door.
    pub beside: Vec<Beside>,
}

impl Default for Options {
    /// For this machine alone.
    fn default() -> Self {
        let hosts = ["localhost", "127.0.0.1", "[::1]"].map(ToOwned::to_owned).to_vec();
        Self {
            access: Access::Anyone,
            hosts: Some(hosts),
            behind_proxy: false,
            drain: Drain::default(),
            push: Push::default(),
            public_url: None,
            monitors: true,
            beside: Vec::new(),
        }
    }
}

/// Who may use a server.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever reaches it.
    Anyone,
    /// Whoever shows this secret as `Authorization: Bearer …`, who may do everything; and whoever shows a key of the
    /// store, who may do what the key says.
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

    /// Whether the text is the secret. How long it takes says nothing about it.
    pub fn is(&self, text: &str) -> bool {
        Self::new(text).0.as_ref().ct_eq(self.0.as_ref()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The end of a server: the signal that it comes, and what the server does by itself and has to finish until then.
/// Clones are the same. A program that serves the router itself begins it and waits for [`Drain::ended`].
#[derive(Clone, Debug, Default)]
pub struct Drain {
    signal: CancellationToken,
    work: TaskTracker,
}

impl Drain {
    /// Lets the server come to its end.
    pub fn begin(&self) {
        self.signal.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// When it begins.
    pub async fn begun(&self) {
        self.signal.cancelled().await;
    }

    /// When what the server does beside requests has ended after that: operations are handed on, pushed jobs answered or
    /// given back, what was noted is written down.
    pub async fn ended(&self) {
        self.begun().await;
        self.work.close();
        self.work.wait().await;
    }

    /// Does that, as something that has an end of its own once this has begun. In a runtime.
    pub(crate) fn waits_for(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.work.spawn(work));
    }
}

/// The longest that a request waits for something to happen: below the minute after which proxies give up.
pub(crate) const WAIT_MOST: Duration = Duration::from_secs(30);

/// What every handler has: the queue as whoever asks may see it, and what the server knows.
///
/// There is no other way for a handler to the store: [`Root`] is the router's state, and the [`App`] that is taken out of
/// it is the one of whoever asks, as [`as_asked`] has set it around the route. Where nobody has, it shows nothing.
#[derive(Clone)]
pub(crate) struct App {
    inner: Arc<Inner>,
    caller: Caller,
    /// The queue as the caller sees it; none for all of it.
    view: Option<Client>,
    /// Where it is noted what the call does, if it leaves a record.
    deeds: Option<Arc<Deeds>>,
}

pub(crate) struct Inner {
    client: Client,
    /// The queue as somebody sees it who has shown nothing.
    closed: OnceLock<Client>,
    options: Options,
    desk: Arc<Desk>,
    monitor: Arc<Monitor>,
    traffic: Traffic,
    sessions: Sessions,
    ring: Arc<Ring>,
    backoff: Backoff,
    log: Arc<Log>,
}

tokio::task_local! {
    /// The [`App`] of the request that this task is about.
    static ASKED: App;
}

/// Answers a request whose handlers get that [`App`].
pub(crate) async fn as_asked<T>(app: App, answer: impl Future<Output = T>) -> T {
    ASKED.scope(app, answer).await
}

/// The state of the router.
#[derive(Clone)]
pub(crate) struct Root(pub(crate) App);

impl FromRef<Root> for App {
    fn from_ref(root: &Root) -> Self {
        let asked = ASKED.try_with(App::clone);
        asked.unwrap_or_else(|_| root.0.seen_by(Caller::new(Who::Nobody, Origin::default())))
    }
}

impl App {
    pub(crate) fn new(client: &Client, options: Options) -> Self {
        Self::of(Arc::new(Inner {
            client: client.clone(),
            closed: OnceLock::new(),
            monitor: Arc::new(Monitor::reaching(options.push.guard().clone())),
            options,
            traffic: Traffic::default(),
            desk: Arc::default(),
            sessions: Sessions::default(),
            ring: Ring::new(client.store().clone()),
            backoff: Backoff::default(),
            log: Log::new(client.store()),
        }))
    }

    /// The same again, from what a background task keeps of it.
    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self { inner, caller: Caller::server(), view: None, deeds: None }
    }

    /// The same as that caller may see it.
    pub(crate) fn seen_by(&self, caller: Caller) -> Self {
        let inner = self.inner.clone();
        let view = match &caller.who {
            Who::Server | Who::Anyone | Who::Root => None,
            Who::Nobody => {
                let closed = || Client::new(Arc::new(Fenced::nothing(inner.client.store().clone())));
                Some(inner.closed.get_or_init(closed).clone())
            }
            Who::Key(held) => Some(held.view(&inner.ring).clone()),
        };
        Self { inner, caller, view, deeds: None }
    }

    /// The same through that client, which sees no more.
    pub(crate) fn through(self, client: Client) -> Self {
        Self { view: Some(client), ..self }
    }

    /// The same with what it does noted there.
    pub(crate) fn noting(self, deeds: Arc<Deeds>) -> Self {
        Self { deeds: Some(deeds), ..self }
    }

    /// Notes what the call does where no verb of the store says it.
    pub(crate) fn note(&self, what: &str) {
        if let Some(deeds) = &self.deeds {
            deeds.note(what);
        }
    }

    /// The same as the server sees it by itself: for what it keeps in the store, never for what somebody asked for.
    pub(crate) fn by_itself(&self) -> Self {
        Self::of(self.inner.clone())
    }

    /// Who asks.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Who has signed in with a browser.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    /// The keys.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.inner.ring
    }

    /// Who has tried what opens nothing.
    pub(crate) fn backoff(&self) -> &Backoff {
        &self.inner.backoff
    }

    /// Who changed what.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.inner.log
    }

    /// What a background task keeps, so that it does not hold the store open.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    /// Operations on many jobs.
    pub(crate) fn desk(&self) -> &Desk {
        &self.inner.desk
    }

    pub(crate) fn shared_desk(&self) -> Arc<Desk> {
        self.inner.desk.clone()
    }

    /// What routes are asked.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.inner.traffic
    }

    /// What is watched, and who is told.
    pub(crate) fn monitor(&self) -> &Monitor {
        &self.inner.monitor
    }

    pub(crate) fn shared_monitor(&self) -> Arc<Monitor> {
        self.inner.monitor.clone()
    }

    pub(crate) fn client(&self) -> &Client {
        self.view.as_ref().unwrap_or(&self.inner.client)
    }

    /// The verbs.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.client().store()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn drain(&self) -> &Drain {
        &self.inner.options.drain
    }
}

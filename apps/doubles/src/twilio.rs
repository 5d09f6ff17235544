//! A real HTTP server in the shape of Twilio's API for messages and calls, and what happens after its answers.
//!
//! The story of one text: a request takes its time, is checked (credentials, numbers, the rules' refusals), is told to
//! slow down or that the server is down, and only then taken, logged and answered, or cut off in place of the answer.
//! From there it lives by itself (`life`): its states pass at the configured pace, callbacks with valid
//! signatures tell of them, a call asks what to say and says it, a person replies, and STOP is remembered.
//!
//! It owns the shape of requests and answers. Where facts of the API come from stands in docs/doubles.md.

use std::{
    collections::{HashSet, VecDeque},
    io,
    net::SocketAddr,
    path::{Path as FilePath, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, OriginalUri},
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    Faults, Handle, Rules, Tally,
    caller::Caller,
    faults::Words,
    kept::Kept,
    listener::CuttableListener,
    log::{DeliveryLog, EventLog},
    moment::now_ms,
    seed::mix,
    serve::serve_until,
};

mod answer;
mod calls;
mod fault;
mod inbound;
mod life;
mod listing;
mod messages;
mod numbers;
mod order;
mod pages;
mod record;
mod signature;
mod twiml;

use answer::{Problem, credentials};
pub use fault::{AnsweredBy, Fault};
use record::{Call, Message};
pub use signature::signature;

/// The largest request body; a text of 1,600 characters is below 15 KiB with every byte escaped.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How many messages, and how many calls, are remembered; the log remembers all.
const MAX_KEPT: usize = 50_000;
/// How many people's STOP is remembered.
const MAX_STOPPED: usize = 100_000;

/// An account of the provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name in paths and credentials (`AC` and 32 digits).
    pub sid: String,
    /// Its password, which signs callbacks too.
    pub token: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// How a provider is set up.
#[derive(Debug)]
pub struct Options {
    /// The one account there is. Without one every account is taken, with any password; it signs what it caused.
    pub account: Option<Account>,
    /// What goes wrong.
    pub rules: Rules<Fault>,
    /// How long each state of a message or call lasts.
    pub pace: Duration,
    /// Where texts of people go.
    pub inbound_url: Option<String>,
    /// Where to write what became of messages and calls, one JSON object a line.
    pub events: Option<PathBuf>,
    /// Whether callbacks may go to other machines.
    pub callbacks_anywhere: bool,
}

/// How long each state lasts unless said.
pub const DEFAULT_PACE: Duration = Duration::from_millis(200);

impl Default for Options {
    fn default() -> Self {
        Self {
            account: None,
            rules: Rules::default(),
            pace: DEFAULT_PACE,
            inbound_url: None,
            events: None,
            callbacks_anywhere: false,
        }
    }
}

impl From<Faults> for Options {
    fn from(faults: Faults) -> Self {
        let rules = faults.rules(Words {
            slow: Fault::Slow,
            refuse: Fault::Refuse(21211),
            defer: Fault::TooMany(1),
            unavailable: Some(Fault::Unavailable),
            drop_reply: Fault::DropAnswer,
        });
        Self { rules, ..Self::default() }
    }
}

/// Starts a provider on `addr` (port 0 chooses a free one) that appends what it accepts to `log_path`.
///
/// # Errors
/// When the address cannot be bound or a log cannot be opened.
pub async fn start(addr: SocketAddr, log_path: &FilePath, options: impl Into<Options>) -> io::Result<Handle> {
    let options = options.into();
    let log = DeliveryLog::open(log_path)?;
    let events = EventLog::open(options.events.as_deref())?;
    let caller = Caller::new(options.callbacks_anywhere)?;
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let tally = Arc::new(Tally::default());
    let (stop, stopped) = watch::channel(false);
    let provider = Arc::new(Provider {
        options,
        log,
        events,
        caller,
        tally: Arc::clone(&tally),
        begun_ms: now_ms(),
        taken: AtomicU64::new(0),
        living: AtomicU64::new(0),
        state: Mutex::new(State {
            messages: Kept::new(MAX_KEPT),
            calls: Kept::new(MAX_KEPT),
            stopped: HashSet::new(),
            stopped_in_order: VecDeque::new(),
        }),
        ending: stopped.clone(),
    });
    let listener = CuttableListener::new(listener, Arc::clone(&tally));
    let task = tokio::spawn(serve_until(listener, router(provider), stopped));
    Ok(Handle::new(addr, "http", log_path, tally, stop, task))
}

struct Provider {
    options: Options,
    log: DeliveryLog,
    events: EventLog,
    caller: Caller,
    tally: Arc<Tally>,
    begun_ms: u64,
    taken: AtomicU64,
    /// Messages and calls that are not at their end.
    living: AtomicU64,
    state: Mutex<State>,
    ending: watch::Receiver<bool>,
}

struct State {
    messages: Kept<Message>,
    calls: Kept<Call>,
    /// Who has stopped whom: our number and the person's.
    stopped: HashSet<(String, String)>,
    stopped_in_order: VecDeque<(String, String)>,
}

fn router(provider: Arc<Provider>) -> Router {
    Router::new()
        .route("/2010-04-01/Accounts/{account}/Messages.json", post(messages::create).get(messages::list))
        .route("/2010-04-01/Accounts/{account}/Messages/{resource}", get(messages::fetch))
        .route("/2010-04-01/Accounts/{account}/Calls.json", post(calls::create).get(calls::list))
        .route("/2010-04-01/Accounts/{account}/Calls/{resource}", get(calls::fetch))
        .route("/_double/inbound", post(inbound::receive))
        .route("/_double/messages", get(pages::messages))
        .route("/_double/calls", get(pages::calls))
        .route("/", get(pages::look))
        .fallback(async |uri: OriginalUri| Problem::not_found(uri.path()))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, 20004, "Method not allowed").into_response()
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(provider)
}

impl Provider {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the state")
    }

    /// The account that asks, or that it may not.
    fn authenticate(&self, account: &str, headers: &HeaderMap) -> Result<Account, Problem> {
        let (user, password) = credentials(headers).ok_or_else(Problem::unauthorised)?;
        match &self.options.account {
            Some(only) if only.sid == account && only.sid == user && only.token == password => {
                Ok(only.clone())
            }
            None => Ok(Account { sid: account.to_owned(), token: password }),
            Some(_) => Err(Problem::unauthorised()),
        }
    }

    /// A name that was never given before, here or before a restart.
    fn new_sid(&self, prefix: &str) -> String {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let high = mix(self.begun_ms, number);
        format!("{prefix}{high:016x}{:016x}", mix(high, number))
    }

    fn event(&self, sid: &str, what: &str, mut more: Value) {
        more["at_ms"] = json!(now_ms());
        more["sid"] = json!(sid);
        more["event"] = json!(what);
        self.events.append(&more);
    }
}

impl State {
    /// Remembers that this person wants no more texts of that number, or wants them again.
    fn stop(&mut self, number: &str, person: &str, stop: bool) {
        let pair = (number.to_owned(), person.to_owned());
        if !stop {
            self.stopped.remove(&pair);
            self.stopped_in_order.retain(|kept| *kept != pair);
        } else if self.stopped.insert(pair.clone()) {
            self.stopped_in_order.push_back(pair);
            if self.stopped_in_order.len() > MAX_STOPPED
                && let Some(oldest) = self.stopped_in_order.pop_front()
            {
                self.stopped.remove(&oldest);
            }
        }
    }

    /// Whether this person has stopped that number, or any number when the sender is a service with many.
    fn has_stopped(&self, number: Option<&str>, person: &str) -> bool {
        match number {
            Some(number) => self.stopped.contains(&(number.to_owned(), person.to_owned())),
            None => self.stopped_in_order.iter().any(|(_, stopped)| stopped == person),
        }
    }
}

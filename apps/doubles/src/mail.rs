//! A real HTTP server in the shape of SendGrid's mail API, with its event webhook.
//!
//! The story of one mail: a request takes its time, is checked (key, fields, the rules' refusals) and only then taken,
//! logged with a line for each recipient and answered 202, or cut off in place of the answer. From there it lives by
//! itself (`life`): events tell of it in signed batches, and whoever bounced, complained or unsubscribed gets nothing
//! more. Where facts of the API come from stands in docs/doubles.md.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
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
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, State as Of, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    Faults, Handle, Rules, Tally,
    caller::Caller,
    count,
    faults::Words,
    kept::Kept,
    listener::{Cord, CuttableListener},
    log::{CAMPAIGN_HEADER, Channel, Delivery, DeliveryLog, EventLog, JOB_HEADER, logged},
    moment::now_ms,
    seed::mix,
    serve::serve_until,
    take_time,
};

mod fault;
mod life;
mod pages;
mod request;
mod signature;

pub use fault::{Engagement, Fault};
use life::Fate;
use request::{Content, Personalization, Problem, SendRequest};
use signature::Signer;

/// The largest request; the real API takes 30 MB, most of it attachments.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// How many mails are kept, and how much of their content; the log has a line of every recipient.
const MAX_KEPT: usize = 2_000;
const MAX_KEPT_CONTENT_BYTES: usize = 16 * 1024;
/// How many mails may be on their way at once.
const MAX_LIVING: u64 = 50_000;
/// How many addresses are on the provider's own list.
const MAX_LISTED: usize = 100_000;

/// How long each stage lasts unless said.
pub const DEFAULT_PACE: Duration = Duration::from_millis(200);

/// How a mail API is set up.
#[derive(Debug)]
pub struct Options {
    /// The one key there is; without, every key is taken.
    pub key: Option<String>,
    /// What goes wrong.
    pub rules: Rules<Fault>,
    /// How long each stage of a mail lasts.
    pub pace: Duration,
    /// Where events go.
    pub events_url: Option<String>,
    /// Where to write what became of mails, one JSON object a line.
    pub events: Option<PathBuf>,
    /// Whether events may go to other machines.
    pub callbacks_anywhere: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            key: None,
            rules: Rules::default(),
            pace: DEFAULT_PACE,
            events_url: None,
            events: None,
            callbacks_anywhere: false,
        }
    }
}

impl From<Faults> for Options {
    fn from(faults: Faults) -> Self {
        let rules = faults.rules(Words {
            slow: Fault::Slow,
            refuse: Fault::Refuse(400),
            defer: Fault::TooMany(1),
            unavailable: Some(Fault::Refuse(503)),
            drop_reply: Fault::DropAnswer,
        });
        Self { rules, ..Self::default() }
    }
}

/// Starts a mail API on `addr` (port 0 chooses a free one) that appends what it accepts to `log_path`.
///
/// # Errors
/// When the address cannot be bound or a log cannot be opened.
pub async fn start(addr: SocketAddr, log_path: &FilePath, options: impl Into<Options>) -> io::Result<Handle> {
    let options = options.into();
    let log = DeliveryLog::open(log_path)?;
    let events = EventLog::open(options.events.as_deref())?;
    let caller = Caller::new(options.callbacks_anywhere)?;
    let signer = Signer::new()?;
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let tally = Arc::new(Tally::default());
    let (stop, stopped) = watch::channel(false);
    let public_key = signer.public_key();
    let state =
        State { mails: Kept::new(MAX_KEPT), listed: HashMap::new(), listed_in_order: VecDeque::new() };
    let provider = Arc::new(Provider {
        options,
        log,
        events,
        caller,
        signer,
        tally: Arc::clone(&tally),
        begun_ms: now_ms(),
        made: AtomicU64::new(0),
        living: AtomicU64::new(0),
        state: Mutex::new(state),
        ending: stopped.clone(),
    });
    let listener = CuttableListener::new(listener, Arc::clone(&tally));
    let task = tokio::spawn(serve_until(listener, router(provider), stopped));
    let handle = Handle::new(addr, "http", log_path, tally, stop, task);
    Ok(Handle { public_key: Some(public_key), ..handle })
}

struct Provider {
    options: Options,
    log: DeliveryLog,
    events: EventLog,
    caller: Caller,
    signer: Signer,
    tally: Arc<Tally>,
    begun_ms: u64,
    made: AtomicU64,
    /// Mails that are not at their end.
    living: AtomicU64,
    state: Mutex<State>,
    ending: watch::Receiver<bool>,
}

struct State {
    mails: Kept<Shown>,
    /// Who gets nothing any more, and why.
    listed: HashMap<String, &'static str>,
    listed_in_order: VecDeque<String>,
}

/// A mail that was taken: one personalization of a request.
struct Taken {
    id: String,
    at_ms: u64,
    from: String,
    subject: String,
    content: Vec<Content>,
    headers: BTreeMap<String, String>,
    custom_args: BTreeMap<String, String>,
    categories: Vec<String>,
}

/// A mail as it is shown, and how far each recipient's is.
struct Shown {
    mail: Arc<Taken>,
    status: BTreeMap<String, String>,
}

fn router(provider: Arc<Provider>) -> Router {
    Router::new()
        .route("/v3/mail/send", post(send))
        .route("/_double/messages", get(pages::messages))
        .route("/_double/public-key", get(pages::public_key))
        .route("/", get(pages::look))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "Not Found").into_response())
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "POST method allowed only").into_response()
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(provider)
}

async fn send(
    Of(provider): Of<Arc<Provider>>,
    ConnectInfo(cord): ConnectInfo<Cord>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match provider.take(&cord, &headers, body).await {
        Ok(response) => response,
        Err(problem) => {
            count(match problem.status {
                StatusCode::TOO_MANY_REQUESTS => &provider.tally.deferred,
                status if status.is_server_error() => &provider.tally.unavailable,
                _ => &provider.tally.refused,
            });
            problem.into_response()
        }
    }
}

impl Provider {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the state")
    }

    /// A name of 22 letters and digits, as the provider's own, never given before.
    fn new_id(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let high = mix(self.begun_ms, number);
        let digits = format!("{high:016x}{:016x}", mix(high, number));
        digits[..22].to_owned()
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).filter(|key| !key.is_empty());
        match (&self.options.key, given) {
            (Some(key), Some(given)) if key == given => Ok(()),
            (None, Some(_)) => Ok(()),
            _ => Err(Problem::unauthorised()),
        }
    }

    async fn take(
        self: &Arc<Self>,
        cord: &Cord,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Response, Problem> {
        self.authenticate(headers)?;
        let body = body.map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"))?;
        let request = SendRequest::read(&body)?;
        let of_one = |one: &Personalization| -> Vec<Fate> {
            let fate = |email: &str| {
                let faults = self.options.rules.for_one(email).into_iter().cloned().collect();
                Fate { email: email.to_owned(), faults }
            };
            one.recipients().map(fate).collect()
        };
        let fates: Vec<Vec<Fate>> = request.personalizations.iter().map(of_one).collect();
        let faults = || fates.iter().flatten().flat_map(|fate| &fate.faults);
        take_time(faults().filter_map(|fault| match fault {
            Fault::Slow(ms) => Some(ms),
            _ => None,
        }))
        .await;
        faults().try_for_each(refusal)?;
        if self.living.load(Ordering::Relaxed) >= MAX_LIVING {
            return Err(too_many(1));
        }
        if request.mail_settings.sandbox_mode.enable {
            return Ok(StatusCode::OK.into_response());
        }
        let reply_dropped = faults().any(|fault| *fault == Fault::DropAnswer);
        let id = self.new_id();
        let mails = self.write_down(&request, &id, headers, reply_dropped)?;
        count(&self.tally.accepted);
        if reply_dropped {
            count(&self.tally.replies_dropped);
            cord.cut();
        }
        for (mail, fates) in mails.into_iter().zip(fates) {
            let mail = Arc::new(mail);
            let status = fates.iter().map(|fate| (fate.email.clone(), "accepted".to_owned())).collect();
            self.state().mails.push(&mail.id, Shown { mail: Arc::clone(&mail), status });
            self.begin(mail, fates);
        }
        Ok((StatusCode::ACCEPTED, [("x-message-id", id)]).into_response())
    }

    /// Writes a line for every recipient, all in one piece, and gives the mails.
    fn write_down(
        &self,
        request: &SendRequest,
        id: &str,
        http: &HeaderMap,
        reply_dropped: bool,
    ) -> Result<Vec<Taken>, Problem> {
        let at_ms = now_ms();
        let from = request.from.as_ref().map_or("", |from| from.email.as_str());
        let mails: Vec<Taken> = (0..)
            .zip(&request.personalizations)
            .map(|(nth, one)| Taken::new(request, one, id, nth, at_ms))
            .collect();
        let in_http = |name: &str| http.get(name).map(|value| logged(value.as_bytes()));
        let lines = mails.iter().zip(&request.personalizations).flat_map(|(mail, one)| {
            let field = |name: &str| mail.header(name).map(|value| logged(value.as_bytes()).into());
            let job = field(JOB_HEADER).or_else(|| in_http(JOB_HEADER).map(Into::into));
            let campaign = field(CAMPAIGN_HEADER).or_else(|| in_http(CAMPAIGN_HEADER).map(Into::into));
            let bytes = mail.content.iter().map(|content| content.value.len() as u64).sum();
            one.recipients().map(move |to| Delivery {
                provider_id: mail.id.as_str().into(),
                message_id: field("Message-ID"),
                from: from.into(),
                to: to.into(),
                subject: Some(logged(mail.subject.as_bytes()).into()),
                list_unsubscribe: field("List-Unsubscribe"),
                list_unsubscribe_post: field("List-Unsubscribe-Post"),
                custom_args: mail.custom_args.clone(),
                job: job.clone(),
                campaign: campaign.clone(),
                bytes,
                reply_dropped,
                ..Delivery::new(at_ms, Channel::Email)
            })
        });
        self.log
            .append(lines)
            .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The log cannot be written"))?;
        Ok(mails)
    }
}

fn too_many(seconds: u64) -> Problem {
    let reset_s = Some(now_ms() / 1_000 + seconds);
    Problem { reset_s, ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests") }
}

fn refusal(fault: &Fault) -> Result<(), Problem> {
    match fault {
        Fault::TooMany(seconds) => Err(too_many(*seconds)),
        Fault::Refuse(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(Problem::new(status, status.canonical_reason().unwrap_or("refused by rule")))
        }
        _ => Ok(()),
    }
}

impl Taken {
    fn new(request: &SendRequest, one: &Personalization, id: &str, nth: usize, at_ms: u64) -> Self {
        let merged = |all: &BTreeMap<String, String>, own: &BTreeMap<String, String>| {
            all.iter().chain(own).map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let cut = |content: &Content| {
            let mut end = content.value.len().min(MAX_KEPT_CONTENT_BYTES);
            while !content.value.is_char_boundary(end) {
                end -= 1;
            }
            Content { kind: content.kind.clone(), value: content.value[..end].to_owned() }
        };
        Self {
            // A request has one name; its mails are told apart behind it.
            id: if nth == 0 { id.to_owned() } else { format!("{id}.{nth}") },
            at_ms,
            from: request.from.as_ref().map(|from| from.email.clone()).unwrap_or_default(),
            subject: one.subject.as_ref().or(request.subject.as_ref()).cloned().unwrap_or_default(),
            content: request.content.iter().map(cut).collect(),
            headers: merged(&request.headers, &one.headers),
            custom_args: merged(&request.custom_args, &one.custom_args),
            categories: request.categories.clone(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The Message-ID, the provider's own unless the sender gave one.
    fn smtp_id(&self) -> String {
        self.header("Message-ID").map_or_else(|| format!("<{}@double.example>", self.id), str::to_owned)
    }

    /// The first address that a person could click on.
    fn first_link(&self) -> String {
        let link = self.content.iter().find_map(|content| {
            let at = content.value.find("http://").or_else(|| content.value.find("https://"))?;
            let rest = &content.value[at..];
            Some(rest.split(|c: char| c.is_whitespace() || "\"'<>".contains(c)).next()?.to_owned())
        });
        link.unwrap_or_else(|| "https://example.com/".to_owned())
    }
}

impl State {
    /// Puts an address on the list; of its reasons the first counts.
    fn list(&mut self, email: &str, reason: &'static str) {
        let email = email.to_ascii_lowercase();
        if self.listed.contains_key(&email) {
            return;
        }
        self.listed.insert(email.clone(), reason);
        self.listed_in_order.push_back(email);
        if self.listed_in_order.len() > MAX_LISTED
            && let Some(oldest) = self.listed_in_order.pop_front()
        {
            self.listed.remove(&oldest);
        }
    }
}

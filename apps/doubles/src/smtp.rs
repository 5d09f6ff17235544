//! A real SMTP server for the loopback interface, with a log and, where one is wanted, an inbox.
//!
//! It owns sockets, time and limits. What a command means is in `session`, what a message's content says in
//! `content`; both are pure. What comes back by mail is written in `later`. Memory is bounded by the number of connections and by the inbox: without one, a message's
//! body is counted and thrown away as it arrives, and only the start of its header is held.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
};

use crate::{
    Counters, Faults, Handle, Rules, STOP_GRACE, Tally,
    caller::Caller,
    count,
    faults::Words,
    listener::CuttableListener,
    log::{Channel, Delivery, DeliveryLog},
    moment::now_ms,
    serve::serve_until,
    take_time,
};

mod auth;
mod content;
mod fault;
mod greylist;
mod inbox;
mod later;
mod mime;
mod session;
mod tls;

pub use auth::User;
use content::{Content, Fields};
pub use fault::{Fault, Later};
use greylist::Greylist;
use inbox::{Inbox, Mail};
use later::{Back, Original};
use session::{Envelope, Next, Policy, Recipients, Session, Verdict};
pub use tls::Tls;
use tls::Wire;

/// The longest command line, its CRLF included: RFC 5321 asks for 512 at least, extensions for some more.
pub const MAX_COMMAND_LINE_BYTES: usize = 2_048;
/// The largest message, as announced with SIZE.
pub const MAX_MESSAGE_BYTES: u64 = 10 * 1024 * 1024;
/// The most connections at once; more are told to come back.
pub const MAX_CONNECTIONS: usize = 1_000;
/// What a connection reads at once; also the most pipelined commands that wait in memory.
const READ_BYTES: usize = 8 * 1024;
/// How long a silent connection is kept (RFC 5321, section 4.5.3.2.7).
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client may leave replies unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a failed accept, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long it takes until something comes back, unless said.
pub const DEFAULT_PACE: Duration = Duration::from_millis(200);

/// How a mail server is set up.
#[derive(Debug)]
pub struct Options {
    /// What goes wrong.
    pub rules: Rules<Fault>,
    /// Where the inbox is shown; nothing is kept without.
    pub inbox: Option<SocketAddr>,
    /// Who may send; without, everybody.
    pub user: Option<User>,
    /// What STARTTLS shows; without, there is none.
    pub tls: Option<Tls>,
    /// Where mails go that come back (bounces, answers); without, none do.
    pub inbound_url: Option<String>,
    /// How long each of them takes.
    pub pace: Duration,
    /// Whether they may go to other machines.
    pub callbacks_anywhere: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            inbox: None,
            user: None,
            tls: None,
            inbound_url: None,
            pace: DEFAULT_PACE,
            callbacks_anywhere: false,
        }
    }
}

impl From<Faults> for Options {
    fn from(faults: Faults) -> Self {
        let rules = faults.rules(Words {
            slow: Fault::Slow,
            refuse: Fault::Reply("550 5.1.1 no such user here".to_owned()),
            defer: Fault::Reply("451 4.7.1 greylisted, try again in 1 second".to_owned()),
            unavailable: None,
            drop_reply: Fault::DropReply,
        });
        Self { rules, ..Self::default() }
    }
}

/// Starts a server on `addr` (port 0 chooses a free one) that appends what it accepts to `log_path`.
///
/// # Errors
/// When an address cannot be bound or the log cannot be opened.
pub async fn start(addr: SocketAddr, log_path: &Path, options: impl Into<Options>) -> io::Result<Handle> {
    let options = options.into();
    let log = DeliveryLog::open(log_path)?;
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let tally = Arc::new(Tally::default());
    let (stop, stopped) = watch::channel(false);
    let mut inbox = None;
    let mut pages = None;
    let mut shown = None;
    if let Some(addr) = options.inbox {
        let listener = TcpListener::bind(addr).await?;
        pages = Some(listener.local_addr()?);
        let shelf = Arc::new(Inbox::new());
        let listener = CuttableListener::new(listener, Arc::default());
        shown = Some(tokio::spawn(serve_until(listener, inbox::router(Arc::clone(&shelf)), stopped.clone())));
        inbox = Some(shelf);
    }
    let back = match options.inbound_url {
        Some(url) => Some(Arc::new(Back {
            url,
            pace: options.pace,
            caller: Caller::new(options.callbacks_anywhere)?,
            tally: Arc::clone(&tally),
            ending: stopped.clone(),
            living: AtomicU64::new(0),
            made: AtomicU64::new(0),
            begun_ms: now_ms(),
        })),
        None => None,
    };
    let server = Arc::new(Server {
        back,
        rules: options.rules,
        greylist: Greylist::default(),
        log,
        inbox,
        policy: Arc::new(Policy { tls: options.tls.is_some(), user: options.user }),
        tls: options.tls,
        tally: Arc::clone(&tally),
        accepted: AtomicU64::new(0),
    });
    let task = tokio::spawn(async move {
        accept_all(listener, server, stopped).await;
        if let Some(shown) = shown {
            // It ends by itself at the same word; how is nobody's concern any more.
            let _ = shown.await;
        }
    });
    Ok(Handle { pages, ..Handle::new(addr, "smtp", log_path, tally, stop, task) })
}

struct Server {
    rules: Rules<Fault>,
    back: Option<Arc<Back>>,
    greylist: Greylist,
    log: DeliveryLog,
    inbox: Option<Arc<Inbox>>,
    policy: Arc<Policy>,
    tls: Option<Tls>,
    tally: Arc<Tally>,
    accepted: AtomicU64,
}

async fn accept_all(listener: TcpListener, server: Arc<Server>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // The handle that is dropped means the same as one that asks.
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        count(&server.tally.connections);
        let full = connections.len() >= MAX_CONNECTIONS;
        // A socket that refuses the option is slower, not wrong.
        let _ = socket.set_nodelay(true);
        let socket: Box<dyn Wire> = Box::new(socket);
        let connection = Connection { server: Arc::clone(&server), socket, stopped: stopped.clone() };
        connections.spawn(async move {
            // A connection that fails has ended; that is all the other side will notice too.
            let _ = if full { connection.turn_away().await } else { connection.serve().await };
        });
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    // What has not finished by then is cut when the set is dropped.
    let _ = tokio::time::timeout(STOP_GRACE, finished).await;
}

struct Connection {
    server: Arc<Server>,
    socket: Box<dyn Wire>,
    stopped: watch::Receiver<bool>,
}

/// What to do after the bytes at hand are used up.
enum Flow {
    Read,
    Starttls,
    Close,
}

/// What the bytes of a connection are at the moment.
enum Mode {
    Commands,
    /// The rest of a command line that was too long.
    Overlong,
    Content(Box<Content>),
}

impl Connection {
    async fn turn_away(mut self) -> io::Result<()> {
        self.write(b"421 4.3.2 too many connections, try again in 5 seconds\r\n").await
    }

    async fn serve(mut self) -> io::Result<()> {
        self.write(b"220 localhost ESMTP windlass sink\r\n").await?;
        let mut session = Session::new(Arc::clone(&self.server.policy));
        let mut mode = Mode::Commands;
        let mut input = Vec::with_capacity(READ_BYTES);
        let mut replies = Vec::with_capacity(512);
        loop {
            let mid_message = session.mid_message();
            let read = tokio::select! {
                biased;
                // A message that has begun is finished; the grace of the whole server bounds how long that takes.
                _ = self.stopped.wait_for(|stop| *stop), if !mid_message => None,
                read = tokio::time::timeout(IDLE_TIMEOUT, self.socket.read_buf(&mut input)) => Some(read),
            };
            match read {
                Some(Ok(Ok(0))) => return Ok(()),
                Some(Ok(Ok(_))) => {}
                Some(Ok(Err(error))) => return Err(error),
                Some(Err(_)) => return self.write(b"421 4.4.2 idle for too long\r\n").await,
                None => return self.write(b"421 4.3.2 shutting down\r\n").await,
            }
            replies.clear();
            let flow = self.take_in(&mut session, &mut mode, &mut input, &mut replies).await;
            self.write(&replies).await?;
            match flow {
                Flow::Read => {}
                Flow::Close => return Ok(()),
                Flow::Starttls => {
                    let Some(tls) = self.server.tls.clone() else { return Ok(()) };
                    // What came in the clear behind the command is somebody else's: it must not be read as encrypted.
                    input.clear();
                    let accepting = tls.accept(self.socket);
                    self.socket = match tokio::time::timeout(IDLE_TIMEOUT, accepting).await {
                        Ok(socket) => socket?,
                        Err(_) => return Ok(()),
                    };
                    session = session.secured();
                }
            }
        }
    }

    /// Uses up what it can of the input and collects the replies, in order, for one write.
    async fn take_in(
        &self,
        session: &mut Session,
        mode: &mut Mode,
        input: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Flow {
        let mut used = 0;
        let flow = loop {
            let rest = &input[used..];
            match mode {
                Mode::Content(content) => {
                    used += content.feed(rest);
                    if content.bytes() > MAX_MESSAGE_BYTES {
                        count(&self.server.tally.refused);
                        // The rest is not worth reading only to refuse it.
                        replies.extend_from_slice(b"552 5.3.4 message too large\r\n");
                        break Flow::Close;
                    }
                    if !content.is_complete() {
                        break Flow::Read;
                    }
                    let deliver = self.deliver(session, content).await;
                    *mode = Mode::Commands;
                    match deliver {
                        Some(reply) => replies.extend_from_slice(reply.as_bytes()),
                        None => break Flow::Close,
                    }
                }
                Mode::Commands | Mode::Overlong => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        if rest.len() >= MAX_COMMAND_LINE_BYTES || matches!(mode, Mode::Overlong) {
                            *mode = Mode::Overlong;
                            used = input.len();
                        }
                        break Flow::Read;
                    };
                    let line = &rest[..=end];
                    used += line.len();
                    let too_long = line.len() > MAX_COMMAND_LINE_BYTES || matches!(mode, Mode::Overlong);
                    *mode = Mode::Commands;
                    let next = if too_long {
                        session.nonsense("500 5.5.2 line too long", replies)
                    } else {
                        session.command(line, &*self.server, replies)
                    };
                    match next {
                        Next::Command => {}
                        Next::Nonsense => count(&self.server.tally.nonsense),
                        Next::Content => *mode = Mode::Content(Box::new(self.server.content())),
                        Next::Starttls => break Flow::Starttls,
                        Next::Close => break Flow::Close,
                    }
                }
            }
        };
        input.drain(..used);
        flow
    }

    /// Logs a whole message and gives its reply, or nothing when the reply is to be lost.
    async fn deliver(&self, session: &mut Session, content: &mut Content) -> Option<String> {
        let server = &self.server;
        let envelope = session.take_envelope();
        take_time(envelope.faults.iter().filter_map(|(_, fault)| match fault {
            Fault::Slow(ms) => Some(ms),
            _ => None,
        }))
        .await;
        let id = format!("q{:08}", server.accepted.fetch_add(1, Ordering::Relaxed) + 1);
        let fields = content.fields();
        let reply_dropped = envelope.faults.iter().any(|(_, fault)| *fault == Fault::DropReply);
        let at_ms = now_ms();
        let deliveries = envelope.to.iter().map(|to| Delivery {
            provider_id: id.as_str().into(),
            message_id: fields.message_id.as_deref().map(Into::into),
            from: envelope.from.as_str().into(),
            to: to.as_str().into(),
            account: session.user().map(Into::into),
            list_unsubscribe: fields.list_unsubscribe.as_deref().map(Into::into),
            list_unsubscribe_post: fields.list_unsubscribe_post.as_deref().map(Into::into),
            subject: fields.subject.as_deref().map(Into::into),
            job: fields.job.as_deref().map(Into::into),
            campaign: fields.campaign.as_deref().map(Into::into),
            bytes: content.bytes(),
            reply_dropped,
            ..Delivery::new(at_ms, Channel::Email)
        });
        if server.log.append(deliveries).is_err() {
            return Some("452 4.3.1 the log cannot be written, try again in 5 seconds\r\n".to_owned());
        }
        count(&server.tally.accepted);
        if let Some(back) = &server.back {
            come_back(back, &envelope, &fields, content);
        }
        if let (Some(inbox), Some(raw)) = (&server.inbox, content.take_held()) {
            let user = session.user().map(str::to_owned);
            inbox.push(Mail {
                at_ms,
                id: id.clone(),
                user,
                from: envelope.from.clone(),
                to: envelope.to.clone(),
                raw,
            });
        }
        if reply_dropped {
            count(&server.tally.replies_dropped);
            return None;
        }
        Some(format!("250 2.0.0 queued as {id}\r\n"))
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout(WRITE_TIMEOUT, self.socket.write_all(bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Has everything come back that the rules say of the recipients of a mail.
fn come_back(back: &Arc<Back>, envelope: &Envelope, fields: &Fields, content: &Content) {
    for to in &envelope.to {
        let of_theirs = envelope.faults.iter().filter(|(whose, _)| whose == to);
        let later: Vec<Later> = of_theirs
            .filter_map(|(_, fault)| match fault {
                Fault::Later(later) => Some(later.clone()),
                _ => None,
            })
            .collect();
        if later.is_empty() {
            continue;
        }
        let known = |field: &Option<String>| field.clone().unwrap_or_default();
        let original = Original {
            from: envelope.from.clone(),
            to: to.clone(),
            message_id: known(&fields.message_id),
            subject: known(&fields.subject),
            list_unsubscribe: known(&fields.list_unsubscribe),
            header: content.header(),
        };
        back.begin(original, later);
    }
}

impl Server {
    fn content(&self) -> Content {
        if self.inbox.is_some() { Content::to_be_held() } else { Content::default() }
    }
}

impl Recipients for Server {
    fn verdict(&self, from: &str, recipient: &str) -> Verdict {
        let faults = self.rules.for_one(recipient);
        for fault in &faults {
            match fault {
                Fault::Reply(line) => {
                    count(if line.starts_with('4') { &self.tally.deferred } else { &self.tally.refused });
                    return Verdict::Reply(line.clone());
                }
                Fault::Greylist if self.greylist.is_new(from, recipient) => {
                    count(&self.tally.deferred);
                    return Verdict::Reply("450 4.2.0 greylisted, try again in 1 second".to_owned());
                }
                Fault::Greylist | Fault::Slow(_) | Fault::DropReply | Fault::Later(_) => {}
            }
        }
        Verdict::Take(faults.into_iter().filter(|fault| **fault != Fault::Greylist).cloned().collect())
    }
}

impl Counters {
    /// Answers of any kind to messages or requests.
    pub fn answers(&self) -> u64 {
        self.accepted + self.deferred + self.unavailable + self.refused
    }
}

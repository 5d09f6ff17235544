//! `windlass serve`: the queue over HTTP, until somebody ends it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::net::{TcpListener, UnixListener};
use windlass::Client;
use windlass_core::store::Store;
use windlass_core::url::without_password;
use windlass_server::{Access, Drain, Listen, Options, Push, Secret, Tls, router, serve};
use windlass_webhook::{Allowed, Guard};

use crate::arguments::Global;
use crate::campaigns;
use crate::commands::config;
use crate::commands::{closing, supervise};
use crate::config::origin::{self, Setting};
use crate::config::sections::{self, Outcome};
use crate::connect;
use crate::fault::{Exit, Fault};
use crate::interrupt::interrupted;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  windlass serve                                          http://127.0.0.1:7979, for this machine alone
  windlass serve --store postgres://me@db/app             the same API on the database's queue
  WINDLASS_TOKEN=… windlass serve --listen 0.0.0.0:7979 --tls-cert cert.pem --tls-key key.pem
                                                          for whoever shows the token, or a key of `windlass keys`
  windlass serve --config windlass.toml                   settings in a file
";

/// The shortest token that is taken: 128 bits in hexadecimal.
const TOKEN_BYTES_MIN: usize = 32;

/// Answer for the queue over HTTP, until it is told to end
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Where to listen; beyond this machine only with a token, and with TLS or behind a proxy
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7979", env = "WINDLASS_LISTEN")]
    listen: SocketAddr,
    /// A name under which it is reached; may be repeated. Without a token only localhost and the address itself are
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Who asks must send this as `Authorization: Bearer TOKEN`, or a key of `windlass keys`
    #[arg(long, value_name = "TOKEN", env = "WINDLASS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Speak TLS with the certificate in this file (PEM, the chain behind it); read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "WINDLASS_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "WINDLASS_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// A proxy stands before it, which puts TLS before it and says who asks (X-Forwarded-For)
    #[arg(long)]
    behind_proxy: bool,
    /// Settings in a file: options of this command, and queues, limits and schedules (docs/configuration.md)
    #[arg(long, value_name = "FILE", env = "WINDLASS_CONFIG")]
    config: Option<PathBuf>,
    /// How the log is written: text for people, json for machines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Listen beyond this machine without a token or without TLS: whoever reaches the port may do everything, and whoever
    /// listens on the way learns everything
    #[arg(long)]
    insecure: bool,
    /// The address under which people reach it, for links in notices: https://queue.example.com
    #[arg(long, value_name = "URL", env = "WINDLASS_PUBLIC_URL")]
    public_url: Option<String>,
    /// Serve the campaign application too, and work for it: its database, sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "WINDLASS_CAMPAIGNS")]
    campaigns: Option<String>,
    /// What queues may be pushed to beside https at public addresses: a network, an address or a name, with a port or
    /// without (10.0.0.0/8, localhost:8080, *.svc.cluster.local); may be repeated
    #[arg(long = "allow-target", value_name = "WHAT", env = "WINDLASS_ALLOW_TARGET", value_delimiter = ',')]
    allow_targets: Vec<Allowed>,
}

/// How the log is written, one event a line, control characters escaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl ServeArgs {
    /// How it logs.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format
    }
}

/// What `--json` says once it listens.
#[derive(Serialize)]
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) store: String,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: ServeArgs) -> Result<(), Fault> {
    let access = access(&args)?;
    let tls = tls(&args)?;
    let ended = interrupted();
    let listener = listen(args.listen).await?;
    let open = connect::open_here(&global.store).await?;
    let result = async {
        let ip = listener.local_addr()?.ip();
        let behind_proxy = args.behind_proxy;
        let push = Push::new(Guard::new(args.allow_targets.iter().cloned()));
        let public_url = public_url(args.public_url.as_deref())?;
        let app = match &args.campaigns {
            Some(database) => Some(campaigns::open(database, open.client(), public_url.clone()).await?),
            None => None,
        };
        let options = Options {
            hosts: hosts(&args, &access, ip),
            access,
            behind_proxy,
            push,
            public_url,
            // A server before another server's store leaves the watch to that one.
            monitors: !global.store.starts_with("http"),
            beside: app.iter().map(campaigns::beside).collect(),
            ..Options::default()
        };
        let store = open.store().clone();
        let settings = Applied::at_start(args.config, store.as_ref()).await?;
        let doors = doors(open.client(), &global.store, listener, tls, options)?;
        let at_work = match &app {
            Some(app) => Some(campaigns::work(app).await?),
            None => None,
        };
        let Ready { url, store: shown, .. } = doors.ready();
        out.done(doors.ready(), &format!("{shown} is served at {url}"), &[url, shown])?;
        out.hint(&format!("open it in a browser, or try: curl {url}; end it with Ctrl-C"));
        supervise::ready(url);
        let ended = async {
            ended.await;
            supervise::stopping();
        };
        let served = tokio::select! {
            served = doors.serve(ended) => served,
            () = supervise::never(supervise::watchdog(store.clone())) => Ok(()),
            () = settings.follow(store) => Ok(()),
        };
        if let Some(at_work) = at_work {
            at_work.end().await;
        }
        served
    };
    let result = result.await;
    closing(open, result).await
}

/// The file that was applied, to be applied again when it has changed.
struct Applied {
    /// Where it is, and what it said of this command's options.
    file: Option<(PathBuf, Vec<Setting>)>,
    asked: Option<tokio::signal::unix::Signal>,
}

/// Under which the log tells what the configuration file has changed.
pub(crate) const CONFIG: &str = "config";

impl Applied {
    async fn at_start(path: Option<PathBuf>, store: &dyn Store) -> Result<Self, Fault> {
        let Some(path) = path else { return Ok(Self { file: None, asked: None }) };
        // Listened for from here on: without a file the signal ends the process, as it always does.
        let asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        let options = Self::apply(&path, store).await?;
        Ok(Self { file: Some((path, options)), asked: Some(asked) })
    }

    /// Brings the file's queues, limits and schedules into the store; answers what it says of this command's options.
    async fn apply(path: &Path, store: &dyn Store) -> Result<Vec<Setting>, Fault> {
        let resolved = origin::resolve(Some(path))?;
        if let Some(file) = &resolved.file {
            for step in sections::bring(file, store, false).await? {
                match step.outcome {
                    Outcome::Same => {}
                    Outcome::Set => tracing::info!(target: CONFIG, "{}", config::told(&step)),
                    Outcome::Kept => tracing::warn!("{}", config::told(&step)),
                }
            }
        }
        resolved.settings()
    }

    /// Applies the file again at each SIGHUP. One that is wrong changes nothing, and the server goes on.
    async fn follow(self, store: Arc<dyn Store>) {
        let (Some((path, options)), Some(mut asked)) = (self.file, self.asked) else {
            return std::future::pending().await;
        };
        loop {
            if asked.recv().await.is_none() {
                return std::future::pending().await;
            }
            match Self::apply(&path, store.as_ref()).await {
                Err(fault) => tracing::error!("{}: nothing of it is applied", fault.message),
                Ok(now) => {
                    let differ = now.iter().filter(|now| !options.iter().any(|old| old.is_like(now)));
                    for Setting { key, .. } in differ {
                        tracing::warn!("{key} has changed in {}: it takes a restart", path.display());
                    }
                    tracing::info!(target: CONFIG, "{} is applied", path.display());
                }
            }
        }
    }
}

/// Listens at that address.
///
/// # Errors
/// When somebody else does.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Fault> {
    TcpListener::bind(address).await.map_err(|error| {
        let fault =
            Fault::new(Exit::Unreachable, "unreachable", format!("cannot listen at {address}: {error}"));
        fault.next("stop whoever listens there, or name another address with --listen")
    })
}

/// Where a server listens: at its address, and for a `file:` store at the socket in its directory.
pub(crate) struct Doors {
    ready: Ready,
    doors: Vec<(Listen, axum::Router)>,
    drain: Drain,
}

/// Makes them, before the client of the store.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn doors(
    client: &Client,
    store: &str,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    options: Options,
) -> Result<Doors, Fault> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(listener.local_addr()?));
    let drain = options.drain.clone();
    let beside = options.clone();
    if let Some(tls) = &tls {
        reload_on_hang_up(tls.clone())?;
    }
    let listen = match tls {
        Some(tls) => Listen::Tls(listener, tls),
        None => Listen::Tcp(listener),
    };
    let mut doors = vec![(listen, router(client, options))];
    let socket = connect::socket_of(store);
    if let Some(path) = &socket {
        // Who may open the socket may open the directory.
        let options =
            Options { access: Access::Anyone, hosts: None, behind_proxy: false, monitors: false, ..beside };
        doors.push((Listen::Unix(listen_at(path)?), router(client, options)));
    }
    Ok(Doors { ready: Ready { url, socket, store: without_password(store) }, doors, drain })
}

/// An address at which a listener is reached from this machine: one that listens everywhere is at none of that name.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

impl Doors {
    /// Where they are.
    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Answers until somebody ends it, and lets running requests finish.
    ///
    /// # Errors
    /// None at present.
    pub(crate) async fn serve(self, ended: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        let ending = self.drain.clone();
        tokio::spawn(async move {
            ended.await;
            ending.begin();
        });
        let served = serve(self.doors, self.drain).await;
        if let Some(path) = self.ready.socket {
            // A socket that is left behind is taken for a server's.
            let _ = std::fs::remove_file(path);
        }
        Ok(served?)
    }
}

/// Who may use it; beyond this machine nobody without a token, unless that is asked for.
fn access(args: &ServeArgs) -> Result<Access, Fault> {
    match &args.token {
        Some(token) if token.len() < TOKEN_BYTES_MIN => {
            let fault = Fault::usage(format!("a token of {} characters can be guessed", token.len()));
            Err(fault.next("make one with: openssl rand -hex 32"))
        }
        Some(token) => Ok(Access::Bearer(Secret::new(token))),
        None if args.listen.ip().is_loopback() || args.insecure => Ok(Access::Anyone),
        None => Err(Fault::usage(format!(
            "{} is reached from other machines, and there is no token",
            args.listen
        ))
        .next("set WINDLASS_TOKEN (openssl rand -hex 32), listen at 127.0.0.1, or say --insecure")),
    }
}

/// The certificate, if one was named; beyond this machine nobody without one, unless a proxy has it or that is asked for.
fn tls(args: &ServeArgs) -> Result<Option<Arc<Tls>>, Fault> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let tls = Tls::load(certificate, key);
        return tls.map(Some).map_err(|error| Fault::usage(format!("TLS: {error}")));
    }
    if args.listen.ip().is_loopback() || args.behind_proxy || args.insecure {
        return Ok(None);
    }
    let why = format!(
        "{} is reached from other machines, and tokens would cross the network unencrypted",
        args.listen
    );
    Err(Fault::usage(why).next(
        "name a certificate (--tls-cert FILE --tls-key FILE), or say --behind-proxy where a proxy has one, or --insecure",
    ))
}

/// Reads the certificate again whenever somebody sends SIGHUP, beside the looks that the server takes by itself.
fn reload_on_hang_up(tls: Arc<Tls>) -> Result<(), Fault> {
    let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            match tls.reload() {
                Ok(_) => tracing::info!("the certificate was read again"),
                Err(error) => tracing::error!(%error, "the certificate before stays in use"),
            }
        }
    });
    Ok(())
}

/// The address for links, if it can be one.
fn public_url(said: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(url) = said else { return Ok(None) };
    match windlass_webhook::TargetUrl::parse(url) {
        Ok(url) => Ok(Some(url.as_str().trim_end_matches('/').to_owned())),
        Err(why) => Err(Fault::usage(format!("--public-url {url}: {why}"))),
    }
}

/// The names that a request may give: all of them where a token is wanted and none was named.
fn hosts(args: &ServeArgs, access: &Access, ip: IpAddr) -> Option<Vec<String>> {
    if args.hosts.is_empty() && (matches!(access, Access::Bearer(_)) || !ip.is_loopback()) {
        return None;
    }
    let own = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let usual = Options::default().hosts.unwrap_or_default();
    Some(usual.into_iter().chain([own]).chain(args.hosts.iter().cloned()).collect())
}

/// Listens at a socket for its owner alone. The directory has one owner, so a socket that stands there is a dead one's.
fn listen_at(path: &Path) -> Result<UnixListener, Fault> {
    let fault = |error: std::io::Error| Fault::file(path.display(), &error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(fault)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fault)?;
    Ok(listener)
}

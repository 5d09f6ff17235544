//! `windlass serve`: the queue over HTTP, until somebody ends it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tokio::net::{TcpListener, UnixListener};
use windlass::Client;
use windlass_core::url::without_password;
use windlass_server::{Access, Drain, Listen, Options, Secret, router, serve};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect;
use crate::fault::{Exit, Fault};
use crate::interrupt::interrupted;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  windlass serve                                          http://127.0.0.1:7979, for this machine alone
  windlass serve --store postgres://me@db/app             the same API on the database's queue
  WINDLASS_TOKEN=… windlass serve --listen 0.0.0.0:7979   for whoever shows the token
";

/// The shortest token that is taken: 128 bits in hexadecimal.
const TOKEN_BYTES_MIN: usize = 32;

/// Answer for the queue over HTTP, until it is told to end
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Where to listen; beyond this machine only with a token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7979", env = "WINDLASS_LISTEN")]
    listen: SocketAddr,
    /// A name under which it is reached; may be repeated. Without a token only localhost and the address itself are
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Who asks must send this as `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "TOKEN", env = "WINDLASS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Listen beyond this machine without a token: whoever reaches the port may do everything
    #[arg(long)]
    insecure: bool,
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
    let ended = interrupted();
    let listener = listen(args.listen).await?;
    let open = connect::open_here(&global.store).await?;
    let result = async {
        let ip = listener.local_addr()?.ip();
        let options = Options { hosts: hosts(&args, &access, ip), access, ..Options::default() };
        let doors = doors(open.client(), &global.store, listener, options)?;
        let Ready { url, store, .. } = doors.ready();
        out.done(doors.ready(), &format!("{store} is served at {url}"), &[url, store])?;
        out.hint(&format!("open it in a browser, or try: curl {url}; end it with Ctrl-C"));
        doors.serve(ended).await
    };
    let result = result.await;
    closing(open, result).await
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
    options: Options,
) -> Result<Doors, Fault> {
    let url = format!("http://{}", reachable(listener.local_addr()?));
    let drain = options.drain.clone();
    let mut doors = vec![(Listen::Tcp(listener), router(client, options))];
    let socket = connect::socket_of(store);
    if let Some(path) = &socket {
        // Who may open the socket may open the directory.
        let options = Options { access: Access::Anyone, hosts: None, drain: drain.clone() };
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

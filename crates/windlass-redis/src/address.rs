//! Where a namespace is: what the URL says, and the server that answers for it now.
//!
//! | URL | who is asked |
//! |---|---|
//! | `redis://host:6379/0`, `rediss://…`, `redis+unix:///run/redis.sock` | that server |
//! | `redis+sentinel://host:26379,host/MASTER/0` | the master of that name, as Sentinel knows it |
//! | `redis+cluster://host:6379,host` | the node that owns the namespace's slot |
//!
//! Every connection is made to whoever answers for the namespace at that moment, so that a failover is one broken
//! connection and a new one. All keys of a namespace have one hash tag, so it lives on one node of a Cluster.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::select_ok;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult, Value,
};

use crate::wire;

/// How long it may take to learn who answers for the namespace.
const LOCATE_TIMEOUT: Duration = Duration::from_secs(3);
const SENTINEL_PORT: u16 = 26_379;

/// The address of a namespace.
pub(crate) struct Address {
    way: Way,
    is_tls: bool,
    create: Option<bool>,
}

enum Way {
    Server(Client),
    Sentinel(tokio::sync::Mutex<SentinelClient>),
    Cluster { seeds: Vec<ConnectionInfo>, told: Mutex<Option<ConnectionAddr>> },
}

/// The parts of a URL, none of them understood yet.
struct Parts<'a> {
    /// `redis` or `rediss`.
    scheme: &'a str,
    /// `user:password@` or nothing.
    credentials: &'a str,
    hosts: Vec<&'a str>,
    /// What follows the hosts, without the first slash.
    path: &'a str,
    options: Options<'a>,
}

/// What may stand behind the `?`.
#[derive(Default)]
struct Options<'a> {
    tls_ca: Option<&'a str>,
    tls_cert: Option<&'a str>,
    tls_key: Option<&'a str>,
    sentinel_user: Option<&'a str>,
    sentinel_password: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn read(query: &'a str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("an option is written name=value")?;
            let place = match name {
                "tls_ca" => &mut options.tls_ca,
                "tls_cert" => &mut options.tls_cert,
                "tls_key" => &mut options.tls_key,
                "sentinel_user" => &mut options.sentinel_user,
                "sentinel_password" => &mut options.sentinel_password,
                _ => {
                    return Err(format!(
                        "there is no option {name:?}; there are namespace, upkeep, create, tls_ca, tls_cert, tls_key, \
                         sentinel_user and sentinel_password"
                    ));
                }
            };
            *place = Some(value);
        }
        Ok(options)
    }
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (url, create) = without_create(url)?;
        let (scheme, rest) = url.split_once("://").ok_or("it has no scheme: write redis://host:6379")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if scheme == "redis+unix" {
            return Ok(Self { way: Way::Server(socket(&url, query)?), is_tls: false, create });
        }
        let options = Options::read(query)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        let hosts: Vec<&str> = hosts.split(',').filter(|host| !host.is_empty()).collect();
        if hosts.is_empty() {
            return Err("it names no server: write redis://host:6379".into());
        }
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(scheme, "redis" | "rediss") {
            return Err(format!(
                "its scheme {scheme:?} is none of redis, rediss, redis+unix, redis+sentinel, redis+cluster"
            ));
        }
        if scheme == "rediss" && !cfg!(feature = "tls") {
            return Err("this build has no TLS: turn on the feature `redis-tls`".into());
        }
        let parts = Parts { scheme, credentials, hosts, path, options };
        let way = match kind {
            "" => parts.server()?,
            "sentinel" => parts.sentinel()?,
            "cluster" => parts.cluster()?,
            _ => return Err(format!("{kind:?} is none of unix, sentinel, cluster")),
        };
        Ok(Self { way, is_tls: scheme == "rediss", create })
    }

    /// What the URL says about making a namespace that is not there.
    pub(crate) fn creates(&self) -> Option<bool> {
        self.create
    }

    /// Whether its servers are spoken to over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether it names one server by its host, without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        let Way::Server(client) = &self.way else { return false };
        matches!(client.get_connection_info().addr(), ConnectionAddr::Tcp(..))
    }

    /// How user and password are written in such a URL.
    pub(crate) fn login(&self) -> &'static str {
        match &self.way {
            Way::Server(_) if self.is_plain() => "redis://user:password@host",
            Way::Server(_) if self.is_tls => "rediss://user:password@host",
            Way::Server(_) => "redis+unix:///SOCKET?user=USER&pass=PASSWORD",
            Way::Sentinel(_) => {
                "redis+sentinel://user:password@host/MASTER, and ?sentinel_password= where the Sentinels ask for one"
            }
            Way::Cluster { .. } => "redis+cluster://user:password@host",
        }
    }

    /// Whether it names the nodes of a Cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.way, Way::Cluster { .. })
    }

    /// The server that answers for the namespace with that prefix now.
    pub(crate) async fn locate(&self, prefix: &str) -> RedisResult<Client> {
        let slow = || {
            RedisError::from((ErrorKind::Io, "nobody told in time which server answers for the namespace"))
        };
        match &self.way {
            Way::Server(client) => Ok(client.clone()),
            Way::Sentinel(sentinel) => {
                let asked = async { sentinel.lock().await.async_get_client().await };
                tokio::time::timeout(LOCATE_TIMEOUT, asked).await.map_err(|_| slow())?
            }
            Way::Cluster { seeds, told } => {
                let told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                if let Some(address) = told {
                    return Client::open(seeds[0].clone().set_addr(address));
                }
                // All at once, since some of them may be gone: the first that knows is believed. One that is mistaken
                // names a server that sends us on.
                let asked = select_ok(seeds.iter().map(|seed| Box::pin(owner(seed, prefix))));
                tokio::time::timeout(LOCATE_TIMEOUT, asked)
                    .await
                    .map_err(|_| slow())?
                    .map(|(client, _)| client)
            }
        }
    }

    /// A node of a Cluster has said that another one owns the namespace: the next connection goes there. Answers
    /// whether that is of use.
    pub(crate) fn moved(&self, error: &RedisError) -> bool {
        let Way::Cluster { seeds, told } = &self.way else { return false };
        let Some((host, port)) = error.redirect_node().and_then(|(node, _)| node.rsplit_once(':')) else {
            return false;
        };
        let Ok(port) = port.parse() else { return false };
        // A node that does not know its own name leaves it out: then everyone is asked anew.
        if !host.is_empty() && host != "?" {
            let address = at(seeds[0].addr(), host, port);
            *told.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(address);
        }
        true
    }
}

/// The URL as the driver reads it, and what it said about `create`.
fn without_create(url: &str) -> Result<(String, Option<bool>), String> {
    let Some((server, query)) = url.split_once('?') else { return Ok((url.to_owned(), None)) };
    let (mut theirs, mut create) = (Vec::new(), None);
    for pair in query.split('&') {
        match pair.strip_prefix("create=") {
            Some(value) => {
                create = Some(value.parse().map_err(|_| format!("create={value}: it is true or false"))?);
            }
            None => theirs.push(pair),
        }
    }
    let url = format!("{server}?{}", theirs.join("&"));
    Ok((url.trim_end_matches('?').to_owned(), create))
}

impl Parts<'_> {
    fn url_of(&self, host: &str, path: &str) -> String {
        format!("{}://{}{host}/{path}", self.scheme, self.credentials)
    }

    fn server(&self) -> Result<Way, String> {
        let [host] = self.hosts[..] else {
            return Err("several servers are the nodes of a Cluster (redis+cluster://) or Sentinels (redis+sentinel://)".into());
        };
        Ok(Way::Server(Client::open(self.info(host, self.path)?).map_err(told)?))
    }

    fn cluster(&self) -> Result<Way, String> {
        if !self.path.is_empty() {
            return Err("a Cluster has no numbered databases: nothing stands behind its nodes".into());
        }
        let seeds = self.hosts.iter().map(|host| self.info(host, "")).collect::<Result<_, _>>()?;
        Ok(Way::Cluster { seeds, told: Mutex::new(None) })
    }

    fn sentinel(&self) -> Result<Way, String> {
        let (master, db) = self.path.split_once('/').unwrap_or((self.path, ""));
        if master.is_empty() {
            return Err("it names no master: write redis+sentinel://host:26379,host:26379/MASTER".into());
        }
        // The credentials and the database are the server's; Sentinels may have their own.
        let server = self.info("server", db)?;
        let addresses = self.hosts.iter().map(|host| {
            let (host, port) = host_and_port(host, SENTINEL_PORT)?;
            Ok(at(server.addr(), &host, port))
        });
        let addresses = addresses.collect::<Result<Vec<_>, String>>()?;
        let settings = server.redis_settings();
        let mut builder =
            SentinelClientBuilder::new(addresses, master, SentinelServerType::Master).map_err(told)?;
        builder = builder.set_client_to_redis_db(settings.db());
        if let Some(user) = settings.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(user) = self.options.sentinel_user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = self.options.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        #[cfg(feature = "tls")]
        if self.scheme == "rediss" {
            builder = builder.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
            if let Some(certificates) = tls::certificates(&self.options)? {
                builder = builder.set_client_to_redis_certificates(certificates);
            }
        }
        Ok(Way::Sentinel(tokio::sync::Mutex::new(builder.build().map_err(told)?)))
    }

    /// How one server is reached.
    fn info(&self, host: &str, path: &str) -> Result<ConnectionInfo, String> {
        let info = self.url_of(host, path).into_connection_info().map_err(told)?;
        #[cfg(feature = "tls")]
        if self.scheme == "rediss" {
            return tls::with_certificates(info, &self.options);
        }
        if [self.options.tls_ca, self.options.tls_cert, self.options.tls_key].iter().any(Option::is_some) {
            return Err("certificates are for rediss://".into());
        }
        Ok(info)
    }
}

/// The address of another host that is reached in the same way.
fn at(like: &ConnectionAddr, host: &str, port: u16) -> ConnectionAddr {
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: host.into(),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host.into(), port),
    }
}

fn host_and_port(host: &str, default: u16) -> Result<(String, u16), String> {
    // An address of IPv6 stands in brackets.
    let port_at = host.rfind(':').filter(|at| !host[*at..].contains(']'));
    let (host, port) = match port_at {
        Some(at) => (
            &host[..at],
            host[at + 1..].parse().map_err(|_| format!("{host:?} has no port that is a number"))?,
        ),
        None => (host, default),
    };
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

/// A server by its socket, which leaves user and database no place but behind the `?`.
fn socket(url: &str, query: &str) -> Result<Client, String> {
    let names =
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or(pair));
    for name in names {
        if !["user", "pass", "db"].contains(&name) {
            return Err(format!(
                "a socket has no option {name:?}; it has namespace, upkeep, create, user, pass and db"
            ));
        }
    }
    Client::open(url).map_err(told)
}

fn told(error: RedisError) -> String {
    error.to_string()
}

/// Asks a node of a Cluster who owns the slot of that prefix.
async fn owner(seed: &ConnectionInfo, prefix: &str) -> RedisResult<Client> {
    let mut connection = Client::open(seed.clone())?.get_multiplexed_async_connection().await?;
    let slot: u64 = redis::cmd("CLUSTER").arg("KEYSLOT").arg(prefix).query_async(&mut connection).await?;
    let slots: Vec<Value> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    let unread =
        || RedisError::from((ErrorKind::UnexpectedReturnType, "CLUSTER SLOTS in a form that is not known"));
    for range in slots {
        let Value::Array(parts) = range else { return Err(unread()) };
        let mut parts = parts.into_iter();
        let mut number = || parts.next().and_then(|value| wire::number(value).ok()).ok_or_else(unread);
        let (from, to) = (number()?, number()?);
        if !(from..=to).contains(&slot) {
            continue;
        }
        let Some(Value::Array(master)) = parts.next() else { return Err(unread()) };
        let mut master = master.into_iter();
        let host = master.next().and_then(|value| wire::text(value).ok()).unwrap_or_default();
        let port = master
            .next()
            .and_then(|value| wire::number(value).ok())
            .and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(unread)?;
        // A node that does not know its own name has the one by which it was asked.
        let host = match (host.as_str(), seed.addr()) {
            ("" | "?", ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host.clone(),
            _ => host,
        };
        return Client::open(seed.clone().set_addr(at(seed.addr(), &host, port)));
    }
    Err(RedisError::from((ErrorKind::Io, "no node of the Cluster owns the namespace's slot")))
}

#[cfg(feature = "tls")]
mod tls {
    //! Certificates of servers and clients.

    use redis::{Client, ClientTlsConfig, ConnectionInfo, TlsCertificates};

    use super::{Options, told};

    /// The certificates that the URL names; none when the host's own store is to be used.
    pub(super) fn certificates(options: &Options<'_>) -> Result<Option<TlsCertificates>, String> {
        let read = |path: &str| std::fs::read(path).map_err(|why| format!("cannot read {path}: {why}"));
        let root_cert = options.tls_ca.map(read).transpose()?;
        let client_tls = match (options.tls_cert, options.tls_key) {
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
            }
            (None, None) => None,
            _ => return Err("a client's certificate has two files: tls_cert and tls_key".into()),
        };
        Ok((root_cert.is_some() || client_tls.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
    }

    pub(super) fn with_certificates(
        info: ConnectionInfo,
        options: &Options<'_>,
    ) -> Result<ConnectionInfo, String> {
        // Two libraries of cryptography in one program leave the choice to it; when it made none, it is this one.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        match certificates(options)? {
            Some(certificates) => {
                let client = Client::build_with_tls(info, certificates).map_err(told)?;
                Ok(client.get_connection_info().clone())
            }
            None => Ok(info),
        }
    }
}

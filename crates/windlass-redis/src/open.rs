//! Opening a store: the address, the server's own settings, and what they are good for.

use std::sync::{Arc, Mutex};

use windlass_core::store::AckLevel;
use windlass_core::{StoreError, Time};

use crate::address::Address;
use crate::hub::Hub;
use crate::library::{LIBRARY, LONG_WAY, SHORT_LOG};
use crate::link::{Link, NOT_A_CLUSTER};
use crate::wire;
use crate::{Handle, RedisStore, upkeep};

/// The oldest server whose functions can do what the verbs need.
const VERSION_MIN: (u64, u64) = (7, 0);
/// With `appendfsync everysec` a busy disk may put a write off for two seconds.
const EVERYSEC_WINDOW_MS: u64 = 2_000;

/// Keys looked at in one step of an erasure.
const ERASED_A_STEP: usize = 1_000;

/// How a store is opened.
#[derive(Clone)]
pub struct RedisOptions {
    /// Which set of queues, keys and limits on the server; stores of different namespaces know nothing of each other.
    pub namespace: String,
    /// Whether this process does upkeep in the background. Some process must.
    pub upkeep: bool,
    /// Every job goes the long way; for a test that both ways answer the same.
    #[doc(hidden)]
    pub long_way: bool,
    /// The event log is kept short; for a test of what happens at its bound.
    #[doc(hidden)]
    pub short_log: bool,
    /// A clock instead of the server's own; for tests.
    pub clock: Option<Arc<dyn Fn() -> Time + Send + Sync>>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self { namespace: "windlass".into(), upkeep: true, long_way: false, short_log: false, clock: None }
    }
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions")
            .field("namespace", &self.namespace)
            .field("upkeep", &self.upkeep)
            .finish_non_exhaustive()
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is none.
    #[error("{0}")]
    BadAddress(String),
    /// The server cannot carry a queue as it is.
    #[error("this Redis server cannot carry a queue: {0}")]
    Unfit(String),
    /// The server could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a server says of itself.
struct Server {
    version: String,
    policy: String,
    aof: bool,
    fsync: Option<String>,
    saves: bool,
    /// `standalone`, `cluster` or `sentinel`.
    mode: String,
}

impl RedisStore {
    /// Opens a namespace of the server, the master or the Cluster at that URL:
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis://user:password@host:6379/0` | one server |
    /// | `redis+unix:///run/redis.sock` | one server by its socket |
    /// | `redis+sentinel://host:26379,host:26379/MASTER/0` | the master that Sentinel names |
    /// | `redis+cluster://host:6379,host:6379` | the node of a Cluster that owns the namespace |
    ///
    /// With `rediss` instead of `redis` it speaks TLS (feature `tls`). Options stand behind a `?`: `tls_ca`, `tls_cert`
    /// and `tls_key` name files of PEM; `sentinel_user` and `sentinel_password` are for Sentinels that ask for them.
    ///
    /// # Errors
    /// [`OpenError`] that says what is wrong with the address or the server, and what would be right.
    pub async fn open(url: &str, options: RedisOptions) -> Result<Self, OpenError> {
        if options.namespace.is_empty() || options.namespace.contains(['{', '}', '\0']) {
            return Err(OpenError::BadAddress("a namespace is a name without braces".into()));
        }
        let address = Address::parse(url).map_err(OpenError::BadAddress)?;
        let library = match (options.long_way, options.short_log) {
            (true, _) => &LONG_WAY,
            (_, true) => &SHORT_LOG,
            _ => &LIBRARY,
        };
        let link = Arc::new(Link::new(address, library, &options.namespace, sender()));
        let server = Server::ask(&link).await?;
        server.is_what_the_url_says(link.address())?;
        let level = server.fit()?;
        let handle = Arc::new(Handle {
            link,
            hub: Arc::new(Hub::default()),
            level,
            server: server.describe(level),
            clock: options.clock,
            tasks: Mutex::new(Vec::new()),
        });
        let store = RedisStore(handle);
        store.renew_leases().await?;
        // From here on whatever others tell is heard.
        let listener = store.0.link.listen().await.ok();
        let mut tasks = vec![tokio::spawn(upkeep::listen(Arc::downgrade(&store.0), listener))];
        if options.upkeep {
            tasks.push(tokio::spawn(upkeep::run(Arc::downgrade(&store.0))));
        }
        *store.0.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = tasks;
        Ok(store)
    }

    /// Erases the namespace at that URL: every key of it, in steps that let others work in between. What is open there
    /// begins anew with nothing.
    ///
    /// # Errors
    /// [`OpenError`] when the server cannot be asked; what was erased until then stays erased.
    pub async fn erase(url: &str, namespace: &str) -> Result<u64, OpenError> {
        let address = Address::parse(url).map_err(OpenError::BadAddress)?;
        let link = Link::new(address, &LIBRARY, namespace, sender());
        let (mut cursor, mut erased) = (0, 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(format!("{{{}}}*", escaped(namespace)))
                .arg("COUNT")
                .arg(ERASED_A_STEP);
            let read = |value| {
                let [next, keys] = wire::fields(value)?;
                Ok::<_, wire::Misread>((wire::number(next)?, wire::items(keys)?))
            };
            let answer = link.command(&scan).await.map_err(|why| why.into_error("erase"))?;
            let (next, keys) = read(answer).map_err(|why| why.into_error("erase"))?;
            if !keys.is_empty() {
                erased += keys.len() as u64;
                let mut unlink = redis::cmd("UNLINK");
                for key in keys {
                    unlink.arg(wire::bytes(key).map_err(|why| why.into_error("erase"))?);
                }
                link.command(&unlink).await.map_err(|why| why.into_error("erase"))?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(erased);
            }
        }
    }

    /// When the server is another run than the one that was last seen, every live lease gets one full lease again: its
    /// holder could not send a heartbeat while the server was away.
    async fn renew_leases(&self) -> Result<(), StoreError> {
        self.done(&self.call("renew", None), "open", |_| Ok(())).await
    }
}

/// The text as a pattern that matches nothing else.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| ['\\', c].into_iter().skip(usize::from(c.is_alphanumeric()))).collect()
}

/// A number for this handle that no other has.
fn sender() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish() | 1
}

impl Server {
    async fn ask(link: &Link) -> Result<Self, OpenError> {
        let ask = async |cmd: &redis::Cmd| link.command(cmd).await.map_err(|why| why.into_error("open"));
        let mut info = String::new();
        for section in ["server", "memory", "persistence"] {
            let answer = ask(redis::cmd("INFO").arg(section)).await?;
            info += &wire::text(answer).map_err(|why| why.into_error("open"))?;
        }
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or("").trim().to_owned()
        };
        // A user who may not read the configuration gets the careful answer.
        let config = async |name: &str| -> Option<String> {
            let answer = link.command(redis::cmd("CONFIG").arg("GET").arg(name)).await.ok()?;
            let mut pairs = wire::pairs(answer).ok()?;
            String::from_utf8(pairs.pop()?.1).ok()
        };
        Ok(Self {
            version: field("redis_version"),
            mode: field("redis_mode"),
            policy: field("maxmemory_policy"),
            aof: field("aof_enabled") == "1",
            fsync: config("appendfsync").await,
            saves: config("save").await.is_some_and(|save| !save.is_empty()),
        })
    }

    fn is_what_the_url_says(&self, address: &Address) -> Result<(), OpenError> {
        let wrong = match (self.mode.as_str(), address.is_cluster()) {
            ("cluster", false) => NOT_A_CLUSTER,
            ("sentinel", _) => "the server is a Sentinel: write redis+sentinel://HOST:PORT/MASTER",
            _ => return Ok(()),
        };
        Err(OpenError::BadAddress(wrong.into()))
    }

    /// The ack level that the settings give.
    fn fit(&self) -> Result<AckLevel, OpenError> {
        let mut parts = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if version < VERSION_MIN {
            let why = format!("it is version {}, and functions need 7.0 or later", self.version);
            return Err(OpenError::Unfit(why));
        }
        if !self.policy.is_empty() && self.policy != "noeviction" {
            let why = format!(
                "its maxmemory-policy is {}, which lets it forget jobs; set maxmemory-policy noeviction",
                self.policy
            );
            return Err(OpenError::Unfit(why));
        }
        Ok(match (self.aof, self.fsync.as_deref()) {
            (true, Some("always")) => AckLevel::Power,
            (true, Some("everysec") | None) => AckLevel::Window { ms: EVERYSEC_WINDOW_MS },
            _ => AckLevel::None,
        })
    }

    fn describe(&self, level: AckLevel) -> String {
        let persistence = match (self.aof, self.fsync.as_deref(), self.saves) {
            (true, Some(fsync), _) => format!("append-only file, appendfsync {fsync}"),
            (true, None, _) => "append-only file, appendfsync unknown".to_owned(),
            (false, _, true) => {
                "snapshots only: what came after the last one is lost with the server".to_owned()
            }
            (false, _, false) => "no persistence: everything is lost with the server".to_owned(),
        };
        format!("Redis {}, {persistence}; an acknowledged write survives: {level}", self.version)
    }
}

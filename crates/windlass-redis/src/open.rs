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

/// Keys of which a store has one as soon as anything is in it: counters, queues, limits, schedules, readers, workers, values
/// (`FORMAT.md`). Nobody else's is called so.
const MARKS: [&str; 7] = ["z", "Q", "M", "S", "V", "H", "n"];
/// What every open writes that may make the namespace, before anything is put into it: it says nothing of whose it is.
const SEEN: &str = "n\u{1}server";

/// How a store is opened.
#[derive(Clone)]
pub struct RedisOptions {
    /// Which set of queues, keys and limits on the server; stores of different namespaces know nothing of each other.
    pub namespace: String,
    /// Whether this process does upkeep in the background. Some process must.
    pub upkeep: bool,
    /// Whether a namespace that nobody has opened yet is made (`create=` in the URL wins). Whoever only looks had better
    /// not: a mistyped name would look like an empty queue.
    pub create: bool,
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
        Self {
            namespace: "windlass".into(),
            upkeep: true,
            create: true,
            long_way: false,
            short_log: false,
            clock: None,
        }
    }
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions")
            .field("namespace", &self.namespace)
            .field("upkeep", &self.upkeep)
            .field("create", &self.create)
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
    /// Keys begin with the namespace's name, and no store has ever been opened there; they are left as they are.
    #[error("what is in namespace {0} is not a store of Windlass: left as it is")]
    NotAStore(String),
    /// Nobody has opened that namespace yet, and this open was not to make it.
    #[error("there is no namespace {0} on this server; check the name, the first enqueue makes one")]
    NoNamespace(String),
    /// The server could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a server says of itself.
pub(crate) struct Server {
    /// `Redis` or `Valkey`.
    name: &'static str,
    version: String,
    policy: String,
    aof: bool,
    fsync: Option<String>,
    /// When it takes snapshots; empty for never.
    save: Option<String>,
    /// `standalone`, `cluster` or `sentinel`.
    mode: String,
    pub(crate) used_memory: u64,
    /// The most that it may use; 0 for no bound.
    pub(crate) maxmemory: u64,
    pub(crate) dataset_bytes: u64,
    pub(crate) aof_bytes: u64,
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
    /// and `tls_key` name files of PEM; `sentinel_user` and `sentinel_password` are for Sentinels that ask for them;
    /// `create` is [`RedisOptions::create`].
    ///
    /// # Errors
    /// [`OpenError`] that says what is wrong with the address or the server, and what would be right.
    pub async fn open(url: &str, options: RedisOptions) -> Result<Self, OpenError> {
        if options.namespace.is_empty() || options.namespace.contains(['{', '}', '\0']) {
            return Err(OpenError::BadAddress("a namespace is a name without braces".into()));
        }
        let address = Address::parse(url).map_err(OpenError::BadAddress)?;
        let create = address.creates().unwrap_or(options.create);
        let library = match (options.long_way, options.short_log) {
            (true, _) => &LONG_WAY,
            (_, true) => &SHORT_LOG,
            _ => &LIBRARY,
        };
        let link = Arc::new(Link::new(address, library, &options.namespace, sender()));
        let server = Server::ask(&link).await?;
        server.is_what_the_url_says(link.address())?;
        let level = server.fit()?;
        if !create && !is_there(&link).await? {
            return Err(OpenError::NoNamespace(options.namespace));
        }
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

    /// Erases the namespace at that URL: every key of it, in steps that let others work in between, and answers how many
    /// there were. What is open there begins anew with nothing. An erasure that was cut off can be made again.
    ///
    /// # Errors
    /// [`OpenError::NotAStore`] when somebody else's keys have that name; else [`OpenError`] when the server cannot be
    /// asked: what was erased until then stays erased.
    pub async fn erase(url: &str, namespace: &str) -> Result<u64, OpenError> {
        let address = Address::parse(url).map_err(OpenError::BadAddress)?;
        let link = Link::new(address, &LIBRARY, namespace, sender());
        let ask = async |cmd: &redis::Cmd| link.command(cmd).await.map_err(|why| why.into_error("erase"));
        let misread = |why: wire::Misread| why.into_error("erase");
        // They go last, so that what is left of half an erasure is still known as a store's.
        let marks = MARKS.map(|key| format!("{{{namespace}}}{key}").into_bytes());
        let marked = ask(redis::cmd("EXISTS").arg(&marks[..])).await?;
        let is_store = wire::number(marked).map_err(misread)? > 0;
        let seen = format!("{{{namespace}}}{SEEN}").into_bytes();
        // A store's keys go on with a letter.
        let ours = if is_store { "[a-zA-Z]*" } else { "*" };
        let pattern = format!("{{{}}}{ours}", escaped(namespace));
        let (mut cursor, mut erased) = (0, 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(ERASED_A_STEP);
            let [next, keys] = wire::fields(ask(&scan).await?).map_err(misread)?;
            let keys = wire::items(keys).map_err(misread)?.into_iter().map(wire::bytes);
            let mut keys = keys.collect::<Result<Vec<_>, _>>().map_err(misread)?;
            keys.retain(|key| *key != seen && !marks.contains(key));
            if !is_store && !keys.is_empty() {
                return Err(OpenError::NotAStore(namespace.to_owned()));
            }
            if !keys.is_empty() {
                erased += keys.len() as u64;
                ask(redis::cmd("UNLINK").arg(keys)).await?;
            }
            cursor = wire::number(next).map_err(misread)?;
            if cursor == 0 {
                break;
            }
        }
        let last = ask(redis::cmd("UNLINK").arg(&marks[..]).arg(&seen)).await?;
        let last = wire::number(last).map_err(misread)?;
        Ok(if is_store { erased + last } else { 0 })
    }

    /// When the server is another run than the one that was last seen, every live lease gets one full lease again: its
    /// holder could not send a heartbeat while the server was away.
    async fn renew_leases(&self) -> Result<(), StoreError> {
        self.done(&self.call("renew", None), "open", |_| Ok(())).await
    }
}

/// Whether anybody has opened the namespace to work with it.
async fn is_there(link: &Link) -> Result<bool, StoreError> {
    let namespace = link.namespace();
    let mut exists = redis::cmd("EXISTS");
    for key in MARKS.into_iter().chain([SEEN]) {
        exists.arg(format!("{{{namespace}}}{key}"));
    }
    let there = link.command(&exists).await.map_err(|why| why.into_error("open"))?;
    Ok(wire::number(there).map_err(|why| why.into_error("open"))? > 0)
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
    /// Reads it as it is now.
    pub(crate) async fn ask(link: &Link) -> Result<Self, StoreError> {
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
        let number = |name: &str| field(name).parse().unwrap_or(0);
        // A user who may not read the configuration gets the careful answer.
        let config = async |name: &str| -> Option<String> {
            let answer = link.command(redis::cmd("CONFIG").arg("GET").arg(name)).await.ok()?;
            let mut pairs = wire::pairs(answer).ok()?;
            String::from_utf8(pairs.pop()?.1).ok()
        };
        Ok(Self {
            name: if field("valkey_version").is_empty() { "Redis" } else { "Valkey" },
            version: field("redis_version"),
            mode: field("redis_mode"),
            policy: field("maxmemory_policy"),
            aof: field("aof_enabled") == "1",
            fsync: config("appendfsync").await,
            save: config("save").await,
            used_memory: number("used_memory"),
            maxmemory: number("maxmemory"),
            dataset_bytes: number("used_memory_dataset"),
            aof_bytes: number("aof_current_size"),
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
        Ok(self.level())
    }

    /// What an acknowledged write survives.
    pub(crate) fn level(&self) -> AckLevel {
        match (self.aof, self.fsync.as_deref()) {
            (true, Some("always")) => AckLevel::Power,
            (true, Some("everysec") | None) => AckLevel::Window { ms: EVERYSEC_WINDOW_MS },
            _ => AckLevel::None,
        }
    }

    /// The server and the version of Redis whose commands it has.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// What the level and the bounds rest on.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let unknown = || "unknown: the user may not read it".to_owned();
        let of = |name: &str, value: String| (name.to_owned(), value);
        vec![
            of("appendonly", if self.aof { "yes" } else { "no" }.to_owned()),
            of("appendfsync", self.fsync.clone().unwrap_or_else(unknown)),
            of("save", self.save.clone().unwrap_or_else(unknown)),
            of("maxmemory", self.maxmemory.to_string()),
            of("maxmemory-policy", self.policy.clone()),
        ]
    }

    /// What an operator should look into.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.level() {
            AckLevel::None if self.aof => {
                warnings.push("appendfsync no: when a write reaches the disk is left to the system; set appendfsync everysec or always".to_owned());
            }
            AckLevel::None => warnings.push(
                "appendonly no: acknowledged work is lost with the server; set appendonly yes".to_owned(),
            ),
            _ if self.fsync.is_none() => warnings.push(
                "this user may not read appendfsync, so the level is the careful guess; grant +config|get"
                    .to_owned(),
            ),
            AckLevel::Window { ms } => warnings.push(format!(
                "appendfsync everysec: up to {ms} ms of acknowledged work are lost when the server is killed; appendfsync always loses none"
            )),
            _ => {}
        }
        if self.maxmemory == 0 {
            warnings.push("maxmemory 0: nothing refuses work before the machine's memory is full; give the server a maxmemory".to_owned());
        }
        warnings
    }

    fn describe(&self, level: AckLevel) -> String {
        let saves = self.save.as_ref().is_some_and(|save| !save.is_empty());
        let persistence = match (self.aof, self.fsync.as_deref(), saves) {
            (true, Some(fsync), _) => format!("append-only file, appendfsync {fsync}"),
            (true, None, _) => "append-only file, appendfsync unknown".to_owned(),
            (false, _, true) => {
                "snapshots only: what came after the last one is lost with the server".to_owned()
            }
            (false, _, false) => "no persistence: everything is lost with the server".to_owned(),
        };
        format!("{}, {persistence}; an acknowledged write survives: {level}", self.name())
    }
}

//! From a URL to a client: which store, where, with which options.
//!
//! | URL | store |
//! |---|---|
//! | `file:./data`, `file:/var/lib/app`, `file:///var/lib/app` | the engine inside, in that directory |
//! | `memory:` | the engine inside, without a disk: gone with the process |
//! | `redis://host:6379/0`, `redis+unix:///run/redis.sock` | a Redis server (feature `redis`) |
//! | `redis+sentinel://host:26379,host/MASTER`, `redis+cluster://host:6379,host` | the Redis server that answers for the namespace now |
//! | `rediss://…`, `rediss+sentinel://…`, `rediss+cluster://…` | the same over TLS (feature `redis-tls`) |
//! | `postgres://user@host/database` | a PostgreSQL database (feature `postgres`) |
//! | `http://host:7979`, `http+unix:/run/windlass.sock` | the store of a Windlass server (feature `http`) |
//! | `https://host` | the same over TLS (feature `http-tls`) |
//!
//! Options stand behind a `?` (`file:./data?ack=process`) or in [`OpenOptions`], which wins. An option
//! that is not known is refused: a misspelt `ack` must not quietly mean the default. The token for a Windlass server stands
//! in no URL, since URLs land in logs: it comes from [`OpenOptions::token`], or from the environment's `WINDLASS_TOKEN`.

use crate::client::Client;
use windlass_core::url::without_password;

/// What a URL may say behind its `?`, as a value of its own.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    ack: Option<Ack>,
    create: Option<bool>,
    namespace: Option<String>,
    upkeep: Option<bool>,
    token: Option<Token>,
    workers_elsewhere: bool,
}

/// What lets its bearer in, and is shown nowhere.
#[derive(Clone)]
struct Token(
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only a server asks for one"))] String,
);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// What an acknowledged write survives, for stores that leave the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Power loss of the host: every answer waits for the disk's sync. The default.
    Power,
    /// kill -9 of every process, but not power loss.
    Process,
}

impl OpenOptions {
    /// The options of the URL, or the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What an acknowledged write survives (`ack=power` or `ack=process`).
    #[must_use]
    pub fn ack(mut self, ack: Ack) -> Self {
        self.ack = Some(ack);
        self
    }

    /// Whether a directory that does not exist yet is made (`create=true` or `create=false`); it is
    /// by default.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = Some(create);
        self
    }

    /// Which set of queues, keys and limits on a server (`namespace=NAME`); `windlass` by default. Stores of
    /// different namespaces know nothing of each other. On PostgreSQL it is the name of a schema.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Whether this process does upkeep on a server's store (`upkeep=true` or `upkeep=false`); it does by default,
    /// and some process must.
    #[must_use]
    pub fn upkeep(mut self, upkeep: bool) -> Self {
        self.upkeep = Some(upkeep);
        self
    }

    /// Who calls, for a Windlass server that wants to know; the environment's `WINDLASS_TOKEN` unless said.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// Whether workers live in other processes, as a server's do. The embedded engine then gives their leases a full time
    /// again when it opens a directory, instead of ending them as those of the process that owned it before.
    #[must_use]
    pub fn workers_elsewhere(mut self, elsewhere: bool) -> Self {
        self.workers_elsewhere = elsewhere;
        self
    }

    /// Opens the store that the URL names.
    ///
    /// # Errors
    /// [`OpenError`] that names what is wrong and what would be right.
    pub async fn open(self, url: &str) -> Result<Client, OpenError> {
        let address = Address::parse(url)?;
        let options = address.options(url, self)?;
        address.open(url, options).await
    }
}

/// Opens the store that the URL names, with its options behind a `?`.
///
/// ```no_run
/// # async fn doc() -> Result<(), windlass::OpenError> {
/// let client = windlass::open("file:./data").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`OpenError`] that names what is wrong and what would be right.
pub async fn open(url: &str) -> Result<Client, OpenError> {
    OpenOptions::new().open(url).await
}

/// Why a store could not be opened.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The text is no URL of a store.
    #[error(
        "{url:?} names no store: {why}; try file:./data, memory:, redis://HOST, postgres://HOST/DATABASE or http://HOST:PORT"
    )]
    BadUrl {
        /// What was given, without a password.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A store of that kind is not part of this build.
    #[error("this build has no {scheme} store; it has {has}")]
    NoSuchStore {
        /// The part of the URL before the colon.
        scheme: String,
        /// What there is instead.
        has: String,
    },
    /// The store has no option of that name.
    #[error("{scheme} has no option {option:?}; it has {has}")]
    UnknownOption {
        /// The part of the URL before the colon.
        scheme: &'static str,
        /// The option given.
        option: String,
        /// What there is instead.
        has: &'static str,
    },
    /// The option has another kind of value.
    #[error("option {option}={value:?}: {wants}")]
    BadOption {
        /// The option.
        option: String,
        /// What was given.
        value: String,
        /// What it wants.
        wants: &'static str,
    },
    /// The embedded engine could not open its directory; its message says why.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Embedded(#[from] windlass_embedded::OpenError),
    /// The Redis server could not be had; its message says why.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] windlass_redis::OpenError),
    /// The PostgreSQL database could not be had; its message says why.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] windlass_postgres::OpenError),
    /// The Windlass server could not be had; its message says why.
    #[cfg(feature = "http")]
    #[error(transparent)]
    Http(#[from] windlass_http::OpenError),
    /// The thread that opened the store ended before it was done.
    #[error("opening was interrupted: {0}")]
    Interrupted(String),
}

impl std::fmt::Debug for OpenError {
    /// In words, since this is what a `main` that returns it prints.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Whether that URL names a store of this build with options that it knows. Nothing is opened and nobody is asked.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(url: &str) -> Result<(), OpenError> {
    Address::parse(url)?.options(url, OpenOptions::default()).map(drop)
}

#[derive(Debug, PartialEq, Eq)]
enum Address<'a> {
    File { path: &'a str, query: &'a str },
    Memory { query: &'a str },
    Redis { query: &'a str },
    Postgres { query: &'a str },
    Http { query: &'a str },
}

/// Every scheme of a store, and whether this build has it.
const BUILT: [(&str, bool); 14] = [
    ("file", cfg!(feature = "embedded")),
    ("memory", cfg!(feature = "embedded")),
    ("redis", cfg!(feature = "redis")),
    ("redis+unix", cfg!(feature = "redis")),
    ("redis+sentinel", cfg!(feature = "redis")),
    ("redis+cluster", cfg!(feature = "redis")),
    ("rediss", cfg!(feature = "redis-tls")),
    ("rediss+sentinel", cfg!(feature = "redis-tls")),
    ("rediss+cluster", cfg!(feature = "redis-tls")),
    ("postgres", cfg!(feature = "postgres")),
    ("postgresql", cfg!(feature = "postgres")),
    ("http", cfg!(feature = "http")),
    ("http+unix", cfg!(feature = "http")),
    ("https", cfg!(feature = "http-tls")),
];

/// The schemes that stand for their kinds of stores, in the order in which they are told.
const KINDS: [&str; 5] = ["file", "memory", "redis", "postgres", "http"];

/// What this build can open, in words.
fn has() -> String {
    let is_built = |kind: &&str| BUILT.iter().any(|(scheme, built)| scheme == kind && *built);
    let kinds: Vec<String> =
        KINDS.iter().filter(|kind| is_built(kind)).map(|kind| format!("{kind}:")).collect();
    match kinds.as_slice() {
        [] => "none: turn on the feature `embedded`, `redis`, `postgres` or `http`".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

impl<'a> Address<'a> {
    fn parse(url: &'a str) -> Result<Self, OpenError> {
        let bad = |why| OpenError::BadUrl { url: without_password(url), why };
        let (scheme, rest) = url.split_once(':').ok_or_else(|| bad("it has no scheme"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !BUILT.iter().any(|(name, built)| *name == scheme && *built) {
            return Err(match BUILT.iter().any(|(name, _)| *name == scheme) {
                true => OpenError::NoSuchStore { scheme: scheme.into(), has: has() },
                false => bad("its scheme is not one of a store"),
            });
        }
        if scheme == "memory" {
            return match path {
                "" => Ok(Address::Memory { query }),
                _ => Err(bad("memory: has no path")),
            };
        }
        if scheme.starts_with("redis") {
            return match path.strip_prefix("//") {
                Some(server) if !server.is_empty() => Ok(Address::Redis { query }),
                _ => Err(bad("it names no server; write redis://host:6379")),
            };
        }
        if scheme.starts_with("postgres") {
            return match path.strip_prefix("//") {
                Some(_) => Ok(Address::Postgres { query }),
                None => Err(bad("it names no server; write postgres://user@host/database")),
            };
        }
        if scheme.starts_with("http") {
            let server = if scheme == "http+unix" { Some(path) } else { path.strip_prefix("//") };
            return match server {
                Some(server) if !server.is_empty() => Ok(Address::Http { query }),
                _ => Err(bad("it names no server; write http://host:7979 or http+unix:/path")),
            };
        }
        // `file://host/path` is a URL of another machine; `file:///path` is one of this.
        let path = match path.strip_prefix("//") {
            Some(local) if local.starts_with('/') => local,
            Some(_) => {
                return Err(bad("the part between // and / names a host; write file:/path or file:./path"));
            }
            None => path,
        };
        if path.is_empty() {
            return Err(bad("it has no path"));
        }
        Ok(Address::File { path, query })
    }

    /// The options of the query under those given in code.
    fn options(&self, url: &str, code: OpenOptions) -> Result<OpenOptions, OpenError> {
        let (scheme, query, has) = match self {
            Address::File { query, .. } => ("file:", query, "ack and create"),
            Address::Memory { query } => ("memory:", query, "none"),
            Address::Redis { query } => ("redis:", query, "namespace, upkeep and certificates"),
            Address::Postgres { query } => {
                ("postgres:", query, "namespace, upkeep, and what docs/postgres.md lists")
            }
            Address::Http { query } => {
                ("http:", query, "none: its token is given by OpenOptions::token or WINDLASS_TOKEN")
            }
        };
        let mut options = OpenOptions::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (option, value) = pair.split_once('=').ok_or_else(|| OpenError::BadUrl {
                url: without_password(url),
                why: "an option is written name=value",
            })?;
            let bad = |wants| OpenError::BadOption { option: option.into(), value: value.into(), wants };
            match (self, option) {
                (Address::File { .. }, "ack") => {
                    options.ack = Some(match value {
                        "power" => Ack::Power,
                        "process" => Ack::Process,
                        _ => return Err(bad("power or process")),
                    });
                }
                (Address::File { .. }, "create") => {
                    options.create = Some(value.parse().map_err(|_| bad("true or false"))?);
                }
                (Address::Redis { .. } | Address::Postgres { .. }, "namespace") => {
                    options.namespace = Some(value.into());
                }
                (Address::Redis { .. } | Address::Postgres { .. }, "upkeep") => {
                    options.upkeep = Some(value.parse().map_err(|_| bad("true or false"))?);
                }
                // The rest is the store's, which refuses what it does not know.
                (Address::Redis { .. } | Address::Postgres { .. }, _) => {}
                _ => return Err(OpenError::UnknownOption { scheme, option: option.into(), has }),
            }
        }
        let unknown = |option: &str| OpenError::UnknownOption { scheme, option: option.into(), has };
        let is_file = matches!(self, Address::File { .. });
        let is_server = matches!(self, Address::Redis { .. } | Address::Postgres { .. });
        let is_http = matches!(self, Address::Http { .. });
        for (given, fits, option) in [
            (code.ack.is_some(), is_file, "ack"),
            (code.create.is_some(), is_file, "create"),
            (code.namespace.is_some(), is_server, "namespace"),
            (code.upkeep.is_some(), is_server, "upkeep"),
            (code.token.is_some(), is_http, "token"),
        ] {
            if given && !fits {
                return Err(unknown(option));
            }
        }
        Ok(OpenOptions {
            ack: code.ack.or(options.ack),
            create: code.create.or(options.create),
            namespace: code.namespace.or(options.namespace),
            upkeep: code.upkeep.or(options.upkeep),
            token: code.token,
            workers_elsewhere: code.workers_elsewhere,
        })
    }

    #[cfg_attr(
        not(any(feature = "embedded", feature = "redis", feature = "postgres", feature = "http")),
        allow(unused_variables, reason = "a build without a store opens none")
    )]
    async fn open(self, url: &str, options: OpenOptions) -> Result<Client, OpenError> {
        match self {
            #[cfg(feature = "embedded")]
            Address::Memory { .. } => {
                let store = windlass_embedded::EmbeddedStore::memory(embedded_options(&options));
                Ok(Client::new(std::sync::Arc::new(store)))
            }
            #[cfg(feature = "embedded")]
            Address::File { path, .. } => {
                let (path, embedded) = (std::path::PathBuf::from(path), embedded_options(&options));
                // Reading a large directory takes seconds and blocks its thread.
                let opening = tokio::task::spawn_blocking(move || {
                    windlass_embedded::EmbeddedStore::open(&path, embedded)
                });
                let store = opening.await.map_err(|fault| OpenError::Interrupted(fault.to_string()))??;
                Ok(Client::new(std::sync::Arc::new(store)))
            }
            #[cfg(feature = "redis")]
            Address::Redis { query } => {
                let mut redis = windlass_redis::RedisOptions::default();
                redis.namespace = options.namespace.unwrap_or(redis.namespace);
                redis.upkeep = options.upkeep.unwrap_or(redis.upkeep);
                let store = windlass_redis::RedisStore::open(&without_ours(url, query), redis).await?;
                Ok(Client::new(std::sync::Arc::new(store)))
            }
            #[cfg(feature = "postgres")]
            Address::Postgres { query } => {
                let mut postgres = windlass_postgres::Options::default();
                postgres.schema = options.namespace.unwrap_or(postgres.schema);
                postgres.upkeep = options.upkeep.unwrap_or(postgres.upkeep);
                let store =
                    windlass_postgres::PostgresStore::open(&without_ours(url, query), postgres).await?;
                Ok(Client::new(std::sync::Arc::new(store)))
            }
            #[cfg(feature = "http")]
            Address::Http { .. } => {
                let http = windlass_http::HttpOptions {
                    token: options.token.map(|token| token.0).or_else(token_of_the_environment),
                    ..windlass_http::HttpOptions::default()
                };
                // An empty list of options behind a `?` is none.
                let server = url.split_once('?').map_or(url, |(server, _)| server);
                let store = windlass_http::HttpStore::open(server, http).await?;
                Ok(Client::new(std::sync::Arc::new(store)))
            }
            #[allow(unreachable_patterns, reason = "each build has the stores of its features")]
            _ => {
                Err(OpenError::NoSuchStore { scheme: url.split(':').next().unwrap_or("").into(), has: has() })
            }
        }
    }
}

/// What `WINDLASS_TOKEN` holds; nothing where it is empty, as it is where a script has none to give.
#[cfg(feature = "http")]
fn token_of_the_environment() -> Option<String> {
    std::env::var("WINDLASS_TOKEN").ok().filter(|token| !token.is_empty())
}

/// The URL of a server without the options that every store has.
#[cfg(any(feature = "redis", feature = "postgres"))]
fn without_ours(url: &str, query: &str) -> String {
    let ours = |pair: &&str| pair.starts_with("namespace=") || pair.starts_with("upkeep=");
    let theirs: Vec<&str> = query.split('&').filter(|pair| !ours(pair)).collect();
    let server = url.split_once('?').map_or(url, |(server, _)| server);
    format!("{server}?{}", theirs.join("&")).trim_end_matches('?').to_owned()
}

#[cfg(feature = "embedded")]
fn embedded_options(options: &OpenOptions) -> windlass_embedded::EmbeddedOptions {
    let mut embedded = windlass_embedded::EmbeddedOptions::default();
    if options.workers_elsewhere {
        embedded.leases = windlass_embedded::AtOpen::RenewLeases;
    }
    if let Some(ack) = options.ack {
        embedded.ack_level = match ack {
            Ack::Power => windlass_embedded::Ack::Power,
            Ack::Process => windlass_embedded::Ack::Process,
        };
    }
    if let Some(create) = options.create {
        embedded.create = create;
    }
    embedded
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<OpenOptions, OpenError> {
        Address::parse(url)?.options(url, OpenOptions::default())
    }

    #[test]
    fn a_url_names_one_store_and_one_path() {
        assert_eq!(Address::parse("file:./data").unwrap(), Address::File { path: "./data", query: "" });
        assert_eq!(
            Address::parse("file:///a/b?ack=process").unwrap(),
            Address::File { path: "/a/b", query: "ack=process" }
        );
        assert_eq!(Address::parse("memory:").unwrap(), Address::Memory { query: "" });
        for (url, says) in [
            ("data", "no scheme"),
            ("file:", "no path"),
            ("file://host/data", "host"),
            ("memory:x", "no path"),
            ("ftp://x", "not one of a store"),
            ("redis:", if cfg!(feature = "redis") { "names no server" } else { "no redis store" }),
            ("postgres:", if cfg!(feature = "postgres") { "names no server" } else { "no postgres store" }),
            ("http:", if cfg!(feature = "http") { "names no server" } else { "no http store" }),
            ("http+unix:", if cfg!(feature = "http") { "names no server" } else { "no http+unix store" }),
            ("https:", if cfg!(feature = "http-tls") { "names no server" } else { "no https store" }),
        ] {
            let told = Address::parse(url).unwrap_err().to_string();
            assert!(told.contains(says), "{url}: {told}");
        }
    }

    #[test]
    fn an_option_that_is_not_known_is_refused_with_those_that_are() {
        assert_eq!(parsed("file:./d?ack=process&create=false").unwrap().ack, Some(Ack::Process));
        for (url, says) in [
            ("file:./d?akc=process", "it has ack and create"),
            ("file:./d?ack=maybe", "power or process"),
            ("file:./d?ack", "name=value"),
            ("memory:?ack=process", "it has none"),
        ] {
            let told = parsed(url).unwrap_err().to_string();
            assert!(told.contains(says), "{url}: {told}");
        }
        let code = OpenOptions::new().ack(Ack::Power);
        let told = Address::parse("memory:").unwrap().options("memory:", code).unwrap_err().to_string();
        assert!(told.contains("no option \"ack\""), "{told}");
    }

    #[test]
    fn a_build_says_what_it_has() {
        let has = has();
        assert!(has.starts_with("file:, memory:") || has == "file: and memory:", "{has}");
        for (kind, built) in [("redis:", cfg!(feature = "redis")), ("http:", cfg!(feature = "http"))] {
            assert_eq!(has.contains(kind), built, "{has}");
        }
    }

    #[test]
    fn a_token_stands_in_no_url_and_in_no_message() {
        let options = OpenOptions::new().token("secret");
        assert!(!format!("{options:?}").contains("secret"));
        let told =
            Address::parse("memory:").unwrap().options("memory:", options.clone()).unwrap_err().to_string();
        assert!(told.contains("no option \"token\"") && !told.contains("secret"), "{told}");
        if cfg!(feature = "http") {
            let given = Address::parse("http://h:1").unwrap().options("http://h:1", options).unwrap();
            assert_eq!(given.token.map(|token| token.0).as_deref(), Some("secret"));
            let told = parsed("http://h:1?token=secret").unwrap_err().to_string();
            assert!(told.contains("OpenOptions::token") && !told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn what_the_code_says_wins_over_the_url() {
        let url = "file:./d?ack=process";
        let options = Address::parse(url).unwrap().options(url, OpenOptions::new().ack(Ack::Power)).unwrap();
        assert_eq!(options.ack, Some(Ack::Power));
    }
}

//! Where a test's archive lies, and how the test reads it: by SQL, as its users do.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use windlass_archive::Target;

use crate::server::Server;

/// Every table with its columns, but for what differs between two runs: random ids, times of the archiver's own clock,
/// and the numbers of names.
const TABLES: [(&str, &[&str]); 7] = [
    (
        "job",
        &[
            "{id}",
            "(SELECT name FROM queue q WHERE q.id = queue)",
            "(SELECT name FROM kind k WHERE k.id = kind)",
            "group_key",
            "enqueued_at",
            "last_at",
            "ended_at",
            "removed_at",
            "cancel_requested_at",
            "edited_at",
            "attempts",
            "last_event",
            "last_cause",
            "removed_cause",
        ],
    ),
    (
        "attempt",
        &[
            "{job}",
            "attempt",
            "started_at",
            "ended_at",
            "worker",
            "fingerprint",
            "outcome",
            "cause",
            "text",
            "result",
            "{result_bytes}",
        ],
    ),
    ("retry", &["{job}", "place", "place_index", "at", "attempt", "was_at", "was_event", "was_cause"]),
    ("failure_mode", &["fingerprint", "title", "last_at"]),
    ("gap", &["after", "reason", "resumed", "last_at", "next_at"]),
    ("archive", &["name", "cursor", "events", "last_event_at", "schema_version"]),
    ("event_type", &["id", "name", "state"]),
];

/// A database of a test's own.
pub(crate) enum Place {
    File(TempDir),
    Schema(&'static Server, String),
}

/// The server of all tests of this process.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start_for_this_process)
}

impl Place {
    pub(crate) fn file() -> Self {
        Place::File(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn schema() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Place::Schema(server(), format!("archive_{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// One of each kind.
    pub(crate) fn both() -> [Self; 2] {
        [Place::file(), Place::schema()]
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Place::File(directory) => format!("sqlite:{}", directory.path().join("a.db").display()),
            Place::Schema(server, schema) => {
                let keys = server.url("postgres");
                let host =
                    keys.split(' ').find_map(|pair| pair.strip_prefix("host=")).expect("it has a host");
                format!("postgres://windlass@{}/postgres?schema={schema}", host.replace('/', "%2F"))
            }
        }
    }

    pub(crate) fn target(&self) -> Target {
        self.url().parse().expect("a URL of ours")
    }

    /// The only column of what the query answers, `-` for null.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        match self {
            Place::File(directory) => {
                let connection = Connection::open(directory.path().join("a.db")).expect("a database");
                let mut statement = connection.prepare(sql).unwrap_or_else(|fault| panic!("{sql}: {fault}"));
                let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0));
                let rows = rows.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
                rows.map(|row| row.expect("a text").unwrap_or("-".into())).collect()
            }
            Place::Schema(server, schema) => {
                let (client, connection) =
                    tokio_postgres::connect(&server.url("postgres"), NoTls).await.expect("the server runs");
                let driver = tokio::spawn(connection);
                let sql = format!("SET search_path = {schema}; {sql}");
                let told = client.simple_query(&sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
                driver.abort();
                let rows = told.iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("-").to_owned()),
                    _ => None,
                });
                rows.collect()
            }
        }
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Place::File(directory) => {
                let connection = Connection::open(directory.path().join("a.db")).expect("a database");
                connection.execute_batch(sql).unwrap_or_else(|fault| panic!("{sql}: {fault}"));
            }
            Place::Schema(..) => drop(self.rows(sql).await),
        }
    }

    /// The number that the query answers.
    pub(crate) async fn count(&self, sql: &str) -> u64 {
        let rows = self.rows(&format!("SELECT cast(n AS text) FROM (SELECT {sql} AS n) x")).await;
        rows[0].parse().expect("a number")
    }

    /// All that the archive holds, in the same words for both kinds of database.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let is_file = matches!(self, Place::File(_));
        let mut all = Vec::new();
        for (table, columns) in TABLES {
            let columns = columns.iter().map(|column| {
                let spelled = match column.trim_matches(['{', '}']) {
                    name if name == *column => format!("cast({name} AS text)"),
                    "result_bytes" if is_file => "lower(hex(result_bytes))".into(),
                    "result_bytes" => "coalesce(encode(result_bytes, 'hex'), '')".into(),
                    name if is_file => format!("lower(hex({name}))"),
                    name => format!("replace(cast({name} AS text), '-', '')"),
                };
                format!("coalesce({spelled}, '-')")
            });
            let line = columns.collect::<Vec<_>>().join(" || '|' || ");
            let mut rows = self.rows(&format!("SELECT '{table}: ' || {line} FROM {table}")).await;
            rows.sort();
            all.extend(rows);
        }
        all
    }
}

//! What the server is and what it gives.

use crate::store::PostgresStore;
use windlass_core::StoreError;
use windlass_core::store::{AckLevel, StoreInfo};

/// Settings of the server on which the level rests, or without which a queue does not stay quick.
const SETTINGS_SHOWN: [&str; 5] =
    ["synchronous_commit", "synchronous_standby_names", "fsync", "full_page_writes", "autovacuum"];
/// What an asynchronous commit may lose: three rounds of the WAL writer, 200 ms each by default, and room for a busy disk.
const ASYNCHRONOUS_WINDOW_MS: u64 = 1_000;

impl PostgresStore {
    pub(crate) async fn read_info(&self) -> Result<StoreInfo, StoreError> {
        self.take_up("info").await?;
        let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0)::bigint, coalesce(sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0)::bigint,
                     (SELECT coalesce(sum(n), 0)::bigint FROM windlass.qstate s, unnest(s.counts) n), pg_total_relation_size('windlass.event'),
                     (SELECT version::text FROM windlass.schema) AS version, (SELECT program FROM windlass.schema) AS program,
                     current_setting('server_version') AS server_version, current_setting('synchronous_commit') AS synchronous_commit,
                     current_setting('synchronous_standby_names') AS synchronous_standby_names, current_setting('fsync') AS fsync,
                     current_setting('full_page_writes') AS full_page_writes, current_setting('autovacuum') AS autovacuum
                   FROM pg_class c WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname || '.' = 'windlass.')";
        let rows = self.rows("info", sql, &[]).await?;
        let number =
            |at: usize| rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0));
        let text =
            |name: &str| rows.first().and_then(|row| row.get::<_, Option<String>>(name)).unwrap_or_default();
        let settings = SETTINGS_SHOWN.map(|name| (name.to_owned(), text(name))).to_vec();
        let is = |name: &str, value: &str| settings.iter().any(|(n, v)| n == name && v == value);
        let ack_level = match (is("synchronous_commit", "off"), is("fsync", "off")) {
            (true, _) => AckLevel::Window { ms: ASYNCHRONOUS_WINDOW_MS },
            (false, true) => AckLevel::Process,
            (false, false) => AckLevel::Power,
        };
        let warnings = [
            (is("fsync", "off"), "fsync off: a power cut may destroy the database; set fsync on"),
            (
                is("full_page_writes", "off"),
                "full_page_writes off: a power cut may tear pages, unless the file system never does",
            ),
            (
                is("synchronous_commit", "off"),
                "synchronous_commit off: the last moments of acknowledged work are lost when the server is killed; set it on",
            ),
            (
                is("autovacuum", "off"),
                "autovacuum off: a queue leaves dead rows by the thousand; set autovacuum on",
            ),
        ];
        let warnings = warnings.iter().filter(|(is, _)| *is).map(|(_, told)| (*told).to_owned()).collect();
        Ok(StoreInfo {
            store: "postgres".into(),
            ack_level,
            disk_bytes: number(0),
            live_bytes: number(1),
            jobs: number(2),
            recovery: "the server recovers by itself".into(),
            space_low: false,
            server: Some(format!("PostgreSQL {}", text("server_version"))),
            namespace: Some(self.0.options.schema.clone()),
            format: format!("schema version {}, functions of {}", text("version"), text("program")),
            settings,
            event_bytes: Some(number(3)),
            memory_bytes: None,
            warnings,
        })
    }
}

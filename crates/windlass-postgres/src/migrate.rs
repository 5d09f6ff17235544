//! The schema, brought up to date: tables by numbered migrations, functions by this program's own text.
//!
//! All of it is one transaction under a lock, so that many processes may start at once and a crash in the middle leaves
//! the old schema. A schema that is newer than this program is refused, never guessed at. Functions of another text are
//! replaced, unless a newer program has put them there: an older one works with them as long as the tables are its own.
//! A store has its schema to itself: what it makes there, and what it takes away with it, is `erase`'s business.

use crate::erase::{contents, shown};
use crate::error::{OpenError, store_error, store_error_in};
use crate::options::check_schema;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Transaction};
use windlass_core::StoreError;

/// The version of the tables that this program makes and understands.
pub const SCHEMA_VERSION: i32 = 5;

/// Tables, each migration on top of the one before.
pub(crate) const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    include_str!("../migrations/0001_tables.sql"),
    include_str!("../migrations/0002_functions.sql"),
    include_str!("../migrations/0003_keepers.sql"),
    include_str!("../migrations/0004_ages.sql"),
    include_str!("../migrations/0005_retention.sql"),
];

/// The first version whose schema says which functions it has.
const NAMES_FUNCTIONS_SINCE: i32 = 2;

/// Functions, as this program has them; those with the shared rules first.
pub(crate) const FUNCTIONS: [&str; 18] = [
    include_str!("../sql/prelude.sql"),
    include_str!("../sql/rate.sql"),
    include_str!("../sql/limits.sql"),
    include_str!("../sql/order.sql"),
    include_str!("../sql/life.sql"),
    include_str!("../sql/flow.sql"),
    include_str!("../sql/enqueue.sql"),
    include_str!("../sql/lease.sql"),
    include_str!("../sql/settle.sql"),
    include_str!("../sql/due.sql"),
    include_str!("../sql/claim.sql"),
    include_str!("../sql/people.sql"),
    include_str!("../sql/settings.sql"),
    include_str!("../sql/upkeep.sql"),
    include_str!("../sql/read.sql"),
    include_str!("../sql/check.sql"),
    include_str!("../sql/transaction.sql"),
    include_str!("../sql/plans.sql"),
];

/// A function that has changed its arguments would stand beside its old self, and calls could mean either. (One that is
/// gone, or answers with another type, is dropped by a migration: a replacement cannot do that.)
const LEFTOVERS: &str = "
DO $leftovers$
DECLARE v record;
BEGIN
  FOR v IN SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname || '.' = 'windlass.' AND p.xmin <> pg_current_xact_id()::xid
      AND EXISTS (SELECT FROM pg_proc o WHERE o.pronamespace = p.pronamespace AND o.proname = p.proname AND o.xmin = pg_current_xact_id()::xid) LOOP
    EXECUTE format('DROP FUNCTION %s', v.name);
  END LOOP;
END $leftovers$;
";

/// This program, as it signs the functions that it installs.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// What brings a schema up to date, or brought it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The schema.
    pub schema: String,
    /// The version of its tables that was found; 0 when there was no such schema.
    pub from: i32,
    /// The version of this program.
    pub to: i32,
    /// Whether its functions are replaced by this program's.
    pub functions: bool,
    /// The version of the program whose functions were found, if there were any that are signed.
    pub functions_of: Option<String>,
}

impl Migration {
    /// Whether the schema is up to date already.
    pub fn is_empty(&self) -> bool {
        self.from == self.to && !self.functions
    }

    /// All of it as one script of SQL, transaction and lock included: for whoever runs it by hand. Empty when the schema is
    /// up to date.
    pub fn sql(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let Self { schema, from, to, .. } = self;
        format!(
            "-- Windlass {PROGRAM}: schema {schema} from version {from} to {to}.\nBEGIN;\n{};\n{}COMMIT;\n",
            lock(schema),
            self.script()
        )
    }

    fn script(&self) -> String {
        let schema = &self.schema;
        let mut script =
            "SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = warning;\n".to_owned();
        // `IF NOT EXISTS` asks for the right to make schemas even where there is nothing to make.
        if self.from == 0 {
            script.push_str(&format!(
                "DO $schema$ BEGIN\n  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}') THEN CREATE SCHEMA {schema}; END IF;\nEND $schema$;\n"
            ));
        }
        let missing = &MIGRATIONS[usize::try_from(self.from).unwrap_or(0)..];
        let parts = missing.iter().chain(&FUNCTIONS).chain([&LEFTOVERS]);
        parts.for_each(|part| script.push_str(&in_schema(part, schema)));
        script.push_str(&format!(
            "INSERT INTO {schema}.schema (version, server_started, program, functions)\n\
             VALUES ({SCHEMA_VERSION}, pg_postmaster_start_time()::text, '{PROGRAM}', '{}')\n\
             ON CONFLICT (one) DO UPDATE SET version = excluded.version, program = excluded.program, functions = excluded.functions;\n",
            functions_hash()
        ));
        script
    }
}

/// The text with another schema in the place of `windlass`.
pub(crate) fn in_schema(text: &str, schema: &str) -> String {
    if schema == "windlass" { text.to_owned() } else { text.replace("windlass.", &format!("{schema}.")) }
}

/// Brings the schema up to date on that connection, and says what that came to; nothing happens when it is.
///
/// # Errors
/// When the schema is newer than this program or holds what is no store's, or the server refuses a statement.
pub async fn migrate(client: &mut Client, schema: &str) -> Result<Migration, OpenError> {
    let fault = |why: tokio_postgres::Error| store_error("migrate", &why);
    // Without a lock first: whoever opens a schema that is up to date needs no right to change it.
    let (_, found) = look(client, schema).await?;
    if found.is_empty() {
        return Ok(found);
    }
    let tx = alone(client, schema).await.map_err(fault)?;
    let (state, found) = look(tx.client(), schema).await?;
    if !found.is_empty() {
        tx.batch_execute(&found.script()).await.map_err(|why| forbidden(&state, &found, &why))?;
    }
    tx.commit().await.map_err(fault)?;
    Ok(found)
}

/// What would bring the schema up to date; nothing is changed.
///
/// # Errors
/// When the schema is newer than this program, holds what is no store's, or cannot be read.
pub async fn migration(client: &Client, schema: &str) -> Result<Migration, OpenError> {
    Ok(look(client, schema).await?.1)
}

async fn look(client: &Client, schema: &str) -> Result<(State, Migration), OpenError> {
    check_schema(schema)?;
    let state = State::read(client, schema).await?;
    if state.version > SCHEMA_VERSION {
        let why = format!(
            "schema {schema} has version {}, this program knows {SCHEMA_VERSION}: a newer Windlass has been here; update this program",
            state.version
        );
        return Err(StoreError::refused("open", why).into());
    }
    if state.version == 0 && state.owner.is_some() {
        let others = contents(client, schema).await.map_err(|why| store_error("open", &why))?;
        if !others.is_empty() {
            return Err(OpenError::NotAStore(format!(
                "schema {schema} holds what is no store's ({}): a store has its schema to itself; choose another with namespace=NAME",
                shown(&others)
            )));
        }
    }
    let newer = state.version == SCHEMA_VERSION && order(&state.program) > order(PROGRAM);
    let found = Migration {
        schema: schema.to_owned(),
        from: state.version,
        to: SCHEMA_VERSION,
        functions: !newer && state.functions != functions_hash(),
        functions_of: Some(state.program.clone()).filter(|program| !program.is_empty()),
    };
    Ok((state, found))
}

/// Refuses a schema that is not up to date, for a program that may not change it.
pub(crate) async fn must_be_up_to_date(client: &Client, schema: &str) -> Result<(), OpenError> {
    let (state, found) = look(client, schema).await?;
    if found.is_empty() { Ok(()) } else { Err(StoreError::refused("open", behind(&state, &found)).into()) }
}

/// What a schema lacks, and what to do.
fn behind(state: &State, found: &Migration) -> String {
    let Migration { schema, from, to, .. } = found;
    let namespace = if schema == "windlass" { String::new() } else { format!("?namespace={schema}") };
    let run = format!("windlass migrate --store 'postgres://…{namespace}'");
    match (from, &state.owner) {
        (0, None) => format!("there is no schema {schema}: check the namespace, or make it with {run}"),
        (0, Some(_)) => {
            format!("schema {schema} is empty: check the namespace, or make a store there with {run}")
        }
        (_, owner) => {
            let owner = owner.as_deref().unwrap_or("?");
            let what = match from == to {
                true => format!("functions of another program than this {PROGRAM}"),
                false => format!("version {from}, this program needs {to}"),
            };
            format!("schema {schema} has {what}: as its owner, {owner}, run {run}")
        }
    }
}

/// The server's answer to a migration, in words if it is that this role may not.
fn forbidden(state: &State, found: &Migration, why: &tokio_postgres::Error) -> StoreError {
    let mut told = store_error("migrate", why);
    if why.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        let schema = &found.schema;
        // With the role's name in the place of ROLE; a schema that has a store is its owner's to change.
        let lacks = match (found.from, &state.owner) {
            (0, None) => format!("; this role may not: GRANT CREATE ON DATABASE {} TO ROLE", state.database),
            (0, Some(_)) => format!("; this role may not: GRANT CREATE, USAGE ON SCHEMA {schema} TO ROLE"),
            _ => String::new(),
        };
        told.cause = format!("{}{lacks} ({})", behind(state, found), told.cause);
    }
    told
}

/// What a schema says of itself.
struct State {
    /// The database that it is in, in quotes if need be.
    database: String,
    /// Whose it is; none when there is no such schema.
    owner: Option<String>,
    version: i32,
    program: String,
    functions: String,
}

impl State {
    async fn read(client: &Client, schema: &str) -> Result<Self, StoreError> {
        let fault = |why: tokio_postgres::Error| store_error_in(schema, "open", &why);
        let rows = client.query_typed(PLACE, &[(&schema, Type::TEXT)]).await.map_err(fault)?;
        let row = rows.first().ok_or_else(|| StoreError::refused("open", "the catalog gave no row"))?;
        let (database, owner) = (row.get(0), row.get(1));
        let mut state =
            Self { database, owner, version: 0, program: String::new(), functions: String::new() };
        if !row.get::<_, bool>(2) {
            return Ok(state);
        }
        let table = format!("{schema}.schema");
        let rows = client.query_typed(&format!("SELECT version FROM {table}"), &[]).await.map_err(fault)?;
        state.version = rows.first().map_or(0, |row| row.get(0));
        if state.version >= NAMES_FUNCTIONS_SINCE {
            let signed = format!("SELECT program, functions FROM {table}");
            let rows = client.query_typed(&signed, &[]).await.map_err(fault)?;
            if let Some(row) = rows.first() {
                (state.program, state.functions) = (row.get(0), row.get(1));
            }
        }
        Ok(state)
    }
}

/// The database, who owns the schema, and whether it has a store: one that tells of its server's start. From the catalog's
/// rows: `to_regclass` may answer from before a wait for the lock.
pub(crate) const PLACE: &str =
    "SELECT quote_ident(current_database()), (SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = $1),
    EXISTS (SELECT FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE n.nspname = $1 AND c.relname = 'schema' AND a.attname = 'server_started')";

/// A transaction that has the schema to itself: two processes that start together wait here for each other, and the second
/// then reads what the first has done, whatever isolation the role has been given.
pub(crate) async fn alone<'a>(
    client: &'a mut Client,
    schema: &str,
) -> Result<Transaction<'a>, tokio_postgres::Error> {
    let tx = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    tx.batch_execute(&lock(schema)).await?;
    Ok(tx)
}

/// Taken by whoever makes, changes or drops the schema, until the end of its transaction.
fn lock(schema: &str) -> String {
    format!("SELECT pg_advisory_xact_lock(hashtextextended('{schema}.migrate', 4))")
}

/// Where a program's version stands among others: its numbers. What cannot be read stands before everything.
fn order(program: &str) -> Vec<u64> {
    let numbers = program.split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').map_while(|number| number.parse().ok()).collect()
}

/// What tells one text of the functions from another: FNV-1a of 64 bits. It guards against forgetting, not against anybody.
fn functions_hash() -> String {
    let bytes = FUNCTIONS.iter().flat_map(|text| text.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

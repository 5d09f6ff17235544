//! `windlass migrate`: the schema of a PostgreSQL store, brought up to date by whoever may.

use clap::Args;
use serde::Serialize;
use windlass_core::Time;
use windlass_postgres::{Migration, PostgresStore};

use crate::arguments::Global;
use crate::connect::{NAMESPACE_DEFAULT, postgres_fault, split_namespace};
use crate::fault::Fault;
use crate::output::{Output, Record};

const EXAMPLES: &str = "\
Examples:
  windlass migrate --store postgres://owner@db/app
  windlass migrate --store postgres://owner@db/app --dry-run
  windlass migrate --store postgres://app@db/app --print | psql -v ON_ERROR_STOP=1 postgres://owner@db/app
";

/// Bring the schema of a PostgreSQL store up to date
///
/// Opening a store does the same, if its role may; this is for programs whose roles may not. It runs as one transaction
/// under a lock. Exit code 5 when the schema is newer than this program.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct MigrateArgs {
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the SQL that would be run, and change nothing; prints nothing when the schema is up to date
    #[arg(long, conflicts_with = "dry_run")]
    print: bool,
}

/// What a migration came to, or would come to.
#[derive(Debug, Serialize)]
struct MigrationShape {
    schema: String,
    /// The version of the tables that was found; 0 for none.
    from: i32,
    to: i32,
    /// Whether the functions are replaced.
    functions: bool,
    functions_of: Option<String>,
    dry_run: bool,
}

impl Record for MigrationShape {
    fn fields(&self, _: Time, _: bool) -> Vec<(&'static str, String)> {
        let would_be = if self.dry_run { "would be " } else { "" };
        let tables = match (self.from, self.to) {
            (0, to) => format!("{would_be}made, version {to}"),
            (from, to) if from == to => format!("up to date, version {to}"),
            (from, to) => format!("{would_be}brought from version {from} to {to}"),
        };
        let functions = match (self.functions, &self.functions_of) {
            (true, None) => format!("{would_be}installed"),
            (true, Some(of)) => format!("{would_be}replaced, those of {of} before"),
            (false, of) => format!("up to date, those of {}", of.as_deref().unwrap_or("?")),
        };
        let mut fields = vec![("schema", self.schema.clone()), ("tables", tables), ("functions", functions)];
        if self.dry_run {
            fields.push(("done", "nothing: this was a dry run".to_owned()));
        }
        fields
    }
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: MigrateArgs) -> Result<(), Fault> {
    if !global.store.starts_with("postgres") {
        return Err(Fault::usage(
            "only a PostgreSQL store has a schema: --store postgres://USER@HOST/DATABASE",
        ));
    }
    let (url, namespace) = split_namespace(&global.store);
    let schema = namespace.unwrap_or(NAMESPACE_DEFAULT);
    let look = args.dry_run || args.print;
    let found = if look {
        PostgresStore::migration(&url, schema).await
    } else {
        PostgresStore::migrate(&url, schema).await
    };
    let found = found.map_err(|error| postgres_fault(&global.store, &error))?;
    if args.print {
        return out.text(&found.sql());
    }
    let Migration { schema, from, to, functions, functions_of } = found;
    out.record(&MigrationShape { schema, from, to, functions, functions_of, dry_run: args.dry_run })
}

//! What lies in a schema, whose it is, and how a store is taken out of it.

use crate::error::{OpenError, collides, store_error};
use crate::migrate::{FUNCTIONS, MIGRATIONS, PLACE, alone, in_schema};
use crate::store::TRIES;
use std::collections::HashSet;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

/// What stands in a schema by itself. Indexes, the types of rows and the sequences of columns go with what they belong to.
const CONTENTS: &str = "
SELECT d.classid::regclass::text, coalesce(c.relname, p.proname, t.typname, '')::text, i.type, i.identity
FROM pg_namespace n JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
WHERE n.nspname = $1 AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid AND o.deptype IN ('a', 'i'))
ORDER BY i.identity";

/// Things of a schema that an error lists.
const LISTED: usize = 5;

/// One thing in a schema.
pub(crate) struct Thing {
    /// The catalog that it stands in, and its name there.
    catalog: String,
    name: String,
    /// Its kind, and its full name as a statement writes it.
    kind: String,
    identity: String,
}

/// All that stands in that schema.
pub(crate) async fn contents(client: &Client, schema: &str) -> Result<Vec<Thing>, Error> {
    let rows = client.query_typed(CONTENTS, &[(&schema, Type::TEXT)]).await?;
    let thing = |row: &tokio_postgres::Row| Thing {
        catalog: row.get(0),
        name: row.get(1),
        kind: row.get(2),
        identity: row.get(3),
    };
    Ok(rows.iter().map(thing).collect())
}

/// The first of these things, for an error.
pub(crate) fn shown(things: &[Thing]) -> String {
    let name = |thing: &Thing| format!("{} {}", thing.kind, thing.identity);
    let first: Vec<String> = things.iter().take(LISTED).map(name).collect();
    match things.len().saturating_sub(LISTED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What a store makes, and has made: the catalog of each thing and its name, as the migrations and the functions have them.
fn made() -> HashSet<(&'static str, &'static str)> {
    let mut made = HashSet::new();
    for text in MIGRATIONS.iter().chain(&FUNCTIONS) {
        let mut catalog = None;
        for word in text.split_whitespace() {
            let named = catalog.zip(word.strip_prefix("windlass."));
            if let Some((catalog, named)) = named {
                let end = named.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(named.len());
                made.insert((catalog, &named[..end]));
            }
            catalog = match word {
                "TABLE" | "VIEW" | "SEQUENCE" => Some("pg_class"),
                "FUNCTION" => Some("pg_proc"),
                "TYPE" => Some("pg_type"),
                "IF" | "NOT" | "EXISTS" => catalog,
                _ => None,
            };
        }
    }
    made
}

/// Erases the store in that schema; answers whether there was one. What meets another goes again.
pub(crate) async fn erase(client: &mut Client, schema: &str) -> Result<bool, OpenError> {
    let mut tries = 0;
    loop {
        match attempt(client, schema).await {
            Ok(told) => return told,
            Err(why) => {
                tries += 1;
                if !why.code().is_some_and(collides) || tries >= TRIES {
                    return Err(store_error("erase", &why).into());
                }
            }
        }
    }
}

async fn attempt(client: &mut Client, schema: &str) -> Result<Result<bool, OpenError>, Error> {
    let tx = alone(client, schema).await?;
    let rows = tx.query_typed(PLACE, &[(&schema, Type::TEXT)]).await?;
    let there = rows.first().is_some_and(|row| row.get::<_, Option<&str>>(1).is_some());
    if !rows.first().is_some_and(|row| row.get(2)) {
        let theirs =
            || OpenError::NotAStore(format!("schema {schema} is not a store of Windlass: left as it is"));
        return Ok(if there { Err(theirs()) } else { Ok(false) });
    }
    let (made, all) = (made(), contents(tx.client(), schema).await?);
    let is_own = |thing: &Thing| made.contains(&(thing.catalog.as_str(), thing.name.as_str()));
    let (own, others): (Vec<Thing>, Vec<Thing>) = all.into_iter().partition(is_own);
    if !others.is_empty() {
        return Ok(Err(OpenError::NotAStore(format!(
            "schema {schema} holds what the store did not make ({}): left as it is; move that to another schema first",
            shown(&others)
        ))));
    }
    let script = match schema {
        // It was there before the store, and is expected to be.
        "public" => own
            .iter()
            .map(|Thing { kind, identity, .. }| format!("DROP {kind} IF EXISTS {identity} CASCADE;\n"))
            .collect(),
        _ => format!("DROP SCHEMA {schema} CASCADE"),
    };
    // Claims, settlements and upkeep hold this lock, each to its own end: none of them stands between the tables that are
    // locked one after the other. Producers and readers hold none, and may meet this one.
    let hold = in_schema("SELECT pg_advisory_xact_lock(hashtextextended('windlass.all', 1))", schema);
    tx.batch_execute(&format!("SET LOCAL client_min_messages = warning; {hold}; {script}")).await?;
    tx.commit().await?;
    Ok(Ok(true))
}

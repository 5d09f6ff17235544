//! Where an archive lies: the URL, taken apart and checked before anything is opened.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use windlass_pg::{Address, Tls};

use crate::error::ArchiveError;

/// The schema of an archive in PostgreSQL, if the URL names none.
pub const SCHEMA_DEFAULT: &str = "windlass_archive";
/// Bytes of a schema's name: PostgreSQL cuts at 63, and names of ours are put behind it.
const SCHEMA_BYTES_MAX: usize = 48;

/// A database that takes an archive; [`fmt::Display`] never shows a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// A file of SQLite.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A schema in a PostgreSQL database.
    Postgres {
        /// The server and the database, as the driver takes it.
        url: String,
        /// The schema.
        schema: String,
    },
}

impl FromStr for Target {
    type Err = ArchiveError;

    fn from_str(text: &str) -> Result<Self, ArchiveError> {
        let bad = |why: String| ArchiveError::BadUrl { url: without_password(text), why };
        let (scheme, rest) = text.split_once(':').ok_or_else(|| bad("it has no scheme".to_owned()))?;
        match scheme {
            "sqlite" => sqlite(rest).map_err(|why| bad(why.to_owned())),
            "postgres" | "postgresql" => postgres(scheme, rest).map_err(bad),
            "file" | "memory" | "redis" | "rediss" => {
                Err(bad("that is a store; an archive is a database".to_owned()))
            }
            _ => Err(bad("its scheme is neither sqlite nor postgres".to_owned())),
        }
    }
}

fn sqlite(rest: &str) -> Result<Target, &'static str> {
    if rest.contains('?') {
        return Err("sqlite: has no options");
    }
    let path = match rest.strip_prefix("//") {
        Some(local) if local.starts_with('/') => local,
        Some(_) => {
            return Err("the part between // and / names a host; write sqlite:/path or sqlite:./path");
        }
        None => rest,
    };
    match path {
        "" => Err("it has no path"),
        ":memory:" => Err("an archive in memory ends with its process"),
        path if path.ends_with('/') => Err("its path is a directory; name a file"),
        path => Ok(Target::Sqlite { path: path.into() }),
    }
}

fn postgres(scheme: &str, rest: &str) -> Result<Target, String> {
    let server = rest.strip_prefix("//").ok_or("it names no server; write postgres://user@host/database")?;
    let (server, query) = server.split_once('?').unwrap_or((server, ""));
    let mut schema = SCHEMA_DEFAULT.to_owned();
    let mut theirs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("schema", name)) => schema = name.to_owned(),
            Some(_) => theirs.push(pair),
            None => return Err("an option is written name=value".to_owned()),
        }
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let starts = schema.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    if !starts || schema.len() > SCHEMA_BYTES_MAX || !schema.bytes().all(plain) || schema.starts_with("pg_") {
        return Err("its schema is not a name of at most 48 lower-case letters, digits and _".to_owned());
    }
    let url = format!("{scheme}://{server}?{}", theirs.join("&"));
    let url = url.trim_end_matches('?').to_owned();
    // Before anything is opened.
    Address::read(&url, &[], Tls::default())?;
    Ok(Target::Postgres { url, schema })
}

/// The URL as it may be shown: no password, and no options, since one of them may be a password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split('?').next().unwrap_or(rest);
    let Some((user, host)) = rest.rsplit_once('@') else { return format!("{scheme}://{rest}") };
    format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or(user))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Sqlite { path } => write!(f, "sqlite:{}", path.display()),
            Target::Postgres { url, schema } => {
                write!(f, "{}", without_password(url))?;
                if schema == SCHEMA_DEFAULT { Ok(()) } else { write!(f, " (schema {schema})") }
            }
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_a_schema() {
        let file = |path: &str| Target::Sqlite { path: path.into() };
        assert_eq!("sqlite:./a.db".parse::<Target>().unwrap(), file("./a.db"));
        assert_eq!("sqlite:///var/a.db".parse::<Target>().unwrap(), file("/var/a.db"));
        let target = "postgres://ann:secret@db:5433/app?schema=old_jobs&connect_timeout=3".parse::<Target>();
        let url = "postgres://ann:secret@db:5433/app?connect_timeout=3".to_owned();
        assert_eq!(target.unwrap(), Target::Postgres { url, schema: "old_jobs".into() });
    }

    #[test]
    fn nonsense_is_refused_with_what_would_be_right() {
        for (url, says) in [
            ("a.db", "no scheme"),
            ("sqlite:", "no path"),
            ("sqlite://host/a.db", "names a host"),
            ("sqlite::memory:", "ends with its process"),
            ("sqlite:dir/", "name a file"),
            ("sqlite:a.db?x=1", "no options"),
            ("file:./data", "that is a store"),
            ("mysql://db/app", "neither sqlite nor postgres"),
            ("postgres:db", "names no server"),
            ("postgres://db/app?schema=A-b", "48 lower-case letters"),
            ("postgres://db/app?nonsense=1", "not a URL of PostgreSQL"),
            ("postgres://db/app?sslmode=allow", "verify-full"),
            ("postgres://db/app?x", "name=value"),
        ] {
            let told = url.parse::<Target>().unwrap_err().to_string();
            assert!(told.contains(says), "{url}: {told}");
        }
    }

    #[test]
    fn no_message_shows_a_password() {
        for url in ["postgres://ann:secret@db/app", "postgres://ann@db/app?password=secret"] {
            let shown = url.parse::<Target>().unwrap().to_string();
            assert_eq!(shown, "postgres://ann@db/app");
        }
        let told = "postgres://ann:secret@db/app?password=secret&schema=NO".parse::<Target>().unwrap_err();
        assert!(!told.to_string().contains("secret"), "{told}");
    }
}

//! Reading the file: keys, values and lines, and what is wrong with them.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::sections::Kind;
use crate::fault::Fault;

/// A file larger than this is no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What decides over settings that differ between the file and the store.
const MANAGED: &str = "managed";
/// Behind the name of an option with a secret: the file that holds it.
pub(super) const SECRET_FILE: &str = "-file";
/// How alike a key must be to one that exists to be taken for it.
const ALIKE: usize = 3;

/// Who decides when a setting was changed live, and the file says something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Managed {
    /// What was changed live stays, and is told as drift.
    #[default]
    Live,
    /// The file.
    File,
}

/// A file that was read, every key of it known.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    /// Options of `serve`, by their long names.
    pub(crate) options: Vec<Entry>,
    pub(crate) managed: Managed,
    pub(crate) sections: Vec<Section>,
}

/// A key with its values.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: usize,
    pub(crate) values: Vec<String>,
}

/// A queue, a limit or a schedule.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) entries: Vec<Entry>,
}

impl ConfigFile {
    /// Reads a file. `serve` is the command whose options it may set.
    ///
    /// # Errors
    /// With the line and what it should be, and exit code 2.
    pub(crate) fn read(path: &Path, serve: &Command) -> Result<Self, Fault> {
        let failed = |error: std::io::Error| Fault::usage(format!("{}: {error}", path.display()));
        if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(Fault::usage(format!(
                "{} is larger than 1 MiB: it is no configuration",
                path.display()
            )));
        }
        Self::parse(path, &std::fs::read_to_string(path).map_err(failed)?, serve)
    }

    pub(crate) fn parse(path: &Path, text: &str, serve: &Command) -> Result<Self, Fault> {
        let place = Place { path, text };
        let table = DeTable::parse(text).map_err(|why| {
            let line = why.span().map_or(1, |span| place.line(span.start));
            place.fault(line, why.message())
        })?;
        let mut file = Self {
            path: path.to_owned(),
            options: Vec::new(),
            managed: Managed::default(),
            sections: Vec::new(),
        };
        for (key, value) in table.get_ref() {
            let line = place.line(key.span().start);
            let name = plain(key.get_ref());
            if let Some(kind) = Kind::of_table(&name) {
                file.sections.extend(place.sections(kind, value, line)?);
            } else if name == MANAGED {
                file.managed = match value.get_ref().as_str() {
                    Some("file") => Managed::File,
                    Some("live") => Managed::Live,
                    _ => return Err(place.fault(line, "managed is \"file\" or \"live\"")),
                };
            } else {
                let entry = place.entry(&name, line, value)?;
                place.known(serve, &entry, true)?;
                file.options.push(entry);
            }
        }
        Ok(file)
    }

    /// A fault at that line.
    pub(crate) fn fault(&self, line: usize, what: impl std::fmt::Display) -> Fault {
        Fault::usage(format!("{}:{line}: {what}", self.path.display()))
    }
}

/// Where a text is from.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn fault(&self, line: usize, what: impl std::fmt::Display) -> Fault {
        Fault::usage(format!("{}:{line}: {what}", self.path.display()))
    }

    fn sections(&self, kind: Kind, value: &Spanned<DeValue<'_>>, line: usize) -> Result<Vec<Section>, Fault> {
        let table = value
            .get_ref()
            .as_table()
            .ok_or_else(|| self.fault(line, format!("{0} is a table of tables: [{0}.NAME]", kind.table())))?;
        let command = kind.command();
        let section = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let line = self.line(name.span().start);
            let name = AsRef::<str>::as_ref(name.get_ref()).to_owned();
            let settings = value.get_ref().as_table().ok_or_else(|| {
                self.fault(line, format!("{0} is a table of tables: [{0}.{name}]", kind.table()))
            })?;
            let mut entries = Vec::new();
            for (key, value) in settings {
                let line = self.line(key.span().start);
                let entry = self.entry(&plain(key.get_ref()), line, value)?;
                self.known(&command, &entry, false)?;
                entries.push(entry);
            }
            Ok(Section { kind, name, line, entries })
        };
        table.iter().map(section).collect()
    }

    fn entry(&self, key: &str, line: usize, value: &Spanned<DeValue<'_>>) -> Result<Entry, Fault> {
        let values = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| one(item.get_ref())).collect(),
            value => one(value).map(|value| vec![value]),
        };
        let values =
            values.ok_or_else(|| self.fault(line, format!("{key} takes a text, a number, true or false")))?;
        Ok(Entry { key: key.to_owned(), line, values })
    }

    /// The command has that option, and it takes so many values.
    fn known(&self, command: &Command, entry: &Entry, secrets: bool) -> Result<(), Fault> {
        let named = |name: &str| command.get_arguments().find(|argument| argument.get_long() == Some(name));
        let secret = entry.key.strip_suffix(SECRET_FILE).filter(|_| secrets).and_then(named);
        if secret.is_some_and(clap::Arg::is_hide_env_values_set) {
            return Ok(());
        }
        let Some(argument) = named(&entry.key).filter(|argument| is_setting(argument)) else {
            let all = command.get_arguments().filter(|argument| is_setting(argument));
            let mut all: Vec<&str> = all.filter_map(clap::Arg::get_long).collect();
            all.extend(if secrets { &["managed", "queues", "limits", "schedules"][..] } else { &[] });
            let fault = self.fault(entry.line, format!("there is no setting {}", entry.key));
            let nearest = all.iter().min_by_key(|name| distance(name, &entry.key));
            return Err(match nearest.filter(|name| distance(name, &entry.key) < ALIKE) {
                Some(nearest) => fault.next(format!("is it {nearest}?")),
                None => fault.next(format!("there are: {}", all.join(", "))),
            });
        };
        let many = matches!(argument.get_action(), ArgAction::Append);
        if entry.values.len() != 1 && !many {
            return Err(self.fault(entry.line, format!("{} takes one value", entry.key)));
        }
        Ok(())
    }
}

/// Whether an argument of a command may stand in the file.
pub(super) fn is_setting(argument: &clap::Arg) -> bool {
    argument.get_long().is_some()
        && !matches!(argument.get_id().as_str(), "help" | "version" | "config" | "raw")
        && (!argument.is_global_set() || argument.get_id() == "store")
}

/// Keys are written with dashes or underscores.
fn plain(key: &str) -> String {
    key.replace('_', "-")
}

/// One value as an option takes it; tables are JSON.
fn one(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Integer(number) => number.as_str().replace('_', ""),
        DeValue::Float(number) => number.as_str().replace('_', ""),
        DeValue::Table(_) => json(value)?.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => return None,
    })
}

fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    Some(match value {
        DeValue::String(text) => text.to_string().into(),
        DeValue::Boolean(is) => (*is).into(),
        DeValue::Integer(_) | DeValue::Float(_) => serde_json::from_str(&one(value)?).ok()?,
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) => {
            items.iter().map(|item| json(item.get_ref())).collect::<Option<Vec<_>>>()?.into()
        }
        DeValue::Table(table) => {
            let pair = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                Some((AsRef::<str>::as_ref(key.get_ref()).to_owned(), json(value.get_ref())?))
            };
            serde_json::Value::Object(table.iter().map(pair).collect::<Option<_>>()?)
        }
    })
}

/// How many letters have to change to make one name of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (n, a) in one.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = n + 1;
        for (m, b) in other.bytes().enumerate() {
            let changed = corner + usize::from(a != b);
            corner = row[m + 1];
            row[m + 1] = changed.min(row[m] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, Fault> {
        ConfigFile::parse(Path::new("w.toml"), text, &super::super::origin::serve_command())
    }

    #[test]
    fn a_key_is_an_option_of_the_command_that_it_stands_for() {
        let file = parse(
            "listen = \"127.0.0.1:1\"\nhost = [\"a\", \"b\"]\nstore = \"memory:\"\nmanaged = \"file\"\n\
             [queues.email]\nconcurrency = 30\nkeep_completed = \"1h\"\n[schedules.nightly]\ncron = \"0 3 * * *\"\n\
             queue = \"reports\"\nkind = \"build\"\npayload = { pages = [1, 2.5], draft = true }\n",
        )
        .expect("it is good");
        let values =
            |key: &str| file.options.iter().find(|entry| entry.key == key).map(|entry| entry.values.clone());
        assert_eq!(values("host"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(file.managed, Managed::File);
        let email = file.sections.iter().find(|section| section.name == "email").expect("email");
        assert_eq!((email.kind, email.line), (Kind::Queue, 5));
        let keys: Vec<_> = email.entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert_eq!(keys, [("concurrency", 6), ("keep-completed", 7)]);
        let nightly = file.sections.iter().find(|section| section.name == "nightly").expect("nightly");
        let payload = nightly.entries.iter().find(|entry| entry.key == "payload").expect("a payload");
        assert_eq!(payload.values, [r#"{"draft":true,"pages":[1,2.5]}"#]);
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_line_and_what_it_may_have_been() {
        for (text, told, next) in [
            ("lisen = \"x\"", "w.toml:1: there is no setting lisen", "is it listen?"),
            (
                "\n\n[queues.email]\nconcurency = 3",
                "w.toml:4: there is no setting concurency",
                "is it concurrency?",
            ),
            ("[queue.email]\nconcurrency = 3", "w.toml:1: there is no setting queue", "is it queues?"),
            ("config = \"x\"", "w.toml:1: there is no setting config", "there are:"),
            ("listen = [\"a\", \"b\"]", "w.toml:1: listen takes one value", ""),
            ("managed = \"both\"", "w.toml:1: managed is", ""),
            ("queues = 3", "w.toml:1: queues is a table of tables: [queues.NAME]", ""),
            ("listen =", "w.toml:1: ", ""),
            ("listen = [[1]]", "w.toml:1: listen takes a text", ""),
        ] {
            let fault = parse(text).expect_err(text);
            assert!(fault.message.starts_with(told), "{text}: {}", fault.message);
            assert!(fault.next.unwrap_or_default().starts_with(next), "{text}");
        }
    }
}

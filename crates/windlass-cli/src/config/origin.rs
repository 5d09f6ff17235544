//! Where a value is from: the command line, then the environment, then the file, then what is built in.
//!
//! Environment and file are laid below the command line by telling clap of them, so that every value is read and refused
//! by the same words wherever it stands.

use std::path::{Path, PathBuf};

use clap::builder::{BoolishValueParser, OsStr};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;
use windlass_core::url::without_password;

use super::ConfigFile;
use super::file::{Entry, SECRET_FILE, is_setting};
use crate::arguments;
use crate::fault::Fault;

const SERVE: &str = "serve";
/// What platforms name the port by that they forward to.
const PORT: &str = "PORT";

/// `serve` as its command line has it, the store among its options.
pub(crate) fn serve_command() -> Command {
    let mut root = arguments::command();
    root.build();
    root.find_subcommand(SERVE).cloned().unwrap_or(root)
}

/// The whole command line with what environment and file say below it, for `serve` alone.
pub(crate) struct Resolved {
    pub(crate) command: Command,
    pub(crate) file: Option<ConfigFile>,
    /// Values that the environment names by a file or by `PORT`, and which one.
    named: Vec<(String, String)>,
}

/// Reads the file, if one is named, and everything else that stands below the command line.
///
/// # Errors
/// With the file and line, or the variable, that makes no sense; exit code 2.
pub(crate) fn resolve(path: Option<&Path>) -> Result<Resolved, Fault> {
    resolve_in(path, &|name| std::env::var(name).ok())
}

fn resolve_in(path: Option<&Path>, environment: &dyn Fn(&str) -> Option<String>) -> Result<Resolved, Fault> {
    let serve = serve_command();
    let file = path.map(|path| ConfigFile::read(path, &serve)).transpose()?;
    let mut below: Vec<(String, Vec<String>)> = Vec::new();
    let mut named = Vec::new();
    for entry in file.iter().flat_map(|file| &file.options) {
        let file = file.as_ref().ok_or_else(|| Fault::usage("there is no file"))?;
        let (key, values) = match secret_of(&serve, &entry.key) {
            Some(key) => {
                (key, vec![secret(Path::new(&entry.values[0])).map_err(|why| file.fault(entry.line, why))?])
            }
            None => (entry.key.clone(), entry.values.clone()),
        };
        check(&key, &values).map_err(|why| file.fault(entry.line, why))?;
        below.retain(|(name, _)| *name != key);
        below.push((key, values));
    }
    for argument in serve.get_arguments().filter(|argument| is_setting(argument)) {
        let Some(long) = argument.get_long() else { continue };
        let variable = format!("{}_FILE", variable_of(long));
        if !argument.is_hide_env_values_set() {
            continue;
        }
        if let Some(path) = environment(&variable) {
            if environment(&variable_of(long)).is_some() {
                return Err(Fault::usage(format!("{} and {variable} are both set", variable_of(long))));
            }
            let value = secret(Path::new(&path)).map_err(|why| Fault::usage(format!("{variable}: {why}")))?;
            below.retain(|(name, _)| name != long);
            below.push((long.to_owned(), vec![value]));
            named.push((long.to_owned(), variable));
        }
    }
    if let Some(port) = environment(PORT).filter(|_| environment(&variable_of("listen")).is_none()) {
        let port: u16 = port.parse().map_err(|_| Fault::usage(format!("PORT is {port:?}, and no port")))?;
        below.retain(|(name, _)| name != "listen");
        below.push(("listen".to_owned(), vec![format!("0.0.0.0:{port}")]));
        named.push(("listen".to_owned(), PORT.to_owned()));
    }
    Ok(Resolved { command: laid_below(&below), file, named })
}

/// The variable of the environment that sets an option.
pub(crate) fn variable_of(long: &str) -> String {
    format!("WINDLASS_{}", long.replace('-', "_").to_uppercase())
}

/// The option whose secret the key names a file of.
fn secret_of(serve: &Command, key: &str) -> Option<String> {
    let long = key.strip_suffix(SECRET_FILE)?;
    let found = serve.get_arguments().find(|argument| argument.get_long() == Some(long))?;
    found.is_hide_env_values_set().then(|| long.to_owned())
}

/// A secret from a file, without the end of its line.
fn secret(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Refuses what the option would refuse on the command line, in its words.
fn check(key: &str, values: &[String]) -> Result<(), String> {
    let command = laid_below(&[]);
    let is_flag = serve_command().get_arguments().any(|argument| {
        argument.get_long() == Some(key) && matches!(argument.get_action(), ArgAction::SetTrue)
    });
    for value in values {
        if is_flag {
            match value.as_str() {
                "true" | "false" => continue,
                _ => return Err(format!("{key} is true or false")),
            }
        }
        let line = ["windlass", SERVE, &format!("--{key}={value}")].map(str::to_owned);
        command.clone().try_get_matches_from(line).map_err(|why| in_one_line(&why))?;
    }
    Ok(())
}

/// The first line of what clap says.
pub(super) fn in_one_line(why: &clap::Error) -> String {
    let text = why.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

fn laid_below(below: &[(String, Vec<String>)]) -> Command {
    let values_of = |argument: &Arg| {
        let long = argument.get_long()?;
        below.iter().find(|(name, _)| name == long).map(|(_, values)| values.clone())
    };
    let lay = |argument: Arg| {
        let Some(long) = argument
            .get_long()
            .map(str::to_owned)
            .filter(|_| is_setting(&argument) || argument.get_id() == "config")
        else {
            return argument;
        };
        let values = values_of(&argument);
        let mut argument = match argument.get_env() {
            Some(_) => argument,
            None => argument.env(OsStr::from(variable_of(&long))),
        };
        match argument.get_action() {
            ArgAction::SetTrue => argument = argument.value_parser(BoolishValueParser::new()),
            ArgAction::Append => argument = argument.value_delimiter(','),
            _ => {}
        }
        match values {
            Some(values) => argument.default_values(values.into_iter().map(OsStr::from)),
            None => argument,
        }
    };
    arguments::command()
        .mut_subcommand(SERVE, |serve| serve.mut_args(lay))
        .mut_args(|argument| if argument.get_id() == "store" { lay(argument) } else { argument })
}

/// One option with what is in force, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    pub(crate) origin: String,
}

impl Setting {
    /// Whether it is the same option with the same values.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.key == other.key && self.values == other.values
    }
}

impl Resolved {
    /// Every option of `serve` as it would be with nothing more on the command line.
    ///
    /// # Errors
    /// What an option refuses.
    pub(crate) fn settings(&self) -> Result<Vec<Setting>, Fault> {
        let parsed = self.command.clone().try_get_matches_from(["windlass", SERVE]);
        let matches = parsed.map_err(|why| Fault::usage(in_one_line(&why)))?;
        let Some(of_serve) = matches.subcommand_matches(SERVE) else { return Ok(Vec::new()) };
        let serve = serve_command();
        let mut all: Vec<Setting> = Vec::new();
        for argument in serve.get_arguments().filter(|argument| is_setting(argument)) {
            let (Some(long), id) = (argument.get_long(), argument.get_id().as_str()) else { continue };
            let origin = self.origin(of_serve, id, long);
            let raw = of_serve.get_raw(id).into_iter().flatten();
            let mut values: Vec<String> =
                raw.map(|value| without_password(&value.to_string_lossy())).collect();
            if argument.is_hide_env_values_set() {
                values.iter_mut().for_each(|value| "(hidden)".clone_into(value));
            }
            all.push(Setting { key: long.to_owned(), values, origin });
        }
        Ok(all)
    }

    /// The store that is named below the command line, its password included.
    ///
    /// # Errors
    /// What an option refuses.
    pub(crate) fn store(&self) -> Result<String, Fault> {
        let parsed = self.command.clone().try_get_matches_from(["windlass", SERVE]);
        let matches = parsed.map_err(|why| Fault::usage(in_one_line(&why)))?;
        Ok(matches.get_one::<String>("store").cloned().unwrap_or_default())
    }

    fn origin(&self, matches: &ArgMatches, id: &str, long: &str) -> String {
        match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "command line".to_owned(),
            Some(ValueSource::EnvVariable) => variable_of(long),
            Some(_) => self.below(long).unwrap_or_else(|| "default".to_owned()),
            None => "not set".to_owned(),
        }
    }

    fn below(&self, long: &str) -> Option<String> {
        let named = self.named.iter().find(|(name, _)| name == long).map(|(_, variable)| variable.clone());
        named.or_else(|| {
            let file = self.file.as_ref()?;
            let is = |entry: &&Entry| entry.key == long || entry.key.strip_suffix(SECRET_FILE) == Some(long);
            let entry = file.options.iter().find(is)?;
            Some(format!("{}:{}", file.path.display(), entry.line))
        })
    }
}

/// The file that these arguments name, if they are those of `serve`.
pub(crate) fn named_by(matches: &ArgMatches) -> Option<Option<PathBuf>> {
    matches.subcommand_matches(SERVE).map(|serve| serve.get_one::<PathBuf>("config").cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, environment: &[(&str, &str)]) -> Result<Vec<(String, String, String)>, Fault> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("w.toml");
        std::fs::write(directory.path().join("secret"), format!("{}\n", "s".repeat(40))).expect("a file");
        std::fs::write(&path, text.replace("DIR", &directory.path().display().to_string())).expect("a file");
        let variable = |name: &str| {
            let found = environment.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| value.replace("DIR", &directory.path().display().to_string()))
        };
        let resolved = resolve_in(Some(&path), &variable)?;
        let all = resolved.settings()?.into_iter();
        Ok(all
            .map(|setting| {
                let origin = setting.origin.replace(&format!("{}/", directory.path().display()), "");
                (setting.key, setting.values.join(" "), origin)
            })
            .collect())
    }

    fn of(all: &[(String, String, String)], key: &str) -> (String, String) {
        let found = all.iter().find(|(name, ..)| name == key).unwrap_or_else(|| panic!("{key} in {all:?}"));
        (found.1.clone(), found.2.clone())
    }

    fn is(value: &str, origin: &str) -> (String, String) {
        (value.to_owned(), origin.to_owned())
    }

    #[test]
    fn a_value_tells_where_it_is_from() {
        let all = settings("\nhost = [\"a\", \"b\"]\ninsecure = true\nstore = \"redis://u:secret@h\"\n", &[])
            .expect("good");
        assert_eq!(of(&all, "host"), is("a b", "w.toml:2"));
        assert_eq!(of(&all, "insecure"), is("true", "w.toml:3"));
        assert_eq!(of(&all, "listen"), is("127.0.0.1:7979", "default"));
        assert!(!of(&all, "store").0.contains("secret"), "{all:?}");
    }

    #[test]
    fn a_secret_comes_from_a_file_that_the_environment_or_the_file_names_and_is_never_shown() {
        let all = settings("token_file = \"DIR/secret\"", &[]).expect("good");
        assert_eq!(of(&all, "token"), is("(hidden)", "w.toml:1"));
        let all = settings("token = \"x\"", &[("WINDLASS_TOKEN_FILE", "DIR/secret")]).expect("good");
        assert_eq!(of(&all, "token"), is("(hidden)", "WINDLASS_TOKEN_FILE"));
        let both = [("WINDLASS_TOKEN_FILE", "DIR/secret"), ("WINDLASS_TOKEN", "x")];
        assert!(settings("", &both).expect_err("both").message.contains("are both set"));
        let told = settings("", &[("WINDLASS_TOKEN_FILE", "DIR/missing")]).expect_err("missing").message;
        assert!(told.contains("WINDLASS_TOKEN_FILE"), "{told}");
    }

    #[test]
    fn a_platform_names_the_port() {
        let all = settings("listen = \"127.0.0.1:1\"", &[("PORT", "8080")]).expect("good");
        assert_eq!(of(&all, "listen"), is("0.0.0.0:8080", "PORT"));
        assert!(settings("", &[("PORT", "http")]).expect_err("no port").message.contains("PORT"));
    }

    #[test]
    fn a_value_that_an_option_refuses_is_refused_with_its_line() {
        for text in ["\nlisten = \"here\"", "\ninsecure = \"maybe\""] {
            let told = settings(text, &[]).expect_err(text).message;
            assert!(told.contains("w.toml:2: "), "{told}");
        }
    }
}

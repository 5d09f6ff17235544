//! `windlass config`: what a server would be started with, and what a file says.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use windlass_core::Time;

use crate::arguments::Global;
use crate::commands::closing;
use crate::config::origin::{self, Setting};
use crate::config::sections::{self, Outcome, Step};
use crate::connect::{self, Intent};
use crate::fault::{Exit, Fault};
use crate::output::table::{Column, text};
use crate::output::{Output, Row};

/// What `init` writes: every section once, nothing in force but what is in force anyway.
const FIRST: &str = include_str!("../config/windlass.toml");

/// The verbs of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    Show(ShowArgs),
    Check(CheckArgs),
    Init(InitArgs),
}

const SHOW_EXAMPLES: &str = "\
Examples:
  windlass config show --config windlass.toml
  windlass config show --origin                  where each value is from
  WINDLASS_LISTEN=127.0.0.1:8000 windlass config show --origin --json
";

/// What `windlass serve` would be started with: environment, file and what is built in; no secret is shown
#[derive(Debug, Args)]
#[command(before_help = SHOW_EXAMPLES)]
pub(crate) struct ShowArgs {
    /// The file
    #[arg(long, value_name = "FILE", env = "WINDLASS_CONFIG")]
    config: Option<PathBuf>,
    /// Show where each value is from: a variable, a line of the file, or `default`
    #[arg(long)]
    origin: bool,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  windlass config check --config windlass.toml
  windlass config check --config windlass.toml --live     and against the store: what a start would set, what was changed live
";

/// Check a file as a start would, and change nothing
///
/// Exit code 2 when it is wrong, with the line; with --live 4 when settings were changed live and differ from the file.
#[derive(Debug, Args)]
#[command(before_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    /// The file
    #[arg(long, value_name = "FILE", env = "WINDLASS_CONFIG")]
    config: PathBuf,
    /// Compare it with what is in force in the store
    #[arg(long)]
    live: bool,
}

/// Write a file to begin with, every line of it explained
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  windlass config init windlass.toml\n  windlass config init -\n")]
pub(crate) struct InitArgs {
    /// Where to; `-` for stdout. A file that is there is left alone
    #[arg(value_name = "FILE", default_value = "windlass.toml")]
    file: PathBuf,
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, out: &Output, command: ConfigCommand) -> Result<(), Fault> {
    match command {
        ConfigCommand::Show(args) => show(out, args),
        ConfigCommand::Check(args) => check(global, out, args).await,
        ConfigCommand::Init(args) => init(out, args),
    }
}

/// One line of `show`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    setting: Setting,
}

impl Row for Shown {
    const COLUMNS: &'static [Column] = &[text("SETTING"), text("VALUE"), text("FROM")];

    fn cells(&self, _: Time, _: bool) -> Vec<String> {
        let Setting { key, values, origin } = &self.setting;
        vec![key.clone(), values.join(" "), origin.clone()]
    }
}

/// The same without the origin.
#[derive(Serialize)]
struct Plain {
    key: String,
    values: Vec<String>,
}

impl Row for Plain {
    const COLUMNS: &'static [Column] = &[text("SETTING"), text("VALUE")];

    fn cells(&self, _: Time, _: bool) -> Vec<String> {
        vec![self.key.clone(), self.values.join(" ")]
    }
}

fn show(out: &Output, args: ShowArgs) -> Result<(), Fault> {
    let settings = origin::resolve(args.config.as_deref())?.settings()?;
    if args.origin {
        return out.list(&settings.into_iter().map(|setting| Shown { setting }).collect::<Vec<_>>());
    }
    let plain = settings.into_iter().map(|Setting { key, values, .. }| Plain { key, values });
    out.list(&plain.collect::<Vec<_>>())
}

#[derive(Serialize)]
struct Checked {
    config: PathBuf,
    sections: usize,
    steps: Vec<Step>,
}

async fn check(global: &Global, out: &Output, args: CheckArgs) -> Result<(), Fault> {
    let resolved = origin::resolve(Some(&args.config))?;
    let settings = resolved.settings()?;
    let Some(file) = &resolved.file else { return Ok(()) };
    file.sections.iter().try_for_each(|section| section.check(file))?;
    windlass::check_url(&resolved.store()?).map_err(|why| Fault::usage(format!("store: {why}")))?;
    let mut steps = Vec::new();
    if args.live {
        // The store that the server would open, unless another is named.
        let of_file = settings.iter().find(|setting| setting.key == "store" && setting.values.len() == 1);
        let url = match of_file {
            Some(setting) if !global.store_is_explicit && setting.origin != "default" => resolved.store()?,
            _ => global.store.clone(),
        };
        let open = connect::open_url(&url, Intent::Look).await?;
        let result = sections::bring(file, open.store().as_ref(), true).await;
        steps = closing(open, result).await?;
    }
    let sections = file.sections.len();
    for step in &steps {
        out.say(&told(step));
    }
    let drift = steps.iter().filter(|step| step.outcome == Outcome::Kept).count();
    let sentence = format!("{} is good: {sections} queues, limits and schedules", args.config.display());
    let checked = Checked { config: args.config, sections, steps };
    out.done(&checked, &sentence, &[&checked.config.display().to_string(), &sections.to_string()])?;
    match drift {
        0 => Ok(()),
        n => Err(Fault::new(
            Exit::Refused,
            "drift",
            format!("{n} differ from the file, because they were changed live"),
        )
        .next(
            "write into the file what is in force, set it back, or let the file decide: managed = \"file\"",
        )),
    }
}

/// A step in a sentence.
pub(crate) fn told(step: &Step) -> String {
    let differs = step.differs.join("; ");
    match step.outcome {
        Outcome::Same => format!("{}: as the file says", step.what),
        Outcome::Set => format!("{}: {differs}", step.what),
        Outcome::Kept => format!("{} was changed live, and stays: {differs}", step.what),
    }
}

#[derive(Serialize)]
struct Written {
    config: PathBuf,
}

fn init(out: &Output, args: InitArgs) -> Result<(), Fault> {
    if args.file.as_os_str() == "-" {
        return out.text(FIRST);
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&args.file);
    let written = made.and_then(|mut file| std::io::Write::write_all(&mut file, FIRST.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Fault::new(Exit::Refused, "exists", format!("{} exists", args.file.display()))
        }
        _ => Fault::file(args.file.display(), &error),
    })?;
    let path = args.file.display().to_string();
    let sentence = format!("{path} is written: look at it, then windlass serve --config {path}");
    out.done(&Written { config: args.file }, &sentence, &[&path])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;
    use std::path::Path;

    #[test]
    fn the_first_file_is_good_and_so_is_every_line_of_it_that_is_commented_out() {
        let serve = origin::serve_command();
        let file = ConfigFile::parse(Path::new("w.toml"), FIRST, &serve).expect("it is good");
        file.sections.iter().try_for_each(|section| section.check(&file)).expect("good sections");
        // A line that is a setting begins with `#` at once, an explanation with `# `.
        let all: String = FIRST
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let file = ConfigFile::parse(Path::new("w.toml"), &all, &serve).expect("it is good");
        assert_eq!(file.sections.len(), 3);
        file.sections.iter().try_for_each(|section| section.check(&file)).expect("good sections");
    }
}

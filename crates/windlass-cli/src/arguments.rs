//! The command line: global options and the table of commands.
//!
//! Each command's own arguments stand beside what it does, in `commands/` and `bench/`; this is only what all share.

use clap::builder::styling::Styles;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::bench;
use crate::commands::{
    archive, audit, backup, campaigns, config as configuration, dev, doctor, enqueue, erase, errors, events,
    groups, health, info, jobs, keys, limits, migrate, monitor, outbox, pages, queues, schedules, serve, sim,
    worker,
};
use crate::config::origin;
use crate::connect;
use crate::demo;
use crate::fault::{Exit, Fault};
use crate::output::{Form, Output};

/// The store when neither `--store` nor the environment names one.
pub(crate) const STORE_DEFAULT: &str = "file:./windlass-data";

/// Examples come first: most who ask for help look for one line to change.
const HELP_TEMPLATE: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  windlass demo                                             watch a campaign day
  windlass enqueue email send_email '{\"to\":\"a@b.c\"}'      one job
  windlass enqueue email send_email --ndjson jobs.ndjson    many
  windlass jobs ls --queue email --state dead               what went wrong
  windlass jobs why ID                                      why it is not running
  windlass jobs retry --queue email --state dead            once it is repaired
  windlass queues set email --concurrency 30 --rate 100/1m  live
";

/// A durable job queue that needs nothing else.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, propagate_version = true, disable_help_subcommand = true, before_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The store: file:DIR, memory:, redis://HOST, postgres://HOST/DATABASE or http://HOST of a server; options behind a `?` (file:DIR?ack=process)
    #[arg(long, global = true, env = "WINDLASS_STORE", default_value = STORE_DEFAULT, value_name = "URL")]
    pub(crate) store: String,
    /// Print JSON: one object, or one a line for lists
    #[arg(long, global = true, conflicts_with = "plain")]
    pub(crate) json: bool,
    /// Print one record a line, fields separated by tabs, nothing cut
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    /// No messages on stderr but errors
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// No colours; the environment variable NO_COLOR does the same
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Whether `--store` stands on the command line, not only in the environment.
    #[arg(skip)]
    pub(crate) store_is_explicit: bool,
}

impl Global {
    /// A command that a hint proposes, on the same store: it can be given as it is told, or says what to add. Without
    /// `--store` the environment, or the usual place, names the store again.
    pub(crate) fn again(&self, command: &str) -> String {
        match self.store_is_explicit {
            true => connect::on_store(command, &self.store, "the same --store"),
            false => command.to_owned(),
        }
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::DemoArgs),
    Dev(dev::DevArgs),
    Serve(serve::ServeArgs),
    Worker(worker::WorkerArgs),
    Campaigns(campaigns::CampaignsArgs),
    Enqueue(enqueue::EnqueueArgs),
    /// List, inspect and change jobs
    #[command(subcommand, visible_alias = "job")]
    Jobs(jobs::JobsCommand),
    /// List queues and change their settings, live
    #[command(subcommand, visible_alias = "queue")]
    Queues(queues::QueuesCommand),
    /// The groups that share a queue
    #[command(subcommand, visible_alias = "group")]
    Groups(groups::GroupsCommand),
    /// Named limits that jobs of any queue share
    #[command(subcommand, visible_alias = "limit")]
    Limits(limits::LimitsCommand),
    /// Jobs on a clock
    #[command(subcommand, visible_alias = "schedule")]
    Schedules(schedules::SchedulesCommand),
    /// What the server watches for, whom it tells, and what it has found
    #[command(subcommand)]
    Monitor(monitor::MonitorCommand),
    /// Jobs enqueued in a database transaction, on their way to the queue
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    Info(info::InfoArgs),
    Events(events::EventsArgs),
    Errors(errors::ErrorsArgs),
    /// Who may do what on servers of the store
    #[command(subcommand, visible_alias = "key")]
    Keys(keys::KeysCommand),
    Audit(audit::AuditArgs),
    Archive(archive::ArchiveArgs),
    /// What a server is started with: environment, file, defaults
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    Health(health::HealthArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Verify(doctor::VerifyArgs),
    Doctor(doctor::DoctorArgs),
    Migrate(migrate::MigrateArgs),
    Erase(erase::EraseArgs),
    /// Providers of mail, texts and calls that stand on this machine and deliver nothing
    #[command(subcommand)]
    Sim(sim::SimCommand),
    Bench(bench::BenchArgs),
    Man(pages::ManArgs),
    Completions(pages::CompletionsArgs),
    #[command(hide = true)]
    DemoWorker(demo::WorkerArgs),
}

impl Command {
    /// Whether it stays until somebody ends it.
    pub(crate) fn stays(&self) -> bool {
        match self {
            Command::Campaigns(args) => args.stays(),
            _ => matches!(self, Command::Dev(_) | Command::Serve(_) | Command::Worker(_) | Command::Sim(_)),
        }
    }

    /// How it logs.
    pub(crate) fn log_format(&self) -> serve::LogFormat {
        match self {
            Command::Serve(args) => args.log_format(),
            _ => serve::LogFormat::default(),
        }
    }
}

/// The command line as clap knows it, help template included.
pub(crate) fn command() -> clap::Command {
    fn everywhere(command: clap::Command) -> clap::Command {
        command.help_template(HELP_TEMPLATE).mut_args(with_any_value).mut_subcommands(everywhere)
    }
    everywhere(Cli::command())
}

/// `--delay -5s` gives the option a value, which the option then refuses in its own words.
fn with_any_value(argument: clap::Arg) -> clap::Arg {
    let takes_one = matches!(argument.get_action(), clap::ArgAction::Set | clap::ArgAction::Append);
    if takes_one && argument.get_long().is_some() { argument.allow_hyphen_values(true) } else { argument }
}

/// Reads the process's arguments; ends the process itself for `--help`, `--version` and nonsense.
pub(crate) fn read() -> Cli {
    // Colours are decided before anything is parsed, because a parse error is coloured too.
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::args_os().any(|argument| argument == "--no-color");
    let command =
        if plain { command().styles(Styles::plain()).color(clap::ColorChoice::Never) } else { command() };
    let (mut cli, matches) = match parse(command, plain) {
        Ok(parsed) => parsed,
        Err(error) => refuse(&error),
    };
    cli.global.no_color = plain;
    cli.global.store_is_explicit = explicit_store(&matches);
    cli
}

/// Reads them; below those of `serve` lie the environment and a file (`config`).
fn parse(command: clap::Command, plain: bool) -> Result<(Cli, clap::ArgMatches), clap::Error> {
    let mut matches = command.try_get_matches()?;
    if let Some(file) = origin::named_by(&matches) {
        let below = origin::resolve(file.as_deref()).unwrap_or_else(|fault| end_with(&fault)).command;
        let below = if plain { below.styles(Styles::plain()).color(clap::ColorChoice::Never) } else { below };
        matches = below.try_get_matches()?;
    }
    Ok((Cli::from_arg_matches(&matches)?, matches))
}

/// Ends the process for what is wrong before the command begins, in the form that was asked for.
fn end_with(fault: &Fault) -> ! {
    let form = if asks_for_json() { Form::Json } else { Form::Human };
    Output::new(form, true, false).fault(fault);
    std::process::exit(fault.exit as i32);
}

fn asks_for_json() -> bool {
    std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Ends the process: with the help that was asked for, or with what is wrong, in the form that was asked for.
fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() || !asks_for_json() {
        error.exit();
    }
    let text = error.render().to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    Output::new(Form::Json, true, false).fault(&Fault::usage(message));
    std::process::exit(Exit::Usage as i32);
}

/// A global option is known to the matches of the subcommand that it stood behind.
fn explicit_store(matches: &clap::ArgMatches) -> bool {
    let here = matches.value_source("store") == Some(clap::parser::ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, inner)| explicit_store(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_with_itself() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_a_sentence_and_an_example() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no sentence", command.get_name());
            if command.get_subcommands().next().is_none() {
                let example = command.get_before_help().map(ToString::to_string).unwrap_or_default();
                assert!(
                    example.starts_with("Examples:\n  windlass "),
                    "{} has no example",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }
}

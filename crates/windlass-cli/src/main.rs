//! The `windlass` command: the queue from a shell.
//!
//! It owns no rule of the queue: every command is a verb of a store, reached through the same client that programs
//! use. `arguments` is the table of commands, `commands/` has one module for each noun, `bench/` measures,
//! `output/` is everything that reaches a terminal, `log` what the libraries say beside it, and `fault` is how a command fails.

mod arguments;
mod bench;
mod campaigns;
mod commands;
mod config;
mod connect;
mod demo;
mod fault;
mod interrupt;
mod log;
mod output;
#[cfg(test)]
mod reference;
mod values;

use std::process::ExitCode;

use crate::arguments::{Cli, Command};
use crate::commands::{
    archive, audit, backup, config as configuration, dev, doctor, enqueue, erase, errors, events, groups,
    health, info, jobs, keys, limits, migrate, monitor, outbox, pages, queues, schedules, serve, sim, worker,
};
use crate::fault::{Exit, Fault};
use crate::log::Log;
use crate::output::{Form, Output};

fn main() -> ExitCode {
    let cli = arguments::read();
    let form = match (cli.global.json, cli.global.plain) {
        (true, _) => Form::Json,
        (_, true) => Form::Plain,
        _ => Form::Human,
    };
    let out = Output::new(form, cli.global.quiet, !cli.global.no_color);
    let global = cli.global.clone();
    let exit = match logged(cli, &out) {
        Ok(()) => Exit::Done,
        Err(fault) if fault.is_hang_up() => Exit::Done,
        Err(fault) => {
            let fault = fault.on(&global);
            out.fault(&fault);
            fault.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn logged(cli: Cli, out: &Output) -> Result<(), Fault> {
    let log = Log::begin(cli.command.stays(), cli.command.log_format())?;
    let result = start(cli, out);
    log.end();
    result
}

fn start(cli: Cli, out: &Output) -> Result<(), Fault> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Two threads are enough for commands; the engine has its own, and a benchmark says what it measures.
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(run(cli, out));
    // A thread that still waits (for stdin, say) must not hold up the shell.
    runtime.shutdown_background();
    result
}

async fn run(cli: Cli, out: &Output) -> Result<(), Fault> {
    let global = &cli.global;
    match cli.command {
        Command::Dev(args) => dev::run(out, args).await,
        Command::Serve(args) => serve::run(global, out, args).await,
        Command::Worker(args) => worker::run(global, out, args).await,
        Command::Campaigns(args) => commands::campaigns::run(global, out, args).await,
        Command::Enqueue(args) => enqueue::run(global, out, args).await,
        Command::Jobs(command) => jobs::run(global, out, command).await,
        Command::Queues(command) => queues::run(global, out, command).await,
        Command::Groups(command) => groups::run(global, out, command).await,
        Command::Limits(command) => limits::run(global, out, command).await,
        Command::Monitor(command) => monitor::run(global, out, command).await,
        Command::Schedules(command) => schedules::run(global, out, command).await,
        Command::Outbox(command) => outbox::run(global, out, command).await,
        Command::Info(args) => info::run(global, out, args).await,
        Command::Events(args) => events::run(global, out, args).await,
        Command::Errors(args) => errors::run(global, out, args).await,
        Command::Keys(command) => keys::run(global, out, command).await,
        Command::Audit(args) => audit::run(global, out, args).await,
        Command::Archive(args) => archive::run(global, out, args).await,
        Command::Config(command) => configuration::run(global, out, command).await,
        Command::Health(args) => health::run(out, args).await,
        Command::Man(args) => pages::man(out, args),
        Command::Completions(args) => pages::completions(out, args),
        Command::Backup(args) => backup::backup(global, out, args).await,
        Command::Restore(args) => backup::restore(out, args).await,
        Command::Verify(args) => doctor::verify(global, out, args).await,
        Command::Doctor(args) => doctor::doctor(global, out, args).await,
        Command::Migrate(args) => migrate::run(global, out, args).await,
        Command::Erase(args) => erase::run(global, out, args).await,
        Command::Sim(command) => sim::run(out, command).await,
        Command::Bench(args) => bench::run(global, out, args).await,
        Command::Demo(args) => demo::run(global, out, args).await,
        Command::DemoWorker(args) => demo::run_worker(global, args).await,
    }
}

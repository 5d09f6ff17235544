//! `windlass verify` and `windlass doctor`: a data directory, looked at without opening the store; or a history.
//!
//! `verify` reads every byte of the journal and changes nothing. `doctor` adds what the store depends on but does not
//! own: the directory, its disk, the limits of the process, and who holds the lock. Only `doctor --repair` writes.

mod environment;
mod history;
mod report;

use std::path::{Path, PathBuf};

use clap::Args;
use windlass_embedded::disk::{Disk, FileDisk, OpenDirectoryError};
use windlass_embedded::journal;
use windlass_embedded::lock::DirectoryLock;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

use self::report::{Check, RepairShape, Status, VerifyShape};
use crate::arguments::Global;
use crate::connect::directory_of;
use crate::fault::{Exit, Fault};
use crate::output::confirm::confirm;
use crate::output::{Form, Output, progress};

const VERIFY_EXAMPLES: &str = "\
Examples:
  windlass verify                                     the directory of the store
  windlass verify /var/lib/app --json | jq .problems
  windlass verify monday.backup                       a backup, byte by byte
  windlass verify --history run.jsonl                 what clients saw, against the contract
";

/// Check every byte of a data directory or a backup, or a history of what clients saw; changes nothing
///
/// Exit code 1 when there is damage, or when a history breaks an invariant; 5 when another process has the directory
/// open. A file that is no history is refused with the number of the line, and so is one without any call (code 1).
#[derive(Debug, Args)]
#[command(before_help = VERIFY_EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The data directory (or its file: URL), or a backup; the directory of the store if left out
    #[arg(value_name = "DIR|FILE")]
    directory: Option<String>,
    /// Hold this history (JSON lines, docs/history.md) against the contract's invariants instead; `-` reads stdin
    #[arg(long, value_name = "FILE", conflicts_with = "directory")]
    history: Option<PathBuf>,
    /// With --history: faults had stopped and workers were up, so what is due must have ended (I15)
    #[arg(long, requires = "history")]
    complete: bool,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  windlass doctor                               the directory of the store
  windlass doctor ./windlass-data --repair      cut the journal at the first damage
";

/// Check a data directory and what it depends on: disk, rights, limits, lock
///
/// Exit code 1 when there is damage. A directory that another process has open is checked but for its content.
#[derive(Debug, Args)]
#[command(before_help = DOCTOR_EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// The data directory (or its file: URL); that of the store if left out
    #[arg(value_name = "DIR")]
    directory: Option<String>,
    /// Cut a damaged journal at its first damage, keep what is cut in salvage files, and say what was dropped
    #[arg(long)]
    repair: bool,
    /// With --repair: do not ask
    #[arg(long, short, requires = "repair")]
    yes: bool,
}

/// The path that the argument means, or the store where there is none.
fn path_of(global: &Global, directory: Option<&str>) -> Result<PathBuf, Fault> {
    match directory {
        Some(named) if named.starts_with("file:") || !named.contains("://") => Ok(directory_of(named)),
        None if global.store.starts_with("file:") => Ok(directory_of(&global.store)),
        _ => {
            let url = windlass_core::url::without_password(directory.unwrap_or(&global.store));
            let told = format!("{url} is no directory: this command reads those of file: stores");
            Err(Fault::usage(told).next("windlass info tells about a server's store"))
        }
    }
}

/// Runs `verify`.
pub(crate) async fn verify(global: &Global, out: &Output, args: VerifyArgs) -> Result<(), Fault> {
    if let Some(file) = &args.history {
        return history::verify(out, file, args.complete);
    }
    let path = path_of(global, args.directory.as_deref())?;
    if path.is_file() {
        return super::backup::verify(out, &path);
    }
    let disk = FileDisk::open_read_only(&path).map_err(|error| directory_fault(&error))?;
    if let Some(holder) = environment::holder(&path) {
        return Err(held(&path, &holder));
    }
    let report = read_all(out, &disk)?;
    out.record(&report)?;
    damage(&path, &report)
}

/// Runs `doctor`.
pub(crate) async fn doctor(global: &Global, out: &Output, args: DoctorArgs) -> Result<(), Fault> {
    let path = path_of(global, args.directory.as_deref())?;
    let disk = FileDisk::open_read_only(&path).map_err(|error| directory_fault(&error))?;
    if args.repair {
        drop(disk);
        return repair(out, &path, args.yes);
    }
    let holder = environment::holder(&path);
    let mut checks = environment::checks(&path, holder.as_deref());
    let verdict = match holder {
        Some(holder) => {
            let told = format!("in use by {holder}");
            checks.push(Check::new("lock", Status::Ok, told));
            checks.push(Check::new("content", Status::Skipped, "not read while another process writes"));
            Ok(())
        }
        None => {
            checks.push(Check::new("lock", Status::Ok, "free"));
            let report = read_all(out, &disk)?;
            let verdict = damage(&path, &report);
            checks.push(report.check());
            verdict
        }
    };
    out.list(&checks)?;
    if out.form == Form::Human {
        checks.iter().filter_map(Check::advice).for_each(|advice| out.say(&advice));
    }
    verdict?;
    match checks.iter().any(|check| check.status() == Status::Bad) {
        true => Err(Fault::failed("something above is bad")),
        false => Ok(()),
    }
}

/// Reads and checks the whole journal.
fn read_all(out: &Output, disk: &dyn Disk) -> Result<VerifyShape, Fault> {
    let bar = progress::bytes(out, "verify", Some(0));
    let report = windlass_embedded::verify(disk, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    report.map(VerifyShape::from).map_err(|error| Fault::failed(error.to_string()))
}

fn damage(path: &Path, report: &VerifyShape) -> Result<(), Fault> {
    match report.problems() {
        0 => Ok(()),
        n => {
            let places = if n == 1 { "place is" } else { "places are" };
            Err(Fault::new(Exit::Failed, "damaged", format!("{n} {places} damaged"))
                .next(format!("restore a backup, or: windlass doctor --repair {}", path.display())))
        }
    }
}

fn repair(out: &Output, path: &Path, yes: bool) -> Result<(), Fault> {
    // Owning the directory first: nobody may write between the look and the cut.
    let lock = DirectoryLock::acquire(path).map_err(|error| crate::connect::lock_fault(&error))?;
    let disk = FileDisk::open(path, false).map_err(|error| directory_fault(&error))?;
    let found = read_all(out, &disk)?;
    let problems = found.problems();
    if problems > 0 && !yes {
        let question = format!(
            "{}; what is cut off stays in salvage-*.bin files, for people, and cannot be read in again. Repair {}, \
             with {problems} damaged or missing parts?",
            found.loss(),
            path.display(),
        );
        confirm(out, &question, "add --yes, after a copy of the directory")?;
    }
    let report = journal::repair(&disk).map_err(|error| Fault::failed(error.to_string()))?;
    let goes_on_without = read_all(out, &disk)?.problems() > 0;
    if goes_on_without {
        // Segments at the front are missing: the store is told to go on without them.
        drop(lock);
        let options =
            EmbeddedOptions { create: false, without_missing_segments: true, ..EmbeddedOptions::default() };
        EmbeddedStore::open(path, options).map_err(|error| Fault::failed(error.to_string()))?;
    }
    let mut shape = RepairShape::from(report);
    shape.goes_on_without_missing = goes_on_without;
    out.record(&shape)
}

fn held(path: &Path, holder: &str) -> Fault {
    Fault::new(Exit::Unreachable, "held", format!("{} is in use by {holder}", path.display()))
        .next("stop that process, or verify a copy of the directory")
}

/// A directory that is not there, or not a store's.
pub(crate) fn directory_fault(error: &OpenDirectoryError) -> Fault {
    Fault::new(Exit::Unreachable, "unreachable", error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Cli;

    fn of_store(store: &str) -> Global {
        Cli::try_parse_from(["windlass", "--store", store, "info"]).unwrap().global
    }

    #[test]
    fn a_directory_may_be_given_as_its_url_or_be_that_of_the_store() {
        for text in ["/a/b", "file:/a/b", "file:///a/b", "file:/a/b?ack=process"] {
            assert_eq!(path_of(&of_store("redis://h"), Some(text)).unwrap(), Path::new("/a/b"), "{text}");
        }
        assert_eq!(path_of(&of_store("file:x"), Some("file:./data")).unwrap(), Path::new("./data"));
        assert_eq!(path_of(&of_store("file:/a/b?ack=process"), None).unwrap(), Path::new("/a/b"));
        for (store, directory) in [
            ("file:x", Some("redis://u:secret@h")),
            ("redis://u:secret@h", None),
            ("redis+unix:///s?pass=secret", None),
            ("postgres://u:secret@h/d", None),
            ("http+unix:/s", None),
            ("memory:", None),
        ] {
            let fault = path_of(&of_store(store), directory).unwrap_err();
            let told = format!("{fault}: {}", fault.advice().unwrap());
            assert!(told.contains("no directory") && told.contains("windlass info"), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}

//! `windlass backup` and `windlass restore`: a whole store in one file, and back.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use windlass_core::Time;
use windlass_core::store::Backup;
use windlass_core::url::without_password;
use windlass_embedded::backup::{BackupError, BackupFile};
use windlass_embedded::{EmbeddedOptions, OpenError as EmbeddedError};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent, directory_of, lock_fault};
use crate::fault::{Exit, Fault};
use crate::output::{Output, Record, progress};

const BACKUP_EXAMPLES: &str = "\
Examples:
  windlass backup monday.backup                                      of the store here, also while it is served
  windlass backup monday.backup --store http://queue.internal:7979   of a server, whose token may do everything
  windlass backup - | ssh elsewhere 'cat > monday.backup'
";

/// Copy a whole store into one file while it is in use
///
/// Everything that was acknowledged before it began is in the file, and everybody goes on. The file appears under its name
/// only when it is whole and has been checked; one that is there already is refused. Stores on Redis or PostgreSQL are
/// backed up by the tools of their servers.
#[derive(Debug, Args)]
#[command(before_help = BACKUP_EXAMPLES)]
pub(crate) struct BackupArgs {
    /// The file to write, for its owner alone; `-` writes to stdout, unchecked
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  windlass restore monday.backup ./windlass-data
  windlass restore monday.backup /var/lib/windlass --json
";

/// Make a store of a backup, in a new or empty directory
///
/// The whole file is checked before anything is written, and the store is opened once to prove it. Jobs that were running when
/// the backup was made have lost their leases and wait again: what their holders did since is not in it. Exit code 1 when the
/// file is damaged, 4 when the directory is not empty.
#[derive(Debug, Args)]
#[command(before_help = RESTORE_EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory to make (or its file: URL)
    #[arg(value_name = "DIR")]
    directory: String,
}

/// What a backup holds, as it is printed.
#[derive(Debug, Serialize)]
struct Shape {
    file: PathBuf,
    bytes: u64,
    made_at: String,
    made_by: String,
    jobs: u64,
    running: u64,
    segments: usize,
    last_batch: u64,
}

impl Shape {
    fn of(backup: &BackupFile) -> Self {
        let manifest = backup.manifest();
        Self {
            file: backup.path().to_owned(),
            bytes: backup.bytes(),
            made_at: Time(manifest.made_at_ms).to_string(),
            made_by: manifest.made_by.clone(),
            jobs: manifest.jobs,
            running: manifest.running,
            segments: manifest.segments.len(),
            last_batch: manifest.last_lsn,
        }
    }

    fn what(&self) -> String {
        format!("{} jobs, {}", HumanCount(self.jobs), HumanBytes(self.bytes))
    }
}

impl Record for Shape {
    fn fields(&self, _: Time, _: bool) -> Vec<(&'static str, String)> {
        vec![
            ("backup", self.file.display().to_string()),
            ("made", self.made_at.clone()),
            ("by", format!("windlass {}", self.made_by)),
            ("bytes", self.bytes.to_string()),
            ("jobs", format!("{} ({} running)", self.jobs, self.running)),
            ("segments", self.segments.to_string()),
            ("last batch", self.last_batch.to_string()),
            ("result", "every byte is the one that was written".to_owned()),
        ]
    }
}

/// Runs `backup`.
pub(crate) async fn backup(global: &Global, out: &Output, args: BackupArgs) -> Result<(), Fault> {
    let to_stdout = args.file.as_os_str() == "-";
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(Fault::usage("a backup is no text for a terminal")
            .next("name a file, or send it somewhere: windlass backup - | …"));
    }
    if args.file.exists() {
        return Err(Fault::new(Exit::Refused, "exists", format!("{} exists", args.file.display()))
            .next("nothing is written over: name another file, or remove this one first"));
    }
    let open = connect::open(global, Intent::Look).await?;
    let result = async {
        let begun = open.store().backup().await.map_err(|why| {
            let refused = Fault::new(Exit::Refused, "no_backup", why.cause.clone());
            if why.retryable { Fault::from(why) } else { refused }
        })?;
        match to_stdout {
            true => pour(out, begun, &mut std::io::stdout().lock()).await,
            false => keep(global, out, begun, &args.file).await,
        }
    };
    let result = result.await;
    closing(open, result).await
}

/// Takes all pieces.
async fn pour(out: &Output, mut backup: Backup, to: &mut impl Write) -> Result<(), Fault> {
    let bar = progress::bytes(out, "backup", Some(backup.bytes));
    while let Some(piece) = backup.pieces.next().await? {
        to.write_all(&piece)?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    Ok(to.flush()?)
}

/// A file that goes unless it is kept.
struct Partial {
    path: PathBuf,
    kept: bool,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            // It bears a name that says what it is, should even this fail.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes the file under another name, makes it durable, checks it, and gives it its own.
async fn keep(global: &Global, out: &Output, backup: Backup, file: &Path) -> Result<(), Fault> {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    let mut partial = Partial { path: name.into(), kept: false };
    let fault = |error: std::io::Error| Fault::file(file.display(), &error);
    // One that a crash has left is nobody's.
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial.path);
    let mut to = made.map_err(fault)?;
    pour(out, backup, &mut to).await?;
    to.sync_all().map_err(fault)?;
    let whole = checked(out, &partial.path)?;
    name_it(&partial.path, file).map_err(fault)?;
    partial.kept = true;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(fault)?;
    let shape = Shape { file: file.to_owned(), ..Shape::of(&whole) };
    let told =
        format!("{} is backed up in {}: {}", without_password(&global.store), file.display(), shape.what());
    out.done(&shape, &told, &[&shape.file.display().to_string(), &shape.bytes.to_string()])
}

/// Replaces nothing that came meanwhile, where the file system can promise that.
fn name_it(from: &Path, to: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => std::fs::rename(from, to),
        outcome => Ok(outcome?),
    }
}

/// Opens a backup and checks every byte of it.
fn checked(out: &Output, file: &Path) -> Result<BackupFile, Fault> {
    let bar = progress::bytes(out, "verify", Some(0));
    let backup = BackupFile::open(file).map_err(|why| refusal(&why))?;
    let told = backup.verify(&mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    told.map_err(|why| refusal(&why))?;
    Ok(backup)
}

/// Runs `verify` on a file.
pub(super) fn verify(out: &Output, file: &Path) -> Result<(), Fault> {
    let backup = checked(out, file)?;
    out.record(&Shape::of(&backup))
}

#[derive(Serialize)]
struct Restored {
    store: String,
    #[serde(flatten)]
    backup: Shape,
}

/// Runs `restore`.
pub(crate) async fn restore(out: &Output, args: RestoreArgs) -> Result<(), Fault> {
    let directory = directory_of(&args.directory);
    let backup = BackupFile::open(&args.file).map_err(|why| refusal(&why))?;
    let bar = progress::bytes(out, "restore", Some(0));
    let told = windlass_embedded::backup::restore(
        &backup,
        &directory,
        EmbeddedOptions::default(),
        &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        },
    );
    bar.finish_and_clear();
    told.map_err(|why| refusal(&why))?;
    let restored = Restored { store: format!("file:{}", directory.display()), backup: Shape::of(&backup) };
    let told = format!(
        "{} is restored from {}: {}",
        directory.display(),
        args.file.display(),
        restored.backup.what()
    );
    out.done(&restored, &told, &[&restored.store])?;
    if restored.backup.running > 0 {
        let running = HumanCount(restored.backup.running);
        out.hint(&format!("{running} of them were running: they have lost their leases and wait again"));
    }
    Ok(())
}

fn refusal(why: &BackupError) -> Fault {
    match why {
        BackupError::Damaged { .. } => Fault::new(Exit::Failed, "damaged", why.to_string()),
        BackupError::NotABackup { .. } | BackupError::Newer { .. } => {
            Fault::new(Exit::Failed, "not_a_backup", why.to_string())
        }
        BackupError::NotEmpty { .. } => Fault::new(Exit::Refused, "not_empty", why.to_string()),
        BackupError::Open(EmbeddedError::Locked(error)) => lock_fault(error),
        _ => Fault::failed(why.to_string()),
    }
}

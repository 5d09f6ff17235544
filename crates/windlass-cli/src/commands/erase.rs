//! `windlass erase`: the end of a whole store, a namespace on a server or a data directory.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use windlass_core::url::without_password;
use windlass_embedded::disk::OpenDirectoryError;
use windlass_embedded::{EmbeddedStore, OpenError as EmbeddedError};

use crate::arguments::Global;
use crate::connect::{self, Intent, NAMESPACE_DEFAULT, directory_of, lock_fault, split_namespace};
use crate::fault::{Exit, Fault};
use crate::output::Output;
use crate::output::confirm::confirm_name;

const EXAMPLES: &str = "\
Examples:
  windlass erase --store 'redis://cache?namespace=bench_4711_enqueue_1'
  windlass erase --store 'postgres://app@db/app?namespace=old' --yes old
  windlass erase --store file:./windlass-data --yes windlass-data
";

/// Erase a whole store for good: a namespace of a server with everything in it, or a data directory
///
/// It asks for the store's name: the namespace (windlass unless --store says another), or the last part of the directory's
/// path. What is no store of Windlass is refused, and so is a directory that a process has open. On a server stop the
/// workers first: on Redis they would fill it again, on PostgreSQL they fail. Exit code 3 when there is no such store.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct EraseArgs {
    /// Do not ask; NAME must be the name of the store
    #[arg(long, short, value_name = "NAME")]
    yes: Option<String>,
}

/// The store that is to go.
enum Doomed {
    Namespace { name: String, server: String },
    Directory { name: String, path: PathBuf },
}

/// The answer.
#[derive(Serialize)]
struct Erased<'a> {
    store: String,
    name: &'a str,
    erased: bool,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: EraseArgs) -> Result<(), Fault> {
    let doomed = Doomed::of(&global.store)?;
    let (name, what) = (doomed.name(), doomed.what());
    match &args.yes {
        Some(given) if given == name => {}
        Some(given) => {
            let told = format!("{what} is not {given:?}: nothing was erased");
            return Err(Fault::new(Exit::Refused, "not_confirmed", told)
                .next(format!("if it is that store: --yes {name}")));
        }
        None => {
            let content = if out.can_ask() { doomed.content(global).await } else { String::new() };
            let question = format!("erase {what}{content}, for good?");
            confirm_name(out, &question, name, &format!("add --yes {name}"))?;
        }
    }
    if !doomed.erase().await? {
        return Err(Fault::not_found(what));
    }
    if let Doomed::Directory { path, .. } = &doomed
        && path.exists()
    {
        out.say(&format!("{} stays: it is not empty, or may not be removed", path.display()));
    }
    let erased = Erased { store: without_password(&global.store), name, erased: true };
    out.done(&erased, &format!("erased {what}"), &[name, "erased"])
}

impl Doomed {
    fn of(url: &str) -> Result<Self, Fault> {
        match url.split(':').next().unwrap_or_default() {
            "file" => {
                let path = directory_of(url);
                // `.` has a name, too; what does not exist has that of its path.
                let real = path.canonicalize().unwrap_or_else(|_| path.clone());
                let name = real.file_name().map(|name| name.to_string_lossy().into_owned());
                let name = name.ok_or_else(|| Fault::usage(format!("{} is no store", path.display())))?;
                Ok(Self::Directory { name, path })
            }
            scheme if scheme.starts_with("redis") || scheme.starts_with("postgres") => {
                let (server, namespace) = split_namespace(url);
                Ok(Self::Namespace { name: namespace.unwrap_or(NAMESPACE_DEFAULT).to_owned(), server })
            }
            _ => Err(Fault::usage(format!("{} names nothing that can be erased", without_password(url)))
                .next("--store file:DIR, redis://HOST?namespace=NAME or postgres://HOST/DATABASE?namespace=NAME")),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Namespace { name, .. } | Self::Directory { name, .. } => name,
        }
    }

    /// The store in words.
    fn what(&self) -> String {
        match self {
            Self::Namespace { name, server } => format!("namespace {name} of {}", without_password(server)),
            Self::Directory { path, .. } => format!("the store in {}", path.display()),
        }
    }

    /// What would go, for whoever is asked; nothing where it cannot be read, which is no reason to keep it.
    async fn content(&self, global: &Global) -> String {
        match self {
            Self::Directory { path, .. } => {
                let files = std::fs::read_dir(path).into_iter().flatten().flatten();
                let bytes = files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum();
                format!(" ({})", HumanBytes(bytes))
            }
            Self::Namespace { .. } => {
                let Ok(open) = connect::open(global, Intent::Look).await else { return String::new() };
                let (info, workers) = (open.store().info().await, open.store().workers(None).await);
                // It was only looked at.
                let _ = open.close().await;
                match (info, workers) {
                    (Ok(info), Ok(workers)) => {
                        format!(" (jobs: {}; workers known: {})", HumanCount(info.jobs), workers.len())
                    }
                    _ => String::new(),
                }
            }
        }
    }

    /// Erases it; `false` when there is no such store.
    async fn erase(&self) -> Result<bool, Fault> {
        match self {
            Self::Namespace { name, server } => connect::erase(server, name).await,
            Self::Directory { path, .. } => erase_directory(path),
        }
    }
}

fn erase_directory(path: &Path) -> Result<bool, Fault> {
    EmbeddedStore::erase(path).map_err(|error| match error {
        EmbeddedError::Locked(error) => lock_fault(&error),
        EmbeddedError::Directory(error @ OpenDirectoryError::NotOurs { .. }) => {
            Fault::new(Exit::Refused, "not_a_store", format!("{error}: left as it is"))
        }
        error => Fault::new(Exit::Unreachable, "unreachable", error.to_string()),
    })
}

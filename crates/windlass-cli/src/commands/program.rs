//! The program of `windlass worker`: looked for before anything is claimed, and started for each attempt.
//!
//! A program that cannot be started says nothing about the job. It goes back without a try spent, and its slot stays
//! empty for a growing while, so that a broken worker does not run through a whole queue.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::Access;
use tokio::process::{Child, Command};
use windlass::{Ctx, JobError};

use crate::fault::Fault;
use crate::output::escape;

/// How long a slot stays empty after the program could not be started; doubled with each time in a row.
const WAIT_MS_MIN: u64 = 1_000;
/// The longest of these: a program that is back is noticed within it, and half a minute of work is not missed.
const WAIT_MS_MAX: u64 = 30_000;
/// Where the system looks when nobody says where.
const PATH_DEFAULT: &str = "/bin:/usr/bin";

/// What a worker runs.
pub(crate) struct Program {
    name: OsString,
    arguments: Vec<OsString>,
    /// Starts that failed in a row.
    failures: AtomicU32,
}

impl Program {
    /// The program of that command line, which is there and may be run.
    ///
    /// # Errors
    /// With exit code 2, what is wrong and what to do about it.
    pub(crate) fn find(words: Vec<OsString>) -> Result<Self, Fault> {
        let mut words = words.into_iter();
        let Some(name) = words.next() else { return Err(Fault::usage("there is no program")) };
        look(&name, std::env::var_os("PATH"))?;
        Ok(Self { name, arguments: words.collect(), failures: AtomicU32::new(0) })
    }

    /// What people call it.
    pub(crate) fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// The command for one attempt.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command.args(&self.arguments);
        command
    }

    /// Starts it; an attempt that cannot have it is given back after a while.
    pub(crate) async fn start(&self, mut command: Command, cx: &Ctx) -> Result<Child, JobError> {
        let error = match command.spawn() {
            Ok(child) => {
                self.failures.store(0, Ordering::Relaxed);
                return Ok(child);
            }
            Err(error) => error,
        };
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        let wait_ms = WAIT_MS_MIN.saturating_mul(1 << failures.min(16)).min(WAIT_MS_MAX);
        tracing::warn!(program = %self.name(), %error, wait_ms, "the program cannot be started; its job is given back");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            // The worker ends, or somebody called the job off.
            _ = cx.cancelled() => {}
        }
        Err(JobError::give_back(format!("{} cannot be started: {error}", self.name())))
    }
}

/// Looks for the program as the system will. By hand, because a library's search says that nothing was found where a
/// person wants to know that the file is there and may not be executed.
fn look(name: &OsStr, path: Option<OsString>) -> Result<(), Fault> {
    let shown = escape::word(&name.to_string_lossy());
    let own = PathBuf::from(name);
    if own.components().count() > 1 || name.as_encoded_bytes().contains(&b'/') {
        return runnable(&own).map_err(|why| refusal(&own, &shown, &why));
    }
    let mut refused = None;
    let path = path.unwrap_or_else(|| PATH_DEFAULT.into());
    for directory in std::env::split_paths(&path) {
        let found = directory.join(name);
        match runnable(&found) {
            Ok(()) => return Ok(()),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => refused = refused.or(Some((found, why))),
        }
    }
    if let Some((found, why)) = refused {
        return Err(refusal(&found, &escape::word(&found.to_string_lossy()), &why));
    }
    let fault = Fault::usage(format!("there is no program {shown} in PATH"));
    Err(match own.is_file() {
        true => {
            let here = escape::word(&format!("./{}", name.to_string_lossy()));
            fault.next(format!("for the file in this directory write {here}"))
        }
        false => fault.next("name one that is there, or give its path"),
    })
}

/// Whether the system would run that file for us.
fn runnable(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(rustix::fs::access(path, Access::EXEC_OK)?)
}

fn refusal(path: &Path, shown: &str, why: &io::Error) -> Fault {
    match why.kind() {
        io::ErrorKind::NotFound => {
            Fault::usage(format!("there is no program {shown}")).next("name one that is there")
        }
        io::ErrorKind::PermissionDenied if path.is_file() => {
            Fault::usage(format!("{shown} may not be executed")).next(format!("chmod +x {shown}"))
        }
        _ => Fault::usage(format!("{shown} cannot be a program: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_is_found_as_the_system_finds_it_or_refused_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let (bin, other) = (directory.path().join("bin"), directory.path().join("other"));
        for path in [&bin, &other] {
            std::fs::create_dir(path).expect("a directory");
        }
        let file = |path: &Path, mode| {
            std::fs::write(path, "#!/bin/sh\n").expect("a file");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        };
        file(&bin.join("thumb"), 0o600);
        file(&other.join("thumb"), 0o700);
        file(&bin.join("plain"), 0o600);
        let path = || Some(std::env::join_paths([&bin, &other]).expect("a path"));
        let told = |name: &OsStr| look(name, path()).map_err(|fault| (fault.exit as u8, fault.to_string()));
        assert_eq!(told(OsStr::new("thumb")), Ok(()), "the next directory has one that may be run");
        assert_eq!(told(bin.join("plain").as_os_str()).map_err(|told| told.0), Err(2));
        for (name, says) in [
            ("plain".into(), "may not be executed"),
            ("nowhere".into(), "there is no program 'nowhere' in PATH"),
            ("./nowhere".into(), "there is no program './nowhere'"),
            (bin.clone().into_os_string(), "is a directory"),
        ] {
            let (exit, told) = told(&name).expect_err("no program");
            assert_eq!(exit, 2);
            assert!(told.contains(says), "{name:?}: {told}");
        }
        assert!(look(OsStr::new("sh"), None).is_ok() && look(OsStr::new("thumb"), None).is_err());
    }
}

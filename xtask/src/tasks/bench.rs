//! `cargo xtask bench`: every benchmark profile in turn, one JSON line each.
//!
//! Each profile measures a data directory of its own, made empty before and removed after, so that no profile inherits
//! the backlog of another. The file grows line by line: what was measured before a failure is kept.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::arguments::Bench;
use crate::step::{Failure, Step, timed};
use crate::workspace;

/// Builds the release binary, measures the profiles one after the other and writes their lines to the file.
pub(super) fn run(root: &Path, bench: Bench) -> Result<(), Failure> {
    let target = workspace::read(root)?.target_directory;
    let out = bench.out.clone().unwrap_or_else(|| target.join("bench.jsonl"));
    Step::cargo("build", ["build", "--release", "--package", "windlass-cli"]).run(root)?;
    let mut file = fs::File::create(&out).map_err(|error| cannot("create", &out, &error))?;
    for profile in &bench.profiles {
        let line = measure(root, &target, profile, &bench)?;
        println!("{line}\n");
        writeln!(file, "{line}").map_err(|error| cannot("write", &out, &error))?;
    }
    println!("{} profiles written to {}", bench.profiles.len(), out.display());
    Ok(())
}

/// The one JSON object that `windlass bench` prints for the profile.
fn measure(root: &Path, target: &Path, profile: &str, bench: &Bench) -> Result<String, Failure> {
    let directory = target.join("bench-data").join(profile);
    remove(&directory)?;
    let own = format!("file:{}", directory.display());
    let binary = target.join("release").join("windlass");
    let step = step(&binary, profile, bench.store.as_deref().unwrap_or(&own), &bench.extra);
    let output = timed("bench", &step.to_string(), || step.output(root))?;
    remove(&directory)?;
    last_object(&output).ok_or_else(|| step.failed("it printed no JSON object"))
}

fn step(binary: &Path, profile: &str, store: &str, extra: &[String]) -> Step {
    let arguments = ["bench", "--store", store, "--profile", profile, "--json"];
    Step::program("bench", &binary.display().to_string(), arguments).and(extra.iter().cloned())
}

/// The last line that is a JSON object, as it was printed.
fn last_object(output: &str) -> Option<String> {
    let is_object = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
    output.lines().rev().find(is_object).map(str::to_owned)
}

fn remove(directory: &PathBuf) -> Result<(), Failure> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(cannot("remove", directory, &error))
        }
        _ => Ok(()),
    }
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::plain(format!("bench: cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_measured_with_the_users_own_command() {
        let extra = ["--jobs".to_owned(), "10".to_owned()];
        let shown = step(Path::new("target/release/windlass"), "held", "memory:", &extra).to_string();
        assert_eq!(shown, "target/release/windlass bench --store memory: --profile held --json --jobs 10");
    }

    #[test]
    fn the_figures_are_the_last_object_printed() {
        assert_eq!(last_object("warming up\n{\"a\":1}\n{\"b\":2}\n").as_deref(), Some("{\"b\":2}"));
        assert_eq!(last_object("{\"a\":1}\ndone\n7\n").as_deref(), Some("{\"a\":1}"));
        assert_eq!(last_object("nothing\n"), None);
    }
}

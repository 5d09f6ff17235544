//! Who else judges the doubles: Twilio's own clients for JavaScript and Python, and another mail server.
//!
//! They are used in tests and are part of no program of ours. Their versions, and the hashes of what npm and pip hand out,
//! are in files beside the tests; what was installed once is not asked for again, so that tests need no network.

use std::fs;
use std::path::Path;

use crate::step::{Failure, Step};

/// Where their versions are pinned.
const SOURCES: &str = "apps/doubles/tests/opinions";
/// What npm reads.
const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];
/// What pip reads; its copy is written when everything in it is there.
const REQUIREMENTS: &str = "requirements.txt";
/// What the tests read first.
const SCRIPT: &str = "node_modules/twilio/package.json";

/// The packages whose tests ask for their opinion.
pub(super) const ASKED_BY: [&str; 2] = ["windlass-doubles", "windlass-campaigns"];

/// Installs them below the target directory, unless the pinned versions are there already.
pub(super) fn must_be_there(root: &Path, target_directory: &Path) -> Result<(), Failure> {
    let (sources, shelf) = (root.join(SOURCES), target_directory.join("opinions"));
    let failed = |error: std::io::Error| {
        Failure::plain(format!("opinions: {} cannot be written: {error}", shelf.display()))
    };
    let copied = |name: &str| fs::copy(sources.join(name), shelf.join(name)).map(drop).map_err(failed);
    fs::create_dir_all(&shelf).map_err(failed)?;
    // npm takes its folder away before it installs, so what was interrupted is not taken for whole.
    if !MANIFESTS.iter().all(|name| same(&sources, &shelf, name)) || !shelf.join(SCRIPT).exists() {
        MANIFESTS.iter().try_for_each(|name| copied(name))?;
        npm(&shelf).run(root)?;
    }
    if !same(&sources, &shelf, REQUIREMENTS) {
        let python = shelf.join("python");
        let venv = ["-m", "venv", "--clear"].map(str::to_owned);
        Step::program("environment", "python3", [])
            .and(venv)
            .and([python.display().to_string()])
            .run(root)?;
        pip(&python, &sources).run(root)?;
        copied(REQUIREMENTS)?;
    }
    Ok(())
}

fn npm(shelf: &Path) -> Step {
    let step = Step::program(
        "opinions",
        "npm",
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    );
    step.and(["--prefix".to_owned(), shelf.display().to_string()])
}

/// Only wheels, known by their hashes: nothing of a package runs while it is installed.
fn pip(python: &Path, sources: &Path) -> Step {
    let program = python.join("bin/python").display().to_string();
    let step = Step::program(
        "opinions",
        &program,
        [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
        ],
    );
    step.and([
        "--require-hashes".to_owned(),
        "-r".to_owned(),
        sources.join(REQUIREMENTS).display().to_string(),
    ])
}

fn same(sources: &Path, shelf: &Path, name: &str) -> bool {
    let [ours, theirs]: [Option<Vec<u8>>; 2] =
        [sources, shelf].map(|folder| fs::read(folder.join(name)).ok());
    ours.is_some() && ours == theirs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    fn read(name: &str) -> String {
        fs::read_to_string(workspace::root().join(SOURCES).join(name)).expect(name)
    }

    #[test]
    fn every_version_is_exact_and_what_is_handed_out_is_known_by_its_hash() {
        let pins = read("package.json");
        assert!(pins.contains("\"twilio\"") && !pins.contains(['^', '~', '*', '>']), "{pins}");
        let lock: serde_json::Value = serde_json::from_str(&read("package-lock.json")).expect("JSON");
        let packages = lock["packages"].as_object().expect("packages");
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-")), "{name}");
            assert!(package["resolved"].is_null(), "{name}: it comes from wherever npm is set up to look");
        }
        for line in read(REQUIREMENTS).lines().filter(|line| !line.starts_with('#')) {
            assert!(line.contains("==") && line.contains(" --hash=sha256:"), "{line}");
        }
    }

    #[test]
    fn nothing_of_a_package_is_run_while_it_is_installed() {
        let step = npm(Path::new("/t")).to_string();
        assert_eq!(step, "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --prefix /t");
        let step = pip(Path::new("/t/python"), Path::new("/s")).to_string();
        assert!(step.contains("--only-binary=:all: --require-hashes -r /s/requirements.txt"), "{step}");
    }
}

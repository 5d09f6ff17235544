//! axe-core, which judges whether everybody can use the dashboard's pages: the one package that tests take from npm.
//!
//! It is loaded into pages in tests and is part of no program of ours. Its version and the hash of what npm hands out are
//! in the lock file beside the tests; what was installed once is not asked for again, so that tests need no network.

use std::fs;
use std::path::{Path, PathBuf};

use crate::step::{Failure, Step};

/// Where its version is pinned.
const SOURCES: &str = "crates/windlass-server/tests/browser";
/// What npm reads.
const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];
/// What the tests read.
const SCRIPT: &str = "node_modules/axe-core/axe.min.js";

/// Installs it below the target directory, unless the pinned version is there already.
pub(super) fn must_be_there(root: &Path, target_directory: &Path) -> Result<(), Failure> {
    let (sources, shelf) = (root.join(SOURCES), target_directory.join("browser"));
    if is_there(&sources, &shelf) {
        return Ok(());
    }
    let copied = fs::create_dir_all(&shelf).and_then(|()| {
        MANIFESTS.iter().try_for_each(|name| fs::copy(sources.join(name), shelf.join(name)).map(drop))
    });
    copied.map_err(|error| Failure::plain(format!("axe: {} cannot be written: {error}", shelf.display())))?;
    install(&shelf).run(root)
}

fn install(shelf: &Path) -> Step {
    let step = Step::program(
        "axe",
        "npm",
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    );
    step.and(["--prefix".to_owned(), shelf.display().to_string()])
}

fn is_there(sources: &Path, shelf: &Path) -> bool {
    let same = |name: &&str| {
        let [ours, theirs]: [Option<Vec<u8>>; 2] =
            [sources, shelf].map(|folder: &Path| fs::read(PathBuf::from(folder).join(name)).ok());
        ours.is_some() && ours == theirs
    };
    // npm takes its folder away before it installs, so what was interrupted is not taken for whole.
    MANIFESTS.iter().all(same) && shelf.join(SCRIPT).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn its_version_is_exact_and_what_npm_hands_out_is_known_by_its_hash() {
        let read = |name| fs::read_to_string(workspace::root().join(SOURCES).join(name)).expect(name);
        let pins = read("package.json");
        assert!(pins.contains("\"axe-core\"") && !pins.contains(['^', '~', '*', '>']), "{pins}");
        let lock: serde_json::Value = serde_json::from_str(&read("package-lock.json")).expect("JSON");
        let packages = lock["packages"].as_object().expect("packages");
        // The folder itself, and the one package.
        assert_eq!(packages.len(), 2, "{packages:?}");
        let integrity = &packages["node_modules/axe-core"]["integrity"];
        assert!(integrity.as_str().is_some_and(|hash| hash.starts_with("sha512-")), "{integrity}");
    }

    #[test]
    fn no_script_of_a_package_is_run() {
        let step = install(Path::new("/t")).to_string();
        assert_eq!(step, "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --prefix /t");
    }
}

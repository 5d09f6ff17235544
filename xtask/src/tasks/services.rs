//! The servers that the tests of the stores start for themselves, and the browser of those of the dashboard: here it is
//! seen to that their programs are there.
//!
//! Nothing is started here: each test starts its own, on a free port and in a temporary directory, and stops it by its
//! process id. What Debian's packages bring is installed when that can be done without asking anybody.

use std::path::Path;

use crate::step::{Failure, Step};

/// A program that tests start.
struct Service {
    /// Where it may be found: by name in the path, or in a folder that no path names; words behind a name go with it.
    programs: &'static [&'static str],
    package: &'static str,
}

const SERVICES: [Service; 11] = [
    Service { programs: &["redis-server"], package: "redis-server" },
    Service {
        programs: &[
            "postgres",
            "/usr/lib/postgresql/18/bin/postgres",
            "/usr/lib/postgresql/17/bin/postgres",
            "/usr/lib/postgresql/16/bin/postgres",
            "/usr/lib/postgresql/15/bin/postgres",
            "/usr/lib/postgresql/14/bin/postgres",
            "/usr/lib/postgresql/13/bin/postgres",
        ],
        package: "postgresql",
    },
    Service { programs: &["pgbouncer", "/usr/sbin/pgbouncer"], package: "pgbouncer" },
    // What the workers of `examples/workers` are run by.
    Service { programs: &["curl"], package: "curl" },
    Service { programs: &["jq"], package: "jq" },
    Service { programs: &["python3"], package: "python3" },
    // What the doubles are judged by is installed into an environment of its own: see `opinions`.
    Service { programs: &["python3 -m ensurepip"], package: "python3-venv" },
    Service { programs: &["node"], package: "nodejs" },
    Service {
        programs: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
        package: "chromium",
    },
    // Of the browser's own version: Debian builds both from one source.
    Service { programs: &["chromedriver"], package: "chromium-driver" },
    // It brings what the pages and the doubles are judged with: see `axe` and `opinions`.
    Service { programs: &["npm"], package: "npm" },
];

/// Installs what is missing, or says what to install.
pub(super) fn must_be_there(root: &Path) -> Result<(), Failure> {
    let missing: Vec<&str> =
        SERVICES.iter().filter(|service| !is_there(root, service)).map(|service| service.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !may_install(root) {
        return Err(Failure::plain(needs(&missing)));
    }
    // A package list may be missing on a fresh machine, and be fresh enough on any other.
    let install = Step::program("install", "apt-get", ["install", "--yes", "--no-install-recommends"])
        .and(missing.iter().copied())
        .with("DEBIAN_FRONTEND", "noninteractive")
        // The package would start a server of its own, which nobody asked for.
        .with("RUNLEVEL", "1");
    install.run(root).or_else(|_| {
        Step::program("install", "apt-get", ["update"]).run(root)?;
        install.run(root)
    })
}

fn is_there(root: &Path, service: &Service) -> bool {
    service.programs.iter().any(|words| {
        let mut words = words.split(' ');
        let program = words.next().unwrap_or_default();
        Step::program("look", program, words.chain(["--version"])).succeeds(root)
    })
}

/// Whether this is root on a machine with apt.
fn may_install(root: &Path) -> bool {
    let id = Step::program("look", "id", ["-u"]).output(root).unwrap_or_default();
    id.trim() == "0" && Step::program("look", "apt-get", ["--version"]).succeeds(root)
}

fn needs(missing: &[&str]) -> String {
    format!(
        "the tests start programs that are not installed: install {0} (Debian: sudo apt-get install {0})",
        missing.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_brings_it() {
        assert!(
            needs(&["redis-server", "postgresql"]).contains("sudo apt-get install redis-server postgresql")
        );
    }

    #[test]
    fn a_program_is_found_by_running_it() {
        let root = Path::new(".");
        let of = |programs| Service { programs, package: "x" };
        assert!(is_there(root, &of(&["no-such-program-here", "cargo"])));
        assert!(is_there(root, &of(&["cargo --color=never"])));
        assert!(!is_there(root, &of(&["no-such-program-here"])));
    }
}

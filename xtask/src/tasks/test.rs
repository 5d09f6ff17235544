//! `cargo xtask test`: what a newcomer runs after cloning, and what CI runs.
//!
//! cargo-nextest runs the tests when it is installed, because it runs them in parallel across crates and each in a
//! process of its own; `cargo test` runs the same tests otherwise, so nothing needs to be installed. Doctests are a step
//! of their own since nextest leaves them out.
//!
//! Tests that need a server or a browser start it themselves; [`services`] sees to it that its program is there, and
//! [`axe`] to what pages are judged with, [`opinions`] to what the doubles of providers are judged by.

use std::path::Path;

use super::{axe, opinions, services};
use crate::step::{Failure, Step};
use crate::workspace::{self, Workspace};

/// The packages whose tests open pages in a browser.
const WITH_PAGES: [&str; 2] = ["windlass-server", "windlass-cli"];

/// Runs the tests of the named packages, or of all; `extra` goes to the runner and leaves the doctests out.
pub(super) fn run(root: &Path, packages: &[String], extra: Vec<String>) -> Result<(), Failure> {
    let workspace = workspace::read(root)?;
    must_exist(&workspace, packages)?;
    let nextest = Step::cargo("nextest", ["nextest", "--version"]).succeeds(root);
    let doctests = if extra.is_empty() { doctests(&workspace, packages) } else { None };
    services::must_be_there(root)?;
    if packages.is_empty() || packages.iter().any(|name| WITH_PAGES.contains(&name.as_str())) {
        axe::must_be_there(root, &workspace.target_directory)?;
    }
    if packages.is_empty() || packages.iter().any(|name| opinions::ASKED_BY.contains(&name.as_str())) {
        opinions::must_be_there(root, &workspace.target_directory)?;
    }
    let apart = nextest && packages.is_empty() && extra.is_empty();
    // Of the whole workspace every failure is told, so that one round of mending answers them all.
    if apart {
        let others = ["--no-fail-fast", "--filter-expr", "not binary(certificate)"].map(str::to_owned);
        let tests = runner(nextest, packages, others.into()).run(root);
        tests.and(certificates().run(root))?;
    } else {
        runner(nextest, packages, extra).run(root)?;
    }
    doctests.map_or(Ok(()), |step| step.run(root))
}

/// The certificates of all stores, one process each: a process for each case would start a server for each. Of the
/// whole workspace, so that what was compiled for the other tests serves here too.
fn certificates() -> Step {
    Step::cargo("certificates", ["test", "--workspace", "--no-fail-fast", "--test", "certificate"])
}

/// Runs the certificate of each store.
pub(super) fn certify(root: &Path, stores: &[String], extra: &[String]) -> Result<(), Failure> {
    services::must_be_there(root)?;
    stores.iter().try_for_each(|store| certificate(store, extra).run(root))
}

fn certificate(store: &str, extra: &[String]) -> Step {
    let package = format!("windlass-{store}");
    let step = Step::cargo("certificate", ["test", "--package", &package, "--test", "certificate"]);
    if extra.is_empty() { step } else { step.and(["--"]).and(extra.iter().cloned()) }
}

fn runner(nextest: bool, packages: &[String], extra: Vec<String>) -> Step {
    let step = if nextest {
        let step = Step::cargo("tests", ["nextest", "run"]).and(selection(packages));
        // A package may hold nothing but doctests; a whole workspace without tests is a mistake.
        if packages.is_empty() { step } else { step.and(["--no-tests=warn"]) }
    } else {
        Step::cargo("tests", ["test", "--all-targets"]).and(selection(packages))
    };
    step.and(extra)
}

/// The doctests of the selection; none when no selected package has a library, which cargo would call an error.
fn doctests(workspace: &Workspace, packages: &[String]) -> Option<Step> {
    let doc = Step::cargo("doctests", ["test", "--doc"]);
    if packages.is_empty() {
        return Some(doc.and(["--workspace"]));
    }
    let has_library = |name: &&String| {
        workspace.packages.iter().any(|package| package.name == **name && package.has_library)
    };
    let libraries: Vec<String> = packages.iter().filter(has_library).cloned().collect();
    if libraries.is_empty() { None } else { Some(doc.and(selection(&libraries))) }
}

fn selection(packages: &[String]) -> Vec<String> {
    if packages.is_empty() {
        return vec!["--workspace".to_owned()];
    }
    packages.iter().flat_map(|name| ["--package".to_owned(), name.clone()]).collect()
}

fn must_exist(workspace: &Workspace, packages: &[String]) -> Result<(), Failure> {
    let known: Vec<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    match packages.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            Err(Failure::plain(format!("test: no package `{name}` here; there are {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn workspace() -> Workspace {
        let text = r#"{"target_directory": "target", "packages": [
            {"name": "lib", "targets": [{"kind": ["lib"]}], "dependencies": []},
            {"name": "mac", "targets": [{"kind": ["proc-macro"]}], "dependencies": []},
            {"name": "bin", "targets": [{"kind": ["bin"]}], "dependencies": []}]}"#;
        workspace::parse(text).expect("the fake metadata has every field")
    }

    #[test]
    fn the_same_tests_run_with_and_without_nextest() {
        assert_eq!(runner(true, &[], Vec::new()).to_string(), "cargo nextest run --workspace");
        assert_eq!(runner(false, &[], Vec::new()).to_string(), "cargo test --all-targets --workspace");
    }

    #[test]
    fn a_certificate_is_a_test_target_of_its_store() {
        let step = certificate("embedded", &names(&["claim"])).to_string();
        assert_eq!(step, "cargo test --package windlass-embedded --test certificate -- claim");
    }

    #[test]
    fn certificates_run_in_one_process_each() {
        assert_eq!(certificates().to_string(), "cargo test --workspace --no-fail-fast --test certificate");
    }

    #[test]
    fn extra_arguments_come_last() {
        let step = runner(true, &names(&["lib"]), names(&["--no-capture", "lanes"]));
        assert_eq!(step.to_string(), "cargo nextest run --package lib --no-tests=warn --no-capture lanes");
    }

    #[test]
    fn doctests_run_for_every_selected_library_and_are_not_asked_of_a_binary() {
        let of = |packages: &[&str]| doctests(&workspace(), &names(packages)).map(|step| step.to_string());
        assert_eq!(of(&[]).as_deref(), Some("cargo test --doc --workspace"));
        assert_eq!(of(&["lib", "bin"]).as_deref(), Some("cargo test --doc --package lib"));
        assert_eq!(of(&["mac"]).as_deref(), Some("cargo test --doc --package mac"));
        assert_eq!(of(&["bin"]), None);
    }

    #[test]
    fn a_package_that_does_not_exist_is_refused_with_those_that_do() {
        let failure = must_exist(&workspace(), &names(&["lob"])).expect_err("no such package").to_string();
        assert!(failure.contains("no package `lob` here; there are lib, mac, bin"), "{failure}");
    }
}

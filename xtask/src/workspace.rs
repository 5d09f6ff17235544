//! What cargo says about this workspace: where it is, which packages it has, and what they depend on.
//!
//! Read once per task from `cargo metadata --no-deps`, which needs no network and no lockfile change.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::step::{Failure, Step};

/// The workspace as `cargo metadata` describes it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The packages of this workspace, by name.
    pub(crate) packages: Vec<Package>,
    /// Where cargo puts what it builds.
    pub(crate) target_directory: PathBuf,
}

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// Whether it has a library, and so possibly doctests.
    pub(crate) has_library: bool,
}

/// One line of a package's dependency tables, of ours and of others alike.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Declared under `[dev-dependencies]`.
    pub(crate) for_tests: bool,
    /// Compiled only when a feature asks for it.
    pub(crate) optional: bool,
}

/// The directory that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable when it runs us; the compiled-in value serves a binary that is started by hand.
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// The workspace at `root`, read afresh.
pub(crate) fn read(root: &Path) -> Result<Workspace, Failure> {
    let step = Step::cargo("metadata", ["metadata", "--format-version", "1", "--no-deps"]);
    let text = step.output(root)?;
    parse(&text).ok_or_else(|| step.failed("its answer is not the JSON that this program knows"))
}

/// The workspace in the JSON of `cargo metadata`; none when a field is missing or of another type.
pub(crate) fn parse(text: &str) -> Option<Workspace> {
    let json: Value = serde_json::from_str(text).ok()?;
    let packages = json.get("packages")?.as_array()?.iter().map(package).collect::<Option<_>>()?;
    Some(Workspace { packages, target_directory: json.get("target_directory")?.as_str()?.into() })
}

fn package(json: &Value) -> Option<Package> {
    let has_library = json.get("targets")?.as_array()?.iter().any(is_library);
    let dependencies = json.get("dependencies")?.as_array()?.iter().map(dependency).collect::<Option<_>>()?;
    Some(Package { name: json.get("name")?.as_str()?.to_owned(), dependencies, has_library })
}

fn is_library(target: &Value) -> bool {
    let kinds = target.get("kind").and_then(Value::as_array);
    kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib" || kind == "proc-macro"))
}

fn dependency(json: &Value) -> Option<Dependency> {
    Some(Dependency {
        name: json.get("name")?.as_str()?.to_owned(),
        for_tests: json.get("kind")?.as_str() == Some("dev"),
        optional: json.get("optional")?.as_bool()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_the_expected_fields_is_refused_rather_than_read_as_empty() {
        assert!(parse("").is_none());
        assert!(parse(r#"{"target_directory": "t"}"#).is_none());
        assert!(parse(r#"{"target_directory": "t", "packages": [{"name": "a"}]}"#).is_none());
        assert!(parse(r#"{"target_directory": "t", "packages": []}"#).is_some());
    }

    #[test]
    fn this_very_workspace_is_read() {
        let workspace = read(&root()).expect("cargo describes the workspace it runs in");
        let core = workspace.packages.iter().find(|package| package.name == "windlass-core");
        assert!(core.expect("windlass-core is a member").has_library);
        let xtask = workspace.packages.iter().find(|package| package.name == "xtask");
        assert!(!xtask.expect("xtask is a member").has_library);
    }
}

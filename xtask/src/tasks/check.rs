//! `cargo xtask check`: everything a change must pass, the cheapest step first.

use std::path::Path;

use super::test;
use crate::step::{Failure, Step, timed};
use crate::{imports, tidy, workspace};

/// Runs every static check, then the tests when asked; stops at the first failure.
pub(super) fn run(root: &Path, with_tests: bool) -> Result<(), Failure> {
    timed("tidy", "cargo xtask tidy", || tidy::check(root))?;
    timed("imports", "cargo xtask imports", || imports::check(&workspace::read(root)?))?;
    for step in steps() {
        step.run(root)?;
    }
    if with_tests { test::run(root, &[], Vec::new()) } else { Ok(()) }
}

fn steps() -> [Step; 3] {
    [
        Step::cargo("format", ["fmt", "--all", "--check"]),
        Step::cargo("clippy", ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        Step::cargo("docs", ["doc", "--workspace", "--no-deps"]).with("RUSTDOCFLAGS", "-D warnings"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_errors_in_code_and_in_documentation() {
        let shown = steps().map(|step| step.to_string());
        assert_eq!(shown[0], "cargo fmt --all --check");
        assert_eq!(shown[1], "cargo clippy --workspace --all-targets -- -D warnings");
        assert_eq!(shown[2], "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps");
    }
}

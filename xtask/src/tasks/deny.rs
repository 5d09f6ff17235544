//! `cargo xtask deny`: the dependencies against deny.toml.
//!
//! Not part of `check`: the advisory database comes over the network, and a new advisory must not fail a change that
//! has nothing to do with it.

use std::path::Path;

use crate::step::{Failure, Step};

/// Runs cargo-deny over the whole dependency tree, or says how to install it.
pub(super) fn run(root: &Path) -> Result<(), Failure> {
    if !Step::cargo("cargo-deny", ["deny", "--version"]).succeeds(root) {
        return Err(Failure::plain(
            "deny: cargo-deny is not installed; install it with\n\n    cargo install cargo-deny --locked\n",
        ));
    }
    Step::cargo("deny", ["deny", "check"]).run(root)
}

//! `cargo xtask torture`: the embedded engine, killed over and over under load.
//!
//! The test itself owns the load, the kills and the ledger; this only builds it as users run it, in release, and hands
//! the number of kills and the seed over in its environment.

use std::path::Path;

use crate::step::{Failure, Step};

/// Runs the test for `cycles` kills; without a seed the test draws one and prints it.
pub(super) fn run(root: &Path, cycles: u32, seed: Option<u64>) -> Result<(), Failure> {
    step(cycles, seed).run(root)
}

fn step(cycles: u32, seed: Option<u64>) -> Step {
    let arguments =
        ["test", "--release", "--package", "windlass-embedded", "--test", "torture", "--", "--nocapture"];
    let step = Step::cargo("torture", arguments).with("WINDLASS_TORTURE_CYCLES", cycles.to_string());
    match seed {
        Some(seed) => step.with("WINDLASS_SEED", seed.to_string()),
        None => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_handed_over_only_when_given() {
        let with_seed = step(3, Some(42)).to_string();
        assert!(
            with_seed.starts_with("WINDLASS_TORTURE_CYCLES=3 WINDLASS_SEED=42 cargo test"),
            "{with_seed}"
        );
        assert!(!step(3, None).to_string().contains("WINDLASS_SEED"));
    }
}

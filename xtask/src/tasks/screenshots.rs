//! `cargo xtask screenshots`: the pictures of the dashboard, taken again.
//!
//! A test of the dashboard takes them in every run, so that it is known to work; this only says where they go.

use std::path::Path;

use super::services;
use crate::step::{Failure, Step};

/// Where the README finds them.
const IMAGES: &str = "docs/images";

/// Has the test write its pictures for the README.
pub(super) fn run(root: &Path) -> Result<(), Failure> {
    services::must_be_there(root)?;
    step(root).run(root)
}

fn step(root: &Path) -> Step {
    let arguments = ["test", "--package", "windlass-server", "--test", "browser", "pictures"];
    Step::cargo("screenshots", arguments)
        .with("WINDLASS_WRITE_IMAGES", root.join(IMAGES).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pictures_go_where_the_readme_finds_them() {
        let step = step(Path::new("/w")).to_string();
        assert!(step.starts_with("WINDLASS_WRITE_IMAGES=/w/docs/images cargo test"), "{step}");
    }

    #[test]
    fn the_readme_shows_pictures_that_are_there_in_both_themes() {
        let root = crate::workspace::root();
        let readme = std::fs::read_to_string(root.join("README.md")).expect("the README");
        let shown: Vec<&str> = readme
            .split(['"', '('])
            .filter_map(|rest| rest.split(['"', ')']).next())
            .filter(|path| path.starts_with(IMAGES))
            .collect();
        assert!(shown.len() >= 4, "{shown:?}");
        for path in shown {
            assert!(root.join(path).exists(), "{path}");
            assert!(
                root.join(path.replace("-light.", "-dark.")).exists() || path.contains("narrow"),
                "{path}"
            );
        }
    }
}

//! `cargo xtask bench --peers`: Windlass and other queues on the same server, in one run, as ratios.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::arguments::Peers;
use crate::peers::compare::{Comparison, Outcome, Scale};
use crate::peers::programs::{self, Room, Windlass};
use crate::peers::{Kind, server, table};
use crate::step::{Failure, Step};
use crate::workspace;

/// Where the peers' programs are.
const SOURCES: &str = "bench";

/// Looks for what is needed, installs the peers, builds Windlass, measures, and prints the table.
pub(super) fn run(root: &Path, asked: &Peers) -> Result<(), Failure> {
    let missing = missing(&asked.stores);
    if !missing.is_empty() {
        let list = missing.join("\n  - ");
        return Err(Failure::plain(format!(
            "bench: the comparison needs what is not installed here:\n  - {list}"
        )));
    }
    let windlass = Windlass::new(&binary(root, asked.windlass.as_deref())?);
    let room = Room::new()?;
    eprintln!("installing the peers");
    let peers = programs::Peers::install(&root.join(SOURCES), room.path())?;
    let scale = Scale { jobs: asked.jobs, runs: asked.runs, seconds: asked.seconds };
    let mut whole = Outcome { rows: Vec::new(), settings: Vec::new() };
    for kind in &asked.stores {
        let mut server = server::start(*kind, room.path())?;
        let absence = windlass.absence(&server.fresh()?)?;
        match &absence {
            Some(why) => eprintln!("{}: {why}; the peers are measured alone", kind.name()),
            None => eprintln!("{}: both sides, {} runs", kind.name(), scale.runs),
        }
        let windlass = absence.is_none().then_some(&windlass);
        let comparison = Comparison { kind: *kind, scale, server: server.as_mut(), peers: &peers, windlass };
        let outcome = comparison.run()?;
        whole.rows.extend(outcome.rows);
        whole.settings.extend(outcome.settings);
    }
    show(&whole, asked, &versions(root));
    Ok(())
}

fn missing(stores: &[Kind]) -> Vec<&'static str> {
    let mut missing = programs::missing();
    missing.extend(stores.iter().filter_map(|kind| server::missing(*kind)));
    missing
}

/// The binary that is measured: the one that was named, or a release build of this tree.
fn binary(root: &Path, named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    eprintln!("building windlass");
    Step::cargo("build", ["build", "--release", "--package", "windlass-cli"]).output(root)?;
    Ok(workspace::read(root)?.target_directory.join("release").join("windlass"))
}

fn show(outcome: &Outcome, asked: &Peers, versions: &str) {
    if asked.json {
        table::json_lines(&outcome.rows).iter().for_each(|row| println!("{row}"));
        let (jobs, runs, seconds, settings) = (asked.jobs, asked.runs, asked.seconds, &outcome.settings);
        let how = json!({ "jobs": jobs, "runs": runs, "seconds": seconds, "versions": versions, "settings": settings });
        println!("{how}");
        return;
    }
    println!("\n{}\n", table::markdown(&outcome.rows));
    println!(
        "Ratio: how many times better Windlass is; medians of {} runs, in brackets single runs.",
        asked.runs
    );
    println!("{} jobs; {} s of steady mix. {versions}.", table::number(asked.jobs as f64), asked.seconds);
    println!("A peer's settings, the best of those tried:");
    outcome.settings.iter().for_each(|setting| println!("  {setting}"));
}

/// The peers' versions as `bench/package.json` pins them.
fn versions(root: &Path) -> String {
    let text = std::fs::read_to_string(root.join(SOURCES).join("package.json")).unwrap_or_default();
    pinned(&text).unwrap_or_else(|| "versions unknown".to_owned())
}

fn pinned(package: &str) -> Option<String> {
    let package: Value = serde_json::from_str(package).ok()?;
    let pins = package.get("dependencies")?.as_object()?.iter();
    let pins: Option<Vec<String>> =
        pins.map(|(name, version)| Some(format!("{name} {}", version.as_str()?))).collect();
    Some(pins?.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_program_and_an_exact_version() {
        let folder = workspace::root().join(SOURCES);
        let text =
            std::fs::read_to_string(folder.join("package.json")).expect("the peers' versions are pinned");
        let pins = pinned(&text).expect("every dependency has a version");
        assert!(!pins.contains(['^', '~', '*', '>']), "{pins}");
        for peer in [Kind::Redis, Kind::Postgres].into_iter().flat_map(Kind::peers) {
            assert!(folder.join(format!("{}.mjs", peer.name)).exists(), "{}", peer.name);
            assert!(pins.contains(peer.name), "{}: {pins}", peer.name);
        }
    }
}

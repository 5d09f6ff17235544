//! `windlass bench` at its smallest: every profile runs, says what it must, and leaves nothing behind.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::shell::Shell;

const FIELDS: [&str; 12] = [
    "profile",
    "store",
    "ack_level",
    "jobs",
    "batch",
    "seconds",
    "per_s",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "rss_bytes",
    "disk_bytes",
];

/// Runs a profile in a fresh directory and checks what all of them promise.
fn bench(profile: &str, scale: &[&str]) -> Value {
    let shell = Shell::new();
    let report = shell.object(&[&["bench", "--profile", profile], scale].concat());
    for field in FIELDS {
        assert!(report.get(field).is_some(), "{profile} has no {field}: {report}");
    }
    assert_eq!((&report["profile"], &report["ack_level"]), (&profile.into(), &"power".into()));
    for positive in ["jobs", "seconds", "per_s", "rss_bytes", "disk_bytes"] {
        assert!(
            report[positive].as_f64().is_some_and(|value| value > 0.0),
            "{profile}: {positive} in {report}"
        );
    }
    let left: Vec<_> =
        std::fs::read_dir(shell.path(".")).expect("a directory").filter_map(Result::ok).collect();
    assert!(left.is_empty(), "{profile} left {left:?}");
    report
}

#[test]
fn enqueue_counts_every_job() {
    let report = bench("enqueue", &["--jobs", "3000"]);
    assert_eq!(
        (&report["jobs"], &report["batch"], &report["callers"]),
        (&3_000.into(), &100.into(), &2.into())
    );
    let single = bench("enqueue", &["--jobs", "300", "--batch", "1", "--callers", "20"]);
    assert_eq!((&single["jobs"], &single["batch"]), (&300.into(), &1.into()));
    assert!(single["p50_ms"].is_f64());
}

#[test]
fn lifecycle_tells_its_worst_second() {
    let report = bench("lifecycle", &["--seconds", "1", "--batch", "10"]);
    assert!(report["worst_second_per_s"].is_f64() && report["p99_ms"].is_f64(), "{report}");
}

#[test]
fn workers_run_every_preloaded_job() {
    assert_eq!(bench("workers", &["--jobs", "2000"])["jobs"], 2_000);
}

#[test]
fn latency_measures_every_pick_up() {
    let report = bench("latency", &["--jobs", "100", "--rate", "500"]);
    assert_eq!((&report["jobs"], &report["rate"]), (&100.into(), &500.into()));
    assert!(report["p999_ms"].is_f64() && report["floor_p99_ms"].is_f64(), "{report}");
    let unsynced =
        Shell::new().object(&["--store", "memory:", "bench", "--profile", "latency", "--jobs", "100"]);
    assert!(unsynced["p999_ms"].is_f64() && unsynced["floor_p99_ms"].is_null(), "{unsynced}");
}

#[test]
fn backlog_survives_the_kill_and_reopens() {
    let report = bench("backlog", &["--jobs", "5000"]);
    assert!(report["reopen_s"].is_f64() && report["relative_speed"].is_f64(), "{report}");
}

#[test]
fn groups_and_held_compare_with_a_baseline() {
    for profile in ["groups", "held"] {
        let report = bench(profile, &["--jobs", "1000", "--seconds", "1"]);
        assert!(report["relative_speed"].is_f64() && report["baseline_per_s"].is_f64(), "{report}");
    }
}

#[test]
fn burst_refuses_nothing_and_drains_everything() {
    let report = bench("burst", &["--jobs", "5000", "--rate", "20000"]);
    assert_eq!(report["refused"], 0);
    assert!(report["drain_s"].is_f64(), "{report}");
}

#[test]
fn several_profiles_are_told_in_their_order_and_people_get_a_record() {
    let shell = Shell::new();
    let reports = shell.json(&["bench", "--profile", "enqueue,latency", "--jobs", "100", "--rate", "1000"]);
    assert_eq!((&reports[0]["profile"], &reports[1]["profile"]), (&"enqueue".into(), &"latency".into()));
    let record = shell.ok(&["bench", "--profile", "enqueue", "--jobs", "100"]);
    assert!(record.contains("speed") && record.contains("latency"), "{record}");
}

#[test]
fn a_store_that_is_named_is_kept_and_the_environments_is_not_touched() {
    let shell = Shell::new();
    let named = shell.path("named");
    shell.ok(&[
        "bench",
        "--profile",
        "enqueue",
        "--jobs",
        "100",
        "--store",
        &format!("file:{}", named.display()),
    ]);
    assert!(named.join("enqueue").is_dir());
    assert!(!shell.path("data").exists());
}

#[test]
fn ctrl_c_ends_it_at_once_and_leaves_nothing_behind() {
    let shell = Shell::new();
    let mut child =
        shell.command(&["bench", "--profile", "lifecycle", "--seconds", "3600"]).spawn().expect("it starts");
    let files = || std::fs::read_dir(shell.path(".")).expect("a directory").count();
    let deadline = Instant::now() + Duration::from_secs(60);
    while files() == 0 {
        assert!(Instant::now() < deadline, "it made no store");
        std::thread::sleep(Duration::from_millis(10));
    }
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(told.success());
    let status = child.wait().expect("it ends");
    assert_eq!((status.code(), files()), (Some(130), 0));
}

#[test]
fn nonsense_is_code_2() {
    let shell = Shell::new();
    for arguments in [
        &["bench"][..],
        &["bench", "--profile", "speed"],
        &["bench", "--profile", "enqueue", "--jobs", "0"],
        &["bench", "--profile", "enqueue", "--batch", "1001"],
        &["bench", "--profile", "backlog", "--store", "memory:"],
    ] {
        assert_eq!(shell.run(arguments).code, 2, "{arguments:?}");
    }
}

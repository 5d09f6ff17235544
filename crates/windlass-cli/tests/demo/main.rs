//! `windlass demo` through the built binary: what a user, and a script, gets of it.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "../../../windlass-postgres/tests/server/mod.rs"]
mod postgres;
#[path = "../../../windlass-redis/tests/server/mod.rs"]
mod redis;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A process that has not ended by then never will.
const DEADLINE: Duration = Duration::from_secs(60);

fn windlass(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.args(arguments).current_dir(dir).stdin(Stdio::null());
    command.env_remove("WINDLASS_STORE").env_remove("WINDLASS_LOG");
    command
}

fn demo(dir: &Path, arguments: &[&str]) -> Output {
    windlass(dir, &[&["demo"], arguments].concat()).output().unwrap()
}

fn summary(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(stdout.lines().count(), 1, "one object and nothing else: {stdout}");
    serde_json::from_str(&stdout).unwrap()
}

fn count(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"))
}

/// What must be nought, whatever was killed when.
const NEVER: [&str; 5] = ["lost", "unexplained_repeats", "strays", "to_opted_out", "out_of_hours"];

fn clean(summary: &Value) {
    for never in NEVER {
        assert_eq!(count(summary, never), 0, "{never} in {summary}");
    }
}

#[test]
fn a_day_with_two_kills_loses_nothing_and_every_repeat_has_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let told = summary(&demo(dir.path(), &["--size", "1500", "--json", "--no-compare", "--seed", "11"]));
    assert_eq!(count(&told, "contacts"), 1_500);
    assert_eq!(count(&told, "campaigns"), 100);
    assert_eq!(count(&told, "kills"), 2, "{told}");
    clean(&told);
    assert_eq!(count(&told, "refused"), 1, "a bad day has a refusal: {told}");
    assert!(count(&told, "withheld") > 0, "some have opted out: {told}");
    assert_eq!(count(&told, "delivered"), 1_499 - count(&told, "withheld"), "{told}");
    assert!(count(&told, "calls") > 0, "{told}");
    let calls = count(&told, "calls") + count(&told, "repeats");
    assert_eq!(count(&told, "deliveries"), count(&told, "delivered") + calls, "{told}");
    let causes = told["repeats_by_cause"].as_object().unwrap();
    let explained: u64 = causes.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(explained, count(&told, "repeats"), "{told}");
    for seconds in ["small_p50_s", "small_p95_s", "whale_s", "seconds"] {
        assert!(told[seconds].as_f64().unwrap() > 0.0, "{seconds} in {told}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_day_whose_server_application_and_workers_are_killed_one_by_one_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--size", "600", "--over", "8s", "--kill-every", "1s", "--json", "--no-compare"];
    let told = summary(&demo(dir.path(), &arguments));
    clean(&told);
    assert!(count(&told, "kills") >= 5, "{told}");
    assert_eq!(count(&told, "delivered") + count(&told, "withheld") + count(&told, "refused"), 600, "{told}");
}

#[test]
fn with_fair_groups_small_campaigns_are_through_before_the_whale_and_in_one_group_they_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let told = summary(&demo(dir.path(), &["--size", "2000", "--json", "--no-kill"]));
    assert_eq!(count(&told, "kills"), 0);
    let compared = &told["comparison"];
    let before_whale = |how: &str| compared[how]["small_before_whale"].as_u64().unwrap();
    let (fair, one) = (before_whale("fair_groups"), before_whale("one_group"));
    assert!(fair >= one + 30, "{fair} of 99 with fair groups, {one} in one group: {compared}");
}

#[test]
fn without_fairness_the_day_is_still_whole() {
    let dir = tempfile::tempdir().unwrap();
    let told = summary(&demo(dir.path(), &["--size", "500", "--json", "--no-compare", "--no-fairness"]));
    assert_eq!(told["fairness"], false);
    clean(&told);
}

#[test]
fn a_users_list_loses_its_bad_rows_by_line_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = String::from("name,email,phone\n");
    for number in 0..300 {
        rows.push_str(&format!("Person {number},p{number}@example.org,+4477009{number:05}\n"));
    }
    rows.push_str("Nobody,,\nWrong,not-an-address,\nAgain,p7@example.org,\n\"Open,p900@example.org,\n");
    rows.push_str("Last,last@example.org,\n");
    fs::write(dir.path().join("people.csv"), rows).unwrap();
    let output = demo(dir.path(), &["--contacts", "people.csv", "--json", "--no-compare"]);
    let told = summary(&output);
    assert_eq!((count(&told, "contacts"), count(&told, "delivered")), (301, 301), "{told}");
    clean(&told);
    assert_eq!((count(&told, "refused"), count(&told, "withheld")), (0, 0), "{told}");
    assert_eq!(count(&told, "skipped"), 4);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let rows = told["skipped_rows"].as_array().unwrap();
    let lines: Vec<u64> = rows.iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [302, 303, 304, 305]);
    for line in lines {
        assert!(stderr.contains(&format!("people.csv, line {line}: ")), "{stderr}");
    }
    assert!(fs::exists(dir.path().join("people.csv")).unwrap());
}

#[test]
fn nonsense_is_refused_with_exit_code_2_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("empty.csv"), "").unwrap();
    fs::write(dir.path().join("nobody.csv"), "name,email\nAnn,\n").unwrap();
    fs::write(dir.path().join("columns.csv"), "a,b\n1,2\n").unwrap();
    let before = fs::read_dir(dir.path()).unwrap().count();
    for (arguments, says) in [
        (&["--size", "0"][..], "0"),
        (&["--size", "many"], "many"),
        (&["--size", "5", "--contacts", "empty.csv"], "--contacts"),
        (&["--contacts", "missing.csv"], "missing.csv"),
        (&["--contacts", "empty.csv"], "headings"),
        (&["--contacts", "nobody.csv"], "no contact"),
        (&["--contacts", "columns.csv"], "column"),
        (&["--dir", "."], "not empty"),
        (&["--dir", "empty.csv"], "empty.csv"),
        (&["--store", "file:there"], "--dir"),
        (&["--store", "memory:"], "ends with it"),
        (&["--store", "redis://localhost?namespace=mine"], "leave namespace= out"),
        (&["--fairness"], "--fairness"),
        (&["--kill-every", "soon"], "10s"),
        (&["--kill-every", "0s", "--size", "10"], "at least"),
        (&["--kill-every", "1s", "--no-kill"], "--no-kill"),
    ] {
        let output = demo(dir.path(), arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
}

/// The day with its kills on a server, its account closed as on the engine inside, and nothing left behind.
fn day_on(url: &str) {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--store", url, "--size", "1000", "--json", "--no-compare", "--seed", "11"];
    let output = demo(dir.path(), &arguments);
    let told = summary(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("when its leases run out, within 5 s"), "why it stands still is said: {said}");
    assert_eq!(count(&told, "contacts"), 1_000);
    clean(&told);
    assert_eq!(count(&told, "kills"), 2, "{told}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_day_on_redis_loses_nothing_and_leaves_nothing_behind() {
    let server = redis::Server::start();
    day_on(&server.url());
    let keys = Command::new("redis-cli").arg("-s").arg(server.socket()).arg("dbsize").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&keys.stdout).trim(), "0");
}

#[test]
fn a_day_on_postgresql_loses_nothing_and_leaves_nothing_behind() {
    let (server, address) = postgres::Server::on_loopback();
    day_on(&format!("postgres://windlass@{address}/postgres"));
    assert_eq!(server.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'demo%'"), "0");
}

#[test]
fn a_kept_day_can_be_looked_at_with_the_other_commands() {
    let dir = tempfile::tempdir().unwrap();
    let output = demo(
        dir.path(),
        &["--size", "300", "--keep", "--dir", "kept", "--no-kill", "--no-compare", "--quiet"],
    );
    let story = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{story}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(story.contains("What to try next"), "{story}");
    let proposed = story.lines().find(|line| line.trim_start().starts_with("windlass queues ls")).unwrap();
    let script = proposed.trim_start().replacen("windlass", env!("CARGO_BIN_EXE_windlass"), 1);
    let told = Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    assert!(told.status.success(), "{script}: {}", String::from_utf8_lossy(&told.stderr));
    let proposed = story.lines().find(|line| line.contains("campaigns ls")).unwrap();
    let script = proposed.trim_start().replacen("windlass", env!("CARGO_BIN_EXE_windlass"), 1);
    let told = Command::new("sh").args(["-c", &format!("{script} --json")]).current_dir(dir.path()).output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    assert_eq!(told.lines().filter(|line| line.contains(r#""status":"done""#)).count(), 100, "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_demo_that_is_ended_leaves_no_process_behind() {
    for signal in ["-INT", "-TERM", "-KILL"] {
        let dir = tempfile::tempdir().unwrap();
        let mut parent = windlass(
            dir.path(),
            &["demo", "--size", "200000", "--no-kill", "--no-compare", "--dir", "day", "--quiet"],
        )
        .spawn()
        .unwrap();
        let holder = until("a worker process", || worker_of(parent.id()));
        let sent = Command::new("kill").args([signal, &parent.id().to_string()]).status().unwrap();
        assert!(sent.success());
        parent.wait().unwrap();
        until("the worker's end", || (!is_alive(holder)).then_some(()));
        if signal != "-KILL" {
            assert!(!fs::exists(dir.path().join("day")).unwrap(), "{signal} leaves data behind");
        }
    }
}

#[cfg(target_os = "linux")]
fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "waited for {what} for {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The child of that process, once it is the worker and no longer its parent's copy.
#[cfg(target_os = "linux")]
fn worker_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let child: u32 = children.split_whitespace().next()?.parse().ok()?;
    let command = fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
    command.contains("demo-worker").then_some(child)
}

/// A zombie whose new parent has not looked yet is as dead as one that is gone.
#[cfg(target_os = "linux")]
fn is_alive(process: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    !status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

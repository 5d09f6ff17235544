//! `windlass archive`: what it prints, what it refuses, and that kill -9 at any moment changes nothing.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use windlass_core::job::ErrorReport;
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{Claim, Settle};
use windlass_core::{Kind, NewJob, QueueName, WorkerId};
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

use crate::place::Place;
use crate::shell::{Shell, keys, sorted, text};

/// Jobs of the store whose archive is killed: some seconds of archiving in small batches.
const JOBS: usize = 12_000;
/// Events of one transaction there.
const BATCH: &str = "400";
/// Kills of each archive.
const KILLS: u32 = 12;
/// No archive takes longer, however loaded the machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Fills the shell's store with lives that end in different ways, and leaves nothing running.
async fn fill(shell: &Shell) {
    let path = shell.path("data");
    let store = EmbeddedStore::open(&path, EmbeddedOptions::default()).expect("a fresh directory");
    let (queue, kind) = (QueueName::new("mail").expect("a name"), Kind::new("send").expect("a name"));
    let client = windlass::Client::new(std::sync::Arc::new(store));
    let store = client.store();
    for from in (0..JOBS).step_by(1_000) {
        let make = |_| {
            let mut job = NewJob::new(client.new_id(), queue.clone(), kind.clone(), *b"{}");
            job.retry = Some(RetryPolicy::Fixed { delay_ms: 1, max_failures: 2 });
            job
        };
        let jobs: Vec<NewJob> = (from..JOBS.min(from + 1_000)).map(make).collect();
        store.enqueue(jobs, false, None).await.expect("an answer").into_iter().for_each(|job| {
            job.expect("taken");
        });
    }
    let mut settle_first = Vec::new();
    loop {
        let wants = vec![(queue.clone(), 500)];
        let claim =
            Claim { settle_first: std::mem::take(&mut settle_first), wants, worker: WorkerId(7), nonce: 7 };
        let claimed = store.claim(claim, None).await.expect("an answer");
        store.upkeep(1_000, None).await.expect("upkeep");
        if claimed.jobs.is_empty() && claimed.try_again_at.is_none() {
            break;
        }
        let end = |job: windlass_core::store::ClaimedJob| match job.lease.job.0 % 5 {
            0 => {
                let message = format!("user {} not found", job.lease.attempt);
                let error = ErrorReport { message, ..ErrorReport::default() };
                Settle::Fail { lease: job.lease, error, retry_in_ms: Some(0), fatal: false }
            }
            _ => Settle::Complete { lease: job.lease, result: Some(b"{\"ok\":true}".to_vec()), then: vec![] },
        };
        settle_first = claimed.jobs.into_iter().map(end).collect();
    }
    store.close().await.expect("closed");
}

/// What must be equal: everything but the place, which moves with what each archive tells the store.
async fn rows(place: &Place) -> Vec<String> {
    place.dump().await.into_iter().filter(|line| !line.starts_with("archive:")).collect()
}

/// Uniform enough, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[tokio::test]
async fn an_archiver_that_is_killed_at_any_moment_ends_with_the_tables_of_one_that_never_was() {
    let seed = std::env::var("WINDLASS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    eprintln!("seed: WINDLASS_SEED={seed}");
    let mut dice = Dice(seed);
    let shell = Shell::new();
    fill(&shell).await;
    let whole = Place::file();
    let told = shell.object(&["archive", "--to", &whole.url(), "--name", "whole", "--once"]);
    assert_eq!(told["jobs"], JOBS);
    let whole_events = told["events"].as_u64().expect("a count");
    let expected = rows(&whole).await;
    assert!(expected.len() > 2 * JOBS, "a job and an attempt each");
    for (place, name) in [(Place::file(), "file"), (Place::schema(), "schema")] {
        let url = place.url();
        let arguments = ["archive", "--to", &url, "--name", name, "--once", "--batch", BATCH, "--json"];
        let (mut kills, mut between) = (0, 0);
        while kills < KILLS {
            let mut child = tokio::process::Command::from(shell.command(&arguments))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the command starts");
            let before = events(&place).await;
            // Every third one dies at a moment of the clock, while it starts perhaps; the others amid their work.
            let more = if kills % 3 == 0 { 0 } else { 1 + dice.below(2 * whole_events / u64::from(KILLS)) };
            let ended = async {
                while more > 0 && events(&place).await < before + more {
                    if child.try_wait().expect("our own child").is_some() {
                        return true;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                let moment = Duration::from_millis(dice.below(if more > 0 { 20 } else { 400 }));
                tokio::time::timeout(moment, child.wait()).await.is_ok()
            };
            if tokio::time::timeout(DEADLINE, ended).await.expect("it gets on") {
                break;
            }
            child.kill().await.expect("our own child");
            kills += 1;
            let after = events(&place).await;
            between += u32::from(after > 0 && after < whole_events);
        }
        let patience = std::time::Instant::now();
        loop {
            let ran = shell.run(&arguments);
            if ran.code == 0 {
                break;
            }
            // The database server notices the end of a killed client a moment later.
            assert!(ran.err.contains("held") && patience.elapsed() < DEADLINE, "{}", ran.err);
        }
        eprintln!("{name}: {kills} kills, {between} of them in the middle of the history");
        assert!(between > 1, "too few kills fell into the work: {between} of {kills}");
        let found = rows(&place).await;
        let differ = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert!(found == expected, "{name}: {} rows, not {}; first: {differ:?}", found.len(), expected.len());
    }
}

/// How many events the archive holds, 0 while there is none.
async fn events(place: &Place) -> u64 {
    let path = place.url();
    if path.strip_prefix("sqlite:").is_some_and(|path| !std::path::Path::new(path).exists()) {
        return 0;
    }
    let made = match place {
        Place::File(_) => "SELECT name FROM sqlite_master WHERE name = 'archive'".to_owned(),
        Place::Schema(_, schema) => format!("SELECT to_regclass('{schema}.archive')::text"),
    };
    if place.rows(&made).await.first().is_none_or(|name| name == "-") {
        return 0;
    }
    place
        .rows("SELECT cast(events AS text) FROM archive")
        .await
        .first()
        .map_or(0, |n| n.parse().expect("a number"))
}

#[test]
fn once_archives_what_there_is_and_the_next_time_what_is_new() {
    let shell = Shell::new();
    shell.enqueue(&["email", "send"]);
    let to = format!("sqlite:{}", shell.path("a.db").display());
    let told = shell.object(&["archive", "--to", &to, "--once"]);
    assert_eq!(
        keys(&told),
        sorted("archive to events jobs known deleted gaps payloads payloads_gone lag_ms last_event_at")
    );
    assert_eq!((&told["archive"], &told["jobs"], &told["gaps"]), (&"main".into(), &1.into(), &0.into()));
    shell.enqueue(&["email", "send"]);
    let said = shell.ok(&["archive", "--to", &to, "--once"]);
    assert!(said.contains("1 events archived, 1 new jobs; up to date"), "{said}");
    // Of what is read again, nothing is new.
    shell.ok(&["archive", "--forget", "main"]);
    let said = shell.ok(&["archive", "--to", &to, "--once", "--adopt"]);
    assert!(said.contains("0 new jobs, 2 were there already"), "{said}");
    shell.enqueue(&["email", "send"]);
    let told = shell.object(&["archive", "--to", &to, "--once", "--payloads"]);
    assert_eq!((&told["payloads"], &told["payloads_gone"]), (&1.into(), &0.into()));
}

#[test]
fn what_cannot_be_an_archive_is_refused_in_words_and_before_anything_is_opened() {
    let shell = Shell::new();
    shell.enqueue(&["email", "send"]);
    for (url, says) in [
        ("history.db", "no scheme"),
        ("file:./x", "that is a store"),
        ("postgres://ann:secret@nowhere/x?schema=NO", "48 lower-case"),
    ] {
        let ran = shell.run(&["archive", "--to", url, "--once"]);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(says) && !ran.err.contains("secret"), "{}", ran.err);
    }
    let ran = shell.run(&["archive", "--to", "postgres://ann:secret@127.0.0.1:1/x", "--once"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(
        ran.err.contains("cannot open postgres://ann@127.0.0.1:1/x") && !ran.err.contains("secret"),
        "{}",
        ran.err
    );
    let ran = shell.run(&["archive", "--once"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn a_name_is_one_archive_until_it_is_forgotten() {
    let shell = Shell::new();
    shell.enqueue(&["email", "send"]);
    let url = |name: &str| format!("sqlite:{}", shell.path(name).display());
    shell.ok(&["archive", "--to", &url("a.db"), "--once"]);
    let ran = shell.run(&["archive", "--to", &url("b.db"), "--once"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    for offer in ["--adopt", "--name", "--forget main"] {
        assert!(ran.err.contains(offer), "{}", ran.err);
    }
    assert!(!shell.path("b.db").exists() && !shell.path("b.db.lock").exists(), "a refusal leaves nothing");
    let ran = shell.run(&["archive", "--to", &url("a.db"), "--name", "other", "--once"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    let told = shell.object(&["archive", "--forget", "main"]);
    assert_eq!((text(&told["archive"]), &told["forgotten"]), ("main".to_owned(), &Value::Bool(true)));
    assert_eq!(shell.run(&["archive", "--forget", "main"]).code, 3);
    shell.ok(&["archive", "--to", &url("b.db"), "--once"]);
}

#[tokio::test]
async fn a_signal_ends_it_after_its_batch_with_what_it_did() {
    let shell = Shell::new();
    shell.enqueue(&["email", "send"]);
    let place = Place::file();
    let mut command =
        tokio::process::Command::from(shell.command(&["archive", "--to", &place.url(), "--json"]));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let patience = std::time::Instant::now();
    let file = place.url().trim_start_matches("sqlite:").to_owned();
    let archived = || async {
        let there = std::path::Path::new(&file).exists();
        let made = "SELECT name FROM sqlite_master WHERE name = 'job'";
        there && !place.rows(made).await.is_empty() && place.count("(SELECT count(*) FROM job)").await == 1
    };
    while !archived().await {
        assert!(patience.elapsed() < DEADLINE, "the job is archived");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())).expect("it runs");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
    let ended =
        tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("it ends").expect("its output");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let told: Value = serde_json::from_slice(&ended.stdout).expect("one object");
    assert_eq!((&told["events"], &told["jobs"]), (&1.into(), &1.into()));
}

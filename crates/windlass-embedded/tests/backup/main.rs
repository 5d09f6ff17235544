//! Backups: what is in one, what a damaged one is worth, and what a restored store refuses.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests reach directories as users do")]
#![allow(clippy::print_stdout, reason = "seeds and figures are printed")]

mod traffic;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use traffic::{Traffic, job, queue};
use windlass_check::format::DumpBegins;
use windlass_check::{
    EventOrder, FaultKind, Follow, Header, Options, Recorder, Recording, VERSION, check, dump,
};
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::store::{AckLevel, Admin, Backup, Claim, Queue, Settle, Store};
use windlass_core::{Lease, NewJob, Rejection, State, WorkerId};
use windlass_embedded::backup::{BackupError, BackupFile, restore};
use windlass_embedded::journal::JournalOptions;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore, OpenError};

/// Small segments, and none of them kept for long: the journal rotates and gives back all the time.
fn busy() -> EmbeddedOptions {
    let journal = JournalOptions {
        segment_bytes_min: 256 << 10,
        segment_bytes_max: 1 << 20,
        ..JournalOptions::default()
    };
    EmbeddedOptions { journal, slack_bytes: 1 << 20, ..EmbeddedOptions::default() }
}

async fn take(backup: Backup, to: &Path) -> u64 {
    let bytes = backup.bytes;
    assert!(is_taken(backup, to).await, "the store gave back what was not read yet");
    bytes
}

/// Whether the store waited for it.
async fn is_taken(mut backup: Backup, to: &Path) -> bool {
    let mut file = Vec::new();
    loop {
        match backup.pieces.next().await {
            Ok(Some(piece)) => file.extend_from_slice(&piece),
            Ok(None) => break,
            Err(why) => {
                assert!(why.retryable, "{why}");
                return false;
            }
        }
    }
    assert_eq!(file.len() as u64, backup.bytes, "its length is known from the beginning");
    std::fs::write(to, &file).unwrap();
    true
}

fn restored(file: &Path, into: &Path) -> EmbeddedStore {
    let backup = BackupFile::open(file).unwrap();
    restore(&backup, into, busy(), &mut |_, _| {}).unwrap();
    EmbeddedStore::open(into, busy()).unwrap()
}

async fn claim(store: &impl Queue, name: &str, max: u32) -> Vec<Lease> {
    let wants = vec![(queue(name), max)];
    let claim = Claim { wants, worker: WorkerId(7), nonce: 7, ..Claim::default() };
    store.claim(claim, None).await.unwrap().jobs.into_iter().map(|job| job.lease).collect()
}

async fn complete(store: &impl Queue, leases: &[Lease]) -> Vec<Result<(), Rejection>> {
    let settle = |lease: &Lease| Settle::Complete { lease: *lease, result: None, then: Vec::new() };
    let settle_first = leases.iter().map(settle).collect();
    let claim = Claim { settle_first, worker: WorkerId(7), nonce: 7, ..Claim::default() };
    store.claim(claim, None).await.unwrap().settled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_everything_that_was_acknowledged_before_it_began() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let store = Arc::new(EmbeddedStore::open(&at("store"), busy()).unwrap());
    let header = Header {
        windlass_history: VERSION,
        store: "embedded".into(),
        ack_level: AckLevel::Power,
        events: EventOrder::Total,
        // The traffic beside it is nobody's whose history is kept.
        all_clients: false,
        skew_ms: 5,
    };
    let recorder = Arc::new(Recorder::create(&at("history"), &header).unwrap());
    let recorded = Recording::new(Arc::clone(&store), Arc::clone(&recorder));
    let mut traffic = Traffic::begin(Arc::clone(&store));
    traffic.rounds(200).await;

    let ids: Vec<_> = (0..600).map(|_| job("kept")).map(|job| (job.id, job)).collect();
    for batch in ids.chunks(50) {
        let jobs = batch.iter().map(|(_, job)| job.clone()).collect();
        assert!(recorded.enqueue(jobs, false, None).await.unwrap().iter().all(Result::is_ok));
    }
    let held = claim(&recorded, "kept", 300).await;
    assert!(complete(&recorded, &held[..200]).await.iter().all(Result::is_ok));
    let backup = store.backup().await.unwrap();
    // What is begun now is not in it, and it goes on all the same.
    let after = job("kept");
    store.enqueue(vec![after.clone()], false, None).await.unwrap()[0].as_ref().unwrap();
    traffic.rounds(50).await;
    let bytes = take(backup, &at("backup")).await;
    traffic.rounds(200).await;
    println!("{bytes} bytes beside {} rounds of traffic", traffic.end().await);
    store.close().await.unwrap();

    recorder.fault(FaultKind::StoreKilled).unwrap();
    let again = restored(&at("backup"), &at("again"));
    dump(&again, &recorder, &mut Follow::default(), DumpBegins { reopened: true, workers_ended: true })
        .await
        .unwrap();
    let report =
        check(BufReader::new(std::fs::File::open(at("history")).unwrap()), Options::default()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.violations);
    assert!(report.figures.jobs >= ids.len() as u64, "{:?}", report.figures);

    let mut completed = 0;
    for (id, _) in &ids {
        let found =
            again.get(*id).await.unwrap().unwrap_or_else(|| panic!("{id} was acknowledged and is gone"));
        completed += usize::from(found.view.state == State::Completed);
        assert!(matches!(found.view.state, State::Completed | State::Ready), "{:?}", found.view.state);
    }
    assert_eq!(completed, 200);
    assert!(again.get(after.id).await.unwrap().is_none(), "it came after the backup began");
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_restored_store_takes_no_word_of_who_held_a_job() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let store = EmbeddedStore::open(&at("store"), busy()).unwrap();
    store.enqueue((0..4).map(|_| job("q")).collect(), false, None).await.unwrap();
    let before = claim(&store, "q", 2).await;
    let backup = store.backup().await.unwrap();
    let after = claim(&store, "q", 2).await;
    take(backup, &at("backup")).await;
    store.close().await.unwrap();

    let again = restored(&at("backup"), &at("again"));
    for lease in before.iter().chain(&after) {
        assert_eq!(complete(&again, &[*lease]).await, [Err(Rejection::Stale)], "{lease:?}");
        assert_eq!(again.heartbeat(vec![*lease], None).await.unwrap(), [Err(Rejection::Stale)]);
    }
    for lease in &before {
        let lost = again.get(lease.job).await.unwrap().unwrap();
        assert_eq!((lost.view.state, lost.view.losses), (State::Ready, 1), "its lease has ended as lost");
    }
    let new = claim(&again, "q", 4).await;
    assert_eq!(new.len(), 4, "and everything can be had again");
    assert!(new.iter().all(|new| before.iter().chain(&after).all(|old| old.token != new.token)));
    assert!(complete(&again, &new).await.iter().all(Result::is_ok));
    again.close().await.unwrap();
}

/// A small backup, and the directory that it lies in.
async fn small() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::memory(busy());
    store.enqueue((0..20).map(|_| job("q")).collect(), false, None).await.unwrap();
    let file = home.path().join("backup");
    take(store.backup().await.unwrap(), &file).await;
    (home, file)
}

#[tokio::test]
async fn no_byte_of_a_backup_may_differ_and_none_may_be_missing() {
    let (home, file) = small().await;
    let whole = std::fs::read(&file).unwrap();
    let refused = |bytes: &[u8], told: &str| {
        std::fs::write(&file, bytes).unwrap();
        let into = home.path().join("into");
        let outcome = BackupFile::open(&file)
            .and_then(|backup| restore(&backup, &into, EmbeddedOptions::default(), &mut |_, _| {}));
        assert!(outcome.is_err(), "{told}");
        assert!(!into.exists(), "{told}: nothing is written before everything was checked");
        outcome.unwrap_err()
    };
    for place in (0..whole.len())
        .step_by(997)
        .chain((0..1_100).step_by(7))
        .chain((whole.len() - 3_000..whole.len()).step_by(11))
    {
        let mut flipped = whole.clone();
        flipped[place] ^= 1 << (place % 8);
        let told = refused(&flipped, &format!("a bit of byte {place}"));
        assert!(!matches!(told, BackupError::Open(_)), "{told}");
    }
    for length in [0, 1, 511, 512, 700, whole.len() / 2, whole.len() - 1_024, whole.len() - 1] {
        refused(&whole[..length], &format!("cut to {length}"));
    }
    let told = refused(&[&*whole, b"\0"].concat(), "one more byte");
    assert!(matches!(told, BackupError::Damaged { .. }), "{told}");
    let told = refused(b"not a backup at all", "another file").to_string();
    assert!(told.contains("is no backup of a windlass store"), "{told}");
}

#[tokio::test]
async fn a_backup_is_a_tar_archive_whose_digests_other_programs_check() {
    let (home, file) = small().await;
    let run = |program: &str, arguments: &[&str]| {
        let told =
            std::process::Command::new(program).args(arguments).current_dir(home.path()).output().unwrap();
        assert!(told.status.success(), "{program}: {}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap()
    };
    run("tar", &["-xf", file.to_str().unwrap()]);
    let told = run("sha256sum", &["--check", "--strict", "SHA256SUMS"]);
    assert_eq!(told.lines().filter(|line| line.ends_with(": OK")).count(), told.lines().count(), "{told}");
    assert!(told.contains("000001.wlj") && told.contains("windlass-backup.json"), "{told}");
}

#[tokio::test]
async fn a_restore_writes_to_an_empty_directory_alone_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (home, file) = small().await;
    let backup = BackupFile::open(&file).unwrap();
    let full = home.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("letter"), "dear").unwrap();
    let told = restore(&backup, &full, EmbeddedOptions::default(), &mut |_, _| {});
    assert!(matches!(told, Err(BackupError::NotEmpty { .. })), "{told:?}");
    drop(EmbeddedStore::open(&home.path().join("store"), EmbeddedOptions::default()).unwrap());
    let told = restore(&backup, &home.path().join("store"), EmbeddedOptions::default(), &mut |_, _| {});
    assert!(matches!(told, Err(BackupError::NotEmpty { .. })), "{told:?}");

    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::set_permissions(&empty, std::fs::Permissions::from_mode(0o755)).unwrap();
    restore(&backup, &empty, EmbeddedOptions::default(), &mut |_, _| {}).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&empty), 0o700);
    for entry in std::fs::read_dir(&empty).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let store = EmbeddedStore::open(&empty, EmbeddedOptions::default()).unwrap();
    assert_eq!(store.info().await.unwrap().jobs, 20);
}

#[tokio::test]
async fn what_a_restore_has_left_half_done_is_no_store() {
    let (home, file) = small().await;
    let half = home.path().join("half");
    restore(&BackupFile::open(&file).unwrap(), &half, EmbeddedOptions::default(), &mut |_, _| {}).unwrap();
    for entry in std::fs::read_dir(&half).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wlj") {
            std::fs::rename(&path, path.with_extension("new")).unwrap();
        }
    }
    std::fs::write(half.join("restore-unfinished"), "").unwrap();
    let told = EmbeddedStore::open(&half, EmbeddedOptions::default());
    assert!(matches!(told, Err(OpenError::Directory(_))), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_nobody_takes_holds_up_nobody() {
    let home = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { readers_bytes: 2 << 20, ..busy() };
    let store = Arc::new(EmbeddedStore::memory(options));
    // More than the pieces that wait for their taker; what comes beside it is gone as soon as it is done.
    let large = |_| NewJob { payload: vec![b'x'; 16 << 10], ..job("q") };
    store.enqueue((0..256).map(large).collect(), false, None).await.unwrap();
    let retention = Retention { completed_count: 0, ..Retention::default() };
    let settings = QueueSettings { retention, ..QueueSettings::default() };
    store.set_queue(queue("beside"), settings, None).await.unwrap().unwrap();
    let mut traffic = Traffic::begin(Arc::clone(&store));
    traffic.rounds(100).await;
    let mut slow = store.backup().await.unwrap();
    // Nobody takes a piece until the store has given segments back: that it grows no further is half of the rule.
    let mut most = 0;
    loop {
        traffic.rounds(100).await;
        let used = store.info().await.unwrap().disk_bytes;
        if used + (256 << 10) <= most {
            break;
        }
        most = most.max(used);
        // Far beyond the bound: segments are given back by a thread that a busy machine may let wait.
        assert!(most < 512 << 20, "{most} bytes, and nothing is given back");
    }
    let (mut told, mut taken) = (None, 0);
    while told.is_none() {
        match slow.pieces.next().await {
            Ok(Some(piece)) => taken += piece.len() as u64,
            Ok(None) => break,
            Err(why) => told = Some(why),
        }
    }
    let told = told.unwrap_or_else(|| panic!("{taken} of {} bytes, and nobody minded", slow.bytes));
    assert!(told.cause.contains("so slowly") && told.retryable, "{told}");
    traffic.end().await;
    // One that is taken at once is whole, when what waits to be given back has been.
    let began = std::time::Instant::now();
    while !is_taken(store.backup().await.unwrap(), &home.path().join("backup")).await {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "no backup is made any more");
    }
    BackupFile::open(&home.path().join("backup")).unwrap().verify(&mut |_, _| {}).unwrap();
}

#[tokio::test]
async fn backups_at_once_are_bounded_and_one_that_is_dropped_makes_room() {
    let store = EmbeddedStore::memory(busy());
    // 4 MiB: more than the pieces that wait for their taker, so that no backup ends before somebody takes it.
    let large = |_| NewJob { payload: vec![b'x'; 16 << 10], ..job("q") };
    store.enqueue((0..256).map(large).collect(), false, None).await.unwrap();
    let mut held = Vec::new();
    let refused = loop {
        match store.backup().await {
            Ok(backup) if held.len() < 100 => held.push(backup),
            outcome => break outcome.unwrap_err(),
        }
    };
    assert!(refused.retryable && refused.cause.contains("4 backups"), "{refused}");
    held.clear();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    // Their threads notice when they next hand a piece over.
    while store.backup().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

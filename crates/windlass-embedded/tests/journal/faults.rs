//! A disk that refuses: failed writes and syncs, and no space.

use std::sync::Arc;

use windlass_embedded::disk::{Operation, SimDisk};
use windlass_embedded::journal::{JournalError, JournalOptions, RESERVE_SEGMENTS};

use crate::support::{History, Recorded, batch, open, open_with, small};

fn begun(disk: &SimDisk) -> Recorded {
    let (journal, _, _) = open(disk).unwrap();
    let mut recorded = Recorded::new(journal, History::default(), "first");
    recorded.rotate().unwrap();
    recorded.append(100).unwrap();
    recorded.sync().unwrap();
    recorded
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_or_appended_any_more() {
    let disk = SimDisk::new();
    let mut recorded = begun(&disk);
    recorded.append(100).unwrap();
    let other = recorded.journal.syncer();
    disk.fail_nth(Operation::Sync, 1, false);
    assert!(matches!(recorded.sync(), Err(JournalError::Poisoned { .. })));
    let durable = recorded.syncer.durable_lsn();
    for _ in 0..3 {
        assert!(matches!(recorded.sync(), Err(JournalError::Poisoned { .. })));
        assert!(matches!(other.sync(), Err(JournalError::Poisoned { .. })));
        assert!(matches!(recorded.append(1), Err(JournalError::Poisoned { .. })));
        assert!(matches!(recorded.rotate(), Err(JournalError::Poisoned { .. })));
    }
    assert_eq!(recorded.syncer.durable_lsn(), durable);
}

#[test]
fn a_start_after_a_failed_sync_does_not_believe_what_the_system_still_shows() {
    let disk = SimDisk::new();
    let mut recorded = begun(&disk);
    recorded.append(100).unwrap();
    disk.fail_nth(Operation::Sync, 1, false);
    assert!(recorded.sync().is_err());
    // The process restarts, the machine does not: the bytes can still be read, and are nowhere on the disk.
    let (_, recovery, replay) = open(&disk).unwrap();
    recorded.history.check(&recovery, &replay);
    let (_, after_power_cut, replay_after) = open(&disk.crash(&[])).unwrap();
    assert_eq!((after_power_cut.last_lsn, replay_after), (recovery.last_lsn, replay));
}

#[test]
fn a_failed_write_stops_the_journal() {
    let disk = SimDisk::new();
    let mut recorded = begun(&disk);
    disk.fail_nth(Operation::Write, 1, false);
    assert!(recorded.append(10).is_err());
    assert!(matches!(recorded.append(10), Err(JournalError::Poisoned { .. })));
    assert!(matches!(recorded.sync(), Err(JournalError::Poisoned { .. })));
    let (_, recovery, replay) = open(&disk.crash(&[])).unwrap();
    recorded.history.check(&recovery, &replay);
}

/// The n-th write, sync or name operation fails once, or from then on; whatever was acknowledged stays.
#[test]
fn no_single_failure_loses_an_acknowledged_batch() {
    for operation in [Operation::Write, Operation::Sync, Operation::Name] {
        for lasting in [false, true] {
            let mut unharmed = false;
            for nth in 1.. {
                let disk = SimDisk::new();
                let (journal, _, _) = open(&disk).unwrap();
                let mut recorded = Recorded::new(journal, History::default(), "first");
                disk.fail_nth(operation, nth, lasting);
                let outcome = run(&mut recorded);
                for crashed in [disk.crash(&[]), disk.crash(&[windlass_embedded::disk::Fate::Kept; 64])] {
                    let (_, recovery, replay) = open(&crashed).unwrap();
                    recorded.history.check(&recovery, &replay);
                }
                if disk.count(operation) < nth {
                    outcome.unwrap();
                    unharmed = true;
                    break;
                }
            }
            assert!(unharmed);
        }
    }
}

fn run(recorded: &mut Recorded) -> Result<(), JournalError> {
    for _ in 0..4 {
        recorded.rotate()?;
        recorded.append(3000)?;
        recorded.append(200)?;
        recorded.sync()?;
        if recorded.history.segments.len() > 2 {
            recorded.reclaim()?;
        }
        recorded.append(20)?;
        recorded.sync()?;
    }
    Ok(())
}

#[test]
fn a_full_disk_is_met_before_an_append_needs_it_and_the_reserve_can_be_used_up() {
    let disk = SimDisk::new();
    let options = JournalOptions { spares: RESERVE_SEGMENTS, ..small() };
    let (journal, _, _) = open_with(Arc::new(disk.clone()), options, 0).unwrap();
    let mut recorded = Recorded::new(journal, History::default(), "first");
    recorded.rotate().unwrap();
    recorded.append(3000).unwrap();
    assert!(!recorded.journal.space_low());
    assert!(recorded.journal.spare_bytes() >= 16384);
    disk.limit_space(Some(0));
    recorded.rotate().unwrap();
    assert!(recorded.journal.space_low());
    // What is in stock serves on, without a single failed append.
    let mut rotations = 0;
    loop {
        while recorded.journal.remaining() >= 1100 {
            recorded.append(1000).unwrap();
        }
        recorded.sync().unwrap();
        match recorded.journal.rotate(batch(b"snapshot"), 0) {
            Ok(appended) => {
                recorded.history.bodies.insert(appended.lsn, b"snapshot".to_vec());
                rotations += 1;
            }
            Err(JournalError::NoSpace) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(rotations, 1);
    // Refused, not broken: a segment given back lets it go on.
    recorded.append(8).unwrap();
    recorded.sync().unwrap();
    recorded.reclaim().unwrap();
    recorded.rotate().unwrap();
    recorded.sync().unwrap();
    // Space comes back.
    disk.limit_space(None);
    assert!(recorded.journal.space_low());
    recorded.journal.retry_spares();
    assert!(!recorded.journal.space_low());
    let (_, recovery, replay) = open(&disk.crash(&[])).unwrap();
    recorded.history.check(&recovery, &replay);
}

#[test]
fn a_disk_without_space_for_the_first_segment_says_so() {
    let disk = SimDisk::new();
    disk.limit_space(Some(4096));
    let (mut journal, _, _) = open(&disk).unwrap();
    assert!(matches!(journal.rotate(batch(b"snapshot"), 0), Err(JournalError::NoSpace)));
    disk.limit_space(None);
    journal.rotate(batch(b"snapshot"), 0).unwrap();
}

#[test]
fn an_open_that_the_disk_fails_can_be_repeated() {
    let disk = SimDisk::new();
    let mut recorded = begun(&disk);
    recorded.rotate().unwrap();
    recorded.append(300).unwrap();
    let crashed = disk.crash(&[windlass_embedded::disk::Fate::Kept; 64]);
    for operation in [Operation::Read, Operation::Write, Operation::Sync] {
        for nth in 1.. {
            let failing = crashed.fork();
            failing.fail_nth(operation, nth, false);
            if open(&failing).is_ok() {
                assert!(nth > 1 && failing.count(operation) < nth);
                break;
            }
            let (_, recovery, replay) = open(&failing).unwrap();
            recorded.history.check(&recovery, &replay);
        }
    }
}

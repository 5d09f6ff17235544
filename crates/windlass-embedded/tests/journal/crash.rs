//! Power cuts at every operation, with every combination of what reached the disk.

use std::sync::Arc;

use windlass_embedded::disk::{Fate, SimDisk, Unsynced};
use windlass_embedded::journal::{Journal, JournalError, JournalOptions, Recovery, verify};

use crate::support::{Dice, History, Recorded, begin_with_seed, open, open_with, small};

/// All combinations are tried up to this many un-synced operations, above it a sample of as many.
const EXHAUSTIVE_OPERATIONS: usize = 8;

/// Torn combinations tried for each crash point, beside the whole ones.
const TORN_SAMPLES: u64 = 48;

const SEED: u64 = 0x5eed_0001;

/// Rotation, reclaim, spares and their reuse within few operations.
fn workload(recorded: &mut Recorded) -> Result<(), JournalError> {
    recorded.rotate()?;
    recorded.append(100)?;
    recorded.sync()?;
    recorded.append(3000)?;
    recorded.append(10)?;
    recorded.rotate()?;
    recorded.append(700)?;
    recorded.sync()?;
    recorded.reclaim()?;
    recorded.append(40)?;
    recorded.rotate()?;
    recorded.append(600)?;
    recorded.sync()?;
    recorded.append(20)?;
    recorded.reclaim()?;
    recorded.rotate()?;
    recorded.append(5)?;
    recorded.sync()?;
    recorded.watermark()?;
    recorded.sync()
}

/// Runs the workload until the power goes after `operations` changes; answers the disk and what may be relied on.
fn run_until(operations: u64) -> (SimDisk, History, bool) {
    let disk = SimDisk::new();
    let (journal, _, _) = open(&disk).unwrap();
    disk.power_off_after(operations);
    let mut recorded = Recorded::new(journal, History::default(), "first");
    let finished = workload(&mut recorded).is_ok();
    (disk, recorded.history, finished)
}

/// Opens what a crash left, checks it, goes on, crashes again at once and checks that too.
fn check_crashed(crashed: &SimDisk, history: &History) {
    let (journal, recovery, replay) = open(crashed).unwrap();
    history.check(&recovery, &replay);
    let history = after_recovery(history, &journal, &recovery);
    let mut recorded = Recorded::new(journal, history, "second");
    recorded.rotate().unwrap();
    recorded.append(500).unwrap();
    recorded.sync().unwrap();
    recorded.append(500).unwrap();
    let again = crashed.crash(&[]);
    let (_, recovery, replay) = open(&again).unwrap();
    recorded.history.check(&recovery, &replay);
}

/// From here on everything that was replayed counts as acknowledged, and what was cut never existed.
fn after_recovery(history: &History, journal: &Journal, recovery: &Recovery) -> History {
    let mut history = history.clone();
    history.bodies.split_off(&(recovery.last_lsn + 1));
    history.acknowledged = recovery.last_lsn;
    let live: Vec<u32> = journal.segments().map(|segment| segment.sequence).collect();
    history.segments.retain(|sequence, _| live.contains(sequence));
    history
}

fn whole_fates(number: u64, operations: usize) -> Vec<Fate> {
    (0..operations).map(|bit| if number >> bit & 1 == 1 { Fate::Kept } else { Fate::Lost }).collect()
}

fn torn_fates(unsynced: &[Unsynced], dice: &mut Dice) -> Vec<Fate> {
    let torn = |operation: &Unsynced, dice: &mut Dice| {
        let Unsynced::Write { bytes, .. } = operation else {
            return if dice.roll(2) == 0 { Fate::Kept } else { Fate::Lost };
        };
        let anywhere = dice.roll(*bytes as u64 + 1) as usize;
        let at_sector = (anywhere / 512 * 512).max(512.min(*bytes));
        match dice.roll(6) {
            0 => Fate::Kept,
            1 => Fate::Lost,
            2 => Fate::Prefix(anywhere),
            3 => Fate::Prefix(at_sector),
            4 => Fate::Suffix(anywhere),
            _ => Fate::Suffix(at_sector),
        }
    };
    unsynced.iter().map(|operation| torn(operation, dice)).collect()
}

/// Calls `check` with every crash state of the workload: after each operation, each combination of fates.
fn each_crash_state(mut check: impl FnMut(u64, &SimDisk, &History)) -> u64 {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let mut states = 0;
    for operations in 0.. {
        let (disk, history, finished) = run_until(operations);
        let unsynced = disk.unsynced();
        let combinations = 1_u64 << unsynced.len().min(EXHAUSTIVE_OPERATIONS);
        for number in 0..combinations {
            let exhaustive = unsynced.len() <= EXHAUSTIVE_OPERATIONS;
            let number = if exhaustive { number } else { dice.roll(1 << unsynced.len()) };
            check(operations, &disk.crash(&whole_fates(number, unsynced.len())), &history);
        }
        for _ in 0..TORN_SAMPLES {
            check(operations, &disk.crash(&torn_fates(&unsynced, &mut dice)), &history);
        }
        states += combinations + TORN_SAMPLES;
        if finished {
            assert!(operations > 30, "the workload is too short to prove anything");
            return states;
        }
    }
    unreachable!("the workload ends")
}

#[test]
fn no_power_cut_loses_an_acknowledged_batch_or_brings_a_dead_one_back() {
    let states = each_crash_state(|operations, crashed, history| {
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check_crashed(crashed, history)));
        assert!(outcome.is_ok(), "after {operations} operations: {crashed:?}");
    });
    println!("{states} crash states");
}

#[test]
fn recovery_may_be_interrupted_anywhere_and_comes_to_the_same_end() {
    let mut dice = Dice(SEED);
    let mut number = 0;
    each_crash_state(|operations, crashed, history| {
        number += 1;
        // Every tenth state, with every point of its recovery: the others differ little.
        if number % 10 != 0 {
            return;
        }
        let whole = crashed.fork();
        let (_, recovery, replay) = open(&whole).unwrap();
        for interrupted_after in 0..whole.changes() {
            let interrupted = crashed.fork();
            interrupted.power_off_after(interrupted_after);
            assert!(open(&interrupted).is_err(), "the power was off");
            let fates = torn_fates(&interrupted.unsynced(), &mut dice);
            let again = interrupted.crash(&fates);
            let (_, recovery_again, replay_again) =
                open(&again).unwrap_or_else(|error| panic!("after {operations} operations: {error}"));
            assert_eq!(replay_again, replay, "after {operations} operations");
            assert_eq!(recovery_again.last_lsn, recovery.last_lsn);
            history.check(&recovery_again, &replay_again);
        }
    });
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    for operations in 0.. {
        let (disk, history, finished) = run_until(operations);
        let unsynced = disk.unsynced();
        // The process ends, the system goes on: every write is still there, torn only at the one that was refused.
        let survived = disk.crash(&vec![Fate::Kept; unsynced.len()]);
        check_crashed(&survived, &history);
        if finished {
            return;
        }
    }
}

#[test]
fn what_a_start_relied_on_survives_a_power_cut_after_it() {
    for operations in 0.. {
        let (disk, _, finished) = run_until(operations);
        // A restart of the process alone: what was written but never synced is seen, and then relied on.
        let disk = disk.fork();
        disk.power_on();
        let (journal, recovery, replay) = open(&disk).unwrap();
        drop(journal);
        let (_, recovery_after, replay_after) = open(&disk.crash(&[])).unwrap();
        assert_eq!(replay_after, replay, "after {operations} operations");
        assert_eq!(recovery_after.last_lsn, recovery.last_lsn);
        if finished {
            return;
        }
    }
}

/// The snapshot of the second segment is torn, what follows it is whole; the file is used again for the same number.
#[test]
fn what_was_cut_does_not_come_back_when_its_file_and_number_are_used_again() {
    let options = || JournalOptions { segment_bytes_min: 16384, spares: 0, ..small() };
    let disk = SimDisk::new();
    let open = |disk: &SimDisk, salt| open_with(Arc::new(disk.clone()), options(), salt).unwrap();
    let (journal, _, _) = open(&disk, 1);
    let mut recorded = Recorded::new(journal, History::default(), "first");
    recorded.rotate().unwrap();
    recorded.sync().unwrap();
    recorded.rotate().unwrap();
    // Ends with its page, so that the zeros behind the batch that takes its place do not cover what follows.
    recorded.append(4096 - 96 - 32).unwrap();
    recorded.append(100).unwrap();
    let unsynced = disk.unsynced();
    let snapshot = unsynced.iter().position(|o| matches!(o, Unsynced::Write { offset: 4096, .. })).unwrap();
    let mut fates = vec![Fate::Kept; unsynced.len()];
    fates[snapshot] = Fate::Prefix(70);
    let crashed = disk.crash(&fates);

    let (journal, recovery, replay) = open(&crashed, 2);
    assert_eq!((recovery.last_lsn, recovery.torn_segments), (1, 1));
    recorded.history.check(&recovery, &replay);
    let mut history = recorded.history;
    history.bodies.split_off(&2);
    history.segments.remove(&2);
    let mut recorded = Recorded::new(journal, history, "after");
    recorded.rotate().unwrap();
    recorded.append(4096 - 96 - 32).unwrap();
    recorded.sync().unwrap();
    assert_eq!(recorded.journal.next_position().offset, 8192);
    let again = crashed.crash(&[]);
    let newest = verify(&again, &mut |_, _| ()).unwrap().segments.pop().unwrap();
    assert_eq!(&again.bytes(&newest.file)[8192..8195], b"WLB", "the old batch is still there");
    let (_, recovery, replay) = open(&again, 3);
    recorded.history.check(&recovery, &replay);
    assert_eq!(recovery.last_lsn, 3);
}

/// Stores that live several lives, each ended by a power cut at a random moment, some during recovery.
#[test]
fn no_row_of_random_lives_and_power_cuts_loses_anything() {
    const STORES: u64 = 1000;
    const LIVES: u64 = 8;
    println!("seeds {SEED:#x} to {:#x}", SEED + STORES - 1);
    for seed in SEED..SEED + STORES {
        let outcome = std::panic::catch_unwind(|| {
            begin_with_seed(seed);
            let mut dice = Dice(seed);
            let (mut disk, mut history) = (SimDisk::new(), History::default());
            for life in 0..LIVES {
                disk.power_off_after(dice.roll(60));
                history = live_once(&disk, history, &format!("life {life}"), &mut dice);
                disk = disk.crash(&torn_fates(&disk.unsynced(), &mut dice));
            }
            let (_, recovery, replay) = open(&disk).unwrap();
            history.check(&recovery, &replay);
        });
        assert!(outcome.is_ok(), "seed {seed:#x}");
    }
}

/// Opens, checks, and works at random until the power goes; answers what may be relied on then.
fn live_once(disk: &SimDisk, history: History, life: &str, dice: &mut Dice) -> History {
    assert_eq!(verify(disk, &mut |_, _| ()).unwrap().problems, []);
    let Ok((journal, recovery, replay)) = open(disk) else { return history };
    history.check(&recovery, &replay);
    let history = after_recovery(&history, &journal, &recovery);
    let mut recorded = Recorded::new(journal, history, life);
    let mut outcome = recorded.rotate();
    while outcome.is_ok() {
        let bytes = dice.roll(3000) as usize;
        outcome = match dice.roll(10) {
            0 => recorded.rotate(),
            1 if recorded.history.segments.len() > 1 => recorded.reclaim(),
            2..=4 => recorded.sync(),
            5 => recorded.watermark(),
            _ if recorded.journal.remaining() as usize > bytes + 200 => recorded.append(bytes),
            _ => recorded.rotate(),
        };
    }
    recorded.history
}

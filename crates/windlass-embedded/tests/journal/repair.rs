//! Cutting a damaged journal: it opens again, nothing vanishes without being named, and the cut bytes are kept.

use windlass_embedded::disk::{Disk, SimDisk};
use windlass_embedded::journal::{OpenError, repair, verify};

use crate::support::{History, Recorded, open};

/// Three segments of acknowledged batches, and the file of each.
fn three_segments() -> (SimDisk, History, Vec<String>) {
    let disk = SimDisk::new();
    let (journal, _, _) = open(&disk).unwrap();
    let mut recorded = Recorded::new(journal, History::default(), "only");
    for _ in 0..3 {
        recorded.rotate().unwrap();
        recorded.append(200).unwrap();
        recorded.sync().unwrap();
        recorded.append(50).unwrap();
        recorded.sync().unwrap();
    }
    recorded.watermark().unwrap();
    recorded.sync().unwrap();
    let report = verify(&disk, &mut |_, _| ()).unwrap();
    let files = report.segments.iter().map(|segment| segment.file.clone()).collect();
    assert_eq!((report.problems.len(), report.torn_bytes, report.last_lsn), (0, 0, 10));
    (disk.crash(&[]), recorded.history, files)
}

fn open_after_repair(disk: &SimDisk, history: &History, last_lsn: u64) {
    let (journal, recovery, replay) = open(disk).unwrap();
    assert_eq!(recovery.last_lsn, last_lsn);
    let mut history = history.clone();
    history.acknowledged = last_lsn;
    history.check(&recovery, &replay);
    history.bodies.split_off(&(last_lsn + 1));
    let mut recorded = Recorded::new(journal, history, "after");
    recorded.rotate().unwrap();
    recorded.append(100).unwrap();
    recorded.sync().unwrap();
    let (_, recovery, replay) = open(&disk.crash(&[])).unwrap();
    recorded.history.check(&recovery, &replay);
}

#[test]
fn a_damaged_batch_is_cut_with_everything_behind_it_and_kept_in_salvage_files() {
    let (disk, history, files) = three_segments();
    // Batch 5 stands behind the snapshot of the second segment: 96 bytes of header and body.
    disk.flip_bit(&files[1], 4096 + 96 + 40, 0);
    let problems = verify(&disk, &mut |_, _| ()).unwrap().problems;
    assert_eq!(problems.iter().map(|problem| problem.lsn).collect::<Vec<_>>(), [5]);
    let report = repair(&disk).unwrap();
    assert_eq!(report.last_lsn, 4);
    let dropped: Vec<(u32, u64, u64)> =
        report.cuts.iter().map(|cut| (cut.segment, cut.batches, cut.last_lsn)).collect();
    assert_eq!(dropped, [(2, 1, 6), (3, 4, 10)]);
    for cut in &report.cuts {
        let kept = disk.crash(&[]).bytes(cut.salvaged_to.as_ref().unwrap());
        assert_eq!(kept.len() as u64, cut.bytes);
        let text = String::from_utf8_lossy(&kept).into_owned();
        assert!(text.contains(&format!("only {} ", cut.last_lsn.min(9))), "{cut:?}");
    }
    assert_eq!(verify(&disk, &mut |_, _| ()).unwrap().problems, []);
    open_after_repair(&disk, &history, 4);
}

#[test]
fn a_segment_without_a_header_is_set_aside_and_what_follows_is_cut() {
    let (disk, history, files) = three_segments();
    disk.flip_bit(&files[1], 50, 0);
    disk.flip_bit(&files[1], 2048 + 50, 0);
    let report = repair(&disk).unwrap();
    assert_eq!(report.cuts[0].file, files[1]);
    assert!(disk.list().unwrap().contains(report.cuts[0].salvaged_to.as_ref().unwrap()));
    assert_eq!(report.cuts.last().unwrap().segment, 3);
    assert_eq!(report.last_lsn, 3);
    open_after_repair(&disk, &history, 3);
}

#[test]
fn a_file_that_was_cut_short_keeps_what_is_left_of_it() {
    let (disk, history, files) = three_segments();
    // Within the second of the three batches of the last segment.
    disk.set_bytes(&files[2], disk.bytes(&files[2])[..4096 + 96 + 50].to_vec());
    let report = repair(&disk).unwrap();
    assert_eq!((report.last_lsn, report.cuts.len()), (7, 2));
    assert_eq!(report.cuts.iter().map(|cut| cut.segment).collect::<Vec<_>>(), [3, 3]);
    open_after_repair(&disk, &history, 7);
}

#[test]
fn a_foreign_file_is_never_repaired() {
    let (disk, _, _) = three_segments();
    disk.set_bytes("000777.wlj", vec![b'x'; 9000]);
    let before: Vec<Vec<u8>> = disk.list().unwrap().iter().map(|name| disk.bytes(name)).collect();
    assert!(matches!(repair(&disk), Err(OpenError::Foreign { .. })));
    assert_eq!(disk.list().unwrap().iter().map(|name| disk.bytes(name)).collect::<Vec<_>>(), before);
}

#[test]
fn a_journal_without_damage_is_not_touched_by_repair() {
    let (disk, history, _) = three_segments();
    let names = disk.list().unwrap();
    let before: Vec<Vec<u8>> = names.iter().map(|name| disk.bytes(name)).collect();
    let report = repair(&disk).unwrap();
    assert_eq!((report.cuts, report.last_lsn), (vec![], 10));
    assert_eq!(disk.list().unwrap(), names);
    assert_eq!(names.iter().map(|name| disk.bytes(name)).collect::<Vec<_>>(), before);
    open_after_repair(&disk, &history, 10);
}

#[test]
fn an_interrupted_repair_can_be_repeated() {
    let (disk, history, files) = three_segments();
    disk.flip_bit(&files[1], 4096 + 96 + 40, 0);
    for interrupted_after in 0.. {
        let interrupted = disk.fork();
        interrupted.power_off_after(interrupted_after);
        let finished = repair(&interrupted).is_ok();
        let again = interrupted.crash(&[]);
        repair(&again).unwrap();
        open_after_repair(&again, &history, 4);
        if finished {
            assert!(interrupted_after > 10);
            return;
        }
    }
}

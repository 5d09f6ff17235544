//! Damage to bytes that were durable: seen and refused, or without effect, never a silent loss.

use std::sync::Arc;

use windlass_embedded::disk::{Disk, Fate, SimDisk};
use windlass_embedded::journal::{OpenError, verify};

use crate::support::{History, Recorded, open, open_with, small};

/// A closed journal of two segments; its last batch states that all before it are durable.
fn closed_journal() -> (SimDisk, History) {
    let disk = SimDisk::new();
    let (journal, _, _) = open(&disk).unwrap();
    let mut recorded = Recorded::new(journal, History::default(), "only");
    recorded.rotate().unwrap();
    for bytes in [1, 300, 8] {
        recorded.append(bytes).unwrap();
    }
    recorded.sync().unwrap();
    recorded.rotate().unwrap();
    recorded.append(100).unwrap();
    recorded.sync().unwrap();
    recorded.append(31).unwrap();
    recorded.sync().unwrap();
    recorded.watermark().unwrap();
    recorded.sync().unwrap();
    let mut history = recorded.history;
    // The watermark itself is stated by nothing after it: it alone may be cut.
    history.acknowledged -= 1;
    (disk, history)
}

fn live_files(disk: &SimDisk) -> Vec<String> {
    let report = verify(disk, &mut |_, _| ()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.segments.len(), 2);
    report.segments.into_iter().map(|segment| segment.file).collect()
}

/// Opens a damaged disk; whatever is not refused must be the history.
fn check(damaged: &SimDisk, history: &History, what: &str) -> bool {
    let report = verify(damaged, &mut |_, _| ()).unwrap();
    match open(damaged) {
        Ok((_, recovery, replay)) => {
            history.check(&recovery, &replay);
            assert_eq!(report.problems, [], "{what}");
            false
        }
        Err(OpenError::Corrupt { .. } | OpenError::Foreign { .. }) => {
            assert_ne!(report.problems, [], "{what}");
            true
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn every_flipped_byte_is_refused_or_has_no_effect() {
    let (disk, history) = closed_journal();
    let mut refused = 0;
    for name in live_files(&disk) {
        for offset in 0..disk.bytes(&name).len() {
            let damaged = disk.crash(&[]);
            damaged.flip_bit(&name, offset, (offset % 8) as u8);
            refused += u32::from(check(&damaged, &history, &format!("{name} byte {offset}")));
        }
    }
    assert!(refused > 500, "only {refused} flips were refused");
}

#[test]
fn a_file_cut_at_any_length_is_refused_or_loses_nothing_that_was_acknowledged() {
    let (disk, history) = closed_journal();
    let mut refused = 0;
    for name in live_files(&disk) {
        let whole = disk.bytes(&name);
        for len in 0..whole.len() {
            let damaged = disk.crash(&[]);
            damaged.set_bytes(&name, whole[..len].to_vec());
            refused += u32::from(check(&damaged, &history, &format!("{name} cut at {len}")));
        }
    }
    assert!(refused > 8000, "only {refused} cuts were refused");
}

#[test]
fn a_zeroed_sector_or_page_is_refused_or_has_no_effect() {
    let (disk, history) = closed_journal();
    let mut refused = 0;
    for name in live_files(&disk) {
        for size in [512, 4096] {
            for start in (0..disk.bytes(&name).len()).step_by(size) {
                let damaged = disk.crash(&[]);
                let mut bytes = disk.bytes(&name);
                bytes[start..start + size].fill(0);
                damaged.set_bytes(&name, bytes);
                let what = format!("{name}: {size} zeros at {start}");
                refused += u32::from(check(&damaged, &history, &what));
            }
        }
    }
    assert!(refused >= 5, "only {refused} were refused");
}

#[test]
fn a_write_that_went_to_the_wrong_place_is_refused() {
    let (disk, history) = closed_journal();
    let names = live_files(&disk);
    let (first, second) = (disk.bytes(&names[0]), disk.bytes(&names[1]));
    let damaged = disk.crash(&[]);
    let mut misdirected = first.clone();
    misdirected[4096..].copy_from_slice(&second[4096..first.len()]);
    damaged.set_bytes(&names[0], misdirected);
    assert!(check(&damaged, &history, "batches of another segment"));
}

#[test]
fn a_missing_segment_is_refused() {
    let (disk, history) = closed_journal();
    let (journal, recovery, replay) = open(&disk).unwrap();
    history.check(&recovery, &replay);
    let mut recorded = Recorded::new(journal, history, "later");
    recorded.rotate().unwrap();
    recorded.sync().unwrap();
    let names: Vec<String> =
        verify(&disk, &mut |_, _| ()).unwrap().segments.into_iter().map(|s| s.file).collect();
    let damaged = disk.crash(&[]);
    damaged.remove(&names[1]).unwrap();
    assert!(check(&damaged, &recorded.history, "the middle segment"));
}

#[test]
fn damage_above_everything_stated_durable_is_cut_as_a_torn_tail() {
    let (disk, mut history) = closed_journal();
    let (journal, recovery, _) = open(&disk).unwrap();
    history.bodies.retain(|lsn, _| *lsn <= recovery.last_lsn);
    let mut recorded = Recorded::new(journal, history, "later");
    recorded.rotate().unwrap();
    recorded.append(300).unwrap();
    let end = recorded.journal.next_position();
    let newest = verify(&disk, &mut |_, _| ()).unwrap().segments.pop().unwrap();
    assert_eq!(newest.sequence, end.segment);
    let torn = disk.crash(&[Fate::Kept; 64]);
    torn.flip_bit(&newest.file, end.offset as usize - 20, 3);
    let (_, recovered, replay) = open(&torn).unwrap();
    recorded.history.check(&recovered, &replay);
    assert_eq!(recovered.last_lsn, recovery.last_lsn + 1);
    assert_eq!(recovered.torn_bytes, 336);
}

#[test]
fn one_damaged_copy_of_a_header_costs_nothing_and_is_healed() {
    let (disk, history) = closed_journal();
    for name in disk.list().unwrap() {
        for copy in [0, 2048] {
            let damaged = disk.crash(&[]);
            damaged.flip_bit(&name, copy + 40, 2);
            assert_eq!(verify(&damaged, &mut |_, _| ()).unwrap().warnings.len(), 1);
            let (_, recovery, replay) = open(&damaged).unwrap();
            history.check(&recovery, &replay);
            let is_live = live_files(&disk).contains(&name);
            assert_eq!(recovery.healed_headers.contains(&name), is_live);
            let healed = damaged.crash(&[]);
            assert_eq!(verify(&healed, &mut |_, _| ()).unwrap().warnings, [""; 0], "{name} {copy}");
        }
    }
}

#[test]
fn a_lost_second_copy_cannot_hide_that_the_first_batch_was_durable() {
    let (disk, history) = closed_journal();
    let newest = live_files(&disk).pop().unwrap();
    disk.flip_bit(&newest, 2048 + 40, 2);
    // All batches of the newest segment, and with them every other statement, are gone too.
    let mut bytes = disk.bytes(&newest);
    bytes[4096..].fill(0);
    disk.set_bytes(&newest, bytes);
    assert!(check(&disk, &history, "second copy and all batches"));
}

#[test]
fn a_refused_journal_is_left_as_it_was() {
    let (disk, _) = closed_journal();
    let names = live_files(&disk);
    let damaged = disk.crash(&[]);
    damaged.flip_bit(&names[0], 4200, 1);
    let before: Vec<Vec<u8>> = damaged.list().unwrap().iter().map(|name| damaged.bytes(name)).collect();
    let error = open(&damaged).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("windlass doctor --repair simulated"), "{text}");
    assert!(text.contains(&names[0]), "{text}");
    let after: Vec<Vec<u8>> = damaged.list().unwrap().iter().map(|name| damaged.bytes(name)).collect();
    assert_eq!(before, after);
}

#[test]
fn a_newer_format_is_refused_with_both_versions_named() {
    let (disk, _) = closed_journal();
    let names = live_files(&disk);
    for version in [0_u32, 2] {
        let newer = disk.crash(&[]);
        let mut bytes = newer.bytes(&names[1]);
        for copy in [0, 2048] {
            bytes[copy + 8..copy + 12].copy_from_slice(&version.to_le_bytes());
            let crc = crc32c(&bytes[copy..copy + 252]);
            bytes[copy + 252..copy + 256].copy_from_slice(&crc.to_le_bytes());
        }
        newer.set_bytes(&names[1], bytes);
        match open(&newer).unwrap_err() {
            OpenError::NewerFormat { found: 2, supported: 1, file, .. } => assert_eq!(file, names[1]),
            OpenError::Foreign { reason, .. } if version == 0 => {
                assert!(reason.contains("format 0"), "{reason}")
            }
            other => panic!("version {version}: {other}"),
        }
    }
}

#[test]
fn a_file_of_another_store_is_refused() {
    let (disk, _) = closed_journal();
    let other = SimDisk::new();
    let (mut journal, _, _) = open_with(Arc::new(other.clone()), small(), 0xffff).unwrap();
    journal.rotate(crate::support::batch(b"other"), 0).unwrap();
    let stranger = other.list().unwrap()[0].clone();
    disk.set_bytes("000777.wlj", other.bytes(&stranger));
    let error = open(&disk).unwrap_err();
    assert!(matches!(&error, OpenError::Foreign { file, .. } if file == "000777.wlj"), "{error}");
    let (disk, _) = closed_journal();
    disk.set_bytes("000777.wlj", vec![b'x'; 9000]);
    let error = open(&disk).unwrap_err();
    assert!(matches!(&error, OpenError::Foreign { file, .. } if file == "000777.wlj"), "{error}");
}

/// CRC-32C bit by bit, so that the tests do not lean on the code that they test.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

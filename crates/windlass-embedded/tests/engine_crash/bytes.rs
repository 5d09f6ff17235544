//! Recovery at every byte of a short journal: cut there, and flipped there.
//!
//! The journal is that of a store which did one verb after the other, each acknowledged. Cut at a length, it is what a
//! power cut would have left when that much was written: everything acknowledged before must be there. Flipped after
//! an orderly close, every byte is known to be durable: the store is whole, or it is refused.

use crate::dump::{difference, dump};
use crate::script::{KINDS, START, Told, block_on, options, tell};
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_core::Time;
use windlass_embedded::clock::ManualClock;
use windlass_embedded::disk::{Disk, MemoryDisk, SimDisk};
use windlass_embedded::journal::OpenError as JournalOpenError;
use windlass_embedded::{EmbeddedStore, OpenError};

const STEPS: u64 = KINDS + 11;
const SEED: u64 = 0x6279_7465_7300;
/// Holds the whole script, the room for what its schedule may cause included.
const SEGMENT_BYTES: u32 = 2 << 20;
/// Bytes of the header page that no copy of the header covers are flipped only here and there.
const UNUSED_STEP: usize = 16;
/// Between two verbs every cut is opened, and every so-manieth compared in full; at the borders all are.
const COMPARED_IN_FULL: usize = 23;

/// Files by name, without the zeros behind what was written.
type Image = BTreeMap<String, (Vec<u8>, u64)>;

fn image(disk: &SimDisk) -> Image {
    let names = disk.list().unwrap();
    let one = |name: String| {
        let mut bytes = disk.bytes(&name);
        let whole = bytes.len() as u64;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        (name, (bytes, whole))
    };
    names.into_iter().map(one).collect()
}

fn open(image: &Image, at: Time) -> Result<EmbeddedStore, OpenError> {
    let disk = MemoryDisk::new();
    for (name, (bytes, whole)) in image {
        let file = disk.create(name, *whole).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    }
    EmbeddedStore::on_disk(Arc::new(disk), options(ManualClock::new(at), 99))
}

/// A journal of one segment with the length it had after each step.
struct Written {
    segment: String,
    told: Vec<Told>,
    lengths: Vec<usize>,
    before_close: Image,
    closed: Image,
}

fn write() -> Written {
    println!("seed {SEED:#x}");
    let disk = SimDisk::new();
    let (looked, mut images) = (disk.clone(), Vec::new());
    let told =
        block_on(tell(Arc::new(disk.clone()), SEED, SEGMENT_BYTES, STEPS, || images.push(image(&looked))));
    let used = |image: &Image| image.iter().filter(|(_, (bytes, _))| bytes.len() > 8_192).count();
    let before_close = images.last().expect("one for each step").clone();
    let lengths: Vec<_> =
        before_close.iter().map(|(name, (bytes, whole))| (name, bytes.len(), whole)).collect();
    assert!(used(&before_close) <= 1, "the script must stay in one segment: {lengths:?}");
    let longest = before_close.iter().max_by_key(|(_, (bytes, _))| bytes.len()).expect("a segment");
    let segment = longest.0.clone();
    let lengths = images.iter().map(|image| image[&segment].0.len()).collect();
    Written { segment, told, lengths, before_close, closed: image(&disk) }
}

#[test]
fn cut_at_any_byte_the_store_holds_everything_acknowledged_by_then() {
    let written = write();
    let (bytes, whole) = written.before_close[&written.segment].clone();
    let mut compared = 0;
    for length in written.lengths[0]..=bytes.len() {
        // Padding at the end of a batch reads as zeros: the length that matters is that of the last whole step.
        let step =
            written.lengths.iter().rposition(|end| *end <= length).expect("the empty store comes first");
        let mut cut = written.before_close.clone();
        cut.insert(written.segment.clone(), (bytes[..length].to_vec(), whole));
        let store = open(&cut, written.told[step].at).unwrap_or_else(|why| panic!("cut at {length}: {why}"));
        let at_border = written.lengths.iter().any(|end| length.abs_diff(*end) <= 1);
        if at_border || length % COMPARED_IN_FULL == 0 {
            let text = block_on(dump(&store)).unwrap();
            // The last bytes of a batch may be zeros, so that the next step is whole a little earlier.
            let next = (step + 1).min(written.told.len() - 1);
            let mut allowed = written.told[step..=next].iter();
            assert!(
                allowed.any(|told| told.text == text),
                "cut at {length}, after step {step}:\n{}",
                difference(&written.told[step].text, &text)
            );
            compared += 1;
        }
    }
    assert!(compared > STEPS, "{compared} cuts were compared");
    println!("{} cuts, {compared} compared in full", bytes.len() + 1 - written.lengths[0]);
}

#[test]
fn cut_short_the_file_is_refused() {
    let written = write();
    let (bytes, whole) = written.closed[&written.segment].clone();
    for length in (0..bytes.len()).step_by(97).chain([4_096, bytes.len()]) {
        let mut cut = written.closed.clone();
        cut.insert(written.segment.clone(), (bytes[..length].to_vec(), length as u64));
        assert!((length as u64) < whole);
        match open(&cut, START) {
            Err(OpenError::Journal(JournalOpenError::Corrupt { .. } | JournalOpenError::Foreign { .. })) => {}
            Err(why) => panic!("{length} bytes of {whole}: {why}"),
            Ok(_) => panic!("{length} bytes of {whole}: the store opened"),
        }
    }
}

#[test]
fn flipped_at_any_byte_a_closed_store_is_whole_or_refused() {
    let written = write();
    let last = written.told.last().expect("the last step");
    let (bytes, whole) = written.closed[&written.segment].clone();
    let is_unused = |at: &usize| *at < 4_096 && at % 2_048 >= 256 && !at.is_multiple_of(UNUSED_STEP);
    let flipped: Vec<usize> = (0..bytes.len()).filter(|at| !is_unused(at)).collect();
    let mut opened = 0;
    for at in &flipped {
        let mut damaged = bytes.clone();
        damaged[*at] ^= if at % 2 == 0 { 1 << (at / 2 % 8) } else { 0xff };
        let mut image = written.closed.clone();
        image.insert(written.segment.clone(), (damaged, whole));
        match open(&image, last.at) {
            Err(OpenError::Journal(JournalOpenError::Corrupt { .. } | JournalOpenError::Foreign { .. })) => {}
            Err(why) => panic!("byte {at} flipped: {why}"),
            Ok(store) => {
                let text = block_on(dump(&store)).unwrap();
                assert!(text == last.text, "byte {at}: {}", difference(&last.text, &text));
                opened += 1;
            }
        }
    }
    println!("{} bytes flipped, {opened} of them without harm", flipped.len());
    assert!(opened > 0 && opened * 2 < flipped.len(), "most bytes carry facts");
}

//! Ordinary life: appending, reading back, rotating, giving back, and starting again; with threads, in memory and on
//! a real disk.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use windlass_embedded::disk::{Disk, DiskFile, FileDisk, MemoryDisk, SimDisk};
use windlass_embedded::journal::{
    BATCH_HEADER_BYTES, JournalError, JournalOptions, Position, ReadError, Replayed, SEGMENT_HEADER_BYTES,
    verify,
};

use crate::support::{Dice, History, Recorded, batch, entropy, open, open_with, small};

fn threaded() -> JournalOptions {
    JournalOptions {
        segment_bytes_min: 64 * 1024,
        segment_bytes_max: 256 * 1024,
        tail_cache_bytes: 16 * 1024,
        ..JournalOptions::default()
    }
}

/// Appends, rotates and gives back at random, reading everything back along the way; then starts again and compares.
fn live_through(disk: Arc<dyn Disk>, seed: u64) {
    println!("seed {seed:#x}");
    let mut dice = Dice(seed);
    let mut history = History::default();
    for life in ["first", "second", "third"] {
        let (journal, recovery, replay) =
            open_with(Arc::clone(&disk), threaded(), dice.roll(1 << 40)).unwrap();
        history.check(&recovery, &replay);
        let live: Vec<u32> = journal.segments().map(|segment| segment.sequence).collect();
        for sequence in &live {
            history.segments.entry(*sequence).or_insert(0);
        }
        let mut recorded = Recorded::new(journal, history, life);
        recorded.rotate().unwrap();
        let reader = recorded.journal.reader();
        let mut places = Vec::new();
        for _ in 0..400 {
            let largest = if dice.roll(10) == 0 { 30_000 } else { 900 };
            let bytes = 1 + dice.roll(largest) as usize;
            if u64::from(recorded.journal.remaining()) < bytes as u64 + 200 {
                recorded.rotate().unwrap();
            }
            let (lsn, position) = (recorded.journal.next_lsn(), recorded.journal.next_position());
            recorded.append(bytes).unwrap();
            places.push((lsn, position));
            if dice.roll(4) == 0 {
                recorded.sync().unwrap();
            }
            if recorded.history.segments.len() > 4 {
                let oldest = *recorded.history.segments.keys().next().unwrap();
                recorded.reclaim().unwrap();
                places.retain(|(_, position)| position.segment != oldest);
                let gone = reader.read(Position::start_of(oldest), 8);
                assert!(matches!(gone, Err(ReadError::Gone)), "{gone:?}");
            }
            let (lsn, position) = places[dice.roll(places.len() as u64) as usize];
            let body = &recorded.history.bodies[&lsn];
            let from = dice.roll(body.len() as u64) as usize;
            let body_at =
                Position { offset: position.offset + BATCH_HEADER_BYTES as u32 + from as u32, ..position };
            assert_eq!(reader.read(body_at, body.len() - from).unwrap(), body[from..], "batch {lsn}");
        }
        recorded.sync().unwrap();
        // Everything that is live can be read in order, in small runs.
        let oldest = recorded.journal.segments().next().unwrap().sequence;
        let mut from = Position::start_of(oldest);
        let mut read = Vec::new();
        loop {
            let run = reader.batches(from, 5000).unwrap();
            if run.batches.is_empty() {
                break;
            }
            from = run.next;
            read.extend(run.batches);
        }
        assert_eq!(read.last().unwrap().lsn, recorded.history.acknowledged);
        assert!(read.windows(2).all(|pair| pair[1].lsn == pair[0].lsn + 1));
        assert!(read.iter().all(|batch| recorded.history.bodies[&batch.lsn] == batch.body));
        history = recorded.history;
    }
}

#[test]
fn a_journal_in_memory_gives_back_what_it_was_given() {
    live_through(Arc::new(MemoryDisk::new()), 0x11fe);
}

#[test]
fn a_journal_on_a_real_disk_gives_back_what_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    live_through(Arc::new(FileDisk::open(&directory.path().join("store"), true).unwrap()), 0x22fe);
}

#[test]
fn batches_larger_than_what_is_read_at_once_are_replayed_whole() {
    const SEED: u64 = 0x33fe;
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let options = JournalOptions { segment_bytes_min: 24 << 20, ..JournalOptions::default() };
    let (journal, _, _) = open_with(Arc::clone(&disk), options.clone(), 1).unwrap();
    let mut recorded = Recorded::new(journal, History::default(), "only");
    recorded.rotate().unwrap();
    for largest in [9 << 20, 100, 5 << 20, 40_000, 3 << 20, 8 << 20, 1000, 6 << 20] {
        for bytes in [dice.roll(largest) as usize, largest as usize] {
            if recorded.journal.remaining() < bytes as u32 + 200 {
                recorded.rotate().unwrap();
            }
            recorded.append(bytes).unwrap();
        }
    }
    recorded.sync().unwrap();
    let history = recorded.history;
    drop(recorded.journal);
    for inline_spares in [true, false] {
        let options = JournalOptions { inline_spares, ..options.clone() };
        let (_, recovery, replay) = open_with(Arc::clone(&disk), options, 2).unwrap();
        history.check(&recovery, &replay);
        assert!(recovery.segments > 2);
    }
}

#[test]
fn a_batch_is_shown_with_its_place_and_the_newest_snapshot_before_all() {
    let disk = SimDisk::new();
    let (mut journal, recovery, _) = open(&disk).unwrap();
    assert!(recovery.fresh);
    assert_eq!((journal.next_position(), journal.remaining()), (Position::start_of(1), 0));
    assert!(matches!(journal.append(batch(b"early")), Err(JournalError::NotBegun)));
    journal.rotate(batch(b"snapshot"), 0).unwrap();
    let expected = journal.next_position();
    let appended = journal.append(batch(b"fact")).unwrap();
    assert_eq!((appended.position, appended.lsn), (expected, 2));
    assert_eq!(&appended.bytes[BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + 4], b"fact");
    assert_eq!(expected.offset, SEGMENT_HEADER_BYTES + 40);
    journal.syncer().sync().unwrap();
    let store_id = journal.store_id();
    drop(journal);

    let mut shown = Vec::new();
    let mut entropy = entropy();
    let opened = windlass_embedded::journal::Journal::open(
        Arc::new(disk.clone()),
        small(),
        &mut entropy,
        &mut |replayed| {
            shown.push(match replayed {
                Replayed::Outlook { body } => format!("outlook {}", String::from_utf8_lossy(body)),
                Replayed::End => "end".to_owned(),
                Replayed::Segment { sequence } => format!("segment {sequence}"),
                Replayed::Batch { position, lsn, snapshot, body } => {
                    let body = String::from_utf8_lossy(body);
                    format!("{lsn} at {} {snapshot} {body}", position.offset)
                }
            });
            Ok(())
        },
    );
    let (journal, recovery) = opened.unwrap();
    assert_eq!(
        shown,
        ["outlook snapshot", "segment 1", "1 at 4096 true snapshot", "2 at 4136 false fact", "end"]
    );
    assert_eq!((recovery.segments, recovery.batches, recovery.last_lsn), (1, 2, 2));
    assert_eq!((recovery.store_id, recovery.fresh, recovery.torn_bytes), (store_id, false, 0));
    assert_eq!(journal.next_position(), Position::start_of(2));
}

#[test]
fn readers_of_batches_see_only_what_is_durable() {
    let (mut journal, _, _) = open(&SimDisk::new()).unwrap();
    let reader = journal.reader();
    journal.rotate(batch(b"snapshot"), 0).unwrap();
    journal.syncer().sync().unwrap();
    journal.append(batch(b"fact")).unwrap();
    let start = Position::start_of(1);
    assert_eq!(reader.batches(start, 1000).unwrap().batches.len(), 1);
    assert_eq!(reader.batches_up_to(start, 1000, 2).unwrap().batches.len(), 2);
    journal.syncer().sync().unwrap();
    let run = reader.batches(start, 1000).unwrap();
    assert_eq!(run.batches.len(), 2);
    assert_eq!(run.batches[1].body, b"fact");
    assert!(run.batches[0].snapshot && !run.batches[1].snapshot);
    let rest = reader.batches(run.next, 1000).unwrap();
    assert_eq!((rest.batches.len(), rest.next), (0, run.next));
}

#[test]
fn a_reader_waits_at_the_end_and_goes_on_across_a_rotation() {
    let (mut journal, _, _) = open(&SimDisk::new()).unwrap();
    let reader = journal.reader();
    journal.rotate(batch(b"snapshot 1"), 0).unwrap();
    journal.syncer().sync().unwrap();
    let at_end = reader.batches(Position::start_of(1), 1000).unwrap().next;
    journal.append(batch(b"fact")).unwrap();
    journal.rotate(batch(b"snapshot 3"), 0).unwrap();
    journal.syncer().sync().unwrap();
    let bodies: Vec<Vec<u8>> =
        reader.batches(at_end, 1000).unwrap().batches.into_iter().map(|batch| batch.body).collect();
    assert_eq!(bodies, [b"fact".to_vec(), b"snapshot 3".to_vec()]);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (mut journal, _, _) = open(&SimDisk::new()).unwrap();
    journal.rotate(batch(b"snapshot"), 0).unwrap();
    let (before, remaining) = (journal.next_position(), journal.remaining());
    let body = vec![7; remaining as usize - BATCH_HEADER_BYTES + 1];
    assert!(matches!(journal.append(batch(&body)), Err(JournalError::Full { .. })));
    assert_eq!(journal.next_position(), before);
    journal.append(batch(&body[1..])).unwrap();
    assert_eq!(journal.remaining(), 0);
    // A segment is made as large as the next batch needs.
    let large = batch(&vec![8; 100_000]);
    journal.rotate(batch(b"snapshot"), large.stored_bytes() as u32).unwrap();
    let appended = journal.append(large).unwrap();
    let body_at = Position { offset: appended.position.offset + 32, ..appended.position };
    assert_eq!(journal.reader().read(body_at, 100_000).unwrap(), vec![8; 100_000]);
}

#[test]
fn only_the_oldest_segment_is_given_back_and_only_when_what_replaces_it_is_durable() {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk).unwrap();
    let syncer = journal.syncer();
    for _ in 0..3 {
        journal.rotate(batch(b"snapshot"), 0).unwrap();
    }
    syncer.sync().unwrap();
    assert!(matches!(journal.reclaim(2), Err(JournalError::NotOldest { sequence: 2 })));
    journal.append(batch(b"copy of what was live")).unwrap();
    journal.reclaim(1).unwrap();
    let spares = journal.spare_bytes();
    journal.append(batch(b"more")).unwrap();
    assert_eq!(journal.spare_bytes(), spares, "the copy is not durable yet");
    syncer.sync().unwrap();
    journal.append(batch(b"more")).unwrap();
    assert!(journal.spare_bytes() > spares);
    journal.reclaim(2).unwrap();
    assert!(matches!(journal.reclaim(3), Err(JournalError::NotOldest { sequence: 3 })));
}

#[test]
fn files_are_reused_and_their_number_does_not_grow_in_steady_work() {
    let disk = SimDisk::new();
    let (journal, _, _) = open(&disk).unwrap();
    let mut recorded = Recorded::new(journal, History::default(), "only");
    let mut most = 0;
    for turn in 0..60 {
        recorded.rotate().unwrap();
        while recorded.journal.remaining() > 3000 {
            recorded.append(2000).unwrap();
        }
        recorded.sync().unwrap();
        if turn > 3 {
            recorded.reclaim().unwrap();
        }
        if turn > 10 {
            most = most.max(disk.list().unwrap().len());
            assert!(recorded.journal.disk_bytes() <= 8 * 16384);
        }
    }
    assert!(most <= 8, "{most} files");
    let made: Vec<String> = disk.list().unwrap();
    assert!(made.iter().all(|name| name.as_str() < "000016.wlj"), "{made:?}");
}

#[test]
fn an_idle_store_stays_small_however_often_it_is_opened() {
    let disk = SimDisk::new();
    for start in 0..10 {
        let (mut journal, _, _) = open_with(
            Arc::new(disk.clone()),
            JournalOptions { inline_spares: true, ..JournalOptions::default() },
            start,
        )
        .unwrap();
        journal.rotate(batch(b"snapshot"), 0).unwrap();
        journal.syncer().sync().unwrap();
        let oldest = journal.segments().next().unwrap().sequence;
        if start > 0 {
            journal.reclaim(oldest).unwrap();
        }
        assert!(journal.disk_bytes() <= 2 * 1024 * 1024, "{} bytes", journal.disk_bytes());
    }
}

#[test]
fn a_watermark_is_not_shown_and_takes_a_number() {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk).unwrap();
    journal.rotate(batch(b"snapshot"), 0).unwrap();
    journal.syncer().sync().unwrap();
    assert_eq!(journal.append_watermark().unwrap().unwrap().lsn, 2);
    journal.append(batch(b"fact")).unwrap();
    journal.syncer().sync().unwrap();
    drop(journal);
    let (_, recovery, replay) = open(&disk).unwrap();
    assert_eq!(replay.iter().map(|(lsn, ..)| *lsn).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((recovery.last_lsn, recovery.batches), (3, 3));
}

#[test]
fn a_segment_given_back_before_its_header_was_confirmed_stays_given_back() {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk).unwrap();
    journal.rotate(batch(b"snapshot"), 0).unwrap();
    let first = verify(&disk, &mut |_, _| ()).unwrap().segments[0].file.clone();
    journal.rotate(batch(b"snapshot"), 0).unwrap();
    journal.reclaim(1).unwrap();
    journal.syncer().sync().unwrap();
    // Marks the first segment spare, before the append below writes what was still to be confirmed.
    journal.retry_spares();
    journal.append(batch(b"fact")).unwrap();
    let bytes = disk.bytes(&first);
    assert_eq!(bytes[..256], bytes[2048..2304]);
    assert_eq!(verify(&disk, &mut |_, _| ()).unwrap().segments.len(), 1);
}

/// Tells that a read has begun, and waits to be told to go on.
type Pause = Arc<Mutex<Option<(Sender<()>, Receiver<()>)>>>;

/// A disk that stops in the middle of a read, until it is told to go on.
struct PausingDisk {
    disk: MemoryDisk,
    pause: Pause,
}

struct PausingFile {
    file: Arc<dyn DiskFile>,
    pause: Pause,
}

impl Disk for PausingDisk {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(PausingFile { file: self.disk.create(name, bytes)?, pause: Arc::clone(&self.pause) }))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
    fn place(&self) -> String {
        self.disk.place()
    }
}

impl DiskFile for PausingFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some((reached, go_on)) = self.pause.lock().unwrap().take() {
            reached.send(()).unwrap();
            go_on.recv().unwrap();
        }
        self.file.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

#[test]
fn a_read_during_which_the_segment_is_given_back_answers_gone() {
    for whole_batches in [false, true] {
        let pause = Arc::new(Mutex::new(None));
        let disk = PausingDisk { disk: MemoryDisk::new(), pause: Arc::clone(&pause) };
        let options = JournalOptions { tail_cache_bytes: 0, ..small() };
        let (mut journal, _, _) = open_with(Arc::new(disk), options, 0).unwrap();
        journal.rotate(batch(b"snapshot"), 0).unwrap();
        let place = journal.append(batch(b"fact")).unwrap().position;
        journal.rotate(batch(b"snapshot"), 0).unwrap();
        journal.syncer().sync().unwrap();
        let reader = journal.reader();
        let ((reached, when_reached), (go_on, when_told)) = (channel(), channel());
        *pause.lock().unwrap() = Some((reached, when_told));
        let reading = std::thread::spawn(move || {
            if whole_batches { reader.batches(place, 10).map(drop) } else { reader.read(place, 20).map(drop) }
        });
        when_reached.recv().unwrap();
        journal.reclaim(1).unwrap();
        go_on.send(()).unwrap();
        let read = reading.join().unwrap();
        assert!(matches!(read, Err(ReadError::Gone)), "{read:?}");
    }
}

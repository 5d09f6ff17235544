//! The disk alone: what the same stream of small durable writes costs with no queue around it.
//!
//! A figure of microseconds on a disk is the disk's before it is the queue's, and disks differ by a factor of a
//! hundred. This is the least that any queue can need which answers after its sync and syncs what has come in
//! meanwhile together: one thread that does nothing else, writing into a file that is there in full.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::latency::Latencies;
use crate::fault::Fault;

/// One write: what a file system writes at least.
const WRITE_BYTES: usize = 4_096;
/// Written over and over; large enough that no block is written again while a disk still holds it in flight.
const FILE_BYTES: u64 = 16 << 20;

/// A file beside the store, gone when this is.
pub(super) struct Floor {
    path: PathBuf,
    file: File,
    offset: u64,
    pub(super) latencies: Latencies,
}

impl Floor {
    pub(super) fn new(path: PathBuf) -> Result<Self, Fault> {
        let open = || {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            for offset in (0..FILE_BYTES).step_by(WRITE_BYTES) {
                file.write_all_at(&[0; WRITE_BYTES], offset)?;
            }
            file.sync_all()?;
            Ok(file)
        };
        let file = open().map_err(|error: std::io::Error| Fault::file(path.display(), &error))?;
        Ok(Self { path, file, offset: 0, latencies: Latencies::new() })
    }

    /// `writes` at an even rate. What comes due during a sync waits for the next one, and its time counts from when it
    /// came due.
    pub(super) async fn measure(mut self, writes: u32, rate: u64) -> Result<Self, Fault> {
        let measured = tokio::task::spawn_blocking(move || self.run(writes, rate).map(|()| self)).await;
        measured.map_err(|panic| Fault::failed(panic.to_string()))?
    }

    fn run(&mut self, writes: u32, rate: u64) -> Result<(), Fault> {
        let every = Duration::from_secs(1).div_f64(rate as f64);
        let begin = Instant::now();
        let mut next = 0;
        while next < writes {
            let due = begin + every * next;
            let now = Instant::now();
            let mut started = due;
            if now < due {
                std::thread::sleep(due - now);
                // A late wake-up is the timer's: the paced load counts from its wake-up too.
                started = Instant::now();
            }
            let come = Instant::now();
            self.write().map_err(|error| Fault::file(self.path.display(), &error))?;
            let end = Instant::now();
            while next < writes && begin + every * next <= come {
                self.latencies.record(end.saturating_duration_since(started));
                next += 1;
                started = begin + every * next;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.file.write_all_at(&[b'w'; WRITE_BYTES], self.offset)?;
        self.offset = (self.offset + WRITE_BYTES as u64) % FILE_BYTES;
        self.file.sync_data()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Nobody misses it; what cannot be removed goes with the run's directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

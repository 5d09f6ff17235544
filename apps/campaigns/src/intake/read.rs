//! The thread that reads a file: rows to batches, and what fails to a file of its own.

use std::{
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc::Sender;

use super::convert;
use crate::{
    flow::erasure::Unerased,
    import::{Counts, ErrorFile, ImportError, Rows},
    model::import::{ERASED, Import, ImportPlan, NUMBER_ERASED, NUMBER_KEPT, Progress},
    store::contacts::{Batch, NewContact},
};

/// Rows of a batch. One transaction for 1,000 takes some hundredths of a second, for which everything else that writes
/// waits; fewer would make the commits the larger part.
const BATCH_ROWS: usize = 1_000;
/// The file of rows that failed holds so many bytes at most: more are no typing errors, but a wrong mapping.
const ERRORS_MAX_BYTES: usize = 8 * 1024 * 1024;

/// A batch of rows.
pub(super) struct Piece {
    pub(super) people: Vec<NewContact>,
    /// The next piece of the file of rows that failed.
    pub(super) errors: String,
    /// What became of the rows up to the end of this batch, as far as the file tells.
    counts: Counts,
    errors_cut: bool,
}

impl Piece {
    /// How far the import is with this batch.
    pub(super) fn after(
        &self,
        before: &Progress,
        added: u64,
        unerased: &Unerased<'_>,
        batch: &Batch,
    ) -> Progress {
        let known = batch.upserted.len() as u64 - added;
        let so_far = |code: &str| before.by_code.get(code).copied().unwrap_or(0);
        let erased = so_far(ERASED) + unerased.left_out;
        let found = [
            (ERASED, erased),
            (NUMBER_KEPT, so_far(NUMBER_KEPT) + batch.numbers_kept),
            (NUMBER_ERASED, so_far(NUMBER_ERASED) + unerased.without_number),
        ];
        let found = found.into_iter().filter(|(_, count)| *count > 0);
        let by_code = self.counts.by_code.iter().map(|(code, count)| (code.name(), *count));
        let by_code = by_code.chain(found).map(|(code, count)| (code.to_owned(), count));
        Progress {
            bytes_done: self.counts.bytes,
            rows: self.counts.rows,
            added: before.added + added,
            updated: before.updated + known,
            duplicates: self.counts.duplicates,
            refused: self.counts.failed + erased,
            by_code: by_code.collect(),
            errors_cut: self.errors_cut,
        }
    }
}

/// Reads the file to its end, or until nobody takes the batches any more.
///
/// A run that goes on with an earlier one reads from the beginning as well, to know every address again, and sends what
/// is behind the rows that the earlier one has written: batches begin at the same rows each time.
pub(super) fn read<R: Read>(
    mut rows: Rows<R>,
    import: &Import,
    plan: &ImportPlan,
    batches: &Sender<Piece>,
) -> Result<(), ImportError> {
    let sink = Sink::default();
    let mut errors = ErrorFile::new(sink.clone(), plan.format.separator, rows.headings());
    let (mut written, mut errors_cut) = (0, false);
    let source = format!("import {}", import.id);
    loop {
        let mut people = Vec::with_capacity(BATCH_ROWS);
        let mut read = 0;
        let mut end = None;
        while read < BATCH_ROWS && end.is_none() {
            match rows.next_row() {
                Ok(Some(Ok(row))) => {
                    people.push(convert::contact(row, plan, &source, import.created_at));
                }
                Ok(Some(Err(error))) if written + sink.len() < ERRORS_MAX_BYTES => errors.write(&error)?,
                Ok(Some(Err(_))) => errors_cut = true,
                Ok(None) => end = Some(Ok(())),
                Err(error) => end = Some(Err(error)),
            }
            read += 1;
        }
        errors.flush()?;
        let errors = sink.take();
        written += errors.len();
        let errors = String::from_utf8_lossy(&errors).into_owned();
        let piece = Piece { people, errors, counts: rows.counts().clone(), errors_cut };
        let is_written = piece.counts.rows <= import.progress.rows;
        // Nobody takes it: the import was ended.
        let is_wanted = is_written || batches.blocking_send(piece).is_ok();
        if let Some(end) = end {
            return end;
        }
        if !is_wanted {
            return Ok(());
        }
    }
}

/// What was written and not taken yet.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Making a backup of a store that is in use.
//!
//! The engine's thread notes how far each segment goes, and that is all it does. A thread of the backup's own reads the
//! segments, at the pace at which somebody takes the pieces. A taker who is so slow that the store could not give its oldest
//! segments back within its bounds is told so, and the store goes on without it.

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use windlass_core::StoreError;
use windlass_core::error::Outcome;
use windlass_core::store::{Backup, Pieces, StoreFuture};

use super::layout::{MANIFEST, Manifest, SUMS, Sum, TRAILER_BYTES, member_header, sum_line};
use crate::decide::Core;
use crate::engine::{Message, Shared, Wait};
use crate::journal::{HOLDS_MAX, Hold};
use crate::store::EmbeddedStore;

/// What is read at once, and what a piece holds: the disk's speed counts, and a sync that waits behind it waits a
/// millisecond.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait for their taker: with the one being read, the memory that a backup takes.
const PIECES_AHEAD: usize = 4;

/// What the engine's thread notes. When it goes, the engine may give segments back again.
struct Noted {
    hold: Option<Hold>,
    shared: Arc<Shared>,
    manifest: Manifest,
}

impl Noted {
    fn of(core: &Core, shared: Arc<Shared>) -> Option<Self> {
        let hold = core.reader.hold()?;
        let counts = (core.machine.slots.len() as u64, core.machine.leases.iter().count() as u64);
        let manifest = Manifest::of(&hold, counts, core.machine.now.wall);
        Some(Self { hold: Some(hold), shared, manifest })
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.hold = None;
        let _ = self.shared.post(Message::Released);
    }
}

/// Begins a backup of everything that has been acknowledged by now.
pub(crate) async fn begin(store: &EmbeddedStore) -> Result<Backup, StoreError> {
    let shared = Arc::clone(&store.0.shared);
    let noted = store.look(None, Wait::Every, move |core| Noted::of(core, shared)).await?;
    let noted = noted.ok_or_else(|| {
        let cause = format!("{HOLDS_MAX} backups of this store are being made; wait for one to end");
        StoreError { operation: "backup", cause, outcome: Outcome::NotDone, retryable: true, hint: None }
    })?;
    let text = serde_json::to_vec_pretty(&noted.manifest)
        .map_err(|why| StoreError::refused("backup", why.to_string()))?;
    let bytes = noted.manifest.file_bytes(text.len() as u64);
    let (to, from) = channel(PIECES_AHEAD);
    let thread = std::thread::Builder::new().name("windlass-backup".into());
    let spawned = thread.spawn(move || {
        let mut pipe = Pipe { to, piece: Vec::with_capacity(PIECE_BYTES) };
        // Nobody takes the pieces any more: that is no error of anybody's.
        let _ = write(&noted, &text, &mut pipe).or_else(|stop| match stop {
            Stop::Unwanted => Ok(()),
            Stop::Failed(why) => pipe.to.blocking_send(Err(why)).map_err(drop),
        });
    });
    spawned.map_err(|why| StoreError::refused("backup", format!("cannot start a thread: {why}")))?;
    let pieces = Taken { from, left: bytes, _store: store.clone() };
    Ok(Backup { bytes, pieces: Box::new(pieces) })
}

/// Why no more is written.
enum Stop {
    /// Whoever took the pieces has gone.
    Unwanted,
    Failed(StoreError),
}

/// Gathers pieces and hands them over.
struct Pipe {
    to: Sender<Result<Vec<u8>, StoreError>>,
    piece: Vec<u8>,
}

impl Pipe {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(now);
            rest = later;
            if self.piece.len() == PIECE_BYTES {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), Stop> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.to.blocking_send(Ok(piece)).map_err(|_| Stop::Unwanted)
    }

    fn member(&mut self, name: &str, manifest: &Manifest, bytes: &[u8]) -> Result<String, Stop> {
        let mut sum = Sum::default();
        sum.add(bytes);
        self.write(&member_header(name, bytes.len() as u64, manifest.made_at_ms))?;
        self.write(bytes)?;
        self.pad(bytes.len() as u64)?;
        Ok(sum_line(&sum.done(), name))
    }

    fn pad(&mut self, bytes: u64) -> Result<(), Stop> {
        let block = super::layout::BLOCK;
        self.write(&[0; super::layout::BLOCK as usize][..(bytes.next_multiple_of(block) - bytes) as usize])
    }
}

fn write(noted: &Noted, text: &[u8], pipe: &mut Pipe) -> Result<(), Stop> {
    let manifest = &noted.manifest;
    let mut sums = pipe.member(MANIFEST, manifest, text)?;
    let mut buffer = vec![0; PIECE_BYTES];
    for held in noted.hold.iter().flat_map(|hold| &hold.segments) {
        pipe.write(&member_header(&held.name, held.bytes.into(), manifest.made_at_ms))?;
        let mut sum = Sum::default();
        let mut at = 0;
        while at < held.bytes {
            let piece = &mut buffer[..((held.bytes - at) as usize).min(PIECE_BYTES)];
            let whole = held.read(at, piece).map_err(|why| {
                Stop::Failed(StoreError::refused(
                    "backup",
                    format!("cannot read segment {}: {why}", held.sequence),
                ))
            })?;
            // Looked at after the read: what was read before is the store's own.
            if !whole {
                return Err(Stop::Failed(too_slow()));
            }
            if noted.shared.is_closed() {
                return Err(Stop::Failed(StoreError::refused("backup", "the store was closed meanwhile")));
            }
            sum.add(piece);
            pipe.write(piece)?;
            at += piece.len() as u32;
        }
        sums.push_str(&sum_line(&sum.done(), &held.name));
    }
    pipe.member(SUMS, manifest, sums.as_bytes())?;
    pipe.write(&[0; TRAILER_BYTES as usize])?;
    pipe.hand_over()
}

fn too_slow() -> StoreError {
    let cause = "the backup was read so slowly that the store had to give back what it had not read yet; \
                 write it to a faster place, or make it when less is going on";
    StoreError {
        operation: "backup",
        cause: cause.into(),
        outcome: Outcome::NotDone,
        retryable: true,
        hint: None,
    }
}

/// The pieces as they come; the store stays open for them.
struct Taken {
    from: Receiver<Result<Vec<u8>, StoreError>>,
    left: u64,
    _store: EmbeddedStore,
}

impl Pieces for Taken {
    fn next(&mut self) -> StoreFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            match self.from.recv().await {
                Some(Ok(piece)) => {
                    self.left = self.left.saturating_sub(piece.len() as u64);
                    Ok(Some(piece))
                }
                Some(Err(why)) => Err(why),
                None if self.left == 0 => Ok(None),
                None => Err(StoreError::refused("backup", "it ended before it was whole")),
            }
        })
    }
}

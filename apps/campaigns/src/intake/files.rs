//! A file on its way in, and where it is kept: in pieces, in the database.
//!
//! There it outlives the process that took it in, is found by whichever process works on its import, is part of every
//! backup, and goes with a `DELETE`; a folder would have to be shared by all machines. A piece is a transaction of its own,
//! so that neither a file's size nor a slow sender holds anybody up, and no more than a piece is ever in memory.

use std::io::{self, Cursor, Read};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::runtime::Handle;

use super::{MAX_FILE_BYTES, NAME_CHARS_MAX};
use crate::{
    app::{App, AppError},
    import::{SNIFF_BYTES, sniff},
    model::{
        ImportId,
        import::{Import, ImportStatus},
    },
    store::imports,
};

/// Bytes of a piece: large enough that a file of 100,000 rows is some dozens of rows here, small enough that its
/// transaction takes some milliseconds. The first piece has all that a look at the head of a file wants.
const PIECE_BYTES: usize = 512 * 1024;
const _: () = assert!(PIECE_BYTES >= SNIFF_BYTES);
/// Pieces that are removed in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 16;
/// Files that are on their way in or wait to be read at most: bounds what people who begin and go leave for a day.
const KEPT_MAX: i64 = 20;
/// What a file is called that comes without a name.
const NAMELESS: &str = "contacts.csv";

/// A file on its way in. One that is dropped before its end is removed by [`super::sweep`].
#[derive(Debug)]
pub struct Receiving {
    app: App,
    id: ImportId,
    /// What has come and is not written yet.
    buffer: Vec<u8>,
    part: u32,
    bytes: u64,
}

impl Receiving {
    /// Begins to take a file in; of its name the last part counts.
    ///
    /// # Errors
    /// Too many files that wait already; the database's.
    pub async fn begin(app: &App, name: &str, who: &str) -> Result<Self, AppError> {
        let (name, who) = (file_name(name), who.to_owned());
        let (seen_at, now) = (app.client().now(), app.now());
        let begin = move |tx: &mut crate::db::Tx<'_>| {
            let kept = imports::kept(tx)?;
            if kept >= KEPT_MAX {
                let why = format!("{kept} files wait to be read: import one of them, or leave it");
                return Err(AppError::Conflict(why));
            }
            Ok(imports::create(tx, &name, &who, seen_at, now)?)
        };
        let id = app.db().write(begin).await?;
        Ok(Self { app: app.clone(), id, buffer: Vec::new(), part: 0, bytes: 0 })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What cannot be a list of contacts, as soon as that is seen; a file that is too large; one that somebody has ended
    /// meanwhile; the database's.
    pub async fn take(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_FILE_BYTES {
            let why = format!("it has more than {MAX_FILE_BYTES} bytes, and these are the most; split it");
            return Err(AppError::invalid("file", why));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(PIECE_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(piece);
            rest = later;
            if self.buffer.len() == PIECE_BYTES {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// Notes that this was all of it: the import waits for somebody to say what its columns mean.
    ///
    /// # Errors
    /// As [`Receiving::take`]; a file with nothing in it.
    pub async fn end(&mut self) -> Result<ImportId, AppError> {
        if !self.buffer.is_empty() || self.part == 0 {
            self.write().await?;
        }
        let (id, seen_at) = (self.id, self.app.client().now());
        match self.app.db().write(move |tx| imports::received(tx, id, seen_at)).await? {
            true => Ok(id),
            false => Err(self.is_over()),
        }
    }

    /// Lets go of it: nothing has happened.
    ///
    /// # Errors
    /// The database's.
    pub async fn abandon(self) -> Result<(), AppError> {
        remove(&self.app, self.id).await
    }

    async fn write(&mut self) -> Result<(), AppError> {
        let piece = std::mem::take(&mut self.buffer);
        if self.part == 0 {
            sniff(&piece, None).map_err(|why| AppError::invalid("file", why))?;
        }
        let (id, part, seen_at) = (self.id, self.part, self.app.client().now());
        let add = move |tx: &mut crate::db::Tx<'_>| imports::add_piece(tx, id, part, &piece, seen_at);
        if !self.app.db().write(add).await? {
            return Err(self.is_over());
        }
        self.part += 1;
        Ok(())
    }

    fn is_over(&self) -> AppError {
        AppError::Conflict(format!("import {} was ended while its file came in", self.id))
    }
}

/// Takes in a whole file as it comes; one that is refused is read to its end all the same, up to the largest size, so that
/// its sender hears why.
///
/// # Errors
/// As [`Receiving::take`]; a file that stops coming in, with what its stream says.
pub async fn receive<E: std::fmt::Display>(
    app: &App,
    name: &str,
    who: &str,
    file: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<ImportId, AppError> {
    let mut file = std::pin::pin!(file);
    let mut receiving = Receiving::begin(app, name, who).await?;
    let mut refused = None;
    let mut bytes = 0;
    while let Some(next) = file.next().await {
        match next {
            Err(why) => {
                refused.get_or_insert(AppError::invalid("file", format!("it stopped coming in: {why}")));
                break;
            }
            Ok(piece) if refused.is_none() => {
                bytes += piece.len() as u64;
                refused = receiving.take(&piece).await.err();
            }
            Ok(piece) => bytes += piece.len() as u64,
        }
        if bytes > MAX_FILE_BYTES {
            break;
        }
    }
    let ended = match refused {
        None => receiving.end().await,
        Some(error) => Err(error),
    };
    if ended.is_err() {
        receiving.abandon().await?;
    }
    ended
}

/// The name of a file without the folders that some browsers put before it, and not too long.
fn file_name(given: &str) -> String {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect();
    if name.is_empty() { NAMELESS.to_owned() } else { name }
}

/// Removes a file, a few pieces at a time.
pub(super) async fn forget(app: &App, id: ImportId) -> Result<(), AppError> {
    while app.db().write(move |tx| imports::forget_pieces(tx, id, FORGOTTEN_AT_ONCE)).await? {}
    Ok(())
}

/// Removes an import that has come to nothing, with its file.
pub(super) async fn remove(app: &App, id: ImportId) -> Result<(), AppError> {
    let now = app.now();
    app.db().write(move |tx| imports::stop(tx, id, ImportStatus::Failed, "", now)).await?;
    forget(app, id).await?;
    Ok(app.db().write(move |tx| imports::remove(tx, id)).await?)
}

/// The first bytes of a file.
pub(super) async fn head(app: &App, id: ImportId) -> Result<Vec<u8>, AppError> {
    let first = app.db().read(move |tx| imports::piece(tx, id, 0)).await?;
    let mut first = first.ok_or_else(|| gone(id))?;
    first.truncate(SNIFF_BYTES);
    Ok(first)
}

fn gone(id: ImportId) -> AppError {
    AppError::Conflict(format!("the file of import {id} is not kept any more: send it again"))
}

/// A file as it is kept, read from a thread that may block, a piece at a time.
pub(super) struct Stored {
    app: App,
    id: ImportId,
    part: u32,
    piece: Cursor<Vec<u8>>,
    left: u64,
    runtime: Handle,
}

impl Stored {
    /// The file of that import, from its beginning. To be made inside of a runtime.
    pub(super) fn of(app: &App, import: &Import) -> Self {
        Self {
            app: app.clone(),
            id: import.id,
            part: 0,
            piece: Cursor::new(Vec::new()),
            left: import.bytes,
            runtime: Handle::current(),
        }
    }
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 {
                self.left = self.left.saturating_sub(read as u64);
                return Ok(read);
            }
            let (id, part) = (self.id, self.part);
            let next = self.app.db().read(move |tx| imports::piece(tx, id, part));
            let next = self.runtime.block_on(next).map_err(io::Error::other)?;
            self.piece = Cursor::new(next.ok_or_else(|| io::Error::other(gone(id)))?);
            self.part += 1;
        }
    }
}

//! Reading a backup, and believing nothing of it that was not checked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BackupError;
use super::layout::{
    BACKUP_VERSION, BLOCK, MANIFEST, MANIFEST_BYTES_MAX, Manifest, SUMS, SegmentEntry, Sum, TRAILER_BYTES,
    member_bytes, member_header, sum_line,
};
use crate::disk::{Disk, DiskFile, open_file};
use crate::journal::VerifyReport;

/// What is read at once.
const PIECE_BYTES: usize = 1 << 20;

/// A file that says it is a backup. [`BackupFile::verify`] says whether it is whole.
pub struct BackupFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    manifest: Manifest,
    manifest_bytes: u64,
}

impl std::fmt::Debug for BackupFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl BackupFile {
    /// Opens a backup and reads what it says of itself; its length is right then.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`] for another file, [`BackupError::Damaged`] for one that was cut short.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let not = |why: String| BackupError::NotABackup { path: path.to_owned(), why };
        let file = open_file(path).map_err(BackupError::io("open", path))?;
        let len = file.len().map_err(BackupError::io("examine", path))?;
        let mut block = [0; BLOCK as usize];
        if len < BLOCK {
            return Err(not(format!("it has {len} bytes")));
        }
        file.read_exact_at(&mut block, 0).map_err(BackupError::io("read", path))?;
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&block);
        if header.path_bytes().as_ref() != MANIFEST.as_bytes() {
            return Err(not(format!("it does not begin with {MANIFEST}")));
        }
        let bytes = header.size().map_err(|why| not(why.to_string()))?;
        if bytes > MANIFEST_BYTES_MAX {
            return Err(not(format!("its {MANIFEST} claims {bytes} bytes")));
        }
        if BLOCK + bytes > len {
            return Err(damaged(path, len, "it ends within its manifest"));
        }
        let mut text = vec![0; bytes as usize];
        file.read_exact_at(&mut text, BLOCK).map_err(BackupError::io("read", path))?;
        let manifest = read_manifest(path, &text)?;
        let whole = manifest.file_bytes(bytes);
        if len != whole {
            let what = format!("it has {len} bytes, and {whole} were written");
            return Err(damaged(path, len.min(whole), what));
        }
        Ok(Self { path: path.to_owned(), file, manifest, manifest_bytes: bytes })
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.manifest.file_bytes(self.manifest_bytes)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all of it: every byte is what was written, and the journal in it is whole. `progress` gets bytes done and
    /// bytes to do.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] with the place of the first damage.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, BackupError> {
        let whole = self.bytes();
        self.check_bytes(&mut |at| progress(at, 2 * whole))?;
        let report = crate::verify(&self.slices(), &mut |done, _| progress(whole + done, 2 * whole))
            .map_err(|why| damaged(&self.path, 0, why.to_string()))?;
        if let Some(problem) = report.problems.first() {
            return Err(damaged(&self.path, 0, format!("{}: {}", problem.file, problem.text)));
        }
        if report.last_lsn != self.manifest.last_lsn {
            let (found, told) = (report.last_lsn, self.manifest.last_lsn);
            return Err(damaged(&self.path, 0, format!("its journal ends with batch {found}, not {told}")));
        }
        progress(2 * whole, 2 * whole);
        Ok(report)
    }

    /// Each segment with where its bytes stand.
    pub(super) fn segments(&self) -> impl Iterator<Item = (&SegmentEntry, u64)> {
        let mut at = member_bytes(self.manifest_bytes);
        self.manifest.segments.iter().map(move |segment| {
            let from = at + BLOCK;
            at += member_bytes(segment.bytes);
            (segment, from)
        })
    }

    /// Hands the bytes of a stretch over, piece by piece.
    pub(super) fn each_piece(
        &self,
        from: u64,
        bytes: u64,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let mut buffer = vec![0; PIECE_BYTES.min(bytes as usize)];
        let mut done = 0;
        while done < bytes {
            let piece = &mut buffer[..((bytes - done) as usize).min(PIECE_BYTES)];
            self.file.read_exact_at(piece, from + done).map_err(BackupError::io("read", &self.path))?;
            take(done, piece)?;
            done += piece.len() as u64;
        }
        Ok(())
    }

    /// Every byte of the file is the one that was written.
    fn check_bytes(&self, progress: &mut dyn FnMut(u64)) -> Result<(), BackupError> {
        let mut at = 0;
        // Where the bytes of each line's member begin.
        let mut begins = vec![BLOCK];
        let mut sums = self.check_member(&mut at, MANIFEST, self.manifest_bytes, progress)?;
        for segment in &self.manifest.segments {
            begins.push(at + BLOCK);
            sums.push_str(&self.check_member(&mut at, &segment.file, segment.bytes, progress)?);
        }
        let from = at + BLOCK;
        self.check_member(&mut at, SUMS, sums.len() as u64, progress)?;
        let mut told = vec![0; sums.len()];
        self.file.read_exact_at(&mut told, from).map_err(BackupError::io("read", &self.path))?;
        let lines = || sums.as_bytes().split_inclusive(|byte| *byte == b'\n');
        let mut place = 0;
        for (line, begins) in lines().zip(begins) {
            if told[place..place + line.len()] != *line {
                let name = String::from_utf8_lossy(&line[66..]);
                let what = format!("{}, which begins there, and its digest differ", name.trim_end());
                return Err(damaged(&self.path, begins, what));
            }
            place += line.len();
        }
        self.check_zeros(at, TRAILER_BYTES)
    }

    /// The member at that place is written as it should be; answers its line of the digests.
    fn check_member(
        &self,
        at: &mut u64,
        name: &str,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<String, BackupError> {
        let mut block = [0; BLOCK as usize];
        self.file.read_exact_at(&mut block, *at).map_err(BackupError::io("read", &self.path))?;
        if block != member_header(name, bytes, self.manifest.made_at_ms) {
            return Err(damaged(
                &self.path,
                *at,
                format!("the header of {name} is not the one that was written"),
            ));
        }
        let mut sum = Sum::default();
        let from = *at + BLOCK;
        self.each_piece(from, bytes, |done, piece| {
            sum.add(piece);
            progress(from + done + piece.len() as u64);
            Ok(())
        })?;
        *at += member_bytes(bytes);
        self.check_zeros(from + bytes, *at - from - bytes)?;
        Ok(sum_line(&sum.done(), name))
    }

    fn check_zeros(&self, from: u64, bytes: u64) -> Result<(), BackupError> {
        self.each_piece(from, bytes, |done, piece| match piece.iter().position(|byte| *byte != 0) {
            Some(place) => Err(damaged(&self.path, from + done + place as u64, "there should be a zero")),
            None => Ok(()),
        })
    }

    fn slices(&self) -> Slices {
        let all = self.segments();
        let all = all.map(|(segment, from)| {
            (segment.file.clone(), Slice { file: self.file.clone(), from, bytes: segment.bytes })
        });
        Slices { all: all.collect(), place: self.path.display().to_string() }
    }
}

fn damaged(path: &Path, at: u64, what: impl Into<String>) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), at, what: what.into() }
}

fn read_manifest(path: &Path, text: &[u8]) -> Result<Manifest, BackupError> {
    let value: serde_json::Value = serde_json::from_slice(text)
        .map_err(|why| damaged(path, BLOCK, format!("{MANIFEST} cannot be read: {why}")))?;
    let version = value.get("windlass_backup").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    if version > BACKUP_VERSION {
        return Err(BackupError::Newer { path: path.to_owned(), found: version, supported: BACKUP_VERSION });
    }
    let manifest: Manifest = serde_json::from_value(value)
        .map_err(|why| damaged(path, BLOCK, format!("{MANIFEST} makes no sense: {why}")))?;
    let expected = |number: usize| format!("{:06}.wlj", number + 1);
    let named =
        manifest.segments.iter().enumerate().all(|(number, segment)| segment.file == expected(number));
    let sized = manifest.segments.iter().all(|segment| segment.bytes <= u64::from(u32::MAX));
    if !named || !sized || manifest.segments.is_empty() {
        return Err(damaged(path, BLOCK, format!("{MANIFEST} names segments that no backup has")));
    }
    Ok(manifest)
}

/// The segments of a backup as a disk that can only be read.
struct Slices {
    all: Vec<(String, Slice)>,
    place: String,
}

#[derive(Clone)]
struct Slice {
    file: Arc<dyn DiskFile>,
    from: u64,
    bytes: u64,
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a backup is never changed")
}

impl Disk for Slices {
    fn create(&self, _: &str, _: u64) -> io::Result<Arc<dyn DiskFile>> {
        Err(read_only())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let found = self.all.iter().find(|(file, _)| file == name);
        let slice = found.map(|(_, slice)| slice.clone()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(slice))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.all.iter().map(|(file, _)| file.clone()).collect())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Err(read_only())
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

impl DiskFile for Slice {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match offset.checked_add(buf.len() as u64) {
            Some(end) if end <= self.bytes => self.file.read_exact_at(buf, self.from + offset),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(read_only())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }
}

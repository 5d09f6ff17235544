//! A disk in memory, for `memory:` stores and for tests that need no faults.
//!
//! A file is a row of chunks that exist only once something else than zeros was written to them, so that segments
//! which are zero-written ahead of use cost nothing. Syncs return at once: this disk survives nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Disk, DiskFile};

/// Small enough that a little store stays little, large enough that a batch touches one or two.
const CHUNK_BYTES: usize = 64 * 1024;

/// Files that live as long as the value and its clones.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    files: Arc<RwLock<BTreeMap<String, Arc<MemoryFile>>>>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryDisk").finish_non_exhaustive()
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile { content: RwLock::new(Content { len: bytes, chunks: Vec::new() }) });
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::clone(file) as Arc<dyn DiskFile>)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.files.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

struct MemoryFile {
    content: RwLock<Content>,
}

struct Content {
    len: u64,
    chunks: Vec<Option<Box<[u8]>>>,
}

impl DiskFile for MemoryFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        if offset + buf.len() as u64 > content.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut rest) = (offset as usize, buf);
        while !rest.is_empty() {
            let (index, within) = (at / CHUNK_BYTES, at % CHUNK_BYTES);
            let (piece, others) = rest.split_at_mut((CHUNK_BYTES - within).min(rest.len()));
            match content.chunks.get(index) {
                Some(Some(chunk)) => piece.copy_from_slice(&chunk[within..within + piece.len()]),
                _ => piece.fill(0),
            }
            at += piece.len();
            rest = others;
        }
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        content.len = content.len.max(offset + buf.len() as u64);
        let (mut at, mut rest) = (offset as usize, buf);
        while !rest.is_empty() {
            let (index, within) = (at / CHUNK_BYTES, at % CHUNK_BYTES);
            let (piece, others) = rest.split_at((CHUNK_BYTES - within).min(rest.len()));
            content.write_chunk(index, within, piece);
            at += piece.len();
            rest = others;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.read().unwrap_or_else(PoisonError::into_inner).len)
    }
}

impl Content {
    fn write_chunk(&mut self, index: usize, within: usize, piece: &[u8]) {
        let exists = self.chunks.get(index).is_some_and(Option::is_some);
        if !exists && piece.iter().all(|byte| *byte == 0) {
            return;
        }
        if self.chunks.len() <= index {
            self.chunks.resize_with(index + 1, || None);
        }
        let chunk = self.chunks[index].get_or_insert_with(|| vec![0; CHUNK_BYTES].into_boxed_slice());
        chunk[within..within + piece.len()].copy_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_across_chunk_borders_and_the_rest_is_zero() {
        let disk = MemoryDisk::new();
        let file = disk.create("a", 3 * CHUNK_BYTES as u64).unwrap();
        let written: Vec<u8> = (0..CHUNK_BYTES + 10).map(|n| (n % 251) as u8 + 1).collect();
        file.write_all_at(&written, CHUNK_BYTES as u64 - 5).unwrap();
        let mut read = vec![9; written.len() + 10];
        disk.open("a").unwrap().read_exact_at(&mut read, CHUNK_BYTES as u64 - 10).unwrap();
        assert_eq!(read[..5], [0; 5]);
        assert_eq!(read[5..written.len() + 5], written);
        assert_eq!(read[written.len() + 5..], [0; 5]);
        let beyond = file.read_exact_at(&mut [0], 3 * CHUNK_BYTES as u64);
        assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

//! A file being written: counted, hashed, and reported as it grows.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::manifest::{Extent, FileRecord, hex};

/// Told how many bytes were dealt with since the last call; says whether to go on.
pub type Advance<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Writes gather up to this many bytes.
const GATHERED: usize = 1 << 20;

/// One new file of a saved log.
pub(crate) struct Sink<'a> {
    file: io::BufWriter<Box<dyn DiskFile>>,
    path: PathBuf,
    position: u64,
    whole: Sha256,
    metadata: Sha256,
    pages: Extent,
    in_pages: bool,
    advance: &'a mut Advance<'a>,
}

impl<'a> Sink<'a> {
    pub(crate) fn create(disk: &dyn Disk, path: &Path, advance: &'a mut Advance<'a>) -> Result<Self, StoreError> {
        let file = disk.create_file(path).map_err(|source| StoreError::Write { path: path.to_owned(), source })?;
        Ok(Self {
            file: io::BufWriter::with_capacity(GATHERED, file),
            path: path.to_owned(),
            position: 0,
            whole: Sha256::new(),
            metadata: Sha256::new(),
            pages: Extent { start: 0, bytes: 0 },
            in_pages: false,
            advance,
        })
    }

    /// How many bytes stand before the next.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// What follows is left unread when the log is opened.
    pub(crate) fn begin_pages(&mut self) {
        self.pages.start = self.position;
        self.in_pages = true;
    }

    /// What follows is metadata again.
    pub(crate) fn end_pages(&mut self) {
        self.pages.bytes = self.position - self.pages.start;
        self.in_pages = false;
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|source| StoreError::Write { path: self.path.clone(), source })?;
        self.whole.update(bytes);
        if !self.in_pages {
            self.metadata.update(bytes);
        }
        self.position += bytes.len() as u64;
        match (self.advance)(bytes.len() as u64) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(StoreError::Cancelled),
        }
    }

    /// Zeros up to a position that is not behind.
    pub(crate) fn pad_to(&mut self, position: u64) -> Result<(), StoreError> {
        let zeros = vec![0; position.saturating_sub(self.position) as usize];
        self.write(&zeros)
    }

    /// Waits until everything is on the disk.
    pub(crate) fn finish(mut self) -> Result<FileRecord, StoreError> {
        let written = self.file.flush().and_then(|()| self.file.get_mut().sync());
        written.map_err(|source| StoreError::Write { path: self.path.clone(), source })?;
        Ok(FileRecord {
            bytes: self.position,
            pages: self.pages,
            metadata_sha256: hex(self.metadata.finalize().as_slice()),
            sha256: hex(self.whole.finalize().as_slice()),
        })
    }
}

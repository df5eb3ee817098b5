//! Files of a folder, mapped into memory.
//!
//! A mapped file must not shrink or change while it is mapped: touching a page that is gone ends the process (SIGBUS
//! on Unix). Nothing here ever does that to a saved log, as files are written once, aside, and replaced by name; what
//! is mapped lives on under no name until it is let go. Whoever edits or truncates the files by other means breaks
//! that promise.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};
use bytes::Bytes;
use memmap2::Mmap;
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::manifest::{Extent, FileRecord, hex};

/// A folder held open, so that all its files are of one save even if the folder is replaced meanwhile.
pub(crate) struct Folder {
    path: PathBuf,
    #[cfg(unix)]
    handle: File,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.is_dir() && path.exists() {
            return Err(StoreError::damaged(path, "it is a file, not the folder of a saved log"));
        }
        Ok(Self {
            path: path.to_owned(),
            #[cfg(unix)]
            handle: File::open(path).map_err(|source| unreadable(path, source, "the folder of a saved log"))?,
        })
    }

    /// The name of a file as messages give it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn file(&self, name: &str) -> io::Result<File> {
        #[cfg(unix)]
        {
            use rustix::fs::{Mode, OFlags, openat};
            // Opening a pipe would wait for a writer.
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            Ok(openat(&self.handle, name, flags, Mode::empty())?.into())
        }
        #[cfg(not(unix))]
        File::open(self.path(name))
    }

    /// The text of a small file.
    pub(crate) fn text(&self, name: &str, expected: &'static str) -> Result<String, StoreError> {
        let mut text = String::new();
        let read = self.file(name).and_then(|mut file| file.read_to_string(&mut text));
        match read {
            Ok(_) => Ok(text),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(StoreError::damaged(self.path(name), "it is not text"))
            }
            Err(error) => Err(unreadable(&self.path(name), error, expected)),
        }
    }

    /// Maps a file and checks its length and everything but its pages.
    pub(crate) fn map(&self, name: &str, record: &FileRecord) -> Result<Mapped, StoreError> {
        let path = self.path(name);
        let file = self.file(name).map_err(|source| unreadable(&path, source, "a file of the saved log"))?;
        let found = file.metadata().map_err(|source| unreadable(&path, source, "a file of the saved log"))?;
        if !found.is_file() {
            return Err(StoreError::damaged(path, "it is no file"));
        }
        if found.len() != record.bytes {
            let problem = format!("it has {} bytes; the manifest says {}", found.len(), record.bytes);
            return Err(StoreError::damaged(path, problem));
        }
        // SAFETY: the file is opened for reading only and, by the promise above, neither shrinks nor changes while it
        // is mapped.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(|source| unreadable(&path, source, "a file of the saved log"))?;
        let mapped = Mapped { path, buffer: Buffer::from(Bytes::from_owner(map)) };
        let pages = mapped.slice(record.pages)?;
        let (head, tail) = (record.pages.start as usize, record.pages.start as usize + pages.len());
        let bytes = mapped.buffer.as_slice();
        let digest = Sha256::new().chain_update(&bytes[..head]).chain_update(&bytes[tail..]).finalize();
        if hex(digest.as_slice()) != record.metadata_sha256 {
            return Err(StoreError::damaged(&mapped.path, "its metadata is not what was saved"));
        }
        Ok(mapped)
    }
}

fn unreadable(path: &Path, source: io::Error, expected: &'static str) -> StoreError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => StoreError::Missing { path, expected },
        _ => StoreError::Read { path, source },
    }
}

/// A mapped file.
pub(crate) struct Mapped {
    path: PathBuf,
    buffer: Buffer,
}

impl Mapped {
    /// Some bytes, not copied.
    pub(crate) fn slice(&self, extent: Extent) -> Result<Buffer, StoreError> {
        let inside = extent.start.checked_add(extent.bytes).is_some_and(|end| end <= self.buffer.len() as u64);
        if !inside {
            let problem = format!("bytes {} + {} lie beyond its end", extent.start, extent.bytes);
            return Err(StoreError::damaged(&self.path, problem));
        }
        Ok(self.buffer.slice_with_length(extent.start as usize, extent.bytes as usize))
    }

    /// So many values, not copied.
    pub(crate) fn values<T: ArrowNativeType>(&self, extent: Extent, count: u64) -> Result<ScalarBuffer<T>, StoreError> {
        let bytes = self.slice(extent)?;
        let aligned = bytes.as_ptr().align_offset(align_of::<T>()) == 0;
        if !aligned || count.checked_mul(size_of::<T>() as u64) != Some(extent.bytes) {
            let problem = format!("bytes {} + {} do not hold {count} values", extent.start, extent.bytes);
            return Err(StoreError::damaged(&self.path, problem));
        }
        Ok(ScalarBuffer::from(bytes))
    }

    /// The whole file's SHA-256.
    pub(crate) fn sha256(&self, each: &mut dyn FnMut(u64) -> Result<(), StoreError>) -> Result<String, StoreError> {
        let mut digest = Sha256::new();
        for piece in self.buffer.as_slice().chunks(1 << 20) {
            digest.update(piece);
            each(piece.len() as u64)?;
        }
        Ok(hex(digest.finalize().as_slice()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

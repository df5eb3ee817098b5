//! A model directory held open, and its files read whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::ModelDirectoryError as Error;
use super::manifest::MANIFEST;
use crate::session::MAX_MODEL_BYTES;

/// The ONNX file.
pub(super) const MODEL: &str = "model.onnx";
/// The most bytes of the manifest.
const MANIFEST_LIMIT: u64 = 16 << 20;
/// The most bytes of any other file but the ONNX file.
const TABLE_LIMIT: u64 = 64 << 20;

/// A folder held open, so that all its files are of one save even if it is replaced meanwhile.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    #[cfg(unix)]
    handle: File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        #[cfg(unix)]
        {
            use rustix::fs::{CWD, Mode, OFlags, openat};
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let handle = openat(CWD, path, flags, Mode::empty())
                .map_err(|errno| Error::NoModel { folder: path.to_owned(), source: errno.into() })?;
            Ok(Self { path: path.to_owned(), handle: handle.into() })
        }
        #[cfg(not(unix))]
        Ok(Self { path: path.to_owned() })
    }

    /// A file's name as messages give it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The bytes of the manifest.
    pub(super) fn manifest(&self) -> Result<Vec<u8>, Error> {
        self.bytes(MANIFEST).map_err(|error| match error {
            Error::Unreadable { source, .. } => Error::NoModel { folder: self.path.clone(), source },
            other => other,
        })
    }

    /// The bytes of a file, if it is one and no larger than it may be.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.file(name);
        let limit = match name {
            MANIFEST => MANIFEST_LIMIT,
            MODEL => MAX_MODEL_BYTES as u64,
            _ => TABLE_LIMIT,
        };
        let read = || -> io::Result<Result<Vec<u8>, &'static str>> {
            let Some(file) = self.open_file(name)? else { return Ok(Err("a link")) };
            let found = file.metadata()?;
            if !found.is_file() {
                return Ok(Err("no file"));
            }
            let mut bytes = Vec::with_capacity(found.len().min(limit) as usize);
            // Of a file that grows meanwhile no more is read than is allowed.
            file.take(limit + 1).read_to_end(&mut bytes)?;
            Ok(Ok(bytes))
        };
        match read() {
            Err(source) => Err(Error::Unreadable { path, source }),
            Ok(Err(found)) => Err(Error::NotAFile { path, found }),
            Ok(Ok(bytes)) if bytes.len() as u64 > limit => Err(Error::TooLarge { path, limit }),
            Ok(Ok(bytes)) => Ok(bytes),
        }
    }

    /// The file with a name; none if it is a link, which is never followed.
    #[cfg(unix)]
    fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        use rustix::fs::{Mode, OFlags, openat};
        use rustix::io::Errno;
        // Opening a pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            // What the systems say of a link that is not to be followed.
            Err(Errno::LOOP | Errno::MLINK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    #[cfg(not(unix))]
    fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        let path = self.file(name);
        if path.symlink_metadata()?.is_symlink() { Ok(None) } else { File::open(path).map(Some) }
    }
}

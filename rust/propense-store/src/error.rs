//! What can go wrong between a log and a disk.

use std::io;
use std::path::PathBuf;

use propense_core::events::EventsError;
use thiserror::Error;

/// Why a log was not saved, opened or found sound.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Saving would overwrite something that is no log.
    #[error("{} {found}; give a new folder, or one that holds a saved log and nothing else", folder.display())]
    Occupied {
        /// Where the log was to go.
        folder: PathBuf,
        /// What is there.
        found: String,
    },
    /// Something could not be written; what was at the target before is still there.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The work was told to stop; what was at the target before is still there.
    #[error("the work was cancelled")]
    Cancelled,
    /// A file or folder is not there.
    #[error("{} is not there; expected {expected}", path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// What it should have been.
        expected: &'static str,
    },
    /// A file could not be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The manifest is not JSON of the known form.
    #[error("{} is not the manifest of a saved log: {source}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Where the JSON is wrong.
        source: serde_json::Error,
    },
    /// The log was saved in another format.
    #[error("{} has format {format:?}, version {version}; expected {:?}, version {}: save the log anew",
        path.display(), crate::FORMAT, crate::FORMAT_VERSION)]
    Version {
        /// The manifest.
        path: PathBuf,
        /// The format that it names.
        format: String,
        /// Its version.
        version: u64,
    },
    /// A file is not what was saved.
    #[error("{} is damaged: {problem}; restore the folder or save the log anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        problem: String,
    },
    /// Parts that were to become one do not lie side by side, or are no longer there.
    #[error("the sources to be replaced do not lie side by side; take them from the store's list, in its order")]
    Sources,
    /// A log of a store has a place that is neither whole nor its torn end.
    #[error("{} is corrupt at offset {offset}: {problem}; see what `propense store check` says can be saved, or restore a copy",
        path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Bytes before the place.
        offset: u64,
        /// What was expected and found.
        problem: String,
    },
    /// Another process, or another part of this one, has the store open.
    #[error("{} is open elsewhere; a store has one writer at a time", folder.display())]
    Locked {
        /// The store.
        folder: PathBuf,
    },
    /// The files are each sound but make no log.
    #[error("{} holds no usable log: {source}", folder.display())]
    Parts {
        /// The folder.
        folder: PathBuf,
        /// What does not fit.
        source: EventsError,
    },
}

impl StoreError {
    /// A file that is not what was saved.
    pub(crate) fn damaged(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), problem: problem.into() }
    }

    /// A place of a log that cannot be read.
    pub(crate) fn corrupt(path: impl Into<PathBuf>, offset: u64, problem: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), offset, problem: problem.into() }
    }
}

//! What can be asked of a store, and the answers.

use std::any::Any;
use std::io::ErrorKind;
use std::sync::Arc;

use thiserror::Error;

use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::BatchError;
use crate::error::StoreError;

/// Rows with more properties than this count as several where memory is at stake.
const CELLS_OF_A_ROW: usize = 32;

/// A change of a store.
#[derive(Debug)]
pub enum Write {
    /// Events to add; those that are there already count as duplicates.
    Events(EventBatch),
    /// Attributes of users to set; a missing one stays as it is, and users who have events or none alike may have some.
    Profiles(ProfileBatch),
    /// A user to erase, for ever: later events and profiles of the user are dropped.
    Erase(String),
    /// A message to the store's observer ([`crate::Observer::asked`]).
    Ask(Box<dyn Any + Send>),
}

impl Write {
    /// How much room it takes in the queue: its rows, or more if they are wide.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Events(batch) => batch.len().max(batch.properties.cells() / CELLS_OF_A_ROW),
            Self::Profiles(batch) => batch.len().max(batch.columns.cells() / CELLS_OF_A_ROW),
            Self::Erase(_) | Self::Ask(_) => 1,
        }
    }
}

/// What became of a write that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Grows with every commit; a write with a smaller one was on the disk before.
    pub sequence: u64,
    /// Rows that were added.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Rows of erased users, which were dropped.
    pub erased: u64,
}

/// Called once with the answer, on a thread of the store's: it must neither block nor wait for the store.
pub type Reply = Box<dyn FnOnce(Result<Receipt, WriteError>) + Send>;

/// Why a write was not acknowledged.
#[derive(Debug, Clone, Error)]
pub enum WriteError {
    /// More is waiting than the store takes; nothing was changed.
    #[error("the store has too many writes waiting; try again in a moment")]
    Busy,
    /// The batch breaks a rule; nothing was changed.
    #[error(transparent)]
    Invalid(#[from] BatchError),
    /// The disk is full; writing goes on by itself once there is room. Sending it again does no harm.
    #[error("the store's disk is full: {source}")]
    NoSpace {
        /// The file, and the system's reason.
        source: Arc<StoreError>,
    },
    /// The disk refused; the write may or may not be there after a crash. Sending it again does no harm.
    #[error("the write is not on the disk: {source}")]
    Failed {
        /// The file, and the system's reason.
        source: Arc<StoreError>,
    },
    /// The store's observer does not do what it was asked, or there is none; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The store was closed, or is closing.
    #[error("the store is closed")]
    Closed,
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Cancelled) {
            return Self::Closed;
        }
        let full = matches!(&error, StoreError::Write { source, .. }
            if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded));
        let source = Arc::new(error);
        if full { Self::NoSpace { source } } else { Self::Failed { source } }
    }
}

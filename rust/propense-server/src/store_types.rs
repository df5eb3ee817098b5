//! What can be asked of a store, and the answers.

use std::sync::Arc;

use propense_store::{BatchError, EventBatch, ProfileBatch, StoreError};
use thiserror::Error;

/// A change of a store.
#[derive(Debug)]
pub enum Write {
    /// Events to add.
    Events(EventBatch),
    /// Attributes of users to set.
    Profiles(ProfileBatch),
    /// A user to erase.
    Erase(String),
}

/// What became of a write that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Grows with every commit.
    pub sequence: u64,
    /// Rows that were added.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Rows of erased users, which were dropped.
    pub erased: u64,
}

/// Called once with the answer, on a thread of the store's.
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
    /// The disk is full.
    #[error("the store's disk is full: {source}")]
    NoSpace {
        /// The file, and the system's reason.
        source: Arc<StoreError>,
    },
    /// The disk refused.
    #[error("the write is not on the disk: {source}")]
    Failed {
        /// The file, and the system's reason.
        source: Arc<StoreError>,
    },
    /// The store was closed, or is closing.
    #[error("the store is closed")]
    Closed,
}

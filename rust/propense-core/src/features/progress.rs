//! How far long work is, seen from another thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::FeatureError;

/// Counts finished users; can be told to stop.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// Users finished so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Asks the work to stop at its next block.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Counts a finished block.
    ///
    /// # Errors
    /// [`FeatureError::Cancelled`] once [`Self::cancel`] was called.
    pub fn advance(&self, users: usize) -> Result<(), FeatureError> {
        self.done.fetch_add(users as u64, Ordering::Relaxed);
        if self.cancelled.load(Ordering::Relaxed) { Err(FeatureError::Cancelled) } else { Ok(()) }
    }
}

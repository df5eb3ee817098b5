//! Who enters and leaves, as it happens.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::watch;

use super::LiveSegments;
use crate::segments::error::SegmentsError;
use crate::segments::published::TransitionPage;

impl LiveSegments {
    /// The number of the last transition; 0 before the first.
    #[must_use]
    pub fn last_transition(&self) -> u64 {
        self.shared.published.last()
    }

    /// Up to about `limit` transitions with larger numbers than `after`; waits up to `patience` for the first. Where the next
    /// ones were of users who are erased, there may be none and still be read on.
    ///
    /// # Errors
    /// [`SegmentsError::Gone`] or [`SegmentsError::Ahead`], or the store's notes cannot be read.
    pub fn transitions_after(
        &self,
        after: u64,
        limit: usize,
        patience: Duration,
    ) -> Result<TransitionPage, SegmentsError> {
        let mut after = after;
        loop {
            let page = self.page(after, limit)?;
            // Perhaps there were only such as were erased.
            let has_more = || page.up_to > after || self.shared.published.wait(after, patience);
            if !page.transitions.is_empty() || !has_more() || self.shared.stopping.load(SeqCst) {
                return Ok(page);
            }
            after = page.up_to;
        }
    }

    /// The same at once, with how far one has read.
    pub(crate) fn page(&self, after: u64, limit: usize) -> Result<TransitionPage, SegmentsError> {
        self.shared.published.read(after, limit, &self.store)
    }

    /// Changes whenever there are more transitions.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.published.subscribe()
    }

    /// Those who watch transitions.
    pub(crate) fn watchers(&self) -> &AtomicU64 {
        &self.shared.watchers
    }
}

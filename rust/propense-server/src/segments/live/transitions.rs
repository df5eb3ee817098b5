//! Who enters and leaves, as it happens.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::watch;

use super::LiveSegments;
use crate::segments::error::SegmentsError;
use crate::segments::published::Page;
use crate::segments::transition::Transition;

impl LiveSegments {
    /// The number of the last transition; 0 before the first.
    #[must_use]
    pub fn last_transition(&self) -> u64 {
        self.shared.published.last()
    }

    /// Up to about `limit` transitions with larger numbers than `after`, ascending; waits up to `patience` for the first.
    /// Numbers of users who were erased are missing.
    ///
    /// # Errors
    /// [`SegmentsError::Gone`] or [`SegmentsError::Ahead`], or the store's notes cannot be read.
    pub fn transitions_after(
        &self,
        after: u64,
        limit: usize,
        patience: Duration,
    ) -> Result<Vec<Transition>, SegmentsError> {
        let mut after = after;
        loop {
            let page = self.page(after, limit)?;
            if !page.transitions.is_empty() {
                return Ok(page.transitions);
            }
            // Perhaps there were only such as were erased.
            if page.up_to == after && !self.shared.published.wait(after, patience) {
                return Ok(Vec::new());
            }
            if self.shared.stopping.load(SeqCst) {
                return Ok(Vec::new());
            }
            after = page.up_to;
        }
    }

    /// The same at once, with how far one has read.
    pub(crate) fn page(&self, after: u64, limit: usize) -> Result<Page, SegmentsError> {
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

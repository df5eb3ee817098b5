//! Counts of what the engine does.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::transition::Cause;

/// All of them; every one starts at zero with the process.
#[derive(Default)]
pub(crate) struct SegmentCounts {
    entered: [AtomicU64; 5],
    left: [AtomicU64; 5],
    /// Users who were evaluated.
    pub(super) evaluated: AtomicU64,
    /// Time spent on that.
    evaluation_us: AtomicU64,
    /// Users of whom that failed.
    pub(super) failed: AtomicU64,
    /// Users whose timer came up.
    pub(super) due: AtomicU64,
}

impl SegmentCounts {
    pub(super) fn moved(&self, enter: bool, cause: Cause) {
        let counts = if enter { &self.entered } else { &self.left };
        counts[cause as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn took(&self, users: usize, took: Duration) {
        self.evaluated.fetch_add(users as u64, Relaxed);
        self.evaluation_us.fetch_add(took.as_micros() as u64, Relaxed);
    }

    /// Transitions by kind and cause: whether entering, the cause, how many.
    pub(crate) fn transitions(&self) -> Vec<(bool, Cause, u64)> {
        let of = |enter, counts: &[AtomicU64; 5]| -> Vec<_> {
            Cause::ALL.iter().zip(counts).map(|(cause, count)| (enter, *cause, count.load(Relaxed))).collect()
        };
        [of(true, &self.entered), of(false, &self.left)].concat()
    }

    /// Users evaluated, the seconds that took, users of whom it failed, timers that came up.
    pub(crate) fn evaluations(&self) -> (u64, f64, u64, u64) {
        let load = |count: &AtomicU64| count.load(Relaxed);
        let seconds = load(&self.evaluation_us) as f64 / 1e6;
        (load(&self.evaluated), seconds, load(&self.failed), load(&self.due))
    }
}

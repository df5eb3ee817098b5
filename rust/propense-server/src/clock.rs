//! What the server takes for now.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use crate::instants::{in_range, now_us};

/// The system's clock, or a simulated one that stands still until it is advanced; clones are the same clock.
///
/// Scores without an `as_of`, segments, their timers and transitions go by it. What protects the server does not: tokens
/// expire, and the log is dated, by the system's clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    simulated_us: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at an instant, microseconds since 1970 UTC. A store that has seen a later instant already
    /// advances it to that one.
    #[must_use]
    pub fn simulated(time_us: i64) -> Self {
        Self { simulated_us: Some(Arc::new(AtomicI64::new(time_us))) }
    }

    /// Now, microseconds since 1970 UTC.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        self.simulated_us.as_ref().map_or_else(now_us, |simulated_us| simulated_us.load(SeqCst))
    }

    /// Whether it stands still unless it is advanced.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.simulated_us.is_some()
    }

    /// Lets a simulated clock go on to an instant; it never goes back, and the system's clock is left alone. Gives whether
    /// the clock is there.
    pub(crate) fn advance_to(&self, time_us: i64) -> bool {
        let Some(simulated_us) = &self.simulated_us else { return false };
        in_range(time_us) && simulated_us.fetch_max(time_us, SeqCst) <= time_us
    }
}

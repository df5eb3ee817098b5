//! How far a server has come, and who waits for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::error::ServerError;
use crate::segments::LiveSegments;

/// How far a server has come.
#[derive(Default)]
pub(crate) struct Life {
    phase: Mutex<Phase>,
    changed: Condvar,
    pub(crate) segments: OnceLock<Weak<LiveSegments>>,
}

#[derive(Default)]
pub(crate) struct Phase {
    pub(crate) ready: bool,
    pub(crate) ended: bool,
    pub(crate) failed: Option<ServerError>,
}

impl Life {
    pub(crate) fn change(&self, change: impl FnOnce(&mut Phase)) {
        change(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self, patience: Duration, until: impl Fn(&Phase) -> bool) -> MutexGuard<'_, Phase> {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(phase, patience, |phase| !until(phase));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Tells the end when it goes, also in a panic.
pub(crate) struct EndOnDrop(pub(crate) Arc<Life>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.change(|phase| phase.ended = true);
    }
}

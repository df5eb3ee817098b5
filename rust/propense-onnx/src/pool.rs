//! A fixed number of sessions of one model, lent to one caller each.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ort::session::Session;

/// Sessions that are free at this moment, and a bell for who waits for one.
///
/// A session's `run` needs it alone, because ONNX Runtime's own is not safe to call from two
/// threads. A list of free sessions, rather than a lock on each, never makes a caller wait for a
/// busy session while another is free.
pub(crate) struct SessionPool {
    free: Mutex<Vec<Session>>,
    returned: Condvar,
}

impl SessionPool {
    pub(crate) fn new(sessions: Vec<Session>) -> Self {
        Self { free: Mutex::new(sessions), returned: Condvar::new() }
    }

    /// Lend `work` a session, waiting for one if all are lent; it comes back even from a panic.
    pub(crate) fn lend<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        let mut session = self.take();
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut session)));
        self.lock().push(session);
        self.returned.notify_one();
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn take(&self) -> Session {
        let mut free = self.lock();
        loop {
            if let Some(session) = free.pop() {
                return session;
            }
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Requests that wait for the committer: bounded in rows, and never blocking those who ask.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;
use crate::request::{Reply, Write, WriteError};

/// Something for the committer to do, in its turn.
pub(crate) enum Request {
    /// A change, and who waits for it.
    Write(Box<Write>, Reply),
    /// Begin a new segment and a new memtable; tell when that is done.
    Freeze(SyncSender<Result<(), StoreError>>),
}

impl Request {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Write(write, _) => write.rows(),
            Self::Freeze(_) => 0,
        }
    }
}

/// The queue.
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    limit_rows: usize,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    rows: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(limit_rows: usize) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), limit_rows }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements here, none of which panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request in; one that is larger than the whole queue has its turn when nothing else waits.
    pub(crate) fn push(&self, request: Request) -> Result<(), WriteError> {
        let mut state = self.lock();
        if state.closed {
            return Err(WriteError::Closed);
        }
        if !self.takes(&state, request.rows()) {
            return Err(WriteError::Busy);
        }
        state.rows += request.rows();
        state.requests.push_back(request);
        self.arrived.notify_one();
        Ok(())
    }

    /// Whether a request of so many rows would be taken in now, or refused for another reason than being one too many.
    pub(crate) fn has_room(&self, rows: usize) -> bool {
        let state = self.lock();
        state.closed || self.takes(&state, rows)
    }

    fn takes(&self, state: &State, rows: usize) -> bool {
        rows == 0 || state.requests.is_empty() || state.rows + rows <= self.limit_rows
    }

    /// Waits for the next request; none once the queue is closed and empty.
    pub(crate) fn next(&self) -> Option<Request> {
        let mut state = self.lock();
        loop {
            if let Some(request) = state.requests.pop_front() {
                state.rows -= request.rows();
                return Some(request);
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next request if there is one and it is as wanted.
    pub(crate) fn next_if(&self, wanted: impl FnOnce(&Request) -> bool) -> Option<Request> {
        let mut state = self.lock();
        let request =
            if state.requests.front().is_some_and(wanted) { state.requests.pop_front()? } else { return None };
        state.rows -= request.rows();
        Some(request)
    }

    /// Whether nothing more is taken in.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes no more in; what waits is still done.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Takes no more in and forgets what waits: whoever asked learns by their reply being dropped.
    pub(crate) fn abandon(&self) {
        let forgotten = {
            let mut state = self.lock();
            state.closed = true;
            state.rows = 0;
            std::mem::take(&mut state.requests)
        };
        drop(forgotten);
    }

    /// Rows that wait.
    pub(crate) fn rows(&self) -> usize {
        self.lock().rows
    }
}

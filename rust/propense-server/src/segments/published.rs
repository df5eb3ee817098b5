//! Transitions that are on the disk, for all who follow them, each at their own pace.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use propense_store::{NotesError, Store};
use tokio::sync::watch;

use super::error::SegmentsError;
use super::note::Note;
use super::transition::Transition;

/// Transitions kept in memory; who is further behind reads notes.
const RECENT: usize = 65_536;
/// Bytes of notes read at a time.
const NOTES_BYTES: usize = 1 << 20;

/// The newest transitions, and who waits for more.
pub(super) struct Published {
    recent: Mutex<Recent>,
    more: Condvar,
    told: watch::Sender<u64>,
}

#[derive(Default)]
struct Recent {
    transitions: VecDeque<Transition>,
    /// The number before the first of them.
    before: u64,
    /// The last number; of somebody erased perhaps.
    last: u64,
    closed: bool,
}

/// Some transitions, and how far one has read with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransitionPage {
    /// Ascending by number; those of users who were erased are missing.
    pub transitions: Vec<Transition>,
    /// All that there is up to this number was given.
    pub up_to: u64,
}

impl Published {
    pub(super) fn new() -> Self {
        Self { recent: Mutex::default(), more: Condvar::new(), told: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        // What is in there is whole between any two statements, none of which panics.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last number.
    pub(super) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Begins after a number: earlier ones are in notes only.
    pub(super) fn begin(&self, last: u64) {
        *self.lock() = Recent { before: last, last, ..Recent::default() };
        self.told.send_replace(last);
    }

    /// Adds transitions that are on the disk now.
    pub(super) fn publish(&self, transitions: Vec<Transition>, last: u64) {
        if transitions.is_empty() {
            return;
        }
        let mut recent = self.lock();
        // Of more than are kept, only the last ever need to be there.
        let unkept = transitions.len().saturating_sub(RECENT);
        if let Some(unkept) = unkept.checked_sub(1) {
            recent.transitions.clear();
            recent.before = transitions[unkept].number;
        }
        recent.transitions.extend(transitions.into_iter().skip(unkept));
        recent.last = last;
        while recent.transitions.len() > RECENT {
            if let Some(oldest) = recent.transitions.pop_front() {
                recent.before = oldest.number;
            }
        }
        drop(recent);
        self.more.notify_all();
        self.told.send_replace(last);
    }

    /// Nothing more will come; who waits is told.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }

    /// Changes whenever there is more; holds the last number.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// Waits until there is more after a number; false if there is not within `patience`.
    pub(super) fn wait(&self, after: u64, patience: Duration) -> bool {
        let waits = |recent: &mut Recent| recent.last <= after && !recent.closed;
        let waited = self.more.wait_timeout_while(self.lock(), patience, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.last > after
    }

    /// Up to `limit` transitions after a number, at once.
    ///
    /// # Errors
    /// Those after the number are kept no longer, or the number is beyond the last.
    pub(super) fn read(&self, after: u64, limit: usize, store: &Store) -> Result<TransitionPage, SegmentsError> {
        {
            let recent = self.lock();
            if after > recent.last {
                return Err(SegmentsError::Ahead { last: recent.last });
            }
            if after >= recent.before {
                let first = recent.transitions.partition_point(|transition| transition.number <= after);
                let transitions: Vec<_> = recent.transitions.range(first..).take(limit).cloned().collect();
                let is_all = first + transitions.len() == recent.transitions.len();
                let up_to = if is_all { recent.last } else { transitions.last().map_or(after, |last| last.number) };
                return Ok(TransitionPage { transitions, up_to });
            }
        }
        let notes = store.notes_after(after, NOTES_BYTES).map_err(|error| match error {
            NotesError::Gone { first } => SegmentsError::Gone { first: first + 1 },
            NotesError::Unreadable(error) => SegmentsError::Unreadable(error.to_string()),
        })?;
        let mut page = TransitionPage { transitions: Vec::new(), up_to: after };
        for (position, payload) in notes {
            let left = limit.saturating_sub(page.transitions.len()).max(1);
            let (found, is_all) = Note::transitions_after(&payload, after, left).map_err(SegmentsError::Unreadable)?;
            page.transitions.extend(found);
            page.up_to = if is_all { position } else { page.transitions.last().map_or(after, |last| last.number) };
            if !is_all || page.transitions.len() >= limit {
                break;
            }
        }
        Ok(page)
    }
}

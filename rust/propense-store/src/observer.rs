//! What follows from writes, in the same commit as the writes: an observer sees rows before anyone else does, and what it
//! says of them stands in their record.
//!
//! An observer keeps a state of its own that is a fold over its notes: a [`Note`] says what has changed. On the disk are
//! exactly the notes of the commits that are there, so that the state after [`Observer::replay`] fits the events.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};

use thiserror::Error;

use crate::error::StoreError;
use crate::snapshot::Snapshot;

/// A user of whom a commit brings something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched<'a> {
    /// The user's id.
    pub user: &'a str,
    /// The time of the earliest new event, microseconds since 1970-01-01 UTC; `i64::MAX` if there is none.
    pub earliest_us: i64,
    /// Whether attributes were set.
    pub attributes: bool,
}

/// What an observer says of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// The number of the last transition in this note and all before it; it never falls. A note that does not raise it
    /// is replayed but not given to those who follow ([`crate::Store::notes_after`]).
    pub position: u64,
    /// Bytes that only the observer understands.
    pub payload: Vec<u8>,
}

/// Told of every commit, on the one thread that commits, before it is on the disk and after.
///
/// Each commit calls one of [`Self::staged`], [`Self::asked`] and [`Self::erasing`], then [`Self::settled`]; only then may
/// the state that it leads to be shown to others. Methods must not wait for the store (a write would never be answered),
/// nor keep a view beyond the call unless the commit settles well. They may use many threads. A call that panics closes
/// the store.
pub trait Observer: Send {
    /// Sees the rows of a commit that nobody else sees yet.
    ///
    /// `touched` has each user with at least one accepted row once, ascending. A record that cannot be written takes the
    /// rows back, but codes of texts that they brought stay given.
    fn staged(&mut self, view: &Snapshot, touched: &[Touched<'_>]) -> Option<Note>;

    /// Answers [`crate::Write::Ask`], in a commit of its own; `view` is what readers see.
    ///
    /// # Errors
    /// Why not, for the one who asked ([`crate::WriteError::Refused`]); nothing is written then.
    fn asked(&mut self, view: &Snapshot, message: Box<dyn Any + Send>) -> Result<Option<Note>, String>;

    /// Forgets a user who is being erased. May be called again for a user who is forgotten already, and before
    /// [`Self::opened`] if the last process did not finish. What the note holds of the user is cleaned away by
    /// [`Self::without`] soon after.
    fn erasing(&mut self, user: &str) -> Option<Note>;

    /// Says how the commit ended: with its sequence once it is on the disk and readers see it, or `None` if it could not
    /// be written, or nothing came of it; what was prepared is then to be forgotten.
    fn settled(&mut self, sequence: Option<u64>);

    /// Takes in a note, or a checkpoint, from the last time the store was open: the newest checkpoint and everything after
    /// it, in order; all notes if there is none. Which of the two it is the payload must say.
    ///
    /// Notes are missing in between only if a damaged store was repaired: `position` then jumps, and [`Self::opened`] says
    /// that the observer is behind.
    ///
    /// # Errors
    /// What is wrong with the payload; the store is then not opened.
    fn replay(&mut self, sequence: u64, position: u64, payload: &[u8]) -> Result<(), String>;

    /// Everything is replayed. `behind` says that the store has rows that this observer was never shown, as the store was
    /// open without one; it is said again at every opening until a note that is given here is on the disk.
    fn opened(&mut self, view: &Snapshot, behind: bool) -> Option<Note>;

    /// The state as one payload, from which [`Self::replay`] restores it; asked for between commits when a file of notes
    /// is full. Without one no old file is ever removed.
    fn checkpoint(&mut self) -> Option<Vec<u8>>;

    /// A payload without anything of an erased user; `None` if it has nothing of theirs. Not called on the thread that
    /// commits, but never while another method runs.
    fn without(&self, user: &str, payload: &[u8]) -> Option<Vec<u8>>;
}

/// An observer, between the threads of a store.
pub(crate) type SharedObserver = Arc<Mutex<Box<dyn Observer>>>;

/// A box that says no more than that it is one, for those who are debugging.
impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// Why notes were not given.
#[derive(Debug, Error)]
pub enum NotesError {
    /// The notes right after the position are no longer kept.
    #[error("notes are kept only from position {first} on; begin anew from there")]
    Gone {
        /// The smallest position after which all notes are there.
        first: u64,
    },
    /// A file of notes could not be read, or is damaged.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
}

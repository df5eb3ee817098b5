//! An observer's notes: what followed from each commit, kept for longer than the write-ahead log.
//!
//! A note is acknowledged with its commit, in whose record it stands. From there it goes to `notes/000001.notes`, … (see
//! [`mod@file`]); what is not yet in a synced file is kept in memory, and is in segments of the write-ahead log that are not
//! removed before. Opening reads the files up to the first record that is not whole and takes the rest from the log.
//!
//! - Notes are counted from 1 without gaps; by its number it is known whether a note is in the files already.
//! - A new file begins with a checkpoint, if the observer gives one: what the notes before it lead to.
//! - Only [`journal::Notes::flush`] and [`journal::Notes::clean`] write files, one at a time.

mod cleaning;
pub(crate) mod file;
pub(crate) mod journal;
mod reading;
pub(crate) mod recovery;
pub(crate) mod salvage;

/// A note, numbered, with the sequence of its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Counts from 1.
    pub(crate) number: u64,
    pub(crate) sequence: u64,
    pub(crate) position: u64,
    pub(crate) payload: Vec<u8>,
}

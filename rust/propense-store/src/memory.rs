//! All that a store holds, as its one writer changes it and many readers see it.

use std::path::Path;

use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::BatchError;
use crate::disk::Disk;
use crate::erased::ErasedUsers;
use crate::error::StoreError;
use crate::sink::Advance;

/// A source of events: a part or a frozen memtable. Ids are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u64);

/// What applying a batch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows that are now in memory.
    pub accepted: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows of erased users, left out.
    pub erased: u64,
}

/// What is known of a sealed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// The source.
    pub id: SourceId,
    /// The name it was opened with.
    pub name: String,
    /// Its events, those of erased users included.
    pub events: u64,
    /// Its users, erased ones included.
    pub users: u64,
    /// Of these users, those that were erased: a merge drops them.
    pub erased_users: u64,
    /// Bytes of its files that are mapped.
    pub mapped_bytes: u64,
    /// The earliest and the latest event; `None` without events.
    pub span_us: Option<(i64, i64)>,
}

/// Kinds that batches of one commit give to properties and attributes new to the store.
#[derive(Debug, Default)]
pub struct NewKinds {}

/// Sealed parts, frozen memtables and the active one. One thread writes; any number read through snapshots.
#[derive(Debug)]
pub struct Memory {}

impl Memory {
    /// Nothing but a set of erased users; room for `reserve_events` before the active memtable grows.
    #[must_use]
    pub fn new(_erased: ErasedUsers, _reserve_events: usize) -> Self {
        Self {}
    }

    /// Opens a sealed part and adds it after the parts so far: call it oldest first, before anything is applied.
    ///
    /// # Errors
    /// As [`crate::open()`], or the part's kinds contradict those of another part.
    pub fn add_part(&self, _name: &str, _folder: &Path) -> Result<SourceId, StoreError> {
        unimplemented!()
    }

    /// Checks a batch against the store and the batches of the same commit, and remembers what it brings.
    ///
    /// Nothing in the store changes. Whatever passes can be applied, in the same order.
    ///
    /// # Errors
    /// A property is of another kind, or there are too many.
    pub fn check_events(&self, _batch: &EventBatch, _new: &mut NewKinds) -> Result<(), BatchError> {
        unimplemented!()
    }

    /// [`Self::check_events`] for attributes.
    ///
    /// # Errors
    /// As there.
    pub fn check_profiles(&self, _batch: &ProfileBatch, _new: &mut NewKinds) -> Result<(), BatchError> {
        unimplemented!()
    }

    /// Puts a batch's new events into the active memtable; snapshots taken after it see all of them, others none.
    ///
    /// Called after the batch is on the disk, and at replay; events that are there already are counted and left out.
    ///
    /// # Errors
    /// As [`Self::check_events`], which is done again; nothing changes then.
    pub fn apply_events(&self, _batch: &EventBatch) -> Result<Applied, BatchError> {
        unimplemented!()
    }

    /// Puts a batch's attributes into the active memtable; the last write of each attribute wins.
    ///
    /// # Errors
    /// As [`Self::check_profiles`].
    pub fn apply_profiles(&self, _batch: &ProfileBatch) -> Result<Applied, BatchError> {
        unimplemented!()
    }

    /// Makes a user unknown, now and for events to come; says whether they were known.
    ///
    /// Their events stay in parts on the disk until these are merged ([`PartInfo::erased_users`]).
    pub fn erase(&self, _user: &str) -> bool {
        unimplemented!()
    }

    /// Events and profile values in the active memtable, for whoever decides when to seal.
    #[must_use]
    pub fn active_len(&self) -> usize {
        unimplemented!()
    }

    /// Bytes that the active and the frozen memtables take.
    #[must_use]
    pub fn memtable_bytes(&self) -> usize {
        unimplemented!()
    }

    /// Closes the active memtable and begins a new one; `None` if there was nothing in it.
    pub fn freeze(&self) -> Option<SourceId> {
        unimplemented!()
    }

    /// The frozen memtables, oldest first.
    #[must_use]
    pub fn frozen(&self) -> Vec<SourceId> {
        unimplemented!()
    }

    /// The parts, oldest first: the order in which the store's manifest must list them.
    #[must_use]
    pub fn parts(&self) -> Vec<PartInfo> {
        unimplemented!()
    }

    /// Writes frozen memtables, or parts, as one new part without their erased users; blocks nobody.
    ///
    /// The sources must lie side by side, as later profiles win. `Ok(false)` if nothing is left to write; then there is
    /// no folder.
    ///
    /// # Errors
    /// As [`crate::save_to`].
    pub fn write_part(
        &self,
        _sources: &[SourceId],
        _disk: &dyn Disk,
        _folder: &Path,
        _advance: &mut Advance<'_>,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Puts a written part in the place of its sources, or nothing if nothing was left of them.
    ///
    /// # Errors
    /// As [`Self::add_part`]; nothing changes then.
    pub fn replace(&self, _sources: &[SourceId], _part: Option<(&str, &Path)>) -> Result<(), StoreError> {
        unimplemented!()
    }
}

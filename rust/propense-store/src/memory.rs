//! All that a store holds, as its one writer changes it and many readers see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use propense_core::events::ColumnKind;

use crate::apply::{Applied, apply_events, apply_profiles};
use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::{BatchError, BatchProblem};
use crate::catalog::NewKinds;
use crate::erased::ErasedUsers;
use crate::gather::Gatherer;
use crate::lock::{hold, read, write};
use crate::memtable::{Limits, Memtable};
use crate::shape::Shape;
use crate::snapshot::{Shared, Snapshot, View};
use crate::source::{Rows, Source, SourceId};

/// Sealed parts, frozen memtables and the active one. One thread writes; any number read through snapshots.
#[derive(Debug)]
pub struct Memory {
    pub(crate) shared: Arc<Shared>,
    pub(crate) view: RwLock<View>,
    pub(crate) erased: RwLock<ErasedUsers>,
    /// Held by whoever changes the view; how many sources there have been.
    pub(crate) writer: Mutex<u64>,
    pub(crate) reserve_events: usize,
}

impl Memory {
    /// Nothing but a set of erased users; room for `reserve_events` before an active memtable asks for more.
    #[must_use]
    pub fn new(erased: ErasedUsers, reserve_events: usize) -> Self {
        let shared = Arc::new(Shared::new());
        let active = active(&shared, reserve_events, SourceId(0));
        let view = View {
            limits: Limits { rows: 0, writes: 0, users: 0 },
            shape: Arc::new(Shape::of(&read(&shared.catalog))),
            sources: Arc::new([active]),
            users: 0,
        };
        Self { shared, view: RwLock::new(view), erased: RwLock::new(erased), writer: Mutex::new(1), reserve_events }
    }

    /// The store as it is now; cheap.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.shared), self.view())
    }

    pub(crate) fn view(&self) -> View {
        read(&self.view).clone()
    }

    /// Lets snapshots taken from now on see a view, with the columns and texts that the catalog now has.
    pub(crate) fn publish(&self, mut view: View) {
        let catalog = read(&self.shared.catalog);
        if !view.shape.is_current(&catalog) {
            view.shape = Arc::new(Shape::of(&catalog));
        }
        drop(catalog);
        *write(&self.view) = view;
    }

    /// Adds columns that are read before any event has them; in memory only.
    ///
    /// # Errors
    /// [`BatchProblem::Kind`] names a column that has another kind already; nothing changes then.
    pub fn declare(
        &self,
        properties: &BTreeMap<String, ColumnKind>,
        attributes: &BTreeMap<String, ColumnKind>,
    ) -> Result<(), BatchProblem> {
        let _writer = hold(&self.writer);
        let mut catalog = write(&self.shared.catalog);
        for (known, declared) in [(&catalog.properties, properties), (&catalog.attributes, attributes)] {
            known.check(declared.iter().map(|(name, kind)| (name.as_str(), *kind)), &mut BTreeMap::new())?;
        }
        for (name, kind) in properties {
            catalog.properties.add(name, *kind);
        }
        for (name, kind) in attributes {
            catalog.attributes.add(name, *kind);
        }
        drop(catalog);
        self.publish(self.view());
        Ok(())
    }

    /// Checks a batch against the store and the batches of the same commit, and remembers what it brings.
    ///
    /// Nothing in the store changes. Whatever passes can be applied, in the same order.
    ///
    /// # Errors
    /// A property is of another kind, or there are too many.
    pub fn check_events(&self, batch: &EventBatch, new: &mut NewKinds) -> Result<(), BatchError> {
        read(&self.shared.catalog).properties.check_batch(&batch.properties, &mut new.properties)
    }

    /// [`Self::check_events`] for attributes.
    ///
    /// # Errors
    /// As there.
    pub fn check_profiles(&self, batch: &ProfileBatch, new: &mut NewKinds) -> Result<(), BatchError> {
        read(&self.shared.catalog).attributes.check_batch(&batch.columns, &mut new.attributes)
    }

    /// Puts a batch's new events into the active memtable; snapshots taken after it see all of them, others none.
    ///
    /// Called after the batch is on the disk, and at replay; events that are there already are counted and left out.
    /// The batch was validated ([`EventBatch::validate`]).
    ///
    /// # Errors
    /// As [`Self::check_events`], which is done again; nothing changes then.
    pub fn apply_events(&self, batch: &EventBatch) -> Result<Applied, BatchError> {
        let _writer = hold(&self.writer);
        self.check_events(batch, &mut NewKinds::default())?;
        let mut view = self.view();
        let applied = apply_events(&self.shared, &mut view, &read(&self.erased), batch, None);
        self.publish(view);
        Ok(applied)
    }

    /// Puts a batch's attributes into the active memtable; the last write of each attribute wins.
    ///
    /// # Errors
    /// As [`Self::check_profiles`]; nothing changes then.
    pub fn apply_profiles(&self, batch: &ProfileBatch) -> Result<Applied, BatchError> {
        let _writer = hold(&self.writer);
        self.check_profiles(batch, &mut NewKinds::default())?;
        let mut view = self.view();
        let applied = apply_profiles(&self.shared, &mut view, &read(&self.erased), batch, None);
        self.publish(view);
        Ok(applied)
    }

    /// The digest under which a user is erased.
    #[must_use]
    pub fn erased_digest(&self, user: &str) -> [u8; 32] {
        read(&self.erased).digest(user)
    }

    /// Makes a user unknown, now and for events to come; says whether they were known.
    ///
    /// Their events stay in parts on the disk until these are merged ([`crate::PartInfo::erased_users`]).
    pub fn erase(&self, user: &str) -> bool {
        let _writer = hold(&self.writer);
        let digest = self.erased_digest(user);
        write(&self.erased).insert(digest);
        let mut view = self.view();
        let slots = self.slots(&view, user);
        if slots.iter().all(Option::is_none) {
            return false;
        }
        let without =
            |(source, slot): (&Source, &Option<u32>)| slot.map_or_else(|| source.clone(), |slot| source.without(slot));
        view.sources = view.sources.iter().zip(&slots).map(without).collect();
        view.users -= 1;
        self.publish(view);
        true
    }

    pub(crate) fn slots(&self, view: &View, user: &str) -> Vec<Option<u32>> {
        let (catalog, hasher) = (&self.shared.catalog, &self.shared.hasher);
        let mut slots = Vec::new();
        Gatherer::new(&view.sources, Limits::ALL, &view.shape, catalog, hasher).find(user, &mut slots);
        slots
    }

    /// Events and profile values in the active memtable, for whoever decides when to seal.
    #[must_use]
    pub fn active_len(&self) -> usize {
        let limits = read(&self.view).limits;
        limits.rows as usize + limits.writes as usize
    }

    /// Bytes that the active and the frozen memtables take.
    #[must_use]
    pub fn memtable_bytes(&self) -> usize {
        let bytes = |source: &Source| match &source.rows {
            Rows::Recent(memtable) => read(&memtable.table).memory_bytes(),
            Rows::Part(_) => 0,
        };
        self.view().sources.iter().map(bytes).sum()
    }

    /// Bytes that the parts' indexes and the catalog take; what is mapped is not counted.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        let bytes = |source: &Source| match &source.rows {
            Rows::Part(part) => part.memory_bytes(),
            Rows::Recent(_) => 0,
        };
        self.view().sources.iter().map(bytes).sum::<usize>() + read(&self.shared.catalog).memory_bytes()
    }
}

pub(crate) fn take_id(next: &mut u64) -> SourceId {
    *next += 1;
    SourceId(*next - 1)
}

pub(crate) fn active(shared: &Shared, reserve_events: usize, id: SourceId) -> Source {
    let memtable = Arc::new(Memtable::new(&shared.hasher, reserve_events));
    Source { id, rows: Rows::Recent(memtable), dropped: Arc::default() }
}

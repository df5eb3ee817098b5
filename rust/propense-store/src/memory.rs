//! All that a store holds, as its one writer changes it and many readers see it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use arrow_array::Array;
use propense_core::events::ColumnKind;

use crate::apply::{Applied, apply_events, apply_profiles};
use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::{BatchError, BatchProblem};
use crate::catalog::NewKinds;
use crate::disk::Disk;
use crate::erased::ErasedUsers;
use crate::error::StoreError;
use crate::lock::{hold, read, write};
use crate::memtable::{Limits, Memtable};
use crate::save::save_to;
use crate::sealed::Sealed;
use crate::sealing::{part_notes, sealed_log};
use crate::shape::Shape;
use crate::sink::Advance;
use crate::snapshot::{Shared, Snapshot, View};
use crate::source::{Rows, Source, SourceId};

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
    /// Bytes of its columns and users that are mapped.
    pub mapped_bytes: u64,
    /// The earliest and the latest event, microseconds since 1970-01-01 UTC; `None` without events.
    pub span_us: Option<(i64, i64)>,
}

/// Sealed parts, frozen memtables and the active one. One thread writes; any number read through snapshots.
#[derive(Debug)]
pub struct Memory {
    shared: Arc<Shared>,
    view: RwLock<View>,
    erased: RwLock<ErasedUsers>,
    /// Held by whoever changes the view; how many sources there have been.
    writer: Mutex<u64>,
    reserve_events: usize,
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

    fn view(&self) -> View {
        read(&self.view).clone()
    }

    /// Lets snapshots taken from now on see a view, with the columns and texts that the catalog now has.
    fn publish(&self, mut view: View) {
        let catalog = read(&self.shared.catalog);
        if !view.shape.is_current(&catalog) {
            view.shape = Arc::new(Shape::of(&catalog));
        }
        drop(catalog);
        *write(&self.view) = view;
    }

    /// Opens a sealed part and adds it after the parts so far: call it oldest first, before anything is applied.
    ///
    /// # Errors
    /// As [`crate::open()`]; [`StoreError::Damaged`] if the part's kinds contradict those of another.
    pub fn add_part(&self, name: &str, folder: &Path) -> Result<SourceId, StoreError> {
        let part = Sealed::open(name, folder, &self.shared.catalog, &self.shared.hasher)?;
        let mut next_id = hold(&self.writer);
        let mut view = self.view();
        let erased = read(&self.erased);
        let (mut dropped, mut new_users) = (Vec::new(), 0);
        let gatherer = crate::gather::Gatherer::new(
            &view.sources,
            Limits::ALL,
            &view.shape,
            &self.shared.catalog,
            &self.shared.hasher,
        );
        let mut slots = Vec::new();
        for place in 0..part.users.len() as u32 {
            let user = part.user(place);
            if !erased.is_empty() && erased.contains(user) {
                dropped.push(place);
                continue;
            }
            gatherer.find(user, &mut slots);
            new_users += u64::from(slots.iter().all(Option::is_none));
        }
        drop(gatherer);
        let id = take_id(&mut next_id);
        let mut sources = view.sources.to_vec();
        let at = sources.iter().take_while(|source| matches!(source.rows, Rows::Part(_))).count();
        sources.insert(at, Source { id, rows: Rows::Part(Arc::new(part)), dropped: Arc::new(dropped) });
        (view.sources, view.users) = (sources.into(), view.users + new_users);
        self.publish(view);
        Ok(id)
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
        let kinds = |columns: &BTreeMap<String, ColumnKind>| -> Vec<(String, ColumnKind)> {
            columns.iter().map(|(name, kind)| (name.clone(), *kind)).collect()
        };
        let (properties, attributes) = (kinds(properties), kinds(attributes));
        let named = |(name, kind): &'_ (String, ColumnKind)| (name.as_str().to_owned(), *kind);
        let check = |columns: &crate::catalog::Columns, kinds: &[(String, ColumnKind)]| {
            columns.check(kinds.iter().map(|(name, kind)| (name.as_str(), *kind)), &mut BTreeMap::new())
        };
        check(&catalog.properties, &properties)?;
        check(&catalog.attributes, &attributes)?;
        for (name, kind) in properties.iter().map(named) {
            catalog.properties.add(&name, kind);
        }
        for (name, kind) in attributes.iter().map(named) {
            catalog.attributes.add(&name, kind);
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
        let applied = apply_events(&self.shared, &mut view, &read(&self.erased), batch);
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
        let applied = apply_profiles(&self.shared, &mut view, &read(&self.erased), batch);
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
    /// Their events stay in parts on the disk until these are merged ([`PartInfo::erased_users`]).
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

    fn slots(&self, view: &View, user: &str) -> Vec<Option<u32>> {
        let (catalog, hasher) = (&self.shared.catalog, &self.shared.hasher);
        let mut slots = Vec::new();
        crate::gather::Gatherer::new(&view.sources, Limits::ALL, &view.shape, catalog, hasher).find(user, &mut slots);
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

    /// Closes the active memtable and begins a new one; `None` if there was nothing in it.
    pub fn freeze(&self) -> Option<SourceId> {
        let mut next_id = hold(&self.writer);
        let mut view = self.view();
        let closed = view.sources.last().filter(|_| view.limits.users > 0)?.id;
        let new = active(&self.shared, self.reserve_events, take_id(&mut next_id));
        view.sources = view.sources.iter().cloned().chain([new]).collect();
        view.limits = Limits { rows: 0, writes: 0, users: 0 };
        self.publish(view);
        Some(closed)
    }

    /// The frozen memtables, oldest first.
    #[must_use]
    pub fn frozen(&self) -> Vec<SourceId> {
        let view = self.view();
        let older = view.sources.split_last().map_or(&[][..], |(_, older)| older);
        older.iter().filter(|source| matches!(source.rows, Rows::Recent(_))).map(|source| source.id).collect()
    }

    /// The parts, oldest first: the order in which the store's manifest must list them.
    #[must_use]
    pub fn parts(&self) -> Vec<PartInfo> {
        let info = |source: &Source| match &source.rows {
            Rows::Recent(_) => None,
            Rows::Part(part) => Some(PartInfo {
                id: source.id,
                name: part.name.clone(),
                events: part.time_us.len() as u64,
                users: part.users.len() as u64,
                erased_users: source.dropped.len() as u64,
                mapped_bytes: part.mapped_bytes() as u64,
                span_us: part.span_us,
            }),
        };
        self.view().sources.iter().filter_map(info).collect()
    }

    /// Writes frozen memtables, or parts, as one new part without their erased users; blocks nobody.
    ///
    /// The sources must lie side by side, as later profiles win. `Ok(false)` if nothing is left to write; then there is
    /// no folder. `advance` is told the bytes written and can stop the work.
    ///
    /// # Errors
    /// As [`crate::save_to`]; [`StoreError::Sources`].
    pub fn write_part(
        &self,
        sources: &[SourceId],
        disk: &dyn Disk,
        folder: &Path,
        advance: &mut Advance<'_>,
    ) -> Result<bool, StoreError> {
        let view = self.view();
        let own = &view.sources[place_of(&view.sources, sources)?];
        let Some(log) = sealed_log(&self.shared, own, advance)? else { return Ok(false) };
        save_to(disk, &log, folder, &part_notes(), advance).map(|()| true)
    }

    /// Puts a written part in the place of its sources, or nothing if nothing was left of them.
    ///
    /// # Errors
    /// As [`Self::add_part`], and [`StoreError::Sources`]; nothing changes then.
    pub fn replace(&self, sources: &[SourceId], part: Option<(&str, &Path)>) -> Result<(), StoreError> {
        let Shared { catalog, hasher, .. } = self.shared.as_ref();
        let part = part.map(|(name, folder)| Sealed::open(name, folder, catalog, hasher)).transpose()?;
        let mut next_id = hold(&self.writer);
        let mut view = self.view();
        let place = place_of(&view.sources, sources)?;
        let new = part.map(|part| {
            // Users who were erased while the part was written.
            let mut dropped = Vec::new();
            for source in &view.sources[place.clone()] {
                dropped.extend(source.dropped_users().iter().filter_map(|user| {
                    use std::hash::BuildHasher;
                    part.find(hasher.hash_one(user.as_str()), user)
                }));
            }
            dropped.sort_unstable();
            dropped.dedup();
            Source { id: take_id(&mut next_id), rows: Rows::Part(Arc::new(part)), dropped: Arc::new(dropped) }
        });
        let mut all = view.sources.to_vec();
        all.splice(place, new);
        view.sources = all.into();
        self.publish(view);
        Ok(())
    }
}

fn take_id(next: &mut u64) -> SourceId {
    *next += 1;
    SourceId(*next - 1)
}

fn active(shared: &Shared, reserve_events: usize, id: SourceId) -> Source {
    let memtable = Arc::new(Memtable::new(&shared.hasher, reserve_events));
    Source { id, rows: Rows::Recent(memtable), dropped: Arc::default() }
}

/// Where sources lie side by side, all of them closed.
fn place_of(all: &[Source], sources: &[SourceId]) -> Result<std::ops::Range<usize>, StoreError> {
    let closed = &all[..all.len().saturating_sub(1)];
    let first = sources.first().and_then(|first| closed.iter().position(|source| source.id == *first));
    let place = first.map(|first| first..first + sources.len());
    let lie_there = |place: &std::ops::Range<usize>| {
        closed.get(place.clone()).is_some_and(|found| found.iter().map(|source| source.id).eq(sources.iter().copied()))
    };
    place.filter(lie_there).ok_or(StoreError::Sources)
}

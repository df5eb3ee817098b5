//! Closed sources: parts that are opened, memtables that are sealed, sources that become one.

use std::hash::BuildHasher;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::Array;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::gather::Gatherer;
use crate::lock::{hold, read};
use crate::memory::{Memory, active, take_id};
use crate::memtable::Limits;
use crate::save::save_to;
use crate::sealed::Sealed;
use crate::sealing::{part_notes, sealed_log};
use crate::sink::Advance;
use crate::snapshot::Shared;
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

impl Memory {
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
        let gatherer =
            Gatherer::new(&view.sources, Limits::ALL, &view.shape, &self.shared.catalog, &self.shared.hasher);
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

    /// Erased users whose rows are still there.
    pub(crate) fn dropped_users(&self) -> Vec<String> {
        self.view().sources.iter().flat_map(Source::dropped_users).collect()
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
                dropped.extend(
                    source.dropped_users().iter().filter_map(|user| part.find(hasher.hash_one(user.as_str()), user)),
                );
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

/// Where sources lie side by side, all of them closed.
fn place_of(all: &[Source], sources: &[SourceId]) -> Result<Range<usize>, StoreError> {
    let closed = &all[..all.len().saturating_sub(1)];
    let first = sources.first().and_then(|first| closed.iter().position(|source| source.id == *first));
    let place = first.map(|first| first..first + sources.len());
    let lie_there = |place: &Range<usize>| {
        closed.get(place.clone()).is_some_and(|found| found.iter().map(|source| source.id).eq(sources.iter().copied()))
    };
    place.filter(lie_there).ok_or(StoreError::Sources)
}

//! Batches into the active memtable: what is new is told from what is there, then appended.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use crate::batch::{EventBatch, ProfileBatch};
use crate::catalog::{Catalog, Columns};
use crate::erased::ErasedUsers;
use crate::gather::{Gatherer, Opened};
use crate::lock::{read, write};
use crate::memtable::{Identity, Limits, Memtable};
use crate::packed::pack;
use crate::property::{PropertyColumn, PropertyValues, Value};
use crate::snapshot::{Shared, View};
use crate::source::{Rows, Source};
use crate::staging::TouchedSlots;

/// So many rows are appended while readers wait.
const APPENDED_ROWS: usize = 512;

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

/// A row that no older source has.
struct Candidate {
    row: usize,
    hash: u64,
    /// Whether an older source has the user.
    is_known: bool,
}

/// Who a row's user is.
#[derive(Clone, Copy)]
enum User {
    Erased,
    /// Whether an older source has them.
    Welcome(bool),
}

/// Tells users apart, one after the other; logs often come with a user's events side by side.
struct Users<'a, 'g> {
    older: &'a Gatherer<'g>,
    active: &'a Source,
    memtable: &'a Memtable,
    erased: &'a ErasedUsers,
    hasher: &'a RandomState,
    last: Option<(String, u64, User)>,
    slots: Vec<Option<u32>>,
}

impl Users<'_, '_> {
    /// The hash of a user and who they are; where they stand in the older sources is in `slots`.
    fn look_up(&mut self, user: &str) -> (u64, User) {
        if let Some((last, hash, found)) = &self.last
            && last == user
        {
            return (*hash, *found);
        }
        let hash = self.hasher.hash_one(user);
        self.older.find(user, &mut self.slots);
        let slot = read(&self.memtable.table).find(hash, user);
        let is_erased = match slot {
            Some(slot) => self.active.is_dropped(slot),
            None => self.erased.contains(user),
        };
        let found = if is_erased { User::Erased } else { User::Welcome(self.slots.iter().any(Option::is_some)) };
        self.last = Some((user.to_owned(), hash, found));
        (hash, found)
    }
}

/// Appends a batch's new events; the view then shows them.
pub(crate) fn apply_events(
    shared: &Shared,
    view: &mut View,
    erased: &ErasedUsers,
    batch: &EventBatch,
    mut touched: Option<&mut TouchedSlots>,
) -> Applied {
    let mut applied = Applied::default();
    let Some((active, older)) = view.sources.split_last() else { return applied };
    let Rows::Recent(memtable) = &active.rows else { return applied };
    let gatherer = Gatherer::new(older, Limits::ALL, &view.shape, &shared.catalog, &shared.hasher);
    let mut users =
        Users { older: &gatherer, active, memtable, erased, hasher: &shared.hasher, last: None, slots: Vec::new() };
    let mut candidates = Vec::new();
    for row in 0..batch.len() {
        match users.look_up(batch.user_ids.get(row)) {
            (_, User::Erased) => applied.erased += 1,
            (hash, User::Welcome(is_known)) => {
                if is_known && is_held(&gatherer, &users.slots, &read(&shared.catalog), batch, row) {
                    applied.duplicates += 1;
                } else {
                    candidates.push(Candidate { row, hash, is_known });
                }
            }
        }
    }
    let rows = PackedBatch::of(&mut write(&shared.catalog), batch, &candidates);
    let mut new_users = 0;
    for (rows, candidates) in rows.chunks().zip(candidates.chunks(APPENDED_ROWS)) {
        let mut table = write(&memtable.table);
        for (Packed { event, values }, candidate) in rows.zip(candidates) {
            let (slot, is_new) = table.add_user(candidate.hash, batch.user_ids.get(candidate.row));
            let identity = Identity { time_us: batch.time_us[candidate.row], event, id: batch.event_id(candidate.row) };
            let is_accepted = table.push_event(slot, identity, values);
            *(if is_accepted { &mut applied.accepted } else { &mut applied.duplicates }) += 1;
            if let Some(touched) = touched.as_deref_mut().filter(|_| is_accepted) {
                touched.push_event(slot, identity.time_us);
            }
            new_users += u64::from(is_new && !candidate.is_known);
        }
    }
    view.users += new_users;
    view.limits = read(&memtable.table).limits();
    applied
}

/// Whether an older source has an event.
fn is_held(gatherer: &Gatherer<'_>, slots: &[Option<u32>], catalog: &Catalog, batch: &EventBatch, row: usize) -> bool {
    let time_us = batch.time_us[row];
    let mut event = None;
    gatherer.opened().iter().zip(slots).any(|(opened, slot)| {
        let Some(slot) = *slot else { return false };
        let covers = match opened {
            Opened::Part(part) => part.covers(time_us),
            Opened::Recent(table, _) => table.span_us().is_some_and(|(first, last)| (first..=last).contains(&time_us)),
        };
        if !covers {
            return false;
        }
        let event = *event.get_or_insert_with(|| catalog.event_types.find(batch.event_types.get(row)));
        let Some(event) = event else { return false };
        let identity = Identity { time_us, event, id: batch.event_id(row) };
        match opened {
            Opened::Part(part) => part.holds(slot, identity),
            Opened::Recent(table, _) => table.holds(slot, identity),
        }
    })
}

/// Rows in the catalog's codes.
struct PackedBatch {
    events: Vec<u32>,
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

/// One of them.
struct Packed<'a> {
    event: u32,
    values: &'a [u8],
}

impl PackedBatch {
    fn of(catalog: &mut Catalog, batch: &EventBatch, candidates: &[Candidate]) -> Self {
        let mut rows = Self { events: Vec::with_capacity(candidates.len()), ends: Vec::new(), bytes: Vec::new() };
        if candidates.is_empty() {
            return rows;
        }
        let Catalog { event_types, properties, .. } = catalog;
        let mut columns: Vec<Coded<'_>> = Coded::all(properties, &batch.properties);
        for Candidate { row, .. } in candidates {
            rows.events.push(event_types.intern(batch.event_types.get(*row)));
            for column in &mut columns {
                if let Some(value) = column.value(properties, *row) {
                    pack(&mut rows.bytes, column.id, value);
                }
            }
            rows.ends.push(rows.bytes.len());
        }
        rows
    }

    /// The rows, as many at a time as are appended at once.
    fn chunks(&self) -> impl Iterator<Item = impl Iterator<Item = Packed<'_>>> {
        (0..self.events.len()).step_by(APPENDED_ROWS).map(|first| {
            (first..self.events.len().min(first + APPENDED_ROWS)).map(|row| {
                let start = if row == 0 { 0 } else { self.ends[row - 1] };
                Packed { event: self.events[row], values: &self.bytes[start..self.ends[row]] }
            })
        })
    }
}

/// A column of a batch whose texts get the catalog's codes as they are met.
struct Coded<'a> {
    id: u16,
    column: &'a PropertyColumn,
    codes: Vec<u32>,
}

impl<'a> Coded<'a> {
    fn all(catalog: &mut Columns, columns: &'a [PropertyColumn]) -> Vec<Self> {
        let coded = |column: &'a PropertyColumn| Self {
            id: catalog.add(&column.name, column.kind()),
            column,
            codes: match &column.values {
                PropertyValues::Text(_, texts) => vec![u32::MAX; texts.len()],
                _ => Vec::new(),
            },
        };
        columns.iter().filter(|column| column.has_values()).map(coded).collect()
    }

    #[inline]
    fn value(&mut self, catalog: &mut Columns, row: usize) -> Option<Value> {
        let value = self.column.value(row)?;
        let (Value::Text(place), PropertyValues::Text(_, texts)) = (value, &self.column.values) else {
            return Some(value);
        };
        let code = self.codes.get_mut(place as usize)?;
        if *code == u32::MAX {
            *code = catalog.texts_mut(self.id).intern(texts.get(place as usize));
        }
        Some(Value::Text(*code))
    }
}

/// Appends a batch's attributes; the view then shows them.
pub(crate) fn apply_profiles(
    shared: &Shared,
    view: &mut View,
    erased: &ErasedUsers,
    batch: &ProfileBatch,
    mut touched: Option<&mut TouchedSlots>,
) -> Applied {
    let mut applied = Applied::default();
    let Some((active, older)) = view.sources.split_last() else { return applied };
    let Rows::Recent(memtable) = &active.rows else { return applied };
    let gatherer = Gatherer::new(older, Limits::ALL, &view.shape, &shared.catalog, &shared.hasher);
    let mut users =
        Users { older: &gatherer, active, memtable, erased, hasher: &shared.hasher, last: None, slots: Vec::new() };
    let mut columns = Coded::all(&mut write(&shared.catalog).attributes, &batch.columns);
    let mut new_users = 0;
    for row in 0..batch.len() {
        let user = batch.user_ids.get(row);
        let (hash, User::Welcome(is_known)) = users.look_up(user) else {
            applied.erased += 1;
            continue;
        };
        let values: Vec<(u16, Value)> = {
            let mut catalog = write(&shared.catalog);
            let attributes = &mut catalog.attributes;
            columns.iter_mut().filter_map(|column| Some((column.id, column.value(attributes, row)?))).collect()
        };
        let mut table = write(&memtable.table);
        let (slot, is_new) = table.add_user(hash, user);
        for (attribute, value) in values {
            table.push_write(slot, attribute, value);
        }
        if let Some(touched) = touched.as_deref_mut() {
            touched.push_attributes(slot);
        }
        new_users += u64::from(is_new && !is_known);
        applied.accepted += 1;
    }
    view.users += new_users;
    view.limits = read(&memtable.table).limits();
    applied
}

//! A sealed part as the store reads it: mapped columns, an index of users, and what its codes mean in the catalog.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::RwLock;

use arrow_array::{Array, LargeStringArray};
use arrow_buffer::ScalarBuffer;
use foldhash::quality::RandomState;
use propense_core::events::{Cells, Column, ColumnKind, EventLog, UserIds};

use crate::batch::{EVENT_ID_HIGH, EVENT_ID_LOW, MOST_USER_ID_BYTES};
use crate::catalog::{Catalog, Columns};
use crate::dictionary::Dictionary;
use crate::error::StoreError;
use crate::lock::{read, write};
use crate::memtable::Identity;
use crate::open::open;
use crate::user_index::UserIndex;

/// A sealed part.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) name: String,
    pub(crate) users: LargeStringArray,
    index: UserIndex,
    pub(crate) offsets: ScalarBuffer<u64>,
    pub(crate) time_us: ScalarBuffer<i64>,
    pub(crate) event: Cells,
    /// The catalog's code of each of the part's event types.
    pub(crate) event_codes: Vec<u32>,
    pub(crate) properties: Vec<SealedColumn>,
    pub(crate) attributes: Vec<SealedColumn>,
    ids: Option<[ScalarBuffer<i32>; 2]>,
    pub(crate) span_us: Option<(i64, i64)>,
}

/// A property or attribute of a part.
#[derive(Debug)]
pub(crate) struct SealedColumn {
    /// Its number in the catalog.
    pub(crate) id: u16,
    pub(crate) kind: ColumnKind,
    pub(crate) cells: Cells,
    /// The catalog's code of each of the column's texts.
    pub(crate) codes: Vec<u32>,
}

impl Sealed {
    /// Opens a part and enters what it holds in the catalog; readers of the catalog wait only if it brings something new.
    pub(crate) fn open(
        name: &str,
        folder: &Path,
        catalog: &RwLock<Catalog>,
        hasher: &RandomState,
    ) -> Result<Self, StoreError> {
        let log = open(folder)?.log;
        let damaged = |problem: String| StoreError::damaged(folder, problem);
        let UserIds::Texts(users) = log.users() else {
            return Err(damaged("it is no part of a store, as its users are integers".to_owned()));
        };
        let ids = ids_of(&log).map_err(|problem| damaged(problem.to_owned()))?;
        let visible =
            || log.columns().iter().filter(|column| ![EVENT_ID_HIGH, EVENT_ID_LOW].contains(&column.name.as_str()));
        check_kinds(catalog, visible(), log.attributes()).map_err(damaged)?;
        let event_codes =
            enter(catalog, log.event_types(), |catalog| Some(&catalog.event_types), |catalog| &mut catalog.event_types);
        let mut users_hashes = Vec::with_capacity(users.len());
        for user in users.iter().map(Option::unwrap_or_default) {
            if user.is_empty() || user.len() > MOST_USER_ID_BYTES {
                return Err(damaged(format!("a user id has {} bytes", user.len())));
            }
            users_hashes.push(hasher.hash_one(user));
        }
        if users.len() >= u32::MAX as usize {
            return Err(damaged("it has too many users".to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            index: UserIndex::new(&users_hashes),
            users: users.clone(),
            offsets: log.parts().offsets.clone(),
            time_us: log.parts().time_us.clone(),
            event: log.event().clone(),
            event_codes,
            properties: visible()
                .map(|column| {
                    SealedColumn::of(column, catalog, |catalog| &catalog.properties, |catalog| &mut catalog.properties)
                })
                .collect(),
            attributes: log
                .attributes()
                .iter()
                .map(|column| {
                    SealedColumn::of(column, catalog, |catalog| &catalog.attributes, |catalog| &mut catalog.attributes)
                })
                .collect(),
            ids,
            span_us: log.time_span_us(),
        })
    }

    /// The place of a user.
    #[inline]
    pub(crate) fn find(&self, hash: u64, user: &str) -> Option<u32> {
        self.index.find(hash, |place| self.user(place) == user)
    }

    /// The id of the user in a place.
    #[inline]
    pub(crate) fn user(&self, place: u32) -> &str {
        self.users.value(place as usize)
    }

    /// The first of a user's rows and the one after the last.
    #[inline]
    pub(crate) fn rows(&self, place: u32) -> (u32, u32) {
        let place = place as usize;
        (self.offsets[place] as u32, self.offsets[place + 1] as u32)
    }

    /// The catalog's code of a row's event type; `u32::MAX` in a damaged part.
    #[inline]
    pub(crate) fn event(&self, row: u32) -> u32 {
        let code = self.event.code(row as usize).unwrap_or(u32::MAX);
        self.event_codes.get(code as usize).copied().unwrap_or(u32::MAX)
    }

    /// The hash of a row's id, 0 without.
    pub(crate) fn id(&self, row: u32) -> u64 {
        let Some([high, low]) = &self.ids else { return 0 };
        let (high, low) = (high[row as usize], low[row as usize]);
        if (high, low) == (i32::MIN, i32::MIN) {
            return 0;
        }
        u64::from(high.cast_unsigned()) << 32 | u64::from(low.cast_unsigned())
    }

    pub(crate) fn has_ids(&self) -> bool {
        self.ids.is_some()
    }

    /// Whether events at an instant may be there.
    #[inline]
    pub(crate) fn covers(&self, time_us: i64) -> bool {
        self.span_us.is_some_and(|(first, last)| (first..=last).contains(&time_us))
    }

    /// Whether a user's event is there.
    pub(crate) fn holds(&self, place: u32, identity: Identity) -> bool {
        let (start, end) = self.rows(place);
        let times = &self.time_us[start as usize..end as usize];
        let first = times.partition_point(|&time| time < identity.time_us);
        let same = times[first..].iter().take_while(|&&time| time == identity.time_us).count();
        let mut rows = start + first as u32..start + (first + same) as u32;
        rows.any(|row| self.event(row) == identity.event && self.id(row) == identity.id)
    }

    /// Memory of its own, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let codes = self.properties.iter().chain(&self.attributes).map(|column| column.codes.capacity());
        let codes = codes.sum::<usize>() + self.event_codes.capacity();
        self.index.memory_bytes() + codes * size_of::<u32>()
    }

    /// Bytes of its columns that are mapped.
    pub(crate) fn mapped_bytes(&self) -> usize {
        let columns = self.properties.iter().map(|column| column.cells.bytes_per_row()).sum::<usize>();
        let ids = if self.has_ids() { size_of::<u64>() } else { 0 };
        let row = size_of::<i64>() + self.event.bytes_per_row() + columns + ids;
        let user = self.attributes.iter().map(|column| column.cells.bytes_per_row()).sum::<usize>();
        let users = self.users.value_data().len() + self.users.len() * (2 * size_of::<u64>() + user);
        self.time_us.len() * row + users
    }
}

impl SealedColumn {
    fn of(
        column: &Column,
        catalog: &RwLock<Catalog>,
        columns: impl Fn(&Catalog) -> &Columns,
        columns_mut: impl Fn(&mut Catalog) -> &mut Columns,
    ) -> Self {
        let known = columns(&read(catalog)).find(&column.name);
        let id = known.unwrap_or_else(|| columns_mut(&mut write(catalog)).add(&column.name, column.kind));
        let codes = enter(
            catalog,
            &column.dictionary,
            |catalog| columns(catalog).entries().get(id as usize).map(|entry| &entry.texts),
            |catalog| columns_mut(catalog).texts_mut(id),
        );
        Self { id, kind: column.kind, cells: column.cells.clone(), codes }
    }

    /// The catalog's code in a row.
    #[inline]
    pub(crate) fn code(&self, row: usize) -> Option<u32> {
        self.codes.get(self.cells.code(row)? as usize).copied()
    }
}

/// The catalog's codes of texts, new or known.
fn enter(
    catalog: &RwLock<Catalog>,
    texts: &[String],
    dictionary: impl Fn(&Catalog) -> Option<&Dictionary>,
    dictionary_mut: impl Fn(&mut Catalog) -> &mut Dictionary,
) -> Vec<u32> {
    let known: Option<Vec<u32>> = {
        let catalog = read(catalog);
        dictionary(&catalog).and_then(|dictionary| texts.iter().map(|text| dictionary.find(text)).collect())
    };
    known.unwrap_or_else(|| {
        let mut catalog = write(catalog);
        let dictionary = dictionary_mut(&mut catalog);
        texts.iter().map(|text| dictionary.intern(text)).collect()
    })
}

fn check_kinds<'a>(
    catalog: &RwLock<Catalog>,
    properties: impl Iterator<Item = &'a Column>,
    attributes: &'a [Column],
) -> Result<(), String> {
    let catalog = read(catalog);
    let kind = |column: &'a Column| (column.name.as_str(), column.kind);
    let properties = catalog.properties.check(properties.map(kind), &mut BTreeMap::new());
    let attributes = catalog.attributes.check(attributes.iter().map(kind), &mut BTreeMap::new());
    properties.and(attributes).map_err(|problem| format!("it does not fit the parts before it: {problem}"))
}

/// The halves of the events' ids.
fn ids_of(log: &EventLog) -> Result<Option<[ScalarBuffer<i32>; 2]>, &'static str> {
    let half = |name| log.columns().iter().find(|column| column.name == name).map(|column| &column.cells);
    match (half(EVENT_ID_HIGH), half(EVENT_ID_LOW)) {
        (None, None) => Ok(None),
        (Some(Cells::I32(high)), Some(Cells::I32(low))) => Ok(Some([high.clone(), low.clone()])),
        _ => Err("its events' ids are not two columns of 32 bits"),
    }
}

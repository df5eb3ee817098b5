//! Users' rows from all sources, merged in canonical order.
//!
//! First the places of all rows of a few users are collected and ordered; then each column is filled, run by run of
//! rows that lie side by side in one part. Texts are only looked at where two events of a user have one time.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::{RwLock, RwLockReadGuard};

use foldhash::quality::RandomState;
use propense_core::events::ColumnKind;

use crate::catalog::Catalog;
use crate::lock::read;
use crate::memtable::{Limits, Table};
use crate::property::Value;
use crate::sealed::{Sealed, SealedColumn};
use crate::shape::{Shape, Values};
use crate::source::{Rows, Source};

/// So many rows of recent events are fetched from memory together.
const FETCHED: usize = 32;

/// The place of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) time_us: i64,
    pub(crate) source: u32,
    pub(crate) row: u32,
}

/// A source whose rows are at hand.
pub(crate) enum Opened<'a> {
    Part(&'a Sealed),
    Recent(RwLockReadGuard<'a, Table>, Limits),
}

/// Sources, held as they are for as long as some users are gathered.
pub(crate) struct Gatherer<'a> {
    sources: &'a [Source],
    opened: Vec<Opened<'a>>,
    shape: &'a Shape,
    catalog: &'a RwLock<Catalog>,
    hasher: &'a RandomState,
}

impl<'a> Gatherer<'a> {
    /// Takes the sources, oldest first; the last one up to `limits` if it is still written to.
    pub(crate) fn new(
        sources: &'a [Source],
        limits: Limits,
        shape: &'a Shape,
        catalog: &'a RwLock<Catalog>,
        hasher: &'a RandomState,
    ) -> Self {
        let last = sources.len().wrapping_sub(1);
        let open = |(at, source): (usize, &'a Source)| match &source.rows {
            Rows::Part(part) => Opened::Part(part),
            Rows::Recent(memtable) => {
                Opened::Recent(read(&memtable.table), if at == last { limits } else { Limits::ALL })
            }
        };
        let opened = sources.iter().enumerate().map(open).collect();
        Self { sources, opened, shape, catalog, hasher }
    }

    /// Where a user stands in each source.
    pub(crate) fn find(&self, user: &str, slots: &mut Vec<Option<u32>>) {
        let hash = self.hasher.hash_one(user);
        slots.clear();
        slots.extend(self.sources.iter().zip(&self.opened).map(|(source, opened)| {
            let slot = match opened {
                Opened::Part(part) => part.find(hash, user),
                Opened::Recent(table, limits) => table.find(hash, user).filter(|&slot| slot < limits.users),
            };
            slot.filter(|&slot| !source.is_dropped(slot))
        }));
    }

    /// Appends the places of a user's rows in canonical order.
    pub(crate) fn collect(&self, slots: &[Option<u32>], places: &mut Vec<Place>) {
        let start = places.len();
        for (source, (opened, slot)) in self.opened.iter().zip(slots).enumerate() {
            let (source, Some(slot)) = (source as u32, *slot) else { continue };
            match opened {
                Opened::Part(part) => {
                    let (first, end) = part.rows(slot);
                    let times = &part.time_us[first as usize..end as usize];
                    places.extend((first..end).zip(times).map(|(row, &time_us)| Place { time_us, source, row }));
                }
                Opened::Recent(table, limits) => {
                    let from = places.len();
                    let rows = table.rows(slot, limits.rows);
                    rows.for_each(|row| places.push(Place { time_us: table.time_us(row), source, row }));
                    places[from..].reverse();
                }
            }
        }
        let own = &mut places[start..];
        if !own.is_sorted_by_key(|place| place.time_us) {
            // Stable sorting is quick where, as here, a few runs are sorted already.
            own.sort_by_key(|place| place.time_us);
        }
        let mut first = 0;
        while first + 1 < own.len() {
            let time_us = own[first].time_us;
            if own[first + 1].time_us != time_us {
                first += 1;
                continue;
            }
            let ties = own[first..].iter().take_while(|place| place.time_us == time_us).count();
            own[first..first + ties].sort_by(|a, b| self.compare(a, b));
            first += ties;
        }
    }

    /// How many rows a user has.
    pub(crate) fn count(&self, slots: &[Option<u32>]) -> usize {
        let rows = |(opened, slot): (&Opened<'_>, &Option<u32>)| match (opened, *slot) {
            (_, None) => 0,
            (Opened::Part(part), Some(slot)) => {
                let (first, end) = part.rows(slot);
                (end - first) as usize
            }
            (Opened::Recent(table, limits), Some(slot)) => table.rows(slot, limits.rows).count(),
        };
        self.opened.iter().zip(slots).map(rows).sum()
    }

    /// The sources, oldest first.
    pub(crate) fn opened(&self) -> &[Opened<'a>] {
        &self.opened
    }

    /// Whether a user of a source was erased.
    pub(crate) fn is_dropped(&self, source: usize, slot: u32) -> bool {
        self.sources[source].is_dropped(slot)
    }

    /// Fills the event types from `at` on.
    pub(crate) fn fill_events(&self, places: &[Place], at: usize, values: &mut Values) {
        for (offset, place) in places.iter().enumerate() {
            let code = self.event(place);
            values.set(at + offset, Value::Text(code));
        }
    }

    /// Fills the columns from `first` on, which have room for the rows at `at`.
    pub(crate) fn fill(&self, places: &[Place], at: usize, first: usize, columns: &mut [Values]) {
        let properties = &self.shape.properties;
        let column = |id: u16| properties.place(id).and_then(|place| place.checked_sub(first));
        let mut done = 0;
        while done < places.len() {
            let Place { source, row, .. } = places[done];
            match &self.opened[source as usize] {
                Opened::Part(part) => {
                    let follows = |(n, place): &(usize, &Place)| place.source == source && place.row == row + *n as u32;
                    let rows = places[done..].iter().enumerate().take_while(follows).count();
                    for from in &part.properties {
                        if let Some(to) = column(from.id).and_then(|place| columns.get_mut(place)) {
                            to.copy(at + done, from, row as usize, rows);
                        }
                    }
                    done += rows;
                }
                Opened::Recent(table, _) => {
                    let ahead = &places[done..places.len().min(done + FETCHED)];
                    let rows = ahead.iter().take_while(|place| place.source == source).count();
                    table.fetch_values(ahead[..rows].iter().map(|place| place.row));
                    for (n, place) in ahead[..rows].iter().enumerate() {
                        for (id, value) in table.values(place.row) {
                            if let Some(to) = column(id).and_then(|place| columns.get_mut(place)) {
                                to.set(at + done + n, value);
                            }
                        }
                    }
                    done += rows;
                }
            }
        }
    }

    /// Fills a user's attributes, later sources first.
    pub(crate) fn fill_attributes(&self, slots: &[Option<u32>], at: usize, columns: &mut [Values]) {
        let place = |id: u16| self.shape.attributes.place(id);
        for (opened, slot) in self.opened.iter().zip(slots).rev() {
            let Some(slot) = *slot else { continue };
            match opened {
                Opened::Part(part) => {
                    for from in &part.attributes {
                        if let Some(to) =
                            place(from.id).and_then(|place| columns.get_mut(place)).filter(|to| to.is_missing(at))
                        {
                            to.copy(at, from, slot as usize, 1);
                        }
                    }
                }
                Opened::Recent(table, limits) => {
                    for (id, value) in table.writes(slot, limits.writes) {
                        if let Some(to) =
                            place(id).and_then(|place| columns.get_mut(place)).filter(|to| to.is_missing(at))
                        {
                            to.set(at, value);
                        }
                    }
                }
            }
        }
    }

    /// The hash of an event's id, 0 without.
    pub(crate) fn id(&self, place: &Place) -> u64 {
        match &self.opened[place.source as usize] {
            Opened::Part(part) => part.id(place.row),
            Opened::Recent(table, _) => table.id(place.row),
        }
    }

    pub(crate) fn has_ids(&self) -> bool {
        self.opened.iter().any(|opened| match opened {
            Opened::Part(part) => part.has_ids(),
            Opened::Recent(table, _) => table.has_ids(),
        })
    }

    #[inline]
    fn event(&self, place: &Place) -> u32 {
        match &self.opened[place.source as usize] {
            Opened::Part(part) => part.event(place.row),
            Opened::Recent(table, _) => table.event(place.row),
        }
    }

    /// The canonical order of two events at one time: type, then each property in order of name; missing is last.
    fn compare(&self, a: &Place, b: &Place) -> Ordering {
        // Not held any longer: whoever sealed would deadlock with a writer when they ask for the catalog once more.
        let catalog = read(self.catalog);
        let (event_a, event_b) = (self.event(a), self.event(b));
        if event_a != event_b {
            let text = |code: u32| (code != u32::MAX).then(|| catalog.event_types.text(code));
            return text(event_a)
                .is_none()
                .cmp(&text(event_b).is_none())
                .then_with(|| text(event_a).cmp(&text(event_b)));
        }
        let columns = self.shape.properties.columns.iter();
        let mut orders = columns.map(|column| {
            let (value_a, value_b) = (self.value(a, column.id), self.value(b, column.id));
            let text = |code: u32| catalog.properties.entries()[column.id as usize].texts.text(code);
            match (value_a, value_b) {
                (Some(Value::Text(a)), Some(Value::Text(b))) if a == b => Ordering::Equal,
                (Some(Value::Text(a)), Some(Value::Text(b))) => text(a).cmp(text(b)),
                (Some(Value::Number(a)), Some(Value::Number(b))) => a.total_cmp(&b),
                (Some(Value::Boolean(a)), Some(Value::Boolean(b))) => a.cmp(&b),
                (Some(Value::Time(a)), Some(Value::Time(b))) => a.cmp(&b),
                // At least one is missing, and that is last.
                _ => value_a.is_none().cmp(&value_b.is_none()),
            }
        });
        // Events that are alike in all that is seen: any order will do, but always the same.
        orders.find(|order| order.is_ne()).unwrap_or_else(|| self.id(a).cmp(&self.id(b)))
    }

    fn value(&self, place: &Place, property: u16) -> Option<Value> {
        match &self.opened[place.source as usize] {
            Opened::Part(part) => {
                let column = part.properties.iter().find(|column| column.id == property)?;
                column.value(place.row as usize)
            }
            Opened::Recent(table, _) => table.values(place.row).value_of(property),
        }
    }
}

impl SealedColumn {
    fn value(&self, row: usize) -> Option<Value> {
        if self.kind == ColumnKind::Text {
            return self.code(row).map(Value::Text);
        }
        let number = Some(self.cells.number(row)).filter(|number| !number.is_nan())?;
        match self.kind {
            ColumnKind::Boolean => Some(Value::Boolean(number != 0.0)),
            ColumnKind::Time => Some(Value::Time(number as i64)),
            _ => Some(Value::Number(number)),
        }
    }
}

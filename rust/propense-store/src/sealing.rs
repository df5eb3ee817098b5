//! Memtables, or parts, as one log that can be saved: dictionaries of its own, numbers as narrow as they come.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::builder::LargeStringBuilder;
use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, UserIds};

use crate::batch::{EVENT_ID_HIGH, EVENT_ID_LOW};
use crate::catalog::{Catalog, Columns};
use crate::dictionary::Dictionary;
use crate::error::StoreError;
use crate::gather::{Gatherer, Place};
use crate::lock::read;
use crate::memtable::Limits;
use crate::shape::{Shape, ShapeColumn, Values};
use crate::sink::Advance;
use crate::snapshot::Shared;
use crate::source::{Rows, Source};
use crate::users::users_after;

/// The note of a part: its events' ids do not count in the order of events.
pub(crate) const PART_NOTE: &str = "propense.part";
/// So many users are looked up at a time.
const PAGE_USERS: usize = 4096;
/// So many columns stand in memory at full width.
const WIDE_COLUMNS: usize = 4;

/// The notes with which a part is saved.
pub(crate) fn part_notes() -> BTreeMap<String, String> {
    BTreeMap::from([(PART_NOTE.to_owned(), "ties in time are broken by all columns but the events' ids".to_owned())])
}

/// All that is left of some sources, oldest first, without erased users; `None` if that is nothing.
pub(crate) fn sealed_log(
    shared: &Shared,
    sources: &[Source],
    advance: &mut Advance<'_>,
) -> Result<Option<EventLog>, StoreError> {
    let shape = Shape::of(&read(&shared.catalog));
    let gatherer = Gatherer::new(sources, Limits::ALL, &shape, &shared.catalog, &shared.hasher);
    let order = |source: &Source| match &source.rows {
        Rows::Part(_) => Vec::new().into(),
        Rows::Recent(memtable) => memtable.sorted(),
    };
    let orders: Vec<Arc<[u32]>> = sources.iter().map(order).collect();
    let orders: Vec<&[u32]> = orders.iter().map(AsRef::as_ref).collect();
    let none = |column: &ShapeColumn, rows| Values::none(column.kind, column.texts, rows);
    let mut attributes: Vec<Values> = shape.attributes.columns.iter().map(|column| none(column, 0)).collect();
    let (mut users, mut offsets) = (LargeStringBuilder::new(), vec![0_u64]);
    let (mut places, mut slots) = (Vec::new(), Vec::new());
    let mut last: Option<String> = None;
    loop {
        let page = users_after(&gatherer, &orders, last.as_deref(), PAGE_USERS);
        let known = offsets.len() - 1;
        for column in &mut attributes {
            column.resize(known + page.len());
        }
        for (user, id) in page.iter().enumerate() {
            gatherer.find(id, &mut slots);
            gatherer.collect(&slots, &mut places);
            gatherer.fill_attributes(&slots, known + user, &mut attributes);
            users.append_value(id);
            offsets.push(places.len() as u64);
        }
        go_on(advance)?;
        match page.last() {
            Some(id) => last = Some(id.clone()),
            None => break,
        }
    }
    if offsets.len() == 1 {
        return Ok(None);
    }
    let mut event = Values::none(ColumnKind::Text, shape.event_types, places.len());
    gatherer.fill_events(&places, 0, &mut event);
    let (event, event_types) = recoded(&event.cells(), &read(&shared.catalog).event_types);
    let mut columns = Vec::new();
    for (group, of_group) in shape.properties.columns.chunks(WIDE_COLUMNS).enumerate() {
        let mut values: Vec<Values> = of_group.iter().map(|column| none(column, places.len())).collect();
        gatherer.fill(&places, 0, group * WIDE_COLUMNS, &mut values);
        let catalog = read(&shared.catalog);
        columns.extend(narrowed(of_group, values, &catalog, |catalog| &catalog.properties));
        drop(catalog);
        go_on(advance)?;
    }
    if gatherer.has_ids() {
        columns.extend(id_columns(&gatherer, &places));
        columns.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let unfit = |source| StoreError::Parts { folder: "a part being sealed".into(), source };
    let log = EventLog::from_parts(Events {
        users: UserIds::Texts(users.finish()),
        offsets: offsets.into(),
        time_us: places.iter().map(|place| place.time_us).collect(),
        event,
        event_types,
        columns,
        dropped: 0,
    })
    .map_err(unfit)?;
    let attributes: Vec<Column> =
        narrowed(&shape.attributes.columns, attributes, &read(&shared.catalog), |catalog| &catalog.attributes)
            .collect();
    if attributes.is_empty() { Ok(Some(log)) } else { log.with_attributes(attributes).map(Some).map_err(unfit) }
}

fn go_on(advance: &mut Advance<'_>) -> Result<(), StoreError> {
    match advance(0) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(StoreError::Cancelled),
    }
}

/// Columns that have a value, with cells and dictionaries of their own.
fn narrowed<'a>(
    columns: &'a [ShapeColumn],
    values: Vec<Values>,
    catalog: &'a Catalog,
    of: impl Fn(&Catalog) -> &Columns + 'a,
) -> impl Iterator<Item = Column> + 'a {
    columns.iter().zip(values).filter_map(move |(column, values)| {
        let (cells, dictionary) = match values {
            Values::Number(numbers) => {
                if numbers.iter().all(|number| number.is_nan()) {
                    return None;
                }
                (Cells::of_numbers(&numbers), Vec::new())
            }
            values => match values.cells() {
                cells if column.kind == ColumnKind::Text => {
                    let (cells, dictionary) = recoded(&cells, &of(catalog).entries()[column.id as usize].texts);
                    if dictionary.is_empty() {
                        return None;
                    }
                    (cells, dictionary)
                }
                cells if (0..cells.len()).all(|row| cells.number(row).is_nan()) => return None,
                cells => (cells, Vec::new()),
            },
        };
        Some(Column { name: column.name.to_string(), kind: column.kind, cells, dictionary })
    })
}

/// Codes into a dictionary of the texts that occur, ascending.
fn recoded(cells: &Cells, texts: &Dictionary) -> (Cells, Vec<String>) {
    let codes = || (0..cells.len()).map(|row| cells.code(row));
    let mut rank = vec![u32::MAX; texts.len()];
    let mut used = Vec::new();
    for code in codes().flatten() {
        if std::mem::replace(&mut rank[code as usize], 0) == u32::MAX {
            used.push(code);
        }
    }
    used.sort_unstable_by_key(|&code| texts.text(code));
    for (place, &code) in used.iter().enumerate() {
        rank[code as usize] = place as u32;
    }
    let places = codes().map(|code| code.map_or(u32::MAX, |code| rank[code as usize])).collect();
    (Cells::of_codes(places, used.len()), used.iter().map(|&code| texts.text(code).to_owned()).collect())
}

/// The ids' halves as numbers of 32 bits, both the mark of a missing one where there is no id.
fn id_columns(gatherer: &Gatherer<'_>, places: &[Place]) -> [Column; 2] {
    let half = |name: &str, half: fn(u64) -> u32| {
        let id = |place: &Place| match gatherer.id(place) {
            0 => i32::MIN,
            id => half(id).cast_signed(),
        };
        let cells = Cells::I32(places.iter().map(id).collect());
        Column { name: name.to_owned(), kind: ColumnKind::Number, cells, dictionary: Vec::new() }
    };
    [half(EVENT_ID_HIGH, |id| (id >> 32) as u32), half(EVENT_ID_LOW, |id| id as u32)]
}

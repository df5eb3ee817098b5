//! What stands in which file.

use arrow_schema::DataType;
use propense_core::events::{Column, ColumnKind, EventLog};

use crate::arrow_column::{ArrowColumn, instants};
use crate::arrow_file::{self, Placed};
use crate::error::StoreError;
use crate::manifest::{CellType, ColumnPlace, Extent, IdsPlace, TextsPlace};
use crate::part::Part;
use crate::sink::Sink;

/// One row an event: user, time, type, properties.
pub(crate) const EVENTS: &str = "events.arrow";
/// One row a user: id, first event, number of events.
pub(crate) const USERS: &str = "users.arrow";
/// One row a user: id, attributes; only with profiles.
pub(crate) const PROFILES: &str = "profiles.arrow";
/// What makes the folder a log.
pub(crate) const MANIFEST: &str = "manifest.json";

/// Where the columns of `events.arrow` stand.
pub(crate) struct EventPlaces {
    pub(crate) time: Extent,
    pub(crate) event: ColumnPlace,
    pub(crate) properties: Vec<ColumnPlace>,
}

/// Writes `events.arrow`.
pub(crate) fn write_events(sink: &mut Sink<'_>, log: &EventLog) -> Result<EventPlaces, StoreError> {
    let parts = log.parts();
    let [user, time, event] = ["user_id", "event_time", "event"].map(|name| free_name(name, &parts.columns));
    let mut columns = vec![
        ArrowColumn::of_users_by_event(&user, &parts.users, &parts.offsets),
        ArrowColumn::plain(&time, instants(), vec![Part::of_values(&parts.time_us)]),
        ArrowColumn::of_event(&event, &parts.event, &parts.event_types),
    ];
    columns.extend(parts.columns.iter().map(ArrowColumn::of_column));
    let placed = arrow_file::write(sink, log.len() as u64, columns)?;
    let [_, time, event_place, properties @ ..] = &placed[..] else { unreachable!("a place for each column") };
    let (kind, cells) = (ColumnKind::Text, CellType::of(&parts.event));
    Ok(EventPlaces {
        time: time.values,
        event: ColumnPlace {
            name: event,
            kind,
            cells,
            values: event_place.values,
            dictionary: event_place.dictionary.clone(),
        },
        properties: column_places(&parts.columns, properties),
    })
}

/// Writes `users.arrow`; gives where the ids stand, and where each user's events begin.
pub(crate) fn write_users(sink: &mut Sink<'_>, log: &EventLog) -> Result<(IdsPlace, Extent), StoreError> {
    let parts = log.parts();
    let users = parts.users.len() as u64;
    let counts = Part::differences(&parts.offsets);
    let columns = vec![
        ArrowColumn::of_users("user_id", &parts.users),
        // One number longer than the column: the end of the last user's events.
        ArrowColumn::plain("first_event", DataType::UInt64, vec![Part::of_values(&parts.offsets)]),
        ArrowColumn::plain("events", DataType::UInt64, vec![counts]),
    ];
    let placed = arrow_file::write(sink, users, columns)?;
    let ids = match &placed[0].buffers[..] {
        &[offsets, bytes] => IdsPlace::Texts(TextsPlace { count: users, offsets, bytes }),
        _ => IdsPlace::Integers(placed[0].values),
    };
    Ok((ids, placed[1].values))
}

/// Writes `profiles.arrow`, one row a user of the log.
pub(crate) fn write_profiles(sink: &mut Sink<'_>, log: &EventLog) -> Result<Vec<ColumnPlace>, StoreError> {
    let users = log.users();
    let attributes = log.attributes_by_user();
    let mut columns = vec![ArrowColumn::of_users(&free_name("user_id", &attributes), users)];
    columns.extend(attributes.iter().map(ArrowColumn::of_column));
    let placed = arrow_file::write(sink, users.len() as u64, columns)?;
    Ok(column_places(&attributes, &placed[1..]))
}

/// A name that no column has.
fn free_name(name: &str, columns: &[Column]) -> String {
    let mut free = name.to_owned();
    while columns.iter().any(|column| column.name == free) {
        free.push('_');
    }
    free
}

fn column_places(columns: &[Column], placed: &[Placed]) -> Vec<ColumnPlace> {
    let place = |(column, placed): (&Column, &Placed)| ColumnPlace {
        name: column.name.clone(),
        kind: column.kind,
        cells: CellType::of(&column.cells),
        values: placed.values,
        dictionary: placed.dictionary.clone(),
    };
    columns.iter().zip(placed).map(place).collect()
}

//! Columns that a model reads and a caller's events lack.

use std::collections::BTreeMap;

use propense_core::events::{Column, ColumnKind, EventLog, Events, EventsError};
use propense_onnx::KnownColumns;

/// The same log with the columns that a model reads, those that it lacks without a value.
///
/// # Errors
/// A column is of another kind than at training: what the model would read of it means something else.
pub(super) fn with_columns(log: &EventLog, known: &KnownColumns) -> Result<EventLog, EventsError> {
    refuse_other_kinds(log.columns(), &known.properties)?;
    refuse_other_kinds(log.attributes(), &known.attributes)?;
    let parts = log.parts();
    let completed = EventLog::from_parts(Events {
        users: parts.users.clone(),
        offsets: parts.offsets.clone(),
        time_us: parts.time_us.clone(),
        event: parts.event.clone(),
        event_types: parts.event_types.clone(),
        columns: complete(log.columns(), &known.properties, log.len()),
        dropped: parts.dropped,
    })?;
    let attributes = complete(&log.attributes_by_user(), &known.attributes, log.users().len());
    if attributes.is_empty() { Ok(completed) } else { completed.with_attributes(attributes) }
}

fn refuse_other_kinds(columns: &[Column], known: &BTreeMap<String, ColumnKind>) -> Result<(), EventsError> {
    let other = |column: &&Column| known.get(&column.name).is_some_and(|&kind| kind != column.kind);
    match columns.iter().find(other) {
        None => Ok(()),
        Some(Column { name, kind, .. }) => Err(EventsError::ColumnType {
            column: name.clone(),
            expected: known[name].name(),
            found: kind.name().to_owned(),
        }),
    }
}

/// These columns and the known ones that are not among them, ascending by name.
fn complete(columns: &[Column], known: &BTreeMap<String, ColumnKind>, rows: usize) -> Vec<Column> {
    let lacks = |name: &str| columns.iter().all(|column| column.name != name);
    let lacking = known.iter().filter(|(name, _)| lacks(name));
    let empty = |(name, &kind): (&String, &ColumnKind)| Column::empty(name, kind, rows);
    let mut complete: Vec<Column> = columns.iter().cloned().chain(lacking.map(empty)).collect();
    complete.sort_by(|a, b| a.name.cmp(&b.name));
    complete
}

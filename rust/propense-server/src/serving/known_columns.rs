//! Columns that a model reads and a caller's events lack.

use std::collections::BTreeMap;

use propense_core::events::{Cells, Column, ColumnKind, EventLog, Events, EventsError};
use propense_onnx::KnownColumns;

/// The same log with the columns that a model reads, those that it lacks without a value.
pub(super) fn with_columns(log: &EventLog, known: &KnownColumns) -> Result<EventLog, EventsError> {
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

/// These columns and the known ones that are not among them, ascending by name.
fn complete(columns: &[Column], known: &BTreeMap<String, ColumnKind>, rows: usize) -> Vec<Column> {
    let lacks = |name: &str| columns.iter().all(|column| column.name != name);
    let lacking = known.iter().filter(|(name, _)| lacks(name));
    let empty = |(name, kind): (&String, &ColumnKind)| {
        let cells = match kind {
            ColumnKind::Text => Cells::U8(vec![u8::MAX; rows].into()),
            ColumnKind::Time => Cells::I64(vec![i64::MIN; rows].into()),
            ColumnKind::Number | ColumnKind::Boolean => Cells::F64(vec![f64::NAN; rows].into()),
        };
        Column { name: name.clone(), kind: *kind, cells, dictionary: Vec::new() }
    };
    let mut complete: Vec<Column> = columns.iter().cloned().chain(lacking.map(empty)).collect();
    complete.sort_by(|a, b| a.name.cmp(&b.name));
    complete
}

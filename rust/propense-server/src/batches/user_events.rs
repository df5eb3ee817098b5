//! From a user's part of a log back to messages.

use std::collections::BTreeMap;

use propense_core::events::{Column, ColumnKind, EventLog};

use crate::instants::timestamp;
use crate::proto::{Event, Profile, Value, value::Kind};

/// The attributes of a user of a log.
pub(crate) fn profile_of(log: &EventLog, user: usize, user_id: &str) -> Profile {
    let attributes = log.profile_row(user).map_or_else(BTreeMap::new, |row| values(log.attributes(), row));
    Profile { user_id: user_id.to_owned(), attributes }
}

/// An event of a user.
pub(crate) fn event_of(log: &EventLog, row: usize, user_id: &str) -> Event {
    Event {
        user_id: user_id.to_owned(),
        event_time: Some(timestamp(log.time_us()[row])),
        event: log.event().code(row).and_then(|code| log.event_types().get(code as usize)).cloned().unwrap_or_default(),
        event_id: String::new(),
        properties: values(log.columns(), row),
    }
}

/// The values of a row that are not missing.
fn values(columns: &[Column], row: usize) -> BTreeMap<String, Value> {
    let value = |column: &Column| {
        let number = column.number(row);
        let kind = match column.kind {
            ColumnKind::Text => Kind::Text(column.text(row)?.to_owned()),
            _ if number.is_nan() => return None,
            ColumnKind::Boolean => Kind::Boolean(number != 0.0),
            ColumnKind::Number | ColumnKind::Time => Kind::Number(number),
        };
        Some((column.name.clone(), Value { kind: Some(kind) }))
    };
    columns.iter().filter_map(value).collect()
}

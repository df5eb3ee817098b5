//! From messages to columns, every field checked.

use std::collections::BTreeMap;

use propense_store::{BatchError, EventBatch, MOST_EVENTS, MOST_USER_ID_BYTES, ProfileBatch, PropertyTable};

use crate::error::ServiceError;
use crate::instants::required_us;
use crate::proto::{Event, Profile, Value, value::Kind};
use crate::status::{Rows, of_batch};

/// Bytes of an event id.
const EVENT_ID_LIMIT: usize = 1024;

/// Whether a text can be a user's id.
pub(crate) fn check_user_id(id: &str, path: impl FnOnce() -> String) -> Result<(), ServiceError> {
    check_length(id, 1, MOST_USER_ID_BYTES, path)
}

/// Whether a text can be an event's id; an empty one is none.
pub(crate) fn check_event_id(id: &str, path: impl FnOnce() -> String) -> Result<(), ServiceError> {
    check_length(id, 0, EVENT_ID_LIMIT, path)
}

fn check_length(text: &str, least: usize, most: usize, path: impl FnOnce() -> String) -> Result<(), ServiceError> {
    if (least..=most).contains(&text.len()) {
        return Ok(());
    }
    let found = text.len();
    Err(ServiceError::invalid(path(), format!("expected {least} to {most} bytes, found {found}")))
}

/// Whether a request has as many rows as it may.
pub(crate) fn check_rows(rows: usize, path: &str) -> Result<(), ServiceError> {
    if rows <= MOST_EVENTS {
        return Ok(());
    }
    Err(ServiceError::invalid(path, format!("expected at most {MOST_EVENTS} rows, found {rows}")))
}

/// Events in columns.
pub(crate) fn batch_of(events: &[Event]) -> Result<EventBatch, ServiceError> {
    check_rows(events.len(), "events")?;
    let unfit = |error: BatchError| of_batch(&error, Rows::Events);
    let mut batch = EventBatch::new();
    for (place, event) in events.iter().enumerate() {
        let path = |field: &str| format!("events[{place}].{field}");
        check_event_id(&event.event_id, || path("event_id"))?;
        let time_us = required_us(event.event_time.as_ref(), || path("event_time"))?;
        let event_id = (!event.event_id.is_empty()).then_some(event.event_id.as_str());
        let row = batch.push_event(&event.user_id, time_us, &event.event, event_id).map_err(unfit)?;
        set_values(&mut batch.properties, row, &event.properties).map_err(unfit)?;
    }
    Ok(batch)
}

/// Profiles in columns.
pub(crate) fn profiles_of(profiles: &[Profile]) -> Result<ProfileBatch, ServiceError> {
    check_rows(profiles.len(), "profiles")?;
    let unfit = |error: BatchError| of_batch(&error, Rows::Profiles);
    let mut batch = ProfileBatch::new();
    for profile in profiles {
        let row = batch.push_user(&profile.user_id).map_err(unfit)?;
        set_values(&mut batch.columns, row, &profile.attributes).map_err(unfit)?;
    }
    Ok(batch)
}

/// Sets the values that are not missing.
fn set_values(table: &mut PropertyTable, row: usize, values: &BTreeMap<String, Value>) -> Result<(), BatchError> {
    for (name, value) in values {
        match &value.kind {
            Some(Kind::Text(text)) => table.set_text(row, name, text)?,
            Some(Kind::Number(number)) if !number.is_nan() => table.set_number(row, name, *number)?,
            Some(Kind::Boolean(boolean)) => table.set_boolean(row, name, *boolean)?,
            Some(Kind::Number(_)) | None => {}
        }
    }
    Ok(())
}

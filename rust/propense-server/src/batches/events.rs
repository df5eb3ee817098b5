//! From messages to columns, every field checked.

use std::collections::BTreeMap;

use crate::batches::ROW_LIMIT;
use crate::error::ServiceError;
use crate::instants::required_us;
use crate::proto::{Event, Profile, Value, value::Kind};
use crate::store_types::{BatchError, EventBatch, ProfileBatch};

/// Bytes of a user id and of an event id.
const ID_LIMIT: usize = 1024;
/// Bytes of an event type and of a property's name.
pub(crate) const NAME_LIMIT: usize = 256;
/// Bytes of a text.
pub(crate) const TEXT_LIMIT: usize = 64 << 10;

/// Whether a text can be a user's id.
pub(crate) fn check_user_id(id: &str, path: impl FnOnce() -> String) -> Result<(), ServiceError> {
    check_length(id, 1, ID_LIMIT, path)
}

pub(crate) fn check_event_id(id: &str, path: impl FnOnce() -> String) -> Result<(), ServiceError> {
    check_length(id, 0, ID_LIMIT, path)
}

/// Whether a text can be an event type or the name of a property.
pub(crate) fn check_name(name: &str, path: impl FnOnce() -> String) -> Result<(), ServiceError> {
    check_length(name, 1, NAME_LIMIT, path)
}

pub(crate) fn check_text(text: &str, path: impl FnOnce() -> String) -> Result<(), ServiceError> {
    check_length(text, 0, TEXT_LIMIT, path)
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
    if rows <= ROW_LIMIT {
        return Ok(());
    }
    Err(ServiceError::invalid(path, format!("expected at most {ROW_LIMIT} rows, found {rows}")))
}

/// Events in columns.
pub(crate) fn batch_of(events: &[Event]) -> Result<EventBatch, ServiceError> {
    check_rows(events.len(), "events")?;
    let mut batch = EventBatch::new();
    for (place, event) in events.iter().enumerate() {
        let path = |field: &str| format!("events[{place}].{field}");
        check_user_id(&event.user_id, || path("user_id"))?;
        check_name(&event.event, || path("event"))?;
        check_event_id(&event.event_id, || path("event_id"))?;
        let time_us = required_us(event.event_time.as_ref(), || path("event_time"))?;
        let event_id = (!event.event_id.is_empty()).then_some(event.event_id.as_str());
        let row = batch.push_event(&event.user_id, time_us, &event.event, event_id);
        set_values(&event.properties, &|| path("properties"), |name, value| match value {
            Kind::Text(text) => batch.set_text(row, name, text),
            Kind::Number(number) => batch.set_number(row, name, *number),
            Kind::Boolean(boolean) => batch.set_boolean(row, name, *boolean),
        })?;
    }
    Ok(batch)
}

/// Profiles in columns.
pub(crate) fn profiles_of(profiles: &[Profile]) -> Result<ProfileBatch, ServiceError> {
    check_rows(profiles.len(), "profiles")?;
    let mut batch = ProfileBatch::new();
    for (place, profile) in profiles.iter().enumerate() {
        let path = |field: &str| format!("profiles[{place}].{field}");
        check_user_id(&profile.user_id, || path("user_id"))?;
        let row = batch.push_profile(&profile.user_id);
        set_values(&profile.attributes, &|| path("attributes"), |name, value| match value {
            Kind::Text(text) => batch.set_text(row, name, text),
            Kind::Number(number) => batch.set_number(row, name, *number),
            Kind::Boolean(boolean) => batch.set_boolean(row, name, *boolean),
        })?;
    }
    Ok(batch)
}

/// Hands over the values that are not missing.
fn set_values(
    values: &BTreeMap<String, Value>,
    path: &dyn Fn() -> String,
    mut set: impl FnMut(&str, &Kind) -> Result<(), BatchError>,
) -> Result<(), ServiceError> {
    for (name, value) in values {
        check_name(name, path)?;
        let path = || format!("{}[{name:?}]", path());
        let Some(kind) = &value.kind else { continue };
        match kind {
            Kind::Text(text) => check_text(text, path)?,
            Kind::Number(number) if number.is_nan() => continue,
            Kind::Number(_) | Kind::Boolean(_) => {}
        }
        set(name, kind).map_err(|error| ServiceError::KindConflict { path: path(), problem: error.what })?;
    }
    Ok(())
}

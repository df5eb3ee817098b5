//! From columns to a log that models score: for events that a caller sends along.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use propense_core::events::{EventColumns, EventLog, EventLogBuilder, ProfilesBuilder};

use propense_store::{EventBatch, ProfileBatch, PropertyColumn, PropertyValues, Texts};

use crate::error::ServiceError;

/// A log of events, each identity once, with the profiles attached.
pub(crate) fn log_of(events: &EventBatch, profiles: &ProfileBatch) -> Result<EventLog, ServiceError> {
    let rows = first_of_each(events);
    let texts =
        |texts: &Texts| -> ArrayRef { Arc::new(rows.iter().map(|row| Some(texts.get(*row))).collect::<StringArray>()) };
    let time: TimestampMicrosecondArray = rows.iter().map(|row| Some(events.time_us[*row])).collect();
    let own = [texts(&events.user_ids), Arc::new(time) as ArrayRef, texts(&events.event_types)];
    let columns = &events.properties;
    let [user, time, event] = ["user", "time", "event"].map(|name| free_name(name, columns));
    let names = EventColumns { user, time, event };
    let own = [names.user.clone(), names.time.clone(), names.event.clone()].into_iter().zip(own);
    let batch =
        RecordBatch::try_from_iter(own.chain(columns.iter().map(|column| (column.name.clone(), array(column, &rows)))));
    let mut builder = EventLogBuilder::new(names);
    builder.push(&batch.map_err(|_| UNFIT)?).map_err(|_| UNFIT)?;
    let log = builder.finish().map_err(|_| UNFIT)?;
    attach(&log, profiles)
}

/// Everything that a caller could get wrong was checked before.
const UNFIT: ServiceError = ServiceError::Internal { problem: "checked events do not make a log" };

fn attach(log: &EventLog, profiles: &ProfileBatch) -> Result<EventLog, ServiceError> {
    if profiles.is_empty() {
        return Ok(log.clone());
    }
    let mut seen = HashSet::new();
    if let Some(again) = (0..profiles.len()).find(|row| !seen.insert(profiles.user_ids.get(*row))) {
        return Err(ServiceError::invalid(format!("profiles[{again}].user_id"), "the user has a profile already"));
    }
    let users: StringArray = profiles.user_ids.iter().map(Some).collect();
    let rows: Vec<usize> = (0..profiles.len()).collect();
    let columns = &profiles.columns;
    let user = free_name("user", columns);
    let own = [(user.clone(), Arc::new(users) as ArrayRef)].into_iter();
    let batch =
        RecordBatch::try_from_iter(own.chain(columns.iter().map(|column| (column.name.clone(), array(column, &rows)))));
    let mut builder = ProfilesBuilder::new(user);
    builder.push(&batch.map_err(|_| UNFIT)?).map_err(|_| UNFIT)?;
    log.with_profiles(builder.finish().map_err(|_| UNFIT)?).map_err(|_| UNFIT)
}

/// Rows whose identity has not come before.
fn first_of_each(events: &EventBatch) -> Vec<usize> {
    let mut seen = HashSet::with_capacity(events.len());
    let identity =
        |row: usize| (events.user_ids.get(row), events.time_us[row], events.event_types.get(row), events.event_id(row));
    (0..events.len()).filter(|row| seen.insert(identity(*row))).collect()
}

/// A name that no property has.
fn free_name(name: &str, columns: &[PropertyColumn]) -> String {
    let mut name = name.to_owned();
    while columns.iter().any(|column| column.name == name) {
        name.push('_');
    }
    name
}

/// A column's values in these rows; rows beyond its last value have none.
fn array(column: &PropertyColumn, rows: &[usize]) -> ArrayRef {
    match &column.values {
        PropertyValues::Text(places, texts) => {
            let mut builder = StringDictionaryBuilder::<Int32Type>::new();
            for row in rows {
                let place = places.get(*row).filter(|place| **place != u32::MAX);
                builder.append_option(place.map(|place| texts.get(*place as usize)));
            }
            Arc::new(builder.finish())
        }
        PropertyValues::Number(numbers) => {
            let number = |row: &usize| numbers.get(*row).copied().filter(|number| !number.is_nan());
            Arc::new(rows.iter().map(number).collect::<Float64Array>())
        }
        PropertyValues::Boolean(truths) => {
            let truth = |row: &usize| truths.get(*row).filter(|truth| **truth <= 1).map(|truth| *truth == 1);
            Arc::new(rows.iter().map(truth).collect::<BooleanArray>())
        }
        PropertyValues::Time(times) => {
            let time = |row: &usize| times.get(*row).copied().filter(|time_us| *time_us != i64::MIN);
            Arc::new(rows.iter().map(time).collect::<TimestampMicrosecondArray>())
        }
    }
}

//! Record batches as batches of events and profiles, for loading in bulk.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, LargeStringArray, RecordBatch};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};

use crate::batch::{EventBatch, MOST_EVENTS, ProfileBatch};
use crate::batch_error::{BatchError, BatchProblem};
use crate::property::PropertyTable;

/// The largest magnitude up to which every integer is an f64.
const EXACT_INTEGER: u64 = 1 << 53;

/// Which columns hold the user, the time, the event type and the id of an event; all others are properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBatchColumns<'a> {
    /// User ids: text or integers, which become decimal text.
    pub user: &'a str,
    /// Event times: timestamps of any unit or dates; without a time zone they are UTC.
    pub time: &'a str,
    /// Event types: text.
    pub event: &'a str,
    /// Event ids, if there are any: text or integers.
    pub event_id: Option<&'a str>,
}

impl EventBatch {
    /// The events of a record batch of at most 100,000 rows.
    ///
    /// Properties may be numbers of any type, truth values, timestamps, dates or texts; a null is a missing value. Rows
    /// without a user are left out and counted in [`EventBatch::dropped`].
    ///
    /// # Errors
    /// A column is not there or of a type that its role cannot have, a time or an event type is missing, an integer is
    /// beyond 2^53, or a limit of [`EventBatch::push_event`] is exceeded.
    pub fn from_record_batch(batch: &RecordBatch, columns: EventBatchColumns<'_>) -> Result<Self, BatchError> {
        let EventBatchColumns { user, time, event, event_id } = columns;
        if batch.num_rows() > MOST_EVENTS {
            return Err(BatchProblem::TooManyEvents.of_batch());
        }
        let users = ids(batch, user)?;
        let times = times(column(batch, time)?, time)?;
        let events = texts(column(batch, event)?, event)?;
        let event_ids = event_id.map(|name| ids(batch, name)).transpose()?;
        let mut taken = Self::new();
        let mut rows = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            if users.is_null(row) {
                taken.dropped += 1;
                continue;
            }
            for (name, is_null) in [(time, times.is_null(row)), (event, events.is_null(row))] {
                if is_null {
                    return Err(wrong(name, "it has no value here").in_row(row));
                }
            }
            let id = event_ids.as_ref().filter(|ids| ids.is_valid(row)).map(|ids| ids.value(row));
            let time_us = times.as_primitive::<TimestampMicrosecondType>().value(row);
            let pushed = taken.push_event(users.value(row), time_us, events.value(row), id);
            pushed.map_err(|error| BatchError { row: Some(row), ..error })?;
            rows.push(row);
        }
        let roles = [Some(user), Some(time), Some(event), event_id];
        taken.properties = properties(batch, &rows, |name| roles.contains(&Some(name)))?;
        Ok(taken)
    }
}

impl ProfileBatch {
    /// The profiles of a record batch of at most 100,000 rows; every column but the users' is an attribute.
    ///
    /// # Errors
    /// As [`EventBatch::from_record_batch`]; a user id is missing.
    pub fn from_record_batch(batch: &RecordBatch, user: &str) -> Result<Self, BatchError> {
        if batch.num_rows() > MOST_EVENTS {
            return Err(BatchProblem::TooManyEvents.of_batch());
        }
        let users = ids(batch, user)?;
        let mut taken = Self::new();
        for row in 0..batch.num_rows() {
            if users.is_null(row) {
                return Err(wrong(user, "it has no value here; the user id cannot be missing").in_row(row));
            }
            taken.push_user(users.value(row))?;
        }
        let rows: Vec<usize> = (0..batch.num_rows()).collect();
        taken.columns = properties(batch, &rows, |name| name == user)?;
        Ok(taken)
    }
}

fn wrong(column: &str, problem: impl Into<String>) -> BatchProblem {
    BatchProblem::Column { column: column.to_owned(), problem: problem.into() }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, BatchError> {
    batch.column_by_name(name).ok_or_else(|| {
        let found: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        wrong(name, format!("it is not there; the columns are {}", found.join(", "))).of_batch()
    })
}

/// An array converted to another type; what does not fit is an error, never a missing value.
fn convert(array: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef, BatchError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options)
        .map_err(|error| wrong(name, format!("it cannot be converted: {error}")).of_batch())
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn texts(array: &ArrayRef, name: &str) -> Result<LargeStringArray, BatchError> {
    if !is_text(array.data_type()) {
        return Err(wrong(name, format!("expected text, found {}", array.data_type())).of_batch());
    }
    Ok(convert(array, &DataType::LargeUtf8, name)?.as_string().clone())
}

/// Ids as text: integers in decimal digits.
fn ids(batch: &RecordBatch, name: &str) -> Result<LargeStringArray, BatchError> {
    let array = column(batch, name)?;
    if array.data_type().is_integer() {
        return Ok(convert(array, &DataType::LargeUtf8, name)?.as_string().clone());
    }
    texts(array, name)
        .map_err(|_| wrong(name, format!("expected ids as text or integers, found {}", array.data_type())).of_batch())
}

/// Times in microseconds.
fn times(array: &ArrayRef, name: &str) -> Result<ArrayRef, BatchError> {
    if !matches!(array.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) {
        return Err(wrong(name, format!("expected timestamps or dates, found {}", array.data_type())).of_batch());
    }
    convert(array, &DataType::Timestamp(TimeUnit::Microsecond, None), name)
}

/// The columns that play no other role, in these rows.
fn properties(
    batch: &RecordBatch,
    rows: &[usize],
    has_role: impl Fn(&str) -> bool,
) -> Result<PropertyTable, BatchError> {
    let mut table = PropertyTable::default();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = field.name().as_str();
        if !has_role(name) && *field.data_type() != DataType::Null {
            property(&mut table, name, array, rows)?;
        }
    }
    Ok(table)
}

fn property(table: &mut PropertyTable, name: &str, array: &ArrayRef, rows: &[usize]) -> Result<(), BatchError> {
    // Errors name the row of the record batch, not that among rows with a user.
    let in_row = |row: usize| move |error: BatchError| BatchError { row: Some(row), ..error };
    let there = |array: &dyn Array| -> Vec<(usize, usize)> {
        rows.iter().copied().enumerate().filter(|(_, row)| array.is_valid(*row)).collect()
    };
    match array.data_type() {
        found if is_text(found) => {
            let texts = texts(array, name)?;
            for (to, row) in there(&texts) {
                table.set_text(to, name, texts.value(row)).map_err(in_row(row))?;
            }
        }
        DataType::Boolean => {
            for (to, row) in there(array) {
                table.set_boolean(to, name, array.as_boolean().value(row)).map_err(in_row(row))?;
            }
        }
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            let times = times(array, name)?;
            for (to, row) in there(&times) {
                let time_us = times.as_primitive::<TimestampMicrosecondType>().value(row);
                table.set_time(to, name, time_us).map_err(in_row(row))?;
            }
        }
        found if found.is_numeric() => {
            refuse_inexact(array, name, rows)?;
            let numbers = convert(array, &DataType::Float64, name)?;
            for (to, row) in there(&numbers) {
                let number = numbers.as_primitive::<Float64Type>().value(row);
                table.set_number(to, name, number).map_err(in_row(row))?;
            }
        }
        found => {
            let problem = format!("expected numbers, truth values, times or text, found {found}");
            return Err(wrong(name, problem).of_batch());
        }
    }
    Ok(())
}

/// Refuses integers that f64 cannot hold exactly.
fn refuse_inexact(array: &ArrayRef, name: &str, rows: &[usize]) -> Result<(), BatchError> {
    let magnitude: Box<dyn Fn(usize) -> u64> = match array.data_type() {
        DataType::Int64 => Box::new(|row| array.as_primitive::<Int64Type>().value(row).unsigned_abs()),
        DataType::UInt64 => Box::new(|row| array.as_primitive::<UInt64Type>().value(row)),
        _ => return Ok(()),
    };
    match rows.iter().find(|&&row| array.is_valid(row) && magnitude(row) > EXACT_INTEGER) {
        None => Ok(()),
        Some(&row) => Err(wrong(name, "it holds an integer beyond 2^53; cast the column to text").in_row(row)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        Date32Array, DictionaryArray, Float32Array, Int64Array, NullArray, StringArray, StringViewArray,
        TimestampNanosecondArray, UInt64Array, types::Int8Type,
    };

    use super::*;
    use crate::batch::hash_event_id;

    const COLUMNS: EventBatchColumns<'_> = EventBatchColumns { user: "u", time: "t", event: "e", event_id: Some("id") };

    fn array<A: Array + 'static>(array: A) -> ArrayRef {
        Arc::new(array)
    }

    fn batch(more: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let mut columns = vec![
            ("u", array(Int64Array::from(vec![Some(-7), None, Some(9)]))),
            ("t", array(TimestampNanosecondArray::from(vec![1_000, 5, 3_999]))),
            ("e", array(["view", "view", "buy"].into_iter().map(Some).collect::<DictionaryArray<Int8Type>>())),
            ("id", array(StringViewArray::from(vec![None, Some("x"), Some("y")]))),
        ];
        columns.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        RecordBatch::try_from_iter(columns.into_iter().chain(more)).unwrap()
    }

    #[test]
    fn every_type_has_its_meaning_and_nulls_are_missing() {
        let events = EventBatch::from_record_batch(
            &batch(vec![
                ("day", array(Date32Array::from(vec![None, Some(9), Some(1)]))),
                ("n", array(UInt64Array::from(vec![Some(1 << 53), Some(u64::MAX), None]))),
                ("f", array(Float32Array::from(vec![f32::NAN, 1.0, 0.5]))),
                ("b", array(arrow_array::BooleanArray::from(vec![None, None, Some(true)]))),
                ("s", array(LargeStringArray::from(vec![Some("é"), Some("left out"), None]))),
                ("nothing", array(NullArray::new(3))),
            ]),
            COLUMNS,
        )
        .unwrap();
        let mut expected = EventBatch::new();
        expected.push_event("-7", 1, "view", None).unwrap();
        expected.push_event("9", 3, "buy", Some("y")).unwrap();
        assert_eq!(expected.event_ids, [0, hash_event_id("y")]);
        expected.dropped = 1;
        expected.set_time(1, "day", 86_400_000_000).unwrap();
        expected.set_number(0, "n", 9_007_199_254_740_992.0).unwrap();
        expected.set_number(0, "f", f64::NAN).unwrap();
        expected.set_number(1, "f", 0.5).unwrap();
        expected.set_boolean(1, "b", true).unwrap();
        expected.set_text(0, "s", "é").unwrap();
        assert_eq!(events, expected);
        events.validate().unwrap();
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let message = |more| EventBatch::from_record_batch(&batch(more), COLUMNS).unwrap_err().to_string();
        let large = array(Int64Array::from(vec![0, i64::MAX, -(1 << 53) - 1]));
        assert_eq!(
            message(vec![("n", large)]),
            "row 2: column \"n\": it holds an integer beyond 2^53; cast the column to text"
        );
        let floats = array(Float32Array::from(vec![0.0; 3]));
        assert!(message(vec![("u", Arc::clone(&floats))]).contains("expected ids as text or integers, found Float32"));
        assert!(message(vec![("t", Arc::clone(&floats))]).contains("expected timestamps or dates"));
        assert!(message(vec![("e", floats)]).contains("expected text"));
        let late = array(TimestampNanosecondArray::from(vec![Some(0), None, None]));
        assert!(message(vec![("t", late)]).starts_with("row 2: column \"t\": it has no value here"));
        let long = "x".repeat(65_537);
        let texts = array(StringArray::from(vec![None, None, Some(long.as_str())]));
        assert!(message(vec![("s", texts)]).starts_with("row 2: the text of \"s\" has 65537 bytes"));
        let empty = array(StringArray::from(vec!["a", "b", ""]));
        assert!(message(vec![("u", empty)]).starts_with("row 2: the user id has 0 bytes"));
        let absent = EventBatchColumns { user: "who", ..COLUMNS };
        let error = EventBatch::from_record_batch(&batch(Vec::new()), absent).unwrap_err();
        assert!(error.to_string().contains("column \"who\": it is not there; the columns are u, t, e, id"));
    }

    #[test]
    fn profiles_are_taken_alike() {
        let batch = RecordBatch::try_from_iter([
            ("u", array(StringArray::from(vec!["a", "b"]))),
            ("country", array(StringArray::from(vec![None, Some("GB")]))),
        ])
        .unwrap();
        let profiles = ProfileBatch::from_record_batch(&batch, "u").unwrap();
        let mut expected = ProfileBatch::new();
        expected.push_user("a").unwrap();
        expected.push_user("b").unwrap();
        expected.columns.set_text(1, "country", "GB").unwrap();
        assert_eq!(profiles, expected);
    }
}

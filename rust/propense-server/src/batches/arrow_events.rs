//! From an Arrow IPC stream to columns, every row checked as a message would be.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType, TimestampNanosecondType, UInt64Type};
use arrow_array::types::{TimestampMillisecondType, TimestampSecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_cast::cast;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use bytes::Bytes;
use propense_store::{BatchError, EventBatch};

use crate::batches::arrow_text::TextColumn;
use crate::batches::events::{check_event_id, check_rows};
use crate::error::ServiceError;
use crate::instants::in_range;
use crate::status::{Rows, of_batch};

/// The columns that are not properties.
const OWN_COLUMNS: [&str; 4] = ["user_id", "event_time", "event", "event_id"];
/// Beyond this, f64 does not hold every integer.
const EXACT: u64 = 1 << 53;

/// Events in columns. `text_limit` is how many bytes of text may come out: dictionaries and views can repeat what was
/// sent once.
pub(crate) fn batch_of_arrow(ipc: Bytes, text_limit: usize) -> Result<EventBatch, ServiceError> {
    let batches = without_panics(|| read(ipc))?;
    let mut events = Events { batch: EventBatch::new(), text_left: text_limit };
    for batch in &batches {
        events.add(batch)?;
    }
    Ok(events.batch)
}

thread_local! {
    /// Whether a panic of this thread is an answer to what was sent.
    static IS_ANSWER: Cell<bool> = const { Cell::new(false) };
}

/// Arrow's reader checks what it reads, but was not written for senders who mean harm: where it panics, the request is at
/// fault. Nothing is written of it, for any number of such requests may come.
fn without_panics<T>(read: impl FnOnce() -> Result<T, ServiceError>) -> Result<T, ServiceError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_ANSWER.get() {
                usual(panic);
            }
        }));
    });
    IS_ANSWER.set(true);
    let read = catch_unwind(AssertUnwindSafe(read));
    IS_ANSWER.set(false);
    read.unwrap_or_else(|_| Err(invalid("it cannot be read as an Arrow IPC stream")))
}

/// Decodes in place: a length that lies is found out before memory is taken for it.
fn read(ipc: Bytes) -> Result<Vec<RecordBatch>, ServiceError> {
    let broken = |error: ArrowError| invalid(format!("not an Arrow IPC stream: {}", kind_of(&error)));
    let mut unread = Buffer::from(ipc);
    let mut decoder = StreamDecoder::new();
    let mut rows = 0;
    let mut batches = Vec::new();
    while !unread.is_empty() {
        if let Some(batch) = decoder.decode(&mut unread).map_err(broken)? {
            rows += batch.num_rows();
            check_rows(rows, "arrow_ipc")?;
            batches.push(batch);
        }
    }
    decoder.finish().map_err(broken)?;
    Ok(batches)
}

/// What kind of error it is; its text may hold values.
fn kind_of(error: &ArrowError) -> &'static str {
    match error {
        ArrowError::IpcError(_) => "its framing is broken",
        ArrowError::ParseError(_) => "its metadata is broken",
        ArrowError::NotYetImplemented(_) => "it uses what is not supported",
        _ => "its contents do not fit its schema",
    }
}

fn invalid(problem: impl Into<String>) -> ServiceError {
    ServiceError::invalid("arrow_ipc", problem)
}

fn unfit(error: &BatchError) -> ServiceError {
    of_batch(error, Rows::Events)
}

struct Events {
    batch: EventBatch,
    text_left: usize,
}

impl Events {
    fn add(&mut self, rows: &RecordBatch) -> Result<(), ServiceError> {
        let first = self.batch.len();
        let user = required_text(rows, "user_id")?;
        let event = required_text(rows, "event")?;
        let time = Times::of(rows)?;
        let event_id = rows.column_by_name("event_id").filter(|ids| *ids.data_type() != DataType::Null);
        let event_id = event_id.map(|ids| TextColumn::of(ids).ok_or_else(|| wrong_type(ids, "event_id", "text")));
        let event_id = event_id.transpose()?;
        for row in 0..rows.num_rows() {
            let path = |field: &str| format!("events[{}].{field}", first + row);
            let required = |field: &str| ServiceError::invalid(path(field), "a value is required");
            let user_id = user.get(row).ok_or_else(|| required("user_id"))?;
            let event = event.get(row).ok_or_else(|| required("event"))?;
            let event_id = event_id.as_ref().and_then(|ids| ids.get(row)).filter(|id| !id.is_empty());
            check_event_id(event_id.unwrap_or_default(), || path("event_id"))?;
            let time_us = time.get(row, || path("event_time"))?;
            self.spend(user_id.len() + event.len())?;
            self.batch.push_event(user_id, time_us, event, event_id).map_err(|error| unfit(&error))?;
        }
        let schema = rows.schema();
        let mut seen = std::collections::HashSet::new();
        for (field, column) in schema.fields().iter().zip(rows.columns()) {
            if !seen.insert(field.name()) {
                return Err(invalid("two columns have the same name"));
            }
            if !OWN_COLUMNS.contains(&field.name().as_str()) {
                self.set(first, field.name(), column)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, first: usize, name: &str, column: &ArrayRef) -> Result<(), ServiceError> {
        if *column.data_type() == DataType::Null {
            return Ok(());
        }
        if *column.data_type() == DataType::Boolean {
            for (row, value) in column.as_boolean().iter().enumerate() {
                if let Some(value) = value {
                    self.batch.set_boolean(first + row, name, value).map_err(|error| unfit(&error))?;
                }
            }
        } else if let Some(texts) = TextColumn::of(column) {
            for row in 0..column.len() {
                if let Some(text) = texts.get(row) {
                    self.spend(text.len())?;
                    self.batch.set_text(first + row, name, text).map_err(|error| unfit(&error))?;
                }
            }
        } else {
            let numbers = numbers(column, name, |row| format!("events[{}].properties[{name:?}]", first + row))?;
            for (row, number) in numbers.as_primitive::<Float64Type>().iter().enumerate() {
                if let Some(number) = number.filter(|number| !number.is_nan()) {
                    self.batch.set_number(first + row, name, number).map_err(|error| unfit(&error))?;
                }
            }
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), ServiceError> {
        let left = self.text_left.checked_sub(bytes);
        self.text_left = left.ok_or_else(|| invalid("its texts, written out, are too large; send fewer rows"))?;
        Ok(())
    }
}

fn wrong_type(column: &ArrayRef, name: &str, expected: &str) -> ServiceError {
    let found = column.data_type();
    invalid(format!("column {name:?} has type {found}; expected {expected}"))
}

fn required_text(rows: &RecordBatch, name: &str) -> Result<TextColumn, ServiceError> {
    let column = rows.column_by_name(name).ok_or_else(|| invalid(format!("there is no column {name:?}")))?;
    TextColumn::of(column).ok_or_else(|| wrong_type(column, name, "text"))
}

/// A column of numbers as float64; integers that it cannot hold are errors.
fn numbers(column: &ArrayRef, name: &str, path: impl Fn(usize) -> String) -> Result<ArrayRef, ServiceError> {
    let to = |kind: &DataType| cast(column, kind).map_err(|_| wrong_type(column, name, "text, number or boolean"));
    let inexact = match column.data_type() {
        DataType::Int64 => {
            column.as_primitive::<Int64Type>().iter().position(|n| n.is_some_and(|n| n.unsigned_abs() > EXACT))
        }
        DataType::UInt64 => column.as_primitive::<UInt64Type>().iter().position(|n| n.is_some_and(|n| n > EXACT)),
        kind if kind.is_integer() || matches!(kind, DataType::Float16 | DataType::Float32 | DataType::Float64) => None,
        _ => return Err(wrong_type(column, name, "text, number or boolean")),
    };
    match inexact {
        Some(row) => Err(ServiceError::invalid(path(row), "an integer beyond 2^53; send it as text")),
        None => to(&DataType::Float64),
    }
}

/// Times in any unit.
struct Times {
    raw: ArrayRef,
    /// Microseconds in one of the column's units, or units in one microsecond.
    factor: i64,
    divisor: i64,
}

impl Times {
    fn of(rows: &RecordBatch) -> Result<Self, ServiceError> {
        let name = "event_time";
        let column = rows.column_by_name(name).ok_or_else(|| invalid(format!("there is no column {name:?}")))?;
        let (raw, factor, divisor): (ArrayRef, i64, i64) = match column.data_type() {
            DataType::Int64 => (column.clone(), 1, 1),
            DataType::Timestamp(unit, _) => {
                let (factor, divisor) = match unit {
                    TimeUnit::Second => (1_000_000, 1),
                    TimeUnit::Millisecond => (1_000, 1),
                    TimeUnit::Microsecond => (1, 1),
                    TimeUnit::Nanosecond => (1, 1_000),
                };
                (integers(column, *unit), factor, divisor)
            }
            _ => return Err(wrong_type(column, name, "timestamp, or int64 microseconds")),
        };
        Ok(Self { raw, factor, divisor })
    }

    fn get(&self, row: usize, path: impl FnOnce() -> String) -> Result<i64, ServiceError> {
        let raw = self.raw.as_primitive::<Int64Type>();
        let problem = if raw.is_null(row) {
            "a value is required"
        } else if raw.value(row) % self.divisor != 0 {
            "times are microseconds: nanoseconds must be a multiple of 1000"
        } else {
            let time_us = (raw.value(row) / self.divisor).checked_mul(self.factor);
            match time_us.filter(|time_us| in_range(*time_us)) {
                Some(time_us) => return Ok(time_us),
                None => "the time must lie in the years 1 to 9999",
            }
        };
        Err(ServiceError::invalid(path(), problem))
    }
}

/// A timestamp column's counts.
fn integers(column: &ArrayRef, unit: TimeUnit) -> ArrayRef {
    use std::sync::Arc;
    match unit {
        TimeUnit::Second => Arc::new(column.as_primitive::<TimestampSecondType>().reinterpret_cast::<Int64Type>()),
        TimeUnit::Millisecond => {
            Arc::new(column.as_primitive::<TimestampMillisecondType>().reinterpret_cast::<Int64Type>())
        }
        TimeUnit::Microsecond => {
            Arc::new(column.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>())
        }
        TimeUnit::Nanosecond => {
            Arc::new(column.as_primitive::<TimestampNanosecondType>().reinterpret_cast::<Int64Type>())
        }
    }
}

//! A run of a batch's rows, checked and converted: nothing can go wrong with it later.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::filter::filter;

use super::text::TextArray;
use crate::events::builder::EventColumns;
use crate::events::column::ColumnKind;
use crate::events::error::EventsError;
use crate::events::staging::{column, convert, is_text, kind_of};

/// The largest magnitude up to which every integer is an f64.
const EXACT_INTEGER: u64 = 1 << 53;

/// What the first batch decides for all: the type of user ids, and the properties in order of name.
pub(in crate::events) struct Roles {
    pub(super) users_are_text: bool,
    pub(super) properties: Vec<(String, ColumnKind)>,
}

impl Default for Roles {
    /// Of no batch at all.
    fn default() -> Self {
        Self { users_are_text: true, properties: Vec::new() }
    }
}

impl Roles {
    /// What a batch decides.
    pub(in crate::events) fn of(batch: &RecordBatch, names: &EventColumns) -> Result<Self, EventsError> {
        let taken = [&names.user, &names.time, &names.event];
        let fields = batch.schema_ref().fields().iter().filter(|field| !taken.contains(&field.name()));
        let mut properties = fields
            .map(|field| Ok((field.name().clone(), kind_of(field.name(), field.data_type())?)))
            .collect::<Result<Vec<_>, EventsError>>()?;
        // The order of columns is part of the canonical order of events.
        properties.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { users_are_text: is_text(column(batch, &names.user)?.data_type()), properties })
    }
}

/// User ids without missing ones.
pub(super) enum UserArray {
    Integers(Int64Array),
    Texts(TextArray),
}

/// Values of a property.
pub(super) enum PropertyArray {
    /// Of a type that [`super::stage`] reads.
    Numbers(ArrayRef),
    /// Microseconds.
    Times(ArrayRef),
    Texts(TextArray),
}

/// Rows with a user, all in memory of the batch unless they had to be converted.
pub(in crate::events) struct Piece {
    pub(in crate::events) rows: usize,
    pub(super) users: UserArray,
    /// Microseconds.
    pub(super) times: ArrayRef,
    pub(super) events: TextArray,
    pub(super) properties: Vec<PropertyArray>,
}

impl Piece {
    /// The rows of a batch, whose first is `first_row` over all batches, without those that lack a user.
    pub(in crate::events) fn of(
        batch: &RecordBatch,
        names: &EventColumns,
        roles: &Roles,
        first_row: u64,
    ) -> Result<Self, EventsError> {
        let rows = Rows::of(batch, names, first_row)?;
        rows.refuse_missing(&names.time, "the event time")?;
        rows.refuse_missing(&names.event, "the event type")?;
        let times = rows.array(&names.time)?;
        if !matches!(times.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) {
            return Err(EventsError::ColumnType {
                column: names.time.clone(),
                expected: "timestamps or dates",
                found: times.data_type().to_string(),
            });
        }
        let property = |(name, kind): &(String, ColumnKind)| rows.property(name, *kind);
        Ok(Self {
            rows: batch.num_rows() - rows.dropped(),
            times: microseconds(&times, &names.time)?,
            events: TextArray::of(&rows.array(&names.event)?, &names.event)?,
            properties: roles.properties.iter().map(property).collect::<Result<_, _>>()?,
            users: rows.users(&names.user, roles)?,
        })
    }
}

/// A batch and which of its rows have a user.
struct Rows<'a> {
    batch: &'a RecordBatch,
    first_row: u64,
    /// `None` if all have.
    with_user: Option<BooleanArray>,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch, names: &EventColumns, first_row: u64) -> Result<Self, EventsError> {
        let nulls = column(batch, &names.user)?.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let with_user = nulls.map(|nulls| BooleanArray::new(nulls.into_inner(), None));
        Ok(Self { batch, first_row, with_user })
    }

    fn dropped(&self) -> usize {
        self.with_user.as_ref().map_or(0, |with_user| with_user.len() - with_user.true_count())
    }

    fn has_user(&self, row: usize) -> bool {
        self.with_user.as_ref().is_none_or(|with_user| with_user.value(row))
    }

    /// A column's values in the rows with a user.
    fn array(&self, name: &str) -> Result<ArrayRef, EventsError> {
        let array = column(self.batch, name)?;
        match &self.with_user {
            None => Ok(Arc::clone(array)),
            Some(with_user) => filter(array.as_ref(), with_user)
                .map_err(|source| EventsError::Convert { column: name.to_owned(), source }),
        }
    }

    fn refuse_missing(&self, name: &str, role: &'static str) -> Result<(), EventsError> {
        let Some(nulls) = column(self.batch, name)?.logical_nulls() else { return Ok(()) };
        match (0..nulls.len()).find(|&row| nulls.is_null(row) && self.has_user(row)) {
            None => Ok(()),
            Some(row) => {
                Err(EventsError::MissingValue { column: name.to_owned(), row: self.first_row + row as u64, role })
            }
        }
    }

    fn property(&self, name: &str, kind: ColumnKind) -> Result<PropertyArray, EventsError> {
        let array = self.array(name)?;
        match kind {
            ColumnKind::Text => Ok(PropertyArray::Texts(TextArray::of(&array, name)?)),
            ColumnKind::Time => Ok(PropertyArray::Times(microseconds(&array, name)?)),
            ColumnKind::Number | ColumnKind::Boolean => {
                self.refuse_inexact(name)?;
                let read_as_it_is = array.data_type().is_integer()
                    || matches!(array.data_type(), DataType::Boolean | DataType::Float32 | DataType::Float64);
                let array = if read_as_it_is { array } else { convert(array.as_ref(), &DataType::Float64, name)? };
                Ok(PropertyArray::Numbers(array))
            }
        }
    }

    fn refuse_inexact(&self, name: &str) -> Result<(), EventsError> {
        let array = column(self.batch, name)?;
        let counts = |row: &usize| array.is_valid(*row) && self.has_user(*row);
        let inexact = if let Some(integers) = array.as_primitive_opt::<Int64Type>() {
            let beyond = |integer: i64| integer.unsigned_abs() > EXACT_INTEGER;
            let values = integers.values();
            // One pass without branches finds out that there is none; only then rows are looked at one by one.
            let any = values.iter().fold(false, |any, &value| any | beyond(value));
            any.then(|| (0..values.len()).filter(counts).find(|&row| beyond(values[row]))).flatten()
        } else if let Some(integers) = array.as_primitive_opt::<UInt64Type>() {
            let beyond = |integer: u64| integer > EXACT_INTEGER;
            let values = integers.values();
            let any = values.iter().fold(false, |any, &value| any | beyond(value));
            any.then(|| (0..values.len()).filter(counts).find(|&row| beyond(values[row]))).flatten()
        } else {
            None
        };
        match inexact {
            None => Ok(()),
            Some(row) => Err(EventsError::InexactInteger { column: name.to_owned(), row: self.first_row + row as u64 }),
        }
    }

    fn users(&self, name: &str, roles: &Roles) -> Result<UserArray, EventsError> {
        let array = column(self.batch, name)?;
        let (text, integer) = (is_text(array.data_type()), array.data_type().is_integer());
        if text && roles.users_are_text {
            return Ok(UserArray::Texts(TextArray::of(&self.array(name)?, name)?));
        }
        if !integer || roles.users_are_text {
            return Err(EventsError::ColumnType {
                column: name.to_owned(),
                expected: "user ids as text or integers, the same in all batches",
                found: array.data_type().to_string(),
            });
        }
        if let Some(large) = array.as_primitive_opt::<UInt64Type>() {
            let beyond = |row: &usize| self.has_user(*row) && i64::try_from(large.value(*row)).is_err();
            if let Some(row) = (0..large.len()).find(beyond) {
                return Err(EventsError::UserIdRange { row: self.first_row + row as u64 });
            }
        }
        let integers = convert(self.array(name)?.as_ref(), &DataType::Int64, name)?;
        Ok(UserArray::Integers(integers.as_primitive().clone()))
    }
}

/// Times as microseconds.
fn microseconds(array: &ArrayRef, name: &str) -> Result<ArrayRef, EventsError> {
    match array.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(_) => Ok(Arc::clone(array)),
        None => convert(array.as_ref(), &DataType::Timestamp(TimeUnit::Microsecond, None), name),
    }
}

//! Arrow arrays appended to growing columns, before anything is grouped or sorted.

use std::hash::BuildHasher;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayAccessor, ArrayRef, LargeStringArray, RecordBatch};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::cells::Cells;
use super::column::{Column, ColumnKind, MISSING_CODE};
use super::dictionary::{Interner, ranks};
use super::error::EventsError;
use super::users::UserIds;

/// The largest magnitude up to which every integer is an f64.
const EXACT_INTEGER: i64 = 1 << 53;

/// The array of a named column.
pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, EventsError> {
    batch.column_by_name(name).ok_or_else(|| EventsError::MissingColumn {
        name: name.to_owned(),
        found: batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect(),
    })
}

/// An array converted to another type; what does not fit is an error, never a missing value.
pub(super) fn convert(array: &dyn Array, to: &DataType, name: &str) -> Result<ArrayRef, EventsError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|source| EventsError::Convert { column: name.to_owned(), source })
}

/// Calls `each` with every text of a string or dictionary array, `None` for a missing one.
pub(super) fn for_each_text<F>(array: &dyn Array, name: &str, mut each: F) -> Result<(), EventsError>
where
    F: FnMut(Option<&str>),
{
    fn walk<'a, A: ArrayAccessor<Item = &'a str>>(array: &A, each: &mut dyn FnMut(Option<&str>)) {
        for row in 0..array.len() {
            each(array.is_valid(row).then(|| array.value(row)));
        }
    }
    match array.data_type() {
        DataType::Utf8 => walk(&array.as_string::<i32>(), &mut each),
        DataType::LargeUtf8 => walk(&array.as_string::<i64>(), &mut each),
        DataType::Utf8View => walk(&array.as_string_view(), &mut each),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                (0..array.len()).for_each(|_| each(None));
                return Ok(());
            }
            let values = convert(dictionary.values().as_ref(), &DataType::LargeUtf8, name)?;
            let (values, keys) = (values.as_string::<i64>(), dictionary.normalized_keys());
            for (row, &key) in keys.iter().enumerate() {
                let there = array.is_valid(row) && values.is_valid(key);
                each(there.then(|| values.value(key)));
            }
        }
        found => {
            return Err(EventsError::ColumnType {
                column: name.to_owned(),
                expected: "text",
                found: found.to_string(),
            });
        }
    }
    Ok(())
}

/// Whether an Arrow type is text for us.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// What the values of a property or attribute column mean.
pub(super) fn kind_of(name: &str, data_type: &DataType) -> Result<ColumnKind, EventsError> {
    match data_type {
        DataType::Boolean => Ok(ColumnKind::Boolean),
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Ok(ColumnKind::Time),
        other if is_text(other) => Ok(ColumnKind::Text),
        other if other.is_numeric() || *other == DataType::Null => Ok(ColumnKind::Number),
        other => Err(EventsError::ColumnType {
            column: name.to_owned(),
            expected: "numbers, booleans, times or text",
            found: other.to_string(),
        }),
    }
}

/// A growing attribute column.
pub(super) struct ColumnStage {
    pub(super) name: String,
    kind: ColumnKind,
    numbers: Vec<f64>,
    codes: Vec<u32>,
    texts: Interner,
    rows: u64,
}

impl ColumnStage {
    pub(super) fn new(name: &str, data_type: &DataType) -> Result<Self, EventsError> {
        let kind = kind_of(name, data_type)?;
        let (numbers, codes, texts) = (Vec::new(), Vec::new(), Interner::default());
        Ok(Self { name: name.to_owned(), kind, numbers, codes, texts, rows: 0 })
    }

    pub(super) fn append(&mut self, array: &dyn Array) -> Result<(), EventsError> {
        match self.kind {
            ColumnKind::Text => {
                let Self { codes, texts, name, .. } = self;
                for_each_text(array, name, |text| codes.push(text.map_or(MISSING_CODE, |text| texts.intern(text))))?;
            }
            ColumnKind::Time => {
                let times = convert(array, &DataType::Timestamp(TimeUnit::Microsecond, None), &self.name)?;
                let times = times.as_primitive::<TimestampMicrosecondType>();
                self.numbers.extend(times.iter().map(|time| time.map_or(f64::NAN, |time| time as f64)));
            }
            ColumnKind::Number | ColumnKind::Boolean => self.append_numbers(array)?,
        }
        self.rows += array.len() as u64;
        Ok(())
    }

    fn append_numbers(&mut self, array: &dyn Array) -> Result<(), EventsError> {
        if matches!(array.data_type(), DataType::Int64 | DataType::UInt64) {
            self.refuse_inexact(array)?;
        }
        let numbers = convert(array, &DataType::Float64, &self.name)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        // One NaN only, so that rows that are equal are equal to the bit.
        let canonical = |number: Option<f64>| number.filter(|number| !number.is_nan()).unwrap_or(f64::NAN);
        self.numbers.extend(numbers.iter().map(canonical));
        Ok(())
    }

    fn refuse_inexact(&self, array: &dyn Array) -> Result<(), EventsError> {
        let inexact = match array.data_type() {
            DataType::Int64 => array
                .as_primitive::<Int64Type>()
                .iter()
                .position(|value| value.is_some_and(|value| value.unsigned_abs() > EXACT_INTEGER.unsigned_abs())),
            _ => array
                .as_primitive::<UInt64Type>()
                .iter()
                .position(|value| value.is_some_and(|value| value > EXACT_INTEGER.unsigned_abs())),
        };
        match inexact {
            None => Ok(()),
            Some(row) => Err(EventsError::InexactInteger { column: self.name.clone(), row: self.rows + row as u64 }),
        }
    }

    pub(super) fn finish(self) -> Column {
        let Self { name, kind, numbers, mut codes, texts, .. } = self;
        if kind != ColumnKind::Text {
            let cells = match kind {
                ColumnKind::Time => Cells::of_times(&numbers),
                _ => Cells::of_numbers(&numbers),
            };
            return Column { name, kind, cells, dictionary: Vec::new() };
        }
        let (order, rank) = texts.sorted();
        for code in codes.iter_mut().filter(|code| **code != MISSING_CODE) {
            *code = rank[*code as usize];
        }
        let dictionary: Vec<String> = order.iter().map(|&id| texts.text(id).to_owned()).collect();
        Column { name, kind, cells: Cells::of_codes(codes, dictionary.len()), dictionary }
    }
}

/// User ids numbered in order of first sight.
#[derive(Default)]
pub(super) enum UserStage {
    /// Nothing seen yet.
    #[default]
    Empty,
    Integers(HashTable<u32>, Vec<i64>),
    Texts(Interner),
}

impl UserStage {
    /// Appends the users' numbers to `users`; the array has no missing values.
    pub(super) fn append(
        &mut self,
        array: &dyn Array,
        name: &str,
        first_row: u64,
        users: &mut Vec<u32>,
    ) -> Result<(), EventsError> {
        let (text, integer) = (is_text(array.data_type()), array.data_type().is_integer());
        if matches!(self, Self::Empty) {
            *self = if text { Self::Texts(Interner::default()) } else { Self::Integers(HashTable::new(), Vec::new()) };
        }
        match self {
            Self::Texts(texts) if text => {
                let mut last = (String::new(), u32::MAX);
                for_each_text(array, name, |id| {
                    let id = id.unwrap_or_default();
                    // Logs often come with a user's events side by side.
                    if last.1 == u32::MAX || last.0 != id {
                        last.1 = texts.intern(id);
                        last.0.clear();
                        last.0.push_str(id);
                    }
                    users.push(last.1);
                })
            }
            Self::Integers(table, ids) if integer => append_integers(table, ids, array, name, first_row, users),
            _ => Err(EventsError::ColumnType {
                column: name.to_owned(),
                expected: "user ids as text or integers, the same in all batches",
                found: array.data_type().to_string(),
            }),
        }
    }

    /// The ids in ascending order, and for each number its place in that order.
    pub(super) fn finish(self) -> (UserIds, Vec<u32>) {
        match self {
            Self::Empty => (UserIds::Texts(LargeStringArray::new_null(0)), Vec::new()),
            Self::Integers(_, ids) => {
                let mut order: Vec<u32> = (0..ids.len() as u32).collect();
                order.sort_unstable_by_key(|&number| ids[number as usize]);
                let rank = ranks(&order);
                (UserIds::Integers(order.iter().map(|&number| ids[number as usize]).collect()), rank)
            }
            Self::Texts(texts) => {
                let (order, rank) = texts.sorted();
                (UserIds::Texts(order.iter().map(|&number| Some(texts.text(number))).collect()), rank)
            }
        }
    }
}

fn append_integers(
    table: &mut HashTable<u32>,
    ids: &mut Vec<i64>,
    array: &dyn Array,
    name: &str,
    first_row: u64,
    users: &mut Vec<u32>,
) -> Result<(), EventsError> {
    if let Some(large) = array.as_primitive_opt::<UInt64Type>()
        && let Some(row) = large.values().iter().position(|&id| i64::try_from(id).is_err())
    {
        return Err(EventsError::UserIdRange { row: first_row + row as u64 });
    }
    let hasher = FixedState::default();
    let integers = convert(array, &DataType::Int64, name)?;
    for &id in integers.as_primitive::<Int64Type>().values() {
        let hash = hasher.hash_one(id);
        if let Some(&number) = table.find(hash, |&number| ids[number as usize] == id) {
            users.push(number);
            continue;
        }
        let number = ids.len() as u32;
        ids.push(id);
        table.insert_unique(hash, number, |&number| hasher.hash_one(ids[number as usize]));
        users.push(number);
    }
    Ok(())
}

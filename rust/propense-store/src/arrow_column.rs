//! What an Arrow file holds of a column.
//!
//! Whole numbers, fractions, truth values (as 1 and 0) and instants stand as they do in memory, each missing value's
//! mark under a null. A code that marks a missing text is no place in the dictionary, which readers do not accept even
//! under a null; so where a text is missing the codes are written twice, once with 0 in place of the mark for whoever
//! reads Arrow, and once as they are, in a buffer that the Arrow schema does not mention.

use std::collections::HashMap;

use arrow_buffer::{ArrowNativeType, ScalarBuffer};
use arrow_schema::{DataType, Field, TimeUnit};
use propense_core::events::{Cells, Column, ColumnKind, UserIds};

use crate::part::{Part, Texts};

/// The key under which a field says what its values mean.
const KIND_KEY: &str = "propense.kind";

/// A column on its way into a file.
pub(crate) struct ArrowColumn<'a> {
    pub(crate) field: Field,
    pub(crate) nulls: u64,
    /// Empty without nulls.
    pub(crate) validity: Part<'a>,
    /// The other buffers of its Arrow type.
    pub(crate) buffers: Vec<Part<'a>>,
    /// Codes with their missing marks, where `buffers` has them without.
    pub(crate) marked: Option<Part<'a>>,
    pub(crate) dictionary: Option<Texts<'a>>,
}

/// Instants in microseconds.
pub(crate) fn instants() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl<'a> ArrowColumn<'a> {
    /// A column without nulls or dictionary.
    pub(crate) fn plain(name: &str, data_type: DataType, buffers: Vec<Part<'a>>) -> Self {
        let field = Field::new(name, data_type, false);
        Self { field, nulls: 0, validity: Part::empty(), buffers, marked: None, dictionary: None }
    }

    /// The id of every user, once.
    pub(crate) fn of_users(name: &str, users: &'a UserIds) -> Self {
        match users {
            UserIds::Integers(ids) => Self::plain(name, DataType::Int64, vec![Part::of_values(ids)]),
            UserIds::Texts(ids) => {
                let Texts { offsets, bytes, .. } = Texts::of_array(ids);
                Self::plain(name, DataType::LargeUtf8, vec![offsets, bytes])
            }
        }
    }

    /// The id of every event's user.
    pub(crate) fn of_users_by_event(name: &str, users: &'a UserIds, offsets: &'a [u64]) -> Self {
        match users {
            UserIds::Integers(ids) => {
                Self::plain(name, DataType::Int64, vec![Part::by_event(offsets, |user| ids[user])])
            }
            UserIds::Texts(ids) => {
                let keys = Part::by_event(offsets, |user| user as u32);
                Self {
                    dictionary: Some(Texts::of_array(ids)),
                    ..Self::plain(name, texts_by(DataType::UInt32), vec![keys])
                }
            }
        }
    }

    /// Event types, none missing.
    pub(crate) fn of_event(name: &str, event: &'a Cells, event_types: &'a [String]) -> Self {
        let mut column = Self::of_cells(name, ColumnKind::Text, event, event_types);
        column.field = column.field.with_nullable(false);
        column
    }

    /// A property or attribute.
    pub(crate) fn of_column(column: &'a Column) -> Self {
        Self::of_cells(&column.name, column.kind, &column.cells, &column.dictionary)
    }

    fn of_cells(name: &str, kind: ColumnKind, cells: &'a Cells, texts: &'a [String]) -> Self {
        let column = Unwritten { name, kind, texts };
        match cells {
            Cells::U8(values) => column.codes(values, DataType::UInt8, |&value| value == u8::MAX),
            Cells::U16(values) => column.codes(values, DataType::UInt16, |&value| value == u16::MAX),
            Cells::U32(values) => column.codes(values, DataType::UInt32, |&value| value == u32::MAX),
            Cells::I8(values) => column.numbers(values, DataType::Int8, |&value| value == i8::MIN),
            Cells::I16(values) => column.numbers(values, DataType::Int16, |&value| value == i16::MIN),
            Cells::I32(values) => column.numbers(values, DataType::Int32, |&value| value == i32::MIN),
            Cells::I64(values) => {
                let data_type = if kind == ColumnKind::Time { instants() } else { DataType::Int64 };
                column.numbers(values, data_type, |&value| value == i64::MIN)
            }
            Cells::F32(values) => column.numbers(values, DataType::Float32, |value| value.is_nan()),
            Cells::F64(values) => column.numbers(values, DataType::Float64, |value| value.is_nan()),
        }
    }
}

/// A column whose buffers are still to be made.
struct Unwritten<'n, 'a> {
    name: &'n str,
    kind: ColumnKind,
    texts: &'a [String],
}

impl<'a> Unwritten<'_, 'a> {
    /// Values that stand under nulls as they are.
    fn numbers<T: ArrowNativeType>(
        self,
        values: &'a ScalarBuffer<T>,
        data_type: DataType,
        is_missing: fn(&T) -> bool,
    ) -> ArrowColumn<'a> {
        let nulls = values.iter().filter(|value| is_missing(value)).count() as u64;
        let validity = if nulls == 0 { Part::empty() } else { Part::bitmap(values, move |value| !is_missing(value)) };
        let metadata = HashMap::from([(KIND_KEY.to_owned(), self.kind.name().to_owned())]);
        let field = Field::new(self.name, data_type, true).with_metadata(metadata);
        ArrowColumn { field, nulls, validity, buffers: vec![Part::of_values(values)], marked: None, dictionary: None }
    }

    /// Codes of texts; without a dictionary they are numbers.
    fn codes<T: ArrowNativeType>(
        self,
        values: &'a ScalarBuffer<T>,
        data_type: DataType,
        is_missing: fn(&T) -> bool,
    ) -> ArrowColumn<'a> {
        let Self { name, kind, texts } = self;
        if kind != ColumnKind::Text {
            return self.numbers(values, data_type, is_missing);
        }
        let column = Self { name, kind, texts }.numbers(values, texts_by(data_type), is_missing);
        let dictionary = Some(Texts::of_dictionary(texts));
        if column.nulls == 0 {
            return ArrowColumn { dictionary, ..column };
        }
        let key = move |value: &T| if is_missing(value) { T::default() } else { *value };
        let (buffers, marked) = (vec![Part::mapped(values, key)], Some(Part::of_values(values)));
        ArrowColumn { buffers, marked, dictionary, ..column }
    }
}

fn texts_by(code: DataType) -> DataType {
    DataType::Dictionary(Box::new(code), Box::new(DataType::LargeUtf8))
}

//! Rows that fit in cache, each column as narrow as these rows allow, before they are grouped.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use super::keys::{DistinctKeys, KeyList, RunKeys};
use super::piece::{Piece, PropertyArray, UserArray};
use super::text::{Text, TextArray};
use crate::events::cells::Cells;
use crate::events::narrowing::{NumberRange, narrowed};

/// A run of rows, in the order of arrival until they are shuffled.
pub(super) struct Chunk {
    /// Numbers of users; once shuffled their ranks.
    pub(super) users: Vec<u32>,
    pub(super) time_us: Vec<i64>,
    /// The event type, then the properties.
    pub(super) columns: Vec<ChunkColumn>,
}

/// A column of a chunk.
pub(super) struct ChunkColumn {
    pub(super) cells: Cells,
    /// For text, the numbers of the texts whose places the cells hold.
    pub(super) numbers: Vec<u32>,
    /// For numbers, what they need.
    pub(super) range: NumberRange,
}

/// A chunk with the keys that are still to be numbered.
pub(super) struct UnnumberedChunk {
    pub(super) chunk: Chunk,
    pub(super) user_keys: KeyList,
    /// Of each column; none of columns that are not text.
    pub(super) text_keys: Vec<KeyList>,
}

impl UnnumberedChunk {
    /// The rows of some pieces, their users' keys in the memory of a list that is done with.
    pub(super) fn of(pieces: &[Piece], spare: KeyList) -> Self {
        let rows = pieces.iter().map(|piece| piece.rows).sum();
        let (users, user_keys) = users(pieces, rows, spare);
        let mut time_us = Vec::with_capacity(rows);
        for piece in pieces {
            time_us.extend_from_slice(piece.times.as_primitive::<TimestampMicrosecondType>().values());
        }
        let (event, event_keys) = texts(pieces.iter().map(|piece| &piece.events), rows);
        let (mut columns, mut text_keys) = (vec![event], vec![event_keys]);
        let properties = pieces.first().map_or(0, |piece| piece.properties.len());
        for place in 0..properties {
            let (column, keys) = property(pieces.iter().map(|piece| &piece.properties[place]), rows);
            columns.push(column);
            text_keys.push(keys);
        }
        Self { chunk: Chunk { users, time_us, columns }, user_keys, text_keys }
    }

    /// The chunk with the numbers of its keys, and the list of user keys, now done with.
    pub(super) fn numbered(self, users: &[u32], texts: Vec<Vec<u32>>) -> (Chunk, KeyList) {
        let mut chunk = self.chunk;
        for user in &mut chunk.users {
            *user = users[*user as usize];
        }
        for (column, numbers) in chunk.columns.iter_mut().zip(texts) {
            column.numbers = numbers;
        }
        (chunk, self.user_keys)
    }
}

fn users(pieces: &[Piece], rows: usize, spare: KeyList) -> (Vec<u32>, KeyList) {
    let (mut places, mut keys) = (Vec::with_capacity(rows), RunKeys::in_memory_of(spare));
    for piece in pieces {
        match &piece.users {
            UserArray::Texts(texts) => texts.append_numbers(&mut places, |text| keys.place(text)),
            UserArray::Integers(integers) => places.extend(integers.values().iter().map(|&id| {
                // An integer's key is its eight bytes.
                keys.place(Text { head: u128::from(id as u64), len: size_of::<i64>(), long: &[] })
            })),
        }
    }
    let mut keys = keys.into_list();
    keys.partition();
    (places, keys)
}

fn texts<'a>(pieces: impl Iterator<Item = &'a TextArray>, rows: usize) -> (ChunkColumn, KeyList) {
    let (mut places, mut keys) = (Vec::with_capacity(rows), DistinctKeys::default());
    pieces.for_each(|texts| texts.append_numbers(&mut places, |text| keys.place(text)));
    let mut keys = keys.into_list();
    keys.partition();
    let cells = Cells::of_codes(places, keys.len());
    (ChunkColumn { cells, numbers: Vec::new(), range: NumberRange::NOTHING }, keys)
}

fn property<'a>(pieces: impl Iterator<Item = &'a PropertyArray> + Clone, rows: usize) -> (ChunkColumn, KeyList) {
    let of_texts = |piece: &'a PropertyArray| if let PropertyArray::Texts(texts) = piece { Some(texts) } else { None };
    if pieces.clone().next().and_then(of_texts).is_some() {
        return texts(pieces.filter_map(of_texts), rows);
    }
    let (mut numbers, mut times) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            PropertyArray::Numbers(array) => append_numbers(array, &mut numbers),
            PropertyArray::Times(array) => append_times(array, &mut times),
            PropertyArray::Texts(_) => {}
        }
    }
    let mut keys = KeyList::default();
    keys.partition();
    let range = NumberRange::of(&numbers);
    let cells = if times.is_empty() { narrowed(&numbers, range.narrowest()) } else { Cells::I64(times.into()) };
    (ChunkColumn { cells, numbers: Vec::new(), range }, keys)
}

fn append_times(array: &ArrayRef, times_us: &mut Vec<i64>) {
    let first = times_us.len();
    // The kernels see instants as f64, and so does the order of events: beyond 2^53 they are what f64 makes of them.
    let seen = array.as_primitive::<TimestampMicrosecondType>().values().iter().map(|&time| time as f64 as i64);
    times_us.extend(seen);
    mark_missing(array, &mut times_us[first..], i64::MIN);
}

fn append_numbers(array: &ArrayRef, numbers: &mut Vec<f64>) {
    fn append<T: ArrowPrimitiveType>(array: &ArrayRef, numbers: &mut Vec<f64>, number: impl Fn(T::Native) -> f64) {
        numbers.extend(array.as_primitive::<T>().values().iter().map(|&value| number(value)));
    }
    // One NaN only, so that rows that are equal are equal to the bit.
    let canonical = |number: f64| if number.is_nan() { f64::NAN } else { number };
    let first = numbers.len();
    match array.data_type() {
        DataType::Int8 => append::<Int8Type>(array, numbers, f64::from),
        DataType::Int16 => append::<Int16Type>(array, numbers, f64::from),
        DataType::Int32 => append::<Int32Type>(array, numbers, f64::from),
        DataType::Int64 => append::<Int64Type>(array, numbers, |value| value as f64),
        DataType::UInt8 => append::<UInt8Type>(array, numbers, f64::from),
        DataType::UInt16 => append::<UInt16Type>(array, numbers, f64::from),
        DataType::UInt32 => append::<UInt32Type>(array, numbers, f64::from),
        DataType::UInt64 => append::<UInt64Type>(array, numbers, |value| value as f64),
        DataType::Float32 => append::<Float32Type>(array, numbers, |value| canonical(f64::from(value))),
        DataType::Boolean => numbers.extend(array.as_boolean().values().iter().map(|value| f64::from(u8::from(value)))),
        _ => append::<Float64Type>(array, numbers, canonical),
    }
    mark_missing(array, &mut numbers[first..], f64::NAN);
}

fn mark_missing<T: Copy>(array: &ArrayRef, values: &mut [T], mark: T) {
    if let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
        for (value, there) in values.iter_mut().zip(nulls.iter()) {
            *value = if there { *value } else { mark };
        }
    }
}

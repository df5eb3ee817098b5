//! Bytes to be written, made piece by piece so that no second copy of a column stands in memory.

use std::borrow::Cow;

use arrow_buffer::{ArrowNativeType, ScalarBuffer, ToByteSlice};

/// Bytes of a piece that already stand in memory.
const PIECE_BYTES: usize = 1 << 20;
/// Rows of a piece that is computed; a multiple of 8, so that pieces of bitmaps end on whole bytes.
const PIECE_ROWS: usize = 1 << 16;

/// One buffer of an Arrow array.
pub(crate) struct Part<'a> {
    /// How many bytes all pieces have.
    pub(crate) bytes: u64,
    /// The bytes, in order.
    pub(crate) pieces: Box<dyn Iterator<Item = Cow<'a, [u8]>> + 'a>,
}

impl<'a> Part<'a> {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self { bytes: 0, pieces: Box::new(std::iter::empty()) }
    }

    /// Bytes as they stand.
    pub(crate) fn of_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.len() as u64, pieces: Box::new(bytes.chunks(PIECE_BYTES).map(Cow::Borrowed)) }
    }

    /// Values as they stand.
    pub(crate) fn of_values<T: ArrowNativeType>(values: &'a ScalarBuffer<T>) -> Self {
        Self::of_bytes(values.inner().as_slice())
    }

    /// One computed value for each of these.
    pub(crate) fn mapped<T, U>(values: &'a [T], value: impl Fn(&T) -> U + 'a) -> Self
    where
        U: ArrowNativeType,
    {
        let piece = move |values: &'a [T]| owned(&values.iter().map(&value).collect::<Vec<U>>());
        Self { bytes: (values.len() * size_of::<U>()) as u64, pieces: Box::new(values.chunks(PIECE_ROWS).map(piece)) }
    }

    /// How far each of these is above the one before.
    pub(crate) fn differences(values: &'a [u64]) -> Self {
        let piece = |values: &'a [u64]| owned(&values.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<u64>>());
        let starts = (0..values.len().saturating_sub(1)).step_by(PIECE_ROWS);
        let pieces = starts.map(move |start| piece(&values[start..values.len().min(start + PIECE_ROWS + 1)]));
        Self { bytes: (values.len().saturating_sub(1) * size_of::<u64>()) as u64, pieces: Box::new(pieces) }
    }

    /// A bit for each of these, the lowest first.
    pub(crate) fn bitmap<T>(values: &'a [T], is_set: impl Fn(&T) -> bool + 'a) -> Self {
        let byte = move |values: &[T]| {
            values.iter().enumerate().fold(0_u8, |byte, (bit, value)| byte | (u8::from(is_set(value)) << bit))
        };
        let piece = move |values: &'a [T]| Cow::Owned(values.chunks(8).map(&byte).collect());
        Self { bytes: values.len().div_ceil(8) as u64, pieces: Box::new(values.chunks(PIECE_ROWS).map(piece)) }
    }

    /// A value for each user, as often as the user has events.
    pub(crate) fn by_event<U: ArrowNativeType>(offsets: &'a [u64], value: impl Fn(usize) -> U + 'a) -> Self {
        let events = offsets.last().copied().unwrap_or(0) as usize;
        let (mut user, mut row) = (0, 0);
        let piece = move || {
            let end = (row + PIECE_ROWS).min(events);
            let mut values = Vec::with_capacity(end - row);
            while row < end {
                let stop = (offsets[user + 1] as usize).min(end);
                values.extend(std::iter::repeat_n(value(user), stop - row));
                row = stop;
                user += usize::from(row == offsets[user + 1] as usize);
            }
            (!values.is_empty()).then(|| owned(&values))
        };
        Self { bytes: (events * size_of::<U>()) as u64, pieces: Box::new(std::iter::from_fn(piece)) }
    }
}

fn owned<'a, U: ArrowNativeType>(values: &[U]) -> Cow<'a, [u8]> {
    Cow::Owned(values.to_byte_slice().to_vec())
}

/// Distinct texts as Arrow's `large_utf8` holds them.
pub(crate) struct Texts<'a> {
    pub(crate) count: u64,
    pub(crate) offsets: Part<'a>,
    pub(crate) bytes: Part<'a>,
}

impl<'a> Texts<'a> {
    /// Texts of a dictionary.
    pub(crate) fn of_dictionary(texts: &'a [String]) -> Self {
        let mut offsets = vec![0_i64];
        offsets.extend(texts.iter().scan(0, |end, text| {
            *end += text.len() as i64;
            Some(*end)
        }));
        if texts.is_empty() {
            // Readers look up a code under nulls too, so that there must be one.
            offsets.push(0);
        }
        let bytes = texts.concat().into_bytes();
        Self { count: texts.len() as u64, offsets: in_one_piece(owned(&offsets)), bytes: in_one_piece(bytes.into()) }
    }

    /// Texts of an Arrow array, none missing.
    pub(crate) fn of_array(texts: &'a arrow_array::LargeStringArray) -> Self {
        let offsets = texts.value_offsets();
        let first = offsets.first().copied().unwrap_or(0);
        let last = offsets.last().copied().unwrap_or(0);
        Self {
            count: (offsets.len() - 1) as u64,
            offsets: Part::mapped(offsets, move |offset| offset - first),
            bytes: Part::of_bytes(&texts.value_data()[first as usize..last as usize]),
        }
    }
}

fn in_one_piece(bytes: Cow<'_, [u8]>) -> Part<'_> {
    Part { bytes: bytes.len() as u64, pieces: Box::new(std::iter::once(bytes)) }
}

//! Texts read in place from Arrow's layouts, the first 16 bytes as one integer.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, GenericStringArray, LargeStringArray, OffsetSizeTrait, StringArray, StringViewArray,
};
use arrow_buffer::{ArrowNativeType, NullBuffer};
use arrow_schema::DataType;

use crate::events::column::MISSING_CODE;
use crate::events::error::EventsError;
use crate::events::staging::convert;

/// Texts up to this many bytes are known by their head and length alone.
pub(super) const HEAD: usize = 16;
/// Views hold texts up to this many bytes in themselves.
const INLINE: usize = 12;
/// The number of a dictionary's text that no row has named yet.
const UNSEEN: u32 = MISSING_CODE - 1;

/// A text: its first 16 bytes, the first in the lowest bits, zeros after its end; its length; all of it if longer.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) head: u128,
    pub(super) len: usize,
    pub(super) long: &'a [u8],
}

impl<'a> Text<'a> {
    /// The text of `len` bytes from `start` on; a text beyond the data is empty.
    #[inline]
    fn within(data: &'a [u8], start: usize, len: usize) -> Self {
        let rest = data.get(start..).unwrap_or_default();
        if len > HEAD {
            let long = rest.get(..len).unwrap_or_default();
            return Self {
                head: long.first_chunk().map_or(0, |head| u128::from_le_bytes(*head)),
                len: long.len(),
                long,
            };
        }
        let head = rest.first_chunk().map_or_else(|| padded(rest), |head| u128::from_le_bytes(*head));
        Self { head: head & low_bytes(len), len, long: &[] }
    }
}

/// The lowest bytes of an integer, up to all 16.
#[inline]
fn low_bytes(len: usize) -> u128 {
    if len == 0 { 0 } else { u128::MAX >> (8 * (HEAD - len)) }
}

/// Fewer than 16 bytes as an integer.
fn padded(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |head, &byte| head << 8 | u128::from(byte))
}

/// Something that gives the text in a row, missing or not.
trait TextSource {
    fn text(&self, row: usize) -> Text<'_>;
}

impl<O: OffsetSizeTrait> TextSource for GenericStringArray<O> {
    #[inline]
    fn text(&self, row: usize) -> Text<'_> {
        let (start, end) = (self.value_offsets()[row].as_usize(), self.value_offsets()[row + 1].as_usize());
        Text::within(self.value_data(), start, end.saturating_sub(start))
    }
}

impl TextSource for StringViewArray {
    #[inline]
    fn text(&self, row: usize) -> Text<'_> {
        let view = self.views()[row];
        let len = view as u32 as usize;
        if len <= INLINE {
            return Text { head: (view >> 32) & low_bytes(len), len, long: &[] };
        }
        let (buffer, start) = ((view >> 64) as u32 as usize, (view >> 96) as u32 as usize);
        Text::within(self.data_buffers().get(buffer).map_or(&[], |buffer| buffer.as_slice()), start, len)
    }
}

/// Texts of one of the layouts without a dictionary.
#[derive(Clone)]
enum PlainTexts {
    Small(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

/// A text column of any layout.
#[derive(Clone)]
pub(super) struct TextArray {
    texts: PlainTexts,
    /// A dictionary's keys, and the rows that have a text.
    keys: Option<(ArrayRef, Option<NullBuffer>)>,
}

impl TextArray {
    /// The texts of an array; a dictionary's values may be anything that converts to text.
    pub(super) fn of(array: &ArrayRef, name: &str) -> Result<Self, EventsError> {
        let plain = |array: &ArrayRef| match array.data_type() {
            DataType::Utf8 => Some(PlainTexts::Small(array.as_string().clone())),
            DataType::LargeUtf8 => Some(PlainTexts::Large(array.as_string().clone())),
            DataType::Utf8View => Some(PlainTexts::View(array.as_string_view().clone())),
            _ => None,
        };
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            let values = dictionary.values();
            let texts = match plain(values) {
                Some(texts) => texts,
                None => PlainTexts::Large(convert(values.as_ref(), &DataType::LargeUtf8, name)?.as_string().clone()),
            };
            return Ok(Self { texts, keys: Some((Arc::clone(array), array.logical_nulls())) });
        }
        let texts = plain(array).ok_or_else(|| EventsError::ColumnType {
            column: name.to_owned(),
            expected: "text",
            found: array.data_type().to_string(),
        })?;
        Ok(Self { texts, keys: None })
    }

    /// Appends for every row the number that `number` gives its text, or the mark of a missing one.
    pub(super) fn append_numbers(&self, numbers: &mut Vec<u32>, number: impl FnMut(Text<'_>) -> u32) {
        match &self.texts {
            PlainTexts::Small(texts) => self.append_from(texts, texts.nulls(), numbers, number),
            PlainTexts::Large(texts) => self.append_from(texts, texts.nulls(), numbers, number),
            PlainTexts::View(texts) => self.append_from(texts, texts.nulls(), numbers, number),
        }
    }

    fn append_from<S: TextSource + Array>(
        &self,
        texts: &S,
        nulls: Option<&NullBuffer>,
        numbers: &mut Vec<u32>,
        mut number: impl FnMut(Text<'_>) -> u32,
    ) {
        let Some((array, nulls)) = &self.keys else {
            match nulls.filter(|nulls| nulls.null_count() > 0) {
                None => numbers.extend((0..texts.len()).map(|row| number(texts.text(row)))),
                Some(nulls) => numbers.extend(
                    nulls
                        .iter()
                        .enumerate()
                        .map(|(row, there)| if there { number(texts.text(row)) } else { MISSING_CODE }),
                ),
            }
            return;
        };
        match array.data_type() {
            DataType::Dictionary(key, _) => match key.as_ref() {
                DataType::Int8 => append_keyed::<Int8Type, S>(array, nulls.as_ref(), texts, numbers, number),
                DataType::Int16 => append_keyed::<Int16Type, S>(array, nulls.as_ref(), texts, numbers, number),
                DataType::Int32 => append_keyed::<Int32Type, S>(array, nulls.as_ref(), texts, numbers, number),
                DataType::Int64 => append_keyed::<Int64Type, S>(array, nulls.as_ref(), texts, numbers, number),
                DataType::UInt8 => append_keyed::<UInt8Type, S>(array, nulls.as_ref(), texts, numbers, number),
                DataType::UInt16 => append_keyed::<UInt16Type, S>(array, nulls.as_ref(), texts, numbers, number),
                DataType::UInt32 => append_keyed::<UInt32Type, S>(array, nulls.as_ref(), texts, numbers, number),
                _ => append_keyed::<UInt64Type, S>(array, nulls.as_ref(), texts, numbers, number),
            },
            _ => numbers.extend((0..array.len()).map(|_| MISSING_CODE)),
        }
    }
}

/// Texts of a dictionary are looked at once each, unless it has many more than there are rows.
fn append_keyed<K: ArrowDictionaryKeyType, S: TextSource + Array>(
    array: &ArrayRef,
    nulls: Option<&NullBuffer>,
    texts: &S,
    numbers: &mut Vec<u32>,
    mut number: impl FnMut(Text<'_>) -> u32,
) {
    let keys = array.as_dictionary::<K>().keys().values();
    let mut known = if texts.len() <= 4 * keys.len() { vec![UNSEEN; texts.len()] } else { Vec::new() };
    numbers.extend(keys.iter().enumerate().map(|(row, key)| {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return MISSING_CODE;
        }
        let key = key.as_usize();
        match known.get_mut(key) {
            Some(known) if *known != UNSEEN => *known,
            Some(known) => {
                *known = number(texts.text(key));
                *known
            }
            None => number(texts.text(key)),
        }
    }));
}

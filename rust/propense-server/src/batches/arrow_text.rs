//! Text in any of Arrow's forms, read in place: a dictionary is never unfolded, so its size stays what was sent.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, LargeStringArray, StringArray, StringViewArray};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;

/// A column of texts.
pub(crate) enum TextColumn {
    Plain(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
    /// For every row the place of its text, if it has one.
    Dictionary(Vec<Option<usize>>, Box<TextColumn>),
}

impl TextColumn {
    /// `None` if the column does not hold text.
    pub(crate) fn of(column: &ArrayRef) -> Option<Self> {
        match column.data_type() {
            DataType::Utf8 => Some(Self::Plain(column.as_string().clone())),
            DataType::LargeUtf8 => Some(Self::Large(column.as_string().clone())),
            DataType::Utf8View => Some(Self::View(column.as_string_view().clone())),
            DataType::Dictionary(key, _) => {
                let (places, values) = match key.as_ref() {
                    DataType::Int8 => places::<Int8Type>(column),
                    DataType::Int16 => places::<Int16Type>(column),
                    DataType::Int32 => places::<Int32Type>(column),
                    DataType::Int64 => places::<Int64Type>(column),
                    DataType::UInt8 => places::<UInt8Type>(column),
                    DataType::UInt16 => places::<UInt16Type>(column),
                    DataType::UInt32 => places::<UInt32Type>(column),
                    DataType::UInt64 => places::<UInt64Type>(column),
                    _ => return None,
                };
                // A dictionary of dictionaries is nothing that anyone writes.
                let values = Self::of(&values).filter(|values| !matches!(values, Self::Dictionary(..)))?;
                Some(Self::Dictionary(places, Box::new(values)))
            }
            _ => None,
        }
    }

    /// The text of a row; `None` if it is missing.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Plain(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Large(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::View(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Dictionary(places, texts) => places[row].and_then(|place| texts.get(place)),
        }
    }
}

fn places<K: ArrowDictionaryKeyType>(column: &ArrayRef) -> (Vec<Option<usize>>, ArrayRef) {
    let dictionary = column.as_dictionary::<K>();
    (dictionary.keys().iter().map(|key| key.map(ArrowNativeType::as_usize)).collect(), dictionary.values().clone())
}

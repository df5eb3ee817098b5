//! A constant tensor of a model, decoded when it is asked for.

use crate::error::OnnxError;

use super::wire::{Content, Fields, MALFORMED, le_numbers, push_doubles, push_floats, push_integers};

/// ONNX's numbers of the element types that are read.
const FLOAT: i64 = 1;
const UINT8: i64 = 2;
const INT32: i64 = 6;
const INT64: i64 = 7;
const DOUBLE: i64 = 11;

/// A tensor's name and its message.
pub(super) struct Tensor<'b> {
    pub(super) name: &'b str,
    body: &'b [u8],
}

/// The elements of a tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Elements {
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    /// `INT64`, `INT32` and `UINT8`.
    Integers(Vec<i64>),
}

impl Elements {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Integers(values) => values.len(),
        }
    }
}

impl<'b> Tensor<'b> {
    pub(super) fn read(body: &'b [u8]) -> Result<Self, OnnxError> {
        let mut name = "";
        for field in Fields::of(body) {
            if let (8, content) = field? {
                name = content.text()?;
            }
        }
        Ok(Self { name, body })
    }

    /// The dimensions and elements; `None` if the element type is none of those that are read.
    ///
    /// # Errors
    ///
    /// [`OnnxError::ExternalData`], and [`OnnxError::ModelMalformed`] if elements and dimensions
    /// do not fit each other.
    pub(super) fn decode(&self) -> Result<Option<(Vec<i64>, Elements)>, OnnxError> {
        let mut dimensions = Vec::new();
        let mut element = 0;
        let mut raw = None;
        let mut typed = Typed::default();
        for field in Fields::of(self.body) {
            match field? {
                (1, content) => push_integers(&mut dimensions, content)?,
                (2, content) => element = content.integer()?,
                (4, content) => push_floats(&mut typed.floats, content)?,
                (5 | 7, content) => push_integers(&mut typed.integers, content)?,
                (9, content) => raw = Some(content.bytes()?),
                (10, content) => push_doubles(&mut typed.doubles, content)?,
                (13, _) => return Err(self.external()),
                (14, Content::Varint(location)) if location != 0 => return Err(self.external()),
                _ => {}
            }
        }
        let Some(elements) = (match raw {
            Some(raw) => from_raw(element, raw)?,
            None => typed.elements(element),
        }) else {
            return Ok(None);
        };
        let expected =
            dimensions.iter().try_fold(1_usize, |count, &size| count.checked_mul(usize::try_from(size).ok()?));
        if expected != Some(elements.len()) {
            return Err(OnnxError::ModelMalformed { problem: "a tensor's elements do not fit its dimensions" });
        }
        Ok(Some((dimensions, elements)))
    }

    fn external(&self) -> OnnxError {
        OnnxError::ExternalData { tensor: self.name.to_owned() }
    }
}

#[derive(Default)]
struct Typed {
    floats: Vec<f32>,
    doubles: Vec<f64>,
    integers: Vec<i64>,
}

impl Typed {
    fn elements(self, element: i64) -> Option<Elements> {
        match element {
            FLOAT => Some(Elements::Floats(self.floats)),
            DOUBLE => Some(Elements::Doubles(self.doubles)),
            UINT8 | INT32 | INT64 => Some(Elements::Integers(self.integers)),
            _ => None,
        }
    }
}

fn from_raw(element: i64, raw: &[u8]) -> Result<Option<Elements>, OnnxError> {
    let elements = match element {
        FLOAT => Elements::Floats(le_numbers(raw, f32::from_le_bytes)?),
        DOUBLE => Elements::Doubles(le_numbers(raw, f64::from_le_bytes)?),
        UINT8 => Elements::Integers(le_numbers(raw, |[byte]| i64::from(byte))?),
        INT32 => Elements::Integers(le_numbers(raw, |bytes| i64::from(i32::from_le_bytes(bytes)))?),
        INT64 => Elements::Integers(le_numbers(raw, i64::from_le_bytes)?),
        0 => return Err(MALFORMED),
        _ => return Ok(None),
    };
    Ok(Some(elements))
}

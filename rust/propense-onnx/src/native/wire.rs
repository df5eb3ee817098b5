//! Protobuf's wire format, read field by field from a borrowed slice; nothing is copied.

use crate::error::OnnxError;

pub(super) const MALFORMED: OnnxError = OnnxError::ModelMalformed { problem: "its protobuf encoding is damaged" };

/// The most numbers or strings one list may hold. A tree node takes some 40 bytes of a file, so a
/// model of the greatest size has fewer; a list of empty strings could have far more.
pub(super) const MAX_LIST: usize = 1 << 24;

const TOO_LONG: OnnxError = OnnxError::ModelMalformed { problem: "one of its lists has more than 16,777,216 entries" };

/// The content of one field.
#[derive(Clone, Copy)]
pub(super) enum Content<'b> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'b [u8]),
}

impl<'b> Content<'b> {
    pub(super) fn bytes(self) -> Result<&'b [u8], OnnxError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(MALFORMED),
        }
    }

    pub(super) fn text(self) -> Result<&'b str, OnnxError> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| OnnxError::ModelMalformed { problem: "one of its names is not UTF-8" })
    }

    pub(super) fn integer(self) -> Result<i64, OnnxError> {
        match self {
            Self::Varint(value) => Ok(value as i64),
            _ => Err(MALFORMED),
        }
    }

    pub(super) fn float(self) -> Result<f32, OnnxError> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(MALFORMED),
        }
    }
}

/// The fields of one message, by number, in the order of the file.
pub(super) struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    pub(super) fn of(message: &'b [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<(u32, Content<'b>), OnnxError> {
        let tag = u32::try_from(self.varint()?).map_err(|_| MALFORMED)?;
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => Content::Fixed64(self.array()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| MALFORMED)?;
                Content::Bytes(self.take(length)?)
            }
            5 => Content::Fixed32(self.array()?),
            // Groups, which ONNX has none of, and two codes without a meaning.
            _ => return Err(MALFORMED),
        };
        Ok((tag >> 3, content))
    }

    fn varint(&mut self) -> Result<u64, OnnxError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(MALFORMED)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], OnnxError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], OnnxError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u32, Content<'b>), OnnxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Append an element, unless the list has [`MAX_LIST`] already.
pub(super) fn push<T>(list: &mut Vec<T>, element: T) -> Result<(), OnnxError> {
    if list.len() >= MAX_LIST {
        return Err(TOO_LONG);
    }
    list.push(element);
    Ok(())
}

/// Append the integers of a field that is packed or not.
pub(super) fn push_integers(list: &mut Vec<i64>, content: Content<'_>) -> Result<(), OnnxError> {
    let Content::Bytes(packed) = content else {
        return push(list, content.integer()?);
    };
    let mut packed = Fields::of(packed);
    while !packed.rest.is_empty() {
        let value = packed.varint()? as i64;
        push(list, value)?;
    }
    Ok(())
}

/// Append the floats of a field that is packed or not.
pub(super) fn push_floats(list: &mut Vec<f32>, content: Content<'_>) -> Result<(), OnnxError> {
    let Content::Bytes(packed) = content else {
        return push(list, content.float()?);
    };
    list.extend(le_numbers(packed, f32::from_le_bytes)?);
    Ok(())
}

/// Append the doubles of a field that is packed or not.
pub(super) fn push_doubles(list: &mut Vec<f64>, content: Content<'_>) -> Result<(), OnnxError> {
    match content {
        Content::Fixed64(bytes) => push(list, f64::from_le_bytes(bytes)),
        Content::Bytes(packed) => {
            list.extend(le_numbers(packed, f64::from_le_bytes)?);
            Ok(())
        }
        _ => Err(MALFORMED),
    }
}

/// The little-endian numbers of `N` bytes each that fill `bytes`.
pub(super) fn le_numbers<const N: usize, T>(bytes: &[u8], number: fn([u8; N]) -> T) -> Result<Vec<T>, OnnxError> {
    let (numbers, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(MALFORMED);
    }
    if numbers.len() > MAX_LIST {
        return Err(TOO_LONG);
    }
    Ok(numbers.iter().map(|bytes| number(*bytes)).collect())
}

//! Values of a column in the narrowest type that holds them exactly.
//!
//! The buffers may be a process's own memory or a mapped file; a missing value has a mark of its own in each type, so
//! that reading one never looks at a second buffer.

use arrow_buffer::{ArrowNativeType, ScalarBuffer};

use super::narrowing::{NumberRange, narrowed};

/// One value a row; which number stands for a missing one depends on the type.
#[derive(Debug, Clone)]
pub enum Cells {
    /// Codes; 255 is missing.
    U8(ScalarBuffer<u8>),
    /// Codes; 65,535 is missing.
    U16(ScalarBuffer<u16>),
    /// Codes; 4,294,967,295 is missing.
    U32(ScalarBuffer<u32>),
    /// Whole numbers; −128 is missing.
    I8(ScalarBuffer<i8>),
    /// Whole numbers; −32,768 is missing.
    I16(ScalarBuffer<i16>),
    /// Whole numbers; −2,147,483,648 is missing.
    I32(ScalarBuffer<i32>),
    /// Instants in microseconds; −2^63 is missing.
    I64(ScalarBuffer<i64>),
    /// Numbers; NaN is missing.
    F32(ScalarBuffer<f32>),
    /// Numbers; NaN is missing.
    F64(ScalarBuffer<f64>),
}

/// One value of a column.
pub(crate) trait Cell: ArrowNativeType {
    /// The value; NaN if missing.
    fn number(self) -> f64;

    /// A number that the type holds exactly; NaN becomes the mark of a missing one.
    fn of_number(number: f64) -> Self;
}

/// A cell that holds codes.
pub(crate) trait Code: Cell {
    /// A code that is not the mark; `u32::MAX` becomes the mark, whose low bits are all ones.
    fn of_code(code: u32) -> Self;

    /// The code; a missing one is beyond all others of the type.
    fn place(self) -> usize;
}

/// The types that mark a missing value by one of their own.
macro_rules! marked_cell {
    ($($type:ty: $missing:expr),*) => {$(
        impl Cell for $type {
            #[inline]
            // Only i64 is not converted exactly, and instants that far from 1970 are in no log.
            #[allow(clippy::cast_lossless)]
            fn number(self) -> f64 {
                if self == $missing { f64::NAN } else { self as f64 }
            }

            #[inline]
            fn of_number(number: f64) -> Self {
                if number.is_nan() { $missing } else { number as Self }
            }
        }
    )*};
}

marked_cell!(u8: u8::MAX, u16: u16::MAX, u32: u32::MAX, i8: i8::MIN, i16: i16::MIN, i32: i32::MIN, i64: i64::MIN);

macro_rules! code_cell {
    ($($type:ty),*) => {$(
        impl Code for $type {
            #[inline]
            fn of_code(code: u32) -> Self {
                code as Self
            }

            #[inline]
            fn place(self) -> usize {
                self as usize
            }
        }
    )*};
}

code_cell!(u8, u16, u32);

impl Cell for f32 {
    #[inline]
    fn number(self) -> f64 {
        f64::from(self)
    }

    #[inline]
    fn of_number(number: f64) -> Self {
        number as Self
    }
}

impl Cell for f64 {
    #[inline]
    fn number(self) -> f64 {
        self
    }

    #[inline]
    fn of_number(number: f64) -> Self {
        number
    }
}

/// Runs an expression with the buffer, of whatever type.
macro_rules! with_cells {
    ($cells:expr, $buffer:ident => $body:expr) => {
        match $cells {
            $crate::events::Cells::U8($buffer) => $body,
            $crate::events::Cells::U16($buffer) => $body,
            $crate::events::Cells::U32($buffer) => $body,
            $crate::events::Cells::I8($buffer) => $body,
            $crate::events::Cells::I16($buffer) => $body,
            $crate::events::Cells::I32($buffer) => $body,
            $crate::events::Cells::I64($buffer) => $body,
            $crate::events::Cells::F32($buffer) => $body,
            $crate::events::Cells::F64($buffer) => $body,
        }
    };
}

pub(crate) use with_cells;

impl Cells {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        with_cells!(self, buffer => buffer.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value in a row; NaN if missing.
    #[must_use]
    #[inline]
    pub fn number(&self, row: usize) -> f64 {
        with_cells!(self, buffer => buffer[row].number())
    }

    /// The code in a row; `None` if it is missing or the cells are not codes.
    #[must_use]
    #[inline]
    pub fn code(&self, row: usize) -> Option<u32> {
        match self {
            Self::U8(codes) => Some(codes[row]).filter(|&code| code != u8::MAX).map(u32::from),
            Self::U16(codes) => Some(codes[row]).filter(|&code| code != u16::MAX).map(u32::from),
            Self::U32(codes) => Some(codes[row]).filter(|&code| code != u32::MAX),
            _ => None,
        }
    }

    /// How many values the type has, if they are few enough for a table of them.
    pub(crate) fn places(&self) -> Option<usize> {
        match self {
            Self::U8(_) | Self::I8(_) => Some(1 << 8),
            Self::U16(_) | Self::I16(_) => Some(1 << 16),
            _ => None,
        }
    }

    /// The place of a row's value in a table of all [`Self::places`]; 0 for types that have none.
    #[inline]
    pub(crate) fn place(&self, row: usize) -> usize {
        match self {
            Self::U8(values) => values[row].into(),
            Self::I8(values) => values[row].cast_unsigned().into(),
            Self::U16(values) => values[row].into(),
            Self::I16(values) => values[row].cast_unsigned().into(),
            _ => 0,
        }
    }

    /// The value that stands at a place; NaN if missing.
    pub(crate) fn number_at(&self, place: usize) -> f64 {
        match self {
            Self::U8(_) => (place as u8).number(),
            Self::I8(_) => (place as u8).cast_signed().number(),
            Self::U16(_) => (place as u16).number(),
            Self::I16(_) => (place as u16).cast_signed().number(),
            _ => f64::NAN,
        }
    }

    /// Bytes a row takes.
    #[must_use]
    pub fn bytes_per_row(&self) -> usize {
        match self {
            Self::U8(_) | Self::I8(_) => 1,
            Self::U16(_) | Self::I16(_) => 2,
            Self::U32(_) | Self::I32(_) | Self::F32(_) => 4,
            Self::I64(_) | Self::F64(_) => 8,
        }
    }

    /// The rows named, in that order; every row must be there.
    pub(crate) fn gather(&self, rows: &[u32]) -> Self {
        fn taken<T: ArrowNativeType>(values: &ScalarBuffer<T>, rows: &[u32]) -> ScalarBuffer<T> {
            rows.iter().map(|&row| values[row as usize]).collect()
        }
        match self {
            Self::U8(values) => Self::U8(taken(values, rows)),
            Self::U16(values) => Self::U16(taken(values, rows)),
            Self::U32(values) => Self::U32(taken(values, rows)),
            Self::I8(values) => Self::I8(taken(values, rows)),
            Self::I16(values) => Self::I16(taken(values, rows)),
            Self::I32(values) => Self::I32(taken(values, rows)),
            Self::I64(values) => Self::I64(taken(values, rows)),
            Self::F32(values) => Self::F32(taken(values, rows)),
            Self::F64(values) => Self::F64(taken(values, rows)),
        }
    }

    /// Codes below `distinct`, `u32::MAX` for missing, in the narrowest type.
    #[must_use]
    pub fn of_codes(codes: Vec<u32>, distinct: usize) -> Self {
        // A missing code keeps the mark of the narrower type: its low bits are all ones.
        if distinct < usize::from(u8::MAX) {
            Self::U8(codes.into_iter().map(|code| code as u8).collect())
        } else if distinct < usize::from(u16::MAX) {
            Self::U16(codes.into_iter().map(|code| code as u16).collect())
        } else {
            Self::U32(codes.into())
        }
    }

    /// Instants in microseconds, NaN for missing.
    pub(crate) fn of_times(times_us: &[f64]) -> Self {
        let time = |&time_us: &f64| if time_us.is_nan() { i64::MIN } else { time_us as i64 };
        Self::I64(times_us.iter().map(time).collect())
    }

    /// Numbers, NaN for missing, in the narrowest type from which every one comes back to the bit.
    #[must_use]
    pub fn of_numbers(numbers: &[f64]) -> Self {
        narrowed(numbers, NumberRange::of(numbers).narrowest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_to_the_bit_from_the_narrowest_type() {
        let cases: [(&[f64], usize); 9] = [
            (&[], 1),
            (&[f64::NAN, -127.0, 127.0], 1),
            (&[-128.0], 2),
            (&[32_767.0, f64::NAN], 2),
            (&[-32_768.0], 4),
            (&[-0.0, 1.0], 4),
            (&[0.5, f64::INFINITY], 4),
            (&[2_147_483_648.0, 16_777_217.0], 8),
            (&[0.1, f64::NAN], 8),
        ];
        for (numbers, bytes) in cases {
            let cells = Cells::of_numbers(numbers);
            assert_eq!(cells.bytes_per_row(), bytes, "{numbers:?}");
            for (row, number) in numbers.iter().enumerate() {
                assert_eq!(cells.number(row).to_bits(), number.to_bits(), "{numbers:?}");
            }
        }
    }

    #[test]
    fn codes_keep_the_missing_mark_in_every_width() {
        for distinct in [3, 254, 255, 65_534, 65_535] {
            let last = distinct as u32 - 1;
            let cells = Cells::of_codes(vec![0, u32::MAX, last], distinct);
            assert_eq!([cells.code(0), cells.code(1), cells.code(2)], [Some(0), None, Some(last)]);
            assert!(cells.number(1).is_nan());
        }
    }
}

//! Which type is the narrowest that holds numbers exactly.

use super::cells::{Cell, Cells};

/// How many numbers are looked at before asking whether an answer is already settled.
const BLOCK: usize = 1024;

/// What numbers ask of a type that is to hold them; the ranges of two sets give that of their union.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NumberRange {
    /// Whether each is a whole number of 32 bits with sign, or missing.
    whole: bool,
    /// Whether each is an f32, or missing.
    single: bool,
    /// The smallest if whole, at most 0.
    smallest: f64,
    /// The largest if whole, at least 0.
    largest: f64,
}

/// A type of cells for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberType {
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl NumberRange {
    /// The range of no numbers.
    pub(super) const NOTHING: Self = Self { whole: true, single: true, smallest: 0.0, largest: 0.0 };

    /// The range of numbers, NaN for missing.
    pub(super) fn of(numbers: &[f64]) -> Self {
        // −0 is no whole number here, as an integer would lose its sign. `&` and not `&&`: no branches in the loops.
        let is_whole = |&number: &f64| {
            (f64::from(number as i32) == number) & (number.to_bits() != (-0.0_f64).to_bits()) | number.is_nan()
        };
        let is_single = |&number: &f64| (f64::from(number as f32) == number) | number.is_nan();
        let whole = every(numbers, is_whole);
        let single = every(numbers, is_single);
        let (mut smallest, mut largest) = (0.0_f64, 0.0_f64);
        if whole {
            for &number in numbers {
                smallest = if number < smallest { number } else { smallest };
                largest = if number > largest { number } else { largest };
            }
        }
        Self { whole, single, smallest, largest }
    }

    /// The range of these and the other's numbers.
    pub(super) fn union(self, other: Self) -> Self {
        Self {
            whole: self.whole && other.whole,
            single: self.single && other.single,
            smallest: self.smallest.min(other.smallest),
            largest: self.largest.max(other.largest),
        }
    }

    /// The narrowest type that holds all these numbers, and beside them a mark for a missing one.
    pub(super) fn narrowest(self) -> NumberType {
        let fits = |low: f64, high: f64| self.whole && low < self.smallest && self.largest <= high;
        if fits(i8::MIN.into(), i8::MAX.into()) {
            NumberType::I8
        } else if fits(i16::MIN.into(), i16::MAX.into()) {
            NumberType::I16
        } else if fits(i32::MIN.into(), i32::MAX.into()) {
            NumberType::I32
        } else if self.single {
            NumberType::F32
        } else {
            NumberType::F64
        }
    }
}

fn every(numbers: &[f64], holds: impl Fn(&f64) -> bool) -> bool {
    numbers.chunks(BLOCK).all(|block| block.iter().fold(true, |all, number| all & holds(number)))
}

/// Numbers, NaN for missing, in a type that holds them exactly.
pub(super) fn narrowed(numbers: &[f64], to: NumberType) -> Cells {
    fn cells<T: Cell>(numbers: &[f64]) -> arrow_buffer::ScalarBuffer<T> {
        numbers.iter().map(|&number| T::of_number(number)).collect()
    }
    match to {
        NumberType::I8 => Cells::I8(cells(numbers)),
        NumberType::I16 => Cells::I16(cells(numbers)),
        NumberType::I32 => Cells::I32(cells(numbers)),
        NumberType::F32 => Cells::F32(cells(numbers)),
        NumberType::F64 => Cells::F64(cells(numbers)),
    }
}

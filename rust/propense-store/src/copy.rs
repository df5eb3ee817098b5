//! Runs of a sealed column copied into cells being filled, from any type to any that holds it.

use propense_core::events::Cells;

use crate::sealed::SealedColumn;
use crate::shape::Values;

impl Values {
    /// Copies `rows` values, from row `first` of a part's column on, to `at` and after.
    #[inline]
    pub(crate) fn copy(&mut self, at: usize, from: &SealedColumn, first: usize, rows: usize) {
        match self {
            Self::U8(to) => codes(&mut to[at..at + rows], from, first, |code| code as u8),
            Self::U16(to) => codes(&mut to[at..at + rows], from, first, |code| code as u16),
            Self::U32(to) => codes(&mut to[at..at + rows], from, first, |code| code),
            Self::Number(to) => numbers(&mut to[at..at + rows], &from.cells, first),
            Self::Boolean(to) => {
                for (place, value) in to[at..at + rows].iter_mut().enumerate() {
                    let number = from.cells.number(first + place);
                    *value = if number.is_nan() { i8::MIN } else { i8::from(number != 0.0) };
                }
            }
            Self::Time(to) => {
                if let Cells::I64(times) = &from.cells {
                    to[at..at + rows].copy_from_slice(&times[first..first + rows]);
                }
            }
        }
    }
}

/// A missing code keeps the mark of the narrower type: its low bits are all ones. The caller's type holds all codes of
/// the catalog at that time, so that no other is cut.
#[inline]
fn codes<T>(to: &mut [T], from: &SealedColumn, first: usize, narrow: impl Fn(u32) -> T) {
    fn each<S: Copy, T>(to: &mut [T], places: &[S], code: impl Fn(S) -> T) {
        for (value, &place) in to.iter_mut().zip(places) {
            *value = code(place);
        }
    }
    let codes = from.codes.as_slice();
    let code = |place: usize| narrow(codes.get(place).copied().unwrap_or(u32::MAX));
    match &from.cells {
        Cells::U8(places) => each(to, &places[first..], |place| code(place.into())),
        Cells::U16(places) => each(to, &places[first..], |place| code(place.into())),
        Cells::U32(places) => each(to, &places[first..], |place| code(place as usize)),
        _ => {}
    }
}

#[inline]
fn numbers(to: &mut [f64], from: &Cells, first: usize) {
    macro_rules! whole {
        ($values:expr, $type:ty) => {
            for (value, &number) in to.iter_mut().zip(&$values[first..]) {
                *value = if number == <$type>::MIN { f64::NAN } else { f64::from(number) };
            }
        };
    }
    match from {
        Cells::I8(values) => whole!(values, i8),
        Cells::I16(values) => whole!(values, i16),
        Cells::I32(values) => whole!(values, i32),
        Cells::F32(values) => {
            for (value, &number) in to.iter_mut().zip(&values[first..]) {
                *value = number.into();
            }
        }
        Cells::F64(values) => {
            let rows = to.len();
            to.copy_from_slice(&values[first..first + rows]);
        }
        _ => {}
    }
}

//! Functions of a property's values; NaN is missing and skipped.

use super::segments;
use super::welford::Welford;
use crate::expr::Function;

/// How many values there are, and their sum.
#[derive(Clone, Copy, Default)]
pub(in crate::features) struct Moments {
    count: usize,
    sum: f64,
}

impl Moments {
    pub(in crate::features) fn value(self, function: Function) -> f64 {
        match function {
            Function::Count => self.count as f64,
            Function::Sum => self.sum,
            _ if self.count == 0 => f64::NAN,
            _ => self.sum / self.count as f64,
        }
    }
}

/// Counts and sums, in f64 from the newest value to the oldest.
pub(in crate::features) fn moments(values: &[f64], bounds: &[usize], mut each: impl FnMut(usize, Moments)) {
    let mut state = Moments::default();
    segments(values, bounds, |window, _, values| {
        for &value in values.iter().filter(|value| !value.is_nan()) {
            state.count += 1;
            state.sum += value;
        }
        each(window, state);
    });
}

/// Sample standard deviations.
pub(in crate::features) fn spread(values: &[f64], bounds: &[usize], mut each: impl FnMut(usize, f64)) {
    let mut state = Welford::default();
    segments(values, bounds, |window, _, values| {
        for &value in values.iter().filter(|value| !value.is_nan()) {
            state.insert(value);
        }
        each(window, state.sample_deviation());
    });
}

/// Smallest and largest values; −0 is below 0, so that the order of arrival cannot show.
pub(in crate::features) fn extremes(values: &[f64], bounds: &[usize], mut each: impl FnMut(usize, (f64, f64))) {
    let (mut min, mut max) = (f64::NAN, f64::NAN);
    segments(values, bounds, |window, _, values| {
        for &value in values.iter().filter(|value| !value.is_nan()) {
            if min.is_nan() || value.total_cmp(&min).is_lt() {
                min = value;
            }
            if max.is_nan() || value.total_cmp(&max).is_gt() {
                max = value;
            }
        }
        each(window, (min, max));
    });
}

/// Oldest and newest values.
pub(in crate::features) fn ends(values: &[f64], bounds: &[usize], mut each: impl FnMut(usize, (f64, f64))) {
    let (mut first, mut last) = (f64::NAN, f64::NAN);
    segments(values, bounds, |window, _, values| {
        for &value in values.iter().filter(|value| !value.is_nan()) {
            if last.is_nan() {
                last = value;
            }
            first = value;
        }
        each(window, (first, last));
    });
}

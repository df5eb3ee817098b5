//! Functions of a property's values; NaN is missing and skipped.

use super::welford;

/// Cells: how many values, their sum.
pub(in crate::features) const MOMENTS: [u64; 2] = [0, 0];
/// Cells: the smallest and the largest value, or the oldest and the newest; both missing.
pub(in crate::features) const NO_PAIR: [u64; 2] = [f64::NAN.to_bits(); 2];

/// Counts and adds one value, in f64.
#[inline]
pub(in crate::features) fn moments(state: &mut [u64; 2], value: f64) {
    if !value.is_nan() {
        *state = [state[0] + 1, (f64::from_bits(state[1]) + value).to_bits()];
    }
}

/// The mean; NaN without values.
#[inline]
pub(in crate::features) fn mean(state: &[u64; 2]) -> f64 {
    if state[0] == 0 { f64::NAN } else { f64::from_bits(state[1]) / state[0] as f64 }
}

/// Takes one value of a standard deviation.
#[inline]
pub(in crate::features) fn spread(state: &mut [u64; 3], value: f64) {
    if !value.is_nan() {
        welford::insert(state, value);
    }
}

/// Takes one value of a smallest and largest; −0 is below 0, so that the order of arrival cannot show.
#[inline]
pub(in crate::features) fn extremes(state: &mut [u64; 2], value: f64) {
    if value.is_nan() {
        return;
    }
    let [min, max] = state.map(f64::from_bits);
    if min.is_nan() || value.total_cmp(&min).is_lt() {
        state[0] = value.to_bits();
    }
    if max.is_nan() || value.total_cmp(&max).is_gt() {
        state[1] = value.to_bits();
    }
}

/// Takes one value of an oldest and newest.
#[inline]
pub(in crate::features) fn ends(state: &mut [u64; 2], value: f64) {
    if !value.is_nan() {
        if f64::from_bits(state[1]).is_nan() {
            state[1] = value.to_bits();
        }
        state[0] = value.to_bits();
    }
}

//! Running mean and sum of squared deviations.
//!
//! Welford, B. P. (1962), "Note on a method for calculating corrected sums of squares and products", Technometrics
//! 4(3), 419–420, equations for the running update.

/// Cells: how many values, their mean, the sum of their squared deviations from it.
pub(in crate::features) const WELFORD: [u64; 3] = [0, 0, 0];

/// Takes one value.
#[inline]
pub(in crate::features) fn insert(state: &mut [u64; 3], value: f64) {
    let count = state[0] + 1;
    let (mean, squares) = (f64::from_bits(state[1]), f64::from_bits(state[2]));
    let deviation = value - mean;
    let mean = mean + deviation / count as f64;
    *state = [count, mean.to_bits(), (squares + deviation * (value - mean)).to_bits()];
}

/// The sample standard deviation; NaN under two values.
#[inline]
pub(in crate::features) fn deviation(state: &[u64; 3]) -> f64 {
    if state[0] < 2 { f64::NAN } else { (f64::from_bits(state[2]) / (state[0] - 1) as f64).sqrt() }
}

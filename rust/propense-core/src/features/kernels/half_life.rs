//! Exponential decay.
//!
//! The C library's `exp2` differs from one version to the next in the last bit; this one is adds and multiplications
//! in a fixed order, so a decayed count has the same bits on every machine.

/// Rounds to the nearest integer when added to a number of small magnitude.
const ROUND: f64 = 1.5 * (1_u64 << 52) as f64;
/// From here on down the result is 0.
const LOWEST: f64 = -1_100.0;

/// Coefficients 1/n! of the exponential series, the highest first; the term after them is below 2^-57.
const SERIES: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// How many weights are worked out side by side.
pub(in crate::features) const LANES: usize = 8;

/// For each instant, one half to the power of its age over half-life, within one unit in the last place; what is left
/// after whole groups of [`LANES`] is not written.
///
/// No instant is after `end_us`. The code is the same for every instruction set, and so are the bits: nothing is
/// reordered or contracted.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(in crate::features) fn decays(times_us: &[i64], end_us: i64, half_life_us: i64, weights: &mut [f64]) {
    let half_life = half_life_us as f64;
    let (times_us, _) = times_us.as_chunks::<LANES>();
    let (weights, _) = weights.as_chunks_mut::<LANES>();
    for (weights, times_us) in weights.iter_mut().zip(times_us) {
        for (weight, time_us) in weights.iter_mut().zip(times_us) {
            // The difference of any two i64 fits a u64.
            let age_us = end_us.wrapping_sub(*time_us).cast_unsigned();
            *weight = power_of_half(age_us as f64 / half_life);
        }
    }
}

/// One half to the power of a number that is not negative: 2^k · e^(r · ln 2) with k whole and |r| at most one half.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(in crate::features) fn power_of_half(halvings: f64) -> f64 {
    let exponent = (-halvings).max(LOWEST);
    let whole = exponent + ROUND;
    let rest = (exponent - (whole - ROUND)) * std::f64::consts::LN_2;
    let series = SERIES[1..].iter().fold(SERIES[0], |sum, coefficient| sum * rest + coefficient);
    // The low bits of `whole` are k in two's complement. It is applied in halves, as 2^k may be too small to be normal.
    let k = (whole.to_bits() << 32).cast_signed() >> 32;
    series * power_of_two(k >> 1) * power_of_two(k - (k >> 1))
}

/// 2^k where that is a normal number.
#[allow(clippy::inline_always)]
#[inline(always)]
fn power_of_two(k: i64) -> f64 {
    f64::from_bits((k + 1_023).cast_unsigned() << 52)
}

#[cfg(test)]
mod tests {
    use super::power_of_half;

    #[test]
    fn whole_halvings_are_exact() {
        for halvings in 0..=1_200 {
            assert_eq!(power_of_half(f64::from(halvings)), (-f64::from(halvings)).exp2());
        }
    }

    #[test]
    fn any_halvings_are_within_one_unit_in_the_last_place() {
        for step in 0..1_000_000_u32 {
            let halvings = f64::from(step) * 0.001_1 + f64::from(step % 997) * 1e-7;
            let (got, wanted) = (power_of_half(halvings), (-halvings).exp2());
            assert!(got.to_bits().abs_diff(wanted.to_bits()) <= 1, "{halvings}: {got:e}, not {wanted:e}");
        }
        assert_eq!(power_of_half(f64::MAX), 0.0);
    }
}

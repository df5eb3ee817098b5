//! `exp` and `ln` whose bits depend on nothing but the argument.
//!
//! The C library's differ between versions, and pick instructions by processor. These are sums and
//! products in a fixed order, which Rust never fuses, so every machine and every lane of a vector
//! gives the same. The error is below 1e-14 of the result: nothing is left of it in a float32.

/// 1.5 · 2⁵²: added and subtracted, it rounds a number of magnitude below 2⁵¹ to the nearest integer.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; whole multiples below 2¹¹ of the first are exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// 1/0! to 1/13!, of the Taylor series on [−ln 2 / 2, ln 2 / 2].
const FACTORIALS: [f64; 14] = [
    1.0,
    1.0,
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// e to the power of `x`; beyond ±700, which no float32 result tells from the limit, that of ±700.
///
/// NaN gives NaN.
pub(super) fn exp(x: f64) -> f64 {
    // Not `clamp`, nor `max`: NaN has to pass through.
    let x = if x > 700.0 { 700.0 } else { x };
    let x = if x < -700.0 { -700.0 } else { x };
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let rest = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    let mut sum = 0.0;
    for factor in FACTORIALS.iter().rev() {
        sum = sum * rest + factor;
    }
    // The low bits of `shifted` are the power as an integer; 1,023 is the exponent of 1.
    let exponent = shifted.to_bits().wrapping_add(1_023) << 52;
    sum * f64::from_bits(exponent)
}

/// The natural logarithm of `x`; −∞ at 0, NaN below it and at NaN. Subnormal numbers count as 0.
pub(super) fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x < f64::MIN_POSITIVE {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    // x = 2^power · fraction with the fraction in [√½, √2): move √½ to 1 and split its bits.
    let bits = x.to_bits();
    let offset = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    let power = (bits.wrapping_sub(offset) as i64) >> 52;
    let fraction = f64::from_bits(bits.wrapping_sub((power << 52) as u64));
    let ratio = (fraction - 1.0) / (fraction + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for odd in (1..=23).rev().step_by(2) {
        sum = sum * square + 1.0 / f64::from(odd);
    }
    let power = power as f64;
    power * LN_2_HIGH + (2.0 * ratio * sum + power * LN_2_LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        found == expected || (found - expected).abs() <= 1e-14 * expected.abs().max(1e-290)
    }

    #[test]
    fn both_agree_with_the_standard_library() {
        for step in -20_000..=20_000 {
            let x = f64::from(step) * 0.034_9;
            assert!(close(exp(x), x.exp()), "exp {x}: {} {}", exp(x), x.exp());
            let positive = (x * 0.9).exp();
            assert!((ln(positive) - positive.ln()).abs() <= 1e-14 * positive.ln().abs().max(1.0), "ln {positive}");
        }
    }

    #[test]
    fn the_ends_of_the_line() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert!(exp(f64::NAN).is_nan());
        assert_eq!(exp(f64::INFINITY) as f32, f32::INFINITY);
        assert_eq!(exp(f64::NEG_INFINITY) as f32, 0.0);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
        assert!(ln(-1.0).is_nan() && ln(f64::NAN).is_nan());
    }
}

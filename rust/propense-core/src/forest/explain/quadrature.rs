//! Points and weights of Gauss–Legendre quadrature over (0, 1).

use std::f64::consts::PI;

/// A point and its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) at: f64,
    pub(super) weight: f64,
}

/// The points that integrate every polynomial of degree `2 * count - 1` or less over (0, 1) exactly.
///
/// Newton's method on the Legendre polynomial, from Tricomi's guesses of its roots.
pub(super) fn gauss_legendre(count: usize) -> Vec<Point> {
    let n = count as f64;
    let point = |place: usize| {
        let mut x = (PI * (place as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut before, mut value) = (0.0, 1.0);
            for degree in 0..count {
                let k = degree as f64;
                (before, value) = (value, ((2.0 * k + 1.0) * x * value - k * before) / (k + 1.0));
            }
            slope = n * (x * value - before) / (x * x - 1.0);
            let step = value / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        Point { at: 0.5 * (1.0 - x), weight: 1.0 / ((1.0 - x * x) * slope * slope) }
    };
    (0..count).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_up_to_the_degree_are_exact() {
        for count in 1..=64 {
            let points = gauss_legendre(count);
            assert!(points.iter().all(|point| 0.0 < point.at && point.at < 1.0));
            for degree in 0..2 * count as i32 {
                let found: f64 = points.iter().map(|point| point.weight * point.at.powi(degree)).sum();
                let expected = 1.0 / f64::from(degree + 1);
                assert!((found - expected).abs() < 1e-13, "{count} points, degree {degree}: {found} {expected}");
            }
        }
    }
}

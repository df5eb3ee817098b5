//! Running mean and sum of squared deviations.
//!
//! Welford, B. P. (1962), "Note on a method for calculating corrected sums of squares and products", Technometrics
//! 4(3), 419–420, equations for the running update.

/// How many values, their mean, the sum of their squared deviations from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::features) struct Welford {
    count: u32,
    mean: f64,
    squares: f64,
}

impl Welford {
    pub(in crate::features) const NONE: Self = Self { count: 0, mean: 0.0, squares: 0.0 };

    /// Takes one value.
    #[inline]
    pub(in crate::features) fn take(&mut self, value: f64) {
        let count = self.count + 1;
        let deviation = value - self.mean;
        let mean = self.mean + deviation / f64::from(count);
        *self = Self { count, mean, squares: self.squares + deviation * (value - mean) };
    }

    /// The sample standard deviation; NaN under two values.
    #[inline]
    pub(in crate::features) fn deviation(&self) -> f64 {
        if self.count < 2 { f64::NAN } else { (self.squares / f64::from(self.count - 1)).sqrt() }
    }
}

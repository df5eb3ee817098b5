//! Running mean and sum of squared deviations.
//!
//! Welford, B. P. (1962), "Note on a method for calculating corrected sums of squares and products", Technometrics
//! 4(3), 419–420, equations for the running update.

/// The state after some values.
#[derive(Default)]
pub(super) struct Welford {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Welford {
    pub(super) fn insert(&mut self, value: f64) {
        self.count += 1.0;
        let deviation = value - self.mean;
        self.mean += deviation / self.count;
        self.squares += deviation * (value - self.mean);
    }

    /// The sample standard deviation; NaN under two values.
    pub(super) fn sample_deviation(&self) -> f64 {
        if self.count < 2.0 { f64::NAN } else { (self.squares / (self.count - 1.0)).sqrt() }
    }
}

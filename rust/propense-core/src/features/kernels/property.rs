//! Functions of a property's values; NaN is missing and skipped.

/// How many values there are, and their sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::features) struct Moments {
    pub(in crate::features) count: u32,
    pub(in crate::features) sum: f64,
}

impl Moments {
    pub(in crate::features) const NONE: Self = Self { count: 0, sum: 0.0 };

    /// Counts and adds one value, in f64.
    #[inline]
    pub(in crate::features) fn take(&mut self, value: f64) {
        if !value.is_nan() {
            self.count += 1;
            self.sum += value;
        }
    }

    /// The mean; NaN without values.
    #[inline]
    pub(in crate::features) fn mean(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum / f64::from(self.count) }
    }
}

/// The smallest and the largest value; both missing without values.
#[derive(Debug, Clone, Copy)]
pub(in crate::features) struct Extremes {
    pub(in crate::features) min: f64,
    pub(in crate::features) max: f64,
}

impl Extremes {
    pub(in crate::features) const NONE: Self = Self { min: f64::NAN, max: f64::NAN };

    /// Takes one value; −0 is below 0, so that the order of arrival cannot show.
    #[inline]
    pub(in crate::features) fn take(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        if self.min.is_nan() || value.total_cmp(&self.min).is_lt() {
            self.min = value;
        }
        if self.max.is_nan() || value.total_cmp(&self.max).is_gt() {
            self.max = value;
        }
    }
}

/// The oldest and the newest value; both missing without values.
#[derive(Debug, Clone, Copy)]
pub(in crate::features) struct Ends {
    pub(in crate::features) oldest: f64,
    pub(in crate::features) newest: f64,
}

impl Ends {
    pub(in crate::features) const NONE: Self = Self { oldest: f64::NAN, newest: f64::NAN };

    /// Takes one value, older than those before it.
    #[inline]
    pub(in crate::features) fn take(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        if self.newest.is_nan() {
            self.newest = value;
        }
        self.oldest = value;
    }
}

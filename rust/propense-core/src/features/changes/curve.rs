//! Arithmetic of values that age, as fractions of two lines in time with bounds of what rounding can do to them.
//!
//! Between the instants at which events come and go, recency and tenure are lines in time and all else is constant, so
//! that sums, products and quotients of them are fractions `above(t) / below(t)` of lines as long as no square comes up.
//! What a program computes is `(above + e) / (below + f)` with `|e|` and `|f|` below lines of their own: the backward
//! error analysis of Higham, "Accuracy and Stability of Numerical Algorithms", chapter 3, to the first order and doubled.

use crate::DAY_US;

/// Twice the unit roundoff: room for the rounding of the lines themselves.
const UNIT: f64 = f64::EPSILON;

/// A line: its value now and what it gains each microsecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub(super) now: f64,
    pub(super) slope: f64,
}

/// A fraction of two lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Curve {
    above: Line,
    above_error: Line,
    below: Line,
    below_error: Line,
    /// The event whose age in days it is, if it is that.
    event_us: Option<i64>,
}

/// Microseconds from now between which something may happen, both in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Line {
    const ZERO: Self = Self::flat(0.0);

    const fn flat(now: f64) -> Self {
        Self { now, slope: 0.0 }
    }

    fn plus(self, other: Self) -> Self {
        Self { now: self.now + other.now, slope: self.slope + other.slope }
    }

    fn times(self, factor: f64) -> Self {
        Self { now: self.now * factor, slope: self.slope * factor }
    }

    /// At or above the absolute value from now on.
    fn bound(self) -> Self {
        Self { now: self.now.abs(), slope: self.slope.abs() }
    }

    /// The product, if it is a line.
    fn product(self, other: Self) -> Option<Self> {
        let line = Self { now: self.now * other.now, slope: self.now * other.slope + self.slope * other.now };
        (self.slope == 0.0 || other.slope == 0.0).then_some(line)
    }

    /// From when to when it is not below 0, within `[0, infinity]`.
    fn not_below_zero(self) -> Option<Band> {
        let Self { now, slope } = self;
        let root = -now / slope;
        if slope > 0.0 {
            Some(Band { from: root.max(0.0), to: f64::INFINITY })
        } else if now >= 0.0 {
            Some(Band { from: 0.0, to: if slope < 0.0 { root } else { f64::INFINITY } })
        } else {
            None
        }
    }

    /// From when to when its absolute value is not above another line's value.
    fn within(self, error: Self) -> Option<Band> {
        let above = self.plus(error).not_below_zero()?;
        let below = error.plus(self.times(-1.0)).not_below_zero()?;
        let (from, to) = (above.from.max(below.from), above.to.min(below.to));
        if from == f64::INFINITY {
            return None;
        }
        // Instants are whole microseconds, and the roots are rounded.
        let slack = |instant: f64| instant * 4.0 * UNIT + 2.0;
        let band = Band { from: (from - slack(from)).max(0.0), to: to + slack(to) };
        (band.from <= band.to).then_some(band)
    }
}

impl Curve {
    /// The days since an event, from an instant on.
    pub(super) fn age(event_us: i64, after_us: i64) -> Self {
        let day_us = DAY_US as f64;
        let above = Line { now: after_us.abs_diff(event_us) as f64 / day_us, slope: 1.0 / day_us };
        Self {
            above,
            above_error: above.bound().times(UNIT),
            below: Line::flat(1.0),
            below_error: Line::ZERO,
            event_us: Some(event_us),
        }
    }

    /// Whether both are the days since the same event.
    pub(super) fn is_age_of(&self, other: &Self) -> bool {
        self.event_us.is_some() && self.event_us == other.event_us
    }

    pub(super) fn constant(value: f64) -> Self {
        Self {
            above: Line::flat(value),
            above_error: Line::ZERO,
            below: Line::flat(1.0),
            below_error: Line::ZERO,
            event_us: None,
        }
    }

    /// About its value now; NaN or infinite where `below` is 0.
    pub(super) fn now(&self) -> f64 {
        self.above.now / self.below.now
    }

    /// When it may be as far off as the number, from now on: before and after it is surely on one side, up to where
    /// [`Self::pole`] begins.
    pub(super) fn around(&self, number: f64) -> Option<Band> {
        let bounds = self.above.bound().plus(self.below.bound().times(number.abs()));
        let errors = self.above_error.plus(self.below_error.times(number.abs()));
        self.above.plus(self.below.times(-number)).within(errors.plus(bounds.times(UNIT)).times(2.0))
    }

    /// When its denominator may be 0, from now on.
    pub(super) fn pole(&self) -> Option<Band> {
        self.below.within(self.below_error.plus(self.below.bound().times(UNIT)).times(2.0))
    }

    pub(super) fn negated(self) -> Self {
        Self { above: self.above.times(-1.0), event_us: None, ..self }
    }

    pub(super) fn inverted(self) -> Self {
        let Self { above, above_error, below, below_error, .. } = self;
        Self { above: below, above_error: below_error, below: above, below_error: above_error, event_us: None }
    }

    /// With the rounding of the step that computed it.
    fn rounded(self) -> Self {
        Self { above_error: self.above_error.plus(self.above.bound().times(UNIT)), event_us: None, ..self }
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        if self.below != other.below || self.below_error != Line::ZERO || other.below_error != Line::ZERO {
            return self.over_one_denominator(other);
        }
        // Where the sides cancel each other, what they were rounded by stays.
        let error = self.above_error.plus(other.above_error);
        Some(Self { above: self.above.plus(other.above), above_error: error, ..self }.rounded())
    }

    fn over_one_denominator(self, other: Self) -> Option<Self> {
        let (left, right) = (Product::of(self.above, self.above_error), Product::of(other.above, other.above_error));
        let (under, other_under) =
            (Product::of(self.below, self.below_error), Product::of(other.below, other.below_error));
        let (left, right) = (left.times(other_under)?, right.times(under)?);
        let below = under.times(other_under)?;
        let error = left.error.plus(right.error).plus(left.value.bound().plus(right.value.bound()).times(UNIT));
        Some(Self {
            above: left.value.plus(right.value),
            above_error: error,
            below: below.value,
            below_error: below.error,
            event_us: None,
        })
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        let above = Product::of(self.above, self.above_error).times(Product::of(other.above, other.above_error))?;
        let below = Product::of(self.below, self.below_error).times(Product::of(other.below, other.below_error))?;
        let curve = Self {
            above: above.value,
            above_error: above.error,
            below: below.value,
            below_error: below.error,
            event_us: None,
        };
        Some(curve.rounded())
    }
}

/// A line and its error, to be multiplied.
#[derive(Clone, Copy)]
struct Product {
    value: Line,
    error: Line,
}

impl Product {
    fn of(value: Line, error: Line) -> Self {
        Self { value, error }
    }

    fn times(self, other: Self) -> Option<Self> {
        let value = self.value.product(other.value)?;
        let error = self.value.bound().product(other.error)?.plus(other.value.bound().product(self.error)?);
        Some(Self { value, error })
    }
}

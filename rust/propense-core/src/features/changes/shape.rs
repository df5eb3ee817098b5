//! What a step of a program is for one user as time goes on.

use super::curve::Curve;

/// What a step of a program is for one user.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// The same at all instants; NaN for missing.
    Constant(f64),
    Curve(Curve),
    /// Nothing of the kind.
    Unknown,
}

impl Shape {
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(-value),
            Self::Curve(curve) => Self::Curve(curve.negated()),
            Self::Unknown => Self::Unknown,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            // An age is finite.
            (Self::Constant(value), Self::Curve(_)) | (Self::Curve(_), Self::Constant(value))
                if value.is_infinite() =>
            {
                Self::Constant(value)
            }
            _ => self.with(other, Curve::plus),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        match (self, other) {
            // The same age twice is computed twice with the same result.
            (Self::Curve(left), Self::Curve(right)) if left.is_age_of(&right) => Self::Constant(0.0),
            _ => self.plus(other.negated()),
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        self.with(other, Curve::times)
    }

    pub(super) fn over(self, other: Self) -> Self {
        match (self, other) {
            // What is divided by 0 is missing.
            (_, Self::Constant(0.0)) => Self::Constant(f64::NAN),
            (Self::Curve(left), Self::Curve(right)) if left.is_age_of(&right) => Self::Constant(1.0),
            _ => self.with(other, |left, right| left.times(right.inverted())),
        }
    }

    fn with(self, other: Self, combined: impl Fn(Curve, Curve) -> Option<Curve>) -> Self {
        let (left, right) = match (self, other) {
            (Self::Constant(value), _) | (_, Self::Constant(value)) if !value.is_finite() => {
                return if value.is_nan() { Self::Constant(value) } else { Self::Unknown };
            }
            (Self::Curve(left), Self::Curve(right)) => (left, right),
            (Self::Constant(left), Self::Curve(right)) => (Curve::constant(left), right),
            (Self::Curve(left), Self::Constant(right)) => (left, Curve::constant(right)),
            _ => return Self::Unknown,
        };
        combined(left, right).map_or(Self::Unknown, Self::Curve)
    }
}

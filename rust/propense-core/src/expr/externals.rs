//! What a segment's rule reads that is neither an event nor an attribute.

use super::ast::{Clock, Expr};
use super::error::ExprError;
use super::nearest::nearest;

/// The values that rules of segments get from outside, by number: the models' scores, their tiers, the segments, and
/// the wall clock's hour and day of the week.
#[derive(Debug, Clone, Copy)]
pub struct Externals<'a> {
    /// The models' names, in order.
    pub models: &'a [String],
    /// The segments' names, in order.
    pub segments: &'a [String],
}

impl Externals<'_> {
    /// The texts of tiers; a tier's value is its place here.
    pub const TIERS: [&'static str; 3] = ["least_likely", "moderately_likely", "most_likely"];

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> usize {
        2 * self.models.len() + self.segments.len() + 2
    }

    /// The number of a model's score.
    #[must_use]
    pub fn score(&self, model: usize) -> usize {
        model
    }

    /// The number of a model's tier.
    #[must_use]
    pub fn tier(&self, model: usize) -> usize {
        self.models.len() + model
    }

    /// The number of a segment's membership.
    #[must_use]
    pub fn segment(&self, segment: usize) -> usize {
        2 * self.models.len() + segment
    }

    /// The number of a part of the wall clock.
    #[must_use]
    pub fn now(&self, clock: Clock) -> usize {
        2 * self.models.len() + self.segments.len() + usize::from(clock == Clock::Weekday)
    }

    /// The number of what an expression names; `None` if it is nothing from outside.
    pub(super) fn number(&self, expr: &Expr, text: &str) -> Option<Result<usize, ExprError>> {
        let find = |names: &[String], what: &'static str, name: &str, position: u64| {
            names.iter().position(|known| known == name).ok_or_else(|| ExprError::UnknownName {
                text: text.to_owned(),
                what,
                name: name.to_owned(),
                position,
                nearest: nearest(name, names.iter().map(String::as_str)),
            })
        };
        Some(match expr {
            Expr::Score { name, position } => {
                find(self.models, "model", name, *position).map(|model| self.score(model))
            }
            Expr::Tier { name, position } => find(self.models, "model", name, *position).map(|model| self.tier(model)),
            Expr::InSegment { name, position } => {
                find(self.segments, "segment", name, *position).map(|segment| self.segment(segment))
            }
            Expr::Now(clock) => Ok(self.now(*clock)),
            _ => return None,
        })
    }
}

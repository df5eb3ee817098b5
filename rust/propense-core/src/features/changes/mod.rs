//! When time alone may change what a plan gives for a user.
//!
//! With no new event, a value changes at few instants: one microsecond after an event's own time, as it comes to be
//! seen; one microsecond after it has been in a window for the window's whole length, as it leaves it; and where a
//! recency, a tenure, a ratio or another fraction of them, or a decayed count crosses a number that it is compared
//! with. What cannot be solved (a logarithm or a square of such a value, a decayed count inside arithmetic, a value read
//! by a model whose thresholds are not known) is looked at again at every multiple of [`RECHECK_US`] since 1970-01-01
//! UTC, so that all who ask visit the same instants.

mod aging;
mod compound;
mod crossing;
mod curve;
mod decay;
mod shape;
mod steps;
mod watches;

use self::aging::Aging;
use self::compound::Compounds;
use self::steps::{Steps, Wanted, collect};
use self::watches::Watches;
use super::plan::Plan;
use crate::events::EventLog;
use crate::expr::{Node, Program, UserLeaf};

/// What cannot be solved is looked at again at multiples of a minute since 1970-01-01 UTC.
pub const RECHECK_US: i64 = 60_000_000;

/// The instants at which time alone may change some values of a plan.
#[derive(Default)]
pub struct Changes {
    watches: Watches,
    aging: Vec<Aging>,
    /// One a plan.
    compounds: Vec<Compounds>,
    rechecks: bool,
}

impl Changes {
    /// Those of a plan's outputs that are read, the plan being bound to the columns of `shape`; `None` reads all. For each output `thresholds` has, ascending, the
    /// numbers that something distinguishes: only its coming from below one of them to it or above, or back, matters;
    /// `None` if they are not known.
    #[must_use]
    pub fn new(shape: &EventLog, plan: &Plan, reads: Option<&[bool]>, thresholds: Option<&[Vec<f32>]>) -> Self {
        let mut changes = Self::default();
        let mut compounds = Vec::new();
        for (output, program) in plan.outputs.iter().enumerate() {
            if reads.is_none_or(|reads| reads.get(output) == Some(&true)) {
                let of_output = thresholds.map(|thresholds| thresholds.get(output).map_or(&[][..], Vec::as_slice));
                compounds.extend(changes.add_program(&plan.leaves, program, of_output));
            }
        }
        changes.compounds.extend(Compounds::new(shape, plan, compounds));
        changes
    }

    /// Adds those of all of a plan's outputs, which are conditions.
    pub(crate) fn add_conditions(&mut self, shape: &EventLog, plan: &Plan) {
        let programs = plan.outputs.iter();
        let compounds = programs.flat_map(|program| self.add_program(&plan.leaves, program, None)).collect();
        self.compounds.extend(Compounds::new(shape, plan, compounds));
    }

    /// Gives what arithmetic there is to be solved.
    fn add_program(
        &mut self,
        leaves: &[UserLeaf],
        program: &Program,
        thresholds: Option<&[f32]>,
    ) -> Vec<(Node, Steps)> {
        program.for_each_leaf(&mut |leaf| {
            if let UserLeaf::Aggregate(aggregate) = &leaves[leaf] {
                self.watches.add(aggregate);
            }
        });
        let Wanted { steps, compounds, rechecks } = collect(program, leaves, thresholds);
        self.rechecks |= rechecks;
        for (leaf, steps) in steps {
            if let UserLeaf::Aggregate(aggregate) = &leaves[leaf] {
                self.add_steps(Aging::new(aggregate, steps));
            }
        }
        compounds
    }

    fn add_steps(&mut self, new: Aging) {
        match self.aging.iter_mut().find(|known| known.is_like(&new)) {
            Some(known) => known.join(&new),
            None => self.aging.push(new),
        }
    }

    /// Whether something cannot be solved, so that every multiple of [`RECHECK_US`] counts.
    #[must_use]
    pub fn rechecks(&self) -> bool {
        self.rechecks
    }

    /// The first instant after another at which a user's values may change with no new event; `i64::MAX` for never.
    ///
    /// The log has the columns and codes of the one that the plan was bound to. There may be instants at which nothing
    /// changes, but there is no change at any other.
    #[must_use]
    pub fn next_us(&self, log: &EventLog, user: usize, after_us: i64) -> i64 {
        let mut next_us = self.watches.next_us(log, user, after_us);
        for aging in &self.aging {
            next_us = aging.next_us(log, user, after_us, next_us);
        }
        for compounds in &self.compounds {
            next_us = compounds.next_us(log, user, after_us, next_us);
        }
        if self.rechecks && !log.rows(user).is_empty() {
            next_us = next_us.min(next_recheck_us(after_us));
        }
        next_us
    }
}

/// The first multiple of [`RECHECK_US`] after an instant.
fn next_recheck_us(after_us: i64) -> i64 {
    (after_us.div_euclid(RECHECK_US) + 1).saturating_mul(RECHECK_US)
}

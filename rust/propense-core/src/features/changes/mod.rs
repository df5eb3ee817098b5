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
mod ladder;
mod shape;
mod steps;
mod watches;

use self::aging::Aging;
use self::compound::Compounds;
use self::steps::{Steps, Wanted, collect};
use self::watches::Watches;
use super::plan::Plan;
use super::scan::Scan;
use crate::events::EventLog;
use crate::expr::{Node, Program, UserLeaf};

/// What cannot be solved is looked at again at multiples of a minute since 1970-01-01 UTC.
pub const RECHECK_US: i64 = 60_000_000;
/// What is known to come no sooner than this is not solved for those to whom that is enough.
const SOON_US: i64 = 1_000_000;

/// The instants at which time alone may change some values of a plan.
#[derive(Default)]
pub struct Changes {
    watches: Watches,
    aging: Vec<Aging>,
    /// One a plan that has any.
    compounds: Vec<Compounds>,
    rechecks: bool,
    plans: usize,
}

/// A leaf of one of the plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    plan: usize,
    leaf: usize,
}

/// The values that a user's leaves have at the instant that is asked about, if something has just computed them.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// One a plan, or none.
    scans: &'a [Scan<'a>],
    user: usize,
}

impl Known<'_> {
    fn value(&self, place: Place) -> Option<f64> {
        self.scans.get(place.plan).map(|scan| scan.leaf(place.leaf, self.user))
    }
}

/// What something makes of an output's values.
#[derive(Debug, Clone, Copy)]
pub enum Distinguished<'a> {
    /// Nothing: it is not read.
    Nothing,
    /// Numbers in any order: only its coming from below one of them to it or above, or back, matters.
    Steps(&'a [f32]),
    /// Any two values; of a condition, whether it holds.
    Everything,
}

impl<'a> Distinguished<'a> {
    /// What a model makes of an output: which outputs it reads, all if that is not said, and the thresholds that it
    /// compares each with, if they are known.
    #[must_use]
    pub fn by_model(reads: Option<&[bool]>, thresholds: Option<&'a [Vec<f32>]>, output: usize) -> Self {
        if reads.is_some_and(|reads| reads.get(output) != Some(&true)) {
            return Self::Nothing;
        }
        thresholds.map_or(Self::Everything, |thresholds| Self::Steps(thresholds.get(output).map_or(&[], Vec::as_slice)))
    }
}

impl Changes {
    /// Those of a plan's outputs, the plan being bound to the columns of `shape`, as far as its values are distinguished.
    #[must_use]
    pub fn new<'a>(shape: &EventLog, plan: &Plan, of_output: impl Fn(usize) -> Distinguished<'a>) -> Self {
        let mut changes = Self { plans: 1, ..Self::default() };
        let mut compounds = Vec::new();
        for (output, program) in plan.outputs.iter().enumerate() {
            let thresholds = match of_output(output) {
                Distinguished::Nothing => continue,
                Distinguished::Steps(steps) => Some(steps),
                Distinguished::Everything => None,
            };
            compounds.extend(changes.add_program(0, &plan.leaves, program, thresholds));
        }
        changes.compounds.extend(Compounds::new(shape, plan, 0, compounds));
        changes
    }

    /// Adds those of all outputs of one more plan, which are conditions.
    pub(crate) fn add_conditions(&mut self, shape: &EventLog, plan: &Plan) {
        let number = self.plans;
        self.plans += 1;
        let programs = plan.outputs.iter();
        let compounds = programs.flat_map(|program| self.add_program(number, &plan.leaves, program, None)).collect();
        self.compounds.extend(Compounds::new(shape, plan, number, compounds));
    }

    /// Gives what arithmetic there is to be solved.
    fn add_program(
        &mut self,
        plan: usize,
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
                self.add_steps(Aging::new(Place { plan, leaf }, aggregate, steps));
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
        self.next(log, user, after_us, Known { scans: &[], user })
    }

    /// [`Changes::next_us`] after the instant of scans, one a plan in their order, that have just gathered the user:
    /// quicker, as what they found need not be looked for again.
    #[must_use]
    pub fn next_us_by(&self, scans: &[Scan<'_>], log: &EventLog, user: usize, after_us: i64) -> i64 {
        self.next(log, user, after_us, Known { scans, user })
    }

    /// An instant after another, and not after that of [`Changes::next_us_by`], before which nothing changes: much quicker,
    /// as what lies further ahead than a second is not solved but bounded.
    #[must_use]
    pub fn not_before_us_by(&self, scans: &[Scan<'_>], log: &EventLog, user: usize, after_us: i64) -> i64 {
        let known = Known { scans, user };
        self.at_first(log, user, after_us, known, |before_us| {
            let bounds = self.aging.iter().map(|aging| aging.not_before_us_by(known, after_us));
            let bound_us = bounds.min().unwrap_or(i64::MAX);
            if bound_us < after_us.saturating_add(SOON_US) {
                return self.next_step_us(log, user, after_us, before_us, known);
            }
            bound_us.min(before_us)
        })
    }

    fn next(&self, log: &EventLog, user: usize, after_us: i64, known: Known<'_>) -> i64 {
        let step_us = |before_us| self.next_step_us(log, user, after_us, before_us, known);
        self.at_first(log, user, after_us, known, step_us)
    }

    /// The first of all instants after another, if that of a step before an instant is this.
    fn at_first(
        &self,
        log: &EventLog,
        user: usize,
        after_us: i64,
        known: Known<'_>,
        step_us: impl FnOnce(i64) -> i64,
    ) -> i64 {
        let mut next_us = self.watches.next_us(log, user, after_us);
        // Nothing can be earlier; and what is known holds only if nothing comes or goes one microsecond later.
        if next_us <= after_us.saturating_add(1) {
            return next_us;
        }
        next_us = step_us(next_us);
        for compounds in &self.compounds {
            next_us = compounds.next_us(log, user, after_us, next_us, known);
        }
        if self.rechecks && !log.rows(user).is_empty() {
            next_us = next_us.min(next_recheck_us(after_us));
        }
        next_us
    }

    /// The first instant after another, and before a third, at which a value that ages crosses a step; else the third.
    /// Where the first of them can be is looked at first, so that for most it is enough to know that they come later.
    fn next_step_us(&self, log: &EventLog, user: usize, after_us: i64, before_us: i64, known: Known<'_>) -> i64 {
        let not_before_us: Vec<i64> = self.aging.iter().map(|aging| aging.not_before_us_by(known, after_us)).collect();
        let Some(first) = (0..self.aging.len()).min_by_key(|&place| not_before_us[place]) else { return before_us };
        let mut next_us = before_us;
        for place in [first].into_iter().chain((0..self.aging.len()).filter(|&place| place != first)) {
            if not_before_us[place] < next_us {
                let aging = &self.aging[place];
                next_us = aging.next_us(log, user, after_us, next_us, known.value(aging.place));
            }
        }
        next_us
    }
}

/// The first multiple of [`RECHECK_US`] after an instant.
fn next_recheck_us(after_us: i64) -> i64 {
    (after_us.div_euclid(RECHECK_US) + 1).saturating_mul(RECHECK_US)
}

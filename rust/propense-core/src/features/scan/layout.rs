//! Which states a plan keeps, where they lie, and what each leaf reads from them.

use std::collections::{HashMap, HashSet};

use super::ops::{Op, OpKind};
use crate::expr::{BoundAggregate, BoundFilter, EventSet, Function, UserLeaf};
use crate::features::kernels::calendar_days::{DAYS, HOURS, WEEKDAYS};
use crate::features::kernels::extent::{EXTENT, GAPS};
use crate::features::kernels::property::{MOMENTS, NO_PAIR};
use crate::features::kernels::welford::WELFORD;
use crate::features::plan::ALL_HISTORY;

/// A selection of events with the states that they update.
pub(super) struct Selection {
    pub(super) events: EventSet,
    pub(super) filter: Option<BoundFilter>,
    pub(super) ops: Vec<Op>,
}

/// How a leaf's value is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// The attribute column with this place.
    Attribute(usize),
    /// A function of the state whose first cell is `at` among the cells of all windows.
    State { function: Function, kind: OpKind, at: usize },
    /// The value from outside with this number.
    External(usize),
    /// Nothing reads it.
    Unread,
}

/// The states of a plan.
///
/// The running states of a user are one array of cells. As the walk leaves a window, those that are read there are
/// kept: they lie first, so that one copy keeps them. All cells together are what was kept of each window but the
/// longest, and then the running states.
#[derive(Default)]
pub(super) struct Layout {
    /// Windows in microseconds, ascending; [`ALL_HISTORY`] is the last if it is asked for.
    pub(super) windows_us: Vec<i64>,
    pub(super) selections: Vec<Selection>,
    /// The states of a user without events.
    pub(super) initial: Vec<u64>,
    /// How many cells are kept of each window but the longest.
    pub(super) kept: usize,
    /// One for each leaf.
    pub(super) readings: Vec<Reading>,
    /// The columns of the distinct sets.
    pub(super) distinct_columns: Vec<usize>,
    pub(super) half_lives_us: Vec<i64>,
}

/// What aggregates that share a state agree on: the events, the kernel, and the property.
type StateKey<'a> = (&'a str, OpKind, Option<usize>);

/// An aggregate that is read.
struct Read<'a> {
    leaf: usize,
    aggregate: &'a BoundAggregate,
    key: StateKey<'a>,
    /// The place of its window.
    window: usize,
}

impl Layout {
    /// The states of those leaves that are read.
    pub(super) fn new(leaves: &[UserLeaf], is_read: impl Fn(usize) -> bool) -> Self {
        let aggregates: Vec<(usize, &BoundAggregate)> = (leaves.iter().enumerate())
            .filter_map(|(leaf, what)| match what {
                UserLeaf::Aggregate(aggregate) if is_read(leaf) => Some((leaf, aggregate)),
                _ => None,
            })
            .collect();
        let mut windows_us: Vec<i64> = aggregates.iter().map(|(_, aggregate)| window_us(aggregate)).collect();
        windows_us.sort_unstable();
        windows_us.dedup();
        let readings = leaves.iter().map(|leaf| match leaf {
            UserLeaf::Attribute(column) => Reading::Attribute(*column),
            UserLeaf::External(number) => Reading::External(*number),
            UserLeaf::Aggregate(_) => Reading::Unread,
        });
        let mut layout = Self { readings: readings.collect(), ..Self::default() };
        // Where a selection is only counted, the instants of its events need not be kept.
        let reads_instants = |aggregate: &BoundAggregate| kind(aggregate, true) == OpKind::Extent;
        let timed: HashSet<&str> = (aggregates.iter())
            .filter(|(_, aggregate)| reads_instants(aggregate) && aggregate.function != Function::Count)
            .map(|(_, aggregate)| aggregate.selector_text.as_str())
            .collect();
        let reads: Vec<Read> = (aggregates.iter())
            .map(|&(leaf, aggregate)| {
                let selector = aggregate.selector_text.as_str();
                let key = (selector, kind(aggregate, timed.contains(selector)), aggregate.column);
                let window = windows_us.partition_point(|&length| length < window_us(aggregate));
                Read { leaf, aggregate, key, window }
            })
            .collect();
        layout.windows_us = windows_us;
        layout.place(&reads);
        layout
    }

    fn place(&mut self, reads: &[Read]) {
        let longest = self.windows_us.len().saturating_sub(1);
        let (mut states, mut selections): (HashMap<StateKey, Op>, HashMap<&str, usize>) = Default::default();
        let kept: HashSet<StateKey> = reads.iter().filter(|read| read.window < longest).map(|read| read.key).collect();
        for is_kept in [true, false] {
            for read in reads.iter().filter(|read| kept.contains(&read.key) == is_kept) {
                let selection = *selections.entry(read.key.0).or_insert_with(|| {
                    let (events, filter) = (read.aggregate.events, read.aggregate.filter.clone());
                    self.selections.push(Selection { events, filter, ops: Vec::new() });
                    self.selections.len() - 1
                });
                let (_, kind, column) = read.key;
                states.entry(read.key).or_insert_with(|| self.add_state(selection, kind, column));
            }
            if is_kept {
                self.kept = self.initial.len();
            }
        }
        for read in reads {
            let (function, op) = (read.aggregate.function, states[&read.key]);
            self.readings[read.leaf] = Reading::State { function, kind: op.kind, at: read.window * self.kept + op.at };
        }
    }

    fn add_state(&mut self, selection: usize, kind: OpKind, column: Option<usize>) -> Op {
        let column = column.unwrap_or_default();
        let number = match kind {
            OpKind::Distinct => {
                self.distinct_columns.push(column);
                self.distinct_columns.len() - 1
            }
            OpKind::Decay { half_life_us } => {
                let known = self.half_lives_us.iter().position(|&known| known == half_life_us);
                known.unwrap_or_else(|| {
                    self.half_lives_us.push(half_life_us);
                    self.half_lives_us.len() - 1
                })
            }
            _ => 0,
        };
        let op = Op { kind, at: self.initial.len(), column, number };
        self.initial.extend_from_slice(initial(kind));
        self.selections[selection].ops.push(op);
        op
    }
}

fn window_us(aggregate: &BoundAggregate) -> i64 {
    aggregate.window_us.unwrap_or(ALL_HISTORY)
}

/// The kernel of an aggregate; `timed` tells whether its selection keeps the instants of its events.
fn kind(aggregate: &BoundAggregate, timed: bool) -> OpKind {
    match (aggregate.function, aggregate.column) {
        (Function::Count | Function::Sum | Function::Mean, Some(_)) => OpKind::Moments,
        (Function::Std, _) => OpKind::Spread,
        (Function::Min | Function::Max, _) => OpKind::Extremes,
        (Function::First | Function::Last, _) => OpKind::Ends,
        (Function::Distinct, _) => OpKind::Distinct,
        (Function::GapStd, _) => OpKind::Gaps,
        (Function::ActiveDays, _) => OpKind::Days,
        (Function::DecayedCount { half_life_us }, _) => OpKind::Decay { half_life_us },
        (Function::HourShare { .. }, _) => OpKind::Hours,
        (Function::WeekdayShare { .. }, _) => OpKind::Weekdays,
        (Function::Count, None) if !timed => OpKind::Count,
        _ => OpKind::Extent,
    }
}

/// The cells of a state that has seen nothing.
fn initial(kind: OpKind) -> &'static [u64] {
    match kind {
        OpKind::Count | OpKind::Decay { .. } | OpKind::Distinct => &[0],
        OpKind::Extent => &EXTENT,
        OpKind::Gaps => &GAPS,
        OpKind::Days => &DAYS,
        OpKind::Hours => &HOURS,
        OpKind::Weekdays => &WEEKDAYS,
        OpKind::Moments => &MOMENTS,
        OpKind::Spread => &WELFORD,
        OpKind::Extremes | OpKind::Ends => &NO_PAIR,
    }
}

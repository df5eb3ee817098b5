//! What is worked out of a selection's events one after the other, and which of it is read.

use crate::expr::{BoundAggregate, Function};

/// Which kernel takes the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OpKind {
    Extent,
    Gaps,
    Days,
    Hours,
    Weekdays,
    Moments,
    Spread,
    Extremes,
    Ends,
    Distinct,
}

/// One state and what is read of it.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) kind: OpKind,
    /// The property column, if it reads one.
    pub(super) column: usize,
    /// The number of its distinct set, if it has one.
    pub(super) set: usize,
    /// By function, so that those of one function are read in a loop without a choice.
    pub(super) reads: Vec<Reads>,
    /// The windows over which something is read, ascending.
    pub(super) windows: Vec<u32>,
}

/// The windows over which a function of a state is read.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) function: Function,
    pub(super) asked: Vec<Asked>,
}

/// A window, and the cell that has the function's value over it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) window: u32,
    pub(super) cell: u32,
}

impl OpKind {
    /// The kernel of an aggregate; none for those that many selections share: see [`super::lanes`].
    pub(super) fn of(aggregate: &BoundAggregate) -> Option<Self> {
        Some(match (aggregate.function, aggregate.column) {
            (Function::Count, None) | (Function::DecayedCount { .. }, _) => return None,
            (Function::Count | Function::Sum | Function::Mean, _) => Self::Moments,
            (Function::Std, _) => Self::Spread,
            (Function::Min | Function::Max, _) => Self::Extremes,
            (Function::First | Function::Last, _) => Self::Ends,
            (Function::Distinct, _) => Self::Distinct,
            (Function::Recency | Function::Tenure | Function::GapMean, _) => Self::Extent,
            (Function::GapStd, _) => Self::Gaps,
            (Function::ActiveDays, _) => Self::Days,
            (Function::HourShare { .. }, _) => Self::Hours,
            (Function::WeekdayShare { .. }, _) => Self::Weekdays,
        })
    }

    /// Whether it takes the numbers of a property.
    pub(super) fn takes_numbers(self) -> bool {
        matches!(self, Self::Moments | Self::Spread | Self::Extremes | Self::Ends)
    }

    /// Whether it takes local times.
    pub(super) fn takes_local_times(self) -> bool {
        matches!(self, Self::Days | Self::Hours | Self::Weekdays)
    }
}

/// Whether a function's values are whole and at least 0, and never missing.
pub(super) fn is_counted(function: Function) -> bool {
    matches!(function, Function::Count | Function::Distinct | Function::ActiveDays)
}

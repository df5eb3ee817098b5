//! What one event does to the states of the aggregates that take it.

use super::chunk::Chunk;
use crate::events::Cells;
use crate::features::kernels::calendar_days::days;
use crate::features::kernels::distinct_values::DistinctSet;
use crate::features::kernels::extent::{extent, gaps};
use crate::features::kernels::property::{ends, extremes, moments, spread};

/// One state to be updated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    pub(super) kind: OpKind,
    /// The state's first cell.
    pub(super) at: usize,
    /// The property column, if it reads one.
    pub(super) column: usize,
    /// The number of its distinct set or half-life, if it has one.
    pub(super) number: usize,
}

/// Which kernel updates a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OpKind {
    Count,
    Extent,
    Gaps,
    Days,
    Hours,
    Weekdays,
    Decay { half_life_us: i64 },
    Moments,
    Spread,
    Extremes,
    Ends,
    Distinct,
}

/// Ops by kind, so that the commonest run in loops without a choice.
#[derive(Debug, Clone, Default)]
pub(super) struct Ops {
    counts: Vec<usize>,
    extents: Vec<usize>,
    days: Vec<usize>,
    hours: Vec<usize>,
    weekdays: Vec<usize>,
    /// State and half-life.
    decays: Vec<(usize, usize)>,
    /// Gaps and whatever reads a property.
    others: Vec<Op>,
}

/// One event as the kernels need it.
pub(super) struct Event<'a> {
    pub(super) row: usize,
    /// Its place in the chunk.
    pub(super) place: usize,
    pub(super) time_us: i64,
    /// The user's number in the distinct sets.
    pub(super) user: u32,
    pub(super) columns: &'a [&'a Cells],
}

impl Ops {
    pub(super) fn extend(&mut self, ops: &[Op]) {
        for op in ops {
            match op.kind {
                OpKind::Count => self.counts.push(op.at),
                OpKind::Extent => self.extents.push(op.at),
                OpKind::Days => self.days.push(op.at),
                OpKind::Hours => self.hours.push(op.at),
                OpKind::Weekdays => self.weekdays.push(op.at),
                OpKind::Decay { .. } => self.decays.push((op.at, op.number)),
                _ => self.others.push(*op),
            }
        }
    }

    /// Updates the states of one event.
    #[inline]
    pub(super) fn apply(&self, event: &Event, chunk: &Chunk, states: &mut [u64], sets: &mut [DistinctSet]) {
        for &at in &self.counts {
            states[at] += 1;
        }
        for &at in &self.extents {
            extent(state(states, at), event.time_us);
        }
        for &at in &self.days {
            days(state(states, at), chunk.local[event.place].day);
        }
        for &at in &self.hours {
            states[at + usize::from(chunk.local[event.place].hour)] += 1;
        }
        for &at in &self.weekdays {
            states[at + usize::from(chunk.local[event.place].weekday)] += 1;
        }
        for &(at, half_life) in &self.decays {
            states[at] = (f64::from_bits(states[at]) + chunk.weights[half_life][event.place]).to_bits();
        }
        for op in &self.others {
            op.apply(event, states, sets);
        }
    }
}

impl Op {
    #[inline]
    fn apply(&self, event: &Event, states: &mut [u64], sets: &mut [DistinctSet]) {
        let cells = || event.columns[self.column];
        let value = || cells().number(event.row);
        match self.kind {
            OpKind::Gaps => gaps(state(states, self.at), event.time_us),
            OpKind::Moments => moments(state(states, self.at), value()),
            OpKind::Spread => spread(state(states, self.at), value()),
            OpKind::Extremes => extremes(state(states, self.at), value()),
            OpKind::Ends => ends(state(states, self.at), value()),
            OpKind::Distinct => {
                states[self.at] += u64::from(sets[self.number].is_new(cells(), event.row, event.user));
            }
            // These have lists of their own.
            OpKind::Count | OpKind::Extent | OpKind::Days | OpKind::Hours | OpKind::Weekdays | OpKind::Decay { .. } => {
            }
        }
    }
}

/// The cells of one state.
#[inline]
fn state<const N: usize>(states: &mut [u64], at: usize) -> &mut [u64; N] {
    // The layout gave the state this many cells.
    #[allow(clippy::expect_used)]
    states[at..].first_chunk_mut().expect("a state lies within the cells")
}

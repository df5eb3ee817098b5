//! States that take a selection's events one by one, and what is read of them where windows end.

use super::chunk::Chunk;
use super::ops::{Asked, Op, OpKind, Reads};
use crate::events::Cells;
use crate::expr::Function;
use crate::features::kernels::calendar_days::{Days, running_sums, share};
use crate::features::kernels::distinct_values::DistinctSet;
use crate::features::kernels::extent::{Extent, Gaps};
use crate::features::kernels::property::{Ends, Extremes, Moments};
use crate::features::kernels::welford::Welford;

/// What an op remembers from one chunk of a user's events to the next.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    Extent(Extent),
    Gaps(Gaps),
    Days(Days),
    Hours([u32; 24]),
    Weekdays([u32; 7]),
    Moments(Moments),
    Spread(Welford),
    Extremes(Extremes),
    Ends(Ends),
    Distinct(u32),
}

/// A user's values so far: what was read where windows ended, and of the open windows what is so now.
#[derive(Default)]
pub(super) struct Held {
    pub(super) counts: Vec<u32>,
    pub(super) numbers: Vec<f64>,
}

/// What states were after each event of a chunk: one buffer a type of state.
#[derive(Default)]
pub(super) struct Trails {
    counts: Vec<u32>,
    moments: Vec<Moments>,
    spreads: Vec<Welford>,
    extremes: Vec<Extremes>,
    ends: Vec<Ends>,
}

/// The events of a chunk that an op takes, newest first.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) chunk: &'a Chunk,
    /// Their places in the chunk.
    pub(super) places: &'a [u8],
    /// The row after the chunk's newest event.
    pub(super) end_row: usize,
    /// The first window that does not end before the chunk.
    pub(super) open: usize,
    /// For each window that is read, how many of the events it holds.
    pub(super) held: &'a [u16],
    pub(super) end_us: i64,
    /// The user's number in the distinct sets.
    pub(super) user: u32,
}

impl State {
    /// A state that has seen nothing.
    pub(super) fn new(kind: OpKind) -> Self {
        match kind {
            OpKind::Extent => Self::Extent(Extent::NONE),
            OpKind::Gaps => Self::Gaps(Gaps::NONE),
            OpKind::Days => Self::Days(Days::NONE),
            OpKind::Hours => Self::Hours([0; 24]),
            OpKind::Weekdays => Self::Weekdays([0; 7]),
            OpKind::Moments => Self::Moments(Moments::NONE),
            OpKind::Spread => Self::Spread(Welford::NONE),
            OpKind::Extremes => Self::Extremes(Extremes::NONE),
            OpKind::Ends => Self::Ends(Ends::NONE),
            OpKind::Distinct => Self::Distinct(0),
        }
    }

    /// Takes events, with their numbers if the op takes numbers, and writes what is read where windows end.
    pub(super) fn take(
        &mut self,
        op: &Op,
        taken: &Taken,
        numbers: &[f64],
        distinct: Option<(&mut DistinctSet, &Cells)>,
        trails: &mut Trails,
        held: &mut Held,
    ) {
        let Taken { chunk, places, .. } = *taken;
        let at = |place: &u8| usize::from(*place);
        match self {
            Self::Extent(extent) => {
                taken.extent(extent, &op.reads, &mut held.numbers);
            }
            Self::Gaps(gaps) => {
                let times_us = places.iter().map(|place| chunk.times_us()[at(place)]);
                let after = trail(gaps, times_us, Gaps::take, |gaps| gaps.days, &mut trails.spreads);
                taken.read(&op.reads, after, &mut held.numbers, |_, days| days.deviation());
            }
            Self::Days(days) => {
                let of_places = places.iter().map(|place| chunk.days()[at(place)]);
                let after = trail(days, of_places, Days::take, |days| days.count, &mut trails.counts);
                taken.read(&op.reads, after, &mut held.counts, |_, count| *count);
            }
            Self::Hours(counts) => taken.shares(counts, chunk.hours(), 0, op, &mut held.numbers),
            Self::Weekdays(counts) => taken.shares(counts, chunk.weekdays(), 1, op, &mut held.numbers),
            Self::Moments(moments) => {
                let after = trail(moments, numbers.iter().copied(), Moments::take, |one| *one, &mut trails.moments);
                for reads in &op.reads {
                    match reads.function {
                        Function::Count => taken.keep(&reads.asked, after, &mut held.counts, |one| one.count),
                        Function::Mean => taken.keep(&reads.asked, after, &mut held.numbers, Moments::mean),
                        _ => taken.keep(&reads.asked, after, &mut held.numbers, |one| one.sum),
                    }
                }
            }
            Self::Spread(spread) => {
                let there = |spread: &mut Welford, number: f64| {
                    if !number.is_nan() {
                        spread.take(number);
                    }
                };
                let after = trail(spread, numbers.iter().copied(), there, |one| *one, &mut trails.spreads);
                taken.read(&op.reads, after, &mut held.numbers, |_, spread| spread.deviation());
            }
            Self::Extremes(extremes) => {
                let after = trail(extremes, numbers.iter().copied(), Extremes::take, |one| *one, &mut trails.extremes);
                taken.read(&op.reads, after, &mut held.numbers, |function, extremes| match function {
                    Function::Min => extremes.min,
                    _ => extremes.max,
                });
            }
            Self::Ends(ends) => {
                let after = trail(ends, numbers.iter().copied(), Ends::take, |one| *one, &mut trails.ends);
                taken.read(&op.reads, after, &mut held.numbers, |function, ends| match function {
                    Function::First => ends.oldest,
                    _ => ends.newest,
                });
            }
            Self::Distinct(count) => {
                let Some((set, cells)) = distinct else { return };
                let is_new = places.iter().map(|place| set.is_new(cells, taken.end_row - 1 - at(place), taken.user));
                let add = |count: &mut u32, is_new: bool| *count += u32::from(is_new);
                let after = trail(count, is_new, add, |count| *count, &mut trails.counts);
                taken.read(&op.reads, after, &mut held.counts, |_, count| *count);
            }
        }
    }
}

/// Gives a state its items one by one. Tells what is remembered of it before the first and after each of them.
#[inline(always)]
fn trail<'t, S, T, R: Copy>(
    state: &mut S,
    items: impl ExactSizeIterator<Item = T>,
    take: impl Fn(&mut S, T),
    remembered: impl Fn(&S) -> R,
    trail: &'t mut Vec<R>,
) -> &'t [R] {
    let empty = remembered(state);
    if trail.len() <= items.len() {
        trail.resize(items.len() + 1, empty);
    }
    let trail = &mut trail[..=items.len()];
    trail[0] = empty;
    for (after, item) in trail[1..].iter_mut().zip(items) {
        take(state, item);
        *after = remembered(state);
    }
    trail
}

impl Taken<'_> {
    /// Writes what a function of the state is in each window that is asked for and is not over.
    #[inline(always)]
    fn keep<R, V>(&self, asked: &[Asked], after: &[R], cells: &mut [V], value: impl Fn(&R) -> V) {
        for &Asked { window, cell } in asked {
            if window as usize >= self.open {
                cells[cell as usize] = value(&after[usize::from(self.held[window as usize])]);
            }
        }
    }

    /// [`Self::keep`] for all functions that are read.
    #[inline(always)]
    fn read<R, V>(&self, reads: &[Reads], after: &[R], cells: &mut [V], value: impl Fn(Function, &R) -> V) {
        for Reads { function, asked } in reads {
            self.keep(asked, after, cells, |state| value(*function, state));
        }
    }

    /// Takes instants. Of these no trail is needed: the events are listed by time.
    #[inline(always)]
    fn extent(&self, extent: &mut Extent, reads: &[Reads], cells: &mut [f64]) {
        let times_us = self.chunk.times_us();
        let before = *extent;
        let after = |events: usize| {
            let Some(&oldest) = self.places[..events].last() else { return before };
            let newest_us = if before.count > 0 { before.newest_us } else { times_us[usize::from(self.places[0])] };
            Extent { count: before.count + events as u32, newest_us, oldest_us: times_us[usize::from(oldest)] }
        };
        for Reads { function, asked } in reads {
            for &Asked { window, cell } in asked.iter().filter(|asked| asked.window as usize >= self.open) {
                let extent = after(usize::from(self.held[window as usize]));
                cells[cell as usize] = match function {
                    Function::Recency => extent.recency(self.end_us),
                    Function::Tenure => extent.tenure(self.end_us),
                    _ => extent.gap_mean(),
                };
            }
        }
        *extent = after(self.places.len());
    }

    /// Counts events by their place in a cycle, whose first is called `first`, and writes shares of it.
    #[inline(always)]
    fn shares(&self, counts: &mut [u32], cycle: &[u8], first: u8, op: &Op, cells: &mut [f64]) {
        let mut taken = 0;
        let mut take_to = |events: usize, counts: &mut [u32]| {
            for place in &self.places[taken..events] {
                counts[usize::from(cycle[usize::from(*place)])] += 1;
            }
            taken = events;
        };
        for &window in op.windows.iter().filter(|&&window| window as usize >= self.open) {
            take_to(usize::from(self.held[window as usize]), counts);
            let sums = running_sums(counts);
            for Reads { function, asked } in &op.reads {
                let (Function::HourShare { from, to } | Function::WeekdayShare { from, to }) = *function else {
                    continue;
                };
                for asked in asked.iter().filter(|asked| asked.window == window) {
                    cells[asked.cell as usize] = share(&sums, usize::from(from - first), usize::from(to - first));
                }
            }
        }
        take_to(self.places.len(), counts);
    }
}

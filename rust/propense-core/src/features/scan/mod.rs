//! One user's events through a plan, in one walk from the newest to the oldest.
//!
//! Events are walked in chunks. Of a chunk is first worked out what needs no state: classes of events, local times, weights
//! ([`chunk`]). Counts of all selections then take each event as one row of a table ([`lanes`]); other states take the
//! events of their selection one after the other ([`lists`], [`states`]). What a state was after each event is remembered
//! for a while, and read where windows end: no loop stops at the end of a window, which would be hard to foresee.
#![allow(clippy::inline_always, reason = "what is inlined is compiled for the instructions of its caller")]

mod chunk;
mod extents;
mod finish;
mod instructions;
mod keys;
mod lanes;
mod layout;
mod lists;
mod ops;
mod ready;
mod selection;
mod shape;
mod states;
mod windows;

use std::ops::Range;

use self::chunk::{CHUNK_EVENTS, Chunk};
use self::extents::Extents;
use self::finish::User;
use self::instructions::Instructions;
use self::lists::{Buckets, Source};
use self::ops::OpKind;
pub use self::ready::ScanPlan;
pub use self::shape::DictionarySizes;
use self::states::{Held, State, Taken, Trails};
use self::windows::Windows;
use super::kernels::distinct_values::DistinctSet;
use super::plan::Period;
use crate::events::{Cell, Cells, EventLog, with_cells};
use crate::expr::Program;

/// A plan at work over a period; one a thread, as it keeps its scratch.
pub struct Scan<'a> {
    plan: &'a ScanPlan,
    log: &'a EventLog,
    columns: Vec<&'a Cells>,
    instructions: Instructions,
    windows: Windows,
    sets: Vec<DistinctSet>,
    /// The current user's number in the distinct sets.
    user: u32,
    /// One an op.
    states: Vec<State>,
    extents: Extents,
    held: Held,
    values: Vec<f32>,
    scratch: Scratch,
}

/// What means nothing beyond a chunk.
struct Scratch {
    chunk: Chunk,
    buckets: Buckets,
    counts: Vec<[u32; lanes::COUNT_LANES]>,
    passed: Vec<u8>,
    held_of_list: Vec<u16>,
    numbers: Vec<f64>,
    trails: Trails,
}

impl<'a> Scan<'a> {
    /// A scan that has seen no user of a log that the plan was made for or fits.
    #[must_use]
    pub fn new(plan: &'a ScanPlan, log: &'a EventLog, period: Period) -> Self {
        let columns: Vec<&Cells> = log.columns().iter().map(|column| &column.cells).collect();
        let ScanPlan { layout, initial, .. } = plan;
        let buckets = layout.bucket_of_type.iter().max().map_or(0, |&last| usize::from(last) + 1);
        let windows = Windows::new(&layout.windows_us, period);
        Self {
            plan,
            log,
            instructions: Instructions::best(),
            sets: layout.distinct_columns.iter().map(|&column| DistinctSet::of(columns[column])).collect(),
            columns,
            user: 0,
            states: initial.clone(),
            extents: Extents::new(layout.extents.0),
            held: Held { counts: layout.counts_of_none.clone(), numbers: layout.numbers_of_none.clone() },
            values: vec![0.0; plan.values()],
            scratch: Scratch {
                chunk: Chunk::new(&layout.wanted),
                buckets: Buckets::new(buckets),
                counts: Vec::new(),
                passed: Vec::new(),
                held_of_list: vec![0; windows.held().len()],
                numbers: Vec::new(),
                trails: Trails::default(),
            },
            windows,
        }
    }

    /// Writes a user's row of the matrix: `row` has one f32 a feature, of which those that are read are written.
    pub fn write_row(&mut self, user: usize, row: &mut [f32]) {
        let mut values = std::mem::take(&mut self.values);
        self.write_values(user, &mut values);
        for &(place, column) in self.plan.columns() {
            row[column as usize] = values[place as usize];
        }
        self.values = values;
    }

    /// Writes a user's values, in the order of [`ScanPlan::columns`].
    pub(super) fn write_values(&mut self, user: usize, values: &mut [f32]) {
        self.gather(user);
        self.plan.finish.write(self.instructions, &self.held, &self.user(user, &[]), values);
    }

    /// The value of a program of the plan for the user whom [`Scan::gather`] has gathered, in f64; NaN if missing.
    pub(crate) fn value(&self, program: &Program, user: usize, externals: &[f64]) -> f64 {
        let leaves = self.user(user, externals);
        program.eval(&|leaf| leaves.readings[leaf].value(&self.held, &leaves))
    }

    /// The value of a leaf of the plan that is read, for the user whom [`Scan::gather`] has gathered; NaN if missing.
    pub(super) fn leaf(&self, leaf: usize, user: usize) -> f64 {
        let leaves = self.user(user, &[]);
        leaves.readings[leaf].value(&self.held, &leaves)
    }

    /// Moves to another `as_of`, all history before it.
    pub fn move_to(&mut self, as_of_us: i64) {
        self.windows.move_to(&self.plan.layout.windows_us, Period::before(as_of_us));
    }

    /// Walks a user's events, so that [`Scan::value`] can be asked.
    pub(crate) fn gather(&mut self, user: usize) {
        if self.user == u32::MAX {
            self.sets.iter_mut().for_each(DistinctSet::reset);
            self.user = 0;
        }
        self.user += 1;
        self.walk(user);
    }

    /// What the leaves of a user are read from.
    fn user<'u>(&'u self, user: usize, externals: &'u [f64]) -> User<'u> {
        let Self { plan, log, .. } = self;
        User { readings: &plan.layout.readings, log, profile_row: log.profile_row(user), externals }
    }

    /// Leaves in the cells what every window holds.
    fn walk(&mut self, user: usize) {
        self.states.copy_from_slice(&self.plan.initial);
        self.held.counts.copy_from_slice(&self.plan.layout.counts_of_none);
        self.held.numbers.copy_from_slice(&self.plan.layout.numbers_of_none);
        self.extents.reset();
        if self.windows.count() == 0 {
            return;
        }
        let rows = self.log.rows(user);
        let within = self.windows.within(&self.log.time_us()[rows.clone()]);
        let (first, mut end) = (rows.start + within.start, rows.start + within.end);
        let mut before = None;
        while end > first {
            let start = end.saturating_sub(CHUNK_EVENTS).max(first);
            self.take_chunk(start..end, before);
            before = Some(end - start);
            end = start;
        }
        let cells = &mut self.held.numbers[self.plan.layout.extents.1..];
        self.extents.write(self.instructions, self.windows.end_us(), cells);
    }

    /// Takes the events of these rows; `before` is how many the user's chunk before had, if there was one.
    fn take_chunk(&mut self, rows: Range<usize>, before: Option<usize>) {
        let Self { plan, log, columns, instructions, windows, sets, user, states, extents, held, scratch, .. } = self;
        let Scratch { chunk, buckets, counts, passed, held_of_list, numbers, trails } = scratch;
        let layout = &plan.layout;
        chunk.fill(&layout.wanted, *instructions, log, columns, rows.clone(), windows.end_us());
        windows.enter(*instructions, chunk.times_us(), before);
        for lanes in &layout.counts {
            lanes.add(*instructions, chunk.classes(lanes.key), windows, counts, &mut held.counts);
        }
        for lanes in &layout.decays {
            lanes.add(*instructions, chunk.classes(lanes.key), chunk.weights(lanes.half_life), &mut held.numbers);
        }
        if layout.lists.iter().any(|list| matches!(list.source, Source::Bucket(_))) {
            buckets.fill(&layout.bucket_of_type, chunk.types());
        }
        let mut states = states.iter_mut();
        for list in &layout.lists {
            let places = buckets.list(list.source, list.member.as_ref(), chunk, passed);
            let mut states = states.by_ref().take(list.ops.len());
            // What is not changed need not be read again.
            if places.is_empty() {
                states.for_each(drop);
                continue;
            }
            if let Some(lane) = list.extent {
                extents.take(lane, places, chunk.times_us());
            }
            if list.is_windowed {
                windows.held_of(*instructions, places, held_of_list);
            }
            held_of_list[windows.count() - 1] = places.len() as u16;
            let taken = Taken {
                chunk,
                places,
                end_row: rows.end,
                open: windows.open(),
                held: &held_of_list[..windows.count()],
                end_us: windows.end_us(),
                user: *user,
            };
            let mut gathered = None;
            for (op, state) in list.ops.iter().zip(&mut states) {
                if op.kind.takes_numbers() && gathered != Some(op.column) {
                    gather_numbers(columns[op.column], places, rows.end, numbers);
                    gathered = Some(op.column);
                }
                let distinct = if op.kind == OpKind::Distinct { sets.get_mut(op.set) } else { None };
                let distinct = distinct.zip(columns.get(op.column).copied());
                state.take(op, &taken, numbers, distinct, trails, held);
            }
        }
    }
}

/// Writes the numbers that events have in a column; the places are counted down from the row before `end_row`.
fn gather_numbers(cells: &Cells, places: &[u8], end_row: usize, numbers: &mut Vec<f64>) {
    numbers.clear();
    with_cells!(cells, values => {
        numbers.extend(places.iter().map(|&place| values[end_row - 1 - usize::from(place)].number()));
    });
}

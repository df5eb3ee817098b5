//! Selections side by side: each event adds a whole row, in which the selections that it is not in have 0.

use super::chunk::room;
use super::instructions::Instructions;
use super::keys::Member;
use super::windows::Windows;

/// Selections that are counted together: one vector of the widest kind.
pub(super) const COUNT_LANES: usize = 16;
/// Selections whose decayed counts are added up together.
pub(super) const DECAY_LANES: usize = 4;

/// Counts of events in each window.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) key: usize,
    /// For each class of the key, 1 for the selections that take it.
    rows: Vec<[u32; COUNT_LANES]>,
    /// The first of the cells, which are a row a window.
    pub(super) at: usize,
}

/// Decayed counts of one half-life, over all events.
#[derive(Debug)]
pub(super) struct Decays {
    pub(super) key: usize,
    pub(super) half_life: usize,
    /// For each class of the key, all bits for the selections that take it.
    rows: Vec<[u64; DECAY_LANES]>,
    /// The first of the cells, one a selection.
    pub(super) at: usize,
}

/// A row a class: `one` where the selection takes it, else 0.
fn rows<T: Copy + Default, const LANES: usize>(members: &[&Member], one: T) -> Vec<[T; LANES]> {
    let classes = members.first().map_or(0, |member| member.takes.len());
    let lane = |class: usize, lane: usize| members.get(lane).is_some_and(|member| member.takes[class]);
    let row = |class| std::array::from_fn(|place| if lane(class, place) { one } else { T::default() });
    (0..classes).map(row).collect()
}

impl Counts {
    /// Counts of at most [`COUNT_LANES`] selections that one key tells.
    pub(super) fn new(key: usize, members: &[&Member], at: usize) -> Self {
        Self { key, rows: rows(members, 1), at }
    }

    /// Adds the events of a chunk; `after` is room for what the counts are after each of them.
    pub(super) fn add(
        &self,
        instructions: Instructions,
        classes: &[u32],
        windows: &Windows,
        after: &mut Vec<[u32; COUNT_LANES]>,
        cells: &mut [u32],
    ) {
        let (cells, _) = cells[self.at..].as_chunks_mut::<COUNT_LANES>();
        let cells = &mut cells[..windows.count()];
        // The longest window holds every event so far.
        let Some(&(mut counts)) = cells.last() else { return };
        let after = room(after, classes.len() + 1);
        after[0] = counts;
        instructions.add_counts(&self.rows, classes, &mut counts, &mut after[1..]);
        for (cells, &held) in cells.iter_mut().zip(windows.held()).skip(windows.open()) {
            *cells = after[usize::from(held)];
        }
    }
}

/// Adds the row of each event's class to counts, newest first, and remembers what they are after each.
#[inline(always)]
pub(super) fn add_counts(
    rows: &[[u32; COUNT_LANES]],
    classes: &[u32],
    counts: &mut [u32; COUNT_LANES],
    after: &mut [[u32; COUNT_LANES]],
) {
    let mut sums = *counts;
    for (&class, after) in classes.iter().zip(after) {
        for (sum, taken) in sums.iter_mut().zip(&rows[class as usize]) {
            *sum += taken;
        }
        *after = sums;
    }
    *counts = sums;
}

impl Decays {
    /// Decayed counts of at most [`DECAY_LANES`] selections that one key tells.
    pub(super) fn new(key: usize, half_life: usize, members: &[&Member], at: usize) -> Self {
        Self { key, half_life, rows: rows(members, u64::MAX), at }
    }

    /// Adds the events of a chunk, each with its weight.
    pub(super) fn add(&self, instructions: Instructions, classes: &[u32], weights: &[f64], cells: &mut [f64]) {
        if let Some(sums) = cells[self.at..].first_chunk_mut() {
            instructions.add_decays(&self.rows, classes, weights, sums);
        }
    }
}

/// Adds each event's weight to the sums that its class has bits for, newest first. Adding 0 changes no bit of a sum that
/// is not −0, and it never is.
#[inline(always)]
pub(super) fn add_decays(rows: &[[u64; DECAY_LANES]], classes: &[u32], weights: &[f64], sums: &mut [f64; DECAY_LANES]) {
    let mut running = *sums;
    for (&class, weight) in classes.iter().zip(weights) {
        for (sum, taken) in running.iter_mut().zip(&rows[class as usize]) {
            *sum += f64::from_bits(weight.to_bits() & taken);
        }
    }
    *sums = running;
}

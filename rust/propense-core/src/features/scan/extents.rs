//! Functions of the newest and the oldest event over the longest window, of many selections side by side.

use super::instructions::Instructions;
use crate::expr::Function;

/// Selections are worked out in whole groups of this many.
const LANES: usize = 8;

/// The first and the last event of selections, one a lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Extents {
    counts: Vec<u32>,
    newest_us: Vec<i64>,
    oldest_us: Vec<i64>,
}

impl Extents {
    /// For how many lanes there is room if so many are used.
    pub(super) fn lanes(used: usize) -> usize {
        used.next_multiple_of(LANES)
    }

    /// Which of the cells of [`Self::write`] holds a function of a lane.
    pub(super) fn cell(lanes: usize, lane: usize, function: Function) -> usize {
        match function {
            Function::Recency => lane,
            Function::Tenure => lanes + lane,
            _ => 2 * lanes + lane,
        }
    }

    pub(super) fn new(lanes: usize) -> Self {
        Self { counts: vec![0; lanes], newest_us: vec![0; lanes], oldest_us: vec![0; lanes] }
    }

    /// Forgets the last user.
    pub(super) fn reset(&mut self) {
        self.counts.fill(0);
    }

    /// Takes those events of a chunk that are in a selection: their places, and the times of all.
    pub(super) fn take(&mut self, lane: usize, places: &[u8], times_us: &[i64]) {
        let (Some(&newest), Some(&oldest)) = (places.first(), places.last()) else { return };
        if self.counts[lane] == 0 {
            self.newest_us[lane] = times_us[usize::from(newest)];
        }
        self.oldest_us[lane] = times_us[usize::from(oldest)];
        self.counts[lane] += places.len() as u32;
    }

    /// Writes the functions of all lanes: three cells a lane, those of a function together.
    pub(super) fn write(&self, instructions: Instructions, end_us: i64, cells: &mut [f64]) {
        let Self { counts, newest_us, oldest_us } = self;
        instructions.write_extents(counts, newest_us, oldest_us, end_us, &mut cells[..3 * counts.len()]);
    }
}

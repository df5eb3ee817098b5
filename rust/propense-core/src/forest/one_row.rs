//! The forest for one row: all tests of all trees at once, wherever they stand.
//!
//! A tile of 64 rows is more than one row is worth, and a walk from root to leaf waits at every step. Here the row's bins
//! are one table of bytes that stays in registers, and 64 tests are a lookup in it and one comparison. As in
//! [`super::program`], a plane has a bit for each of eight leaves of a tree, tests that send the row to the right clear
//! the leaves on their left, in any order, and the lowest bit left in a tree's planes is the row's leaf; but 64 planes,
//! of many trees, lie side by side where a tile has 64 rows of one plane.

use super::bins::Cut;
use super::isa::RowInstructions;
use super::program::{Index, Line, Program};

/// Columns of bins, at most: two tables of 256 bytes fill eight registers.
pub(super) const MAX_COLUMNS: usize = 512;
/// Bytes of a line: the planes that are worked off side by side, with a test each.
pub(super) const LINE: usize = 64;
/// Lines of a team, within which planes are in whatever order has the fewest rounds.
pub(super) const TEAM_LINES: usize = 4;
pub(super) const TEAM_PLANES: usize = TEAM_LINES * LINE;

pub(super) const NOTHING: Line = Line([0; LINE]);

/// Boundaries in one vector, ascending; those that are missing are above every number.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Sixteen(pub(super) [i32; 16]);

/// Where the bin of a feature, or of a part of its boundaries, comes from and goes to.
#[derive(Debug)]
pub(super) struct Ranked {
    pub(super) feature: u32,
    /// The line with the last boundary of each of the lines that follow it.
    pub(super) first: usize,
    /// The columns in which a missing value has bin 0 and `most`.
    pub(super) missing_low: u16,
    pub(super) missing_high: u16,
    pub(super) most: u8,
}

/// A test for each of the planes of a line; one that clears nothing where a plane has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tests {
    /// Each test's column within its table.
    pub(super) columns: Line,
    pub(super) ranks: Line,
    /// The leaves that a test clears.
    pub(super) clears: Line,
    /// The tests whose column is in the second table.
    pub(super) second: u64,
    /// The tests that clear leaves if the bin is below the rank; the others do if it is at least that.
    pub(super) below: u64,
}

/// Planes of a few blocks of the program.
#[derive(Debug)]
pub(super) struct Team {
    /// How many of the tests are each line's.
    pub(super) rounds: [usize; TEAM_LINES],
    /// For each plane, in the order of the program, its place in the lines.
    pub(super) places: [Line; TEAM_LINES],
}

/// The forest in this form.
#[derive(Debug)]
pub(super) struct OneRow {
    pub(super) ranked: Vec<Ranked>,
    pub(super) bounds: Vec<Sixteen>,
    pub(super) tests: Vec<Tests>,
    pub(super) teams: Vec<Team>,
    /// Whether a column is in the second table.
    pub(super) has_second: bool,
    /// The first plane of each block of the program, counted over all teams.
    pub(super) firsts: Vec<usize>,
    pub(super) instructions: RowInstructions,
}

/// The bins of a row by column, and room for those that nobody reads.
#[derive(Debug)]
pub(super) struct RowBins(pub(super) [Line; MAX_COLUMNS / LINE + 1]);

impl RowBins {
    fn bin(&self, column: u32) -> u8 {
        self.0[column as usize / LINE].0[column as usize % LINE]
    }

    #[inline]
    pub(super) fn set(&mut self, column: u16, bin: u8) {
        self.0[usize::from(column) / LINE].0[usize::from(column) % LINE] = bin;
    }
}

/// What a row needs room for.
#[derive(Debug)]
pub(super) struct RowScratch {
    bins: RowBins,
    planes: Vec<[u8; LINE]>,
    totals: Vec<f64>,
}

impl Default for RowScratch {
    fn default() -> Self {
        Self { bins: RowBins([NOTHING; MAX_COLUMNS / LINE + 1]), planes: Vec::new(), totals: Vec::new() }
    }
}

impl OneRow {
    /// The sums of a row's leaf values, one an output; the program is the one that this was made of.
    pub(super) fn run<'s>(&self, program: &Program, row: &[f32], scratch: &'s mut RowScratch) -> &'s [f64] {
        let RowScratch { bins, planes, totals } = scratch;
        let lines = self.teams.len() * TEAM_LINES;
        // One more, so that eight bytes can be read from any plane on.
        if planes.len() <= lines {
            planes.resize(lines + 1, [0; LINE]);
        }
        self.instructions.planes(self, row, bins, &mut planes[..lines]);
        self.clear_sets(program, bins, planes);
        totals.clear();
        if program.outputs == 1 {
            let mut total = 0.0;
            self.for_each_value(program, bins, planes, |_, value| total += value);
            totals.push(total);
        } else {
            totals.resize(program.outputs, 0.0);
            self.for_each_value(program, bins, planes, |output, value| totals[output] += value);
        }
        totals
    }

    fn clear_sets(&self, program: &Program, bins: &RowBins, planes: &mut [[u8; LINE]]) {
        for (block, first) in program.blocks.iter().zip(&self.firsts) {
            for entry in &block.sets {
                let is_in = entry.set.holds(bins.bin(entry.set.column));
                let plane = first + entry.plane;
                planes[plane / LINE][plane % LINE] &= if is_in { entry.if_in } else { entry.if_out };
            }
        }
    }

    /// What the row's leaves add to outputs, in the order of the trees.
    #[inline]
    fn for_each_value(
        &self,
        program: &Program,
        bins: &RowBins,
        planes: &[[u8; LINE]],
        mut add: impl FnMut(usize, f64),
    ) {
        let planes = planes.as_flattened();
        for (block, &first_of_block) in program.blocks.iter().zip(&self.firsts) {
            for step in &block.trees {
                let leaf = match step.index {
                    Index::Planes { first, .. } => lowest(&planes[first_of_block + first..]),
                    Index::Levels { first, count } => answers(&block.levels[first..first + count], bins),
                };
                for table in &program.tables[step.tables.0..step.tables.0 + step.tables.1] {
                    add(table.output, f64::from(program.values[table.first + leaf]));
                }
            }
        }
    }
}

/// The number of the lowest bit.
#[inline]
fn lowest(planes: &[u8]) -> usize {
    let mut before = 0;
    for eight in planes.chunks(8) {
        let bits = eight.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        if bits != 0 {
            return before + bits.trailing_zeros() as usize;
        }
        before += 64;
    }
    before
}

/// The number that the answers of a tree's levels make.
fn answers(levels: &[Cut], bins: &RowBins) -> usize {
    let bit = |(level, cut): (usize, &Cut)| usize::from(bins.bin(cut.column) >= cut.rank) << level;
    levels.iter().enumerate().map(bit).sum()
}

//! The tile engine: 64 rows through bins, trees and sums.

use super::isa::Detected;
use super::program::{Line, Program, TILE, Totals};
use super::search_tree::SearchTrees;

/// A program with the instructions to run it.
#[derive(Debug)]
pub(super) struct Tiles {
    pub(super) program: Program,
    pub(super) isa: Detected,
    trees: SearchTrees,
}

/// What a tile needs room for; it grows to the largest forest that used it.
#[derive(Debug, Default)]
pub(super) struct TileScratch {
    columns: Vec<Line>,
    planes: Vec<Line>,
    totals: Vec<Totals>,
}

impl Tiles {
    pub(super) fn new(program: Program, isa: Detected) -> Tiles {
        let trees = SearchTrees::of(&program.bins);
        Tiles { program, isa, trees }
    }

    /// The sums of 1 to 64 rows of `width` values, one line of 64 an output.
    pub(super) fn run<'a>(&self, rows: &[f32], width: usize, scratch: &'a mut TileScratch) -> &'a [Totals] {
        let TileScratch { columns, planes, totals } = scratch;
        grow(columns, self.program.bins.columns as usize);
        grow(planes, self.program.planes);
        self.isa.bin(&self.program.bins, &self.trees, rows, width, columns);
        totals.clear();
        totals.resize(self.program.outputs, Totals([0.0; TILE]));
        self.isa.add_trees(&self.program, columns, planes, totals);
        totals
    }
}

fn grow(lines: &mut Vec<Line>, count: usize) {
    if lines.len() < count {
        lines.resize(count, Line([0; TILE]));
    }
}

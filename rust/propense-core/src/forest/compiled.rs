//! A forest that has been checked and made ready to score.

use std::cell::RefCell;

use super::check::{check, depth};
use super::engine::Engine;
use super::ensemble::{Aggregate, Ensemble};
use super::error::ForestError;
use super::graph::{self, Graph, Vertex};
use super::isa::{Detected, Isa};
use super::one_row::{OneRow, RowScratch};
use super::program::{self, TILE};
use super::rule::number;
use super::tiles::{TileScratch, Tiles};
use super::tree::MAX_LEAVES;
use super::walk::{Walk, WalkScratch};
use super::walk_nodes::lay_out;

/// Rows left over from whole tiles, at most, that are walked rather than given a tile of their own: about as many as
/// can be walked in the time of a tile, as measured with 300 trees of 31 leaves.
const FEW_ROWS: [(Isa, usize); 3] = [(Isa::Avx512, 6), (Isa::Avx2, 20), (Isa::Portable, 20)];
/// The same where all tests of a row can be asked at once.
const ROWS_ONE_BY_ONE: usize = 14;

/// An ensemble of trees, ready to score rows.
#[derive(Debug)]
pub struct Forest {
    width: usize,
    outputs: usize,
    trees: usize,
    depth: usize,
    aggregate: Aggregate,
    base_values: Vec<f32>,
    reads: Vec<bool>,
    steps: Vec<Vec<f32>>,
    walk: Walk,
    tiles: Option<Tiles>,
    one_row: Option<OneRow>,
    engine: Engine,
    few_rows: usize,
}

/// What the engines need room for.
#[derive(Default)]
struct Scratch {
    tile: TileScratch,
    row: RowScratch,
    walk: WalkScratch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Forest {
    /// Checks an ensemble and makes it ready, with the engine that suits its trees and this machine.
    ///
    /// # Errors
    /// The ensemble is too large, refers to what is not there, has a cycle, compares with NaN, or adds what is not
    /// finite.
    pub fn compile(ensemble: &Ensemble) -> Result<Forest, ForestError> {
        let order = check(ensemble)?;
        let depth = depth(ensemble, &order);
        let graph = graph::build(ensemble, &order);
        drop(order);
        let nodes = lay_out(&graph);
        let mut reads = vec![false; ensemble.width];
        for &feature in &nodes.features {
            reads[feature as usize] = true;
        }
        let steps = steps(&graph, ensemble.width);
        let isa = Detected::best();
        let (tiles, one_row) = tiles(ensemble, &graph, isa).unzip();
        let one_row = one_row.flatten();
        let walk = Walk::new(nodes, &ensemble.weights, ensemble.aggregate, ensemble.outputs);
        let engine = if tiles.is_some() { Engine::Tiles(isa.isa()) } else { Engine::Walk };
        Ok(Forest {
            width: ensemble.width,
            outputs: ensemble.outputs,
            trees: ensemble.roots.len(),
            depth,
            aggregate: ensemble.aggregate,
            base_values: ensemble.base_values.clone(),
            reads,
            steps,
            walk,
            tiles,
            engine,
            few_rows: match one_row {
                Some(_) => ROWS_ONE_BY_ONE,
                None => FEW_ROWS.iter().find(|few| few.0 == isa.isa()).map_or(0, |few| few.1),
            },
            one_row,
        })
    }

    /// Features in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Values that a row gets.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether any tree reads a feature, for each of the row's.
    #[must_use]
    pub fn reads(&self) -> &[bool] {
        &self.reads
    }

    /// For each feature, ascending, the numbers that tests distinguish: a test changes its answer only between a number
    /// below one of them and one that is it or above. NaN is a matter of its own.
    #[must_use]
    pub fn steps(&self) -> &[Vec<f32>] {
        &self.steps
    }

    /// The most tests that a row can meet in one tree.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What it runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Why it runs on that, in words.
    #[must_use]
    pub fn why(&self) -> String {
        match (&self.tiles, self.aggregate) {
            (Some(tiles), _) => format!(
                "{} {} of up to {} leaves, {} of them with one question a level; up to {} rows at a time are {}",
                self.trees,
                if self.trees == 1 { "tree" } else { "trees" },
                tiles.program.most_leaves,
                tiles.program.oblivious_trees,
                self.few_rows,
                if self.one_row.is_some() { "scored one by one" } else { "walked" }
            ),
            (None, Aggregate::Min | Aggregate::Max) => "the least or greatest of trees is not a sum".to_owned(),
            (None, _) => format!("some of {} trees have more than {MAX_LEAVES} leaves or too many values", self.trees),
        }
    }

    /// The engines that can run it here, the chosen one among them.
    #[must_use]
    pub fn engines(&self) -> Vec<Engine> {
        let isas = if self.tiles.is_some() { Isa::available() } else { Vec::new() };
        let one_row = self.one_row.as_ref().map(|_| Engine::OneRow);
        isas.into_iter().map(Engine::Tiles).chain(one_row).chain([Engine::Walk]).collect()
    }

    /// Runs all rows on one of [`Forest::engines`] from now on, to measure or to test it.
    ///
    /// Returns whether that engine can run it.
    pub fn run_on(&mut self, engine: Engine) -> bool {
        if let Engine::Tiles(isa) = engine {
            let (Some(tiles), Some(isa)) = (&mut self.tiles, Detected::new(isa)) else { return false };
            tiles.isa = isa;
        }
        if engine == Engine::OneRow && self.one_row.is_none() {
            return false;
        }
        (self.engine, self.few_rows) = (engine, 0);
        true
    }

    /// Scores rows: the same bits for any number of them, on any engine.
    ///
    /// `rows` holds `width` f32 a row, row after row; `scores` gets `outputs` f32 a row. NaN is missing.
    ///
    /// # Panics
    /// The lengths are not those of the same number of rows.
    pub fn score(&self, rows: &[f32], scores: &mut [f32]) {
        let count = scores.len() / self.outputs;
        assert!(
            scores.len() == count * self.outputs && rows.len() == count * self.width,
            "{} values of {} features a row do not fit {} scores of {} outputs a row",
            rows.len(),
            self.width,
            scores.len(),
            self.outputs
        );
        SCRATCH.with_borrow_mut(|scratch| match (&self.tiles, self.engine) {
            (Some(tiles), Engine::Tiles(_)) => {
                let tiles_of_scores = scores.chunks_mut(TILE * self.outputs);
                for (rows, scores) in rows.chunks(TILE * self.width).zip(tiles_of_scores) {
                    if rows.len() <= self.few_rows * self.width {
                        self.score_few(tiles, rows, scores, scratch);
                    } else {
                        self.score_tile(tiles, rows, scores, &mut scratch.tile);
                    }
                }
            }
            (Some(tiles), Engine::OneRow) => self.score_few(tiles, rows, scores, scratch),
            _ => self.score_by_walk(rows, scores, &mut scratch.walk),
        });
    }

    /// Rows that are too few for a tile.
    fn score_few(&self, tiles: &Tiles, rows: &[f32], scores: &mut [f32], scratch: &mut Scratch) {
        let Some(one_row) = &self.one_row else { return self.score_by_walk(rows, scores, &mut scratch.walk) };
        for (row, scores) in rows.chunks_exact(self.width).zip(scores.chunks_exact_mut(self.outputs)) {
            let totals = one_row.run(&tiles.program, row, &mut scratch.row);
            for (output, (score, &total)) in scores.iter_mut().zip(totals).enumerate() {
                *score = self.finish(total, output);
            }
        }
    }

    fn score_tile(&self, tiles: &Tiles, rows: &[f32], scores: &mut [f32], scratch: &mut TileScratch) {
        let totals = tiles.run(rows, self.width, scratch);
        for (row, scores) in scores.chunks_exact_mut(self.outputs).enumerate() {
            for (output, (score, totals)) in scores.iter_mut().zip(totals).enumerate() {
                *score = self.finish(totals.0[row], output);
            }
        }
    }

    fn score_by_walk(&self, rows: &[f32], scores: &mut [f32], scratch: &mut WalkScratch) {
        self.walk.run(rows, self.width, scratch, |row, totals| {
            let scores = &mut scores[row * self.outputs..(row + 1) * self.outputs];
            for (output, (score, &total)) in scores.iter_mut().zip(totals).enumerate() {
                *score = self.finish(total, output);
            }
        });
    }

    /// The score from the aggregate of the trees; an infinite one is of no tree at all.
    fn finish(&self, total: f64, output: usize) -> f32 {
        let total = match self.aggregate {
            Aggregate::Average => total / self.trees as f64,
            Aggregate::Min | Aggregate::Max if total.is_infinite() => 0.0,
            Aggregate::Sum | Aggregate::Min | Aggregate::Max => total,
        };
        (total + self.base_values.get(output).map_or(0.0, |&base| f64::from(base))) as f32
    }
}

/// For each feature, ascending, the least number of each step of a rule.
fn steps(graph: &Graph, width: usize) -> Vec<Vec<f32>> {
    let mut keys: Vec<Vec<i32>> = vec![Vec::new(); width];
    for vertex in &graph.vertices {
        if let Vertex::Split { feature, rule, .. } = vertex {
            keys[*feature as usize].extend(&rule.flips);
        }
    }
    let ascending = |mut keys: Vec<i32>| {
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(number).collect()
    };
    keys.into_iter().map(ascending).collect()
}

/// The tile engine, if it can run the trees, and the one for single rows, if that can.
fn tiles(ensemble: &Ensemble, graph: &Graph, isa: Detected) -> Option<(Tiles, Option<OneRow>)> {
    if matches!(ensemble.aggregate, Aggregate::Min | Aggregate::Max) {
        return None;
    }
    let program = program::compile(ensemble, graph)?;
    let one_row = OneRow::of(&program);
    Some((Tiles::new(program, isa), one_row))
}

//! Exact contributions of features to the sum of a forest: path-dependent `TreeSHAP` (Lundberg et al., 2020).
//!
//! The game is the one of `LightGBM`'s `pred_contrib` and of shap's `tree_path_dependent`: a split on a feature that is
//! not known sends a row to both sides, by the training rows that went there (the *covers*). How the Shapley values
//! are found in one way up and down a tree for each of a few points is said in [`paths`].

mod error;
pub(super) mod lanes;
pub(super) mod paths;
mod quadrature;
pub(super) mod sixteen;

use std::cell::RefCell;

pub use error::ExplainError;
pub use paths::MAX_PATH_FEATURES;

use super::bins::Bins;
use super::check::check;
use super::ensemble::{Aggregate, Ensemble};
use super::graph::{self, Graph, Vertex};
use super::isa::{Detected, Isa};
use super::program::{Line, TILE};
use super::search_tree::SearchTrees;
use lanes::{BESIDE, Room, Sums};
use paths::{PathTree, path_tree};

/// Tiles whose sums are kept at a time, so that a tree's numbers are read once for all their rows.
const TILES: usize = 4;
/// How far a cover may be from the sum of those below it, as a share: covers are rounded to f32.
const ROUNDING: f64 = 1e-5;

/// A forest made ready to say what each feature contributed to a row's sum.
#[derive(Debug)]
pub struct Explainer {
    width: usize,
    base: f64,
    scale: f64,
    /// The features that some tree reads, ascending.
    reads: Vec<u32>,
    bins: Bins,
    search: SearchTrees,
    trees: Vec<PathTree>,
    isa: Detected,
}

/// What explaining needs room for; it grows to the largest forest that used it.
#[derive(Default)]
struct Scratch {
    columns: Vec<Line>,
    room: Room,
    sums: Vec<Sums>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Explainer {
    /// Makes an ensemble of one output ready, given the number of training rows that came by each node.
    ///
    /// `covers` has one number a node, above 0, and a branch has as many rows as the leaves below it.
    ///
    /// # Errors
    /// The ensemble is not sound, is no sum or average of trees with one output, or the covers do not fit it.
    pub fn compile(ensemble: &Ensemble, covers: &[f32]) -> Result<Explainer, ExplainError> {
        let order = check(ensemble)?;
        if ensemble.outputs != 1 || !matches!(ensemble.aggregate, Aggregate::Sum | Aggregate::Average) {
            return Err(ExplainError::NotOneSum);
        }
        if covers.len() != ensemble.nodes.len() {
            return Err(ExplainError::Count { covers: covers.len(), nodes: ensemble.nodes.len() });
        }
        let graph = graph::build(ensemble, &order);
        let rows = rows_of(&graph, covers, &order)?;
        let rules = graph.vertices.iter().filter_map(|vertex| match vertex {
            Vertex::Split { feature, rule, .. } => Some((*feature, rule)),
            Vertex::Leaf { .. } => None,
        });
        let mut bins = Bins::of(rules).ok_or(ExplainError::Categories)?;
        let mut reads: Vec<u32> = bins.groups.iter().map(|group| group.feature).collect();
        reads.dedup();
        let mut slots = vec![0; ensemble.width];
        for (slot, &feature) in reads.iter().enumerate() {
            slots[feature as usize] = slot as u32;
        }
        let trees = (0..graph.roots.len()).map(|tree| path_tree((ensemble, &graph), tree, &rows, &mut bins, &slots));
        let trees: Vec<PathTree> = trees.collect::<Result<_, _>>()?;
        let scale = match ensemble.aggregate {
            Aggregate::Average => 1.0 / trees.len() as f64,
            _ => 1.0,
        };
        let sum: f64 = trees.iter().map(|tree| tree.mean).sum();
        Ok(Explainer {
            width: ensemble.width,
            base: scale * sum + ensemble.base_values.first().map_or(0.0, |&base| f64::from(base)),
            scale,
            reads,
            search: SearchTrees::of(&bins),
            bins,
            trees,
            isa: Detected::best(),
        })
    }

    /// Features in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// What a row gets of which nothing is known: the mean over the training rows, by the covers.
    #[must_use]
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The features that some tree reads, ascending; the others contribute nothing.
    #[must_use]
    pub fn reads(&self) -> &[u32] {
        &self.reads
    }

    /// Has it run on a set of instructions instead of the best; says whether this machine has it. All give the same bits.
    pub fn run_on(&mut self, isa: Isa) -> bool {
        let detected = Detected::new(isa);
        self.isa = detected.unwrap_or(self.isa);
        detected.is_some()
    }

    /// Contributions of the features of rows: with the base they add up to the forest's sum.
    ///
    /// `rows` and `contributions` hold `width` f32 a row, row after row; NaN is missing. A row has the same bits in
    /// any company.
    ///
    /// # Panics
    /// The two are of different lengths, or not of whole rows.
    pub fn explain(&self, rows: &[f32], contributions: &mut [f32]) {
        assert!(
            rows.len() == contributions.len() && rows.len().is_multiple_of(self.width),
            "{} values of {} features a row do not fit {} contributions",
            rows.len(),
            self.width,
            contributions.len()
        );
        let block = TILES * TILE * self.width;
        SCRATCH.with_borrow_mut(|scratch| {
            for (rows, contributions) in rows.chunks(block).zip(contributions.chunks_mut(block)) {
                self.explain_block(rows, contributions, scratch);
            }
        });
    }

    fn explain_block(&self, rows: &[f32], contributions: &mut [f32], scratch: &mut Scratch) {
        let Scratch { columns, room, sums } = scratch;
        let count = rows.len() / self.width;
        let per_tile = self.bins.columns as usize;
        grow(columns, TILES * per_tile, Line([0; TILE]));
        for (rows, columns) in rows.chunks(TILE * self.width).zip(columns.chunks_mut(per_tile.max(1))) {
            self.isa.bin(&self.bins, &self.search, rows, self.width, columns);
        }
        sums.clear();
        sums.resize(count.div_ceil(16 * BESIDE) * BESIDE * self.reads.len(), Sums([0.0; 16]));
        for tree in self.trees.iter().filter(|tree| !tree.splits.is_empty()) {
            room.grow(tree);
            let tiles = columns.chunks(per_tile).zip(sums.chunks_mut(TILE / 16 * self.reads.len()));
            for (columns, sums) in tiles {
                self.isa.explain(tree, columns, room, self.reads.len(), sums);
            }
        }
        contributions.fill(0.0);
        for (row, contributions) in contributions.chunks_exact_mut(self.width).enumerate() {
            let sums = &sums[row / 16 * self.reads.len()..];
            for (&feature, sum) in self.reads.iter().zip(sums) {
                contributions[feature as usize] = (self.scale * sum.0[row % 16]) as f32;
            }
        }
    }
}

/// The training rows of each vertex: of a leaf its cover, of a split those of the leaves below it.
fn rows_of(graph: &Graph, covers: &[f32], order: &[u32]) -> Result<Vec<f64>, ExplainError> {
    let mut rows = vec![0.0; graph.vertices.len()];
    let mut parents = vec![0_u32; graph.vertices.len()];
    // Children come before their parents in both lists.
    for &node in order {
        let vertex = graph.places[node as usize] as usize;
        if matches!(graph.vertices[vertex], Vertex::Leaf { .. }) && rows[vertex] == 0.0 {
            rows[vertex] = f64::from(covers[node as usize]);
        }
    }
    for (vertex, kind) in graph.vertices.iter().enumerate() {
        if let Vertex::Split { on_true, on_false, .. } = *kind {
            rows[vertex] = rows[on_true as usize] + rows[on_false as usize];
        }
    }
    for &node in order {
        let (node, below) = (node as usize, rows[graph.places[node as usize] as usize]);
        let cover = covers[node];
        let fits = cover > 0.0 && (f64::from(cover) - below).abs() <= ROUNDING * below;
        if !fits {
            return Err(ExplainError::Cover { node, cover, below });
        }
    }
    for (tree, &root) in graph.roots.iter().enumerate() {
        let mut stack = vec![root];
        while let Some(vertex) = stack.pop() {
            parents[vertex as usize] += 1;
            if parents[vertex as usize] > 1 {
                return Err(ExplainError::Shared { tree });
            }
            if let Vertex::Split { on_true, on_false, .. } = graph.vertices[vertex as usize] {
                stack.extend([on_true, on_false]);
            }
        }
    }
    Ok(rows)
}

fn grow<T: Copy>(room: &mut Vec<T>, count: usize, empty: T) {
    if room.len() < count {
        room.resize(count, empty);
    }
}

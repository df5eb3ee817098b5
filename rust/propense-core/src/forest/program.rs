//! A forest written down for tiles of 64 rows: what each tree compares, clears and adds.
//!
//! Leaves are numbered from left to right, eight to a *plane*. For a tile, a plane is one line of 64 bytes: a bit
//! for every leaf of a row that is still possible. A row going right at a split clears the leaves on the left; when
//! all splits have been asked, in any order, the lowest bit left is the row's leaf (`QuickScorer`, Lucchese et al.,
//! 2015; `RapidScorer`, Ye et al., 2018). Planes do not depend on each other, so those with equally many splits are
//! worked off together and nothing in the loops has to be guessed by the processor.

use std::collections::HashMap;

use super::bins::{Bins, Condition, Cut, Set};
use super::ensemble::Ensemble;
use super::graph::{Graph, Vertex};
use super::oblivious;
use super::tree::{MAX_LEAVES, Split, Tree, expand};

/// Rows in a tile.
pub(super) const TILE: usize = 64;
/// Planes worked on at a time, unless one tree has more: 8 KiB.
const BLOCK_PLANES: usize = 128;
/// Trees whose leaves are looked up together.
const BLOCK_TREES: usize = 32;
/// Columns of bins, at most.
const MAX_COLUMNS: u32 = 1 << 15;
/// Leaves of all trees together, at most; shared ones count once for each way to them.
const MAX_WRITTEN: usize = 1 << 22;
/// Leaf values of all tables together, at most.
const MAX_VALUES: usize = 1 << 26;

/// One byte for each row of a tile, in one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; TILE]);

/// The running sum of one output for each row of a tile.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Totals(pub(super) [f64; TILE]);

/// One split's effect on one plane; each byte is there four times, for broadcasts that need no shuffle.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Entry {
    pub(super) column: u32,
    pub(super) rank: u32,
    /// The leaves that stay possible if the bin is at least `rank`.
    pub(super) if_high: u32,
    /// The leaves that stay possible if it is not.
    pub(super) if_low: u32,
}

/// Planes of a block with equally many entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) entries: usize,
    pub(super) planes: usize,
}

/// One set split's effect on one plane.
#[derive(Debug, Clone)]
pub(super) struct SetEntry {
    pub(super) set: Set,
    pub(super) plane: usize,
    pub(super) if_in: u8,
    pub(super) if_out: u8,
}

/// How a tree's leaf is found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Index {
    /// The lowest bit of these planes of the block.
    Planes { first: usize, count: usize },
    /// One bit for each of these cuts of the block, the first the lowest.
    Levels { first: usize, count: usize },
}

/// One tree of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct TreeStep {
    pub(super) index: Index,
    /// The first of its tables and their number.
    pub(super) tables: (usize, usize),
}

/// What each leaf of a tree adds to one output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) output: usize,
    /// Its part of the values; the length is 16, 32, 64 or 256.
    pub(super) first: usize,
    pub(super) len: usize,
}

/// Trees worked on together.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Splits by run, plane and place; the runs' planes follow each other.
    pub(super) runs: Vec<Run>,
    pub(super) entries: Vec<Entry>,
    /// Where each plane of the runs goes.
    pub(super) targets: Vec<usize>,
    pub(super) sets: Vec<SetEntry>,
    pub(super) levels: Vec<Cut>,
    pub(super) trees: Vec<TreeStep>,
    pub(super) planes: usize,
    /// The entries of each plane, until [`Block::seal`].
    open: Vec<Vec<Entry>>,
}

/// The whole forest, for tiles.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) bins: Bins,
    pub(super) blocks: Vec<Block>,
    pub(super) tables: Vec<Table>,
    pub(super) values: Vec<f32>,
    pub(super) outputs: usize,
    /// Planes of the largest block.
    pub(super) planes: usize,
    /// Trees whose levels share their splits.
    pub(super) oblivious_trees: usize,
    pub(super) most_leaves: usize,
}

/// Writes the program; `None` if a tree has too many leaves or the tables grow too large.
pub(super) fn compile(ensemble: &Ensemble, graph: &Graph) -> Option<Program> {
    let mut written = 0;
    let trees = graph.roots.iter().map(|&root| {
        let tree = expand(graph, root)?;
        written += tree.leaves.len();
        (written <= MAX_WRITTEN).then_some(tree)
    });
    let trees: Vec<Tree> = trees.collect::<Option<_>>()?;
    let splits = trees.iter().flat_map(|tree| &tree.splits);
    let rules = splits.filter_map(|split| match &graph.vertices[split.vertex as usize] {
        Vertex::Split { feature, rule, .. } => Some((*feature, rule)),
        Vertex::Leaf { .. } => None,
    });
    let bins = Bins::of(rules)?;
    let mut program = Program {
        bins,
        blocks: vec![Block::default()],
        tables: Vec::new(),
        values: Vec::new(),
        outputs: ensemble.outputs,
        planes: 0,
        oblivious_trees: 0,
        most_leaves: trees.iter().map(|tree| tree.leaves.len()).max().unwrap_or(0),
    };
    for tree in &trees {
        program.add(ensemble, graph, tree)?;
    }
    for block in &mut program.blocks {
        block.seal();
        program.planes = program.planes.max(block.planes);
    }
    (program.bins.columns <= MAX_COLUMNS).then_some(program)
}

impl Program {
    fn add(&mut self, ensemble: &Ensemble, graph: &Graph, tree: &Tree) -> Option<()> {
        let conditions: Vec<Condition> = tree
            .splits
            .iter()
            .map(|split| match &graph.vertices[split.vertex as usize] {
                Vertex::Split { feature, rule, .. } => self.bins.condition(*feature, rule),
                Vertex::Leaf { .. } => None,
            })
            .collect::<Option<_>>()?;
        let planes = tree.leaves.len().div_ceil(8);
        let full = |block: &Block| block.trees.len() >= BLOCK_TREES || block.planes + planes > BLOCK_PLANES;
        if self.blocks.last().is_some_and(|block| !block.trees.is_empty() && full(block)) {
            self.blocks.push(Block::default());
        }
        let first_table = self.tables.len();
        let block = self.blocks.last_mut()?;
        let (index, leaves) = if let Some((cuts, order)) = oblivious::levels(tree, &conditions) {
            self.oblivious_trees += 1;
            let first = block.levels.len();
            block.levels.extend_from_slice(&cuts);
            (Index::Levels { first, count: cuts.len() }, order.iter().map(|&leaf| tree.leaves[leaf]).collect())
        } else {
            let first = block.planes;
            block.clear_leaves(&tree.splits, &conditions, planes);
            (Index::Planes { first, count: planes }, tree.leaves.clone())
        };
        self.tabulate(ensemble, graph, &leaves)?;
        let tables = (first_table, self.tables.len() - first_table);
        self.blocks.last_mut()?.trees.push(TreeStep { index, tables });
        Some(())
    }

    /// Adds a table for each output the leaves have weights for; a leaf's second weight for an output has a second
    /// table, so that all are added one by one.
    fn tabulate(&mut self, ensemble: &Ensemble, graph: &Graph, leaves: &[u32]) -> Option<()> {
        let len = [16, 32, 64, MAX_LEAVES].into_iter().find(|&len| leaves.len() <= len)?;
        let mut tables: HashMap<(u32, u32), usize> = HashMap::new();
        let mut seen: HashMap<u32, u32> = HashMap::new();
        for (leaf, &vertex) in leaves.iter().enumerate() {
            let Vertex::Leaf { first, count } = graph.vertices[vertex as usize] else { return None };
            seen.clear();
            for weight in &ensemble.weights[first as usize..first as usize + count as usize] {
                let nth = seen.entry(weight.output).and_modify(|nth| *nth += 1).or_insert(0);
                let next = self.values.len();
                let table = *tables.entry((weight.output, *nth)).or_insert(next);
                if table == next {
                    if next + len > MAX_VALUES {
                        return None;
                    }
                    // Adding −0 changes nothing, not even the sign of a zero.
                    self.values.resize(next + len, -0.0);
                    self.tables.push(Table { output: weight.output as usize, first: next, len });
                }
                self.values[table + leaf] = weight.value;
            }
        }
        Some(())
    }
}

impl Block {
    /// Adds a tree's planes and what its splits clear from them.
    fn clear_leaves(&mut self, splits: &[Split], conditions: &[Condition], planes: usize) {
        let base = self.planes;
        self.planes += planes;
        self.open.resize_with(self.planes, Vec::new);
        for (split, condition) in splits.iter().zip(conditions) {
            for plane in split.start / 8..split.middle.div_ceil(8) {
                let cleared = (split.start.max(8 * plane)..split.middle.min(8 * plane + 8))
                    .fold(0_u8, |bits, leaf| bits | 1 << (leaf % 8));
                let (if_true, if_false) = if split.true_is_left { (0xff, !cleared) } else { (!cleared, 0xff) };
                match condition {
                    Condition::Cut(cut) => {
                        let (high, low) = if cut.high_passes { (if_true, if_false) } else { (if_false, if_true) };
                        self.open[base + plane].push(Entry {
                            column: cut.column,
                            rank: u32::from_ne_bytes([cut.rank; 4]),
                            if_high: u32::from_ne_bytes([high; 4]),
                            if_low: u32::from_ne_bytes([low; 4]),
                        });
                    }
                    Condition::Set(set) => {
                        self.sets.push(SetEntry {
                            set: set.clone(),
                            plane: base + plane,
                            if_in: if_true,
                            if_out: if_false,
                        });
                    }
                }
            }
        }
    }

    /// Sorts the planes by how many entries they have.
    fn seal(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.targets = (0..open.len()).collect();
        self.targets.sort_by_key(|&plane| open[plane].len());
        for planes in self.targets.chunk_by(|&a, &b| open[a].len() == open[b].len()) {
            self.runs.push(Run { entries: open[planes[0]].len(), planes: planes.len() });
            self.entries.extend(planes.iter().flat_map(|&plane| &open[plane]));
        }
    }
}

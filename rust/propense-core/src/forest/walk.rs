//! The walking engine: several rows, or several trees of one row, go down side by side, so that none waits alone
//! for memory.

use super::ensemble::{Aggregate, Weight};
use super::rule::key;
use super::walk_nodes::{WalkNodes, ordered};
use super::walk_steps::{PackedNodes, Steps};

/// Walks that go on side by side.
const LANES: usize = 8;
/// Steps between looks at whether all walks have ended.
const STRIDE: usize = 4;
/// Rows whose keys are held at a time.
pub(super) const ROWS: usize = 64;

/// The least a row's slots may come to for [`ROWS`] rows to be held together; wider rows go by lanes.
const MANY_SLOTS: usize = 1 << 14;

/// The walking engine with what leaves add.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) nodes: WalkNodes,
    /// The nodes in half the room, if they fit.
    packed: Option<PackedNodes>,
    weights: Vec<Weight>,
    /// Each leaf's value, if all it can do is add one value to one output.
    single: Vec<f64>,
    aggregate: Aggregate,
    outputs: usize,
}

/// What a walk needs room for; it grows to the largest forest that used it.
#[derive(Debug, Default)]
pub(super) struct WalkScratch {
    keys: Vec<u32>,
    leaves: Vec<u32>,
    totals: Vec<f64>,
}

impl Walk {
    pub(super) fn new(nodes: WalkNodes, weights: &[Weight], aggregate: Aggregate, outputs: usize) -> Walk {
        let sums = outputs == 1 && matches!(aggregate, Aggregate::Sum | Aggregate::Average);
        let single = if sums && nodes.leaves.iter().all(|&(_, count)| count == 1) {
            nodes.leaves.iter().map(|&(first, _)| f64::from(weights[first as usize].value)).collect()
        } else {
            Vec::new()
        };
        let packed = PackedNodes::of(&nodes.nodes);
        Walk { nodes, packed, weights: weights.to_vec(), single, aggregate, outputs }
    }

    /// The aggregate of each row's leaves, before the number of trees and base values come in; `emit` gets the row's
    /// number and a value an output.
    pub(super) fn run(&self, rows: &[f32], width: usize, scratch: &mut WalkScratch, emit: impl FnMut(usize, &[f64])) {
        match &self.packed {
            Some(packed) => self.run_on(packed.nodes(), rows, width, scratch, emit),
            None => self.run_on(self.nodes.nodes.as_slice(), rows, width, scratch, emit),
        }
    }

    fn run_on<S: Steps + ?Sized>(
        &self,
        steps: &S,
        rows: &[f32],
        width: usize,
        scratch: &mut WalkScratch,
        mut emit: impl FnMut(usize, &[f64]),
    ) {
        let together = if self.nodes.slots() > MANY_SLOTS { LANES } else { ROWS };
        for (number, rows) in rows.chunks(together * width).enumerate() {
            let count = rows.len() / width;
            if count < LANES {
                for (row, values) in rows.chunks_exact(width).enumerate() {
                    self.run_row(steps, values, scratch);
                    emit(together * number + row, &scratch.totals);
                }
            } else {
                self.run_rows(steps, rows, width, scratch);
                for (row, totals) in scratch.totals.chunks_exact(self.outputs).enumerate() {
                    emit(together * number + row, totals);
                }
            }
        }
    }

    /// One row: trees side by side.
    fn run_row<S: Steps + ?Sized>(&self, steps: &S, row: &[f32], scratch: &mut WalkScratch) {
        let nodes = &self.nodes;
        scratch.keys.clear();
        self.push_keys(row, &mut scratch.keys);
        scratch.leaves.clear();
        scratch.leaves.resize(nodes.roots.len(), 0);
        for trees in nodes.by_depth.chunks(LANES) {
            // Lanes to spare walk the last, deepest tree again.
            let deepest = trees[trees.len() - 1] as usize;
            let mut places = [nodes.roots[deepest]; LANES];
            for (place, &tree) in places.iter_mut().zip(trees) {
                *place = nodes.roots[tree as usize];
            }
            walk(steps, &mut places, &[&scratch.keys; LANES], nodes.depths[deepest]);
            for (&tree, place) in trees.iter().zip(places) {
                scratch.leaves[tree as usize] = steps.leaf(place);
            }
        }
        scratch.totals.clear();
        scratch.totals.resize(self.outputs, self.untouched());
        if self.single.is_empty() {
            for &leaf in &scratch.leaves {
                self.add(leaf, &mut scratch.totals);
            }
        } else {
            scratch.totals[0] = scratch.leaves.iter().fold(0.0, |sum, &leaf| sum + self.single[leaf as usize]);
        }
    }

    /// Several rows: one tree at a time, so that its nodes stay near.
    fn run_rows<S: Steps + ?Sized>(&self, steps: &S, rows: &[f32], width: usize, scratch: &mut WalkScratch) {
        let (nodes, slots, count) = (&self.nodes, self.nodes.slots(), rows.len() / width);
        scratch.keys.clear();
        for row in rows.chunks_exact(width) {
            self.push_keys(row, &mut scratch.keys);
        }
        scratch.totals.clear();
        scratch.totals.resize(count * self.outputs, self.untouched());
        for (&root, &depth) in nodes.roots.iter().zip(&nodes.depths) {
            for first in (0..count).step_by(LANES) {
                // Lanes to spare walk the last row again.
                let keys = std::array::from_fn(|lane| &scratch.keys[(first + lane).min(count - 1) * slots..][..slots]);
                let mut places = [root; LANES];
                walk(steps, &mut places, &keys, depth);
                for (row, place) in (first..count).zip(places) {
                    let leaf = steps.leaf(place);
                    if self.single.is_empty() {
                        self.add(leaf, &mut scratch.totals[row * self.outputs..(row + 1) * self.outputs]);
                    } else {
                        scratch.totals[row] += self.single[leaf as usize];
                    }
                }
            }
        }
    }

    fn push_keys(&self, row: &[f32], keys: &mut Vec<u32>) {
        let first = keys.len();
        keys.resize(first + self.nodes.slots(), u32::MAX);
        for (slots, &feature) in keys[first..].chunks_exact_mut(2).zip(&self.nodes.features) {
            let x = row[feature as usize];
            let key = ordered(key(x));
            (slots[0], slots[1]) = if x.is_nan() { (0, u32::MAX) } else { (key, key) };
        }
        let never = keys.len() - 2;
        keys[never] = 0;
    }

    /// What a total is before any tree.
    fn untouched(&self) -> f64 {
        match self.aggregate {
            Aggregate::Sum | Aggregate::Average => 0.0,
            Aggregate::Min => f64::INFINITY,
            Aggregate::Max => f64::NEG_INFINITY,
        }
    }

    fn add(&self, leaf: u32, totals: &mut [f64]) {
        let (first, count) = self.nodes.leaves[leaf as usize];
        for weight in &self.weights[first as usize..first as usize + count as usize] {
            let (total, value) = (&mut totals[weight.output as usize], f64::from(weight.value));
            match self.aggregate {
                Aggregate::Sum | Aggregate::Average => *total += value,
                Aggregate::Min if value < *total => *total = value,
                Aggregate::Max if value > *total => *total = value,
                Aggregate::Min | Aggregate::Max => {}
            }
        }
    }
}

/// Goes from each lane's node to a leaf, at most `depth` steps away; each lane has the keys of its row.
#[inline]
fn walk<S: Steps + ?Sized>(steps: &S, places: &mut [u32; LANES], keys: &[&[u32]; LANES], depth: usize) {
    let mut left = depth;
    loop {
        for _ in 0..left.min(STRIDE) {
            for (place, keys) in places.iter_mut().zip(keys) {
                *place = steps.next(*place, keys);
            }
        }
        left = left.saturating_sub(STRIDE);
        if left == 0 || places.iter().all(|&place| steps.is_leaf(place)) {
            return;
        }
    }
}

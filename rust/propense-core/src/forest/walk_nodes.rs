//! The forest as nodes to walk from root to leaf: shared vertices stay shared, and any depth will do.

use super::graph::{Graph, Vertex};
use super::rule::Rule;

/// A key as an unsigned number, in the same order; those of numbers are neither 0 nor `u32::MAX`.
#[inline]
pub(super) fn ordered(key: i32) -> u32 {
    key as u32 ^ 0x8000_0000
}

/// One node: a row goes on to `pair`, or to `pair + 1` if the key in `slot` is at least `key`.
///
/// A leaf leads to itself, by a slot whose key always or never is; its own `key` is one more than the leaf's number.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalkNode {
    pub(super) key: u32,
    pub(super) slot: u32,
    pub(super) pair: u32,
}

/// Fills a place that no walk comes to, so that pairs begin at even ones; like a leaf, it leads nowhere.
pub(super) const UNUSED: WalkNode = WalkNode { key: 0, slot: u32::MAX, pair: 0 };

/// All nodes, and what a row's slots must hold.
///
/// Feature `features[i]` has slot `2i`, in which NaN is below every number, and `2i + 1`, in which it is above. The
/// last two slots hold the least and the greatest key.
#[derive(Debug, Default)]
pub(super) struct WalkNodes {
    pub(super) nodes: Vec<WalkNode>,
    pub(super) roots: Vec<u32>,
    pub(super) features: Vec<u32>,
    /// Each leaf's weights: the first and their number.
    pub(super) leaves: Vec<(u32, u32)>,
    /// Each tree's steps from its root to its deepest leaf.
    pub(super) depths: Vec<usize>,
    /// Trees from the shallowest to the deepest: neighbours in it take about as long.
    pub(super) by_depth: Vec<u32>,
}

/// A node that has no place yet.
#[derive(Clone, Copy)]
enum Step {
    Leaf(u32),
    Branch { key: u32, slot: u32, pair: u32 },
}

/// Lays out the vertices that roots reach, children first.
pub(super) fn lay_out(graph: &Graph) -> WalkNodes {
    let reached = reached(graph);
    let mut walk = WalkNodes { features: features(graph, &reached), ..WalkNodes::default() };
    let mut steps = vec![Step::Leaf(0); graph.vertices.len()];
    let mut depths = vec![0_usize; graph.vertices.len()];
    for (vertex, _) in reached.iter().enumerate().filter(|&(_, &reached)| reached) {
        steps[vertex] = match &graph.vertices[vertex] {
            Vertex::Leaf { first, count } => {
                walk.leaves.push((*first, *count));
                Step::Leaf((walk.leaves.len() - 1) as u32)
            }
            Vertex::Split { feature, rule, on_true, on_false } => {
                let (yes, no) = (*on_true as usize, *on_false as usize);
                // A search among the flips, after asking for NaN if need be.
                let search = (rule.flips.len() + 1).next_power_of_two().trailing_zeros() as usize;
                depths[vertex] = depths[yes].max(depths[no]) + search + usize::from(asks_for_missing(rule));
                let slot = walk.features.binary_search(feature).unwrap_or(0) as u32 * 2;
                walk.split(rule, slot, steps[yes], steps[no])
            }
        };
    }
    for &root in &graph.roots {
        let place = walk.nodes.len();
        let root = walk.placed(steps[root as usize], place);
        walk.nodes.push(root);
        walk.roots.push(place as u32);
    }
    if walk.nodes.len() % 2 == 1 {
        walk.nodes.push(UNUSED);
    }
    walk.depths = graph.roots.iter().map(|&root| depths[root as usize]).collect();
    walk.by_depth = (0..walk.roots.len() as u32).collect();
    walk.by_depth.sort_by_key(|&tree| walk.depths[tree as usize]);
    walk.in_lines()
}

fn reached(graph: &Graph) -> Vec<bool> {
    let mut reached = vec![false; graph.vertices.len()];
    for &root in &graph.roots {
        reached[root as usize] = true;
    }
    for vertex in (0..reached.len()).rev() {
        if let (true, Vertex::Split { on_true, on_false, .. }) = (reached[vertex], &graph.vertices[vertex]) {
            (reached[*on_true as usize], reached[*on_false as usize]) = (true, true);
        }
    }
    reached
}

fn features(graph: &Graph, reached: &[bool]) -> Vec<u32> {
    let splits = graph.vertices.iter().zip(reached).filter(|(_, reached)| **reached);
    let mut features: Vec<u32> = splits
        .filter_map(|(vertex, _)| match vertex {
            Vertex::Split { feature, .. } => Some(*feature),
            Vertex::Leaf { .. } => None,
        })
        .collect();
    features.sort_unstable();
    features.dedup();
    features
}

/// Whether NaN ends up where neither the lowest nor the highest numbers do.
fn asks_for_missing(rule: &Rule) -> bool {
    let last = rule.first ^ (rule.flips.len() % 2 == 1);
    rule.missing != rule.first && rule.missing != last
}

impl WalkNodes {
    /// Slots that a row has.
    pub(super) fn slots(&self) -> usize {
        2 * self.features.len() + 2
    }

    fn split(&mut self, rule: &Rule, low_slot: u32, yes: Step, no: Step) -> Step {
        let step = |passes: bool| if passes { yes } else { no };
        // NaN goes along with the lowest or the highest numbers if they end up where it does.
        let slot = if rule.missing == rule.first { low_slot } else { low_slot + 1 };
        let numbers = self.search(&rule.flips, rule.first, slot, (yes, no));
        if !asks_for_missing(rule) {
            return numbers;
        }
        self.branch(u32::MAX, low_slot + 1, numbers, step(rule.missing))
    }

    /// A binary search among flips; the answer below them is `first`.
    fn search(&mut self, flips: &[i32], first: bool, slot: u32, exits: (Step, Step)) -> Step {
        if flips.is_empty() {
            return if first { exits.0 } else { exits.1 };
        }
        let middle = flips.len() / 2;
        let low = self.search(&flips[..middle], first, slot, exits);
        let above = first ^ middle.is_multiple_of(2);
        let high = self.search(&flips[middle + 1..], above, slot, exits);
        self.branch(ordered(flips[middle]), slot, low, high)
    }

    fn branch(&mut self, key: u32, slot: u32, low: Step, high: Step) -> Step {
        if self.nodes.len() % 2 == 1 {
            self.nodes.push(UNUSED);
        }
        let pair = self.nodes.len();
        let nodes = [self.placed(low, pair), self.placed(high, pair + 1)];
        self.nodes.extend(nodes);
        Step::Branch { key, slot, pair: pair as u32 }
    }

    fn placed(&self, step: Step, place: usize) -> WalkNode {
        match step {
            Step::Branch { key, slot, pair } => WalkNode { key, slot, pair },
            Step::Leaf(leaf) => {
                let never = 2 * self.features.len() as u32;
                WalkNode { key: leaf + 1, slot: never + (place % 2) as u32, pair: (place & !1) as u32 }
            }
        }
    }
}

//! One tree with its leaves in a row, as the tile engines want it.

use super::graph::{Graph, Vertex};

/// Leaves of a tree that the tile engines take, at most: a leaf's number fits a byte.
pub(super) const MAX_LEAVES: usize = 256;

/// A tree whose leaves are numbered from left to right.
pub(super) struct Tree {
    /// The vertex of each leaf.
    pub(super) leaves: Vec<u32>,
    /// The splits, parents first.
    pub(super) splits: Vec<Split>,
}

/// A split between the leaves `start..middle` on its left and `middle..end` on its right.
pub(super) struct Split {
    /// The vertex with its rule.
    pub(super) vertex: u32,
    pub(super) start: usize,
    pub(super) middle: usize,
    /// Whether rows that pass go left.
    pub(super) true_is_left: bool,
    /// Splits above it.
    pub(super) depth: usize,
}

struct Place {
    vertex: u32,
    children: Option<(usize, usize)>,
    leaves: usize,
    start: usize,
    depth: usize,
}

/// Writes out the tree at a root, shared vertices once for each way to them; `None` if that makes too many leaves.
///
/// The smaller side of a split is its left one: a bitvector clears the left side's leaves, so that is less to clear.
pub(super) fn expand(graph: &Graph, root: u32) -> Option<Tree> {
    let place = |vertex, depth| Place { vertex, children: None, leaves: 1, start: 0, depth };
    let mut places = vec![place(root, 0)];
    let mut next = 0;
    while next < places.len() {
        if let Vertex::Split { on_true, on_false, .. } = graph.vertices[places[next].vertex as usize] {
            let (first, depth) = (places.len(), places[next].depth + 1);
            if first + 2 > 2 * MAX_LEAVES {
                return None;
            }
            places.extend([place(on_true, depth), place(on_false, depth)]);
            places[next].children = Some((first, first + 1));
        }
        next += 1;
    }
    for index in (0..places.len()).rev() {
        if let Some((yes, no)) = places[index].children {
            places[index].leaves = places[yes].leaves + places[no].leaves;
        }
    }
    let mut tree = Tree { leaves: vec![0; places[0].leaves], splits: Vec::new() };
    for index in 0..places.len() {
        let Place { vertex, children, start, depth, .. } = places[index];
        let Some((yes, no)) = children else {
            tree.leaves[start] = vertex;
            continue;
        };
        let true_is_left = places[yes].leaves <= places[no].leaves;
        let (left, right) = if true_is_left { (yes, no) } else { (no, yes) };
        let middle = start + places[left].leaves;
        (places[left].start, places[right].start) = (start, middle);
        tree.splits.push(Split { vertex, start, middle, true_is_left, depth });
    }
    Some(tree)
}

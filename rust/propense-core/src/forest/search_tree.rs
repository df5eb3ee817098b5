//! Sorted boundaries as a complete search tree in an array, the form in which vectors can search them.

use super::bins::Bins;

/// The boundaries of all groups as search trees.
///
/// A tree of `levels` levels has `2^levels` places: place 1 is the root, the children of place `p` are `2p` and
/// `2p + 1`. A value at or above its boundary goes to `2p + 1`; after the last level `p − 2^levels` is its rank.
#[derive(Debug)]
pub(super) struct SearchTrees {
    /// Trees one after another, each padded with places to at least 16.
    pub(super) bounds: Vec<i32>,
    /// The first place and the number of levels of each group's tree.
    pub(super) trees: Vec<(usize, u32)>,
}

impl SearchTrees {
    /// Lays out every group's boundaries; missing ones are above every number.
    pub(super) fn of(bins: &Bins) -> SearchTrees {
        let mut trees = SearchTrees { bounds: Vec::new(), trees: Vec::new() };
        for group in &bins.groups {
            let levels = (group.bounds.len() + 1).next_power_of_two().trailing_zeros();
            let first = trees.bounds.len();
            trees.bounds.resize(first + (1 << levels).max(16), i32::MAX);
            for place in 1..1_usize << levels {
                let level = place.ilog2();
                // The place's order among all places from left to right.
                let sorted = ((2 * (place - (1 << level)) + 1) << (levels - 1 - level)) - 1;
                if let Some(&bound) = group.bounds.get(sorted) {
                    trees.bounds[first + place] = bound;
                }
            }
            trees.trees.push((first, levels));
        }
        trees
    }
}

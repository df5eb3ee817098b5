//! Trees in which every level asks one question (`CatBoost`'s): the answers are the bits of the leaf's number.

use super::bins::{Condition, Cut};
use super::tree::Tree;

/// Levels of such a tree, at most: the leaf's number fits a byte.
const MAX_LEVELS: usize = 8;

/// The cut of each level and, for each number that the answers make, the tree's leaf; `None` if levels differ.
///
/// The first level is bit 0, set where the bin is at least the rank.
pub(super) fn levels(tree: &Tree, conditions: &[Condition]) -> Option<(Vec<Cut>, Vec<usize>)> {
    let depth = tree.splits.iter().map(|split| split.depth + 1).max()?;
    if !(2..=MAX_LEVELS).contains(&depth) || tree.leaves.len() != 1 << depth {
        return None;
    }
    let mut cuts: Vec<Option<Cut>> = vec![None; depth];
    for (split, condition) in tree.splits.iter().zip(conditions) {
        let Condition::Cut(cut) = condition else { return None };
        let level = cuts[split.depth].get_or_insert(*cut);
        if (level.column, level.rank) != (cut.column, cut.rank) {
            return None;
        }
    }
    // The splits come level by level, and every leaf number starts as the first leaf under the root.
    let mut leaves = vec![0; tree.leaves.len()];
    for (number, leaf) in leaves.iter_mut().enumerate() {
        for (split, condition) in tree.splits.iter().zip(conditions) {
            let Condition::Cut(cut) = condition else { return None };
            if *leaf == split.start {
                let high = number >> split.depth & 1 == 1;
                let goes_left = (high == cut.high_passes) == split.true_is_left;
                *leaf = if goes_left { split.start } else { split.middle };
            }
        }
    }
    Some((cuts.into_iter().collect::<Option<_>>()?, leaves))
}

//! Why an ensemble cannot be explained.

use thiserror::Error;

use super::MAX_PATH_FEATURES;
use crate::forest::ForestError;

/// What stands in the way of explaining an ensemble exactly, and where. Trees and nodes are counted from 0.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ExplainError {
    /// The ensemble is not sound.
    #[error(transparent)]
    Forest(#[from] ForestError),
    /// The trees do not add up to one number.
    #[error("the trees do not add up to one number; only a sum or average with one output can be shared out")]
    NotOneSum,
    /// There are not as many covers as nodes.
    #[error("{covers} covers are given for {nodes} nodes; one a node is needed")]
    Count {
        /// How many covers there are.
        covers: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A cover is no count of rows, or not the sum of those below it.
    #[error("node {node} has the cover {cover}, which does not fit the {below} rows of the leaves below it")]
    Cover {
        /// The node.
        node: usize,
        /// Its cover.
        cover: f32,
        /// The sum of the covers of the leaves below it.
        below: f64,
    },
    /// Two branches of a tree share what follows.
    #[error("tree {tree} is no tree: some of its nodes have several parents")]
    Shared {
        /// The tree.
        tree: usize,
    },
    /// A path asks about too many features, or a tree has too many leaves.
    #[error("tree {tree} is too large; at most {MAX_PATH_FEATURES} features on a path can be explained")]
    TooDeep {
        /// The tree.
        tree: usize,
    },
    /// A split has too many categories.
    #[error("a split has more categories than can be explained")]
    Categories,
}

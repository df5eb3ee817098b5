//! Why an ensemble was refused.

use thiserror::Error;

/// What is wrong with an ensemble, and where. Trees and nodes are counted from 0.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ForestError {
    /// Something is larger than the engines take.
    #[error("the ensemble has {found} {what}, but at most {limit} are supported; run it with ONNX Runtime")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much is supported.
        limit: usize,
    },
    /// There is none of something that is needed.
    #[error("the ensemble has no {what}; at least one is needed")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// The base values do not fit the outputs.
    #[error("the ensemble has {found} base values for {outputs} outputs; give none, or one an output")]
    BaseValues {
        /// How many base values there are.
        found: usize,
        /// How many outputs there are.
        outputs: usize,
    },
    /// A tree starts at a node that does not exist.
    #[error("tree {tree} starts at node {node}, but there are {nodes} nodes")]
    Root {
        /// The tree.
        tree: usize,
        /// Where it is said to start.
        node: u32,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A branch leads to a node that does not exist.
    #[error("node {node} leads to node {child}, but there are {nodes} nodes")]
    Child {
        /// The branch.
        node: usize,
        /// Where it leads.
        child: u32,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A branch leads back to itself.
    #[error("tree {tree} has a cycle through node {node}; the nodes of a tree must lead to leaves")]
    Cycle {
        /// The tree.
        tree: usize,
        /// A node of the cycle.
        node: usize,
    },
    /// A branch reads a feature that a row does not have.
    #[error("node {node} reads feature {feature}, but a row has {width} features")]
    Feature {
        /// The branch.
        node: usize,
        /// The feature.
        feature: u32,
        /// How many features a row has.
        width: usize,
    },
    /// A branch compares with NaN.
    #[error("node {node} compares with NaN; a threshold or member must be a number")]
    Threshold {
        /// The branch.
        node: usize,
    },
    /// A branch looks among members that do not exist.
    #[error("node {node} names members {first}..{first}+{count}, but there are {members} members")]
    Members {
        /// The branch.
        node: usize,
        /// The first of them.
        first: u32,
        /// How many it names.
        count: u32,
        /// How many there are.
        members: usize,
    },
    /// A leaf names weights that do not exist.
    #[error("leaf {node} names weights {first}..{first}+{count}, but there are {weights} weights")]
    Weights {
        /// The leaf.
        node: usize,
        /// The first of them.
        first: u32,
        /// How many it names.
        count: u32,
        /// How many there are.
        weights: usize,
    },
    /// A weight is for an output that does not exist.
    #[error("weight {weight} is for output {output}, but there are {outputs} outputs")]
    Output {
        /// The weight.
        weight: usize,
        /// The output it names.
        output: u32,
        /// How many outputs there are.
        outputs: usize,
    },
    /// A weight or base value is NaN or infinite.
    #[error("{what} {index} is {value}; it must be a finite number")]
    NotFinite {
        /// Which list it is in.
        what: &'static str,
        /// Its place in the list.
        index: usize,
        /// What it is.
        value: f32,
    },
}

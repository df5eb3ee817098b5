//! The trees of one node of the graph, and how several of them go into one ensemble.

use propense_core::forest::{Aggregate, Ensemble, Node, Test, Weight};

/// Which rows get a value for an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Every row.
    Always,
    /// None.
    Never,
    /// It depends on the leaves that a row ends in.
    Sometimes,
}

/// The trees of one node of the graph, their children and weights counted from 0.
pub(super) struct Trees {
    pub(super) outputs: usize,
    pub(super) aggregate: Aggregate,
    pub(super) roots: Vec<u32>,
    pub(super) nodes: Vec<Node>,
    pub(super) members: Vec<f32>,
    pub(super) weights: Vec<Weight>,
    /// The tree and node that the file calls each of `nodes`.
    pub(super) names: Vec<(i64, i64)>,
    /// The training rows that came by each of `nodes`; empty if the file does not say.
    pub(super) covers: Vec<f32>,
}

impl Trees {
    /// For each output, whether rows get a value from some tree.
    pub(super) fn coverage(&self) -> Vec<Coverage> {
        let mut coverage = vec![Coverage::Never; self.outputs];
        // Leaves of the tree at hand that have a value, by output, and the outputs met in it.
        let mut leaves_with = vec![0_usize; self.outputs];
        let (mut met, mut leaves) = (Vec::new(), 0);
        for (place, node) in self.nodes.iter().enumerate() {
            if let Node::Leaf { first_weight, weight_count } = *node {
                leaves += 1;
                for weight in &self.weights[first_weight as usize..][..weight_count as usize] {
                    let output = weight.output as usize;
                    if leaves_with[output] == 0 {
                        met.push(output);
                    }
                    leaves_with[output] += 1;
                }
            }
            if self.names.get(place + 1).map(|next| next.0) == Some(self.names[place].0) {
                continue;
            }
            for output in met.drain(..) {
                let every = leaves_with[output] == leaves;
                if every || coverage[output] == Coverage::Never {
                    coverage[output] = if every { Coverage::Always } else { Coverage::Sometimes };
                }
                leaves_with[output] = 0;
            }
            leaves = 0;
        }
        coverage
    }
}

/// Trees of several nodes of the graph as one ensemble, whose outputs follow each other.
#[derive(Default)]
pub(super) struct Pool {
    roots: Vec<u32>,
    nodes: Vec<Node>,
    members: Vec<f32>,
    weights: Vec<Weight>,
    aggregate: Option<Aggregate>,
    outputs: u32,
    /// The tree and node that the file calls each of `nodes`.
    names: Vec<(i64, i64)>,
    /// The training rows that came by nodes; fewer than `nodes` if a group does not say.
    covers: Vec<f32>,
    /// For each group of trees, its node of the graph and the first of its nodes.
    groups: Vec<(String, usize)>,
}

impl Pool {
    /// Add trees that read column `columns[feature]` where they say `feature`; give their first output.
    ///
    /// `None` if they do not fit: another aggregate, or too many of them.
    pub(super) fn add(&mut self, trees: Trees, columns: &[u32], place: &str) -> Option<u32> {
        if self.aggregate.is_some_and(|aggregate| aggregate != trees.aggregate) {
            return None;
        }
        let first_node = u32::try_from(self.nodes.len()).ok()?;
        let first_weight = u32::try_from(self.weights.len()).ok()?;
        let first_member = u32::try_from(self.members.len()).ok()?;
        let first_output = self.outputs;
        let outputs = first_output.checked_add(u32::try_from(trees.outputs).ok()?)?;
        u32::try_from(self.nodes.len() + trees.nodes.len()).ok()?;
        u32::try_from(self.weights.len() + trees.weights.len()).ok()?;
        u32::try_from(self.members.len() + trees.members.len()).ok()?;
        self.groups.push((place.to_owned(), self.nodes.len()));
        self.aggregate = Some(trees.aggregate);
        self.outputs = outputs;
        self.roots.extend(trees.roots.iter().map(|root| root + first_node));
        self.nodes.extend(trees.nodes.into_iter().map(|node| match node {
            Node::Leaf { first_weight: first, weight_count } => {
                Node::Leaf { first_weight: first + first_weight, weight_count }
            }
            Node::Branch { feature, test, missing_goes_true, if_true, if_false } => Node::Branch {
                // A feature out of range stays out of range, for the forest to refuse.
                feature: columns.get(feature as usize).copied().unwrap_or(u32::MAX),
                test: match test {
                    Test::Member { first, count } => Test::Member { first: first + first_member, count },
                    other => other,
                },
                missing_goes_true,
                if_true: if_true + first_node,
                if_false: if_false + first_node,
            },
        }));
        self.members.extend(trees.members);
        let moved = |weight: Weight| Weight { output: weight.output + first_output, ..weight };
        self.weights.extend(trees.weights.into_iter().map(moved));
        self.names.extend(trees.names);
        self.covers.extend(trees.covers);
        Some(first_output)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.aggregate.is_none()
    }

    /// The columns that some branch reads, ascending.
    pub(super) fn columns(&self) -> Vec<u32> {
        let mut columns: Vec<u32> = self
            .nodes
            .iter()
            .filter_map(|node| match node {
                Node::Branch { feature, .. } => Some(*feature),
                Node::Leaf { .. } => None,
            })
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The ensemble over rows of `width` columns; column `c` of the trees is `place(c)` of a row.
    pub(super) fn ensemble(&mut self, width: usize, place: impl Fn(u32) -> u32) -> Ensemble {
        let mut nodes = std::mem::take(&mut self.nodes);
        for node in &mut nodes {
            if let Node::Branch { feature, .. } = node {
                *feature = place(*feature);
            }
        }
        Ensemble {
            width,
            outputs: self.outputs as usize,
            aggregate: self.aggregate.unwrap_or(Aggregate::Sum),
            base_values: Vec::new(),
            roots: std::mem::take(&mut self.roots),
            nodes,
            members: std::mem::take(&mut self.members),
            weights: std::mem::take(&mut self.weights),
        }
    }

    /// The training rows that came by each node; `None` if the file does not say.
    pub(super) fn take_covers(&mut self, nodes: usize) -> Option<Vec<f32>> {
        Some(std::mem::take(&mut self.covers)).filter(|covers| covers.len() == nodes)
    }

    /// The node of the graph that holds a node of the ensemble.
    pub(super) fn place(&self, node: usize) -> &str {
        self.groups.iter().rev().find(|(_, first)| *first <= node).map_or("", |(place, _)| place)
    }

    /// What the file calls a node of the ensemble.
    pub(super) fn name(&self, node: usize) -> String {
        self.names.get(node).map_or_else(String::new, |(tree, number)| format!("node {number} of tree {tree}"))
    }
}

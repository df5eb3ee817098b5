//! Whether an ensemble can be run at all: sizes, references, cycles.

use super::ensemble::{Ensemble, Node, Test};
use super::error::ForestError;

/// Features in a row, at most.
pub const MAX_WIDTH: usize = 1 << 20;
/// Outputs, at most.
pub const MAX_OUTPUTS: usize = 10_000;
/// Trees, at most.
pub const MAX_TREES: usize = 1_000_000;
/// Nodes of all trees together, at most.
pub const MAX_NODES: usize = 10_000_000;
/// Weights of all leaves together, at most.
pub const MAX_WEIGHTS: usize = 40_000_000;
/// Members that the tests of all nodes name together, at most; a part named twice counts twice.
pub const MAX_MEMBERS: usize = 10_000_000;

/// Checks everything the engines rely on.
///
/// Returns the nodes that some tree reaches, children before parents.
pub(super) fn check(ensemble: &Ensemble) -> Result<Vec<u32>, ForestError> {
    sizes(ensemble)?;
    for (index, node) in ensemble.nodes.iter().enumerate() {
        check_node(ensemble, index, *node)?;
    }
    let named = ensemble.nodes.iter().map(|node| match *node {
        Node::Branch { test: Test::Member { count, .. }, .. } => count as usize,
        _ => 0,
    });
    at_most("named members", named.sum(), MAX_MEMBERS)?;
    for (index, weight) in ensemble.weights.iter().enumerate() {
        if weight.output as usize >= ensemble.outputs {
            return Err(ForestError::Output { weight: index, output: weight.output, outputs: ensemble.outputs });
        }
    }
    finite("weight", ensemble.weights.iter().map(|weight| weight.value))?;
    finite("base value", ensemble.base_values.iter().copied())?;
    children_first(ensemble)
}

fn sizes(ensemble: &Ensemble) -> Result<(), ForestError> {
    at_most("features", ensemble.width, MAX_WIDTH)?;
    at_most("outputs", ensemble.outputs, MAX_OUTPUTS)?;
    at_most("trees", ensemble.roots.len(), MAX_TREES)?;
    at_most("nodes", ensemble.nodes.len(), MAX_NODES)?;
    at_most("weights", ensemble.weights.len(), MAX_WEIGHTS)?;
    at_most("members", ensemble.members.len(), MAX_MEMBERS)?;
    for (what, found) in [("features", ensemble.width), ("outputs", ensemble.outputs), ("trees", ensemble.roots.len())]
    {
        if found == 0 {
            return Err(ForestError::Empty { what });
        }
    }
    match ensemble.base_values.len() {
        0 => Ok(()),
        found if found == ensemble.outputs => Ok(()),
        found => Err(ForestError::BaseValues { found, outputs: ensemble.outputs }),
    }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), ForestError> {
    if found > limit { Err(ForestError::TooLarge { what, found, limit }) } else { Ok(()) }
}

fn finite(what: &'static str, mut values: impl Iterator<Item = f32>) -> Result<(), ForestError> {
    match values.by_ref().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((index, value)) => Err(ForestError::NotFinite { what, index, value }),
        None => Ok(()),
    }
}

fn check_node(ensemble: &Ensemble, index: usize, node: Node) -> Result<(), ForestError> {
    let (nodes, width) = (ensemble.nodes.len(), ensemble.width);
    match node {
        Node::Leaf { first_weight: first, weight_count: count } => {
            let weights = ensemble.weights.len();
            if first as usize + count as usize > weights {
                return Err(ForestError::Weights { node: index, first, count, weights });
            }
        }
        Node::Branch { feature, test, if_true, if_false, .. } => {
            if let Some(child) = [if_true, if_false].into_iter().find(|&child| child as usize >= nodes) {
                return Err(ForestError::Child { node: index, child, nodes });
            }
            if feature as usize >= width {
                return Err(ForestError::Feature { node: index, feature, width });
            }
            check_test(ensemble, index, test)?;
        }
    }
    Ok(())
}

fn check_test(ensemble: &Ensemble, node: usize, test: Test) -> Result<(), ForestError> {
    let nan = match test {
        Test::LessEqual(t)
        | Test::Less(t)
        | Test::GreaterEqual(t)
        | Test::Greater(t)
        | Test::Equal(t)
        | Test::NotEqual(t) => t.is_nan(),
        Test::Member { first, count } => {
            let members = ensemble.members.get(first as usize..first as usize + count as usize);
            let members =
                members.ok_or(ForestError::Members { node, first, count, members: ensemble.members.len() })?;
            members.iter().any(|member| member.is_nan())
        }
    };
    if nan { Err(ForestError::Threshold { node }) } else { Ok(()) }
}

/// The most branches on the way from a root to a leaf; `order` has children before parents.
pub(super) fn depth(ensemble: &Ensemble, order: &[u32]) -> usize {
    let mut depths = vec![0_usize; ensemble.nodes.len()];
    for &node in order {
        if let Node::Branch { if_true, if_false, .. } = ensemble.nodes[node as usize] {
            depths[node as usize] = 1 + depths[if_true as usize].max(depths[if_false as usize]);
        }
    }
    depths.into_iter().max().unwrap_or(0)
}

#[derive(Clone, Copy, PartialEq)]
enum Visit {
    Unseen,
    Open,
    Done,
}

/// The reached nodes, children before parents, walked with a stack of its own: a tree may be a million deep.
fn children_first(ensemble: &Ensemble) -> Result<Vec<u32>, ForestError> {
    let nodes = ensemble.nodes.len();
    let mut visits = vec![Visit::Unseen; nodes];
    let (mut order, mut stack) = (Vec::with_capacity(nodes), Vec::new());
    for (tree, &root) in ensemble.roots.iter().enumerate() {
        if root as usize >= nodes {
            return Err(ForestError::Root { tree, node: root, nodes });
        }
        stack.push(root);
        while let Some(&node) = stack.last() {
            let visit = &mut visits[node as usize];
            if *visit != Visit::Unseen {
                stack.pop();
                if *visit == Visit::Open {
                    *visit = Visit::Done;
                    order.push(node);
                }
                continue;
            }
            *visit = Visit::Open;
            if let Node::Branch { if_true, if_false, .. } = ensemble.nodes[node as usize] {
                for child in [if_false, if_true] {
                    match visits[child as usize] {
                        Visit::Unseen => stack.push(child),
                        Visit::Open => return Err(ForestError::Cycle { tree, node: child as usize }),
                        Visit::Done => {}
                    }
                }
            }
        }
    }
    Ok(order)
}

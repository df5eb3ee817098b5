//! The flat form of trees that `TreeEnsemble` has since operator set 5, with tests of membership.

use propense_core::forest::{Aggregate, Node, Test, Weight};

use super::attributes::Attributes;
use super::stop::Stop;
use super::tensor::Elements;
use super::thresholds::{Threshold, test};
use super::tree_lists::{Part, require_one_missing_side};
use super::trees::Trees;

pub(super) const KNOWN: [&str; 16] = [
    "aggregate_function",
    "leaf_targetids",
    "leaf_weights",
    "membership_values",
    "n_targets",
    "nodes_falseleafs",
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_hitrates",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_splits",
    "nodes_trueleafs",
    "nodes_truenodeids",
    "post_transform",
    "tree_roots",
];

/// The modes by number; the last is membership.
const MODES: [&[u8]; 6] = [b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT", b"BRANCH_EQ", b"BRANCH_NEQ"];
const MEMBER: i64 = 6;

/// Read the trees: the branches first, then the leaves.
///
/// # Errors
///
/// [`Stop::Malformed`] for lists that contradict each other, naming the branch.
pub(super) fn read_trees(attributes: &Attributes<'_>, outputs: usize, aggregate: Aggregate) -> Result<Trees, Stop> {
    let branches = Branches::read(attributes)?;
    let leaves = read_leaves(attributes, outputs)?;
    let (starts, members) = branches.members(attributes)?;
    let mut nodes = Vec::with_capacity(branches.len() + leaves.len());
    for branch in 0..branches.len() {
        nodes.push(Node::Branch {
            feature: branches.feature(branch)?,
            test: branches.test(branch, &starts)?,
            missing_goes_true: branches.missing.get(branch) == Some(&1),
            if_true: branches.child(branch, branches.if_true[branch], branches.true_leaf[branch], leaves.len())?,
            if_false: branches.child(branch, branches.if_false[branch], branches.false_leaf[branch], leaves.len())?,
        });
    }
    let leaf = |first_weight| Node::Leaf { first_weight, weight_count: 1 };
    nodes.extend((0..leaves.len() as u32).map(leaf));
    let roots = branches.roots(attributes)?;
    let names = (0..nodes.len() as i64).map(|node| (0, node)).collect();
    let trees = Trees { outputs, aggregate, roots, nodes, members, weights: leaves, names, covers: Vec::new() };
    require_one_missing_side(&trees)?;
    Ok(trees)
}

struct Branches {
    features: Vec<i64>,
    modes: Vec<i64>,
    thresholds: Vec<Threshold>,
    if_true: Vec<i64>,
    if_false: Vec<i64>,
    true_leaf: Vec<i64>,
    false_leaf: Vec<i64>,
    missing: Vec<i64>,
}

impl Branches {
    fn read(attributes: &Attributes<'_>) -> Result<Self, Stop> {
        let Some((_, Elements::Integers(modes))) = attributes.tensor("nodes_modes")? else {
            return Err(Stop::malformed("nodes_modes is no tensor of integers"));
        };
        let branches = Self {
            features: attributes.integers("nodes_featureids")?,
            modes,
            thresholds: numbers(attributes, "nodes_splits")?,
            if_true: attributes.integers("nodes_truenodeids")?,
            if_false: attributes.integers("nodes_falsenodeids")?,
            true_leaf: attributes.integers("nodes_trueleafs")?,
            false_leaf: attributes.integers("nodes_falseleafs")?,
            missing: attributes.integers("nodes_missing_value_tracks_true")?,
        };
        let expected = branches.len();
        let missing = if branches.missing.is_empty() { expected } else { branches.missing.len() };
        for (name, found) in [
            ("nodes_modes", branches.modes.len()),
            ("nodes_splits", branches.thresholds.len()),
            ("nodes_truenodeids", branches.if_true.len()),
            ("nodes_falsenodeids", branches.if_false.len()),
            ("nodes_trueleafs", branches.true_leaf.len()),
            ("nodes_falseleafs", branches.false_leaf.len()),
            ("nodes_missing_value_tracks_true", missing),
        ] {
            if found != expected {
                return Err(Stop::malformed(format!("{name} has {found} entries and nodes_featureids {expected}")));
            }
        }
        Ok(branches)
    }

    fn len(&self) -> usize {
        self.features.len()
    }

    /// Where each branch's members start and how many it has, and all members.
    fn members(&self, attributes: &Attributes<'_>) -> Result<(Vec<Part>, Vec<f32>), Stop> {
        let values = match attributes.tensor("membership_values")? {
            None => Vec::new(),
            Some((_, Elements::Floats(values))) => values,
            Some(_) => return Err(Stop::because("membership_values holds no float32 numbers")),
        };
        let mut parts = vec![(0, 0); self.len()];
        let mut members = Vec::with_capacity(values.len());
        // The sets follow each other in the order of their branches, with a NaN after each.
        let mut sets = values.split(|value| value.is_nan());
        for (branch, part) in parts.iter_mut().enumerate().filter(|(branch, _)| self.modes[*branch] == MEMBER) {
            let set = sets.next().unwrap_or_default();
            if set.is_empty() {
                return Err(Stop::malformed(format!("branch {branch} asks for membership of an empty set")));
            }
            if !is_small(set) {
                // ONNX Runtime cuts off the fraction of what it looks for in a large set, and only there.
                return Err(Stop::because(format!("branch {branch} asks for membership of a large set")));
            }
            *part = (members.len() as u32, set.len() as u32);
            members.extend(set);
        }
        Ok((parts, members))
    }

    fn test(&self, branch: usize, members: &[(u32, u32)]) -> Result<Test, Stop> {
        let mode = self.modes[branch];
        if mode == MEMBER {
            let (first, count) = members[branch];
            return Ok(Test::Member { first, count });
        }
        let Some(mode) = usize::try_from(mode).ok().and_then(|mode| MODES.get(mode)) else {
            return Err(Stop::because(format!("branch {branch} has mode {mode}, which is not known")));
        };
        let threshold = self.thresholds[branch];
        if threshold.is_nan() {
            return Err(Stop::malformed(format!("branch {branch} compares with NaN")));
        }
        let found = test(mode, threshold).map_err(|stop| stop.within(&format!("branch {branch}")))?;
        found.ok_or_else(|| Stop::because(format!("branch {branch} is a leaf")))
    }

    fn feature(&self, branch: usize) -> Result<u32, Stop> {
        let feature = self.features[branch];
        u32::try_from(feature).map_err(|_| Stop::malformed(format!("branch {branch} reads feature {feature}")))
    }

    fn child(&self, branch: usize, child: i64, is_leaf: i64, leaves: usize) -> Result<u32, Stop> {
        let (kind, count, first) = if is_leaf == 0 { ("branch", self.len(), 0) } else { ("leaf", leaves, self.len()) };
        match usize::try_from(child).ok().filter(|child| *child < count) {
            Some(child) => Ok((first + child) as u32),
            None => Err(Stop::malformed(format!("branch {branch} leads to {kind} {child}, which is not there"))),
        }
    }

    fn roots(&self, attributes: &Attributes<'_>) -> Result<Vec<u32>, Stop> {
        let roots = attributes.integers("tree_roots")?;
        let mut found = Vec::with_capacity(roots.len());
        for root in roots {
            let Some(branch) = usize::try_from(root).ok().filter(|branch| *branch < self.len()) else {
                return Err(Stop::malformed(format!("a tree starts at branch {root}, which is not there")));
            };
            // ONNX Runtime takes such a root for a leaf, and the root's own number for the leaf's.
            let one_leaf = self.true_leaf[branch] != 0 && self.false_leaf[branch] != 0;
            if one_leaf && self.if_true[branch] == self.if_false[branch] && self.if_true[branch] != root {
                return Err(Stop::because(format!("branch {branch} is the root of a tree with one leaf")));
            }
            found.push(branch as u32);
        }
        Ok(found)
    }
}

/// ONNX Runtime makes a chain of equalities of these.
fn is_small(set: &[f32]) -> bool {
    set.len() < 31 && set.iter().all(|member| (0.0..=30.0).contains(member))
}

fn read_leaves(attributes: &Attributes<'_>, outputs: usize) -> Result<Vec<Weight>, Stop> {
    let targets = attributes.integers("leaf_targetids")?;
    let values = numbers(attributes, "leaf_weights")?;
    if targets.len() != values.len() {
        let (found, expected) = (values.len(), targets.len());
        return Err(Stop::malformed(format!("leaf_weights has {found} entries and leaf_targetids {expected}")));
    }
    let mut leaves = Vec::with_capacity(values.len());
    for (leaf, (target, value)) in targets.into_iter().zip(values).enumerate() {
        let Some(output) = u32::try_from(target).ok().filter(|output| (*output as usize) < outputs) else {
            return Err(Stop::malformed(format!("leaf {leaf} has a value for output {target} of {outputs}")));
        };
        leaves.push(Weight { output, value: value.nearest() });
    }
    Ok(leaves)
}

fn numbers(attributes: &Attributes<'_>, name: &str) -> Result<Vec<Threshold>, Stop> {
    match attributes.tensor(name)? {
        Some((_, Elements::Floats(values))) => Ok(values.into_iter().map(Threshold::from).collect()),
        Some((_, Elements::Doubles(values))) => Ok(values.into_iter().map(Threshold).collect()),
        _ => Err(Stop::malformed(format!("{name} is no tensor of numbers"))),
    }
}

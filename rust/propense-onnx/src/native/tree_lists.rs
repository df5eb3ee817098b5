//! The parallel lists in which `TreeEnsembleRegressor` and `TreeEnsembleClassifier` write trees.

use std::collections::HashMap;

use propense_core::forest::{Aggregate, Node, Test, Weight};

use super::attributes::Attributes;
use super::stop::Stop;
use super::tensor::Elements;
use super::thresholds::{Threshold, test};
use super::trees::Trees;

/// The names under which a node keeps its leaf values.
pub(super) struct WeightNames {
    pub(super) trees: &'static str,
    pub(super) nodes: &'static str,
    pub(super) outputs: &'static str,
    pub(super) values: &'static str,
    pub(super) values_as_tensor: &'static str,
}

/// The attributes that both operators have.
pub(super) const SHARED: [&str; 14] = [
    "base_values",
    "base_values_as_tensor",
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_hitrates",
    "nodes_hitrates_as_tensor",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_nodeids",
    "nodes_treeids",
    "nodes_truenodeids",
    "nodes_values",
    "nodes_values_as_tensor",
    "post_transform",
];

/// Read the trees and their leaf values.
///
/// # Errors
///
/// [`Stop::Malformed`] for lists that contradict each other, naming the tree and node.
pub(super) fn read_trees(
    attributes: &Attributes<'_>,
    weight_names: &WeightNames,
    outputs: usize,
    aggregate: Aggregate,
) -> Result<Trees, Stop> {
    let lists = Lists::read(attributes)?;
    let places = lists.places()?;
    let (nodes_weights, weights) = lists.weights(attributes, weight_names, outputs, &places)?;
    let mut trees = Trees {
        outputs,
        aggregate,
        roots: lists.roots()?,
        nodes: Vec::with_capacity(lists.len()),
        members: Vec::new(),
        weights,
        names: (0..lists.len()).map(|node| (lists.trees[node], lists.nodes[node])).collect(),
        covers: covers(attributes, lists.len()),
    };
    for (node, &(first_weight, weight_count)) in nodes_weights.iter().enumerate() {
        trees.nodes.push(match lists.test(node)? {
            None if weight_count == 0 => return Err(Stop::because(format!("{} has no value", lists.name(node)))),
            None => Node::Leaf { first_weight, weight_count },
            Some(test) => Node::Branch {
                feature: lists.feature(node)?,
                test,
                missing_goes_true: lists.missing.get(node) == Some(&1),
                if_true: lists.child(node, lists.if_true[node], &places)?,
                if_false: lists.child(node, lists.if_false[node], &places)?,
            },
        });
    }
    require_one_missing_side(&trees)?;
    Ok(trees)
}

/// The training rows of every node, which `nodes_hitrates` may hold; nothing if it does not. No score depends on it.
fn covers(attributes: &Attributes<'_>, nodes: usize) -> Vec<f32> {
    let found = numbers(attributes, "nodes_hitrates", "nodes_hitrates_as_tensor").unwrap_or_default();
    if found.len() == nodes { found.into_iter().map(Threshold::nearest).collect() } else { Vec::new() }
}

/// Stop at a chain of tests for equality, on one feature and to one child, that differ in where NaN goes.
///
/// ONNX Runtime makes one test of such a chain, with the first one's side for NaN.
pub(super) fn require_one_missing_side(trees: &Trees) -> Result<(), Stop> {
    let equality = |node: &Node| match *node {
        Node::Branch { feature, test: Test::Equal(_), missing_goes_true, if_true, if_false } => {
            Some(((feature, if_true), missing_goes_true, if_false))
        }
        _ => None,
    };
    for (node, (tree, number)) in trees.nodes.iter().zip(&trees.names) {
        let Some((shared, missing, next)) = equality(node) else { continue };
        let next = trees.nodes.get(next as usize).and_then(equality);
        if next.is_some_and(|(same, other, _)| same == shared && other != missing) {
            let chain = format!("node {number} of tree {tree} begins a chain of equalities");
            return Err(Stop::because(format!("{chain} that send NaN to different sides")));
        }
    }
    Ok(())
}

struct Lists<'b> {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<&'b [u8]>,
    thresholds: Vec<Threshold>,
    if_true: Vec<i64>,
    if_false: Vec<i64>,
    missing: Vec<i64>,
}

/// The first of a node's entries in a pool, and how many there are.
pub(super) type Part = (u32, u32);

type Places = HashMap<(i64, i64), u32>;

impl<'b> Lists<'b> {
    fn read(attributes: &Attributes<'b>) -> Result<Self, Stop> {
        let lists = Self {
            trees: attributes.integers("nodes_treeids")?,
            nodes: attributes.integers("nodes_nodeids")?,
            features: attributes.integers("nodes_featureids")?,
            modes: attributes.texts("nodes_modes")?,
            thresholds: numbers(attributes, "nodes_values", "nodes_values_as_tensor")?,
            if_true: attributes.integers("nodes_truenodeids")?,
            if_false: attributes.integers("nodes_falsenodeids")?,
            missing: attributes.integers("nodes_missing_value_tracks_true")?,
        };
        if lists.trees.is_empty() {
            return Err(Stop::malformed("it has no nodes"));
        }
        let missing = if lists.missing.is_empty() { lists.len() } else { lists.missing.len() };
        for (name, found) in [
            ("nodes_nodeids", lists.nodes.len()),
            ("nodes_featureids", lists.features.len()),
            ("nodes_modes", lists.modes.len()),
            ("nodes_values", lists.thresholds.len()),
            ("nodes_truenodeids", lists.if_true.len()),
            ("nodes_falsenodeids", lists.if_false.len()),
            ("nodes_missing_value_tracks_true", missing),
        ] {
            if found != lists.len() {
                let expected = lists.len();
                return Err(Stop::malformed(format!("{name} has {found} entries and nodes_treeids {expected}")));
            }
        }
        Ok(lists)
    }

    fn len(&self) -> usize {
        self.trees.len()
    }

    fn name(&self, node: usize) -> String {
        format!("node {} of tree {}", self.nodes[node], self.trees[node])
    }

    /// Where each node stands in the lists.
    fn places(&self) -> Result<Places, Stop> {
        let mut places = HashMap::with_capacity(self.len());
        for (place, id) in (0..).zip(self.trees.iter().copied().zip(self.nodes.iter().copied())) {
            if i32::try_from(id.0).is_err() || i32::try_from(id.1).is_err() {
                return Err(Stop::malformed(format!("{} has a number beyond 32 bits", self.name(place as usize))));
            }
            if places.insert(id, place).is_some() {
                return Err(Stop::malformed(format!("{} is there twice", self.name(place as usize))));
            }
        }
        Ok(places)
    }

    /// ONNX Runtime starts a tree at the first node listed for it.
    fn roots(&self) -> Result<Vec<u32>, Stop> {
        let mut roots = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut previous = None;
        for (place, &tree) in (0..).zip(&self.trees) {
            if previous != Some(tree) {
                if !seen.insert(tree) {
                    return Err(Stop::because(format!("the nodes of tree {tree} are not listed together")));
                }
                roots.push(place);
                previous = Some(tree);
            }
        }
        Ok(roots)
    }

    fn feature(&self, node: usize) -> Result<u32, Stop> {
        let feature = self.features[node];
        u32::try_from(feature).map_err(|_| Stop::malformed(format!("{} reads feature {feature}", self.name(node))))
    }

    fn child(&self, node: usize, child: i64, places: &Places) -> Result<u32, Stop> {
        let found = places.get(&(self.trees[node], child));
        found
            .copied()
            .ok_or_else(|| Stop::malformed(format!("{} leads to node {child}, which is not there", self.name(node))))
    }

    /// What a node asks; `None` if it is a leaf.
    fn test(&self, node: usize) -> Result<Option<Test>, Stop> {
        let threshold = self.thresholds[node];
        if self.modes[node] != b"LEAF" && threshold.is_nan() {
            return Err(Stop::malformed(format!("{} compares with NaN", self.name(node))));
        }
        test(self.modes[node], threshold).map_err(|stop| stop.within(&self.name(node)))
    }

    /// The part of the weights that each node has, and the weights, ordered by node.
    fn weights(
        &self,
        attributes: &Attributes<'_>,
        names: &WeightNames,
        outputs: usize,
        places: &Places,
    ) -> Result<(Vec<Part>, Vec<Weight>), Stop> {
        let trees = attributes.integers(names.trees)?;
        let nodes = attributes.integers(names.nodes)?;
        let targets = attributes.integers(names.outputs)?;
        let values = numbers(attributes, names.values, names.values_as_tensor)?;
        let counts = [(names.nodes, nodes.len()), (names.outputs, targets.len()), (names.values, values.len())];
        for (name, found) in counts {
            if found != trees.len() {
                let expected = trees.len();
                return Err(Stop::malformed(format!("{name} has {found} entries and {} {expected}", names.trees)));
            }
        }
        let mut listed = Vec::with_capacity(trees.len());
        for place in 0..trees.len() {
            let Some(&node) = places.get(&(trees[place], nodes[place])) else {
                let (tree, node) = (trees[place], nodes[place]);
                return Err(Stop::malformed(format!("a value is for node {node} of tree {tree}, which is not there")));
            };
            let output = u32::try_from(targets[place]).ok().filter(|&output| (output as usize) < outputs);
            let Some(output) = output else {
                let name = self.name(node as usize);
                let target = targets[place];
                return Err(Stop::malformed(format!("{name} has a value for output {target} of {outputs}")));
            };
            listed.push((node, output, place));
        }
        listed.sort_unstable();
        if let Some(twice) = listed.windows(2).find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)) {
            let name = self.name(twice[0].0 as usize);
            return Err(Stop::because(format!("{name} has two values for one output")));
        }
        let mut parts = vec![(0, 0); self.len()];
        let mut weights = Vec::with_capacity(listed.len());
        for (node, output, place) in listed {
            let (first, count) = &mut parts[node as usize];
            if *count == 0 {
                *first = weights.len() as u32;
            }
            *count += 1;
            weights.push(Weight { output, value: values[place].nearest() });
        }
        Ok((parts, weights))
    }
}

/// Numbers given as floats or as a tensor.
pub(super) fn numbers(attributes: &Attributes<'_>, floats: &str, tensor: &str) -> Result<Vec<Threshold>, Stop> {
    let given = attributes.floats(floats)?;
    match attributes.tensor(tensor)? {
        Some((_, elements)) if elements.len() > 0 && !given.is_empty() => {
            Err(Stop::malformed(format!("{floats} and {tensor} are both there")))
        }
        Some((_, Elements::Floats(values))) if given.is_empty() => {
            Ok(values.into_iter().map(Threshold::from).collect())
        }
        Some((_, Elements::Doubles(values))) if given.is_empty() => Ok(values.into_iter().map(Threshold).collect()),
        Some((_, Elements::Integers(_))) => Err(Stop::because(format!("{tensor} holds integers"))),
        _ => Ok(given.into_iter().map(Threshold::from).collect()),
    }
}

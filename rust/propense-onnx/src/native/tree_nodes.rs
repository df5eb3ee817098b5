//! The three operators that hold trees.

use propense_core::forest::{Aggregate, Node as TreeNode};

use super::file::Node;
use super::graph::Context;
use super::stop::Stop;
use super::thresholds::Threshold;
use super::tree_lists::{self, SHARED, WeightNames, numbers};
use super::tree_scores::{Leaves, Transform, classifier, regressor};
use super::tree_sets;
use super::trees::{Coverage, Trees};
use super::value::{Batch, Layout, Value};

/// The most targets or classes of trees.
const MAX_OUTPUTS: usize = 1_024;

pub(super) fn tree_regressor(context: &mut Context, node: &Node<'_>, given: &Batch) -> Result<Vec<Value>, Stop> {
    let attributes = &node.attributes;
    let own = [
        "aggregate_function",
        "n_targets",
        "target_ids",
        "target_nodeids",
        "target_treeids",
        "target_weights",
        "target_weights_as_tensor",
    ];
    attributes.require_known(&[&SHARED[..], &own[..]].concat())?;
    let names = WeightNames {
        trees: "target_treeids",
        nodes: "target_nodeids",
        outputs: "target_ids",
        values: "target_weights",
        values_as_tensor: "target_weights_as_tensor",
    };
    let outputs = output_count(attributes.integer("n_targets")?.unwrap_or(0))?;
    let (aggregate, average) = match attributes.text("aggregate_function")? {
        None | Some("SUM") => (Aggregate::Sum, false),
        Some("AVERAGE") => (Aggregate::Sum, true),
        Some("MIN") => (Aggregate::Min, false),
        Some("MAX") => (Aggregate::Max, false),
        Some(other) => return Err(Stop::because(format!("aggregate_function {other:?} is not known"))),
    };
    let base = base_values(node, outputs)?;
    let transform = Transform::named(attributes.text("post_transform")?)?;
    let trees = tree_lists::read_trees(attributes, &names, outputs, aggregate)?;
    let divisor = average.then_some(trees.roots.len());
    let coverage = trees.coverage();
    let sums = sums(context, trees, &coverage, given)?;
    let columns = regressor(&mut context.builder, &sums, divisor, &base, &coverage, transform)?;
    Ok(vec![Value::Batch(Batch { layout: Layout::Matrix, columns, double: false })])
}

pub(super) fn tree_classifier(context: &mut Context, node: &Node<'_>, given: &Batch) -> Result<Vec<Value>, Stop> {
    let attributes = &node.attributes;
    let own = [
        "class_ids",
        "class_nodeids",
        "class_treeids",
        "class_weights",
        "class_weights_as_tensor",
        "classlabels_int64s",
        "classlabels_strings",
    ];
    attributes.require_known(&[&SHARED[..], &own[..]].concat())?;
    let names = WeightNames {
        trees: "class_treeids",
        nodes: "class_nodeids",
        outputs: "class_ids",
        values: "class_weights",
        values_as_tensor: "class_weights_as_tensor",
    };
    let texts = attributes.texts("classlabels_strings")?.len();
    let labels = if texts == 0 { attributes.integers("classlabels_int64s")?.len() } else { texts };
    let outputs = output_count(labels as i64)?;
    if outputs == 1 {
        return Err(Stop::because("it has one class"));
    }
    let base = base_values(node, outputs)?;
    let transform = Transform::named(attributes.text("post_transform")?)?;
    let trees = tree_lists::read_trees(attributes, &names, outputs, Aggregate::Sum)?;
    let no_negative = trees.weights.iter().all(|weight| weight.value >= 0.0);
    let leaves = Leaves { coverage: trees.coverage(), no_negative };
    let sums = sums(context, trees, &leaves.coverage, given)?;
    let columns = classifier(&mut context.builder, &sums, &base, &leaves, transform)?;
    Ok(vec![Value::Labels, Value::Batch(Batch { layout: Layout::Matrix, columns, double: false })])
}

pub(super) fn tree_ensemble(context: &mut Context, node: &Node<'_>, given: &Batch) -> Result<Vec<Value>, Stop> {
    let attributes = &node.attributes;
    attributes.require_known(&tree_sets::KNOWN)?;
    let outputs = output_count(attributes.integer("n_targets")?.unwrap_or(0))?;
    let (aggregate, average) = match attributes.integer("aggregate_function")?.unwrap_or(1) {
        0 => (Aggregate::Sum, true),
        1 => (Aggregate::Sum, false),
        2 => (Aggregate::Min, false),
        3 => (Aggregate::Max, false),
        other => return Err(Stop::because(format!("aggregate_function {other} is not known"))),
    };
    if attributes.integer("post_transform")?.unwrap_or(0) != 0 {
        return Err(Stop::because("its post_transform has another number in ONNX Runtime than in ONNX"));
    }
    let trees = tree_sets::read_trees(attributes, outputs, aggregate)?;
    let divisor = average.then_some(trees.roots.len());
    let coverage = trees.coverage();
    let sums = sums(context, trees, &coverage, given)?;
    let columns = regressor(&mut context.builder, &sums, divisor, &[], &coverage, Transform::None)?;
    Ok(vec![Value::Batch(Batch { layout: Layout::Matrix, columns, double: given.double })])
}

/// Put the trees into the pool and give the columns of their sums.
fn sums(context: &mut Context, trees: Trees, coverage: &[Coverage], given: &Batch) -> Result<Vec<u32>, Stop> {
    let columns = given.columns.len();
    if given.layout != Layout::Matrix {
        return Err(Stop::because("its input is no matrix"));
    }
    for (node, (tree, number)) in trees.nodes.iter().zip(&trees.names) {
        if let TreeNode::Branch { feature, .. } = *node
            && feature as usize >= columns
        {
            let problem = format!("node {number} of tree {tree} reads feature {feature}; a row has {columns}");
            return Err(Stop::malformed(problem));
        }
    }
    if trees.aggregate != Aggregate::Sum && coverage.iter().any(|coverage| *coverage != Coverage::Always) {
        return Err(Stop::because("some rows have no value to take the least or greatest of"));
    }
    if let Some(weight) = trees.weights.iter().find(|weight| !weight.value.is_finite()) {
        return Err(Stop::because(format!("a leaf has the value {}", weight.value)));
    }
    let outputs = trees.outputs as u32;
    let first = context.pool.add(trees, &given.columns, &context.place);
    let first = first.ok_or_else(|| Stop::because("its trees do not go together with those of another node"))?;
    (0..outputs).map(|output| context.builder.input(context.width as u32 + first + output)).collect()
}

fn output_count(count: i64) -> Result<usize, Stop> {
    match usize::try_from(count) {
        Ok(count) if (1..=MAX_OUTPUTS).contains(&count) => Ok(count),
        _ => Err(Stop::because(format!("it has {count} targets or classes"))),
    }
}

/// None, or one an output; a classifier of two classes may have one.
fn base_values(node: &Node<'_>, outputs: usize) -> Result<Vec<f32>, Stop> {
    let base = numbers(&node.attributes, "base_values", "base_values_as_tensor")?;
    let base: Vec<f32> = base.into_iter().map(Threshold::nearest).collect();
    let lone = base.len() == 1 && outputs == 2 && node.operator == "TreeEnsembleClassifier";
    if !base.is_empty() && base.len() != outputs && !lone {
        return Err(Stop::malformed(format!("it has {} base values for {outputs} outputs", base.len())));
    }
    if let Some(value) = base.iter().find(|value| !value.is_finite()) {
        return Err(Stop::because(format!("it has the base value {value}")));
    }
    Ok(base)
}

//! What each operator is, in instructions, columns and trees.

use super::arithmetic::{cast, combine, reduce, unary};
use super::arrange::{concat, extract, flatten, gather, reshape, slice, squeeze, unsqueeze};
use super::file::Node;
use super::graph::Context;
use super::preparation::{clip, imputer, scaler};
use super::program::{Binary, Unary};
use super::stop::Stop;
use super::tensor::Elements;
use super::tree_nodes::{tree_classifier, tree_ensemble, tree_regressor};
use super::tree_scores::softmax;
use super::value::{Batch, Constant, Layout, Value};

/// The outputs of a node, in order; an absent input is `None`.
pub(super) fn lower(context: &mut Context, node: &Node<'_>, inputs: &[Option<Value>]) -> Result<Vec<Value>, Stop> {
    match node.operator {
        "TreeEnsembleRegressor" => tree_regressor(context, node, batch(inputs, 0)?),
        "TreeEnsembleClassifier" => tree_classifier(context, node, batch(inputs, 0)?),
        "TreeEnsemble" => tree_ensemble(context, node, batch(inputs, 0)?),
        "Constant" => Ok(vec![Value::Constant(constant(node)?)]),
        _ => Ok(vec![Value::Batch(plain(context, node, inputs)?)]),
    }
}

fn plain(context: &mut Context, node: &Node<'_>, inputs: &[Option<Value>]) -> Result<Batch, Stop> {
    let elementwise = match node.operator {
        "Neg" => Some(Unary::Negate),
        "Abs" => Some(Unary::Absolute),
        "Reciprocal" => Some(Unary::Reciprocal),
        "Exp" => Some(Unary::Exponential),
        "Log" => Some(Unary::Logarithm),
        "Sigmoid" => Some(Unary::Sigmoid),
        _ => None,
    };
    let joining = match node.operator {
        "Add" | "Sum" | "Mean" => Some(Binary::Add),
        "Sub" => Some(Binary::Subtract),
        "Mul" => Some(Binary::Multiply),
        "Div" => Some(Binary::Divide),
        "Max" => Some(Binary::Maximum),
        "Min" => Some(Binary::Minimum),
        "Pow" => Some(Binary::Power),
        _ => None,
    };
    if let Some(kind) = elementwise {
        node.attributes.require_known(&[])?;
        return unary(&mut context.builder, kind, batch(inputs, 0)?);
    }
    if let Some(kind) = joining {
        node.attributes.require_known(&[])?;
        let operands = inputs.iter().flatten().cloned().collect::<Vec<_>>();
        let joined = combine(&mut context.builder, kind, &operands)?;
        if node.operator != "Mean" {
            return Ok(joined);
        }
        let count = Elements::Floats(vec![operands.len() as f32]);
        let count = Value::Constant(Constant { dimensions: Vec::new(), elements: count });
        return combine(&mut context.builder, Binary::Divide, &[Value::Batch(joined), count]);
    }
    rearranged(context, node, inputs)
}

fn rearranged(context: &mut Context, node: &Node<'_>, inputs: &[Option<Value>]) -> Result<Batch, Stop> {
    let attributes = &node.attributes;
    let known: &[&str] = match node.operator {
        "Identity" | "ArrayFeatureExtractor" => &[],
        "Cast" => &["to", "saturate"],
        "Reshape" => &["allowzero"],
        "Squeeze" | "Unsqueeze" => &["axes"],
        "Flatten" | "Gather" | "Concat" | "Softmax" => &["axis"],
        "Slice" => &["axes", "starts", "ends"],
        "ReduceMean" | "ReduceSum" => &["axes", "keepdims", "noop_with_empty_axes"],
        "Scaler" => &["offset", "scale"],
        "Imputer" => &["imputed_value_floats", "replaced_value_float"],
        "Clip" => &["min", "max"],
        _ => return Err(Stop::because("the operator is not known")),
    };
    attributes.require_known(known)?;
    let builder = &mut context.builder;
    match node.operator {
        "Identity" => Ok(batch(inputs, 0)?.clone()),
        "Cast" => cast(builder, batch(inputs, 0)?, attributes.integer("to")?.unwrap_or(0)),
        "Reshape" if attributes.integer("allowzero")?.unwrap_or(0) == 0 => {
            reshape(batch(inputs, 0)?.clone(), numbers_at(inputs, 1)?)
        }
        "Squeeze" => squeeze(batch(inputs, 0)?.clone(), &axes(node, inputs, context.version >= 13)?),
        "Unsqueeze" => unsqueeze(batch(inputs, 0)?.clone(), &axes(node, inputs, context.version >= 13)?),
        "Flatten" => flatten(batch(inputs, 0)?.clone(), attributes.integer("axis")?.unwrap_or(1)),
        "Gather" => {
            let indices = constant_at(inputs, 1)?;
            let axis = attributes.integer("axis")?.unwrap_or(0);
            gather(batch(inputs, 0)?, axis, &indices.dimensions, indices.integers()?)
        }
        "ArrayFeatureExtractor" if batch(inputs, 0)?.layout == Layout::Matrix => {
            extract(batch(inputs, 0)?, numbers_at(inputs, 1)?)
        }
        "Slice" => sliced(node, inputs, context.version >= 10),
        "Concat" => {
            let batches =
                (0..inputs.len()).map(|place| batch(inputs, place).cloned()).collect::<Result<Vec<_>, _>>()?;
            concat(&batches, attributes.integer("axis")?.unwrap_or(0))
        }
        "Softmax" => {
            let given = batch(inputs, 0)?;
            let axis = attributes.integer("axis")?.unwrap_or(if context.version >= 13 { -1 } else { 1 });
            if given.layout != Layout::Matrix || !matches!(axis, 1 | -1) {
                return Err(Stop::because(format!("it takes the softmax over axis {axis}")));
            }
            let columns = softmax(builder, &given.columns, !given.double)?;
            Ok(Batch { columns, ..*given })
        }
        "ReduceMean" | "ReduceSum" => {
            let mean = node.operator == "ReduceMean";
            let axes = axes(node, inputs, context.version >= if mean { 18 } else { 13 })?;
            let keep = attributes.integer("keepdims")?.unwrap_or(1) != 0;
            reduce(builder, batch(inputs, 0)?, &axes, keep, mean)
        }
        "Scaler" => scaler(builder, batch(inputs, 0)?, &attributes.floats("offset")?, &attributes.floats("scale")?),
        "Imputer" => {
            let replaced = attributes.float("replaced_value_float")?.unwrap_or(0.0);
            imputer(builder, batch(inputs, 0)?, replaced, &attributes.floats("imputed_value_floats")?)
        }
        "Clip" => clip(context, node, inputs),
        _ => Err(Stop::because("its form is not known")),
    }
}

/// Columns from one bound to another, on one axis and with no step.
fn sliced(node: &Node<'_>, inputs: &[Option<Value>], by_inputs: bool) -> Result<Batch, Stop> {
    let [starts, ends, axes] = if by_inputs {
        if inputs.get(4).is_some_and(|steps| !matches!(steps, Some(Value::Constant(steps)) if is_one(steps))) {
            return Err(Stop::because("it slices in steps"));
        }
        [numbers_at(inputs, 1)?.to_vec(), numbers_at(inputs, 2)?.to_vec(), numbers_at(inputs, 3)?.to_vec()]
    } else {
        let attributes = &node.attributes;
        [attributes.integers("starts")?, attributes.integers("ends")?, attributes.integers("axes")?]
    };
    match (starts.as_slice(), ends.as_slice(), axes.as_slice()) {
        ([start], [end], [on]) => slice(batch(inputs, 0)?, *on, *start, *end),
        _ => Err(Stop::because("it slices several axes")),
    }
}

fn is_one(steps: &Constant) -> bool {
    matches!(&steps.elements, Elements::Integers(steps) if steps[..] == [1])
}

fn axes(node: &Node<'_>, inputs: &[Option<Value>], by_input: bool) -> Result<Vec<i64>, Stop> {
    if by_input { Ok(numbers_at(inputs, 1)?.to_vec()) } else { node.attributes.integers("axes") }
}

fn constant(node: &Node<'_>) -> Result<Constant, Stop> {
    node.attributes.require_known(&["value", "value_float", "value_floats", "value_int", "value_ints"])?;
    let attributes = &node.attributes;
    if let Some((dimensions, elements)) = attributes.tensor("value")? {
        return Ok(Constant { dimensions, elements });
    }
    if let Some(value) = attributes.float("value_float")? {
        return Ok(Constant { dimensions: Vec::new(), elements: Elements::Floats(vec![value]) });
    }
    if let Some(value) = attributes.integer("value_int")? {
        return Ok(Constant { dimensions: Vec::new(), elements: Elements::Integers(vec![value]) });
    }
    let (floats, integers) = (attributes.floats("value_floats")?, attributes.integers("value_ints")?);
    let elements = if floats.is_empty() { Elements::Integers(integers) } else { Elements::Floats(floats) };
    Ok(Constant { dimensions: vec![elements.len() as i64], elements })
}

fn batch(inputs: &[Option<Value>], place: usize) -> Result<&Batch, Stop> {
    match inputs.get(place) {
        Some(Some(Value::Batch(batch))) => Ok(batch),
        Some(Some(Value::Constant(_))) => Err(Stop::because(format!("input {place} is a constant"))),
        Some(Some(Value::Labels)) => Err(Stop::because("it reads the labels of a classifier")),
        _ => Err(Stop::because(format!("input {place} is absent"))),
    }
}

fn constant_at(inputs: &[Option<Value>], place: usize) -> Result<&Constant, Stop> {
    match inputs.get(place) {
        Some(Some(Value::Constant(constant))) => Ok(constant),
        _ => Err(Stop::because(format!("input {place} is no constant"))),
    }
}

fn numbers_at(inputs: &[Option<Value>], place: usize) -> Result<&[i64], Stop> {
    constant_at(inputs, place)?.integers()
}

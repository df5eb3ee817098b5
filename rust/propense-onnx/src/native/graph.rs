//! The walk over a graph, from the features to the score.

use std::collections::{HashMap, HashSet};

use crate::interface::{INPUT_NAME, OUTPUT_NAME};

use super::file::{Graph, Model, Node, Port};
use super::operators;
use super::program::Register;
use super::stop::Stop;
use super::tensor::Tensor;
use super::trees::Pool;
use super::value::{Batch, Builder, Constant, Layout, Value};

/// ONNX's number of the element type float32.
const FLOAT: i64 = 1;
/// The versions of the plain and of the `ai.onnx.ml` operators whose meaning is known here.
const PLAIN_VERSIONS: std::ops::RangeInclusive<i64> = 8..=22;
const ML_VERSIONS: std::ops::RangeInclusive<i64> = 1..=5;

/// A graph taken apart: instructions, trees, and the register that holds the score.
pub(super) struct Parts {
    pub(super) builder: Builder,
    pub(super) pool: Pool,
    pub(super) score: Register,
}

/// What a node may look at and add to.
pub(super) struct Context {
    pub(super) builder: Builder,
    pub(super) pool: Pool,
    /// How an error calls the node at hand.
    pub(super) place: String,
    /// Features in a row.
    pub(super) width: usize,
    /// The version of the plain operators.
    pub(super) version: i64,
}

/// Take a canonical model apart.
///
/// # Errors
///
/// [`Stop`], with the node named.
pub(super) fn take_apart(model: &Model<'_>, width: usize) -> Result<Parts, Stop> {
    let graph = &model.graph;
    require_canonical(graph, width)?;
    if model.has_functions {
        return Err(Stop::because("the model defines operators of its own"));
    }
    let version = version_of(model, &["", "ai.onnx"])?;
    let ml_version = version_of(model, &["ai.onnx.ml"])?;
    let mut context = Context {
        builder: Builder::beside(width),
        pool: Pool::default(),
        place: String::new(),
        width,
        version: version.unwrap_or(0),
    };
    let mut known = HashMap::new();
    let columns = (0..width as u32).map(|feature| context.builder.input(feature)).collect::<Result<_, _>>()?;
    known.insert(INPUT_NAME, Value::Batch(Batch { layout: Layout::Matrix, columns, double: false }));
    let needed = needed_nodes(graph);
    let mut constants = HashMap::new();
    for tensor in &graph.initializers {
        if constants.insert(tensor.name, tensor).is_some() {
            return Err(Stop::because(format!("constant {:?} is there twice", tensor.name)));
        }
    }
    for node in graph.nodes.iter().enumerate().filter(|(place, _)| needed.contains(place)).map(|(_, node)| node) {
        context.place = place_of(node);
        let outputs = node_outputs(&mut context, node, &known, &constants, ml_version);
        for (name, value) in node.outputs.iter().zip(outputs.map_err(|stop| stop.at(&place_of(node)))?) {
            if !name.is_empty() && known.insert(name, value).is_some() {
                return Err(Stop::because(format!("tensor {name:?} is made twice")).at(&place_of(node)));
            }
        }
    }
    let score = match known.get(OUTPUT_NAME) {
        Some(Value::Batch(Batch { layout: Layout::Rows, columns, double: false })) => columns[0],
        _ => return Err(Stop::because("the score is not float32 [N]")),
    };
    Ok(Parts { builder: context.builder, pool: context.pool, score })
}

fn node_outputs(
    context: &mut Context,
    node: &Node<'_>,
    known: &HashMap<&str, Value>,
    constants: &HashMap<&str, &Tensor<'_>>,
    ml_version: Option<i64>,
) -> Result<Vec<Value>, Stop> {
    let (versions, version) = match node.domain {
        "" | "ai.onnx" => (PLAIN_VERSIONS, Some(context.version)),
        "ai.onnx.ml" => (ML_VERSIONS, ml_version),
        other => return Err(Stop::because(format!("operators of domain {other:?} are not known"))),
    };
    if !version.is_some_and(|version| versions.contains(&version)) {
        return Err(Stop::because(format!("operator set {} is not known", version.unwrap_or(0))));
    }
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for name in &node.inputs {
        inputs.push(match (known.get(name), constants.get(name)) {
            _ if name.is_empty() => None,
            (Some(value), _) => Some(value.clone()),
            (None, Some(tensor)) => Some(constant(tensor)?),
            _ => return Err(Stop::because(format!("nothing made tensor {name:?}"))),
        });
    }
    operators::lower(context, node, &inputs)
}

fn constant(tensor: &Tensor<'_>) -> Result<Value, Stop> {
    match tensor.decode()? {
        Some((dimensions, elements)) => Ok(Value::Constant(Constant { dimensions, elements })),
        None => Err(Stop::because(format!("constant {:?} is of a type that is not known", tensor.name))),
    }
}

/// The nodes that the score depends on, by place.
fn needed_nodes(graph: &Graph<'_>) -> HashSet<usize> {
    let mut wanted = HashSet::from([OUTPUT_NAME]);
    let mut needed = HashSet::new();
    for (place, node) in graph.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|name| wanted.contains(name)) {
            needed.insert(place);
            wanted.extend(node.inputs.iter().copied());
        }
    }
    needed
}

/// How an error calls a node: by its operator, and by its name or first output.
fn place_of(node: &Node<'_>) -> String {
    let name = if node.name.is_empty() { node.outputs.first().copied().unwrap_or_default() } else { node.name };
    format!("{} {name:?}", node.operator)
}

/// The version of an operator set, if the model says one.
fn version_of(model: &Model<'_>, domains: &[&str]) -> Result<Option<i64>, Stop> {
    let mut found = None;
    for (domain, version) in model.operator_sets.iter().filter(|(domain, _)| domains.contains(domain)) {
        if found.is_some_and(|other| other != *version) {
            return Err(Stop::because(format!("operator set {domain:?} is there in two versions")));
        }
        found = Some(*version);
    }
    Ok(found)
}

/// One input `features` float32 `[N, width]`, one output `score` float32 `[N]`.
fn require_canonical(graph: &Graph<'_>, width: usize) -> Result<(), Stop> {
    let constants: HashSet<&str> = graph.initializers.iter().map(|tensor| tensor.name).collect();
    let inputs: Vec<&Port<'_>> = graph.inputs.iter().filter(|port| !constants.contains(port.name)).collect();
    let is = |port: &Port<'_>, name: &str, shape: &[Option<i64>]| {
        port.name == name && port.element == FLOAT && port.shape.as_deref() == Some(shape)
    };
    let width = i64::try_from(width).ok();
    match (inputs.as_slice(), graph.outputs.as_slice()) {
        ([input], [output]) if is(input, INPUT_NAME, &[None, width]) && is(output, OUTPUT_NAME, &[None]) => Ok(()),
        _ => Err(Stop::because("the model has not the canonical input and output")),
    }
}

//! The part of `onnx.proto3` that is read: a model's operator sets and its graph, borrowed from its bytes.

use crate::error::OnnxError;

use super::attributes::Attributes;
use super::tensor::Tensor;
use super::wire::Fields;

/// The most nodes and constants of a graph; what trainers export has some hundreds.
const MAX_GRAPH: usize = 20_000;
/// The most inputs, outputs and attributes of a node.
const MAX_NODE: usize = 10_000;

const TWICE: OnnxError = OnnxError::ModelMalformed { problem: "a part that may be there once is there twice" };
const TOO_MANY: OnnxError = OnnxError::ModelMalformed { problem: "its graph has too many parts" };

/// A model's operator sets and graph.
pub(super) struct Model<'b> {
    /// Domain and version, in the order of the file.
    pub(super) operator_sets: Vec<(&'b str, i64)>,
    pub(super) graph: Graph<'b>,
    /// It defines operators of its own.
    pub(super) has_functions: bool,
}

#[derive(Default)]
pub(super) struct Graph<'b> {
    pub(super) nodes: Vec<Node<'b>>,
    pub(super) initializers: Vec<Tensor<'b>>,
    pub(super) inputs: Vec<Port<'b>>,
    pub(super) outputs: Vec<Port<'b>>,
}

#[derive(Default)]
pub(super) struct Node<'b> {
    pub(super) name: &'b str,
    pub(super) domain: &'b str,
    pub(super) operator: &'b str,
    pub(super) inputs: Vec<&'b str>,
    pub(super) outputs: Vec<&'b str>,
    pub(super) attributes: Attributes<'b>,
}

/// An input or output of the graph. A dimension is `None` where it is free.
#[derive(Default)]
pub(super) struct Port<'b> {
    pub(super) name: &'b str,
    /// The number of the element type if it is a tensor; 0 otherwise.
    pub(super) element: i64,
    pub(super) shape: Option<Vec<Option<i64>>>,
}

/// Read a model; its tensors and attributes stay undecoded.
///
/// # Errors
///
/// [`OnnxError::ModelMalformed`].
pub(super) fn read_model(bytes: &[u8]) -> Result<Model<'_>, OnnxError> {
    let mut operator_sets = Vec::new();
    let mut graph = None;
    let mut has_functions = false;
    for field in Fields::of(bytes) {
        match field? {
            (7, content) => once(&mut graph, read_graph(content.bytes()?)?)?,
            (8, content) => limited(&mut operator_sets, read_operator_set(content.bytes()?)?, MAX_NODE)?,
            (25, _) => has_functions = true,
            _ => {}
        }
    }
    let graph = graph.ok_or(OnnxError::ModelMalformed { problem: "it has no graph" })?;
    Ok(Model { operator_sets, graph, has_functions })
}

fn read_operator_set(bytes: &[u8]) -> Result<(&str, i64), OnnxError> {
    let (mut domain, mut version) = ("", 0);
    for field in Fields::of(bytes) {
        match field? {
            (1, content) => domain = content.text()?,
            (2, content) => version = content.integer()?,
            _ => {}
        }
    }
    Ok((domain, version))
}

fn read_graph(bytes: &[u8]) -> Result<Graph<'_>, OnnxError> {
    let mut graph = Graph::default();
    for field in Fields::of(bytes) {
        match field? {
            (1, content) => limited(&mut graph.nodes, read_node(content.bytes()?)?, MAX_GRAPH)?,
            (5, content) => limited(&mut graph.initializers, Tensor::read(content.bytes()?)?, MAX_GRAPH)?,
            (11, content) => limited(&mut graph.inputs, read_port(content.bytes()?)?, MAX_GRAPH)?,
            (12, content) => limited(&mut graph.outputs, read_port(content.bytes()?)?, MAX_GRAPH)?,
            _ => {}
        }
    }
    Ok(graph)
}

fn read_node(bytes: &[u8]) -> Result<Node<'_>, OnnxError> {
    let mut node = Node::default();
    for field in Fields::of(bytes) {
        match field? {
            (1, content) => limited(&mut node.inputs, content.text()?, MAX_NODE)?,
            (2, content) => limited(&mut node.outputs, content.text()?, MAX_NODE)?,
            (3, content) => node.name = content.text()?,
            (4, content) => node.operator = content.text()?,
            (5, content) => limited(node.attributes.list_mut(), Attributes::named(content.bytes()?)?, MAX_NODE)?,
            (7, content) => node.domain = content.text()?,
            _ => {}
        }
    }
    Ok(node)
}

fn read_port(bytes: &[u8]) -> Result<Port<'_>, OnnxError> {
    let mut port = Port::default();
    for field in Fields::of(bytes) {
        match field? {
            (1, content) => port.name = content.text()?,
            (2, content) => read_type(content.bytes()?, &mut port)?,
            _ => {}
        }
    }
    Ok(port)
}

fn read_type(bytes: &[u8], port: &mut Port<'_>) -> Result<(), OnnxError> {
    for field in Fields::of(bytes) {
        let (1, tensor) = field? else { continue };
        for field in Fields::of(tensor.bytes()?) {
            match field? {
                (1, content) => port.element = content.integer()?,
                (2, content) => once(&mut port.shape, read_shape(content.bytes()?)?)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn read_shape(bytes: &[u8]) -> Result<Vec<Option<i64>>, OnnxError> {
    let mut shape = Vec::new();
    for field in Fields::of(bytes) {
        let (1, dimension) = field? else { continue };
        let mut size = None;
        for field in Fields::of(dimension.bytes()?) {
            match field? {
                (1, content) => size = Some(content.integer()?),
                (2, _) => size = None,
                _ => {}
            }
        }
        limited(&mut shape, size, MAX_NODE)?;
    }
    Ok(shape)
}

/// Protobuf merges two of a part that may be there once; no exporter writes that.
fn once<T>(place: &mut Option<T>, part: T) -> Result<(), OnnxError> {
    if place.replace(part).is_some() {
        return Err(TWICE);
    }
    Ok(())
}

fn limited<T>(list: &mut Vec<T>, element: T, most: usize) -> Result<(), OnnxError> {
    if list.len() >= most {
        return Err(TOO_MANY);
    }
    list.push(element);
    Ok(())
}

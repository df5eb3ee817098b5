"""Finds what is wanted in a foreign ONNX graph and cuts the rest away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from propense.exceptions import ModelError

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8
"""What a model is given if it has none, and the oldest file version written."""

_OLDEST_OPSET = 8  # from here on Reshape, Max and arithmetic mean what the added nodes need

_PASSING = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})


@dataclass(frozen=True)
class Output:
    """The tensor that holds a model's answer.

    ``classes`` are the labels of its columns where the graph tells them. ``classifier`` says that
    the graph also gives labels or ends in a sigmoid or softmax, so the answer may be a probability.
    """

    tensor: str
    classes: tuple[int | str, ...]
    classifier: bool


def feature_input(graph: onnx.GraphProto, *, width: int) -> onnx.ValueInfoProto:
    """Give the graph's one input, a float or double tensor [N, width].

    Raises
    ------
    ModelError
        If there is another number of inputs, or the input's type or shape is another.
    """
    import onnx

    constants = {tensor.name for tensor in graph.initializer}
    inputs = [item for item in graph.input if item.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(repr(item.name) for item in inputs) or "none"
        raise ModelError(
            f"The ONNX model has {len(inputs)} inputs ({names}); expected one, "
            f"float [N, {width}]. Export it with one tensor of all features."
        )
    found: onnx.ValueInfoProto = inputs[0]
    tensor = found.type.tensor_type
    if tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ModelError(
            f"Input {found.name!r} of the ONNX model is {kind}; expected FLOAT or DOUBLE."
        )
    if tensor.HasField("shape"):
        sizes = [item.dim_value for item in tensor.shape.dim]
        if len(sizes) != 2 or sizes[1] not in (0, width):
            raise ModelError(
                f"Input {found.name!r} of the ONNX model has shape {sizes} (0 is any); "
                f"expected [N, {width}]. Train it on the plan's own columns."
            )
    _refuse_wide_trees(graph, found.name, width)
    return found


def _refuse_wide_trees(graph: onnx.GraphProto, name: str, width: int) -> None:
    """Refuse trees that read past the last column, where declared shapes are silent or lie."""
    carrying = {name}
    for node in graph.node:
        if not node.input or node.input[0] not in carrying:
            continue
        if node.op_type in ("Cast", "Identity"):
            carrying.update(node.output)
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        for item in node.attribute:
            if item.name == "nodes_featureids" and any(not 0 <= at < width for at in item.ints):
                raise ModelError(
                    f"The trees of the ONNX model read columns {min(item.ints)} to "
                    f"{max(item.ints)}; the plan has columns 0 to {width - 1}."
                )


def find_output(graph: onnx.GraphProto, *, output: str | None) -> Output:
    """Give the tensor of probabilities or values behind the graph's outputs.

    Label outputs are passed over, and ZipMap is looked through.

    Raises
    ------
    ModelError
        If no output, or more than one, can be it and ``output`` does not say which.
    """
    import onnx

    makers = {name: node for node in graph.node for name in node.output if name}
    candidates: dict[str, onnx.ValueInfoProto] = {}
    labels: list[str] = []
    for item in graph.output:
        numbers = item.type.tensor_type.elem_type in (
            onnx.TensorProto.FLOAT,
            onnx.TensorProto.DOUBLE,
        )
        if numbers or item.type.HasField("sequence_type"):
            candidates[item.name] = item
        else:
            labels.append(item.name)
    if output is not None:
        candidates = {name: item for name, item in candidates.items() if name == output}
    if len(candidates) != 1:
        names = ", ".join(repr(item.name) for item in graph.output)
        raise ModelError(
            f"The ONNX model has {len(candidates)} outputs that could be the score, among {names}; "
            "expected one of float or a ZipMap. Name it with output=."
        )
    [(name, item)] = candidates.items()
    if item.type.HasField("sequence_type"):
        name = _before_zipmap(makers, name)
    ancestors = list(_ancestors(makers, [name, *labels]))
    end = makers.get(name)
    while end is not None and end.op_type in _PASSING:
        end = makers.get(end.input[0])
    squashed = end is not None and end.op_type in ("Sigmoid", "Softmax")
    zipmaps = [node for node in graph.node if node.op_type == "ZipMap" and name in node.input]
    return Output(
        tensor=name,
        classes=_classes(graph, [*zipmaps, *ancestors]),
        classifier=bool(labels or zipmaps or squashed),
    )


def _before_zipmap(makers: dict[str, onnx.NodeProto], name: str) -> str:
    node = makers.get(name)
    if node is None or node.op_type != "ZipMap":
        raise ModelError(
            f"Output {name!r} of the ONNX model is a sequence that no ZipMap made; "
            "expected a tensor. Export it with zipmap=False."
        )
    return str(node.input[0])


def _ancestors(makers: dict[str, onnx.NodeProto], names: Iterable[str]) -> Iterator[onnx.NodeProto]:
    """Give the nodes that the named tensors depend on, nearest first."""
    waiting, seen = list(names), set[int]()
    while waiting:
        node = makers.get(waiting.pop(0))
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            waiting += node.input
            yield node


def _classes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> tuple[int | str, ...]:
    """Give the class labels kept by the nearest ZipMap, classifier or lookup of the label."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in nodes:
        for item in node.attribute:
            if item.name.startswith("classlabels_") and (item.ints or item.strings):
                return tuple(item.ints) or tuple(text.decode() for text in item.strings)
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in constants:
            values = numpy_helper.to_array(constants[node.input[0]]).reshape(-1).tolist()
            if all(isinstance(value, (int, str, bytes)) for value in values):
                return tuple(v.decode() if isinstance(v, bytes) else v for v in values)
    return ()


def cut_at(model: onnx.ModelProto, tensor: str, *, entry: str, width: int) -> onnx.ModelProto:
    """Give a copy with input ``features`` float32 [N, width] and the tensor as its only output.

    What the output does not need is gone. All other names get the prefix ``foreign_``, so that
    nodes can be appended under plain names. The output's type is left for the runtime to infer.
    """
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

    cut = ModelProto()
    cut.CopyFrom(model)
    makers = {name: node for node in cut.graph.node for name in node.output if name}
    kept = {id(node) for node in _ancestors(makers, [tensor])}
    nodes = [node for node in cut.graph.node if id(node) in kept]
    used = {name for node in nodes for name in node.input} | {tensor}
    _set_versions(cut, nodes)
    constants = [item for item in cut.graph.initializer if item.name in used]
    sparse = [item for item in cut.graph.sparse_initializer if item.values.name in used]
    [given] = [item for item in cut.graph.input if item.name == entry]
    double = given.type.tensor_type.elem_type == TensorProto.DOUBLE

    def renamed(name: str) -> str:
        if name == entry and not double:
            return "features"
        return f"foreign_{name}" if name else ""

    for node in nodes:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for stored in (*constants, *(item.values for item in sparse)):
        stored.name = renamed(stored.name)
    if double:
        nodes.insert(
            0, helper.make_node("Cast", ["features"], [renamed(entry)], to=TensorProto.DOUBLE)
        )
    trimmed = GraphProto(
        name="propense",
        node=nodes,
        initializer=constants,
        sparse_initializer=sparse,
        input=[helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", width])],
        output=[ValueInfoProto(name=renamed(tensor))],
    )
    cut.graph.CopyFrom(trimmed)
    return cut


def _set_versions(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Import each operator set once and raise an old file version.

    A model of ai.onnx.ml operators alone gets the plain operators of ``OPSET``.
    """
    from onnx import helper

    versions = {item.domain: item.version for item in model.opset_import}
    versions[""] = versions.get("", versions.get("ai.onnx", 0))
    plain = any(node.domain in ("", "ai.onnx") for node in nodes)
    version = versions[""] if plain else OPSET
    if version < _OLDEST_OPSET:
        raise ModelError(
            f"The ONNX model is written for operator set {version}; expected {_OLDEST_OPSET} or "
            f"later. Export it with target_opset={OPSET}."
        )
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", version))
    if "ai.onnx.ml" in versions:
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", versions["ai.onnx.ml"]))
    model.ir_version = max(model.ir_version, IR_VERSION)

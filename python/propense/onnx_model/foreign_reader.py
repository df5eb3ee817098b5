"""Reads an ONNX file that somebody else made, and refuses what propense will not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from propense.exceptions import ModelError

if TYPE_CHECKING:
    import onnx

MAX_MODEL_BYTES = 256 * 1024 * 1024
"""The largest ONNX file that is read."""

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

_CONTROL_FLOW = frozenset({"Loop", "If", "Scan", "SequenceMap"})

_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


def read_foreign(source: bytes | str | Path) -> onnx.ModelProto:
    """Give the parsed model of an ONNX file or its bytes.

    Raises
    ------
    ModelError
        If it is over ``MAX_MODEL_BYTES`` or no ONNX model, keeps tensors in other files, has
        control flow, functions of its own, operators outside the ONNX standard, or random numbers.
    """
    import onnx

    place, data = _bytes(source)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own, whose type is no part of onnx
        raise ModelError(f"{place} is not an ONNX model: {error}. Export it again.") from error
    if not model.graph.node or not model.graph.output:
        raise ModelError(f"{place} is not an ONNX model: it has no graph. Export it again.")
    if model.functions:
        raise ModelError(f"{place} defines functions of its own; expected standard operators only.")
    for node in model.graph.node:
        _refuse_node(node, place)
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ModelError(
                f"{place} keeps tensor {tensor.name!r} in another file. "
                "Save the model with its data inside (save_as_external_data=False)."
            )
    del model.training_info[:]
    return model


def _bytes(source: bytes | str | Path) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        _refuse_size("The ONNX model", len(source))
        return "The ONNX model", source
    path = Path(source)
    try:
        _refuse_size(str(path), path.stat().st_size)
        return str(path), path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error


def _refuse_size(place: str, size: int) -> None:
    if size > MAX_MODEL_BYTES:
        raise ModelError(f"{place} has {size} bytes; at most {MAX_MODEL_BYTES} are accepted.")


def _refuse_node(node: onnx.NodeProto, place: str) -> None:
    import onnx

    graphs = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    if node.domain not in _DOMAINS:
        raise ModelError(
            f"{place} uses operator {node.op_type} of domain {node.domain!r}; expected operators "
            "of ai.onnx and ai.onnx.ml only. Export it without custom operators."
        )
    if node.op_type in _CONTROL_FLOW or any(item.type in graphs for item in node.attribute):
        raise ModelError(
            f"{place} uses control flow ({node.op_type}), which may never end. "
            "Export a model without loops and branches."
        )
    if node.op_type in _RANDOM:
        raise ModelError(
            f"{place} draws random numbers ({node.op_type}); a score must be the same every time. "
            "Export the model for inference."
        )


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for item in node.attribute:
            yield from (item.t, *item.tensors)
            for sparse in (item.sparse_tensor, *item.sparse_tensors):
                yield from (sparse.values, sparse.indices)

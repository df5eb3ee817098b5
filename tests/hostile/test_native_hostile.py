"""Damaged files of trees are refused with the node named; none panics, hangs or takes much memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

from propense import _core
from propense.exceptions import ModelError
from propense.runtime import initialise

initialise()

WIDTH = 3
Lists = dict[str, list[Any]]


def _lists() -> Lists:
    """Two trees: `x0 <= 1`, then `x1 < 2` on its right; and one leaf."""
    return {
        "nodes_treeids": [0, 0, 0, 0, 0, 1],
        "nodes_nodeids": [0, 1, 2, 3, 4, 0],
        "nodes_featureids": [0, 0, 1, 0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF", "LEAF"],
        "nodes_values": [1.0, 0.0, 2.0, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 3, 0, 0, 0],
        "nodes_falsenodeids": [2, 0, 4, 0, 0, 0],
        "nodes_missing_value_tracks_true": [1, 0, 0, 0, 0, 0],
        "target_treeids": [0, 0, 0, 1],
        "target_nodeids": [1, 3, 4, 0],
        "target_ids": [0, 0, 0, 0],
        "target_weights": [0.5, -0.25, 1.0, 0.125],
    }


def _bytes(lists: Lists, **attributes: Any) -> bytes:
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["logit"],
        name="forest",
        domain="ai.onnx.ml",
        **{"n_targets": 1, **lists, **attributes},
    )
    return _model([node])


def _model(nodes: list[Any], ml: int = 3) -> bytes:
    graph = helper.make_graph(
        [
            *nodes,
            helper.make_node("Sigmoid", ["logit"], ["probability"]),
            helper.make_node("Reshape", ["probability", "rows"], ["score"]),
        ],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])],
        initializer=[helper.make_tensor("rows", TensorProto.INT64, [1], [-1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", ml)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def _set(name: str, place: int, value: Any) -> Callable[[Lists], None]:
    def damage(lists: Lists) -> None:
        lists[name][place] = value

    return damage


def _cut(name: str) -> Callable[[Lists], None]:
    def damage(lists: Lists) -> None:
        del lists[name][-1]

    return damage


STRUCTURAL: dict[str, tuple[Callable[[Lists], None], str]] = {
    "cycle": (_set("nodes_truenodeids", 2, 0), "tree 0.* leads back to itself"),
    "own_child": (_set("nodes_falsenodeids", 2, 2), "node 2 of tree 0 leads back to itself"),
    "dangling": (_set("nodes_truenodeids", 0, 9), "node 0 of tree 0 leads to node 9"),
    "negative_child": (_set("nodes_falsenodeids", 0, -1), "node 0 of tree 0 leads to node -1"),
    "other_tree": (_set("nodes_treeids", 4, 1), "node 4 of tree 0, which is not there"),
    "twice": (_set("nodes_nodeids", 4, 3), "node 3 of tree 0 is there twice"),
    "nan": (_set("nodes_values", 2, np.nan), "node 2 of tree 0 compares with NaN"),
    "feature": (_set("nodes_featureids", 2, 3), "node 2 of tree 0 reads feature 3; a row has 3"),
    "no_feature": (_set("nodes_featureids", 2, -4), "node 2 of tree 0 reads feature -4"),
    "huge_number": (_set("nodes_nodeids", 4, 2**40), "beyond 32 bits"),
    "target": (_set("target_ids", 1, 7), "node 3 of tree 0 has a value for output 7 of 1"),
    "no_such_leaf": (_set("target_nodeids", 1, 8), "a value is for node 8 of tree 0"),
    **{
        f"short_{name}": (_cut(name), f"{name} has|and {name.replace('tree', 'tree')} ")
        for name in _lists()
        if name not in ("nodes_treeids", "target_treeids")
    },
}


def _refusal(model: bytes) -> str:
    with pytest.raises(ModelError) as raised:
        _core.OnnxModel(model, WIDTH)
    return str(raised.value)


def test_the_whole_file_runs_natively() -> None:
    model = _core.OnnxModel(_bytes(_lists()), WIDTH)
    assert model.native, model.engine
    rows = np.array([[1, 0, 0], [2, 1, 0], [2, 2, 0], [np.nan, 5, 0]], np.float32)
    expected = 1 / (1 + np.exp(-np.array([0.625, -0.125, 1.125, 0.625])))
    assert np.abs(model.score(rows) - expected).max() < 1e-7


@pytest.mark.parametrize("name", STRUCTURAL)
def test_trees_that_contradict_themselves_are_refused_by_node(name: str) -> None:
    damage, message = STRUCTURAL[name]
    lists = _lists()
    damage(lists)
    with pytest.raises(ModelError, match=message):
        _core.OnnxModel(_bytes(lists), WIDTH)
    assert "forest" in _refusal(_bytes(lists))


def _flat(**changed: Any) -> bytes:
    """One branch on a set of codes, as operator set 5 writes it."""
    floats = {"nodes_splits": [0.0], "membership_values": [3.0, 29.0, np.nan]}
    tensors = {
        name: numpy_helper.from_array(np.array(changed.pop(name, values), np.float32), name)
        for name, values in {**floats, "leaf_weights": [1.0, -1.0]}.items()
    }
    modes = np.array(changed.pop("nodes_modes", [6]), np.uint8)
    lists = {
        "n_targets": 1,
        "tree_roots": [0],
        "nodes_featureids": [1],
        "nodes_truenodeids": [0],
        "nodes_falsenodeids": [1],
        "nodes_trueleafs": [1],
        "nodes_falseleafs": [1],
        "leaf_targetids": [0, 0],
        "nodes_modes": numpy_helper.from_array(modes, "nodes_modes"),
    }
    attributes = {**lists, **tensors, **changed}
    node = helper.make_node(
        "TreeEnsemble", ["features"], ["logit"], name="forest", domain="ai.onnx.ml", **attributes
    )
    return _model([node], ml=5)


@pytest.mark.parametrize("members", [[3.0, 29.0], [3.0, 41.0], [-3.0, 3.0]])
def test_membership_is_that_of_onnx_runtime(members: list[float]) -> None:
    model = _flat(membership_values=[*members, np.nan])
    native = _core.OnnxModel(model, WIDTH)
    other = _core.OnnxModel(model, WIDTH, native=False)
    # In a large set ONNX Runtime looks for what is left of the value without its fraction.
    assert native.native == (members == [3.0, 29.0]), native.engine
    codes = [
        3,
        29,
        41,
        np.nan,
        2,
        3.5,
        -3,
        -3.5,
        np.nextafter(np.float32(29), np.float32(0)),
        np.inf,
    ]
    rows = np.array([[0, code, 0] for code in codes], np.float32)
    assert np.abs(native.score(rows) - other.score(rows)).max() <= 1e-6
    assert native.score(rows)[0] > 0.7 > native.score(rows)[4]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tree_roots": [4]}, "starts at branch 4"),
        ({"nodes_truenodeids": [5]}, "branch 0 leads to leaf 5"),
        ({"nodes_trueleafs": [0]}, "leads back to itself"),
        ({"nodes_featureids": [3]}, "reads feature 3"),
        ({"membership_values": []}, "empty set"),
        ({"nodes_modes": [0], "nodes_splits": [np.nan]}, "branch 0 compares with NaN"),
        ({"leaf_targetids": [0, 2]}, "leaf 1 has a value for output 2 of 1"),
        ({"leaf_weights": [1.0]}, "leaf_weights has 1 entries and leaf_targetids 2"),
    ],
)
def test_flat_trees_that_contradict_themselves_are_refused(changed: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _core.OnnxModel(_flat(**changed), WIDTH)


def test_a_deep_chain_neither_overflows_the_stack_nor_hangs() -> None:
    model = _core.OnnxModel(_chain(1_900), WIDTH)
    assert model.native
    assert np.isfinite(model.score(np.zeros((2, WIDTH), np.float32))).all()
    with pytest.raises(ModelError, match="forest.*200000 nodes deep"):
        _core.OnnxModel(_chain(200_000), WIDTH)


def _chain(depth: int) -> bytes:
    nodes = 2 * depth + 1
    leaves = [*range(1, nodes, 2), nodes - 1]
    lists: Lists = {
        "nodes_treeids": [0] * nodes,
        "nodes_nodeids": list(range(nodes)),
        "nodes_featureids": [0] * nodes,
        "nodes_modes": [*["BRANCH_LEQ", "LEAF"] * depth, "LEAF"],
        "nodes_values": [float(node) for node in range(nodes)],
        "nodes_truenodeids": [node + 1 if node % 2 == 0 else 0 for node in range(nodes)],
        "nodes_falsenodeids": [node + 2 if node % 2 == 0 else 0 for node in range(nodes)],
        "target_treeids": [0] * len(leaves),
        "target_nodeids": leaves,
        "target_ids": [0] * len(leaves),
        "target_weights": [0.001] * len(leaves),
    }
    lists["nodes_truenodeids"][-1] = lists["nodes_falsenodeids"][-1] = 0
    return _bytes(lists)


def test_mutated_files_are_refused_or_scored_and_nothing_else() -> None:
    rng = np.random.default_rng(6)
    wholes = [np.frombuffer(data, np.uint8) for data in (_bytes(_lists()), _flat())]
    rows = rng.normal(size=(5, WIDTH)).astype(np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, refused, native = time.monotonic(), 0, 0
    for turn in range(800):
        data = wholes[turn % 2].copy()
        data[rng.integers(len(data), size=rng.integers(1, 4))] = rng.integers(256)
        end = len(data) if turn % 3 else rng.integers(len(data))
        try:
            model = _core.OnnxModel(data[:end].tobytes(), WIDTH)
            native += model.native
            assert model.score(rows).shape == (5,)
        except ModelError:
            refused += 1
    assert refused > 250
    assert native > 5
    assert time.monotonic() - start < 300  # a hang, not a slow machine
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 300_000


def _varint(number: int) -> bytes:
    low = number & 127
    return bytes([low]) if number < 128 else bytes([low | 128]) + _varint(number >> 7)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def test_lists_of_nothing_do_not_grow() -> None:
    """Empty strings take two bytes of a file and more of memory: there is an end to them."""
    name = _field(1, b"nodes_modes") + b"\xa0\x01\x08"  # of kind STRINGS
    trees = b"\x0a\x08features\x12\x05logit\x22\x15TreeEnsembleRegressor\x3a\x0aai.onnx.ml"
    node = trees + _field(5, name + _field(9, b"") * 20_000_000)
    whole = _model([])
    body = whole + _field(7, _field(1, node))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError):
        _core.OnnxModel(body, WIDTH)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000

"""ONNX files that must not be run are refused with an error that names the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from propense.exceptions import ModelError  # noqa: E402
from propense.onnx_model import foreign_reader  # noqa: E402
from propense.onnx_model.foreign import canonical, with_calibration  # noqa: E402

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def _value(name: str, kind: int = FLOAT, shape: Any = (None, 3)) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: list[Any],
    *,
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
    initializer: list[Any] | None = None,
    domains: tuple[str, ...] = ("", "ai.onnx.ml"),
    opset: int = 17,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        inputs or [_value("x")],
        outputs or [_value("y", shape=None)],
        initializer=initializer or [],
    )
    imports = [helper.make_opsetid(name, opset if not name else 3) for name in domains]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def _sum(inputs: tuple[str, ...] = ("x",)) -> Any:
    return helper.make_node("ReduceSum", [*inputs, "axis"], ["y"], keepdims=0)


AXIS = helper.make_tensor("axis", INT64, [1], [1])


def _plain(**changes: Any) -> Any:
    return _model([_sum()], **{"initializer": [AXIS], **changes})


def _tree(feature: int) -> Any:
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[feature, 0, 0],
        nodes_values=[0.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[1.0, 2.0],
    )
    return _model([node], inputs=[_value("x", shape=None)])


def _external() -> Any:
    tensor = helper.make_tensor("axis", INT64, [1], [1])
    tensor.ClearField("int64_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return _plain(initializer=[tensor])


def _external_in_attribute() -> Any:
    tensor = _external().graph.initializer[0]
    constant = helper.make_node("Constant", [], ["axis"], value=tensor)
    return _model([constant, _sum()])


def _loop() -> Any:
    body = helper.make_graph([], "body", [], [])
    return _model([helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)])


def _hidden_graph() -> Any:
    body = helper.make_graph([], "body", [], [])
    return _model([helper.make_node("Identity", ["x"], ["y"], body=body)])


def _function() -> Any:
    model = _plain()
    imports = [helper.make_opsetid("", 17)]
    inner = [helper.make_node("Neg", ["a"], ["b"])]
    model.functions.append(helper.make_function("mine", "F", ["a"], ["b"], inner, imports))
    return model


def _sequence() -> Any:
    kind = helper.make_tensor_type_proto(FLOAT, None)
    output = helper.make_value_info("y", helper.make_sequence_type_proto(kind))
    return _model([helper.make_node("SequenceConstruct", ["x"], ["y"])], outputs=[output])


def _two_sequences() -> Any:
    model = _sequence()
    model.graph.node.append(helper.make_node("SequenceConstruct", ["x"], ["z"]))
    model.graph.output.append(model.graph.output[0])
    model.graph.output[1].name = "z"
    return model


def _cycle() -> Any:
    return _model(
        [helper.make_node("Add", ["x", "y"], ["z"]), helper.make_node("Neg", ["z"], ["y"])]
    )


REFUSED: dict[str, tuple[Any, str]] = {
    "wrong_width": (_plain(inputs=[_value("x", shape=(None, 4))]), r"shape \[0, 4\].*\[N, 3\]"),
    "one_dimension": (_plain(inputs=[_value("x", shape=(3,))]), r"shape \[3\]"),
    "two_inputs": (_plain(inputs=[_value("x"), _value("z")]), "2 inputs \\('x', 'z'\\)"),
    "integer_input": (_plain(inputs=[_value("x", INT64)]), "'x' of the ONNX model is INT64"),
    "text_input": (_plain(inputs=[_value("x", TensorProto.STRING)]), "is STRING"),
    "external": (_external(), "tensor 'axis' in another file"),
    "external_attribute": (_external_in_attribute(), "tensor 'axis' in another file"),
    "control_flow": (_loop(), r"control flow \(If\)"),
    "hidden_graph": (_hidden_graph(), "control flow"),
    "own_function": (_function(), "functions of its own"),
    "custom_domain": (
        _model(
            [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")],
            domains=("", "com.microsoft"),
        ),
        "Gelu of domain 'com.microsoft'",
    ),
    "random": (_model([helper.make_node("RandomNormalLike", ["x"], ["y"])]), "random numbers"),
    "sequence": (_sequence(), "a sequence that no ZipMap made"),
    "two_sequences": (_two_sequences(), "2 outputs that could be the score, among 'y', 'z'"),
    "labels_only": (
        _model([helper.make_node("Cast", ["x"], ["y"], to=INT64)], outputs=[_value("y", INT64)]),
        "0 outputs that could be the score",
    ),
    "three_values": (_model([helper.make_node("Neg", ["x"], ["y"])]), "3 columns that are no prob"),
    "one_answer": (
        _model(
            [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)],
        ),
        r"float32 \[1, 1\] for 64 rows",
    ),
    "not_finite": (
        _model(
            [helper.make_node("Sub", ["x", "x"], ["o"]), helper.make_node("Div", ["o", "o"], ["y"])]
        ),
        "not finite for any check row",
    ),
    "tree_past_the_end": (_tree(3), "read columns 0 to 3; the plan has columns 0 to 2"),
    "tree_before_the_start": (_tree(-1), "read columns -1 to 0"),
    "old_operators": (_plain(opset=6), "operator set 6"),
    "cycle": (_cycle(), "ONNX Runtime cannot run"),
    "unknown_operator": (_model([helper.make_node("Nope", ["x"], ["y"])]), "cannot run"),
    "missing_tensor": (_model([_sum()]), "cannot run"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_must_not_run_is_refused_by_name(name: str) -> None:
    model, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        canonical(model.SerializeToString(), width=3)


def test_the_plain_model_beside_them_is_accepted() -> None:
    assert canonical(_plain().SerializeToString(), width=3).kind == "value"
    assert canonical(_tree(2).SerializeToString(), width=3).kind == "value"


@pytest.mark.parametrize("data", [b"", b"\x00" * 40, b"PK\x03\x04 no model", b"\x08\x08", b"{}"])
def test_other_bytes_are_no_model(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"mine\.onnx is not an ONNX model"):
        canonical(path, width=3)


def test_missing_files_folders_and_giants_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        canonical(tmp_path / "absent.onnx", width=3)
    with pytest.raises(ModelError, match="cannot be read"):
        canonical(tmp_path, width=3)
    monkeypatch.setattr(foreign_reader, "MAX_MODEL_BYTES", 100)
    with pytest.raises(ModelError, match="at most 100 are accepted"):
        canonical(_plain().SerializeToString(), width=3)


def test_mutated_files_raise_nothing_but_model_errors() -> None:
    rng = np.random.default_rng(9)
    whole = np.frombuffer(_tree(1).SerializeToString(), np.uint8)
    refused = 0
    for _ in range(400):
        data = whole.copy()
        data[rng.integers(len(data), size=rng.integers(1, 4))] = rng.integers(256)
        try:
            canonical(data[: rng.integers(len(data) // 2, len(data) + 1)].tobytes(), width=3)
        except ModelError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(("slope", "intercept"), [(np.nan, 0.0), (1.0, np.inf), (1.0, 100.0)])
def test_a_calibration_out_of_range_is_refused(slope: float, intercept: float) -> None:
    taken = canonical(_plain().SerializeToString(), width=3)
    with pytest.raises(ModelError, match="expected finite numbers"):
        with_calibration(taken.model, taken.kind, slope=slope, intercept=intercept)

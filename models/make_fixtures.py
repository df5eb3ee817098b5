"""Write the tiny ONNX fixtures, the scores they must give, and a manifest of their checksums.

Run ``python models/make_fixtures.py``. Everything is seeded: the same package versions write the
same bytes. The good fixtures take ``features`` float32 [N, 6] and give ``score`` float32 [N];
each bad one breaks exactly one rule, named in ``manifest.json``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
WIDTH = 6
MAX_FIXTURE_BYTES = 50_000


def floats(name: str, values: object) -> TensorProto:
    """Return a float32 initialiser called `name`."""
    return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)


def integers(name: str, values: object) -> TensorProto:
    """Return an int64 initialiser called `name`."""
    return numpy_helper.from_array(np.asarray(values, dtype=np.int64), name)


def model(
    nodes: list[NodeProto],
    initialisers: list[TensorProto],
    *,
    inputs: dict[str, tuple[int, list[int | str]]] | None = None,
    outputs: dict[str, tuple[int, list[int | str]]] | None = None,
) -> ModelProto:
    """Return a model of these nodes; inputs and outputs are canonical unless given."""
    inputs = inputs or {"features": (TensorProto.FLOAT, ["N", WIDTH])}
    outputs = outputs or {"score": (TensorProto.FLOAT, ["N"])}
    graph = helper.make_graph(
        nodes,
        "fixture",
        [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
        [helper.make_tensor_value_info(name, *spec) for name, spec in outputs.items()],
        initialisers,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=9, producer_name="propense-fixtures"
    )


def tree_ensemble(trees: int, leaves: int, width: int, seed: int) -> NodeProto:
    """Return a TreeEnsembleRegressor of random trees: ``features`` [N, width] to ``raw`` [N, 1].

    Each tree grows by splitting a random leaf until it has `leaves` of them. Thresholds are
    standard normal; missing values go the true way at every other node, on average.
    """
    rng = np.random.default_rng(seed)
    nodes: dict[str, list[Any]] = {
        key: []
        for key in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids",
                    "falsenodeids", "missing_value_tracks_true")
    }  # fmt: skip
    targets: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(trees):
        children: dict[int, tuple[int, int]] = {}
        open_leaves, size = [0], 1
        while len(open_leaves) < leaves:
            node = open_leaves.pop(int(rng.integers(len(open_leaves))))
            children[node] = (size, size + 1)
            open_leaves += [size, size + 1]
            size += 2
        for node in range(size):
            on_true, on_false = children.get(node, (0, 0))
            branch = node in children
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(int(rng.integers(width)) if branch else 0)
            nodes["values"].append(float(np.float32(rng.normal())) if branch else 0.0)
            nodes["modes"].append("BRANCH_LEQ" if branch else "LEAF")
            nodes["truenodeids"].append(on_true)
            nodes["falsenodeids"].append(on_false)
            nodes["missing_value_tracks_true"].append(int(rng.integers(2)) if branch else 0)
            if not branch:
                targets["treeids"].append(tree)
                targets["nodeids"].append(node)
                targets["ids"].append(0)
                targets["weights"].append(float(np.float32(rng.normal() / np.sqrt(trees))))
    attributes: dict[str, Any] = {f"nodes_{key}": values for key, values in nodes.items()}
    attributes |= {f"target_{key}": values for key, values in targets.items()}
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["raw"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        **attributes,
    )


def calibrated(raw: NodeProto) -> ModelProto:
    """Return the canonical tail after `raw` [N, 1]: slope, intercept, sigmoid, then [N]."""
    nodes = [
        raw,
        helper.make_node("Mul", ["raw", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "intercept"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["score"]),
    ]
    return model(
        nodes, [floats("slope", [0.9]), floats("intercept", [-0.7]), integers("flat", [-1])]
    )


def weights(width: int) -> TensorProto:
    """Return the logistic fixtures' weights [width, 1]."""
    return floats("weights", np.linspace(-0.8, 1.1, width).reshape(width, 1))


def logistic(*, batch: int | str = "N", width: int = WIDTH) -> ModelProto:
    """Return a logistic regression, for a batch of any size unless `batch` fixes it."""
    nodes = [
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["score"]),
    ]
    return model(
        nodes,
        [weights(width), floats("bias", [-0.25]), integers("flat", [-1])],
        inputs={"features": (TensorProto.FLOAT, [batch, width])},
        outputs={"score": (TensorProto.FLOAT, [batch])},
    )


def first_feature(tail: list[NodeProto], extra: list[TensorProto] | None = None) -> ModelProto:
    """Return a model whose `tail` turns ``first`` [N], the first feature, into ``score``."""
    pick = [
        helper.make_node("Slice", ["features", "starts", "ends", "axes"], ["left"]),
        helper.make_node("Reshape", ["left", "flat"], ["first"]),
    ]
    constants = [
        integers("starts", [0]),
        integers("ends", [1]),
        integers("axes", [1]),
        integers("flat", [-1]),
    ]
    return model(pick + tail, constants + (extra or []))


def column_output() -> ModelProto:
    """Return a logistic regression that leaves its score as [N, 1]."""
    nodes = [
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    return model(
        nodes,
        [weights(WIDTH), floats("bias", [-0.25])],
        outputs={"score": (TensorProto.FLOAT, ["N", 1])},
    )


def double_typed() -> ModelProto:
    """Return a logistic regression in float64 throughout."""
    doubles = {
        name: numpy_helper.from_array(values, name)
        for name, values in (
            ("weights", np.linspace(-0.8, 1.1, WIDTH).reshape(WIDTH, 1)),
            ("bias", np.array([-0.25])),
        )
    }
    nodes = [
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["score"]),
    ]
    return model(
        nodes,
        [*doubles.values(), integers("flat", [-1])],
        inputs={"features": (TensorProto.DOUBLE, ["N", WIDTH])},
        outputs={"score": (TensorProto.DOUBLE, ["N"])},
    )


def batch_mean() -> ModelProto:
    """Return a model that mixes rows: sigmoid of the first feature plus its mean over the batch."""
    return first_feature(
        [
            helper.make_node("ReduceMean", ["first"], ["mean"], keepdims=0),
            helper.make_node("Add", ["first", "mean"], ["shifted"]),
            helper.make_node("Sigmoid", ["shifted"], ["score"]),
        ]
    )


def linear() -> ModelProto:
    """Return a logistic regression by ``LinearRegressor``, whose sums may round by batch size."""
    nodes = [
        helper.make_node(
            "LinearRegressor",
            ["features"],
            ["logit"],
            domain="ai.onnx.ml",
            coefficients=[float(np.float32(w)) for w in np.linspace(-0.8, 1.1, WIDTH)],
            intercepts=[-0.25],
        ),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["score"]),
    ]
    return model(nodes, [integers("flat", [-1])])


def logarithm() -> ModelProto:
    """Return the logarithm of the first feature's size: a kernel whose vector tail may differ."""
    return first_feature(
        [helper.make_node("Abs", ["first"], ["size"]), helper.make_node("Log", ["size"], ["score"])]
    )


def nan_score() -> ModelProto:
    """Return a model that gives the first feature over itself: NaN where it is 0, else 1."""
    return first_feature([helper.make_node("Div", ["first", "first"], ["score"])])


def two_inputs() -> ModelProto:
    """Return a model with a second input beside ``features``."""
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["logit"]),
        helper.make_node("Add", ["logit", "offset"], ["score"]),
    ]
    return model(
        nodes,
        [weights(WIDTH), integers("flat", [-1])],
        inputs={
            "features": (TensorProto.FLOAT, ["N", WIDTH]),
            "offset": (TensorProto.FLOAT, ["N"]),
        },
    )


def renamed() -> ModelProto:
    """Return the logistic regression with its input and output called ``x`` and ``y``."""
    renamed_model = logistic()
    graph = renamed_model.graph
    graph.input[0].name, graph.output[0].name = "x", "y"
    graph.node[0].input[0], graph.node[-1].output[0] = "x", "y"
    return renamed_model


def endless_loop() -> ModelProto:
    """Return a model whose ``Loop`` counts to 2**62 before it gives the first feature."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_next"]),
            helper.make_node("Identity", ["value"], ["value_next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N"]),
        ],
        [
            helper.make_tensor_value_info("go_on_next", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_next", TensorProto.FLOAT, ["N"]),
        ],
    )
    loop = helper.make_node("Loop", ["trips", "always", "first"], ["score"], body=body)
    always = numpy_helper.from_array(np.asarray(True), "always")
    return first_feature([loop], [integers("trips", 2**62), always])


def external_data() -> ModelProto:
    """Return the logistic regression with its weights in a file beside it."""
    outside = logistic()
    tensor = outside.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    return outside


FIXTURES: dict[str, tuple[ModelProto, str]] = {
    "trees": (calibrated(tree_ensemble(20, 8, WIDTH, seed=7)), "good: 20 trees of 8 leaves"),
    "logistic": (logistic(), "good: logistic regression; NaN in gives NaN out"),
    "linear": (linear(), "good: logistic regression by LinearRegressor"),
    "logarithm": (logarithm(), "good: log of the first feature's size"),
    "wrong_width": (logistic(width=5), "bad: five features"),
    "column_output": (column_output(), "bad: score is [N, 1]"),
    "double": (double_typed(), "bad: float64 input and output"),
    "two_inputs": (two_inputs(), "bad: a second input"),
    "renamed": (renamed(), "bad: input x, output y"),
    "fixed_batch": (logistic(batch=4), "bad: takes exactly four rows"),
    "nan_score": (nan_score(), "bad: NaN where the first feature is 0, else 1"),
    "batch_mean": (batch_mean(), "bad: a row's score depends on the other rows"),
    "endless_loop": (endless_loop(), "bad: a run takes 2**62 steps"),
    "external_data": (external_data(), "bad: weights in another file"),
}


def check_rows() -> NDArray[np.float32]:
    """Return float32 [75, 6]: normal rows, then NaN, infinite, huge, tiny and signed-zero ones.

    75 is no multiple of a vector width, so that kernels' tails are reached.
    """
    rng = np.random.default_rng(11)
    rows = rng.normal(size=(75, WIDTH)).astype(np.float32)
    rows[40:55][rng.random((15, WIDTH)) < 0.3] = np.nan
    rows[55:60, 1] = np.inf
    rows[60:65, 2] = -np.inf
    rows[65:70] *= np.float32(1e30)
    rows[70:73] *= np.float32(1e-42)
    rows[73:] = [[0.0] * WIDTH, [-0.0] * WIDTH]
    return rows


def as_json(values: NDArray[np.float32]) -> list[float | str]:
    """Return exact decimals of float32 values, with NaN and infinities as strings."""
    return [float(v) if np.isfinite(v) else str(v) for v in values.ravel().tolist()]


def expected_scores(path: Path, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what Python's onnxruntime gives for `rows`, one thread, graph as written."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["score"], {"features": rows})
    return np.asarray(scores, dtype=np.float32)


def main() -> None:
    """Write every fixture, `expected.json` and `manifest.json` beside this script."""
    files: dict[str, dict[str, Any]] = {}
    for name, (proto, meaning) in FIXTURES.items():
        content = proto.SerializeToString(deterministic=True)
        if len(content) > MAX_FIXTURE_BYTES:
            raise SystemExit(f"{name}.onnx has {len(content)} bytes; at most {MAX_FIXTURE_BYTES}")
        (HERE / f"{name}.onnx").write_bytes(content)
        files[f"{name}.onnx"] = {"meaning": meaning}
    rows = check_rows()
    # Only trees have an answer for NaN and infinities: the others are checked on normal rows.
    cases = {"trees": rows, "logistic": rows[:40], "linear": rows[:40], "logarithm": rows[:40]}
    expected = {
        name: {
            "width": WIDTH,
            "rows": as_json(case),
            "scores": as_json(expected_scores(HERE / f"{name}.onnx", case)),
        }
        for name, case in cases.items()
    }
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")
    files["expected.json"] = {"meaning": "rows and the scores Python's onnxruntime gives them"}
    for name, entry in files.items():
        entry["sha256"] = hashlib.sha256((HERE / name).read_bytes()).hexdigest()
    versions = {"onnx": onnx.__version__, "onnxruntime": ort.__version__}
    manifest = {"made_with": versions, "files": files}
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"wrote {len(files)} files and manifest.json to {HERE}")


if __name__ == "__main__":
    main()

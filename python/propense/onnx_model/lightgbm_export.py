"""LightGBM boosters and their calibration as one ONNX graph that plain ONNX Runtime can run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from propense.exceptions import ModelError
from propense.onnx_model.split_rule import split_rule

if TYPE_CHECKING:
    import lightgbm
    import onnx

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
"""The operator sets and file version of a canonical model."""


def from_lightgbm(
    boosters: Sequence[lightgbm.Booster], *, slope: float, intercept: float, width: int
) -> onnx.ModelProto:
    """Give the canonical model of ``sigmoid(slope * mean raw score + intercept)``.

    The graph is TreeEnsembleRegressor, Sigmoid, Reshape. The mean and the slope are folded into the
    leaves, the intercept into the base value. Every float32 row takes the branches it takes in
    LightGBM, whose thresholds are double. ``nodes_hitrates`` holds the training rows that came by
    each node, of which explanations are made. The raw score is ``Booster.predict(raw_score=True)``:
    rounds after the best iteration are left out, and for ``boosting=rf`` it is a sum, no average.

    Parameters
    ----------
    boosters : sequence of lightgbm.Booster
        Single-output boosters trained on ``width`` columns; their raw scores are averaged.
    slope, intercept : float
        The calibration, linear on the logit; finite.
    width : int
        The number of feature columns.

    Returns
    -------
    onnx.ModelProto
        Input ``features`` float32 [N, width], output ``score`` float32 [N] in [0, 1].

    Notes
    -----
    NaN goes where LightGBM sends it: to the default side, or as zero if the split knew no missing
    values; in a category split it goes to the right.

    Raises
    ------
    ModelError
        If there is no booster, one has several outputs, linear leaves or another width, or a number
        is not finite in float32.
    """
    if not boosters:
        raise ModelError("No LightGBM booster to export; expected at least one.")
    ensemble = _Ensemble()
    for position, booster in enumerate(boosters):
        dump = booster.dump_model()
        for tree in _trees(dump, place=f"LightGBM booster {position}", width=width):
            ensemble.add_tree(tree, scale=slope / len(boosters))
    return _model(ensemble, intercept=intercept, width=width)


def from_tree(root: Mapping[str, Any], *, width: int) -> onnx.ModelProto:
    """Give the canonical model of one tree, written like a LightGBM dump, whose leaves are logits.

    Raises
    ------
    ModelError
        A split is of an unknown type, or a leaf is not finite in float32.
    """
    ensemble = _Ensemble()
    ensemble.add_tree(root, scale=1.0)
    return _model(ensemble, intercept=0.0, width=width)


def thresholds(boosters: Sequence[lightgbm.Booster]) -> dict[int, np.ndarray]:
    """Give, per feature column, the float32 values at which some tree changes side; ascending."""
    found: dict[int, set[float]] = {}
    for booster in boosters:
        for tree in booster.dump_model()["tree_info"]:
            for node in _splits(tree["tree_structure"]):
                found.setdefault(node["split_feature"], set()).update(split_rule(node).bounds)
    return {column: np.array(sorted(found[column]), np.float32) for column in sorted(found)}


def _splits(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if "split_index" in node:
            waiting += [node["right_child"], node["left_child"]]
            yield node


def _trees(dump: Mapping[str, Any], *, place: str, width: int) -> list[Mapping[str, Any]]:
    if dump["num_tree_per_iteration"] != 1:
        raise ModelError(
            f"{place} gives {dump['num_tree_per_iteration']} outputs a row; expected one. "
            "Train with a binary or regression objective."
        )
    if dump["max_feature_idx"] + 1 != width:
        raise ModelError(
            f"{place} was trained on {dump['max_feature_idx'] + 1} columns; the plan has {width}. "
            "Train it on the plan's own columns."
        )
    return [tree["tree_structure"] for tree in dump["tree_info"]]


class _Node(NamedTuple):
    """One node as TreeEnsembleRegressor lists it: ``x[feature] <= value`` goes to ``true_id``."""

    tree: int
    node: int
    feature: int = 0
    value: float = 0.0
    mode: str = "LEAF"
    true_id: int = 0
    false_id: int = 0
    nan_is_true: int = 0
    rows: float = 0.0
    """Training rows that came by it; 0 if that is not known."""


class _Leaf(NamedTuple):
    tree: int
    node: int
    weight: float


@dataclass
class _Ensemble:
    """The nodes and leaf weights of all trees, in the order of their ids."""

    trees: int = 0
    nodes: list[_Node] = field(default_factory=list)
    leaves: list[_Leaf] = field(default_factory=list)

    def add_tree(self, root: Mapping[str, Any], *, scale: float) -> None:
        """Append a LightGBM tree, its leaf values times ``scale``."""
        tree = self.trees
        self.trees += 1
        nodes = [_Node(tree, 0)]
        waiting = [(root, 0)]
        while waiting:
            source, node = waiting.pop()
            if "split_index" not in source:
                self.leaves.append(_Leaf(tree, node, _leaf_weight(source, scale)))
                # LightGBM does not count the rows of a tree that is a single leaf, nor do they matter.
                rows = source.get("leaf_count", 1 if source is root else 0)
                nodes[node] = nodes[node]._replace(rows=float(rows))
                continue
            left, right = _append_split(nodes, node, source)
            waiting += [(source["left_child"], left), (source["right_child"], right)]
        self.nodes += nodes


def _append_split(nodes: list[_Node], first: int, source: Mapping[str, Any]) -> tuple[int, int]:
    """Write a split at ``nodes[first]`` and give the ids reserved for its left and right child.

    A split with several bounds becomes a chain along the false branches, whose true branches share
    the two children; every false branch leads to a node not met before, as ONNX Runtime demands.
    """
    rule = split_rule(source)
    tree, end = nodes[first].tree, len(nodes) + len(rule.bounds) - 1
    chain = [first, *range(len(nodes), end)]
    child = {True: end, False: end + 1}
    nodes += [_Node(tree, node) for node in range(len(nodes), end + 2)]
    nan_at = rule.left.index(rule.nan_left)  # NaN fails every comparison up to this one
    for place, (node, bound) in enumerate(zip(chain, rule.bounds, strict=True)):
        last = place == len(chain) - 1
        nodes[node] = _Node(
            tree,
            node,
            feature=source["split_feature"],
            value=bound,
            mode="BRANCH_LEQ",
            true_id=child[rule.left[place]],
            false_id=child[rule.left[-1]] if last else chain[place + 1],
            nan_is_true=int(place == nan_at),
            rows=float(source.get("internal_count", 0)),
        )
    return child[True], child[False]


def _leaf_weight(leaf: Mapping[str, Any], scale: float) -> float:
    if "leaf_coeff" in leaf:
        raise ModelError(
            "A LightGBM tree has linear leaves, which ONNX trees cannot hold. "
            "Train with linear_tree=false."
        )
    return float(leaf["leaf_value"]) * scale


def _model(ensemble: _Ensemble, *, intercept: float, width: int) -> onnx.ModelProto:
    from onnx import TensorProto, checker, helper

    weights = np.array([leaf.weight for leaf in ensemble.leaves], np.float64)
    limit = float(np.finfo(np.float32).max)
    if not math.isfinite(intercept) or not bool((np.abs(weights) <= limit).all()):
        raise ModelError(
            "A leaf value or the calibration is not finite in float32 "
            f"(intercept {intercept}). Check the labels and sample weights of the training."
        )
    nodes, leaves = ensemble.nodes, ensemble.leaves
    forest = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["logit"],
        name="forest",
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=[intercept],
        nodes_treeids=[node.tree for node in nodes],
        nodes_nodeids=[node.node for node in nodes],
        nodes_featureids=[node.feature for node in nodes],
        nodes_values=[node.value for node in nodes],
        nodes_modes=[node.mode for node in nodes],
        nodes_truenodeids=[node.true_id for node in nodes],
        nodes_falsenodeids=[node.false_id for node in nodes],
        nodes_missing_value_tracks_true=[node.nan_is_true for node in nodes],
        nodes_hitrates=[node.rows for node in nodes] if all(node.rows for node in nodes) else None,
        target_treeids=[leaf.tree for leaf in leaves],
        target_nodeids=[leaf.node for leaf in leaves],
        target_ids=[0] * len(leaves),
        target_weights=weights.astype(np.float32),
    )
    graph = helper.make_graph(
        [
            forest,
            helper.make_node("Sigmoid", ["logit"], ["probability"], name="probability"),
            helper.make_node("Reshape", ["probability", "rows"], ["score"], name="score"),
        ],
        "propense",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])],
        initializer=[helper.make_tensor("rows", TensorProto.INT64, [1], [-1])],
    )
    model = helper.make_model(
        graph,
        producer_name="propense",
        ir_version=IR_VERSION,
        opset_imports=[
            helper.make_opsetid("", OPSET),
            helper.make_opsetid("ai.onnx.ml", ML_OPSET),
        ],
    )
    checker.check_model(model)
    return model

"""Explanations that cannot be given: one clear line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import propense as pp
from propense.simulator import Simulation

onnx = pytest.importorskip("onnx")


def without_rows(content: bytes) -> bytes:
    """Give an ONNX file that does not say how many training rows came by each node."""
    loaded = onnx.load_from_string(content)
    (forest,) = (node for node in loaded.graph.node if node.op_type.startswith("TreeEnsemble"))
    kept = [attribute for attribute in forest.attribute if attribute.name != "nodes_hitrates"]
    del forest.attribute[:]
    forest.attribute.extend(kept)
    written: bytes = loaded.SerializeToString()
    return written


@pytest.fixture(scope="module")
def foreign(model: pp.Model, log: pp.EventLog, sim: Simulation) -> pp.Model:
    return pp.Model.from_onnx(
        without_rows(model._parts.onnx),
        features=model.features,
        goal=model.goal,
        log=log,
        as_of=sim.as_of,
    )


def test_a_model_without_rows_of_its_nodes_offers_permutation(
    foreign: pp.Model, log: pp.EventLog
) -> None:
    ways: list[Any] = [
        lambda: foreign.explain(log),
        lambda: foreign.explain_tiers(log),
        lambda: foreign.explain_change(log, users=["u0000001"], before="2024-12-01"),
        lambda: foreign.importance("contribution", log=log),
    ]
    for way in ways:
        with pytest.raises(pp.ModelError, match="training rows came by each node; .*permutation"):
            way()
    with pytest.raises(pp.ModelError, match="trained elsewhere"):
        foreign.importance()
    assert foreign.importance("permutation", log=log)["importance"][0] > 0


def test_covers_that_contradict_each_other_are_refused(model: pp.Model) -> None:
    loaded = onnx.load_from_string(model._parts.onnx)
    (forest,) = (node for node in loaded.graph.node if node.op_type.startswith("TreeEnsemble"))
    (rows,) = (found for found in forest.attribute if found.name == "nodes_hitrates")
    whole = list(rows.floats)
    from propense import _core

    for damage in (
        [1.0] * len(whole),  # as exporters write that know no better
        [0.0] * len(whole),
        [np.nan] * len(whole),
        [-value for value in whole],
        [whole[0] + 1, *whole[1:]],
        whole[::-1],
    ):
        del rows.floats[:]
        rows.floats.extend(damage)
        core = _core.OnnxModel(loaded.SerializeToString(), len(model.features))
        with pytest.raises(pp.ModelError, match="which does not fit the"):
            _core.explainer(core)
    del rows.floats[:]
    rows.floats.extend(whole[:-1])
    core = _core.OnnxModel(loaded.SerializeToString(), len(model.features))
    with pytest.raises(pp.ModelError, match="training rows came by each node"):
        _core.explainer(core)


def test_a_model_that_is_no_forest_says_so() -> None:
    from propense import _core
    from propense.runtime import initialise

    initialise()
    linear = Path(__file__).parents[2] / "models" / "linear.onnx"
    with pytest.raises(pp.ModelError, match="runs in ONNX Runtime .*permutation"):
        _core.explainer(_core.OnnxModel(linear.read_bytes(), 6))


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"users": ["nobody"]}, "user 'nobody' is not in the log"),
        ({"users": "u0000001"}, "expected a list of user ids"),
        ({"users": [3]}, "user 3 is not in the log"),
        ({"users": [None]}, "user None is not in the log"),
        ({"top": 0}, "expected a number of features from 1 up"),
        ({"top": True}, "expected a number of features from 1 up"),
        ({"as_of": "2023-01-01", "users": ["u0000001"]}, "is not in the audience as of 2023-01-01"),
        ({"as_of": "soon"}, "is not an instant"),
    ],
    ids=str,
)
def test_bad_questions_are_one_line(
    model: pp.Model, log: pp.EventLog, asked: dict[str, Any], problem: str
) -> None:
    with pytest.raises(pp.DataError, match=problem) as caught:
        model.explain(log, **asked)
    assert "\n" not in str(caught.value)


def test_bad_changes_and_importances_are_one_line(model: pp.Model, log: pp.EventLog) -> None:
    with pytest.raises(pp.DataError, match="must lie before"):
        model.explain_change(log, users=[], before="2025-01-02", after="2025-01-01")
    with pytest.raises(pp.DataError, match="expected 'gain'"):
        model.importance("magic")  # type: ignore[arg-type]
    with pytest.raises(pp.DataError, match="give log="):
        model.importance("permutation")
    with pytest.raises(pp.DataError, match="has not passed"):
        model.importance("permutation", log=log, as_of=log.last)
    with pytest.raises(pp.DataError, match="from 1 up"):
        model.explain_tiers(log, top=0)

"""Write the model directory that tests read, and the ranks and tiers that scores have in it.

Run ``python models/make_model_directory.py`` after ``make_fixtures.py``, with propense installed. The
ONNX file is the fixture ``trees.onnx``; goal, features and audience are invented, as nothing is
learnt here. The same package versions write the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from propense import Audience, FeatureSet, Goal, TierPolicy
from propense.columns_read import ColumnsRead
from propense.instants import to_us
from propense.model import Model
from propense.onnx_model.check import hostile_rows, run_onnxruntime
from propense.output import replaced_folder
from propense.parts import ModelParts, audience_points
from propense.tiers import CutOffs, cut_offs

HERE = Path(__file__).parent
WIDTH = 6
CHECK_ROWS = 120
FEATURES = {
    "purchases": "count(purchase, '30d')",
    "spent": "sum(purchase.amount, '90d')",
    "gifts": "count(purchase) FILTER (WHERE gift AND due > '2024-01-01')",
    "quiet": "recency(*)",
    "país": "attr(country)",
    "cafés": "count(view) FILTER (WHERE category = 'café ☕')",
}
GOAL = Goal(
    "buys_again",
    "count(purchase) FILTER (WHERE amount > 1.5) >= 1",
    horizon="30d",
    direction="encourage",
    audience=Audience(active_within="365d", where="attr(age) >= 18"),
)
COLUMNS = ColumnsRead(
    properties={"amount": "number", "category": "text", "due": "time", "gift": "boolean"},
    attributes={"age": "number", "country": "text"},
)


def features() -> FeatureSet:
    """Return the features, with the texts that the codes of the country stand for."""
    spec = json.loads(FeatureSet(FEATURES, timezone="Europe/London").spec)
    spec["vocabularies"] = {"país": ["DE", "España", "GB"]}
    return FeatureSet.from_spec(json.dumps(spec))


def parts(policy: TierPolicy) -> ModelParts:
    """Return a model around ``trees.onnx`` with tiers cut by a policy."""
    rng = np.random.default_rng(5)
    onnx = (HERE / "trees.onnx").read_bytes()
    real = rng.normal(size=(1_500, WIDTH)).astype(np.float32)
    rows = hostile_rows(real[:24], seed=0)
    rows = rows[np.linspace(0, len(rows) - 1, CHECK_ROWS).astype(int)]
    # Coarse, so that some scores are equal.
    audience = np.round(run_onnxruntime(onnx, real), 3)
    test_scores = audience[::3]
    test_labels = rng.random(len(test_scores)) < test_scores
    return ModelParts(
        onnx=onnx,
        engine="lightgbm",
        goal=GOAL,
        features=features(),
        as_of_us=to_us("2024-06-01", "Europe/London"),
        columns=COLUMNS,
        training={"rows": 1_500, "positives": 420, "standing": "preliminary"},
        calibration={"method": "none", "slope": 0.9, "intercept": -0.7},
        tiers=policy,
        cut_offs=cut_offs(policy, audience, test_scores, test_labels),
        metrics={"auc": {"value": 0.71}, "kind": "held_out"},
        checks={"against": "ONNX Runtime"},
        check_rows=rows,
        check_scores=run_onnxruntime(onnx, rows),
        audience=audience_points(audience),
        test_scores=test_scores,
        test_labels=test_labels,
    )


def probes(model: Model, cuts: CutOffs) -> NDArray[np.float32]:
    """Return scores at, just below and just above everything that decides."""
    edges = [0.0, 1.0, cuts.most, cuts.least, *model._parts.audience[:: len(FEATURES) * 10]]
    at = np.asarray(edges, dtype=np.float32)
    return np.unique(np.concatenate([at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf)]))


def main() -> None:
    """Write `buys_again/` and `ranks.json` beside this script."""
    model = Model(parts(TierPolicy.quantile()))
    contents = model._parts.contents()
    with replaced_folder(HERE / "buys_again", frozenset(contents)) as aside:
        for name, content in contents.items():
            (aside / name).write_bytes(content)
    scores = probes(model, model.cut_offs)
    ranks = {
        "scores": scores.tolist(),
        "percentiles": model.percentiles(scores).tolist(),
        "check_scores": model._parts.check_scores.tolist(),
        "test_labels": model._parts.test_labels.tolist()[:40],
        "tiers": model.cut_offs.tiers(scores).to_list(),
    }
    (HERE / "ranks.json").write_text(json.dumps(ranks) + "\n")
    size = sum(map(len, contents.values()))
    print(f"wrote {len(contents)} files, {size:,} bytes, and {len(scores)} ranks to {HERE}")


if __name__ == "__main__":
    main()

"""What a model directory holds, in memory."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense import manifest as files
from propense.backtest import COLUMNS as BACKTEST_COLUMNS
from propense.backtest import Backtest
from propense.columns_read import ColumnsRead, check_columns
from propense.drift import COLUMNS as REFERENCE_COLUMNS
from propense.exceptions import ModelError, PropenseError
from propense.features import FeatureSet
from propense.goal import Goal, goal_from
from propense.instants import in_words
from propense.tiers import CutOffs, TierPolicy, cut_offs, order_places

AUDIENCE_POINTS = 10_001
"""Order statistics of the audience's scores that are kept; smaller audiences are kept whole."""
EXPECTED = "expected_score"


@dataclass(frozen=True)
class ModelParts:
    """Everything a model is made of."""

    onnx: bytes
    engine: str
    goal: Goal
    features: FeatureSet
    as_of_us: int
    columns: ColumnsRead
    training: dict[str, Any]
    calibration: dict[str, Any]
    tiers: TierPolicy
    cut_offs: CutOffs
    metrics: dict[str, Any]
    checks: dict[str, Any]
    check_rows: NDArray[np.float32]
    """Rows whose scores are compared at load, shape (n, width)."""
    check_scores: NDArray[np.float32]
    """Their scores in plain ONNX Runtime, shape (n,)."""
    audience: NDArray[np.float32]
    """Scores of the audience at training, ascending."""
    test_scores: NDArray[np.float32]
    """Scores of the test period, shape (m,)."""
    test_labels: NDArray[np.bool_]
    """What happened in the test period, shape (m,)."""
    backtest: Backtest | None = None
    """How it did on past dates; None in directories of earlier versions."""
    reference: pl.DataFrame | None = None
    """How features and scores were spread over the audience at training, for drift; None likewise."""

    read_digest: str | None = None
    """SHA-256 of the manifest that this was read from; None if it was not, or was changed since."""

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, as it was read or as it would be written."""
        if self.read_digest is not None:
            return self.read_digest
        return hashlib.sha256(self.contents()[files.MANIFEST_FILE]).hexdigest()

    def with_tiers(self, policy: TierPolicy) -> ModelParts:
        """Give the same model with tiers cut by another policy."""
        # A manifest that does not say how large the audience was is taken to hold all of it.
        users = max(int(self.training.get("audience") or 0), len(self.audience))
        cuts = cut_offs(policy, self.audience, users, self.test_scores, self.test_labels)
        return replace(self, tiers=policy, cut_offs=cuts, read_digest=None)

    def contents(self) -> dict[str, bytes]:
        """Give the directory's files by name."""
        width = self.check_rows.shape[1]
        checks = pl.DataFrame(
            {f"f{place}": self.check_rows[:, place] for place in range(width)}
            | {EXPECTED: self.check_scores}
        )
        test = pl.DataFrame({"score": self.test_scores, "label": self.test_labels})
        contents = {
            files.MODEL_FILE: self.onnx,
            files.CHECKS_FILE: _arrow(checks),
            files.AUDIENCE_FILE: _arrow(pl.DataFrame({"score": self.audience})),
            files.TEST_FILE: _arrow(test),
        }
        if self.backtest is not None:
            contents[files.BACKTEST_FILE] = _arrow(self.backtest.frame())
        if self.reference is not None:
            contents[files.REFERENCE_FILE] = _arrow(self.reference)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        return contents | {files.MANIFEST_FILE: self._manifest(sums).sealed().encode()}

    def _manifest(self, sha256: dict[str, str]) -> files.Manifest:
        cuts = {"most_likely_from": self.cut_offs.most, "least_likely_below": self.cut_offs.least}
        return files.Manifest(
            format=2,
            propense_version=version("propense"),
            engine=self.engine,
            goal=self.goal.as_dict(),
            plan=json.loads(self.features.spec),
            fingerprint=self.features.fingerprint,
            as_of=in_words(self.as_of_us),
            as_of_us=self.as_of_us,
            columns=self.columns,
            training=self.training,
            calibration=self.calibration,
            tiers=self.tiers.as_dict() | {"cut_offs": cuts},
            metrics=self.metrics,
            checks=self.checks,
            sha256=sha256,
        )

    @classmethod
    def read(cls, folder: Path) -> ModelParts:
        """Read a directory, refusing whatever does not match its manifest.

        Raises
        ------
        ModelError
            A file is missing, has another checksum or shape, or the plan another fingerprint.
        """
        stated, digest = files.read_manifest(folder)
        contents = files.read_checked(folder, stated)
        place = folder / files.MANIFEST_FILE
        try:
            features = FeatureSet.from_spec(json.dumps(stated.plan))
            fingerprint = features.fingerprint
            goal = goal_from(stated.goal, "goal")
        except PropenseError as error:
            raise ModelError(f"{place}: {error}") from error
        if fingerprint != stated.fingerprint:
            raise ModelError(
                f"{place}: the plan is not the one this model was made for: expected fingerprint "
                f"{stated.fingerprint}, found {fingerprint}"
            )
        try:
            check_columns(stated.columns, goal, features)
            inputs = {f"f{place}": pl.Float32 for place in range(len(features))}
            checks = _table(contents, files.CHECKS_FILE, {**inputs, EXPECTED: pl.Float32})
            audience = _table(contents, files.AUDIENCE_FILE, {"score": pl.Float32})
            test = _table(contents, files.TEST_FILE, {"score": pl.Float32, "label": pl.Boolean})
            scores = audience["score"].to_numpy()
            if not len(scores) or not np.isfinite(scores).all() or (np.diff(scores) < 0).any():
                raise ModelError(f"{files.AUDIENCE_FILE}: expected finite scores, ascending")
            past = reference = None
            if files.BACKTEST_FILE in contents:
                rows = _table(contents, files.BACKTEST_FILE, BACKTEST_COLUMNS)
                past = Backtest.of(rows, stated.training["backtest"])
            if files.REFERENCE_FILE in contents:
                reference = _table(contents, files.REFERENCE_FILE, REFERENCE_COLUMNS)
            tiers = dict(stated.tiers)
            cuts = tiers.pop("cut_offs")
            return cls(
                onnx=contents[files.MODEL_FILE],
                engine=stated.engine,
                goal=goal,
                features=features,
                as_of_us=stated.as_of_us,
                columns=stated.columns,
                training=stated.training,
                calibration=stated.calibration,
                tiers=TierPolicy.from_dict(tiers),
                cut_offs=CutOffs(
                    float(cuts["most_likely_from"]), float(cuts["least_likely_below"])
                ),
                metrics=stated.metrics,
                checks=stated.checks,
                check_rows=checks.drop(EXPECTED).to_numpy(order="c"),
                check_scores=checks[EXPECTED].to_numpy(),
                audience=scores,
                test_scores=test["score"].to_numpy(),
                test_labels=test["label"].to_numpy(),
                backtest=past,
                reference=reference,
                read_digest=digest,
            )
        except (
            pl.exceptions.PolarsError,
            PropenseError,
            OSError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            raise ModelError(f"{folder} does not hold what a model holds: {error}") from error


def audience_points(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the scores ascending, thinned to evenly spaced order statistics where there are many."""
    ordered = np.sort(scores)
    if len(ordered) <= AUDIENCE_POINTS:
        return ordered
    return ordered[order_places(len(ordered), AUDIENCE_POINTS)]


def _table(
    contents: dict[str, bytes], name: str, types: Mapping[str, type[pl.DataType]]
) -> pl.DataFrame:
    """Read a table, whose columns must be these, in this order and without missing values."""
    frame = pl.read_ipc(io.BytesIO(contents[name]))
    found, expected = list(frame.schema.items()), list(pl.Schema(types).items())
    for place, (column, type_) in enumerate(expected):
        if found[place : place + 1] != [(column, type_)]:
            raise ModelError(f"{name}: expected the {type_} column {column!r}")
    if len(found) > len(expected):
        raise ModelError(f"{name}: column {found[len(expected)][0]!r} does not belong here")
    if any(frame.null_count().row(0)):
        raise ModelError(f"{name}: values are missing")
    return frame


def _arrow(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return buffer.getvalue()

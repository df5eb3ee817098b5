"""The service's reader of model directories gives what Python's gives, and refuses what it refuses."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import propense as pp
from propense import _core
from propense.manifest import FILES, MANIFEST_FILE, Manifest
from propense.simulator import Simulation

POLICIES = [
    pp.TierPolicy.quantile(0.05, 0.5),
    pp.TierPolicy.quantile(0, 1),
    pp.TierPolicy.probability(0.3, 0.1),
    pp.TierPolicy.capacity(50),
    pp.TierPolicy.precision(0.3),
]


@pytest.fixture(scope="module")
def matrix(log: pp.EventLog, features: pp.FeatureSet, sim: Simulation) -> NDArray[np.float32]:
    frame = pp.compute_features(log, features, as_of=sim.as_of)
    return frame.drop("user_id").to_numpy(order="c")


def probes(model: pp.Model, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give scores, the cut-offs, and what lies a hair below and above each."""
    edges = np.asarray([0, 1, model.cut_offs.most, model.cut_offs.least], dtype=np.float32)
    at = np.concatenate([edges, scores, model._parts.audience])
    hairs = [np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))]
    return np.concatenate([*hairs, np.float32([np.nan, np.inf, -np.inf])])


def bits(values: NDArray[np.float32]) -> list[int]:
    assert values.dtype == np.float32
    return values.view(np.uint32).tolist()


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_scores_percentiles_and_tiers_are_equal_to_the_bit(
    policy: pp.TierPolicy, model_folder: Path, matrix: NDArray[np.float32], tmp_path: Path
) -> None:
    model = pp.load_model(model_folder)
    model.tiers = policy
    folder = model.save(tmp_path / "m")
    found = _core.ModelDirectory(folder)
    assert (found.name, found.tier_policy) == ("buys_ticket", policy.kind)
    assert found.fingerprint == model.features.fingerprint
    assert found.audience == model.goal.audience.condition
    assert found.engine == model.runs_on
    assert found.digest == hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()
    scores = model.score_matrix(matrix)
    assert bits(found.score(matrix)) == bits(scores)
    for probed in (probes(model, scores), np.empty(0, np.float32)):
        assert bits(found.percentiles(probed)) == bits(model.percentiles(probed))
        # Online the cut-offs are the frozen ones, by capacity too.
        assert found.tiers(probed) == model.cut_offs.tiers(probed).to_list()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_001])
def test_percentiles_of_audiences_of_any_size(
    size: int, model_folder: Path, tmp_path: Path
) -> None:
    """The audience alone decides; the rest of the directory is as it was."""
    rng = np.random.default_rng(size)
    known = np.sort(np.round(rng.random(size), 3).astype(np.float32))
    folder = Path(shutil.copytree(model_folder, tmp_path / "m"))
    replace(folder, "audience.arrow", pl.DataFrame({"score": known}).write_ipc)
    model, found = pp.load_model(folder), _core.ModelDirectory(folder)
    scores = probes(model, rng.random(2_000).astype(np.float32))
    assert bits(found.percentiles(scores)) == bits(model.percentiles(scores))


def test_tables_in_several_blocks_are_read_whole(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "m"))
    for name in FILES[1:]:
        write = partial(table(folder / name).write_ipc, record_batch_size=7)
        replace(folder, name, write)
        assert len(table(folder / name).get_columns()[0].get_chunks()) > 1
    model, found = pp.load_model(folder), _core.ModelDirectory(folder)
    scores = model._parts.audience
    assert bits(found.percentiles(scores)) == bits(model.percentiles(scores))


def test_names_of_models(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "model.onnx").write_bytes(b"")
    assert _core.ModelDirectory.names(tmp_path) == ["one"]
    assert _core.ModelDirectory.find(tmp_path, "one") == tmp_path / "one"
    for name in ("..", "/one", "three"):
        with pytest.raises(pp.ModelError, match="model"):
            _core.ModelDirectory.find(tmp_path, name)


def table(path: Path) -> pl.DataFrame:
    """Read a table from a copy in memory, as the file is about to be replaced."""
    return pl.read_ipc(io.BytesIO(path.read_bytes()))


def replace(folder: Path, name: str, write: Callable[[Path], object]) -> None:
    """Write another file in the place of one, with checksums that fit."""
    write(folder / name)
    path = folder / MANIFEST_FILE
    values = json.loads(path.read_text())
    values["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(Manifest.model_validate(values).sealed())


def refused_by_both(folder: Path, *parts: str) -> None:
    for load in (pp.load_model, _core.ModelDirectory):
        with pytest.raises(pp.ModelError) as error:
            load(folder)
        for part in parts:
            assert part in str(error.value), error.value


@pytest.mark.parametrize("name", [*FILES, MANIFEST_FILE])
def test_both_refuse_what_was_not_saved(name: str, model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "m"))
    path = folder / name
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 12).astype(int):
        data = bytearray(whole)
        data[place] ^= 1 << (place % 8)
        path.write_bytes(data)
        refused_by_both(folder, name)
        path.write_bytes(whole[:place])
        refused_by_both(folder, name)
    path.unlink()
    refused_by_both(folder, name, "cannot be read")
    (folder / "elsewhere").write_bytes(whole)
    path.symlink_to("elsewhere")
    refused_by_both(folder, name, "is a link")


EXPECTED = pl.col("expected_score")
CHECKS: dict[str, tuple[Sequence[pl.Expr], tuple[str, ...]]] = {
    "other scores": ([EXPECTED + 1e-3], ("other scores", "1.00e-")),
    "a score that is none": ([pl.lit(float("nan"), pl.Float32).alias("expected_score")], ()),
    "a score that is missing": (
        [pl.lit(None, pl.Float32).alias("expected_score")],
        ("checks.arrow",),
    ),
    "a column of texts": ([pl.col("f0").cast(pl.String)], ("checks.arrow", "f0")),
    "a column of doubles": ([EXPECTED.cast(pl.Float64)], ("checks.arrow", "expected_score")),
    "a column more": ([pl.col("f0").alias("g")], ("checks.arrow", "g")),
}


@pytest.mark.parametrize("name", CHECKS)
def test_both_refuse_other_check_rows(name: str, model_folder: Path, tmp_path: Path) -> None:
    changes, parts = CHECKS[name]
    folder = Path(shutil.copytree(model_folder, tmp_path / "m"))
    checks = table(folder / "checks.arrow").with_columns(changes)
    replace(folder, "checks.arrow", checks.write_ipc)
    refused_by_both(folder, *parts)


def test_both_refuse_a_model_that_would_flip_a_tier(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "m"))
    checks = table(folder / "checks.arrow")
    score = checks["expected_score"].sort()[checks.height // 2]
    moved = checks.with_columns((EXPECTED + 4e-7).cast(pl.Float32))
    path = folder / MANIFEST_FILE
    values = json.loads(path.read_text())
    values["tiers"]["cut_offs"] = {"most_likely_from": score + 2e-7, "least_likely_below": 0.0}
    path.write_text(json.dumps(values))
    replace(folder, "checks.arrow", moved.write_ipc)
    refused_by_both(folder, "of its check rows into other tiers")


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_compressed_table_is_refused_with_advice(
    compression: str, model_folder: Path, tmp_path: Path
) -> None:
    """As a few bytes could become very many."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "m"))
    test = table(folder / "test.arrow")
    replace(folder, "test.arrow", lambda path: test.write_ipc(path, compression=compression))
    with pytest.raises(pp.ModelError, match=r"test\.arrow .* compressed; write it without"):
        _core.ModelDirectory(folder)

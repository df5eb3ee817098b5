"""A model directory that is not the one that was saved is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import propense as pp
from propense.manifest import LIMITS_BYTES, Manifest

FILES = ["model.onnx", "checks.arrow", "audience.arrow", "test.arrow"]


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(pp.ModelError) as error:
        pp.load_model(folder)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value), error.value


def test_the_copy_itself_is_accepted(folder: Path) -> None:
    assert pp.load_model(folder).goal.name == "buys_ticket"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_one_flipped_byte_is_found(name: str, share: float, folder: Path) -> None:
    data = bytearray((folder / name).read_bytes())
    data[int(share * len(data))] ^= 1
    (folder / name).write_bytes(data)
    refused(folder, name, "sha256", "does not match the manifest")


@pytest.mark.parametrize("name", FILES)
def test_missing_cut_and_linked_files_are_refused(name: str, folder: Path) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1])
    refused(folder, name)
    (folder / name).unlink()
    refused(folder, name, "cannot be read")
    (folder / "elsewhere").write_bytes(data)
    (folder / name).symlink_to(folder / "elsewhere")
    refused(folder, name, "link")


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_file_that_is_too_large_is_not_read(name: str, folder: Path) -> None:
    with (folder / name).open("r+b") as file:
        file.truncate(LIMITS_BYTES[name] + 1)
    refused(folder, name, f"is larger than {LIMITS_BYTES[name]:,} bytes")


def test_the_checksum_of_the_manifest_is_that_of_its_text(folder: Path) -> None:
    """As any program can tell, whatever its JSON looks like when it writes some."""
    path = folder / "manifest.json"
    text = path.read_text()
    digest = json.loads(text)["sha256"]["manifest.json"]
    assert hashlib.sha256(text.replace(digest, "0" * 64).encode()).hexdigest() == digest
    path.write_text(text.replace("\n", "\r\n"), newline="")
    refused(folder, "manifest.json", "was changed after it was written")
    # A second place that names the checksum would change along with it.
    compact = json.dumps(json.loads(text) | {"engine": digest})
    twice = hashlib.sha256(compact.replace(digest, "0" * 64).encode()).hexdigest()
    path.write_text(compact.replace(digest, twice))
    refused(folder, "manifest.json", "was changed after it was written")
    (folder / "elsewhere").write_text(text)
    path.unlink()
    path.symlink_to(folder / "elsewhere")
    refused(folder, "manifest.json", "link")


def test_flipped_bytes_of_the_manifest_are_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    whole = path.read_bytes()
    accepted = []
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        try:
            pp.load_model(folder)
        except pp.ModelError:
            continue
        accepted.append(bytes(data[max(0, place - 20) : place + 20]))
    assert accepted == []


def test_folders_that_are_no_models(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "absent", "absent", "not a model directory")
    refused(tmp_path, "not a model directory", "propense train")
    refused(folder / "model.onnx", "model.onnx")
    for content in (b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"format": 1}', b'"a"'):
        (folder / "manifest.json").write_bytes(content)
        refused(folder, "manifest.json")


def changed(folder: Path, change: Callable[[dict[str, Any]], object], *, sealed: bool) -> None:
    """Change the manifest, with or without a checksum that fits."""
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(Manifest.model_validate(values).sealed() if sealed else json.dumps(values))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "fingerprint": (lambda m: m.update(fingerprint="0" * 64), "fingerprint"),
    "feature": (
        lambda m: m["plan"]["features"][0].update(expression="count(*, '1d')"),
        "fingerprint",
    ),
    "order": (lambda m: m["plan"]["features"].reverse(), "fingerprint"),
    "time zone": (lambda m: m["plan"].update(timezone="Asia/Tokyo"), "fingerprint"),
    "plan gone": (lambda m: m.update(plan={}), "`features`"),
    "plan of another kind": (lambda m: m["plan"].update(features="count(*)"), "manifest.json"),
    "no sums": (lambda m: m.update(sha256={}), "sha256"),
    "goal": (lambda m: m["goal"].update(horizon="soon"), "horizon"),
    "goal field": (lambda m: m["goal"].update(hrizon="9d"), "hrizon"),
    "cut-offs": (lambda m: m["tiers"].pop("cut_offs"), "cut_offs"),
    "cut-offs of another kind": (
        lambda m: m["tiers"]["cut_offs"].update(most_likely_from="high"),
        "high",
    ),
    "policy": (lambda m: m["tiers"].update(policy="best"), "best"),
    "column gone": (lambda m: m["columns"]["properties"].pop("price"), "'price' is read, but"),
    "column more": (
        lambda m: m["columns"]["attributes"].update(plan="text"),
        "'plan' is read by nothing",
    ),
}
UNREADABLE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "format": (lambda m: m.update(format=3), "format 3"),
    "first format": (lambda m: m.update(format=1), "format 1; this version reads 2: train again"),
    "no format": (lambda m: m.pop("format"), "format None"),
    "field gone": (lambda m: m.pop("tiers"), "tiers"),
    "field more": (lambda m: m.update(extra=1), "extra"),
    "as_of": (lambda m: m.update(as_of_us="soon"), "as_of_us"),
    "kind": (lambda m: m["columns"]["attributes"].update(age="years"), "columns.attributes.age"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_manifest_that_does_not_fit_is_refused(name: str, folder: Path) -> None:
    """First as found, then as if it had been written so."""
    change, message = CHANGES[name]
    changed(folder, change, sealed=False)
    refused(folder, "manifest.json", "was changed after it was written")
    changed(folder, lambda _: None, sealed=True)
    refused(folder, "copy", message)


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_manifest_that_cannot_be_read_is_refused(name: str, folder: Path) -> None:
    change, message = UNREADABLE[name]
    changed(folder, change, sealed=False)
    refused(folder, "manifest.json", message)


def replaced(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    changed(folder, lambda m: m["sha256"].update({name: digest}), sealed=True)


def test_files_of_another_model_are_refused_even_with_their_checksums(folder: Path) -> None:
    checks = pl.read_ipc(folder / "checks.arrow")
    pl_bytes = folder / "other.arrow"
    checks.with_columns(pl.col("expected_score") + 1e-3).write_ipc(pl_bytes)
    replaced(folder, "checks.arrow", pl_bytes.read_bytes())
    refused(folder, "other scores than it was saved with")
    checks.drop("f0").write_ipc(pl_bytes)
    replaced(folder, "checks.arrow", pl_bytes.read_bytes())
    refused(folder)
    replaced(folder, "checks.arrow", b"ARROW1 no")
    refused(folder)


def test_an_onnx_file_of_another_width_is_refused(folder: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(folder / "model.onnx"))
    shape = model.graph.input[0].type.tensor_type.shape
    width = shape.dim[1].dim_value
    shape.dim[1].dim_value = width + 1
    replaced(folder, "model.onnx", model.SerializeToString())
    refused(folder, str(width), str(width + 1))
    replaced(folder, "model.onnx", b"no model at all")
    refused(folder)


@pytest.mark.parametrize("scores", [[], [0.5, 0.4], [0.1, float("nan")]])
def test_an_audience_that_ranks_nothing_is_refused(scores: list[float], folder: Path) -> None:
    other = folder / "other.arrow"
    pl.DataFrame({"score": pl.Series(scores, dtype=pl.Float32)}).write_ipc(other)
    replaced(folder, "audience.arrow", other.read_bytes())
    refused(folder, "audience.arrow", "ascending")


def test_a_model_that_would_flip_a_tier_is_refused(folder: Path) -> None:
    checks = pl.read_ipc(folder / "checks.arrow")
    score = checks["expected_score"].sort()[checks.height // 2]
    # The stored score lies a hair over a cut-off that the model's own score lies under.
    other = folder / "other.arrow"
    up = pl.col("expected_score") + 4e-7
    checks.with_columns(up.cast(pl.Float32)).write_ipc(other)
    replaced(folder, "checks.arrow", other.read_bytes())
    cut = {"most_likely_from": score + 2e-7, "least_likely_below": 0.0}
    changed(folder, lambda m: m["tiers"].update(cut_offs=cut), sealed=True)
    refused(folder, "other tiers")

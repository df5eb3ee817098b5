"""Results that cannot be written leave nothing half-written, and what was there stays."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import polars as pl
import pytest

import propense as pp
from propense.manifest import MODEL_FILES
from propense.output import check_writable, replaced_folder, write_table

FRAME = pl.DataFrame({"user_id": [1, 2], "score": [0.25, 0.5]})


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_tables_are_written_whole_and_alone(ending: str, tmp_path: Path) -> None:
    path = write_table(FRAME, tmp_path / "new" / f"scores{ending}")
    readers = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    assert readers[ending](path).equals(FRAME)
    assert everything_in(tmp_path) == ["new", f"new/scores{ending}"]
    write_table(FRAME.head(1), path)
    assert readers[ending](path).height == 1
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["scores.xlsx", "scores", "scores.parquet.gz", ".parquet"])
def test_unknown_endings_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(pp.OutputError, match=r"\.parquet, \.csv, \.jsonl"):
        write_table(FRAME, tmp_path / name)
    assert everything_in(tmp_path) == []


def test_places_that_cannot_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("stays")
    (tmp_path / "folder.csv").mkdir()
    for place in (tmp_path / "file" / "scores.csv", Path("/proc/none/scores.csv")):
        with pytest.raises(pp.OutputError, match=r"scores\.csv cannot be written"):
            write_table(FRAME, place)
    with pytest.raises(pp.OutputError, match="is a folder"):
        write_table(FRAME, tmp_path / "folder.csv")
    with pytest.raises(pp.OutputError, match="is a file"):
        check_writable(tmp_path / "file", table=False)
    with pytest.raises(pp.OutputError, match="cannot be written"):
        check_writable(tmp_path / "file" / "model", table=False)
    assert everything_in(tmp_path) == ["file", "folder.csv"]
    assert (tmp_path / "file").read_text() == "stays"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(FRAME, tmp_path / "scores.csv")
    old = path.read_bytes()

    def full(frame: pl.DataFrame, aside: Path) -> None:
        aside.write_text("half")
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(b"x")

    monkeypatch.setitem(__import__("propense.output", fromlist=["x"])._WRITERS, ".csv", full)
    with pytest.raises(pp.OutputError, match=r"scores\.csv cannot be written: No space left"):
        write_table(FRAME, path)
    assert everything_in(tmp_path) == ["scores.csv"]
    assert path.read_bytes() == old


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, ValueError])
def test_an_interrupted_write_leaves_the_old_file(
    failure: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_table(FRAME, tmp_path / "scores.csv")
    old = path.read_bytes()

    def stopped(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(failure):
        write_table(FRAME.head(1), path)
    assert everything_in(tmp_path) == ["scores.csv"]
    assert path.read_bytes() == old


def test_a_model_is_replaced_whole_or_not_at_all(
    model: pp.Model, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(shutil.copytree(model_folder, tmp_path / "m"))
    model.save(place)
    assert everything_in(tmp_path) == ["m", *(f"m/{name}" for name in everything_in(model_folder))]
    before = {file.name: file.read_bytes() for file in place.iterdir()}

    with pytest.raises(ZeroDivisionError), replaced_folder(place, MODEL_FILES) as aside:
        (aside / "half").write_text("half")
        raise ZeroDivisionError
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before

    renamed = Path.rename

    def fails_for_the_new_one(self: Path, target: Path) -> Path:
        if Path(target) == place and not str(self).endswith(".old"):
            raise OSError(28, "No space left on device")
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", fails_for_the_new_one)
    with pytest.raises(pp.OutputError, match="No space left"):
        model.save(place)
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_folder_with_other_things_in_it_is_never_replaced(
    model: pp.Model, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(pp.OutputError, match="'thesis.txt', which would be lost"):
        model.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    models = tmp_path / "models"
    model.save(models / "one")
    with pytest.raises(pp.OutputError):
        model.save(models)
    assert pp.load_model(models / "one").goal == model.goal
    (tmp_path / "empty").mkdir()
    assert pp.load_model(model.save(tmp_path / "empty")).goal == model.goal

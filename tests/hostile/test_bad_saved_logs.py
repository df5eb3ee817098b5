"""Folders that are no saved log, damaged logs and full disks: refused by name, nothing half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import propense as pp

FILES = ["events.arrow", "users.arrow", "manifest.json"]


@pytest.fixture
def folder(random_events: Callable[..., pl.DataFrame], tmp_path: Path) -> Path:
    return pp.read_events(random_events(7, rows=400)).save(tmp_path / "log")


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(pp.DataError) as error:
        pp.open_log(folder)
    message = str(error.value)
    assert "\n" not in message
    for part in (str(folder), *parts):
        assert part in message, message


def test_folders_that_are_no_saved_log(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "absent", "not there", "the folder of a saved log")
    refused(tmp_path, "manifest.json is not there")
    refused(folder / "events.arrow", "not the folder of a saved log")
    (tmp_path / "manifest.json").write_text('{"model": 1}')
    refused(tmp_path, "manifest.json is not the manifest of a saved log", "format")


@pytest.mark.parametrize("name", FILES)
def test_missing_truncated_and_foreign_files(name: str, folder: Path) -> None:
    path = folder / name
    whole = path.read_bytes()
    for share in (0.0, 0.3, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(folder, name)
    path.unlink()
    refused(folder, name, "is not there")
    pl.DataFrame({"user_id": [1]}).write_parquet(path)
    refused(folder, name)
    path.unlink()
    path.mkdir()
    refused(folder, name)


def test_files_of_another_save_are_refused(
    folder: Path, random_events: Callable[..., pl.DataFrame], tmp_path: Path
) -> None:
    other = pp.read_events(random_events(8, rows=300)).save(tmp_path / "other")
    for name in FILES:
        own = (folder / name).read_bytes()
        shutil.copy(other / name, folder / name)
        refused(folder)
        (folder / name).write_bytes(own)
    pp.verify_log(folder)


def test_other_versions_are_named(folder: Path) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"version": 9}))
    refused(folder, "version 9", "version 1", "save the log anew")
    path.write_text(json.dumps(manifest | {"events": manifest["events"] + 1}))
    refused(folder, "manifest.json is damaged", "checksum")


def test_changed_values_are_found_by_verify_log(folder: Path) -> None:
    path = folder / "events.arrow"
    manifest = json.loads((folder / "manifest.json").read_text())
    data = bytearray(path.read_bytes())
    data[manifest["time"]["start"] + 3] ^= 1
    path.write_bytes(data)
    pp.open_log(folder)
    with pytest.raises(pp.DataError, match="events.arrow is damaged: its SHA-256"):
        pp.verify_log(folder)


def test_a_log_saved_by_other_means_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    log = pp.open_log(folder)
    log.core.save(tmp_path / "bare", {})
    refused(tmp_path / "bare", "user column", "save the log anew")


def test_what_is_no_log_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    log = pp.open_log(folder)
    file = tmp_path / "events.parquet"
    file.write_bytes(b"mine")
    with pytest.raises(pp.OutputError, match="is a file"):
        log.save(file)
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(pp.OutputError, match="thesis.txt.*would be lost"):
        log.save(folder)
    assert file.read_bytes() == b"mine"
    assert (folder / "thesis.txt").read_text() == "mine"


FULL = """
import resource, sys
import propense as pp
log = pp.open_log(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    log.save(sys.argv[2])
except pp.OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes")
def test_files_that_cannot_grow_leave_nothing_behind(folder: Path, tmp_path: Path) -> None:
    size = (folder / "events.arrow").stat().st_size
    for target in (tmp_path / "new", folder):
        before = sorted(tmp_path.rglob("*"))
        command = [sys.executable, "-c", FULL, str(folder), str(target), str(size // 2)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert f"{target / 'events.arrow'} cannot be written" in said
        assert sorted(tmp_path.rglob("*")) == before
        pp.verify_log(folder)

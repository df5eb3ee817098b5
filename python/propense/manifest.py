"""A model's manifest: everything about it that is not the ONNX file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import pydantic

from propense.columns_read import ColumnsRead
from propense.exceptions import ModelError

FORMAT = 2
MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
CHECKS_FILE = "checks.arrow"
AUDIENCE_FILE = "audience.arrow"
TEST_FILE = "test.arrow"
BACKTEST_FILE = "backtest.arrow"
REFERENCE_FILE = "reference.arrow"
FILES = (MODEL_FILE, CHECKS_FILE, AUDIENCE_FILE, TEST_FILE)
LATER_FILES = (BACKTEST_FILE, REFERENCE_FILE)
"""Files that directories of earlier versions lack; what needs one says so when it is asked."""
MODEL_FILES = frozenset({*FILES, *LATER_FILES, MANIFEST_FILE})

LIMITS_BYTES = {
    MANIFEST_FILE: 16 * 2**20,
    MODEL_FILE: 256 * 2**20,
    CHECKS_FILE: 64 * 2**20,
    AUDIENCE_FILE: 64 * 2**20,
    TEST_FILE: 64 * 2**20,
    BACKTEST_FILE: 64 * 2**20,
    REFERENCE_FILE: 64 * 2**20,
}
"""Files that are larger are not read."""

_NO_CHECKSUM = "0" * 64


class Manifest(pydantic.BaseModel):
    """What ``manifest.json`` holds."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: Literal[2]
    propense_version: str
    engine: str
    """How the ONNX file came about: ``lightgbm``, or the exporter of a foreign model."""
    goal: dict[str, Any]
    plan: dict[str, Any]
    """The feature spec: names, expressions, time zone, vocabularies."""
    fingerprint: str
    """SHA-256 of the plan."""
    as_of: str
    """Nothing at or after this instant was seen in training; in words."""
    as_of_us: int
    """The same in microseconds since 1970-01-01 UTC."""
    columns: ColumnsRead
    """The kind of every property and attribute that the features, the audience and the goal read."""
    training: dict[str, Any]
    calibration: dict[str, Any]
    tiers: dict[str, Any]
    metrics: dict[str, Any]
    checks: dict[str, Any]
    sha256: dict[str, str]
    """Checksums of the other files; ``sealed`` adds the manifest's own."""

    def sealed(self) -> str:
        """Give the manifest as indented JSON with its own checksum.

        That is the SHA-256 of the file's text with the checksum's 64 digits replaced by 64 zeros, so
        that it can be checked without writing the same JSON again.
        """
        blank = f'"{MANIFEST_FILE}": "{_NO_CHECKSUM}"'
        fields = self.model_dump()
        fields["sha256"] |= {MANIFEST_FILE: _NO_CHECKSUM}
        text = f"{json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False)}\n"
        return text.replace(blank, blank.replace(_NO_CHECKSUM, _sha256(text.encode())))


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Read and validate a manifest; give it with its digest, the SHA-256 of the file's bytes.

    Raises
    ------
    ModelError
        There is none, or it is not one that this version reads.
    """
    path = folder / MANIFEST_FILE
    try:
        data = _read(path)
    except OSError as error:
        raise ModelError(
            f"{folder} is not a model directory: {MANIFEST_FILE} cannot be read "
            f"({error.strerror}); make one with `propense train` or Model.save"
        ) from error
    try:
        values = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise ModelError(f"{path} has format {found!r}; this version reads {FORMAT}: train again")
    try:
        manifest = Manifest.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: {place}: {first['msg']}") from None
    stated = manifest.sha256.get(MANIFEST_FILE, "")
    blank = data.replace(stated.encode(), _NO_CHECKSUM.encode(), 1)
    if len(stated) != len(_NO_CHECKSUM) or _sha256(blank) != stated:
        raise ModelError(
            f"{path} was changed after it was written: its checksum {stated!r} does not fit it. "
            "Restore the file or train again"
        )
    return manifest, _sha256(data)


def read_checked(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Read a model's files, each of which must have the manifest's checksum.

    Later files are read if the manifest names them.

    Raises
    ------
    ModelError
        A file is missing or is not the one the manifest was written for.
    """
    contents = {}
    named = [name for name in LATER_FILES if name in manifest.sha256]
    for name in (*FILES, *named):
        path = folder / name
        try:
            contents[name] = _read(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
        found = _sha256(contents[name])
        if found != manifest.sha256.get(name):
            raise ModelError(
                f"{path} does not match the manifest: expected sha256 "
                f"{manifest.sha256.get(name)}, found {found}. Restore the file or train again"
            )
    return contents


def _read(path: Path) -> bytes:
    """Give a file's bytes, if it is no link and not larger than it may be."""
    if path.is_symlink():
        raise ModelError(f"{path} is a link; a model directory holds its own files")
    limit = LIMITS_BYTES[path.name]
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ModelError(f"{path} is larger than {limit:,} bytes")
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

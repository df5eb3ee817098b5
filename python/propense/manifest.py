"""A model's manifest: everything about it that is not the ONNX file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import pydantic

from propense.exceptions import ModelError

FORMAT = 1
MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
CHECKS_FILE = "checks.arrow"
AUDIENCE_FILE = "audience.arrow"
TEST_FILE = "test.arrow"
FILES = (MODEL_FILE, CHECKS_FILE, AUDIENCE_FILE, TEST_FILE)
MODEL_FILES = frozenset({*FILES, MANIFEST_FILE})

_MANIFEST_LIMIT_BYTES = 16 * 2**20


class Manifest(pydantic.BaseModel):
    """What ``manifest.json`` holds."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
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
    training: dict[str, Any]
    calibration: dict[str, Any]
    tiers: dict[str, Any]
    metrics: dict[str, Any]
    checks: dict[str, Any]
    sha256: dict[str, str]
    """Checksums of the other files, and of the manifest without this entry."""

    def checksum(self) -> str:
        """Give the SHA-256 of the manifest itself, without its own entry in ``sha256``."""
        sums = {name: value for name, value in self.sha256.items() if name != MANIFEST_FILE}
        fields = self.model_dump() | {"sha256": sums}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def sealed(self) -> Manifest:
        """Give the manifest with its own checksum."""
        return self.model_copy(update={"sha256": self.sha256 | {MANIFEST_FILE: self.checksum()}})

    def to_json(self) -> str:
        """Give the manifest as indented JSON."""
        text = json.dumps(self.model_dump(), indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n"


def read_manifest(folder: Path) -> Manifest:
    """Read and validate a manifest.

    Raises
    ------
    ModelError
        There is none, or it is not one that this version reads.
    """
    path = folder / MANIFEST_FILE
    try:
        if path.stat().st_size > _MANIFEST_LIMIT_BYTES:
            raise ModelError(f"{path} is larger than {_MANIFEST_LIMIT_BYTES:,} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{folder} is not a model directory: {MANIFEST_FILE} cannot be read "
            f"({error.strerror}); make one with `propense train` or Model.save"
        ) from error
    except ValueError as error:
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
    if manifest.sha256.get(MANIFEST_FILE) != manifest.checksum():
        raise ModelError(
            f"{path} was changed after it was written: its checksum is "
            f"{manifest.sha256.get(MANIFEST_FILE)}, expected {manifest.checksum()}"
        )
    return manifest


def read_checked(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Read a model's files, each of which must have the manifest's checksum.

    Raises
    ------
    ModelError
        A file is missing or is not the one the manifest was written for.
    """
    contents = {}
    for name in FILES:
        path = folder / name
        if path.is_symlink():
            raise ModelError(f"{path} is a link; a model directory holds its own files")
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != manifest.sha256.get(name):
            raise ModelError(
                f"{path} does not match the manifest: expected sha256 "
                f"{manifest.sha256.get(name)}, found {found}. Restore the file or train again"
            )
    return contents

"""ONNX Runtime for Rust: the shared library inside the Python wheel ``onnxruntime``."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path

from propense import _core
from propense.exceptions import ModelError

_PATTERNS = {"darwin": "libonnxruntime*.dylib", "win32": "onnxruntime.dll"}


def library() -> Path:
    """Find the shared library.

    Raises
    ------
    ModelError
        The package ``onnxruntime`` is not installed or holds no library.
    """
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        raise ModelError(
            "the package onnxruntime is not installed: pip install 'onnxruntime>=1.24'"
        )
    folder = Path(spec.origin).parent / "capi"
    found = sorted(folder.glob(_PATTERNS.get(sys.platform, "libonnxruntime.so.*")))
    if not found:
        raise ModelError(f"no ONNX Runtime library in {folder}: pip install 'onnxruntime>=1.24'")
    return found[0]


@cache
def initialise() -> None:
    """Hand the library to Rust, once per process."""
    # Telemetry is read when the library loads; nothing of a user's data or machine leaves it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    _core.initialise_onnxruntime(str(library()))

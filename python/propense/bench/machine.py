"""What the results were measured on: the machine, its memory bandwidth, the commit, the versions."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = (
    *("propense", "numpy", "polars", "duckdb", "chdb", "onnxruntime"),
    *("lightgbm", "xgboost", "treelite", "tl2cgen"),
)
_BYTES = 256 * 2**20
_ROUNDS = 5


def machine() -> dict[str, Any]:
    """Describe the processor, how many cores may be used, the memory and the instruction sets."""
    flags = _field(Path("/proc/cpuinfo"), "flags").split()
    known = ("avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vbmi")
    memory = _field(Path("/proc/meminfo"), "MemTotal").split()
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": usable_cores(),
        "memory_gib": round(int(memory[0]) / 2**20, 1) if memory else None,
        "instruction_sets": [flag for flag in known if flag in flags],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def usable_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Give the versions of the contenders that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Give the commit of the checkout that this code is in; ``+`` if it has changes; None outside one."""
    here = Path(__file__).parent
    try:
        shown = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return shown + ("+" if changed else "")


def memory_bandwidth(threads: int) -> float:
    """Measure bytes a second that the threads move together: the better of reading and copying.

    Each thread has arrays of its own, larger than caches; the best of some rounds counts.
    """
    sources = [np.ones(_BYTES // 8) for _ in range(threads)]
    targets = [np.empty_like(source) for source in sources]
    reading: Callable[[int], Any] = lambda place: np.max(sources[place])  # noqa: E731
    copying: Callable[[int], Any] = lambda place: np.copyto(targets[place], sources[place])  # noqa: E731
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for work, moved in ((reading, _BYTES), (copying, 2 * _BYTES)):
            for _ in range(_ROUNDS):
                started = time.perf_counter()
                list(pool.map(work, range(threads)))
                best = max(best, threads * moved / (time.perf_counter() - started))
    return best


def _field(path: Path, name: str) -> str:
    if not path.exists():
        return ""
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()

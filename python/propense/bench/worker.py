"""A contender's process: reads commands from standard input, one JSON object a line, and answers so.

Started by :mod:`propense.bench.race`: ``python -m propense.bench.worker KIND PARAMETERS``.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from propense.bench.contender import Contender, made


def main() -> None:
    """Serve commands until standard input ends."""
    # Libraries print to standard output; only replies may go there.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contender = made(sys.argv[1], json.loads(sys.argv[2]))
    for line in sys.stdin:
        command = json.loads(line)
        _reply(replies, _done(contender, command))


def _done(contender: Contender, command: dict[str, Any]) -> dict[str, Any]:
    match command["do"]:
        case "prepare":
            contender.prepare()
            return {}
        case "answer":
            arrays: dict[str, Any] = dict(contender.answer(contender.run()))
            np.savez(command["path"], **arrays)
            return {}
        case "facts":
            return contender.facts()
        case "run":
            return _timed(contender)
        case "repeat":
            return _repeated(contender, command["calls"])
        case other:
            raise ValueError(
                f"unknown command {other!r}; expected prepare, answer, run, repeat or facts"
            )


def _timed(contender: Contender) -> dict[str, Any]:
    cpu, started = time.process_time(), time.perf_counter()
    result = contender.run()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    del result
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": _peak_bytes()}


def _repeated(contender: Contender, calls: int) -> dict[str, Any]:
    """Time each of many short calls and give their median."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        contender.run()
        times.append(time.perf_counter() - started)
    median = statistics.median(times)
    return {"seconds": median, "cpu_seconds": median, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    """Give the most memory that this process has had resident.

    Linux says so in ``/proc``; what ``getrusage`` says there begins with the parent's peak.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _reply(replies: TextIO, content: dict[str, Any]) -> None:
    replies.write(json.dumps(content) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()

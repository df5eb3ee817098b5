"""Servers for tests: processes of their own that can be stopped, killed and started again."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

LONG = os.environ.get("PROPENSE_LONG") == "1"
"""Whether tests are to run at their full numbers: ``make test-long``."""

_START_S = 180.0
_SERVE = "from propense.cli import main; main()"


@dataclass
class Serving:
    """A running ``propense serve``."""

    process: subprocess.Popen[str]
    address: str
    errors: Path
    said: str = ""
    """What it wrote to standard output after its start."""

    def stop(self, patience_s: float = 60.0) -> int:
        """Ask it to stop and wait; give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.said += self.process.communicate(timeout=patience_s)[0]
        return self.process.returncode

    def kill(self) -> None:
        """Kill it, as a power cut of the process would."""
        self.process.kill()
        self.process.communicate()

    def resident_bytes(self) -> int:
        """Give the memory that it has; where that cannot be known the test is skipped."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            pytest.skip("no /proc to read the memory of a process from")
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024


def start(store: Path, models: Path, *options: str, address: str = "127.0.0.1:0") -> Serving:
    """Start a server and wait until it answers."""
    arguments = ["serve", "--store", str(store), "--models", str(models), "--address", address]
    errors = store.with_suffix(".log")
    with errors.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *arguments, *options],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
        )
    late = threading.Timer(_START_S, process.kill)
    late.start()
    try:
        if process.stdout is None:
            raise RuntimeError("no pipe")
        for line in process.stdout:
            if match := re.match(r"serving on (\S+)", line):
                return Serving(process, match[1], errors)
    finally:
        late.cancel()
    process.communicate()
    raise RuntimeError(f"the server did not start: {errors.read_text()}")


@contextmanager
def serving(store: Path, models: Path, *options: str) -> Iterator[Serving]:
    """Run a server for the length of a block."""
    running = start(store, models, *options)
    try:
        yield running
    finally:
        running.kill()


def free_address() -> str:
    """Give an address with a port that nobody listens at.

    It is none of those that the system hands out itself: between two starts of a server it would go
    to some connection, such as a client's that is looking for the server.
    """
    while True:
        port = secrets.choice(range(20_000, 32_000))
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return f"127.0.0.1:{port}"

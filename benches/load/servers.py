"""The two servers as processes of their own."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
START_S = 300.0


@contextmanager
def propense_server(store: Path, models: Path) -> Iterator[str]:
    """Run ``propense serve``; yield its address."""
    command = [sys.executable, "-c", "from propense.cli import main; main()", "serve"]
    options = ["--store", str(store), "--models", str(models), "--address", "127.0.0.1:0"]
    with _running([*command, *options], r"serving on (\S+)") as found:
        yield found


@contextmanager
def python_server(events: Path, model: Path, how: str, style: str, processes: int) -> Iterator[str]:
    """Run the peer in several processes on one port; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, str(HERE / "python_server.py"), "--events", str(events)]
    command += ["--model", str(model), "--address", address, "--how", how, "--style", style]
    if processes == 1:
        with _running(command, r"(ready)"):
            yield address
        return
    with _running(command, r"(ready)"), _running(command, r"(ready)"):
        yield address


@contextmanager
def _running(command: list[str], ready: str) -> Iterator[str]:
    # The server's log goes with its standard error; under overload it is long.
    log = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    late = threading.Timer(START_S, process.kill)
    late.start()
    try:
        if process.stdout is None:
            raise RuntimeError("no pipe")
        for line in process.stdout:
            match = re.search(ready, line)
            if match:
                late.cancel()
                yield match[1]
                return
        raise RuntimeError(f"{command[:3]} ended without being ready")
    finally:
        late.cancel()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""A file that grows by one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from propense.delivery.destination import JsonLines
from propense.delivery.payload import line
from propense.delivery.sink import DELIVERED, Item, Outcome, SinkUnavailableError

_TAIL_BYTES = 4 * 2**20
"""More than the lines of one batch take, unless their ids are very long."""


class JsonLinesSink:
    """Appends lines and makes them durable before anyone hears that they are delivered.

    The file is opened anew for every batch, so that it may be moved away and grow anew.
    """

    batch_items = 2_000
    takes_chains = True
    fill_s = 0.0

    def __init__(self, destination: JsonLines, _origin: str) -> None:
        self._path = destination.path

    def written(self, numbers: Sequence[int]) -> set[int]:
        """Find those in the last lines: a batch may have been written and the news of it lost."""
        if not numbers:
            return set()
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
                tail = file.read()
        except OSError:
            return set()
        # What is torn is no line: the next batch takes it away.
        found = (_number(text) for text in tail.split(b"\n")[:-1])
        return {number for number in found if number is not None} & set(numbers)

    def deliver(self, items: Sequence[Item]) -> list[tuple[Item, Outcome]]:
        """Append a line for each."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            descriptor = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640
            )
            try:
                whole = _cut_torn_line(descriptor)
                try:
                    _write(descriptor, b"".join(line(item.transition) for item in items))
                    os.fsync(descriptor)
                except OSError:
                    # As if it had not been tried; if not even that works, the next batch cuts it.
                    os.ftruncate(descriptor, whole)
                    raise
            finally:
                os.close(descriptor)
            if new:
                sync_folder(self._path.parent)
        except OSError as error:
            raise SinkUnavailableError(
                f"{self._path} cannot be written: {error.strerror or error}"
            ) from error
        return [(item, DELIVERED) for item in items]

    def close(self) -> None:
        """Do nothing: no file stays open."""


def sync_folder(folder: os.PathLike[str]) -> None:
    """Make the names of a folder's files durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _cut_torn_line(descriptor: int) -> int:
    """Cut a last line that has no end, as a crash leaves it; give the length of the file."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 65_536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return end


def _number(text: bytes) -> int | None:
    try:
        return int(json.loads(text)["number"])
    except (ValueError, KeyError, TypeError):
        return None

"""A store of events without a server: for filling, checking and repairing it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from propense import _core
from propense.events import EventLog
from propense.progress import track
from propense.receipt import NOTHING_WRITTEN, Receipt
from propense.store_parts import read_parts
from propense.store_rows import StoreRows


class Store:
    """A store, opened by this process alone; made if the folder is not there.

    Raises
    ------
    DataError
        It is damaged (says which file and where), or open in another process.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        with track(f"opening {self.folder}"):
            self._core = _core.Store.open(self.folder)

    def ingest(self, rows: StoreRows) -> Receipt:
        """Write events; all of them are safe on disk when this returns."""
        total = NOTHING_WRITTEN
        with track(f"ingesting {rows.where}", rows.frame.height) as report:
            for start, batch, arrow_ipc in rows.batches():
                total += Receipt(*self._core.ingest(arrow_ipc))
                report(start + batch.height)
        return total

    def put_profiles(self, rows: StoreRows) -> Receipt:
        """Write attributes; attribute by attribute the last write wins."""
        from propense.client.messages import profile_requests  # it loads protobuf

        total = NOTHING_WRITTEN
        with track(f"writing profiles of {rows.where}", rows.frame.height) as report:
            for done, request in profile_requests(rows.frame):
                total += Receipt(*self._core.put_profiles(request.SerializeToString()))
                report(done)
        return total

    def compact(self) -> None:
        """Seal what is in the log and merge the parts; what was erased leaves the disk."""
        with track(f"compacting {self.folder}"):
            self._core.compact()

    def stats(self) -> dict[str, int]:
        """Count what it holds."""
        return self._core.stats()

    def log(self) -> EventLog:
        """Give all its events and profiles as a log; what is in no part yet is sealed first."""
        with track(f"sealing {self.folder}"):
            self._core.seal()
        return read_parts(self.folder)

    def close(self) -> None:
        """Close it; another process may then open it."""
        self._core.close()

    def __enter__(self) -> Self:
        """Give the store, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def check_store(folder: str | Path) -> tuple[bool, str]:
    """Read every byte of a store that is not open; give whether it is sound, and what was found.

    Raises
    ------
    DataError
        It is no store, or open in another process.
    """
    with track(f"checking {folder}"):
        return _core.check_store(Path(folder))


def repair_store(folder: str | Path) -> tuple[bool, str]:
    """Put what is damaged aside so that the store opens again; give what was found.

    Raises
    ------
    DataError
        As :func:`check_store`.
    OutputError
        Something cannot be written.
    """
    with track(f"repairing {folder}"):
        return _core.repair_store(Path(folder))

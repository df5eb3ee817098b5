"""A folder of Parquet files, each whole from the moment it is there."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from propense.delivery.destination import Parquet
from propense.delivery.json_lines import sync_folder
from propense.delivery.sink import DELIVERED, Item, Outcome, SinkUnavailableError

SCHEMA: dict[str, pl.DataType] = {
    "number": pl.UInt64(),
    "user_id": pl.String(),
    "segment": pl.String(),
    "transition": pl.String(),
    "time": pl.Datetime("us", "UTC"),
    "cause": pl.String(),
}
_ASIDE = ".aside.parquet"


class ParquetSink:
    """Writes a file for every batch, named by its first and last number."""

    takes_chains = True

    def __init__(self, destination: Parquet, _origin: str) -> None:
        self._folder = destination.path
        self.batch_items, self.fill_s = destination.rows, destination.seconds

    def written(self, numbers: Sequence[int]) -> set[int]:
        """Find those in the newest file: it may have been written and the news of it lost."""
        if not numbers or not self._folder.is_dir():
            return set()
        files = [path for path in self._folder.glob("*.parquet") if path.name != _ASIDE]
        if not files:
            return set()
        newest = max(files, key=lambda path: path.stat().st_mtime_ns)
        try:
            found = pl.read_parquet(newest, columns=["number"])["number"]
        except (OSError, pl.exceptions.PolarsError):
            return set()
        return set(found.to_list()) & set(numbers)

    def deliver(self, items: Sequence[Item]) -> list[tuple[Item, Outcome]]:
        """Write a file of all."""
        made = [item.transition for item in items]
        frame = pl.DataFrame(
            [(t.number, t.user_id, t.segment, t.kind, t.time, t.cause) for t in made],
            schema=SCHEMA,
            orient="row",
        )
        # Polars would tell of a full disk as of any other error.
        content = io.BytesIO()
        frame.write_parquet(content)
        path = self._folder / f"{made[0].number:020}-{made[-1].number:020}.parquet"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = self._folder / _ASIDE
            with aside.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(_free(path))
            sync_folder(self._folder)
        except OSError as error:
            raise SinkUnavailableError(
                f"{self._folder} cannot be written: {error.strerror or error}"
            ) from error
        return [(item, DELIVERED) for item in items]

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _free(path: Path) -> Path:
    """Give a name that no file has: transitions that are delivered anew replace no others."""
    found, again = path, 1
    while found.exists():
        again += 1
        found = path.with_name(f"{path.stem}-{again}.parquet")
    return found

"""Logs on disk: saved once, opened in milliseconds, mapped rather than read."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from propense import _core
from propense.columns import UserColumn
from propense.events import EventLog
from propense.exceptions import DataError
from propense.progress import track

_NAME, _DTYPE = "user_column", "user_dtype"
_DTYPES = {
    str(dtype): dtype()
    for dtype in (
        pl.String,
        pl.Int8,
        pl.Int16,
        pl.Int32,
        pl.Int64,
        pl.UInt8,
        pl.UInt16,
        pl.UInt32,
        pl.UInt64,
    )
}


def save_log(log: EventLog, folder: str | Path) -> Path:
    """Save a log; see :meth:`propense.EventLog.save`."""
    folder = Path(folder)
    notes = {_NAME: log.user_column.name, _DTYPE: str(log.user_column.dtype)}
    with track(f"saving {folder}") as written:
        log.core.save(folder, notes, written)
    return folder


def open_log(folder: str | Path) -> EventLog:
    """Open a log that :meth:`propense.EventLog.save` wrote, without reading its events.

    The folder of a store is taken too, also while a server has it open: all its sealed parts are
    then read, as one log. What is only in its write-ahead log is not in them yet.

    The files are mapped: events come into memory as they are used and leave it when it runs
    short, so that a log may be larger than memory. Metadata and user ids are checked here;
    :func:`verify_log` checks every byte. The files must not be changed while the log is open;
    saving anew over the folder is fine.

    Raises
    ------
    DataError
        The folder is not there, not a saved log, of another version, or damaged (says which file).
    """
    folder = Path(folder)
    if is_store(folder):
        from propense.store_parts import read_parts  # it imports this module

        return read_parts(folder)
    core, notes = _core.EventLog.open(folder)
    try:
        user = UserColumn(notes[_NAME], _DTYPES[notes[_DTYPE]])
    except KeyError as error:
        raise DataError(
            f"{folder} was not saved with EventLog.save: its manifest does not name the user "
            f"column and its type; save the log anew"
        ) from error
    return EventLog(core, user)


def is_store(folder: str | Path) -> bool:
    """Say whether a folder is a store's."""
    return (Path(folder) / "store.json").is_file()


def verify_log(folder: str | Path) -> None:
    """Check every byte of a saved log against its checksums, and that its rows are in order.

    Raises
    ------
    DataError
        The log cannot be opened, or a file is not what was saved (says which).
    """
    folder = Path(folder)
    with track(f"checking {folder}") as checked:
        _core.verify_log(folder, checked)


def saved_table(folder: str | Path, file: str) -> pl.LazyFrame | None:
    """Give a table of a saved log as it was before: truth values are truth values again.

    Parameters
    ----------
    folder
        The folder of a saved log, or of a part of a store.
    file
        ``events.arrow`` or ``profiles.arrow``; None is given if it is not there.

    Raises
    ------
    DataError
        The folder is no saved log, or damaged.
    """
    path = Path(folder) / file
    if not path.is_file():
        return None
    core, _ = _core.EventLog.open(Path(folder))
    kinds = core.properties if file == "events.arrow" else core.attributes
    flags = [pl.col(name).cast(pl.Boolean) for name, kind in kinds if kind == "boolean"]
    return pl.scan_ipc(path).with_columns(flags)

"""Results written aside and renamed, so that nothing half-written is ever in place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from propense.exceptions import OutputError

_WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    ".parquet": lambda frame, path: frame.write_parquet(path),
    ".csv": lambda frame, path: frame.write_csv(path),
    ".jsonl": lambda frame, path: frame.write_ndjson(path),
}


def check_writable(
    path: str | Path, *, table: bool = True, replaceable: frozenset[str] = frozenset()
) -> Path:
    """Check, before any long work, that a result can go where it is asked to go.

    Parameters
    ----------
    path
        Where the result is to go.
    table
        Whether it is a table, one file; otherwise it is a folder of its own.
    replaceable
        Files that such a folder may hold already; it is replaced as a whole.

    Raises
    ------
    OutputError
        The folder cannot be written, holds other files, or the ending of a table is not known.
    """
    path = Path(path)
    if table and path.suffix not in _WRITERS:
        raise OutputError(f"{path} has an unknown ending; expected {', '.join(_WRITERS)}")
    if table and path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file")
    if not table and path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; give the name of a folder")
    if not table and path.is_dir():
        strangers = sorted({file.name for file in path.iterdir()} - replaceable)
        if strangers:
            raise OutputError(
                f"{path} holds {strangers[0]!r}, which would be lost; give a new folder, such as "
                f"{path / 'NAME'}"
            )
    check_folder(path)
    return path


def check_folder(path: Path) -> None:
    """Check that the folder which a path is in can be written, or made.

    Raises
    ------
    OutputError
        It cannot.
    """
    folder = _nearest_folder(path)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: no permission in {folder}")


def write_table(frame: pl.DataFrame, path: str | Path) -> Path:
    """Write a frame as its file's ending says: ``.parquet``, ``.csv`` or ``.jsonl``.

    Raises
    ------
    OutputError
        It cannot be written; nothing is left in its place.
    """
    path = check_writable(path)
    return _replaced(path, lambda aside: _WRITERS[path.suffix](frame, aside))


def write_text(text: str, path: str | Path) -> Path:
    """Write a text as UTF-8; raises as :func:`write_table`."""
    if Path(path).is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file")
    return _replaced(Path(path), lambda aside: aside.write_text(text, encoding="utf-8"))


def write_bytes(content: bytes, path: str | Path) -> Path:
    """Write a file; raises as :func:`write_table`."""
    return _replaced(Path(path), lambda aside: aside.write_bytes(content))


def _replaced(path: Path, write: Callable[[Path], object]) -> Path:
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            write(Path(aside))
            os.chmod(aside, 0o644)
            os.replace(aside, path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
    return path


@contextmanager
def replaced_folder(path: str | Path, replaceable: frozenset[str]) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``path`` if all goes well.

    Raises
    ------
    OutputError
        It cannot be written; what was there before stays.
    """
    path = check_writable(path, table=False, replaceable=replaceable)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            aside.chmod(0o755)
            yield aside
            old = path.with_name(f"{aside.name}.old")
            if path.exists():
                path.rename(old)
            _rename_or_restore(aside, path, old)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def _rename_or_restore(aside: Path, path: Path, old: Path) -> None:
    try:
        aside.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def _nearest_folder(path: Path) -> Path:
    """Give the closest parent that exists."""
    return next(parent for parent in path.absolute().parents if parent.exists())

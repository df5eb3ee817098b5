"""Tables from wherever they are: files, globs, Polars frames, anything that speaks Arrow."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import polars as pl

from propense.exceptions import DataError


class ArrowExport(Protocol):
    """Anything that exports an Arrow stream: pandas, pyarrow, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the stream."""


Source: TypeAlias = str | Path | Sequence[str | Path] | pl.DataFrame | pl.LazyFrame | ArrowExport

T = TypeVar("T")

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_JSON_LINES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz")
_ALL = (*_PARQUET, *_CSV, *_JSON_LINES)


def scan(source: Source, *, text_columns: Sequence[str] = ()) -> tuple[pl.LazyFrame, str]:
    """Open a source lazily and say in words what it is.

    Parameters
    ----------
    source
        A path or glob, several, a Polars frame or lazy frame, or an object with ``__arrow_c_stream__``.
    text_columns
        Columns of CSV files that stay text even if they look like numbers: ids such as ``007``.

    Raises
    ------
    DataError
        No file matches, the ending is not known, or the object is no table.
    """
    if isinstance(source, pl.LazyFrame):
        return source, "the lazy frame"
    if isinstance(source, pl.DataFrame):
        return source.lazy(), "the data frame"
    if isinstance(source, str | Path):
        return _scan_files([source], text_columns)
    if hasattr(source, "__arrow_c_stream__"):
        frame: Any = pl.DataFrame(source)
        return frame.lazy(), f"the {type(source).__name__}"
    several = isinstance(source, Sequence) and not isinstance(source, bytes)
    if several and all(isinstance(member, str | Path) for member in source):
        return _scan_files(list(source), text_columns)
    raise DataError(
        f"cannot read events from a {type(source).__name__}; expected a path, a Polars frame "
        "or an object with __arrow_c_stream__ (pandas, pyarrow, DuckDB)"
    )


def collect(frame: pl.LazyFrame, where: str) -> pl.DataFrame:
    """Read a lazy frame; what Polars cannot read becomes an error that names the place."""
    return _reading(where, lambda: frame.collect(engine="streaming"))


def schema_of(frame: pl.LazyFrame, where: str) -> pl.Schema:
    """Names and types of a lazy frame's columns."""
    return _reading(where, frame.collect_schema)


def _reading(where: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except (pl.exceptions.PolarsError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{where} cannot be read: {reason}") from error


def _scan_files(sources: list[str | Path], text_columns: Sequence[str]) -> tuple[pl.LazyFrame, str]:
    where = ", ".join(str(source) for source in sources)
    files = [file for source in sources for file in _expand(source)]
    if not files:
        raise DataError(f"no file matches {where}; give a path or glob of {_listed()} files")
    frames = []
    for kind, endings in (("parquet", _PARQUET), ("csv", _CSV), ("jsonl", _JSON_LINES)):
        members = [file for file in files if file.lower().endswith(endings)]
        if members:
            frames.append(_scan_kind(kind, members, text_columns))
        files = [file for file in files if file not in members]
    if files:
        raise DataError(f"{files[0]} has an unknown ending; expected {_listed()}")
    if len(frames) > 1:
        raise DataError(f"{where} mixes kinds of files; read one kind at a time")
    return frames[0], where


def _expand(source: str | Path) -> list[str]:
    """Give a source's files, without those in leftover folders that it does not name itself."""
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.name.lower().endswith(_ALL))
        return [
            str(file)
            for file in files
            if not file.name.startswith((".", "_")) and not _leftovers(file.relative_to(path))
        ]
    if path.exists():
        return [str(path)]
    matches = sorted(glob.glob(str(source), recursive=True))
    named = _leftovers(path)
    return [match for match in matches if _leftovers(Path(match)) <= named]


def _leftovers(file: Path) -> int:
    """Count the folders that Spark, notebooks and others leave, such as ``_temporary``.

    As in Spark, ``_day=1`` is a folder of data.
    """
    return sum(
        name.startswith(".") or (name.startswith("_") and "=" not in name)
        for name in file.parts[:-1]
        if name != ".."
    )


def _listed() -> str:
    return ".parquet, .csv, .tsv or .jsonl"


def _scan_kind(kind: str, files: list[str], text_columns: Sequence[str]) -> pl.LazyFrame:
    empty = next((file for file in files if Path(file).stat().st_size == 0), None)
    if empty is not None:
        raise DataError(f"{empty} is empty (0 bytes)")
    frames = [_reading(file, partial(_scan_file, kind, file, text_columns)) for file in files]
    # Parts may lack a column that others have, or hold whole numbers where others have fractions.
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")


def _scan_file(kind: str, file: str, text_columns: Sequence[str]) -> pl.LazyFrame:
    if kind == "parquet":
        return pl.scan_parquet(file, glob=False)
    if kind == "jsonl":
        return pl.scan_ndjson(glob.escape(file), infer_schema_length=None)
    return pl.scan_csv(
        file,
        separator="\t" if ".tsv" in file.lower() else ",",
        glob=False,
        infer_schema_length=None,
        schema_overrides=dict.fromkeys(text_columns, pl.String),
    )

"""Segment files: one segment a TOML file, a folder of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from propense.exceptions import SegmentError
from propense.segments.definition import Segment
from propense.toml_file import parse_toml

Segments: TypeAlias = Segment | Sequence[Segment] | str | Path
"""One segment or several, or a folder or file of them."""

_ENDING = ".toml"


def read_segments(source: str | Path | Sequence[str | Path]) -> list[Segment]:
    """Read the segments of a folder, or of files; one without a name is called as its file is.

    Parameters
    ----------
    source
        A folder, of which the files ending in ``.toml`` are read; a file; or several of both.

    Returns
    -------
    list of Segment
        Ascending by name.

    Raises
    ------
    SegmentError
        A file cannot be read or is not TOML, a field is missing, unknown or not valid, a rule cannot
        be parsed, a folder has no such files, or two files name one segment; says which file.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    found: dict[str, tuple[Segment, Path]] = {}
    for path in [file for one in sources for file in _files(Path(one))]:
        segment = _read(path)
        if segment.name in found:
            other = found[segment.name][1]
            raise SegmentError(f"{path}: name: {segment.name!r} is also that of {other}")
        found[segment.name] = (segment, path)
    return [found[name][0] for name in sorted(found)]


def segments_of(given: Segments) -> list[Segment]:
    """Give segments as a list, read from files where that is what they are given as."""
    if isinstance(given, Segment):
        return [given]
    return read_segments(given) if isinstance(given, str | Path) else list(given)


def table_of(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    SegmentError
        It is none.
    """
    try:
        return parse_toml(text)
    except ValueError as error:
        raise SegmentError(f"not TOML: {error}") from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    # An editor's own files begin with a dot.
    files = sorted(file for file in path.glob(f"*{_ENDING}") if not file.name.startswith("."))
    if not files:
        raise SegmentError(f"{path} has no segments: no file in it ends in {_ENDING}")
    return files


def _read(path: Path) -> Segment:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SegmentError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SegmentError(f"{path} is not TOML: {error}") from error
    try:
        return Segment.from_dict({"name": path.stem} | table_of(text))
    except SegmentError as error:
        raise SegmentError(f"{path}: {error}") from None

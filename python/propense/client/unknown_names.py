"""Models and segments that are not there: said by the name that was asked for, with the one meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from propense.client.answers import ServedModel
from propense.exceptions import NotFoundError, ServiceError
from propense.goal_types import nearest

_PLACE = re.compile(r"\[(\d+)\]$")
_NO_SEGMENT = "there is no such segment"


@contextmanager
def models_named(
    names: Sequence[str], list_models: Callable[[], Sequence[ServedModel]]
) -> Iterator[None]:
    """Name the model that is not served, and the nearest that is; all of them where none is near."""
    try:
        yield
    except NotFoundError as error:
        name = _asked(error, "MODEL_UNKNOWN", names)
        if name is None:
            raise
        served = _served(list_models)
        if served is None:
            raise
        near, all_served = nearest(name, served), ", ".join(served) or "none"
        rather = f"those that are: {all_served}" if near is None else f"did you mean {near!r}?"
        text = _of_server(error, f"no model {name!r} is served; {rather}")
        raise _with_text(error, text) from error


@contextmanager
def segments_named(names: Sequence[str]) -> Iterator[None]:
    """Name the segment that is not there; the server knows the nearest."""
    try:
        yield
    except NotFoundError as error:
        name = _asked(error, "SEGMENT_UNKNOWN", names)
        if name is None:
            raise
        text = str(error).replace(f"{error.field}: {_NO_SEGMENT}", f"no segment {name!r}")
        raise _with_text(error, text) from error


def _served(list_models: Callable[[], Sequence[ServedModel]]) -> list[str] | None:
    """Give the names of the models; None where they cannot be asked for."""
    try:
        return [model.name for model in list_models()]
    except ServiceError:
        return None


def _asked(error: NotFoundError, reason: str, names: Sequence[str]) -> str | None:
    """Give the name at which an error points; None if it is about something else."""
    if error.reason != reason or error.field is None:
        return None
    found = _PLACE.search(error.field)
    place = int(found[1]) if found else 0
    return names[place] if place < len(names) else None


def _of_server(error: NotFoundError, text: str) -> str:
    """Add the server's address, with which every message of a call ends."""
    _, opened, address = str(error).rpartition(" (")
    return f"{text}{opened}{address}"


def _with_text(error: NotFoundError, text: str) -> NotFoundError:
    return NotFoundError(text, code=error.code, reason=error.reason, field=error.field)

"""Checks of the fields of a goal, each an error that names the field."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from propense import _core
from propense.exceptions import ExpressionError, GoalError

Direction: TypeAlias = Literal["encourage", "prevent"]


def check_text(name: str, value: object) -> None:
    """Refuse what is not a text, or is empty."""
    if not isinstance(value, str) or not value.strip():
        raise GoalError(f"{name}: expected a text, found {value!r}")


def check_interval(name: str, value: object) -> None:
    """Refuse what is not an interval such as ``30d``."""
    check_text(name, value)
    try:
        _core.parse_duration_us(str(value))
    except ExpressionError as error:
        raise GoalError(f"{name}: {error}") from None


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is not one of the choices."""
    if value not in choices:
        hint = did_you_mean(str(value), choices)
        raise GoalError(f"{name}: expected {' or '.join(choices)}, found {value!r}{hint}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name closest to one that is not, if any is close."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return near[0] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Propose the known name closest to one that is not; empty if none is close."""
    near = nearest(name, known)
    return f" (did you mean {near!r}?)" if near is not None else ""

"""TOML as people write it: what is none is one error, however it fails to be."""

from __future__ import annotations

import tomllib
from typing import Any

_INTEGERS = range(-(2**63), 2**63)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    ValueError
        It is none, is nested too deeply, or has an integer of more than 64 bits, which TOML has not
        and which Python may not be able to print.
    """
    try:
        table = tomllib.loads(text)
        # A long chain of dotted keys is parsed without recursion, and nests as deeply.
        _check(table)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return table


def _check(value: Any) -> None:
    if isinstance(value, int) and value not in _INTEGERS:
        raise ValueError("an integer has more than 64 bits")
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            _check(member)

"""Texts that no message, log line or representation may show."""

from __future__ import annotations

import os
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

_ENV = "env:"


class Secret:
    """A text, or ``env:NAME`` for the value of an environment variable, read once."""

    __slots__ = ("_value",)

    def __init__(self, text: str) -> None:
        if text.startswith(_ENV):
            name = text.removeprefix(_ENV)
            if name not in os.environ:
                raise ValueError(f"the environment variable {name} is not set")
            text = os.environ[name]
        self._value = text

    def reveal(self) -> str:
        """Give the text itself."""
        return self._value

    def __repr__(self) -> str:
        """Show nothing."""
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self._value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Take a text, or a secret as it is."""

        def made(value: object) -> Secret:
            if isinstance(value, Secret):
                return value
            if not isinstance(value, str):
                raise ValueError("expected a text, or env:NAME")
            return cls(value)

        return core_schema.no_info_plain_validator_function(made)

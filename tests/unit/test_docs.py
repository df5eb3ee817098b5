"""The examples in public docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import propense


def _modules_with_examples() -> list[str]:
    found = pkgutil.walk_packages(propense.__path__, "propense.")
    names = ["propense", *(module.name for module in found if module.name != "propense._core")]
    folder = Path(propense.__path__[0])
    with_examples = []
    for name in names:
        place = folder.joinpath(*name.split(".")[1:])
        source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if source.exists() and ">>> " in source.read_text(encoding="utf-8"):
            with_examples.append(name)
    return with_examples


MODULES = _modules_with_examples()


def test_there_are_examples() -> None:
    assert {"propense", "propense.features"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_everything_public_is_there_and_documented() -> None:
    for name in propense.__all__:
        assert (getattr(propense, name).__doc__ or "").strip(), name

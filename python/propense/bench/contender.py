"""What takes part in a race: prepares, runs, and shows its answer."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Answer = Mapping[str, NDArray[Any]]
"""Named arrays; rows of all of them belong together."""


class Contender(ABC):
    """One way of doing a piece of work, in a process of its own."""

    @abstractmethod
    def prepare(self) -> None:
        """Load and convert what is not to be timed."""

    @abstractmethod
    def run(self) -> Any:
        """Do the work once; only this is timed."""

    @abstractmethod
    def answer(self, result: Any) -> Answer:
        """Turn what :meth:`run` gave into arrays that can be compared."""

    def facts(self) -> dict[str, Any]:
        """Say what is worth knowing beside the times: the engine chosen, bytes held."""
        return {}


@dataclass(frozen=True)
class Entry:
    """A contender in a race.

    Attributes
    ----------
    label
        Its name in the table.
    kind
        Its key in :data:`propense.bench.peers.KINDS`.
    parameters
        Arguments of its class; JSON-serialisable.
    threads
        How many threads its process may use.
    """

    label: str
    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 2


def made(kind: str, parameters: Mapping[str, Any]) -> Contender:
    """Make a contender from its key and parameters."""
    from propense.bench.peers import KINDS

    module, name = KINDS[kind].path.split(":")
    contender: Contender = getattr(import_module(module), name)(**parameters)
    return contender


def missing_packages(kind: str) -> list[str]:
    """Give the packages a contender needs that are not installed."""
    from propense.bench.peers import KINDS

    return [name for name in KINDS[kind].packages if importlib.util.find_spec(name) is None]


def features_answer(user: NDArray[Any], matrix: NDArray[np.floating[Any]]) -> Answer:
    """Give users and their features, ascending by user."""
    order = np.argsort(user, kind="stable")
    return {"user": np.asarray(user)[order], "matrix": np.asarray(matrix, np.float32)[order]}

"""Who is to be explained, and the matrices that the core gives for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense import _core
from propense.events import EventLog
from propense.exceptions import DataError
from propense.explain.forms import phrase
from propense.explain.words import Phrase, sentence
from propense.features import members
from propense.instants import Instant, in_words, to_us
from propense.progress import track

if TYPE_CHECKING:
    from propense.model import Model

COLUMNS = frozenset(
    ["feature", "value", "contribution", "words", "change"]
    + [f"{name}_{when}" for name in ("value", "contribution") for when in ("before", "after")]
)
"""Columns of explanations, beside the users'."""
PART_USERS = 65_536
"""Users whose matrices are in memory at a time."""


@dataclass(frozen=True)
class Asked:
    """A model asked about users of a log at an as_of."""

    model: Model
    log: EventLog
    users: NDArray[np.uint32]
    """Places of the users in the log, in the order of the answer."""
    as_of_us: int
    base: float
    """The logit of a user of whom nothing is known."""
    reads: NDArray[np.uint32]
    """Places of the features that the model reads; the others contribute nothing."""

    @classmethod
    def of(
        cls, model: Model, log: EventLog, users: Sequence[Any] | None, as_of: Instant | None
    ) -> Asked:
        """Look up the users; left out, the audience.

        Raises
        ------
        ModelError
            The model cannot be explained exactly.
        DataError
            A user is not in the log or not in the audience, or the user column is named like a column
            of explanations.
        """
        if log.user_column.name in COLUMNS:
            raise DataError(
                f"the user column is named {log.user_column.name!r}, like a column of explanations; "
                "rename it before reading the log"
            )
        base, reads = _core.explainer(model.core)
        log = model.suited(log)
        timezone = model.features.timezone
        as_of_us = log.span_us[1] + 1 if as_of is None else to_us(as_of, timezone)
        audience = members(log, model.goal.audience.condition, timezone, as_of_us, strict=False)
        places = audience if users is None else places_of(log, users, audience, as_of_us)
        return cls(model, log, places, as_of_us, base, reads)

    @property
    def names(self) -> list[str]:
        """Names of the features that are read."""
        names = self.model.features.names
        return [names[place] for place in self.reads]

    def parts(
        self,
    ) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.float32]]]:
        """Give users, contributions and values, float32 of shape (n, len(reads)), part by part."""
        plan = _core.Plan.compile(
            self.model.features.spec, self.log.core, strict=False, before_us=self.as_of_us
        )
        with track(f"explaining as of {in_words(self.as_of_us)}", len(self.users)) as report:
            for start in range(0, len(self.users), PART_USERS):
                users = self.users[start : start + PART_USERS]
                contributions, values = _core.explain_users(
                    self.log.core, plan, self.model.core, users, as_of_us=self.as_of_us
                )
                report(start + len(users))
                yield users, contributions, values

    def whole(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give contributions and values of all users at once."""
        parts = list(self.parts())
        if not parts:
            return (np.empty((0, len(self.reads)), np.float32),) * 2
        return np.concatenate([part[1] for part in parts]), np.concatenate(
            [part[2] for part in parts]
        )


class Words:
    """How the features that a model reads are said, and what is usual for them."""

    def __init__(self, model: Model, reads: NDArray[np.uint32]) -> None:
        spec = json.loads(model.features.spec)
        usual = model.training.get("usual", {})
        self.phrases: list[Phrase] = []
        self.usual: list[float | None] = []
        self.known: list[bool] = []
        for place in reads:
            feature = spec["features"][place]
            vocabulary = spec["vocabularies"].get(feature["name"])
            texts = None if vocabulary is None else dict(enumerate(vocabulary))
            self.phrases.append(phrase(feature["expression"], texts))
            self.usual.append(usual.get(feature["name"]))
            self.known.append(feature["name"] in usual)

    def of(self, column: int, value: float) -> str:
        """Say a value of the feature in a column, and what is usual."""
        return sentence(self.phrases[column], value, self.usual[column], known=self.known[column])

    def each(self, columns: NDArray[np.intp], values: NDArray[np.float32]) -> list[str]:
        """Say many values, each with the column of its feature; equal ones are worded once."""
        # Bits, so that NaN equals itself.
        bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
        keys, inverse = np.unique(
            columns.astype(np.uint64) << np.uint64(32) | bits, return_inverse=True
        )
        known = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
        said = [
            self.of(int(key >> np.uint64(32)), float(value))
            for key, value in zip(keys, known, strict=True)
        ]
        return [said[place] for place in inverse]


def places_of(
    log: EventLog, users: Sequence[Any], audience: NDArray[np.uint32], as_of_us: int
) -> NDArray[np.uint32]:
    """Give the places of users by id, who must be in the audience.

    Raises
    ------
    DataError
        Names the first user who is not in the log, or not in the audience.
    """
    if isinstance(users, str) or not isinstance(users, Sequence | pl.Series | np.ndarray):
        raise DataError(f"users: expected a list of user ids, found {users!r}")
    everyone = np.arange(log.n_users, dtype=np.uint32)
    ids = pl.Series(log.core.user_ids(everyone))
    wanted = pl.Series("id", list(users), strict=False)
    try:
        wanted = wanted.cast(ids.dtype)
    except pl.exceptions.PolarsError:
        raise DataError(f"users: expected ids of the log's type, {ids.dtype}") from None
    known = pl.DataFrame({"id": ids, "place": everyone})
    found = wanted.to_frame().join(known, on="id", how="left", maintain_order="left")
    for user, place in zip(users, found["place"], strict=True):
        if place is None:
            raise DataError(f"user {user!r} is not in the log")
    places = found["place"].to_numpy().astype(np.uint32)
    outside = np.flatnonzero(~np.isin(places, audience))
    if len(outside):
        raise DataError(
            f"user {users[int(outside[0])]!r} is not in the audience as of {in_words(as_of_us)}; "
            "the model says nothing of users outside"
        )
    return places

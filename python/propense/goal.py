"""Goals: what users may do within a horizon, and who is meant."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_args

from propense import _core
from propense.exceptions import ExpressionError, GoalError
from propense.goal_types import Direction, check_choice, check_interval, check_text, did_you_mean
from propense.toml_file import parse_toml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
T = TypeVar("T")


@dataclass(frozen=True)
class Audience:
    """The users to whom a goal applies at an as_of.

    With nothing named, everyone with an event before the as_of is in it.

    Parameters
    ----------
    active_within
        Only users with an event in ``[as_of − active_within, as_of)``, such as ``"365d"``.
    where
        Only users for whom this condition holds at the as_of, such as ``"attr(country) = 'GB'"``.

    Raises
    ------
    GoalError
        A field is not valid; names it.
    """

    active_within: str | None = None
    where: str | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        if self.active_within is not None:
            check_interval("audience.active_within", self.active_within)
        if self.where is not None:
            check_text("audience.where", self.where)

    @property
    def condition(self) -> list[str]:
        """The conditions, all of which a member meets, in the language of features; each once."""
        window = f", '{self.active_within}'" if self.active_within else ""
        active = f"count(*{window}) >= 1"
        return [active] if not self.where or _same(active, self.where) else [active, self.where]


@dataclass(frozen=True)
class Goal:
    """A condition over the horizon after an as_of.

    Parameters
    ----------
    name
        What the goal is called; also names files and segments, so letters, digits, ``_`` and ``-``.
    when
        The condition, over the events in ``[as_of, as_of + horizon)``, such as
        ``"count(purchase) >= 1 AND count(refund) = 0"``. Its functions take no window, and there is no
        ``decayed_count``; ``recency`` and ``tenure`` run to the end of the horizon.
    horizon
        How long users have to reach it, such as ``"90d"``.
    direction
        Whether reaching it is to be encouraged or prevented. It changes words, not scores.
    audience
        To whom it applies.

    Raises
    ------
    GoalError
        A field is not valid; names it.

    Examples
    --------
    >>> Goal("buys_again", "count(purchase) >= 1", horizon="90d").horizon_us
    7776000000000
    """

    name: str
    when: str
    horizon: str
    direction: Direction = "encourage"
    audience: Audience = field(default_factory=Audience)

    def __post_init__(self) -> None:
        """Check every field."""
        check_text("name", self.name)
        if not _NAME.fullmatch(self.name):
            raise GoalError(
                f"name: {self.name!r} names files too; use up to 64 letters, digits, _ and -"
            )
        check_text("when", self.when)
        check_interval("horizon", self.horizon)
        check_choice("direction", self.direction, get_args(Direction))
        if not isinstance(self.audience, Audience):
            raise GoalError(f"audience: expected an Audience, found {self.audience!r}")

    @property
    def horizon_us(self) -> int:
        """The horizon in microseconds."""
        return _core.parse_duration_us(self.horizon)

    def as_dict(self) -> dict[str, Any]:
        """Give the goal as a manifest keeps it."""
        where = self.audience.where if len(self.audience.condition) > 1 else None
        audience = {"active_within": self.audience.active_within, "where": where}
        return {
            "name": self.name,
            "when": self.when,
            "horizon": self.horizon,
            "direction": self.direction,
            "audience": {key: value for key, value in audience.items() if value is not None},
        }


@dataclass(frozen=True)
class FeatureOptions:
    """The ``[features]`` table of a goal file: texts, or names with texts; absent: automatic."""

    timezone: str = "UTC"
    expressions: list[str] | dict[str, str] | None = None
    protected: list[str] = field(default_factory=list)
    """Profile attributes that no automatic feature reads."""

    def __post_init__(self) -> None:
        """Check every field."""
        check_text("features.timezone", self.timezone)
        names = self.protected
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise GoalError("features.protected: expected a list of names of attributes")
        texts = self.expressions
        if texts is None:
            return
        members = list(texts.values()) if isinstance(texts, dict) else texts
        if not isinstance(members, list) or not all(isinstance(text, str) for text in members):
            raise GoalError("features.expressions: expected a list of texts or a table of texts")


@dataclass(frozen=True)
class GoalFile:
    """A goal file: the goal, and how its features and tiers are made."""

    goal: Goal
    features: FeatureOptions
    tiers: dict[str, Any]
    """The ``[tiers]`` table, for :meth:`propense.TierPolicy.from_dict`."""


def _same(one: str, other: str) -> bool:
    """Say whether two texts are one expression; a text that is none is refused when it is asked."""
    try:
        specs = [json.loads(_core.declare([(None, text)], "UTC")) for text in (one, other)]
    except ExpressionError:
        return False
    return bool(specs[0] == specs[1])


def goal_from(values: dict[str, Any], where: str, beside: tuple[str, ...] = ()) -> Goal:
    """Build a goal from a table, such as a manifest's; others may stand beside it in a file.

    Raises
    ------
    GoalError
        A field is missing, unknown or not valid; says which, and where.
    """
    try:
        audience = _build(Audience, values.get("audience", {}), "audience.")
        return _build(Goal, {**values, "audience": audience}, "", beside)
    except GoalError as error:
        raise GoalError(f"{where}: {error}") from None


def load_goal(path: str | Path) -> GoalFile:
    """Read a goal file.

    Raises
    ------
    GoalError
        The file cannot be read, is not TOML, or a field is missing, unknown or not valid.
    """
    try:
        table = parse_toml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise GoalError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise GoalError(f"{path} is not TOML: {error}") from error
    features, tiers = table.pop("features", {}), table.pop("tiers", {})
    goal = goal_from(table, str(path), beside=("features", "tiers"))
    try:
        options = _build(FeatureOptions, features, "features.")
    except GoalError as error:
        raise GoalError(f"{path}: {error}") from None
    if not isinstance(tiers, dict):
        raise GoalError(f"{path}: tiers: expected a table, found {tiers!r}")
    return GoalFile(goal, options, tiers)


def _build(kind: type[T], table: Any, prefix: str, beside: tuple[str, ...] = ()) -> T:
    """Build a dataclass from a table whose keys must be its fields; errors name those beside it too."""
    if isinstance(table, kind):
        return table
    if not isinstance(table, dict):
        raise GoalError(f"{prefix.rstrip('.')}: expected a table, found {table!r}")
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            names = (*known, *beside)
            hint = did_you_mean(name, names)
            raise GoalError(f"{prefix}{name}: no such field{hint}; expected {', '.join(names)}")
    for name, entry in known.items():
        required = entry.default is MISSING and entry.default_factory is MISSING
        if required and name not in table:
            raise GoalError(f"{prefix}{name}: missing")
    return kind(**table)

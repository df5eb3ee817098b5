"""Goal files and goals: what is valid, and what every bad field is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import propense as pp
from propense.instants import DAY_US

WHOLE = """
name = "buys_again"
when = "count(purchase) >= 1"
horizon = "90d"
direction = "prevent"

[audience]
active_within = "365d"
where = "attr(country) = 'GB'"

[features]
timezone = "Europe/London"
expressions = ["count(purchase, '30d')", "recency(app_open)"]

[tiers]
policy = "capacity"
most = 500
least = 0.1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "goal.toml"


def test_a_whole_goal_file(path: Path) -> None:
    path.write_text(WHOLE)
    read = pp.load_goal(path)
    audience = pp.Audience(active_within="365d", where="attr(country) = 'GB'")
    assert read.goal == pp.Goal(
        "buys_again", "count(purchase) >= 1", "90d", direction="prevent", audience=audience
    )
    assert read.goal.horizon_us == 90 * DAY_US
    assert audience.condition == ["count(*, '365d') >= 1", "attr(country) = 'GB'"]
    assert read.features.timezone == "Europe/London"
    assert read.features.expressions == ["count(purchase, '30d')", "recency(app_open)"]
    assert pp.TierPolicy.from_dict(read.tiers) == pp.TierPolicy.capacity(500, 0.1)


@pytest.mark.parametrize("where", ["count(*) >= 1", "(COUNT( * )>=1)", "count(*, '9d') >= 1.0"])
def test_an_audience_may_repeat_its_own_window(where: str, log: pp.EventLog) -> None:
    window = "9d" if "9d" in where else None
    plain = pp.Goal("g", "count(purchase) >= 1", "9d", audience=pp.Audience(window))
    repeated = replace(plain, audience=pp.Audience(window, where))
    assert repeated.audience.condition == plain.audience.condition
    assert repeated.as_dict() == plain.as_dict(), "a server reads this"
    frames = [pp.export_training(log, goal, features=["count(*)"]) for goal in (plain, repeated)]
    assert frames[0].equals(frames[1])


def test_the_least_goal_file_takes_defaults(path: Path) -> None:
    path.write_text('name = "x"\nwhen = "count(a) = 0"\nhorizon = "7d"\n')
    read = pp.load_goal(str(path))
    assert read.goal == pp.Goal("x", "count(a) = 0", horizon="7d")
    assert read.goal.direction == "encourage"
    assert read.goal.audience.condition == ["count(*) >= 1"]
    assert read.features.expressions is None
    assert read.features.timezone == "UTC"
    assert pp.TierPolicy.from_dict(read.tiers) == pp.TierPolicy.quantile()


BAD_LINES = {
    "name": ('name = "buys_again"', 'name = "buys again!"', "name: .*buys again!"),
    "empty name": ('name = "buys_again"', 'name = ""', "name: "),
    "path as name": ('name = "buys_again"', 'name = "../up"', "name: "),
    "missing name": ('name = "buys_again"', "", "name: missing"),
    "number as name": ('name = "buys_again"', "name = 3", "name: .*3"),
    "when": ('when = "count(purchase) >= 1"', 'when = ""', "when: "),
    "missing when": ('when = "count(purchase) >= 1"', "", "when: "),
    "horizon": ('horizon = "90d"', 'horizon = "3 months"', "horizon: .*3 months"),
    "zero horizon": ('horizon = "90d"', 'horizon = "0d"', "horizon: .*0d"),
    "huge horizon": ('horizon = "90d"', 'horizon = "99999999999999w"', "horizon: "),
    "number as horizon": ('horizon = "90d"', "horizon = 90", "horizon: .*90"),
    "direction": ('"prevent"', '"stop"', "direction: .*encourage.*prevent.*stop"),
    "unknown": ('horizon = "90d"', 'horizon = "90d"\nhorizn = "9d"', "horizn: "),
    "unknown beside tables": (
        'when = "',
        'whne = "',
        "whne: .*did you mean 'when'.* name, when, horizon, direction, audience, features, tiers$",
    ),
    "unknown table": ("[features]", "[feature]", r"feature: .*did you mean 'features'"),
    "active_within": ('"365d"', '"a year"', "audience.active_within: .*a year"),
    "unknown in audience": ("active_within", "active_since", "audience.active_since: "),
    "timezone": ('"Europe/London"', "3", "features.timezone: .*3"),
    "unknown in features": ("expressions", "expresions", "features.expresions: "),
    "expressions": ("[\"count(purchase, '30d')\",", "[3,", "features.expressions"),
    "tiers": ("[tiers]", "[[tiers]]", "tiers: expected a table"),
    "not TOML": ('horizon = "90d"', "horizon = 90d", "not TOML: .*line 4"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_every_bad_field_is_named_in_one_line(name: str, path: Path) -> None:
    good, bad, message = BAD_LINES[name]
    assert good in WHOLE
    path.write_text(WHOLE.replace(good, bad, 1))
    with pytest.raises(pp.GoalError, match=message) as refused:
        pp.load_goal(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "http" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[audience]\n"])
def test_files_without_a_goal_are_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(pp.GoalError, match=str(path)):
        pp.load_goal(path)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(pp.GoalError, match=r"absent\.toml cannot be read: No such file"):
        pp.load_goal(tmp_path / "absent.toml")
    with pytest.raises(pp.GoalError, match="cannot be read"):
        pp.load_goal(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pp.Goal("a b", "count(a) > 0", horizon="7d"), "name"),
        (lambda: pp.Goal("a", "", horizon="7d"), "when"),
        (lambda: pp.Goal("a", "count(a) > 0", horizon="soon"), "horizon.*soon"),
        (lambda: pp.Goal("a", "count(a) > 0", horizon="7d", direction="up"), "direction"),  # type: ignore[arg-type]
        (lambda: pp.Audience(active_within="ever"), "active_within.*ever"),
    ],
)
def test_goals_made_in_python_are_told_the_same(make: object, message: str) -> None:
    with pytest.raises(pp.GoalError, match=message) as refused:
        make()  # type: ignore[operator]
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("count(purchase, '30d') >= 1", "leave the window out"),
        ("count(purchase)", "a goal is a condition"),
        ("count(purchse) >= 1", "purchase"),
        ("sum(purchase.prise) > 10", "price"),
        ("count(purchase) >=", "parse"),
        ("cout(purchase) >= 1", "count"),
        ("drop table users", "expected"),
    ],
)
def test_a_goal_that_does_not_fit_the_log_is_refused_before_any_work(
    when: str, message: str, log: pp.EventLog
) -> None:
    goal = pp.Goal("x", when, horizon="30d")
    with pytest.raises(pp.ExpressionError, match=message) as refused:
        pp.export_training(log, goal, features=["count(*)"])
    assert when in str(refused.value) or when.replace('"', '\\"') in str(refused.value)


def test_an_audience_that_is_no_condition_is_refused(log: pp.EventLog) -> None:
    audience = pp.Audience(where="count(purchase)")
    goal = pp.Goal("x", "count(purchase) >= 1", horizon="30d", audience=audience)
    with pytest.raises(pp.ExpressionError, match="is a number; an audience is a condition such as"):
        pp.export_training(log, goal, features=["count(*)"])

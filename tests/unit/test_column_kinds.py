"""A log's columns must be of the kinds that a model learnt from; columns without values fit all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import propense as pp

AS_OF = "2024-04-01"
USERS = 120


def events() -> pl.DataFrame:
    random = np.random.default_rng(5)
    rows = USERS * 60
    hours = np.sort(random.integers(0, 24 * 120, rows))
    return pl.DataFrame(
        {
            "user_id": random.integers(0, USERS, rows),
            "ts": [datetime(2024, 1, 1) + timedelta(hours=int(hour)) for hour in hours],
            "event": random.choice(["view", "buy"], rows, p=[0.97, 0.03]),
            "category": random.choice(["movie", "play"], rows),
            "number": random.integers(0, 9, rows),
            "gift": random.random(rows) < 0.5,
        }
    )


def profiles() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": range(USERS),
            "age": [20 + n % 50 for n in range(USERS)],
            "plan": ["gold" if n % 3 else "free" for n in range(USERS)],
            "joined": [datetime(2023, 1, 1 + n % 28) for n in range(USERS)],
        }
    )


def read(events: pl.DataFrame, attributes: pl.DataFrame) -> pp.EventLog:
    return pp.read_events(events, profiles=pp.read_profiles(attributes))


@pytest.fixture(scope="module")
def model() -> pp.Model:
    features = [
        "count(view, '30d')",
        "count(view) FILTER (WHERE category = 'movie')",
        "count(view) FILTER (WHERE gift)",
        "last(view.number)",
        "attr(age)",
        "attr(plan)",
        "attr(joined) > '2023-01-09'",
    ]
    goal = pp.Goal("buys", "count(buy) >= 1", horizon="14d")
    return pp.train(read(events(), profiles()), goal, features=features, as_of=AS_OF)


Asking = Callable[[pp.Model, pp.EventLog], Any]


def explained(model: pp.Model, log: pp.EventLog) -> Any:
    return model.explain(log, as_of=AS_OF)


def segmented(model: pp.Model, log: pp.EventLog) -> Any:
    likely = pp.Segment("likely", "score(buys) > 0.1")
    return pp.segment(log, likely, {"buys": model}, as_of=AS_OF)


ASKED: dict[str, Asking] = {
    "score": lambda model, log: model.score(log, as_of=AS_OF),
    "score_places": lambda model, log: model.score_places(
        log, np.arange(9, dtype=np.uint32), 2**50
    ),
    "explain": explained,
    "tiers": lambda model, log: model.explain_tiers(log, as_of=AS_OF),
    "importance": lambda model, log: model.importance("permutation", log=log),
    "contribution": lambda model, log: model.importance("contribution", log=log),
    "drift": lambda model, log: model.drift(log),
    "validate": lambda model, log: model.validate(log),
    "audit": lambda model, log: model.audit(log, profiles(), ["plan"], as_of=AS_OF),
    "segment": segmented,
}


NUMBERS = {"free": 7, "gold": 3}
CHANGED: dict[str, tuple[Callable[[], pp.EventLog], list[str]]] = {
    "one unknown age": (
        lambda: read(
            events(),
            profiles().with_columns(
                age=pl.when(pl.col("user_id") == 3)
                .then(pl.lit("unknown"))
                .otherwise(pl.col("age").cast(pl.String))
            ),
        ),
        ["attribute 'age'", "texts in this log", "numbers in the log that", "no number"],
    ),
    "coded plans": (
        lambda: read(events(), profiles().with_columns(pl.col("plan").replace_strict(NUMBERS))),
        ["attribute 'plan'", "numbers in this log", "texts in the log that"],
    ),
    "one id too long": (
        lambda: read(
            events().with_columns(
                number=pl.when(pl.int_range(pl.len()) == 5)
                .then(2**53 + 1)
                .otherwise(pl.col("number"))
            ),
            profiles(),
        ),
        ["property 'number'", "texts in this log", "numbers in the log that", "2^53"],
    ),
    "gifts as numbers": (
        lambda: read(events().with_columns(pl.col("gift").cast(pl.Int8)), profiles()),
        ["property 'gift'", "numbers in this log", "truth values in the log that"],
    ),
    "days as numbers": (
        lambda: read(events(), profiles().with_columns(pl.col("joined").cast(pl.Int64))),
        ["attribute 'joined'", "times in the log that"],
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_column_of_another_kind_is_refused(change: str, model: pp.Model) -> None:
    make, parts = CHANGED[change]
    with pytest.raises(pp.DataError) as error:
        model.score(make(), as_of=AS_OF)
    for part in parts:
        assert part in str(error.value), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("asked", ASKED)
def test_whatever_a_model_is_asked_of_such_a_log(asked: str, model: pp.Model) -> None:
    make, _ = CHANGED["coded plans"]
    with pytest.raises(pp.DataError, match="attribute 'plan' holds numbers"):
        ASKED[asked](model, make())


EMPTY = {
    "category": [pl.Null, pl.Float64, pl.Boolean],
    "gift": [pl.Null, pl.String],
    "number": [pl.String, pl.Date],
    "age": [pl.String, pl.Boolean],
    "plan": [pl.Null, pl.Int8],
    "joined": [pl.Null, pl.String],
}
OWN = {"category": pl.String, "gift": pl.Boolean, "number": pl.Int64} | {
    "age": pl.Int64,
    "plan": pl.String,
    "joined": pl.Datetime("us"),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name, dtypes in EMPTY.items() for dtype in dtypes]
)
def test_a_column_without_any_value_fits_every_kind(name: str, dtype: Any, model: pp.Model) -> None:
    def emptied(kind: Any) -> pp.EventLog:
        return read(
            *(
                table.with_columns(pl.lit(None, kind).alias(name))
                if name in table.columns
                else table
                for table in (events(), profiles())
            )
        )

    expected = model.score(emptied(OWN[name]), as_of=AS_OF)
    assert model.score(emptied(dtype), as_of=AS_OF).equals(expected)


def empty(as_: Any = pl.Null) -> pp.EventLog:
    return read(
        events().with_columns(category=pl.lit(None, as_)),
        profiles().with_columns(plan=pl.lit(None, as_)),
    )


@pytest.mark.parametrize("asked", [name for name in ASKED if name != "audit"])
def test_whatever_a_model_is_asked_of_empty_columns(asked: str, model: pp.Model) -> None:
    found, expected = (ASKED[asked](model, empty(as_)) for as_ in (pl.Null, pl.String))
    if asked == "score_places":
        np.testing.assert_array_equal(found, expected)
    elif asked == "validate":
        assert found.as_dict() == expected.as_dict()
    else:
        assert found.equals(expected)


def test_a_saved_log_with_empty_columns_is_scored(model: pp.Model, tmp_path: Path) -> None:
    empty().save(tmp_path / "log")
    expected = model.score(empty(pl.String), as_of=AS_OF)
    assert model.score(pp.open_log(tmp_path / "log"), as_of=AS_OF).equals(expected)


@pytest.mark.parametrize("dtype", [pl.String, pl.UInt16])
def test_ids_come_back_as_they_came(dtype: Any, model: pp.Model) -> None:
    tables = (events().with_columns(category=None), profiles().with_columns(plan=None))
    log = read(*(table.with_columns(pl.col("user_id").cast(dtype)) for table in tables))
    scores = model.score(log, as_of=AS_OF)
    expected = model.score(empty(), as_of=AS_OF).with_columns(pl.col("user_id").cast(dtype))
    assert scores.schema["user_id"] == dtype
    assert scores.sort("user_id").equals(expected.sort("user_id"))

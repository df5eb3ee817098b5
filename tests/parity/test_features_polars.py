"""Features equal an independent computation in Polars, and the slow reference to the bit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense import _core
from propense.instants import to_us

ZONE = "America/New_York"
AS_OF = datetime(2024, 5, 20, 13, 30, tzinfo=UTC)
DAY_US = 86_400_000_000
ORDER = ["event_time", "event", "amount", "category", "flag", "quantity"]
ZERO_IF_EMPTY = ("count", "sum", "distinct", "active_days", "decayed_count")

FILTERS: dict[str, pl.Expr] = {
    "category = 'ale'": pl.col("category") == "ale",
    "category <> 'ale'": pl.col("category") != "ale",
    "NOT amount > 5": ~(pl.col("amount") > 5),
    "amount > 5 OR flag": (pl.col("amount") > 5) | pl.col("flag"),
    "flag AND quantity IN (1, 3)": pl.col("flag") & pl.col("quantity").is_in([1, 3]),
    "quantity BETWEEN 2 AND 4": pl.col("quantity").is_between(2, 4),
    "category IS NULL": pl.col("category").is_null(),
    "category LIKE '%a%'": pl.col("category").str.contains("a"),
    "amount * 2 + quantity >= 10": pl.col("amount") * 2 + pl.col("quantity") >= 10,
}


def _days(span: pl.Expr) -> pl.Expr:
    return span.dt.total_microseconds() / DAY_US


def _local() -> pl.Expr:
    return pl.col("event_time").dt.convert_time_zone(ZONE)


def _between(values: pl.Expr, low: int, high: int) -> pl.Expr:
    if low <= high:
        return values.is_between(low, high)
    return (values >= low) | (values <= high)


AMOUNT, CATEGORY, TIME = pl.col("amount"), pl.col("category"), pl.col("event_time")
GAPS_DAYS = _days(TIME.diff())
AGE = _days(pl.lit(AS_OF) - TIME)

AGGREGATES: dict[str, tuple[str, pl.Expr]] = {
    "count": ("", pl.len()),
    "count_present": (".amount", AMOUNT.count()),
    "sum": (".amount", AMOUNT.sum()),
    "mean": (".amount", AMOUNT.mean()),
    "min": (".amount", AMOUNT.min()),
    "max": (".amount", AMOUNT.max()),
    "std": (".amount", AMOUNT.std(ddof=1)),
    "first": (".amount", AMOUNT.drop_nulls().first()),
    "last": (".amount", AMOUNT.drop_nulls().last()),
    "distinct": (".category", CATEGORY.drop_nulls().n_unique()),
    "recency": ("", AGE.min()),
    "tenure": ("", AGE.max()),
    "active_days": ("", _local().dt.date().n_unique()),
    "gap_mean": ("", GAPS_DAYS.mean()),
    "gap_std": ("", GAPS_DAYS.std(ddof=1)),
    "decayed_count": (", '12d'", (0.5 ** (AGE / 12)).sum()),
    "hour_share": (", 22, 6", _between(_local().dt.hour(), 22, 6).mean()),
    "weekday_share": (", 6, 7", _between(_local().dt.weekday(), 6, 7).mean()),
}


def _cases() -> dict[str, tuple[str | None, int | None, str | None, str]]:
    """Text of a feature → event type, window, filter, aggregate."""
    cases = {}
    for key, (rest, _) in AGGREGATES.items():
        for event in ("buy", "*"):
            if event == "*" and rest.startswith("."):
                event = "view"
            for window in (None, 7, 45):
                for condition in (None, *FILTERS):
                    if window == 45 and condition is not None:
                        continue
                    if key == "decayed_count" and window is not None:
                        continue
                    over = "" if window is None else f", '{window}d'"
                    tail = "" if condition is None else f" FILTER (WHERE {condition})"
                    text = f"{key.removesuffix('_present')}({event}{rest}{over}){tail}"
                    cases[text] = (None if event == "*" else event, window, condition, key)
    return cases


CASES = _cases()


def _oracle(events: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    """Every case by Polars, one group-by per selection of events."""
    known = events.with_columns(TIME.dt.replace_time_zone("UTC")).filter(TIME < AS_OF)
    known = known.sort(ORDER, nulls_last=True)
    selections: dict[tuple[Any, ...], dict[str, pl.Expr]] = {}
    for text, (event, window, condition, key) in CASES.items():
        selections.setdefault((event, window, condition), {})[text] = AGGREGATES[key][1]
    found = pl.DataFrame({"user_id": users})
    for (event, window, condition), aggregates in selections.items():
        part = known if event is None else known.filter(pl.col("event") == event)
        if window is not None:
            part = part.filter(AS_OF - timedelta(days=window) <= TIME)
        if condition is not None:
            part = part.filter(FILTERS[condition])
        summed = part.group_by("user_id", maintain_order=True).agg(
            expression.cast(pl.Float64).alias(text) for text, expression in aggregates.items()
        )
        found = found.join(summed, on="user_id", how="left", maintain_order="left")
    counted = [text for text in CASES if text.startswith(ZERO_IF_EMPTY)]
    return found.with_columns(pl.col(counted).fill_null(0.0))


def with_edges(events: pl.DataFrame) -> pl.DataFrame:
    """Put some events on the edges of windows: in at the start, out at the as_of."""
    edges = [AS_OF - timedelta(days=days) for days in (0, 7, 45)]
    edges += [edge - timedelta(microseconds=1) for edge in edges]
    naive = [pl.lit(edge.replace(tzinfo=None)).cast(pl.Datetime("us")) for edge in edges]
    on_edge = [events[place::53].with_columns(event_time=at) for place, at in enumerate(naive)]
    return pl.concat([events, *on_edge])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_features_equal_an_independent_computation(
    seed: int, random_events: Callable[..., pl.DataFrame]
) -> None:
    events = with_edges(random_events(seed))
    features = pp.FeatureSet({text: text for text in CASES}, timezone=ZONE)
    frame = pp.compute_features(pp.read_events(events), features, as_of=AS_OF)
    before = events.filter(AS_OF.replace(tzinfo=None) > TIME)
    expected = _oracle(events, before["user_id"].unique().sort())
    assert frame.columns == ["user_id", *CASES]
    assert frame["user_id"].equals(expected["user_id"])
    for text in CASES:
        got = frame[text].to_numpy().astype(np.float64)
        want = expected[text].fill_null(np.nan).to_numpy()
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6, err_msg=text)


def test_the_random_logs_have_what_could_go_wrong(
    random_events: Callable[..., pl.DataFrame],
) -> None:
    events = random_events(1)
    at_one_time = events.group_by("user_id", "event_time").len()
    assert (at_one_time["len"] > 1).sum() > 50
    assert events.is_duplicated().any()
    empty = _oracle(events, events["user_id"].unique().sort())
    assert empty["mean(buy.amount, '7d')"].null_count() > 0
    assert empty["std(buy.amount)"].null_count() < empty.height


def test_texts_are_codes_of_their_vocabulary(random_events: Callable[..., pl.DataFrame]) -> None:
    events = random_events(4)
    log = pp.read_events(events)
    features = pp.FeatureSet({"x": "last(view.category)"}).bound(log, to_us(AS_OF))
    frame = pp.compute_features(log, features, as_of=AS_OF)
    known = events.filter(AS_OF.replace(tzinfo=None) > TIME, pl.col("event") == "view")
    last = known.sort(ORDER, nulls_last=True).drop_nulls("category")
    last = last.group_by("user_id", maintain_order=True).agg(CATEGORY.last())
    code = {text: float(place) for place, text in enumerate(["ale", "bar", "cup", "dot"])}
    want = frame.select("user_id").join(last, on="user_id", how="left", maintain_order="left")
    assert [code.get(text) for text in want["category"]] == frame["x"].fill_nan(None).to_list()


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 0), (ZONE, 4), ("Asia/Tokyo", -9)])
def test_a_date_is_its_first_instant_in_the_features_zone(zone: str, hour: int) -> None:
    edge = datetime(2024, 5, 1, tzinfo=UTC) + timedelta(hours=hour)
    times = [edge - timedelta(microseconds=1), edge]
    events = pl.DataFrame({"user_id": [1, 1], "event_time": times, "event": ["a", "a"]})
    features = pp.FeatureSet(["count(a)", "recency(a)"], timezone=zone)
    frame = pp.compute_features(pp.read_events(events), features, as_of="2024-05-01")
    assert frame.row(0)[:2] == (1, 1.0)
    assert frame.row(0)[2] == pytest.approx(1e-6 / 86_400)


def test_attributes_come_from_profiles(random_events: Callable[..., pl.DataFrame]) -> None:
    table = pl.DataFrame(
        {"user_id": [0, 1, 2, 999], "age": [30, None, 41, 5], "plan": ["pro", "free", None, "x"]}
    )
    log = pp.read_events(random_events(1), profiles=pp.read_profiles(table))
    texts = ["attr(age)", "attr(plan) = 'pro'", "attr(age) / 2 + 1", "coalesce(attr(age), -1)"]
    frame = pp.compute_features(log, pp.FeatureSet({t: t for t in texts}), as_of=AS_OF)
    first = frame.head(4).fill_nan(None)
    assert first["user_id"].to_list() == [0, 1, 2, 3]
    assert first["attr(age)"].to_list() == [30, None, 41, None]
    assert first["attr(plan) = 'pro'"].to_list() == [1, 0, None, None]
    assert first["attr(age) / 2 + 1"].to_list() == [16, None, 21.5, None]
    assert first["coalesce(attr(age), -1)"].to_list() == [30, -1, 41, -1]


EXTRA = [
    "count(buy) / count(*)",
    "CASE WHEN count(buy) > 2 THEN 1 ELSE 0 END",
    "count(buy) >= 1 AND NOT count(view) = 0",
    "sum(buy.amount, '30d') - sum(buy.amount, '90d')",
    "recency(buy) IS NULL",
    "ln(count(*)) + sqrt(abs(mean(view.amount)))",
    "count(*, '30d') FILTER (WHERE event IN ('buy', 'view'))",
    "hour_share(view, 0, 5, '90d')",
]


@pytest.mark.parametrize("seed", [5, 6])
@pytest.mark.parametrize("zone", ["UTC", ZONE, "Australia/Lord_Howe"])
def test_kernels_equal_the_reference_to_the_bit(
    seed: int, zone: str, random_events: Callable[..., pl.DataFrame]
) -> None:
    log = pp.read_events(random_events(seed, rows=1_500))
    texts = [text for text in (*CASES, *EXTRA) if "CASE" not in text]
    features = pp.FeatureSet({text: text for text in texts}, timezone=zone)
    frame = pp.compute_features(log, features, as_of=AS_OF)
    everyone = pl.Series(log.core.user_ids(np.arange(log.n_users, dtype=np.uint32)))
    here = everyone.is_in(frame["user_id"].to_list()).to_numpy()
    for text in texts:
        slow = _core.reference(log.core, text, zone, start_us=None, end_us=to_us(AS_OF))
        want = slow[here].astype(np.float32)
        got = frame[text].to_numpy()
        same = (got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want))
        assert same.all(), text

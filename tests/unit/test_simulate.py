"""The simulator: what it writes is consistent, and its truth is the truth of what it writes."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

import propense.simulator.simulation as simulation_module
from propense.exceptions import DataError, OutputError
from propense.simulator import Simulation, intent, population, seasons, simulate, write

USERS = 2_000
DAYS = 540
EVENT_TYPES = {
    *("install", "app_open", "search", "view_item", "add_to_cart", "purchase", "refund"),
    *("push_received", "push_opened", "email_received", "email_opened"),
    *("support_contact", "uninstall"),
}


@pytest.fixture(scope="module")
def sim() -> Simulation:
    return simulate(USERS, DAYS, seed=7)


@pytest.fixture(scope="module")
def big() -> Simulation:
    return simulate(20_000, 240, seed=11, as_of=date(2024, 7, 1))


def _of(sim: Simulation, *events: str) -> pl.DataFrame:
    return sim.events.filter(pl.col("event").is_in(events))


def _outcome(sim: Simulation) -> npt.NDArray[np.bool_]:
    """Tell which users of the truth purchased within its horizon, read from the log alone."""
    end = sim.as_of + timedelta(days=sim.horizon_days)
    within = _of(sim, "purchase").filter(pl.col("ts") >= sim.as_of, pl.col("ts") < end)
    return sim.truth["user_id"].is_in(within["user_id"].unique().implode()).to_numpy()


def _auc(outcome: npt.NDArray[np.bool_], value: pl.Series) -> float:
    """Mann-Whitney: how often a buyer ranks above another, ties counting half."""
    rank = value.rank("average").to_numpy()
    positives = int(outcome.sum())
    pairs = positives * (len(outcome) - positives)
    return float((rank[outcome].sum() - positives * (positives + 1) / 2) / pairs)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    first, again, other = (simulate(300, 90, seed=seed) for seed in (3, 3, 4))
    for name in ("events", "profiles", "truth"):
        assert getattr(first, name).equals(getattr(again, name), null_equal=True)
        assert not getattr(first, name).equals(getattr(other, name), null_equal=True)


def test_a_user_does_not_depend_on_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation_module, "_BLOCK_USERS", 250)
    few, many = simulate(300, 90, seed=3), simulate(700, 90, seed=3)
    for name in ("events", "profiles", "truth"):
        of_many = getattr(many, name).filter(pl.col("user_id") < "u0000300")
        assert getattr(few, name).equals(of_many, null_equal=True)
    later = many.events.filter(pl.col("user_id") >= "u0000300")
    assert later["user_id"].n_unique() > 300


def test_the_frames_have_their_schema(sim: Simulation) -> None:
    assert dict(sim.events.schema) == {
        "user_id": pl.String,
        "ts": pl.Datetime("us", "UTC"),
        "event": pl.String,
        "category": pl.String,
        "price": pl.Float64,
        "quantity": pl.Int64,
        "channel": pl.String,
        "query_length": pl.Int64,
    }
    assert sim.profiles.columns == ["user_id", "country", "age", "plan", "signup_channel"]
    assert dict(sim.truth.schema) == {"user_id": pl.String, "probability": pl.Float64}
    assert sim.profiles["user_id"].to_list() == [f"u{user:07}" for user in range(USERS)]
    assert set(sim.events["event"].unique()) == EVENT_TYPES
    assert 0 < sim.profiles["age"].null_count() < USERS / 5
    assert sim.events.select("user_id", "ts").equals(
        sim.events.select("user_id", "ts").sort("user_id", "ts")
    )
    first, last = sim.events["ts"].min(), sim.events["ts"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    assert seasons.START <= first < last < seasons.START + timedelta(days=DAYS)


def test_properties_belong_to_their_events(sim: Simulation) -> None:
    has = sim.events.group_by("event").agg(
        (pl.col(name).is_not_null().mean()).alias(name)
        for name in ("category", "price", "quantity", "channel", "query_length")
    )
    share = {row["event"]: row for row in has.iter_rows(named=True)}
    for event in EVENT_TYPES:
        assert share[event]["query_length"] == (event == "search")
        items = ("view_item", "add_to_cart", "purchase", "refund")
        assert share[event]["price"] == (event in items)
        assert share[event]["quantity"] == (event in items[1:])
    assert sim.events["price"].drop_nulls().min() > 0  # type: ignore[operator]
    assert sim.events["quantity"].drop_nulls().is_between(1, 8).all()


def test_a_few_users_make_much_of_the_log(big: Simulation) -> None:
    opens = _of(big, "app_open").group_by("user_id").len()["len"].sort(descending=True)
    top = int(opens.head(200).sum()) / int(opens.sum())  # equal users would give 0.01
    assert 0.10 < top < 0.40


def test_after_an_uninstall_there_is_silence_until_an_install(sim: Simulation) -> None:
    after = sim.events.select(
        "user_id",
        "event",
        before=pl.col("event").shift(1).over("user_id"),
        place=pl.int_range(pl.len()).over("user_id"),
    )
    following = after.filter(pl.col("before") == "uninstall")
    assert following.height > 20
    assert set(following["event"]) == {"install"}
    reinstalled = after.filter((pl.col("event") == "install") & (pl.col("place") > 0))
    assert set(reinstalled["before"]) == {"uninstall"}


def test_every_refund_is_of_an_earlier_purchase(sim: Simulation) -> None:
    item = ["user_id", "category", "price", "quantity"]
    refunds, purchases = _of(sim, "refund"), _of(sim, "purchase")
    assert refunds.height > 30
    matched = refunds.with_row_index().join(purchases, on=item, suffix="_bought")
    earlier = matched.filter(pl.col("ts_bought") < pl.col("ts"))
    assert earlier["index"].n_unique() == refunds.height


def test_every_purchase_ends_a_funnel(sim: Simulation) -> None:
    before = [pl.col("event").shift(back).over("user_id") for back in (1, 2)]
    gap = (pl.col("ts") - pl.col("ts").shift(1).over("user_id")).dt.total_seconds()
    bought = sim.events.with_columns(cart=before[0], view=before[1], gap=gap).filter(
        pl.col("event") == "purchase"
    )
    # Another session or a message may fall in between; rarely.
    assert (bought["cart"] == "add_to_cart").mean() > 0.97  # type: ignore[operator]
    assert (bought["view"] == "view_item").mean() > 0.95  # type: ignore[operator]
    carted = bought.filter(pl.col("cart") == "add_to_cart")
    assert carted["gap"].max() <= 240  # type: ignore[operator]


@pytest.mark.parametrize("horizon_days", [1, 30])
def test_the_truth_is_calibrated(horizon_days: int) -> None:
    sim = simulate(20_000, 200, seed=5, as_of=date(2024, 6, 1), horizon_days=horizon_days)
    outcome, probability = _outcome(sim), sim.truth["probability"].to_numpy()
    order = np.argsort(probability)
    bins = np.array_split(order, 10)
    expected = np.array([probability[rows].sum() for rows in bins])
    variance = np.array([(probability[rows] * (1 - probability[rows])).sum() for rows in bins])
    happened = np.array([outcome[rows].sum() for rows in bins])
    # Users are independent given the calendar, so these are sums of Bernoulli trials.
    assert np.abs(happened - expected).max() < 5 * np.sqrt(variance.max()) + 3
    large = expected > 10
    assert (np.abs(happened - expected)[large] < 4 * np.sqrt(variance[large])).all()
    assert abs(happened.sum() - expected.sum()) < 3.5 * np.sqrt(variance.sum())


def test_the_truth_is_for_those_who_were_there(big: Simulation) -> None:
    first = big.events.group_by("user_id", maintain_order=True).first()
    late = first.filter(pl.col("event") == "install", pl.col("ts") >= big.as_of)
    assert late.height > 1_000
    assert late.join(big.truth, on="user_id").height == 0
    early = big.events.filter(pl.col("ts") < big.as_of)["user_id"].unique()
    assert early.is_in(big.truth["user_id"].implode()).all()
    assert big.truth["probability"].is_between(0, 1, closed="none").all()


def test_the_truth_ranks_far_better_than_a_rule(big: Simulation) -> None:
    outcome = _outcome(big)
    assert 0.04 < outcome.mean() < 0.09
    assert 0.85 < _auc(outcome, big.truth["probability"]) < 0.92
    month = big.events.filter(
        pl.col("ts") < big.as_of, pl.col("ts") >= big.as_of - timedelta(days=30)
    )
    for event, most in (("purchase", 0.66), ("app_open", 0.76)):
        did = big.truth["user_id"].is_in(
            month.filter(pl.col("event") == event)["user_id"].unique().implode()
        )
        assert 0.55 < _auc(outcome, did.cast(pl.Float64)) < most


def test_recent_browsing_tells_more_than_having_opened(big: Simulation) -> None:
    week = big.events.filter(
        pl.col("ts") < big.as_of, pl.col("ts") >= big.as_of - timedelta(days=7)
    )
    outcome = pl.Series(_outcome(big))

    def rate(event: str) -> float:
        users = week.filter(pl.col("event") == event)["user_id"].unique()
        return float(outcome.filter(big.truth["user_id"].is_in(users.implode())).mean())  # type: ignore[arg-type]

    base = float(outcome.mean())  # type: ignore[arg-type]
    assert rate("add_to_cart") > 1.3 * rate("app_open") > 1.3 * 1.3 * base


def test_the_year_the_week_and_the_day_have_their_rhythm(big: Simulation) -> None:
    year = simulate(10_000, 366, seed=2)
    bought = _of(year, "purchase").with_columns(month=pl.col("ts").dt.month())
    festival = bought.filter(pl.col("category") == "festival").group_by("month").len()
    by_month = dict(festival.iter_rows())
    assert by_month[4] + by_month[5] > 3 * (by_month[9] + by_month[10])
    theatre = bought.group_by("month").agg((pl.col("category") == "theatre").mean().alias("share"))
    share = dict(theatre.iter_rows())
    assert share[12] > 1.5 * share[6]

    opens = _of(big, "app_open")
    weekday = dict(opens.group_by(pl.col("ts").dt.weekday()).len().iter_rows())
    assert weekday[5] > 1.25 * weekday[2]
    hour = dict(opens.group_by(pl.col("ts").dt.hour()).len().iter_rows())
    assert hour[20] > 5 * hour[3]


def test_a_user_keeps_a_favourite_hour(big: Simulation) -> None:
    opens = _of(big, "app_open").with_columns(angle=pl.col("ts").dt.hour() * (2 * np.pi / 24))
    resultant = pl.col("angle").cos().mean() ** 2 + pl.col("angle").sin().mean() ** 2
    own = (
        opens.group_by("user_id")
        .agg(resultant.sqrt().alias("r"), pl.len())
        .filter(pl.col("len") >= 30)
    )
    everyone = opens.select(resultant.sqrt()).item()
    assert own.height > 100
    assert own["r"].mean() > everyone + 0.1


def test_an_on_sale_lifts_purchases_in_its_category_and_in_all() -> None:
    days = 200
    sim = simulate(10_000, days, seed=9)
    calendar = seasons.draw_calendar(np.random.default_rng([9, 0]), days)
    day = (pl.col("ts") - seasons.START).dt.total_days().alias("day")
    bought = np.zeros((days, len(seasons.CATEGORIES)))
    for row_day, category, count in _of(sim, "purchase").group_by(day, "category").len().rows():
        bought[row_day, seasons.CATEGORIES.index(category)] = count
    hot = calendar.onsale > 0.8
    lifts = [
        bought[hot[:, c], c].mean() / bought[~hot[:, c], c].mean()
        for c in range(len(seasons.CATEGORIES))
        if hot[:, c].any()
    ]
    assert np.median(lifts) > 1.3

    # In all categories together: against the same weekday and the same four weeks.
    total = bought.sum(axis=1) / seasons.WEEKDAY[np.arange(days) % 7]
    near = np.array([total[max(0, d - 14) : d + 15].mean() for d in range(days)])
    heat = calendar.onsale.sum(axis=1)
    relative = total / near
    assert relative[heat > 1.5].mean() > 1.2 * relative[heat < 0.3].mean()


def test_the_moves_of_a_day_are_probabilities() -> None:
    calendar = seasons.draw_calendar(np.random.default_rng(1), 300)
    people = population.draw_population(np.random.default_rng(2), 500, calendar)
    for day in range(0, 300, 7):
        leaving = np.zeros((intent.ABSENT, 500))
        for move in intent.moves(intent.read_day(people, calendar, day)):
            assert np.all(np.asarray(move.probability) >= 0)
            leaving[move.source] += move.probability
        assert leaving.max() <= 1 + 1e-12


def test_an_on_sale_draws_users_towards_a_purchase() -> None:
    calendar = seasons.draw_calendar(np.random.default_rng(1), 60)
    people = population.draw_population(np.random.default_rng(2), 500, calendar)
    quiet = dataclasses.replace(calendar, onsale=np.zeros_like(calendar.onsale))
    day = int(calendar.onsale.sum(axis=1).argmax())
    mean = [
        {
            (move.source, move.target): np.mean(move.probability)
            for move in intent.moves(intent.read_day(people, seen, day))
        }
        for seen in (calendar, quiet)
    ]
    for towards in ((intent.IDLE, intent.CURIOUS), (intent.CURIOUS, intent.PLANNING)):
        assert mean[0][towards] > 1.2 * mean[1][towards]


def test_progress_ends_where_it_said_it_would() -> None:
    steps: list[tuple[int, int]] = []
    simulate(50, 100, progress=lambda done, total: steps.append((done, total)))
    done = [step for step, _ in steps]
    assert len(steps) > 2
    assert done == sorted(set(done))
    assert {total for _, total in steps} == {done[-1]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"users": 0}, "users must be from 1"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"days": 20}, "horizon_days must be from 1 to days - 1 = 19, not 30"),
        ({"days": 90, "as_of": date(2024, 3, 2)}, "from 2024-01-02 to 2024-03-01"),
        ({"days": 90, "as_of": date(2024, 1, 1)}, "from 2024-01-02 to 2024-03-01"),
        ({"as_of": datetime(2024, 2, 1, 12)}, "a midnight UTC"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        simulate(**arguments)  # type: ignore[arg-type]


def test_an_as_of_may_be_a_date_or_any_spelling_of_midnight_utc() -> None:
    east = timezone(timedelta(hours=2))
    spellings = [date(2024, 2, 1), datetime(2024, 2, 1), datetime(2024, 2, 1, 2, tzinfo=east)]
    as_ofs = {simulate(10, 70, as_of=as_of).as_of for as_of in spellings}
    assert as_ofs == {datetime(2024, 2, 1, tzinfo=UTC)}


def test_write_gives_three_whole_files(sim: Simulation, tmp_path: Path) -> None:
    paths = write(sim, tmp_path / "deep" / "demo")
    assert [path.name for path in paths] == ["events.parquet", "profiles.parquet", "truth.parquet"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == [p.name for p in paths]
    assert pl.read_parquet(paths[0]).equals(sim.events, null_equal=True)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write(sim, tmp_path / "file")

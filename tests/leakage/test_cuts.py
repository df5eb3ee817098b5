"""The as_of dates: no label window crosses the cut, none of the held-out run reaches the test."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from propense.cuts import MAX_BACKTESTS, MAX_PERIODS, backtest_us, choose_cuts, periods_before
from propense.exceptions import TrainingError
from propense.instants import DAY_US

INSTANTS = st.integers(-(10**16), 10**16)
SPANS = st.one_of(st.integers(1, 10**6), st.integers(1, 4_000).map(lambda d: d * DAY_US))


def periods_hold(as_of_us: tuple[int, ...], first_us: int, end_us: int, horizon_us: int) -> None:
    assert all(instant + horizon_us <= end_us for instant in as_of_us)
    assert all(first_us < instant for instant in as_of_us)
    assert list(as_of_us) == sorted(set(as_of_us))
    assert len(as_of_us) <= MAX_PERIODS
    # All but the newest stand at steps of 30 days with at least as much history before them.
    assert all(instant - first_us >= 30 * DAY_US for instant in as_of_us[:-1])
    steps = {later - earlier for earlier, later in pairwise(as_of_us)}
    assert steps <= {30 * DAY_US}


@given(first_us=INSTANTS, span_us=SPANS, horizon_us=SPANS)
@example(first_us=0, span_us=2, horizon_us=1)
@example(first_us=0, span_us=DAY_US + 1, horizon_us=DAY_US)
@example(first_us=-5, span_us=400 * DAY_US, horizon_us=90 * DAY_US)
def test_windows_stay_where_they_belong(first_us: int, span_us: int, horizon_us: int) -> None:
    cut_us = first_us + span_us
    if span_us <= horizon_us:
        with pytest.raises(TrainingError, match="no history to learn from"):
            choose_cuts(first_us, cut_us, horizon_us)
        return
    cuts = choose_cuts(first_us, cut_us, horizon_us)
    assert cuts.as_of_us[-1] == cuts.test_us == cut_us - horizon_us
    periods_hold(cuts.as_of_us, first_us, cut_us, horizon_us)
    periods_hold(cuts.held_out_us, first_us, cuts.test_us, horizon_us)


def test_a_long_log_gives_six_months_a_short_one_what_it_can() -> None:
    long = choose_cuts(0, 1_000 * DAY_US, 30 * DAY_US)
    assert [instant // DAY_US for instant in long.as_of_us] == [820, 850, 880, 910, 940, 970]
    assert [instant // DAY_US for instant in long.held_out_us] == [790, 820, 850, 880, 910, 940]
    short = choose_cuts(0, 31 * DAY_US, 30 * DAY_US)
    assert [instant // DAY_US for instant in short.as_of_us] == [1]
    assert short.held_out_us == ()


@given(first_us=INSTANTS, span_us=SPANS, horizon_us=SPANS)
@example(first_us=0, span_us=3, horizon_us=1)
@example(first_us=0, span_us=400 * DAY_US, horizon_us=90 * DAY_US)
def test_no_backtest_sees_or_labels_what_it_must_not(
    first_us: int, span_us: int, horizon_us: int
) -> None:
    cut_us = first_us + span_us
    dates = backtest_us(first_us, cut_us, horizon_us)
    if span_us <= 2 * horizon_us:
        assert dates == ()
        return
    assert dates[-1] == cut_us - horizon_us
    assert list(dates) == sorted(set(dates))
    assert len(dates) <= MAX_BACKTESTS
    for date in dates:
        learnt = periods_before(first_us, date, horizon_us)
        assert learnt
        assert all(first_us < instant <= date - horizon_us for instant in learnt)
    assert all(date - horizon_us - first_us >= 30 * DAY_US for date in dates[:-1])


def test_backtests_stand_a_horizon_apart_where_there_is_room_for_three() -> None:
    def days(span: int, horizon: int) -> list[float]:
        return [at / DAY_US for at in backtest_us(0, span * DAY_US, horizon * DAY_US)]

    assert days(1_000, 90) == [550, 640, 730, 820, 910]
    assert days(1_000, 7) == [873, 903, 933, 963, 993]
    assert days(390, 90) == [120, 210, 300]
    # Room for three only if they overlap.
    assert days(310, 90) == [120, 170, 220]
    assert days(210, 90) == [120]
    assert days(185, 90) == [95]

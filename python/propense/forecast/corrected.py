"""Why the scores of a forecast add up to something else than is expected, in words."""

from __future__ import annotations

from propense.forecast.forecast import Forecast


def corrected(forecast: Forecast) -> str | None:
    """Say what past dates do to the sum of the scores; None where it is what is expected."""
    scores, expected = (
        f"{each:,.0f}" for each in (forecast.crowd.at(0.0), forecast.total.expected)
    )
    if scores == expected:
        return None
    missed = "fewer than came true" if forecast.ahead.centre > 0 else "more than came true"
    return (
        f"the scores add up to {scores}; on past dates they said {missed}, which {expected} makes "
        "up for"
    )

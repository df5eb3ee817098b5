"""The report's charts, each small enough to be read on a phone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.exceptions import ModelError
from propense.instants import local_day
from propense.report.facts import Picks, TierFacts, wilson
from propense.report.words import TIER_WORDS

MODEL, RULE, RANDOM = "#2f5fa8", "#d9822b", "#8a8f98"
TIER_COLOURS = {"most_likely": "#1f5f8b", "moderately_likely": "#7fb2d6", "least_likely": "#b9c6d2"}
WIDTH, HEIGHT = 330, 220
_PERCENT = ".2~%"


@dataclass(frozen=True)
class Chart:
    """A drawn chart: SVG for the page, PNG for slides, and what it shows in a sentence."""

    name: str
    shows: str
    svg: str
    png: bytes


def require_altair() -> Any:
    """Give the module altair.

    Raises
    ------
    ModelError
        The extra ``report`` is not installed.
    """
    try:
        import altair
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"{error.name} not installed; a report needs: pip install 'propense[report]'"
        ) from error
    return altair


def drawn(name: str, shows: str, chart: Any, height: int = HEIGHT, width: int = WIDTH) -> Chart:
    """Draw a chart."""
    import vl_convert

    styled = (
        chart.properties(width=width, height=height, background="white")
        .configure(font="Helvetica, Arial, sans-serif", padding=6)
        .configure_axis(
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            gridColor="#e6e9ed",
            domainColor=RANDOM,
            tickColor=RANDOM,
        )
        .configure_legend(
            orient="top", title=None, labelFontSize=12, symbolSize=90, columns=3, columnPadding=22
        )
        .configure_view(stroke=None)
        .configure_text(fontSize=12)
    )
    text = io.StringIO()
    styled.save(text, format="svg")
    svg = text.getvalue()
    return Chart(name, shows, svg, vl_convert.svg_to_png(svg, scale=2))


def gains_chart(curve: pl.DataFrame, picked: Picks | None) -> Chart:
    """Draw cumulative gains: scores, the rule's one point, and random."""
    alt = require_altair()
    rows = [{"who": "scores", **row} for row in curve.iter_rows(named=True)]
    rows += [{"who": "random", "contacted": end, "found": end} for end in (0.0, 1.0)]
    colour = _colours(alt, {"scores": MODEL, "random": RANDOM, "the rule": RULE})
    share = {"scale": alt.Scale(domain=[0, 1]), "axis": alt.Axis(format="%", tickCount=5)}
    x = alt.X("contacted:Q", title="share of users contacted", **share)
    y = alt.Y("found:Q", title="share of those who reach the goal", **share)
    chart = (
        alt.Chart(alt.Data(values=rows)).mark_line(strokeWidth=2.5).encode(x=x, y=y, color=colour)
    )
    # Where nobody reached the goal on the newest past date there is no share of them to find.
    if picked is not None and picked.reached:
        at = {"contacted": picked.picked / picked.users, "found": picked.by_rule / picked.reached}
        point = alt.Chart(alt.Data(values=[{"who": "the rule", **at}]))
        chart += point.mark_point(size=110, filled=True, opacity=1).encode(x=x, y=y, color=colour)
    return drawn("gains", "How many of those who reach the goal are among the best users", chart)


def picks_chart(picked: Picks) -> Chart:
    """Draw the rate of the same number of users, picked in three ways."""
    alt = require_altair()
    rows = []
    for who, hits in (("scores", picked.by_score), ("the rule", picked.by_rule)):
        low, high = wilson(hits, picked.picked)
        rows.append({"who": who, "rate": hits / picked.picked, "low": low, "high": high})
    everyone = picked.reached / picked.users
    rows.append({"who": "random", "rate": everyone, "low": everyone, "high": everyone})
    for row in rows:
        row["label"] = f"{row['rate']:.1%}"
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("who:N", sort=None, title=None, axis=alt.Axis(labelFontSize=13))
    )
    rate = alt.X("rate:Q", title="share who reach the goal", axis=alt.Axis(format="%", tickCount=5))
    colour = _colours(alt, {"scores": MODEL, "the rule": RULE, "random": RANDOM}, legend=None)
    bars = base.mark_bar(height=26).encode(x=rate, color=colour)
    whiskers = base.mark_rule(strokeWidth=1.5).encode(x="low:Q", x2="high:Q")
    texts = base.mark_text(align="left", dx=5, dy=-9).encode(x=alt.X("high:Q"), text="label:N")
    return drawn(
        "picks", "The same number of users, picked in three ways", bars + whiskers + texts, 140
    )


def calibration_chart(deciles: Sequence[dict[str, Any]]) -> Chart:
    """Draw what happened against what the scores said, by tenth, on equal scales."""
    alt = require_altair()
    rows = []
    for each in deciles:
        low, high = wilson(each["positives"], each["n"])
        rows.append({"said": each["mean_score"], "was": each["rate"], "low": low, "high": high})
    end = min(1.0, 1.05 * max(max(row["said"], row["high"]) for row in rows))
    scale = alt.Scale(domain=[0, end], nice=False)
    percent = alt.Axis(format=_PERCENT, tickCount=5)
    x = alt.X("said:Q", title="what the scores say", scale=scale, axis=percent)
    y = alt.Y("was:Q", title="what happened", scale=scale, axis=percent)
    line = alt.Chart(alt.Data(values=[{"said": 0, "was": 0}, {"said": end, "was": end}]))
    ideal = line.mark_line(strokeDash=[5, 4], color=RANDOM).encode(x=x, y=y)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x)
    whiskers = base.mark_rule(color=MODEL).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
    points = base.mark_point(size=60, filled=True, color=MODEL, opacity=1).encode(y=y)
    return drawn(
        "calibration",
        "Each tenth of users: on the dashed line, scores are right",
        ideal + whiskers + points,
    )


def distribution_chart(bins: pl.DataFrame, most: float, least: float) -> Chart:
    """Draw how many users have which score, coloured by tier, with the cut-offs."""
    alt = require_altair()
    rows = [{**row, "tier": TIER_WORDS[row["tier"]]} for row in bins.iter_rows(named=True)]
    low, high = float(bins["low"].min()), float(bins["high"].max())  # type: ignore[arg-type]
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axis = alt.Axis(format=_PERCENT, values=ticks, labelOverlap=True)
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    x = alt.X("low:Q", title="score (chance to reach the goal)", scale=scale, axis=axis)
    y = alt.Y("share:Q", title="share of users", axis=alt.Axis(format=_PERCENT, tickCount=4))
    colours = {TIER_WORDS[name]: colour for name, colour in TIER_COLOURS.items()}
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(x=x, x2="high:Q", y=y, y2=alt.datum(0), color=_colours(alt, colours, field="tier"))
    )
    cuts = [{"low": cut, "label": f"{cut:.1%}"} for cut in (least, most) if low < cut < high]
    lines = alt.Chart(alt.Data(values=cuts)).encode(x=x)
    marks = lines.mark_rule(strokeDash=[3, 3], color="#333")
    texts = lines.mark_text(align="left", dx=4, y=8, color="#333").encode(text="label:N")
    return drawn(
        "scores",
        "How many users have which score; dashed lines are the tiers' cut-offs",
        bars + marks + texts,
    )


def tiers_chart(tiers: Sequence[TierFacts]) -> Chart:
    """Draw each tier's rate: what the scores said, and what happened with its interval."""
    alt = require_altair()
    rows = [
        {
            "tier": TIER_WORDS[each.tier],
            "said": each.expected / each.users,
            "was": each.rate,
            "low": each.rate_low,
            "high": each.rate_high,
            "what": "happened",
            "expected": "expected",
        }
        for each in tiers
        if each.users and each.tier != "all"
    ]
    colour = {"happened": MODEL, "expected": RULE}
    names = alt.Axis(minExtent=118)
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("tier:N", sort=None, title=None, axis=names)
    )
    rate = alt.X(
        "was:Q", title="share who reach the goal", axis=alt.Axis(format=_PERCENT, tickCount=5)
    )
    bars = base.mark_bar(height=24).encode(x=rate, color=_colours(alt, colour, field="what"))
    whiskers = base.mark_rule(strokeWidth=1.5).encode(x="low:Q", x2="high:Q")
    # A tick is pale unless told otherwise, and with it the legend of both.
    said = base.mark_tick(thickness=3, size=32, opacity=1).encode(
        x="said:Q", color=_colours(alt, colour, field="expected")
    )
    return drawn(
        "tiers",
        "Each tier: the bar is what happened, the line what was expected",
        bars + whiskers + said,
        150,
    )


def backtest_chart(past: pl.DataFrame, timezone: str, retrained: bool) -> Chart:
    """Draw, for each past date in a time zone, the rate that was expected and the one that came about."""
    alt = require_altair()
    rows = []
    for row in past.iter_rows(named=True):
        low, high = wilson(row["actual"], row["users"])
        date = local_day(row["as_of"], timezone)
        rows.append(
            {
                "date": date,
                "what": "happened",
                "rate": row["actual"] / row["users"],
                "low": low,
                "high": high,
            }
        )
        said = row["expected"] / row["users"]
        rows.append({"date": date, "what": "expected", "rate": said, "low": said, "high": said})
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("date:N", title=None, axis=alt.Axis(labelAngle=-40)),
        color=_colours(alt, {"happened": MODEL, "expected": RULE}, field="what"),
    )
    y = alt.Y(
        "rate:Q", title="share who reach the goal", axis=alt.Axis(format=_PERCENT, tickCount=5)
    )
    y = y.scale(zero=True)
    whiskers = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", scale=alt.Scale(zero=True)), y2="high:Q"
    )
    points = base.mark_point(size=80, filled=True, opacity=1).encode(
        y=y, shape=alt.Shape("what:N", legend=None)
    )
    by = "with what was known then" if retrained else "by this same model"
    return drawn("backtest", f"Past dates, each predicted {by}", whiskers + points)


def drivers_chart(best: pl.DataFrame, names: Sequence[str]) -> Chart:
    """Draw the features that matter most."""
    alt = require_altair()
    rows = [
        {"feature": name, "share": share} for name, share in zip(names, best["share"], strict=True)
    ]
    # Room for a font wider by a sixth: a page is shown with whatever the reader has. What labels
    # take the bars have less, or a phone would show all of it too small to read.
    axis = alt.Axis(labelLimit=210, labelFontSize=11, minExtent=255)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(color=MODEL, height=13)
        .encode(
            y=alt.Y("feature:N", sort=None, title=None, axis=axis),
            x=alt.X(
                "share:Q",
                title="share of the gain",
                axis=alt.Axis(format=_PERCENT, tickCount=3),
            ),
        )
    )
    return drawn("drivers", "The features that the model uses most", chart, 20 * len(rows), 115)


def _colours(alt: Any, colours: dict[str, str], field: str = "who", legend: Any = ...) -> Any:
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    options = {} if legend is ... else {"legend": legend}
    return alt.Color(f"{field}:N", scale=scale, **options)


_TICKS: NDArray[np.float64] = np.array([1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0])

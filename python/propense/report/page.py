"""The page: sections of HTML, each left out where the model does not hold what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from propense.forecast.corrected import corrected
from propense.instants import in_words, local_day
from propense.measured import may_have_seen_past, may_have_seen_test
from propense.report.changes import Change
from propense.report.charts import Chart
from propense.report.data import data
from propense.report.facts import Picks, TierFacts
from propense.report.fairness import fairness
from propense.report.html import figure, numbers, or_dash, section, table
from propense.report.quality import Quality
from propense.report.style import STYLE
from propense.report.words import (
    TIER_WORDS,
    audience_sentence,
    feature_words,
    goal_sentence,
    rule_sentence,
)

if TYPE_CHECKING:
    from propense.audit import Audit
    from propense.forecast import Forecast
    from propense.model import Model


@dataclass(frozen=True)
class Contents:
    """What a page is made of; None is left out."""

    model: Model
    quality: Quality
    tiers: Sequence[TierFacts]
    picks: Picks | None
    drivers: pl.DataFrame | None
    ahead: Forecast | None
    changes: Sequence[Change] | None
    audit: Audit | None
    charts: dict[str, Chart]


def page(contents: Contents) -> str:
    """Give the whole page: HTML with its style and charts inside, and no script."""
    name = escape(contents.model.goal.name)
    sections = [
        _head(contents),
        _lift(contents),
        _calibration(contents),
        _tiers(contents),
        _ahead(contents),
        _backtest(contents),
        _drivers(contents),
        fairness(contents.audit),
        _changes(contents),
        data(contents.model),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}: report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in sections if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(contents: Contents) -> str:
    model, quality, tiers = contents.model, contents.quality, contents.tiers
    top, everyone = tiers[0], tiers[-1]
    shown = [
        ("users in the audience", _audience(model)),
        ("AUC", or_dash(model.metrics["auc"]["value"], ".2f")),
    ]
    if contents.ahead is not None:
        total = contents.ahead.total
        shown.append((f"expected, {total.low:,}–{total.high:,}", f"{total.expected:,.0f}"))
    if top.rate and everyone.rate:
        shown.append(("the most likely tier, times everyone", f"{top.rate / everyone.rate:.1f}×"))
    aim = "wanted" if model.goal.direction == "encourage" else "to be prevented"
    audience = f"Asked of {audience_sentence(model.goal)}. Reaching it is {aim}."
    css = quality.word.replace(" ", "-")
    return (
        f"<header>\n<p class='soft'>Report · {escape(model.goal.name)} · "
        f"as of {escape(in_words(model.as_of_us))}</p>\n"
        f"<h1>{escape(goal_sentence(model.goal))}</h1>\n<p class='soft'>{escape(audience)}</p>\n"
        f"<p><span class='badge {css}'>{quality.word}</span> {escape(quality.reason)}.</p>\n"
        f"{numbers(shown)}\n</header>"
    )


def _lift(contents: Contents) -> str:
    picked = contents.picks
    seen = _seen(contents.model)
    curve = figure(contents.charts.get("gains"))
    if picked is None:
        text = "Contact the best users first: how many of those who reach the goal are among them."
        return section("Is it better than choosing at random?", text + seen, curve)
    ratio = picked.by_score / picked.by_rule if picked.by_rule else None
    times = "" if ratio is None else f", {ratio:.2f} times as many"
    text = (
        f"The obvious rule picks who {rule_sentence(contents.model.goal)}: {picked.picked:,} users on "
        f"{picked.as_of}, of whom {picked.by_rule:,} then reached the goal. As many users with the "
        f"highest scores: {picked.by_score:,}{times}. At random: {picked.at_random:,.0f}."
        f"{seen}"
    )
    return section("Is it better than the obvious rule?", text, _beside(contents, "picks", curve))


def _calibration(contents: Contents) -> str:
    metrics = contents.model.metrics
    text = (
        "Scores are chances: of users with a score of 10 %, ten in a hundred should reach the goal. In "
        f"the test period {metrics['positives']:,} users did, {metrics['expected_positives']:,.0f} were "
        f"expected.{_seen(contents.model)}"
    )
    rows = [
        (
            str(row["decile"]),
            f"{row['n']:,}",
            f"{row['mean_score']:.2%}",
            f"{row['rate']:.2%}",
            or_dash(row["lift"], ".2f"),
        )
        for row in metrics["deciles"]
    ]
    heads = ("tenth, highest first", "users", "mean score", "reached", "lift")
    more = f"<details><summary>By tenth, in numbers</summary>{table(heads, rows)}</details>"
    pair = _beside(contents, "calibration", figure(contents.charts.get("scores")))
    return section("Can the scores be believed?", text, pair + more)


def _tiers(contents: Contents) -> str:
    rows = [
        (
            f"{TIER_WORDS[each.tier]}<small>{each.users:,} users</small>",
            f"{each.expected:,.0f}<small>{each.expected_low:,.0f}–{each.expected_high:,.0f}</small>",
            f"{each.actual:,}",
            "–"
            if each.rate is None
            else f"{each.rate:.1%}<small>{100 * each.rate_low:.1f}–{100 * each.rate_high:.1f}</small>",
        )
        for each in contents.tiers
    ]
    heads = ("tier", "expected", "did", "rate")
    text = (
        f"The test period, as of {contents.model.metrics['as_of']}: users by tier, how many were "
        "expected to reach the goal and how many did, with 95 % intervals."
        f"{_seen(contents.model)}"
    )
    return section(
        "Tiers", text, table(heads, rows, last="all") + figure(contents.charts.get("tiers"))
    )


def _ahead(contents: Contents) -> str:
    ahead = contents.ahead
    if ahead is None:
        return ""
    rows = [
        (
            f"{TIER_WORDS[row['tier']]}<small>{row['users']:,} users</small>",
            f"{row['expected']:,.0f}",
            f"{row['low']:,}–{row['high']:,}",
        )
        for row in ahead.table.iter_rows(named=True)
    ]
    text = (
        f"The audience of {in_words(contents.model.as_of_us)}: how many will reach the goal within the "
        "horizon. The 95 % interval holds chance and how far past dates were off as a whole; that of a "
        "tier also how far it was off beside that."
    )
    said = corrected(ahead)
    if said is not None:
        text += f" {said[0].upper()}{said[1:]}."
    if ahead.may_have_seen:
        text += " The model may have learnt from those dates: then the interval may be too narrow."
    return section(
        "What to expect next",
        text,
        table(("tier", "expected", "95 % interval"), rows, last="all"),
    )


def _backtest(contents: Contents) -> str:
    past, timezone = contents.model.backtest, contents.model.features.timezone
    if past.is_empty():
        return ""
    rows = [
        (
            f"<span class='date'>{local_day(row['as_of'], timezone)}</span>"
            f"<small>{row['users']:,} users</small>",
            f"{row['expected']:,.0f}",
            f"{row['actual']:,}",
            or_dash(row["auc"], ".3f"),
            f"{or_dash(row['top_rate'], '.1%')}<small>{or_dash(row['rule_rate'], '.1%')}</small>",
        )
        for row in past.iter_rows(named=True)
    ]
    known = contents.model.past
    text = "Each past date was predicted "
    if known is not None and known.retrained:
        text += "by a model of its own that saw nothing at or after it."
    elif may_have_seen_past(contents.model._parts):
        text += "by this same model, which was trained elsewhere and may have seen it."
    else:
        text += "by this same model, which was trained elsewhere on nothing at or after it."
    text += (
        " The last column is the rate of as many users as the rule picks, and the rule’s below it."
    )
    heads = ("date", "expected", "did", "AUC", "rate, rule’s")
    return section("How it did before", text, _beside(contents, "backtest", table(heads, rows)))


def _drivers(contents: Contents) -> str:
    best = contents.drivers
    if best is None:
        return ""
    rows = [
        (
            f"{escape(feature_words(row['expression']))}<small><code>{escape(row['expression'])}</code></small>",
            f"{row['share']:.1%}",
        )
        for row in best.iter_rows(named=True)
    ]
    more = f"<details><summary>In numbers</summary>{table(('feature', 'share'), rows)}</details>"
    text = (
        "What the model looks at most. It says what tells users apart, not what would change "
        "their mind."
    )
    return section("What drives it", text, _beside(contents, "drivers", more))


def _changes(contents: Contents) -> str:
    if contents.changes is None:
        return ""
    rows = [(escape(each.what), escape(each.before), escape(each.now)) for each in contents.changes]
    return section("What changed since the last model", "", table(("", "before", "now"), rows))


def _seen(model: Model) -> str:
    """Warn of numbers that are of users from whom the model may have learnt."""
    if not may_have_seen_test(model._parts):
        return ""
    return " The model may have learnt from these users; of others the numbers may be worse."


def _beside(contents: Contents, chart: str, body: str) -> str:
    """Put a chart beside what it shows, where the page is wide enough."""
    return f"<div class='pair'>{figure(contents.charts.get(chart))}<div>{body}</div></div>"


def _audience(model: Model) -> str:
    known = model.training.get("audience")
    return f"{known:,}" if known is not None else f"{len(model.audience):,}"

"""The report: its numbers against the model's own, its words, and what it leaves out."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.forecast.corrected import corrected
from propense.instants import to_us
from propense.report.changes import changes
from propense.report.facts import drivers, gains, histogram, picks, tier_facts, wilson
from propense.report.quality import auc_interval, quality
from propense.report.words import condition, feature_words, goal_sentence, interval
from propense.simulator import Simulation
from propense.tiers import CutOffs
from propense.training.metrics import evaluate

pytest.importorskip("altair")
pytest.importorskip("vl_convert")


class Page(HTMLParser):
    """What a browser would load or run, the headings, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br", "path", "line", "rect"):
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("src", "href", "xlink:href"):
                self.loads.append(f"{tag} {name}={value}")
            if name == "style" and value and "url(" in value:
                self.loads.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in ("meta", "br", "path", "line", "rect"):
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def without(model: pp.Model, **changes: object) -> pp.Model:
    return pp.Model(replace(model._parts, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(model: pp.Model) -> pp.Report:
    return model.report()


def test_the_page_is_whole_and_loads_nothing(made: pp.Report) -> None:
    page = Page(made.html)
    assert page.open == []
    assert page.loads == []
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"(src|href)\s*=|@import|url\(\s*['\"]?http", made.html)
    assert 'name="viewport"' in made.html


def test_the_page_says_what_the_model_knows(made: pp.Report, model: pp.Model) -> None:
    page = Page(made.html)
    assert "Who will have at least one purchase within 30 days?" in page.text
    assert quality(model).word in page.text
    for heading in (
        "Tiers",
        "Can the scores be believed?",
        "What to expect next",
        "The data behind it",
    ):
        assert heading in page.headings
    everyone = tier_facts(model)[-1]
    assert f"{everyone.actual:,}" in page.text
    assert everyone.actual == model.metrics["positives"]
    assert everyone.expected == pytest.approx(model.metrics["expected_positives"], rel=1e-6)
    total = model.forecast(level=0.95).total
    assert f"{total.low:,}–{total.high:,}" in page.text
    for row in model.backtest.iter_rows(named=True):
        assert f"{row['as_of']:%Y-%m-%d}" in page.text


def test_the_page_says_why_the_scores_add_up_to_something_else(model: pp.Model) -> None:
    past = model.past
    assert past is not None
    right = judgeable(model, {"auc": 0.9}, [0.1]).past
    assert right is not None
    for cuts in ((), right.cuts):
        made = without(model, backtest=replace(past, cuts=cuts))
        said = corrected(made.forecast())
        assert (said is None) == (not cuts)
        text = Page(made.report().html).text
        assert ("scores add up to" in text) == bool(cuts)
        if said is not None:
            assert f"{said[0].upper()}{said[1:]}." in text
            assert f"{made.forecast().total.expected:,.0f} makes up for" in text


def test_tiers_add_up_and_their_intervals_are_the_peers(model: pp.Model) -> None:
    stats = pytest.importorskip("scipy.stats")
    *tiers, everyone = tier_facts(model)
    for name in ("users", "actual", "expected"):
        assert sum(getattr(each, name) for each in tiers) == pytest.approx(getattr(everyone, name))
    for hits, users in ((0, 10), (3, 10), (10, 10), (37, 1_200)):
        theirs = stats.binomtest(hits, users).proportion_ci(method="wilson")
        assert wilson(hits, users) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    scores = model.test[0].astype(np.float64)
    draws = (np.random.default_rng(0).random((2_000, len(scores))) < scores).sum(axis=1)
    inside = (draws >= everyone.expected_low) & (draws <= everyone.expected_high)
    assert 0.92 < inside.mean() < 0.98


def test_gains_are_the_cumulative_hits() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.1], dtype=np.float32)
    curve = gains(scores, np.array([True, False, True, False]))
    found = dict(curve.iter_rows())
    assert [found[share] for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [0.0, 0.5, 0.5, 1.0, 1.0]
    # Users with one score are taken in together, so the order of rows changes nothing.
    tied = gains(np.full(4, 0.5, np.float32), np.array([True, False, False, False]))
    assert tied["found"].to_list() == pytest.approx(tied["contacted"].to_list())
    assert gains(scores, np.zeros(4, dtype=bool)).is_empty()


def test_picks_are_the_backtests(model: pp.Model) -> None:
    found = picks(model)
    assert found is not None
    newest = model.backtest.row(-1, named=True)
    assert found.by_score / found.picked == pytest.approx(newest["top_rate"])
    assert found.by_rule / found.picked == pytest.approx(newest["rule_rate"])
    assert found.reached == newest["actual"]


def test_the_histogram_holds_everyone_in_the_right_tier(model: pp.Model) -> None:
    cuts = model.cut_offs
    bins = histogram(model.audience, cuts.most, cuts.least)
    assert bins["share"].sum() == pytest.approx(1.0)
    shares = dict(bins.group_by("tier").agg(pl.col("share").sum()).iter_rows())
    tiers = cuts.tiers(model.audience).cast(pl.String)
    for tier in shares:
        assert shares[tier] == pytest.approx((tiers == tier).mean(), abs=1e-9)
    assert histogram(np.full(5, 0.2, np.float32), 0.5, 0.1)["share"].sum() == pytest.approx(1.0)


def test_what_a_directory_does_not_hold_is_left_out(model: pp.Model) -> None:
    training = {
        key: value for key, value in model.training.items() if key not in ("audience", "gain")
    }
    old = without(model, backtest=None, reference=None, training=training)
    report = old.report()
    page = Page(report.html)
    for heading in ("How it did before", "What to expect next", "What drives it"):
        assert heading not in page.headings
    assert "Is it better than choosing at random?" in page.headings
    assert set(report.charts) == {"gains", "calibration", "scores", "tiers"}
    assert drivers(old) is None
    assert "None" not in page.text
    assert "nan" not in page.text


def test_a_goal_that_nobody_reached_lately_still_has_a_report(model: pp.Model) -> None:
    past = model.past
    assert past is not None
    nobody = np.zeros_like(past.cuts[-1].labels)
    newest = replace(past.cuts[-1], labels=nobody)
    assert newest.by_rule.any()
    late = without(model, backtest=replace(past, cuts=(*past.cuts[:-1], newest)))
    report = late.report()
    page = Page(report.html)
    assert "of whom 0 then reached the goal" in page.text
    assert set(report.charts) == set(model.report().charts)
    # The test period is that date, in models of rates too.
    scores, _ = model.test
    metrics = evaluate(nobody, scores) | {"kind": "held_out", "as_of": model.metrics["as_of"]}
    html = without(late, metrics=metrics, test_labels=nobody).report().html
    assert "not usable" in Page(html).text


@pytest.mark.parametrize("file", ["train", "fallback", "foreign"])
def test_what_quality_was_measured_on_is_said_in_words(file: str, model: pp.Model) -> None:
    source = (Path(pp.__file__).parent / "training" / f"{file}.py").read_text(encoding="utf-8")
    kinds = set(re.findall(r'"(held_out|in_\w+|out_of_\w+|calibrated_on_\w+)"', source))
    assert kinds
    for kind in kinds:
        page = Page(without(model, metrics=model.metrics | {"kind": kind}).report().html)
        said = re.search("Quality was measured on ([^:]*):", page.text)
        assert said is not None
        assert len(said[1].split()) > 4, f"{kind} is not said in words"


def foreign(model: pp.Model, kind: str, **training: object) -> pp.Model:
    """Give the model as if it had been trained elsewhere, and were good on the users at hand."""
    good = judgeable(model, {"auc": 0.9}, [0.1, 0.1])
    assert good.past is not None
    return without(
        good,
        metrics=good.metrics | {"kind": kind},
        training=good.training | {"trained": "elsewhere"} | training,
        backtest=replace(good.past, retrained=False),
    )


@pytest.mark.parametrize(
    ("kind", "training"),
    [
        ("may_have_seen", {"trained_before": None}),
        ("may_have_seen", {"trained_before": "2025-06-01"}),
        ("held_out", {}),  # as earlier versions wrote it, whatever the model had seen
    ],
)
def test_a_model_that_may_have_seen_its_test_is_not_judged(
    kind: str, training: dict[str, str | None], model: pp.Model
) -> None:
    seen = foreign(model, kind, **training)
    assert quality(seen).word == "not known"
    made = seen.report()
    text = Page(made.html).text
    assert "class='badge not-known'" in made.html
    for false in ("that training did not see", "Learnt from", "what was known then"):
        assert false not in text
    assert "users from whom it may have learnt" in text
    before = training.get("trained_before")
    said = f"as was said on nothing at or after {before}" if before else "on what is not known here"
    assert f"Trained elsewhere, {said}" in text
    assert "which was trained elsewhere and may have seen it" in text
    assert "the interval may be too narrow" in text
    assert text.count("The model may have learnt from these users") == 3
    assert "known then" not in made.charts["backtest"].shows


def test_a_model_that_has_not_seen_its_test_is_judged_wherever_it_was_trained(
    model: pp.Model,
) -> None:
    unseen = foreign(model, "held_out", trained_before="2025-04-01")
    assert quality(unseen).word == "strong"
    text = Page(unseen.report().html).text
    assert "Quality was measured on a period that training did not see" in text
    assert "Trained elsewhere, as was said on nothing at or after 2025-04-01" in text
    assert "which was trained elsewhere on nothing at or after it" in text
    for false in ("Learnt from", "may have", "known then", "too narrow"):
        assert false not in text


@pytest.mark.parametrize("kind", ["may_have_seen", "held_out"])
def test_what_seen_users_show_to_be_bad_is_bad_all_the_same(kind: str, model: pp.Model) -> None:
    seen = foreign(model, kind)
    metrics = seen.metrics | {"auc": seen.metrics["auc"] | {"value": 0.56}}
    assert quality(without(seen, metrics=metrics)).word == "not usable"


def test_dates_are_those_of_the_models_time_zone(model: pp.Model) -> None:
    past = model.past
    assert past is not None
    # Midnight in Tokyo is 15:00 of the day before in UTC.
    cut = replace(past.cuts[-1], as_of_us=to_us("2025-05-25", "Asia/Tokyo"))
    spec = json.loads(model.features.spec) | {"timezone": "Asia/Tokyo"}
    features = pp.FeatureSet.from_spec(json.dumps(spec))
    there = without(model, features=features, backtest=replace(past, cuts=(cut,)))
    report = there.report()
    page = Page(report.html)
    assert "users on 2025-05-25, of whom" in page.text
    assert "2025-05-24" not in re.sub("2025-05-24T15:00:00Z", "", page.text)
    assert "2025-05-25" in report.charts["backtest"].svg
    found = picks(there)
    assert found is not None
    assert found.as_of == "2025-05-25"


def test_what_changed_since_the_last_model(model: pp.Model) -> None:
    policy = pp.TierPolicy.quantile(most=0.1)
    other = without(model)
    other.tiers = policy
    page = Page(model.report(previous=other).html)
    assert "What changed since the last model" in page.headings
    assert f"{other.cut_offs.most:.2%}" in page.text
    assert "15 (0 new, 0 gone)" in page.text
    assert "What changed since the last model" not in Page(model.report().html).headings
    remembered = Page(model.following(other).report().html)
    assert "What changed since the last model" in remembered.headings


def test_each_part_of_the_goal_that_changed_is_said(model: pp.Model) -> None:
    audience = pp.Audience(active_within="90d", where="attr(plan) = 'plus'")
    other = without(model, goal=replace(model.goal, audience=audience, direction="prevent"))
    found = {each.what: (each.before, each.now) for each in changes(model, other) or ()}
    was = "an event in the last 90 days and attr(plan) = 'plus'"
    assert found["asked of those with"] == (was, "any event")
    assert found["reaching it is"] == ("to be prevented", "wanted")
    assert "the goal" not in found


def test_a_tier_without_anybody_has_no_rate(model: pp.Model) -> None:
    html = without(model, cut_offs=CutOffs(1.0, model.cut_offs.least)).report().html
    row = re.search(r"<td>most likely<small>0 users</small></td>(.*?)</tr>", html)
    assert row is not None
    assert row[1].endswith("<td>0</td><td>–</td>")


def test_an_audit_is_shown(model: pp.Model, log: pp.EventLog, sim: Simulation) -> None:
    audit = pp.audit(model.score(log, as_of=sim.as_of), sim.profiles, ["plan"])
    page = Page(model.report(audit=audit).html)
    assert "Is it fair?" in page.headings
    assert "plan" in page.text
    assert audit.policy.rules[0] in page.text


def test_drivers_are_shares_of_the_gain(model: pp.Model) -> None:
    gain = {"recency": 1.0, "count": 3.0}
    known = without(model, training=model.training | {"gain": gain})
    best = drivers(known)
    assert best is not None
    assert best.select("feature", "share").rows() == [("count", 0.75), ("recency", 0.25)]
    assert "What drives it" in Page(known.report().html).headings


def test_texts_are_escaped(model: pp.Model) -> None:
    evil = '<script>alert(1)</script>&"'
    goal = replace(model.goal, when="count(purchase) >= 1 OR count(purchase) < 0")
    training = model.training | {"protected": [evil], "gain": {evil: 1.0}}
    html = without(model, goal=goal, training=training).report().html
    page = Page(html)
    assert "<script" not in html
    assert "script" not in page.tags
    assert evil in page.text
    assert "count(purchase) < 0" in page.text


def test_saving_writes_the_page_and_every_chart_twice(made: pp.Report, tmp_path: Path) -> None:
    path = made.save(tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == made.html
    files = sorted(file.name for file in (path.parent / "report_charts").iterdir())
    assert files == sorted(f"{name}.{end}" for name in made.charts for end in ("png", "svg"))
    for name in made.charts:
        png = (path.parent / "report_charts" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert len(png) > 5_000
    with pytest.raises(pp.OutputError, match="is a folder"):
        made.save(tmp_path)


def judgeable(
    model: pp.Model, changes: dict[str, float | str | None], by_rule: list[float]
) -> pp.Model:
    """Give a model with past dates on which scores were right, and ahead of the rule if it picks."""
    counts = {"n": 10_000, "positives": 1_000, "expected_positives": 1_050.0}
    metrics = model.metrics | counts | {k: v for k, v in changes.items() if k in counts}
    metrics["auc"] = {"value": changes["auc"], "n": metrics["n"], "positives": metrics["positives"]}
    training = model.training | {"standing": changes.get("standing", "full")}
    past = model.past
    assert past is not None
    cuts = []
    for place, share in enumerate(by_rule):
        rng = np.random.default_rng(0)
        scores = rng.beta(1, 6, 4_000).astype(np.float32)
        labels, picked = rng.random(4_000) < scores, rng.random(4_000) < share
        newest = replace(past.cuts[-1], scores=scores, labels=labels, by_rule=picked)
        cuts.append(replace(newest, as_of_us=newest.as_of_us + place))
    past = replace(past, cuts=tuple(cuts))
    return without(model, metrics=metrics, training=training, backtest=past)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"auc": 0.9}, "strong"),
        ({"auc": 0.7}, "usable"),
        ({"auc": 0.56}, "not usable"),
        ({"auc": None}, "not usable"),
        ({"auc": 0.9, "expected_positives": 20_000.0}, "not usable"),
        ({"auc": 0.9, "standing": "preliminary"}, "preliminary"),
        ({"auc": 0.9, "n": 900, "positives": 60, "expected_positives": 60.0}, "preliminary"),
    ],
)
def test_quality_in_a_word(
    changes: dict[str, float | str | None], word: str, model: pp.Model
) -> None:
    judged = quality(judgeable(model, changes, [0.1]))
    assert judged.word == word
    assert judged.reason


@pytest.mark.parametrize(
    ("by_rule", "said"),
    [
        ([0.1, 0.1], "close to what happened and ahead of the rule on all 2 past dates"),
        ([0.1, 0.0], "on all 2 past dates, and ahead of the rule where it picked anybody (1)"),
        ([0.0, 0.0], "close to what happened on all 2 past dates"),
        ([0.0], "close to what happened"),
    ],
)
def test_nobody_is_ahead_of_a_rule_that_picks_nobody(
    by_rule: list[float], said: str, model: pp.Model
) -> None:
    judged = quality(judgeable(model, {"auc": 0.9}, by_rule))
    assert judged.word == "strong"
    assert judged.reason.endswith(said)


def test_the_interval_of_an_auc_is_about_the_bootstraps() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(1_500) < 0.2
    scores = rng.normal(labels * 0.9, 1.0)
    from propense.training.metrics import auc

    draws = []
    for _ in range(300):
        rows = rng.integers(0, 1_500, 1_500)
        draws.append(auc(labels[rows], scores[rows]))
    low, high = auc_interval(auc(labels, scores), int(labels.sum()), int((~labels).sum()))
    assert (low, high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.012)


def test_goals_and_features_in_words() -> None:
    assert condition("count(purchase) >= 1") == "at least one purchase"
    said = condition("count(purchase) > 2 AND count(refund) = 0")
    assert said == "at least 3 × purchase and no refund"
    assert condition("count(*) < 2") == "at most one event"
    assert condition("sum(purchase.price) > 5") == "“sum(purchase.price) > 5”"
    assert interval("1d") == "1 day"
    goal = pp.Goal("g", 'count("add to cart") >= 1', horizon="7d")
    assert goal_sentence(goal) == "Who will have at least one add to cart within 7 days?"
    assert feature_words("count(view_item, '7d')") == "view items in 7 days"
    assert feature_words("recency(*)") == "last event … days ago"
    assert feature_words("hour_share(*, 6, 11)") == "share of events from 6:00 to 11:59"
    assert feature_words("sum(purchase.price, '90d')") == "total purchase price in 90 days"
    assert feature_words("a / b + {1}") == "a / b + {1}"


def test_a_legend_has_the_colours_of_what_it_explains(made: pp.Report) -> None:
    for name in ("tiers", "gains", "scores", "backtest"):
        pale = re.findall(r'(?:fill-|stroke-)?opacity="0?\.[1-9]\d*"', made.charts[name].svg)
        assert pale == [], name


def test_the_page_leaves_the_engine_to_whom_it_concerns(made: pp.Report, model: pp.Model) -> None:
    assert model.runs_on not in Page(made.html).text
    assert "trees of up to" not in made.html


def test_no_chart_is_so_wide_that_a_phone_shows_its_texts_too_small(model: pp.Model) -> None:
    gain = {"days since the first of very many views of one item or another at the weekend": 1.0}
    report = without(model, training=model.training | {"gain": gain}).report()
    assert "drivers" in report.charts
    for chart in report.charts.values():
        width = re.search(r'width="(\d+)"', chart.svg)
        assert width is not None
        assert int(width[1]) <= 470, chart.name  # a phone has some 340


def test_nothing_is_cut_off_on_a_phone(model: pp.Model, tmp_path: Path) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium to look with")
    pytest.importorskip("PIL")
    shots = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "screenshots.py"))
    page = tmp_path / "report.html"
    # As long a name as there may be, in whatever font is here.
    gain = {"days since the first of very many views of one item or another at the weekend": 1.0}
    report = without(model, training=model.training | {"gain": gain}).report()
    page.write_text(report.html, encoding="utf-8")
    assert shots["picture"](program, page, shots["PHONE"], None, tmp_path / "phone.png") > 1_000

"""Goal files, segment files, destinations and expressions that are damaged, mixed up or nothing at all.

Each is taken, or refused with the error that its reader documents: no other exception, no hang, no
memory without end.
"""

from __future__ import annotations

import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import propense as pp
from propense.delivery import read_destinations
from serving import LONG

CASES = 10_000 if LONG else 500
SLOWEST_S = 5.0
MEMORY_KIB = 300 * 1024

GOAL = """
name = "buys_again"
when = "count(purchase) >= 1 AND count(refund) = 0"
horizon = "90d"
direction = "encourage"

[audience]
active_within = "365d"
where = "attr(country) = 'GB'"

[features]
timezone = "Europe/London"
expressions = ["count(purchase, '30d')", "recency(open) / gap_mean(open)", "sum(purchase.price)"]
protected = ["age"]

[tiers]
policy = "quantile"
most = 0.2
least = 0.2
"""
SEGMENT = """
name = "at_risk"
rule = "count(purchase, '30d') >= 3 OR decayed_count(open, '7d') < 0.5 AND NOT in_segment(vip)"
stay = "hour_share(open, 18, 23) > 0.25 OR attr(country) IN ('GB', 'DE')"
min_stay = "7d"
valid_from = 2024-01-01
valid_until = 2030-01-01T00:00:00Z
timezone = "Europe/London"
owner = "crm"
requires_audit = false
"""
DESTINATION = """
kind = "jsonl"
segments = ["at_risk", "vip"]
path = "out/transitions.jsonl"
"""
HOOK = """
kind = "webhook"
segments = ["at_risk"]
url = "https://example.org/hook"
secret = "env:SECRET"
timeout_s = 2.5
"""
EXPRESSIONS = [
    "count(view_item, '7d') FILTER (WHERE category = 'concert' AND price > 3)",
    "recency(open) / gap_mean(open)",
    "CASE WHEN attr(age) BETWEEN 18 AND 30 THEN 1 ELSE 0 END",
    "coalesce(mean(purchase.price, '30d'), 0) * 2 - abs(-1)",
    'hour_share(*, 18, 23) + distinct("view item".category)',
    "attr(joined) < '2024-05-01T00:00:00+02:00' OR NOT first(purchase.price) IN (1, 2.5)",
]
WORDS = """count sum mean recency tenure decayed_count hour_share attr score tier in_segment ( ) , . ' "
    [ ] { } = == >= < - + * / AND OR NOT IN LIKE BETWEEN CASE WHEN END FILTER WHERE '30d' '0d' '-1d' 1e309
    NaN inf -0 9223372036854775808 true null purchase open price a.b [a] [[a]] [features] [tiers]
    [audience] name when horizon rule segments policy # \\ \\u0000 \\ud800 \u202e \u0000 é é 🎟
    """.split()  # noqa: SIM905
VALUES = [
    '""', "0", "-1", "1e400", "nan", "-inf", "true", "[]", "{}", "[[]]", "[1, 'a', {}]", "{ a = 1 }",
    "2024-01-01", "2024-02-30", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "07:32:00",
    "'''\n'''", '"\\u0000"', "'../up'", "'" + "x" * 70_000 + "'", "1" * 5_000, "0x" + "f" * 5_000,
    "[" * 2_000 + "]" * 2_000, "{a=" * 2_000 + "1" + "}" * 2_000,
    "'" + "(" * 9_000 + "1" + ")" * 9_000 + "'",
    "'count(a) > 1" + " OR count(a) > 1" * 3_000 + "'", "'1000000000000d'", "'９d'", "'Etc/../UTC'",
    "'/etc/passwd'", "'count(*)'", "'precision'",
]  # fmt: skip


@pytest.fixture(scope="module")
def small() -> pp.EventLog:
    rows = {
        "user_id": ["a", "a", "b", "c", "c"],
        "ts": ["2024-01-01", "2024-01-12", "2024-01-14", "2024-02-02", "2024-06-02"],
        "event": ["purchase", "open", "view_item", "purchase", "refund"],
        "price": [1.5, None, 2.5, 0.0, 3.5],
        "category": ["concert", None, "film", None, None],
    }
    profiles = pl.DataFrame({"user_id": ["a", "b"], "country": ["GB", "DE"], "age": [40, 20]})
    return pp.read_events(pl.DataFrame(rows), profiles=pp.read_profiles(profiles))


def damaged(rng: random.Random, whole: list[str]) -> str:
    """Change one of some texts in some places, in one of many ways."""
    text = rng.choice(whole)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 8])):
        lines = text.split("\n")
        line, place = rng.randrange(len(lines)), rng.randrange(len(text) + 1)
        match rng.randrange(10):
            case 0:
                text = (
                    text[:place]
                    + chr(rng.choice([rng.randrange(128), rng.randrange(0xD800)]))
                    + text[place:]
                )
            case 1:
                text = text[:place] + text[place + rng.randrange(1, 9) :]
            case 2:
                text = text[:place]
            case 3:
                text = text[:place] + f" {rng.choice(WORDS)} " + text[place:]
            case 4:
                other = rng.choice(whole)
                text = text[:place] + other[rng.randrange(len(other)) :]
            case 5:
                lines.insert(line, rng.choice(lines))
            case 6:
                del lines[line]
            case 7:
                lines.insert(line, rng.choice(WORDS).strip() + " = " + rng.choice(VALUES))
            case 8 | 9 if "=" in lines[line]:
                lines[line] = lines[line].split("=")[0] + "= " + rng.choice(VALUES)
        if lines != text.split("\n") and len(lines) > 1:
            text = "\n".join(lines)
    if rng.random() < 0.05:
        text = " ".join(rng.choices(WORDS, k=rng.randrange(1, 30)))
    return text


def no_text(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(200))


Reader = Callable[[Path, pp.EventLog], None]


def use_goal(file: Path, log: pp.EventLog) -> None:
    """Read a goal file; what fits no reader fits no log either."""
    try:
        read = pp.load_goal(file)
    except pp.GoalError as error:
        assert str(file) in str(error)
        raise
    pp.TierPolicy.from_dict(read.tiers)
    given = read.features.expressions
    features = pp.FeatureSet(given or ["count(*)"], timezone=read.features.timezone)
    pp.export_training(log, read.goal, features=features, as_of="2024-06-02")


def use_segment(file: Path, log: pp.EventLog) -> None:
    """Read a segment file, and ask who is in it."""
    try:
        (segment,) = pp.read_segments(file)
    except pp.SegmentError as error:
        assert str(file) in str(error)
        raise
    pp.segment(log, [segment, pp.Segment("vip", "count(*) > 1")], as_of="2024-03-01")


def use_destination(file: Path, log: pp.EventLog) -> None:
    """Read a folder of one destination."""
    (destination,) = read_destinations(file.parent)
    assert destination.name


def use_expression(file: Path, log: pp.EventLog) -> None:
    """Compute a feature whose text stands in a file."""
    features = pp.FeatureSet([file.read_text("utf-8", "replace")])
    pp.compute_features(log, features, as_of="2024-03-01")


KINDS: dict[str, tuple[Reader, list[str], tuple[type[pp.PropenseError], ...]]] = {
    "goal": (
        use_goal,
        [GOAL, GOAL.split("[features]")[0], SEGMENT],
        (pp.GoalError, pp.ExpressionError, pp.ModelError, pp.TrainingError),
    ),
    "segment": (use_segment, [SEGMENT, "rule = 'count(*) > 1'", GOAL], (pp.SegmentError,)),
    "destination": (use_destination, [DESTINATION, HOOK, SEGMENT], (pp.DeliveryError,)),
    "expression": (use_expression, EXPRESSIONS, (pp.ExpressionError,)),
}


@pytest.mark.filterwarnings("ignore::propense.PropenseWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_no_file_leads_its_reader_astray(kind: str, small: pp.EventLog, tmp_path: Path) -> None:
    use, whole, expected = KINDS[kind]
    seed = int(os.environ.get("PROPENSE_SEED", "13"))
    outcomes: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file = tmp_path / "some.toml"
    slowest = 0.0
    for case in range(CASES):
        rng = random.Random(f"{seed} {kind} {case}")
        content = (
            no_text(rng) if rng.random() < 0.05 else damaged(rng, whole).encode("utf-8", "replace")
        )
        file.write_bytes(content)
        begun = time.monotonic()
        try:
            use(file, small)
            outcomes["taken"] += 1
        except expected as error:
            outcomes[type(error).__name__] += 1
        except Exception as error:
            shown = content[:300].decode("utf-8", "replace")
            pytest.fail(
                f"seed {seed}, case {case}: {type(error).__name__}: {str(error)[:300]}\n{shown}"
            )
        slowest = max(slowest, time.monotonic() - begun)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{kind}: seed {seed}, {CASES} cases, {dict(outcomes)}, slowest {slowest:.2f} s, {grown} KiB"
    )
    assert slowest < SLOWEST_S
    assert grown < MEMORY_KIB
    # Neither all refused nor all taken.
    assert min(outcomes["taken"], outcomes.total() - outcomes["taken"]) > CASES / 50


READERS = {"goal": pp.load_goal, "segment": pp.read_segments, "destination": read_destinations}
NO_TOML = {
    "deep": "name = " + "{a=" * 2_000 + "1" + "}" * 2_000,
    "deep by dots": ".".join(["a"] * 2_000) + " = 1",
    "long": "name = " + "1" * 5_000,
    "large": f"name = 0x1{'0' * 16}",
}


@pytest.mark.parametrize("text", NO_TOML.values(), ids=NO_TOML)
@pytest.mark.parametrize("kind", READERS)
def test_what_toml_cannot_hold_is_refused_as_no_toml(kind: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text(text)
    with pytest.raises(KINDS[kind][2][0], match=r"some\.toml.*not TOML"):
        READERS[kind](tmp_path if kind == "destination" else file)

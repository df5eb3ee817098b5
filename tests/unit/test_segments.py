"""Segments and their files: what is valid, what every bad field is told, and what comes back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import propense as pp

WHOLE = """
name = "at_risk"
rule = '''
count(support_contact, '30d') >= 3
AND sum(purchase.amount, '365d') > 1000000'''
stay = "count(support_contact, '30d') >= 2"
min_stay = "7d"
valid_from = 2026-01-01
valid_until = 2026-07-01T12:00:00Z
timezone = "Europe/Berlin"
owner = "care@example.com"
description = "Asked for help, and worth it"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "at_risk.toml"


def test_a_whole_segment_file(path: Path) -> None:
    path.write_text(WHOLE)
    (read,) = pp.read_segments(path)
    assert read.name == "at_risk"
    assert read.rule.split("\n")[1] == "AND sum(purchase.amount, '365d') > 1000000"
    assert (read.stay, read.min_stay) == ("count(support_contact, '30d') >= 2", "7d")
    # A date is its first instant where the segment is.
    assert read.valid_from == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert read.valid_until == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert read.timezone == "Europe/Berlin"
    assert (read.owner, read.description) == ("care@example.com", "Asked for help, and worth it")


def test_the_least_segment_file_takes_defaults(path: Path) -> None:
    path.write_text('name = "x"\nrule = "count(a) = 0"\n')
    (read,) = pp.read_segments(str(path))
    assert read == pp.Segment("x", "count(a) = 0")
    assert (read.stay, read.min_stay, read.valid_from, read.valid_until) == (None,) * 4
    assert (read.timezone, read.owner, read.description) == ("UTC", "", "")
    assert json.loads(read.definition) == {"name": "x", "rule": "count(a) = 0"}


def test_a_file_without_a_name_names_its_segment(path: Path) -> None:
    path.write_text(WHOLE.replace('name = "at_risk"', ""))
    assert pp.read_segments(path)[0].name == "at_risk"
    with pytest.raises(pp.SegmentError, match="name: missing"):
        pp.Segment.from_toml(path.read_text())
    (path.parent / "at risk.toml").write_text("rule = 'count(a) > 1'")
    with pytest.raises(pp.SegmentError, match=r"at risk\.toml: name: 'at risk'"):
        pp.read_segments(path.parent)


def test_instants_of_any_kind_are_one() -> None:
    made = {
        pp.Segment("x", "count(a) = 0", valid_from=given)
        for given in ("2026-01-01", date(2026, 1, 1), "2026-01-01T01:00:00+01:00")
    }
    assert len(made) == 1
    definition = json.loads(made.pop().definition)
    assert definition["valid_from_us"] == 1_767_225_600_000_000


BAD_LINES = {
    "name": ('"at_risk"', '"at risk!"', "name: 'at risk!'"),
    "digit first": ('"at_risk"', '"3d"', "name: '3d'"),
    "tier's name": ('"at_risk"', '"buys.most_likely"', "name: "),
    "long name": ('"at_risk"', f'"{"a" * 129}"', "name: "),
    "line break": ('"at_risk"', '"at\\n"', "name: "),
    "number as name": ('"at_risk"', "3", "name: .*3"),
    "missing rule": ("rule = '''", "description = '''", "rule: missing"),
    "empty stay": ("stay = \"count(support_contact, '30d') >= 2\"", 'stay = ""', "stay: "),
    "min_stay": ('"7d"', '"a week"', "min_stay: .*a week"),
    "zero min_stay": ('"7d"', '"0d"', "min_stay: .*0d"),
    "number as min_stay": ('"7d"', "7", "min_stay: .*7"),
    "valid_from": ("2026-01-01", '"new year"', "valid_from: .*new year"),
    "time of day": ("2026-01-01", "12:00:00", "valid_from: "),
    "order": ("2026-07-01T12:00:00Z", "2025-07-01", "valid_until: .*not after valid_from"),
    "timezone": ('"Europe/Berlin"', '"Europe/Berlim"', "timezone: 'Europe/Berlim'"),
    "path as timezone": ('"Europe/Berlin"', '"../etc/passwd"', "timezone: "),
    "number as owner": ('"care@example.com"', "3", "owner: "),
    "unknown": ("owner", "ownr", "ownr: no such field .*did you mean 'owner'"),
    "table": ("owner", "[owner]\nwho", "owner: "),
}


@pytest.mark.parametrize(("good", "bad", "message"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_named(path: Path, good: str, bad: str, message: str) -> None:
    text = WHOLE.replace(good, bad, 1)
    if bad.startswith("description"):
        text = "\n".join(line for line in text.splitlines() if '"Asked' not in line)
    assert text != WHOLE
    path.write_text(text)
    with pytest.raises(pp.SegmentError, match=rf"at_risk\.toml: {message}"):
        pp.read_segments(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(pp.SegmentError, match=r"absent\.toml cannot be read"):
        pp.read_segments(tmp_path / "absent.toml")
    with pytest.raises(pp.SegmentError, match="no file in it ends in .toml"):
        pp.read_segments(tmp_path)
    (tmp_path / "a.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(pp.SegmentError, match=r"a\.toml is not TOML"):
        pp.read_segments(tmp_path)
    (tmp_path / "a.toml").write_text("a = " + "[" * 50_000)
    with pytest.raises(pp.SegmentError, match="not TOML"):
        pp.read_segments(tmp_path)


def test_a_folder_is_read_by_name(tmp_path: Path) -> None:
    for file, name in (("1", "zed"), ("2", "Ada"), ("3", "mid")):
        (tmp_path / f"{file}.toml").write_text(pp.Segment(name, "count(a) = 0").to_toml())
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / ".#1.toml").write_text("an editor's")
    assert [one.name for one in pp.read_segments(tmp_path)] == ["Ada", "mid", "zed"]
    other = tmp_path / "4.toml"
    other.write_text(pp.Segment("mid", "count(b) = 0").to_toml())
    with pytest.raises(pp.SegmentError, match=r"4\.toml: name: 'mid' is also that of .*3\.toml"):
        pp.read_segments(tmp_path)
    assert len(pp.read_segments([other, tmp_path / "1.toml"])) == 2


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
INSTANTS = st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1))


@given(owner=TEXTS, description=TEXTS, begins=INSTANTS, stay=st.sampled_from([None, "1w", "90m"]))
def test_what_is_written_reads_back(
    owner: str, description: str, begins: datetime | None, stay: str | None
) -> None:
    rule = "count(\"order \\ placed\") > 1 OR attr(x) = 'ü'"
    made = pp.Segment(
        "a-b", rule, min_stay=stay, valid_from=begins, owner=owner, description=description
    )
    assert pp.Segment.from_toml(made.to_toml()) == made
    assert pp.Segment.from_definition(made.definition) == made

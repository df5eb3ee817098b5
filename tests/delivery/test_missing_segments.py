"""A destination may name a segment that is not there yet; nobody has to find that out by waiting."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from pretend_server import PretendServer, standing, until
from typer.testing import CliRunner

from propense.cli.app import app
from propense.delivery import Deliveries, Destination, destination_from, named_segments


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_segments, "LOOK_S", 0.01)


def lines(folder: Path, segments: Sequence[str], **more: object) -> Destination:
    values = {
        "name": "lines",
        "kind": "jsonl",
        "path": str(folder / "moves.jsonl"),
        "segments": list(segments),
    }
    return destination_from(values | more, folder)


def missing(folder: Path) -> object:
    row = standing(folder, "lines")
    return row and json.loads(str(row["missing"] or "{}"))


def shown(folder: Path, *options: str) -> str:
    done = CliRunner().invoke(
        app, ["deliveries", "--store", str(folder), *options], catch_exceptions=False
    )
    return done.stdout


def test_it_is_flagged_with_the_nearest_name_until_it_is_put(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = PretendServer()
    chosen = lines(tmp_path, ["at_rsik", "vip", "new"], only_if="may_contct")
    with caplog.at_level(logging.WARNING, "propense.delivery"):
        with Deliveries([chosen], server, tmp_path):
            until(lambda: missing(tmp_path))
            assert missing(tmp_path) == {
                "at_rsik": "at_risk",
                "may_contct": "may_contact",
                "new": None,
            }
            server.names |= {"new"}
            until(lambda: missing(tmp_path) == {"at_rsik": "at_risk", "may_contct": "may_contact"})
        # Each is warned of once, however often it is looked.
        warnings = [record for record in caplog.records if "segment_missing" in record.message]
        assert sorted(record.message for record in warnings) == [
            "lines: segment_missing: no segment 'at_rsik' (did you mean 'at_risk'?); "
            "until there is one, nothing of it is delivered",
            "lines: segment_missing: no segment 'may_contct' (did you mean 'may_contact'?); "
            "until there is one, every enter is held",
            "lines: segment_missing: no segment 'new'; until there is one, nothing of it is delivered",
        ]
    assert "no segment 'at_rsik' (did you mean 'at_risk'?); no segment 'may_con" in shown(tmp_path)
    (state,) = map(json.loads, shown(tmp_path, "--json").splitlines())
    assert state["missing_segments"] == {"at_rsik": "at_risk", "may_contct": "may_contact"}


def test_its_transitions_are_delivered_once_it_is_there(tmp_path: Path) -> None:
    server = PretendServer()
    server.names -= {"vip"}
    with Deliveries([lines(tmp_path, ["vip"])], server, tmp_path):
        until(lambda: missing(tmp_path) == {"vip": None})
        server.names |= {"vip"}
        server.move("ann", "vip")
        until(lambda: standing(tmp_path, "lines")["delivered"] == 1)
        until(lambda: missing(tmp_path) == {})
        server.names -= {"vip"}
        until(lambda: missing(tmp_path) == {"vip": None})
    server.names |= {"vip"}
    with Deliveries([lines(tmp_path, ["vip"])], server, tmp_path):
        until(lambda: missing(tmp_path) == {})
    assert shown(tmp_path).split()[-1] == "ok"


def test_a_server_that_is_away_says_nothing_about_segments(tmp_path: Path) -> None:
    server = PretendServer()
    with Deliveries([lines(tmp_path, ["vop"])], server, tmp_path):
        until(lambda: missing(tmp_path) == {"vop": "vip"})
    server.away = True
    with Deliveries([lines(tmp_path, ["vop"])], server, tmp_path):
        until(lambda: standing(tmp_path, "lines")["last_error"])
        assert missing(tmp_path) == {"vop": "vip"}

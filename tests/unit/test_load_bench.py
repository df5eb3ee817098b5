"""How the load bench finds what a server can do."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc")

LOAD = Path(__file__).parents[2] / "benches" / "load"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = spec_from_file_location("load_bench", LOAD / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "load_bench", module)
    spec.loader.exec_module(module)
    return module


def found(bench: Any, most: float, stalls: tuple[int, ...] = ()) -> tuple[float, Any]:
    """Look for the capacity of a server that holds the limit up to a rate, but for runs that stall."""
    runs: list[float] = []

    class Pretended(bench.Setting):  # type: ignore[misc]
        def run(self, server: str, address: str, mode: str, rate: float, **options: object) -> Any:
            runs.append(rate)
            late = rate > most or len(runs) in stalls
            return {"failed": 0, "refused": 0, "p99_ms": 50.0 if late else 1.0, "rate": rate}

    nowhere = Path()
    setting = Pretended(nowhere, nowhere, 1.0, nowhere, nowhere, None, [])
    rate, measured = setting.capacity("ours", "here", "unary", 100, 5.0)
    assert rate == 0.0 or measured["rate"] == rate
    return rate, measured


@pytest.mark.parametrize("most", [100.0, 129.0, 131.0, 777.0, 12_345.6, 20_000.0])
def test_a_capacity_is_held_and_known_within_seven_percent(bench: Any, most: float) -> None:
    rate, _ = found(bench, most)
    assert most / 1.07 <= rate <= most


def test_one_stall_does_not_end_the_search(bench: Any) -> None:
    # The fifteenth rate is the last that holds.
    assert found(bench, 5_000.0, stalls=(15,))[0] == found(bench, 5_000.0)[0]


def test_a_server_that_holds_nothing_has_no_capacity(bench: Any) -> None:
    assert found(bench, 10.0) == (0.0, None)


def test_what_a_second_core_gives_is_taken_round_by_round() -> None:
    from propense.bench.race import Timing
    from propense.bench.scaling_race import _each_round

    one, two = Timing("one", 1, runs=[2.0, 6.0]), Timing("two", 2, runs=[1.0, 4.0])
    assert _each_round(one, two) == [2.0, 1.5]

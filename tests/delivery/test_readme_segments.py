"""The README's section on segments: its files, its commands, and what they print and deliver."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import propense as pp
from serving import free_address, start

README = Path(__file__).resolve().parents[2] / "README.md"
ADDRESS = "127.0.0.1:50051"


def section() -> str:
    text = README.read_text(encoding="utf-8")
    return text[text.index("## Live segments") : text.index("## A model of your own")]


def files() -> dict[str, str]:
    found = re.findall(r"`(demo/\S+)`:\n\n```\w+\n(.*?)```", section(), re.DOTALL)
    assert [name for name, _ in found] == [
        "demo/segments/at_risk.toml",
        "demo/destinations/team.toml",
        "demo/contacts.csv",
    ]
    return dict(found)


def commands() -> list[tuple[list[str], str]]:
    """Give each command with what is said that it prints."""
    blocks = re.findall(r"```sh\n(.*?)```", section(), re.DOTALL)
    lines = [line.partition("#") for block in blocks for line in block.splitlines()]
    return [(shlex.split(command), said.strip()) for command, _, said in lines]


def until(holds: Callable[[], bool], patience_s: float = 300.0) -> None:
    ends = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def told(path: Path) -> list[tuple[str, str, str, int]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    fields = ("user_id", "segment", "transition", "number")
    return [tuple(json.loads(line)[field] for field in fields) for line in lines]


def test_the_section_on_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = free_address()
    program = Path(sys.executable).with_name("propense")
    # A tier of the demo's model is a segment too, so that its transitions have numbers as well.
    sim = pp.simulate(1_000, seed=1)
    goal = pp.Goal("buys_ticket", "count(purchase) >= 1", horizon="30d")
    model = pp.train(
        pp.read_events(sim.events), goal, as_of=sim.as_of, features=["count(purchase)"]
    )
    model.save(tmp_path / "demo" / "models" / goal.name)
    for name, text in files().items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (serve, _), *others = commands()
    assert serve[:2] == ["propense", "serve"]
    options = dict(zip(serve[2::2], serve[3::2], strict=True))
    monkeypatch.chdir(tmp_path)
    store, models = Path(options.pop("--store")), Path(options.pop("--models"))
    more = [part for option in options.items() for part in option]
    running = start(store, models, *more, address=address)
    try:
        for (_, *arguments), said in others:
            asked = [part.replace(ADDRESS, address) for part in arguments]
            if ADDRESS not in arguments:
                asked += ["--server", address]
            done = subprocess.run(
                [program, *asked],
                capture_output=True,
                text=True,
                env=os.environ | {"TERM": "dumb"},
            )
            assert done.returncode == 0, (arguments, done.stderr)
            assert done.stdout.strip() == said.replace(ADDRESS, address), arguments
        both = [("ada", "at_risk", "enter", 1), ("ada", "at_risk", "exit", 3)]
        until(lambda: told(Path("demo/at_risk.jsonl")) == both)
        shown = subprocess.run(
            [program, "deliveries", "--store", str(store)], capture_output=True, text=True
        )
        assert shown.returncode == 0, shown.stderr
        assert re.search(r"team +jsonl", shown.stdout)
        assert running.stop() == 0
    finally:
        running.kill()

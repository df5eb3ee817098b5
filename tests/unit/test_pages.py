"""The pages name every command and option that there is, no others, and link to what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from propense.cli.app import app
from propense.goal import Audience, FeatureOptions, Goal

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "benches/README.md", *sorted(ROOT.glob("docs/*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
OF_OTHER_PROGRAMS = {"--bench", "--example", "--folder", "--release"}  # cargo
OF_OTHER_PROGRAMS |= {"--async", "--call", "--insecure", "--rps"}  # ghz
SPOKEN_OF_IN_HELP_ONLY = {"bench", "demo"}


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, command
    for key, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {key}".strip())


ALL = dict(commands(typer.main.get_command(app)))


def options(command: Any) -> set[str]:
    names = [name for one in command.params for name in (*one.opts, *one.secondary_opts)]
    return {name for name in names if name.startswith("--")}


@pytest.mark.parametrize("name", [name for name in ALL if name])
def test_every_command_and_option_is_on_some_page(name: str) -> None:
    alone = f"`{name} " if name.startswith("segments ") else f"propense {name}"
    assert alone in TEXT
    if name not in SPOKEN_OF_IN_HELP_ONLY:
        missing = {
            one for one in options(ALL[name]) if not re.search(rf"{one}(?![a-z-])", TEXT)
        } - {"--wait"}
        assert not missing


def test_no_page_names_an_option_that_is_not_there() -> None:
    there = {"--help"}.union(*(options(command) for command in ALL.values()))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TEXT))
    assert named - there - OF_OTHER_PROGRAMS == set()


def test_every_field_of_a_goal_file_is_on_its_page() -> None:
    page = (ROOT / "docs/goals.md").read_text(encoding="utf-8")
    fields = {f"audience.{name}" for name in Audience.__dataclass_fields__}
    fields |= {f"features.{name}" for name in FeatureOptions.__dataclass_fields__}
    fields |= set(Goal.__dataclass_fields__) - {"audience"}
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE)) == fields | {"tiers"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert anchor in slugs, link

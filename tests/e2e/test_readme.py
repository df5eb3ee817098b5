"""The README's own examples run, in order, on what `propense demo` writes."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import serving

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    # The section on segments is tried in tests/delivery.
    text = re.sub(r"## Live segments.*?(?=\n## )", "", README.read_text("utf-8"), flags=re.DOTALL)
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found, f"the README has no {language} examples left to test"
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    command = [Path(sys.executable).with_name("propense"), "demo", "--users", "2000"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "most likely" in done.stdout
    assert "picked in two ways" in done.stdout
    return folder


@pytest.fixture
def served(demo: Path) -> Iterator[str]:
    """Run the README's own `ingest` and `serve`, at a port that is free."""
    shell = {line.split()[1]: line.split() for line in commands()}
    program = Path(sys.executable).with_name("propense")
    subprocess.run([program, *shell["ingest"][1:]], cwd=demo, check=True)
    options = dict(zip(shell["serve"][2::2], shell["serve"][3::2], strict=True))
    store, models = demo / options["--store"], demo / options["--models"]
    with serving(store, models) as running:
        yield running.address


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("propense ")]


def test_python_examples_run_in_order(
    demo: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skl2onnx")
    monkeypatch.chdir(demo)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        # A converter of another project warns of things of its own.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        for block in blocks("python"):
            here = block.replace("127.0.0.1:50051", served)
            exec(compile(here, str(README), "exec"), names)
    assert names["audience"].height > 1_000  # type: ignore[attr-defined]
    assert "tier" in names["scores"].columns  # type: ignore[attr-defined]
    assert len(names["frame"]) > 1_000  # type: ignore[arg-type]
    # The last model is the one of one's own, measured on what it has not seen.
    assert names["model"].metrics["kind"] == "held_out"  # type: ignore[attr-defined]
    assert names["model"].training["trained"] == "elsewhere"  # type: ignore[attr-defined]


def test_shell_examples_run(demo: Path) -> None:
    shown = [command for command in commands() if not command.startswith("propense serve")]
    assert len(shown) >= 3
    for command in shown:
        program, *arguments = command.split()
        path = Path(sys.executable).with_name(program)
        done = subprocess.run([path, *arguments], cwd=demo, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (demo / "demo" / "my_scores.parquet").exists()
    # The root of a clone has models of its own, which tests read.
    assert {path.name for path in demo.iterdir()} == {"demo"}

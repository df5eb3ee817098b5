"""The README's own examples run, in order, on what `propense demo` writes."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
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


def test_python_examples_run_in_order(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skl2onnx")
    monkeypatch.chdir(demo)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        # A converter of another project warns of things of its own.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        for block in blocks("python"):
            exec(compile(block, str(README), "exec"), names)
    assert "tier" in names["scores"].columns  # type: ignore[attr-defined]
    assert len(names["frame"]) > 1_000  # type: ignore[arg-type]


def test_shell_examples_run(demo: Path) -> None:
    commands = [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("propense ")
    ]
    assert len(commands) >= 2
    for command in commands:
        program, *arguments = command.split()
        path = Path(sys.executable).with_name(program)
        done = subprocess.run([path, *arguments], cwd=demo, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (demo / "scores.parquet").exists()

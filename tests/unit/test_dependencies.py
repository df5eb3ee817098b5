"""What the project is built of comes from the public registries, under licences that let anybody use it.

Known vulnerabilities are not looked up here: their databases are not on the registries.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
PERMISSIVE = {
    *("MIT", "MIT-0", "MIT-CMU", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"),
    *("0BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "CC0-1.0", "Unlicense", "BSL-1.0"),
    *("PSF-2.0", "Unicode-3.0"),
}
# Used as they are, as separate packages, which their licences allow of any program.
WEAK_COPYLEFT = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
WORDS = {
    "MIT License": "MIT",
    "MIT": "MIT",
    "BSD License": "BSD-3-Clause",
    "BSD-3-Clause": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
}
# Certificates of authorities, not code.
DATA = {"certifi": "Mozilla Public License 2.0 (MPL 2.0)"}


def allows(expression: str) -> bool:
    """Whether an SPDX expression without nesting leaves a way to take it permissively."""
    every = re.split(r"\bAND\b", expression.replace("/", " OR "))
    ways = ([way.strip(" ()") for way in re.split(r"\bOR\b", part)] for part in every)
    return all(any(way in PERMISSIVE for way in part) for part in ways)


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT OR Apache-2.0", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("Unlicense/MIT", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("", False),
    ],
)
def test_expressions_are_read_as_they_are_meant(expression: str, allowed: bool) -> None:
    assert allows(expression) is allowed


def test_crates_are_of_the_registry_and_permissive() -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not on the path")
    command = [cargo, "metadata", "--locked", "--format-version", "1", "--quiet"]
    told = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    )
    packages = json.loads(told.stdout)["packages"]
    foreign = [package for package in packages if package["source"] is not None]
    assert len(foreign) > 100
    assert [package["name"] for package in foreign if package["source"] != CRATES_IO] == []
    named = {package["name"]: package["license"] or "" for package in packages}
    assert {name: licence for name, licence in named.items() if not allows(licence)} == {}


def licence_of(package: str) -> str:
    """The SPDX expression, or what the older fields say in words."""
    told = metadata(package)
    classifiers = [text for text in told.get_all("Classifier", []) if text.startswith("License")]
    words = [text.rsplit(" :: ", 1)[-1] for text in classifiers] or [told.get("License", "")]
    return told.get("License-Expression") or " OR ".join(WORDS.get(word, word) for word in words)


def test_packages_at_run_time_are_permissive() -> None:
    lines = (ROOT / "requirements" / "run.lock").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if re.match(r"[A-Za-z0-9]", line)]
    assert "polars" in names
    excepted = WEAK_COPYLEFT | DATA
    licences = {name: licence_of(name) for name in names}
    assert {
        name: licence
        for name, licence in licences.items()
        if not allows(licence) and excepted.get(name) != licence
    } == {}

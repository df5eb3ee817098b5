"""The demo's folder: what the demo may replace in it, and what is not the demo's."""

from __future__ import annotations

from pathlib import Path

from propense.exceptions import OutputError
from propense.output import check_writable, write_text

STORE = "demo_store"
"""Not ``store``, which is the name of stores that people fill themselves."""
MARK = ".propense_demo"
_NOTE = "A demo's folder: the next demo replaces the files that this one wrote here.\n"
_FILES = ("events.parquet", "profiles.parquet", "truth.parquet", "goal.toml", "scores.parquet")


def take(out: Path, model: str) -> None:
    """Take a folder for the demo and mark it as such.

    Raises
    ------
    OutputError
        It cannot be written, or holds something that the demo would replace and did not write.
    """
    check_writable(out / "scores.parquet")
    if not (out / MARK).is_file():
        for name in (*_FILES, "report.html", "report_charts", f"models/{model}", STORE):
            if (out / name).exists():
                raise OutputError(
                    f"{out / name} would be lost, and nothing says that a demo made it; remove it, or "
                    f"give the demo a folder of its own, such as --out {out / 'demo'}"
                )
    write_text(_NOTE, out / MARK)

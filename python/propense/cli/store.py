"""The commands ``store check``, ``repair``, ``export`` and ``compact``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propense.exceptions import DataError
from propense.store import Store, check_store, repair_store
from propense.terminal import verbatim_console

store = typer.Typer(
    name="store",
    help="Look after the folder of a store that no server has open.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="Folder of the store.", metavar="STORE")]


@store.command()
def check(folder: Folder) -> None:
    """Read every byte, change nothing, and say what is sound and what is not.

    Exit code 3 if anything is wrong.
    """
    sound, found = check_store(_existing(folder))
    _show(found)
    if not sound:
        raise DataError(f"{folder} is damaged; propense store repair {folder} saves what it can")


@store.command()
def repair(folder: Folder) -> None:
    """Save what can be saved; what is damaged is moved to the folder quarantine in it."""
    sound, found = repair_store(_existing(folder))
    _show(found)
    if not sound:
        print("repaired; propense store check says whether all is well now")


@store.command()
def compact(folder: Folder) -> None:
    """Seal the log and merge the parts; what was erased leaves the disk."""
    with Store(_existing(folder)) as opened:
        opened.compact()
        stats = opened.stats()
    for name, value in stats.items():
        verbatim_console().print(f"{name.replace('_', ' ')}: {value:,}")


@store.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="Folder for the saved log.", metavar="LOG")],
) -> None:
    """Write all events and profiles as a saved log, which train, score and Polars read."""
    with Store(_existing(folder)) as opened:
        log = opened.log()
    log.save(out)
    verbatim_console().print(log)
    verbatim_console().print(f"saved log: {out}", soft_wrap=True)


def _existing(folder: Path) -> Path:
    if not (folder / "store.json").is_file():
        raise DataError(f"{folder} is no store: it has no store.json")
    return folder


def _show(found: str) -> None:
    verbatim_console().print(found, soft_wrap=True)

"""A bar for long work, on the terminal only, and only when asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from propense.terminal import verbatim_console

_SHOWN: ContextVar[bool] = ContextVar("propense_progress", default=False)


@contextmanager
def progress_shown() -> Iterator[None]:
    """Show bars on standard error for the work inside, as the command line does."""
    token = _SHOWN.set(True)
    try:
        yield
    finally:
        _SHOWN.reset(token)


@contextmanager
def progress_hidden() -> Iterator[None]:
    """Show no bars for the work inside, of which one bar outside tells."""
    token = _SHOWN.set(False)
    try:
        yield
    finally:
        _SHOWN.reset(token)


@contextmanager
def track(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how much is done, and shows a bar of it.

    Without a terminal, one line says what was done and how long it took, so that logs stay readable.
    """
    if not _SHOWN.get():
        yield lambda _done: None
        return
    console = verbatim_console(stderr=True)
    started = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda _done: None
        console.print(f"{description}: {time.monotonic() - started:.1f} s")
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn())
    counts = (MofNCompleteColumn(),) if total is not None else ()
    with Progress(*columns, *counts, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)
        bar.update(task, total=total or 1, completed=total or 1)
        bar.refresh()

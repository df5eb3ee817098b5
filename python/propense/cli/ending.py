"""How the program ends when it is cut short: by Ctrl-C, or by a pipe that nobody reads any more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from propense.terminal import let_go

INTERRUPTED = 130


@contextmanager
def if_interrupted(holds: str) -> Iterator[None]:
    """Have the program say what holds, if Ctrl-C ends the work inside."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(holds) from None


def interruption(end: SystemExit) -> str | None:
    """Give the line for Ctrl-C where that is why the program ends; commands that wait for it say so."""
    for reason in _reasons(end):
        if isinstance(reason, KeyboardInterrupt):
            return ": ".join(["interrupted", *map(str, reason.args)])
    return None


def by_closed_pipe(end: SystemExit) -> bool:
    """Say whether the program ends for nothing else than a pipe that nobody reads any more."""
    reasons = list(_reasons(end))
    return bool(reasons) and all(isinstance(reason, BrokenPipeError) for reason in reasons)


def flush_for_whoever_reads() -> None:
    """Write out what is left for standard output, if somebody reads it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        let_go(sys.stdout)
    except OSError:
        pass  # The interpreter comes to the same at its exit, and says so.


def _reasons(end: SystemExit) -> Iterator[BaseException]:
    """Go from the end back to what was raised first, as a traceback would tell it."""
    reason: BaseException | None = end
    while reason is not None:
        hidden = reason.__suppress_context__
        reason = reason.__cause__ or (None if hidden else reason.__context__)
        if reason is not None:
            yield reason

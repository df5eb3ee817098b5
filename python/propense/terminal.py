"""The program's voice: texts are printed as they are, for names and values in them are users' data."""

from __future__ import annotations

import os
from typing import IO

from rich.console import Console


def let_go(stream: IO[str]) -> None:
    """Let what is yet to be written to a stream that nobody reads any more go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _Verbatim(Console):
    def on_broken_pipe(self) -> None:
        """Say no more: whoever reads has seen enough, and the work goes on."""
        self.quiet = True
        let_go(self.file)


def verbatim_console(
    *, stderr: bool = False, width: int | None = None, soft_wrap: bool = False
) -> Console:
    """Give a console to which ``[/b]`` is no markup and ``:x:`` no emoji, in cells of tables too.

    What is to be styled is given as ``rich.text.Text``, or with ``style``.
    """
    return _Verbatim(
        stderr=stderr,
        width=width,
        soft_wrap=soft_wrap,
        markup=False,
        emoji=False,
        highlight=False,
    )

"""The program's voice: texts are printed as they are, for names and values in them are users' data."""

from __future__ import annotations

from rich.console import Console


def verbatim_console(
    *, stderr: bool = False, width: int | None = None, soft_wrap: bool = False
) -> Console:
    """Give a console to which ``[/b]`` is no markup and ``:x:`` no emoji, in cells of tables too.

    What is to be styled is given as ``rich.text.Text``, or with ``style``.
    """
    return Console(
        stderr=stderr,
        width=width,
        soft_wrap=soft_wrap,
        markup=False,
        emoji=False,
        highlight=False,
    )

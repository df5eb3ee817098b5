"""The command ``clock``."""

from __future__ import annotations

from typing import Annotated

import typer

from propense.cli import options
from propense.instants import in_words, to_us
from propense.terminal import verbatim_console


def clock(
    address: options.Address = options.LOCAL_ADDRESS,
    advance: Annotated[
        str | None,
        typer.Option("--advance", help="Let a simulated clock go on by this, such as 30d."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            help="Or up to this date or instant.",
            metavar="T",
            callback=options.checked_instant,
        ),
    ] = None,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Say what time it is for a server, or let its simulated clock go on.

    Everything that falls due on the way happens before this returns.
    A server has such a clock if it was started with --clock simulated@2026-01-01.
    """
    if advance is not None and until is not None:
        raise typer.BadParameter("give either --advance or --until")
    console = verbatim_console()
    with options.client(address, token, ca) as client:
        before = client.clock()
        if advance is None and until is None:
            kind = "simulated" if before.simulated else "the system's"
            now = in_words(to_us(before.now), always_time=True)
            console.print(f"{now} ({kind})")
            return
        seen = client.list_segments().last_transition
        after = client.advance_clock(advance, until=until)
    now = in_words(to_us(after.now), always_time=True)
    many = after.last_transition - seen
    console.print(f"{now} ({many:,} transition{'' if many == 1 else 's'})")

"""The command ``watch``."""

from __future__ import annotations

import json
import os
import sys
from itertools import islice
from typing import Annotated

import typer

from propense.cli import options
from propense.instants import in_words, to_us
from propense.segments.transition import Transition
from propense.terminal import verbatim_console

INTERRUPTED = 130


def watch(
    segments: Annotated[
        list[str] | None,
        typer.Argument(help="Names of segments; left out: all.", metavar="SEGMENT"),
    ] = None,
    address: options.Address = options.LOCAL_ADDRESS,
    after: Annotated[
        int | None,
        typer.Option(
            "--after",
            min=0,
            help="Begin with the transition after this number, in the past too; 0: with the first "
            "that is kept. Left out: with the next one that happens.",
            metavar="N",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", min=1, help="End after so many; left out: at Ctrl-C.", metavar="N"),
    ] = None,
    as_json: options.AsJson = False,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Print who enters and leaves segments, a line each, as it happens.

    Time, enter or exit, segment, user, cause, and the number with which --after goes on.
    """
    console = verbatim_console(stderr=True)
    try:
        with (
            options.client(address, token, ca) as client,
            client.watch_transitions(segments or (), after=after) as watched,
        ):
            named = ", ".join(segments or ()) or "all segments"
            since = f"watching {named} on {address} after transition {watched.up_to}"
            console.print(since, soft_wrap=True)
            for one in islice(watched, count):
                print(_as_json(one) if as_json else _line(one), flush=True)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever reads has seen enough; closing the descriptor keeps the exit quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(one: Transition) -> str:
    when = in_words(to_us(one.time), always_time=True)
    return (
        f"{when}  {one.kind:5}  {one.segment}  {printable(one.user_id)}  {one.cause}  {one.number}"
    )


def _as_json(one: Transition) -> str:
    fields = {
        "number": one.number,
        "user_id": one.user_id,
        "segment": one.segment,
        "kind": one.kind,
        "time": one.time.isoformat(),
        "cause": one.cause,
    }
    return json.dumps(fields, ensure_ascii=False)


def printable(text: str) -> str:
    """Give a text that came from outside without what would steer a terminal."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)

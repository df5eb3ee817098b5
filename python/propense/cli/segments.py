"""The commands ``segments``, ``segments show``, ``put``, ``delete`` and ``members``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from propense.cli import options
from propense.cli.commands import put as put_frame
from propense.cli.segment_tree import as_fields, lines, overlap_table, segment_fields, tree
from propense.segments.files import read_segments
from propense.terminal import verbatim_console

if TYPE_CHECKING:
    from propense.client import Client

segments = typer.Typer(
    name="segments",
    help="Show, put and delete the segments of a running server.",
    invoke_without_command=True,
    context_settings=options.ADDRESS_IS_SERVER,
)

Name = Annotated[str, typer.Argument(help="The segment's name.", metavar="NAME")]
OptionalAddress = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="host:port of the running server.",
        metavar="A",
        show_default=options.LOCAL_ADDRESS,
    ),
]


@dataclass(frozen=True)
class Where:
    """How the server is reached and answers are printed, as given before the subcommand."""

    address: str | None
    token: str | None
    ca: Path | None
    as_json: bool


@segments.callback()
def show_all(
    context: typer.Context,
    address: OptionalAddress = None,
    as_json: options.AsJson = False,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Show all segments of a running server: members, rules, what reads what, and who is in two.

    On a terminal a tree; in a pipe a line a segment: name, members, rule.
    """
    context.obj = Where(address, token, ca, as_json)
    if context.invoked_subcommand is not None:
        return
    with _client(context, address, token, ca) as client:
        held = client.list_segments(overlaps=True)
    if as_json:
        print(json.dumps(as_fields(held), ensure_ascii=False, indent=2))
    elif sys.stdout.isatty():
        console = verbatim_console()
        console.print(tree(held))
        if held.overlaps:
            console.print(overlap_table(held))
    else:
        for line in lines(held):
            print(line)


@segments.command()
def show(
    context: typer.Context,
    name: Name,
    address: OptionalAddress = None,
    as_json: options.AsJson = False,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Show one segment as its file says it, and how many are in it."""
    with _client(context, address, token, ca) as client:
        held = client.get_segment(name)
    if as_json or context.obj.as_json:
        print(json.dumps(segment_fields(held), ensure_ascii=False, indent=2))
        return
    if held.definition is not None:
        print(held.definition.to_toml(), end="")
    else:
        print(f"# a tier of the model {held.tier_of}")
    print(f"# {held.members:,} members")
    if held.backfill is not None:
        done, total = held.backfill.users_done, held.backfill.users_total
        print(f"# {done:,} of {total:,} users are evaluated so far")


@segments.command()
def put(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(help="Segment files (TOML), or folders of them.", metavar="FILE"),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check them; change nothing.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="Whether to wait until all users are evaluated."),
    ] = True,
    address: OptionalAddress = None,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Put segments, new or changed: all of them or, where one is refused, none.

    A segment file:

        name = "at_risk"
        rule = "count(support_contact, '30d') >= 3"

    The server goes on meanwhile; those in force stay where one is refused.
    """
    read = read_segments(files)
    console = verbatim_console()
    with _client(context, address, token, ca) as client:
        done = client.put_segment(read, dry_run=dry_run, wait=wait)
    for segment in done.segments:
        changed = segment.name in done.changed
        what = "changed" if changed else "as it was"
        if dry_run:
            what = "would change" if changed else "would stay as it is"
        counted = "" if dry_run or segment.backfill else f", {segment.members:,} members"
        console.print(f"{segment.name}: {what}{counted}", soft_wrap=True)


@segments.command()
def delete(
    context: typer.Context,
    name: Name,
    address: OptionalAddress = None,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Delete a segment; its members leave it."""
    with _client(context, address, token, ca) as client:
        left = client.delete_segment(name)
    verbatim_console().print(f"{name}: deleted, {left:,} members left it")


@segments.command()
def members(
    context: typer.Context,
    name: Name,
    out: Annotated[
        str,
        typer.Option(
            "--out", help="File for the ids: .parquet, .csv or .jsonl; - is CSV to the pipe."
        ),
    ] = "-",
    address: OptionalAddress = None,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Give the members of a segment: one column, user_id."""
    with _client(context, address, token, ca) as client:
        ids = client.members(name)
    put_frame(pl.DataFrame([ids]), out)


def _client(
    context: typer.Context, address: str | None, token: str | None, ca: Path | None
) -> Client:
    """Give a client; what a subcommand is not told was said before it."""
    before: Where = context.obj
    return options.client(
        address or before.address or options.LOCAL_ADDRESS, token or before.token, ca or before.ca
    )

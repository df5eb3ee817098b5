"""The command ``deliveries``: how destinations stand, dead letters, replay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from propense.terminal import verbatim_console

if TYPE_CHECKING:
    from propense.delivery.control import DestinationState

deliveries = typer.Typer(
    name="deliveries",
    help="How deliveries stand, and what is done about them; while the server runs or not.",
    invoke_without_command=True,
    no_args_is_help=False,
)

Store = Annotated[Path | None, typer.Option("--store", help="Folder of the store.", metavar="S")]
Name = Annotated[str, typer.Argument(help="Name of the destination.", metavar="NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

_COUNTS = ("unread", "waiting", "retrying", "held", "dead", "delivered", "dropped", "failures")
_ANY_WIDTH = 10_000
_STATE_WIDTH = 30
"""In a table that leaves it less, what is wrong would be a tower of letters."""


@dataclass(frozen=True)
class Before:
    """What was given before the subcommand."""

    store: Path | None
    as_json: bool


@deliveries.callback()
def overview(context: typer.Context, store: Store = None, as_json: AsJson = False) -> None:
    """Show every destination: lag, what waits, is held or was given up, and what went wrong last."""
    context.obj = Before(store, as_json)
    if context.invoked_subcommand is not None:
        return
    from propense.delivery import control

    states = control.destination_states(_folder(context, store))
    if as_json:
        _print_json(states)
        return
    show(states, verbatim_console(width=None if verbatim_console().is_terminal else _ANY_WIDTH))


def show(states: Sequence[DestinationState], console: Console) -> None:
    """Print a table of all destinations or, on a terminal too narrow for it, some lines for each.

    In a pipe a destination is one line, however long.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("destination", overflow="fold")
    table.add_column("kind", no_wrap=True)
    for name in (*_COUNTS, "oldest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", overflow="fold", min_width=_STATE_WIDTH)
    for state in states:
        table.add_row(state.name, state.kind, *_counts(state).values(), _standing(state))
    unbounded = console.options.update(width=_ANY_WIDTH)
    needed = console.measure(table, options=unbounded).minimum
    if not console.is_terminal or needed <= console.width:
        console.print(table)
        return
    for state in states:
        counts = ", ".join(f"{name} {count}" for name, count in _counts(state).items() if count)
        console.print(f"{state.name} ({state.kind}): {_standing(state)}", soft_wrap=True)
        console.print(Padding(counts, (0, 0, 0, 2)))


@deliveries.command()
def dead(context: typer.Context, name: Name, store: Store = None, as_json: AsJson = False) -> None:
    """List a destination's dead letters, with the ids that replay takes."""
    from propense.delivery import control

    letters = control.dead_letters(_folder(context, store), name)
    if as_json or context.obj.as_json:
        _print_json(letters)
        return
    for letter in letters:
        # As JSON writes it, so that no id can forge a line.
        user = json.dumps(letter.user_id)
        print(
            f"{letter.number}  {_second(letter.time)}  {letter.kind}  {letter.segment}  {user}  "
            f"after {letter.attempts} attempts: {letter.error}"
        )


@deliveries.command()
def replay(
    context: typer.Context,
    name: Name,
    store: Store = None,
    number: Annotated[
        list[int] | None,
        typer.Option("--id", help="Number of a dead letter; may be given again. Left out: all."),
    ] = None,
) -> None:
    """Put dead letters back in the queue; what is delivered again has the same id as before."""
    from propense.delivery import control

    count = control.replay(_folder(context, store), name, number or ())
    letters = "1 dead letter of {} is" if count == 1 else f"{count:,} dead letters of {{}} are"
    print(f"{letters.format(name)} in the queue again")


@deliveries.command()
def pause(context: typer.Context, name: Name, store: Store = None) -> None:
    """Deliver nothing to a destination until it is resumed; nothing is lost."""
    from propense.delivery import control

    control.pause(_folder(context, store), name)
    print(f"{name} is paused")


@deliveries.command()
def resume(
    context: typer.Context,
    name: Name,
    store: Store = None,
    after: Annotated[
        int | None,
        typer.Option("--after", min=0, help="Go on after this transition, not where it was."),
    ] = None,
) -> None:
    """Deliver to a destination again that was paused by hand, or by a receiver that is gone."""
    from propense.delivery import control

    control.resume(_folder(context, store), name, after)
    print(f"{name} goes on")


@deliveries.command()
def forget(
    context: typer.Context,
    name: Name,
    store: Store = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget a destination that is no longer configured, with all that was not delivered."""
    folder = _folder(context, store)
    if not yes:
        typer.confirm(f"forget {name}, its cursor, queue and dead letters?", abort=True)
    from propense.delivery import control

    control.forget(folder, name)
    print(f"{name} is forgotten")


def _folder(context: typer.Context, store: Path | None) -> Path:
    """Give the folder of the store; what a subcommand is not told was said before it."""
    folder: Path | None = store or context.obj.store
    if folder is None:
        raise typer.BadParameter("give the folder of the store", param_hint="--store")
    return folder


def _counts(state: DestinationState) -> dict[str, str]:
    counts = {name: f"{getattr(state, name):,}" for name in _COUNTS}
    return counts | {"oldest": "" if state.oldest_s is None else _duration(state.oldest_s)}


def _standing(state: DestinationState) -> str:
    from propense.delivery.named_segments import no_segment

    said = [no_segment(name, near) for name, near in state.missing_segments.items()]
    working = _working(state)
    if working != "ok" or not said:
        said.append(working)
    return "; ".join(said)


def _working(state: DestinationState) -> str:
    if state.paused is not None:
        return f"paused: {state.paused}"
    if state.last_error is not None and state.last_error_at is not None:
        recovered = state.last_delivered_at is not None
        if not (recovered and state.last_delivered_at > state.last_error_at):  # type: ignore[operator]
            return f"failed at {_second(state.last_error_at)}: {state.last_error}"
    return "ok"


def _duration(seconds: float) -> str:
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _second(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_json(rows: Sequence[Any]) -> None:
    for row in rows:
        values = asdict(row)
        texts = {k: _second(v) if isinstance(v, datetime) else v for k, v in values.items()}
        print(json.dumps(texts))

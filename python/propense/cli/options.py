"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propense.events import EventLog, read_events, read_profiles
from propense.exceptions import DataError
from propense.instants import to_us

if TYPE_CHECKING:
    from propense.client import Client


def checked_instant(option: typer.CallbackParam, text: str | None) -> str | None:
    """Give the text of an instant as it came, or refuse it before a log is read for nothing."""
    try:
        if text is not None:
            to_us(text)
    except DataError as error:
        raise DataError(f"{option.opts[0]}: {error}") from None
    return text


_EVENTS = typer.Option(
    "--events",
    help="Event log: a path or glob of .parquet, .csv or .jsonl files, which may be given again, "
    "or the folder of a saved log.",
    metavar="LOG",
)
Events = Annotated[list[str], _EVENTS]
MaybeEvents = Annotated[list[str] | None, _EVENTS]
ProfilesPath = Annotated[
    str | None,
    typer.Option("--profiles", help="One row a user of attributes, for attr(…).", metavar="P"),
]
UserColumn = Annotated[
    str, typer.Option("--user", help="Column of user ids, in events and profiles.", metavar="C")
]
TimeColumn = Annotated[
    str | None,
    typer.Option(
        "--time",
        help="Column of event times; left out: event_time, ts, timestamp or time.",
        metavar="C",
    ),
]
EventColumn = Annotated[str, typer.Option("--event", help="Column of event types.", metavar="C")]
EventConstant = Annotated[
    str | None,
    typer.Option(
        "--event-constant",
        help="The one event type of a log without such a column, such as purchase.",
        metavar="TYPE",
    ),
]
TimeUnit = Annotated[
    str | None,
    typer.Option("--time-unit", help="s, ms, us or ns since 1970, if times are integers."),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Only events strictly before this date or instant are seen; left out: all events.",
        metavar="T",
        callback=checked_instant,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="PROPENSE_TOKEN",
        help="For a server that asks for one.",
        metavar="T",
        show_envvar=True,
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--ca", help="PEM file of the authority of the server's certificate: TLS.", metavar="F"
    ),
]

LOCAL_ADDRESS = "127.0.0.1:50051"
Address = Annotated[
    str, typer.Option("--server", help="host:port of the running server.", metavar="A")
]
ADDRESS_IS_SERVER: dict[str, Any] = {
    "token_normalize_func": lambda name: "server" if name == "address" else name
}
"""Context settings of commands that once called the option ``--address``: it goes on to work."""
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]


def client(address: str, token: str | None, ca: Path | None) -> Client:
    """Give a client of a server; gRPC is loaded only here."""
    from propense.client import TLS, Client

    return Client(address, token=token, tls=None if ca is None else TLS(ca=ca), timeout=60.0)


@dataclass(frozen=True)
class LogOptions:
    """Where a log is and how its columns are called."""

    events: list[str]
    profiles: str | None
    user: str
    time: str | None
    event: str
    event_constant: str | None
    time_unit: str | None

    def read(self) -> EventLog:
        """Read the log, with its profiles."""
        known = None if self.profiles is None else read_profiles(self.profiles, user=self.user)
        return read_events(
            self.events,
            user=self.user,
            time=self.time,
            event=self.event,
            event_constant=self.event_constant,
            time_unit=self.time_unit,
            profiles=known,
        )

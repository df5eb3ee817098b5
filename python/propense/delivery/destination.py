"""Destinations: what goes where, as files and objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from propense.delivery.addresses import AllowedPrivate
from propense.delivery.secrets import Secret
from propense.delivery.signature import secret_key
from propense.delivery.web_address import check_url
from propense.exceptions import DeliveryError
from propense.goal_types import did_you_mean
from propense.toml_file import parse_toml

_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
_SEGMENT = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}$"
_TABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$"
_HEADER = r"^[A-Za-z0-9-]{1,64}$"
_OURS = ("host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent")

SegmentName: TypeAlias = Annotated[str, Field(pattern=_SEGMENT)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Retry(_Strict):
    """When to try again, and when to give up.

    Attributes
    ----------
    attempts
        So many failures make a dead letter. With the default waits, 30 take about two days.
    first_s, longest_s
        After the first failure the wait is between 0 and ``first_s`` seconds; the upper end doubles
        with every failure up to ``longest_s``.
    """

    attempts: int = Field(default=30, ge=1, le=1_000)
    first_s: float = Field(default=1.0, gt=0, le=3_600)
    longest_s: float = Field(default=21_600.0, gt=0, le=604_800)


class _Destination(_Strict):
    name: str = Field(pattern=_NAME)
    segments: tuple[SegmentName, ...] = Field(min_length=1)
    channel: str | None = Field(default=None, min_length=1, max_length=128)
    only_if: SegmentName | None = None
    requires_audit: Path | None = None
    begin: Literal["now", "beginning"] | None = None
    retry: Retry = Retry()

    @property
    def begins_at(self) -> Literal["now", "beginning"]:
        """Where a destination begins that was not there before."""
        return self.begin or "beginning"


class Webhook(_Destination):
    """Signed HTTP requests by the Standard Webhooks rules, one a transition.

    Attributes
    ----------
    name
        Letters, digits, ``_`` and ``-``, beginning with a letter or ``_``.
    segments
        Whose transitions are delivered.
    channel
        Makes each delivered enter an event ``message`` of the user, with this channel.
    only_if
        A segment: an enter waits until the user is in it too.
    requires_audit
        File of an audit, as ``propense audit MODEL --out`` writes it: nothing is delivered unless its
        verdict is ``pass`` and it is of the version that is served of each model that the segments read.
    begin
        Where a new destination begins: ``beginning``, or ``now`` for transitions from then on. Left
        out: ``now`` for webhooks, ``beginning`` for the rest.
    retry
        When to try again, and when to give up.
    url
        ``https://…``; ``http://…`` only for hosts in ``allow_private``.
    secrets
        ``whsec_…`` or ``env:NAME`` of a variable that holds one; with several, each signs, so that a
        receiver changes from one to the next in its own time.
    headers
        More headers, such as one of authorization; values may be ``env:NAME``.
    allow_private
        Hosts, addresses or networks that may be private; others are refused.
    ca
        PEM file of the authorities that may sign the receiver's certificate; left out: the usual.
    timeout_s
        For a whole request.
    concurrency
        Most requests at a time.
    """

    kind: Literal["webhook"] = "webhook"
    url: str
    secrets: tuple[Secret, ...] = Field(min_length=1, max_length=8)
    headers: dict[Annotated[str, Field(pattern=_HEADER)], Secret] = Field(default_factory=dict)
    allow_private: AllowedPrivate = AllowedPrivate()
    ca: Path | None = None
    timeout_s: float = Field(default=15.0, gt=0, le=60)
    concurrency: int = Field(default=8, ge=1, le=64)

    @property
    def begins_at(self) -> Literal["now", "beginning"]:
        """Where a destination begins that was not there before."""
        return self.begin or "now"

    @field_validator("secrets")
    @classmethod
    def _keys(cls, secrets: tuple[Secret, ...]) -> tuple[Secret, ...]:
        for secret in secrets:
            secret_key(secret.reveal())
        return secrets

    @field_validator("headers")
    @classmethod
    def _not_ours(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            if name.lower() in _OURS or name.lower().startswith("webhook-"):
                raise ValueError(f"the header {name!r} is set by propense")
            if not value.reveal().isprintable() or not value.reveal().isascii():
                raise ValueError(f"the header {name!r} is not printable ASCII")
        return headers

    def model_post_init(self, _context: object) -> None:
        """Refuse addresses that could never be connected to."""
        check_url(self.url, self.allow_private)


class JsonLines(_Destination):
    """A file that grows by one JSON object a line; ``path`` may be relative to the file that says so."""

    kind: Literal["jsonl"] = "jsonl"
    path: Path


class Parquet(_Destination):
    """A folder of Parquet files of up to ``rows`` transitions, or ``seconds``, whichever comes first."""

    kind: Literal["parquet"] = "parquet"
    path: Path
    rows: int = Field(default=50_000, ge=1, le=1_000_000)
    seconds: float = Field(default=60.0, gt=0, le=86_400)


class PostgreSQL(_Destination):
    """A table of who is in which segment.

    Attributes
    ----------
    dsn
        ``postgresql://…`` or ``env:NAME`` of a variable that holds one.
    table
        ``table`` or ``schema.table``; made if it is not there and may be made.
    allow_private
        As for webhooks; of a socket its folder.
    """

    kind: Literal["postgresql"] = "postgresql"
    dsn: Secret
    table: str = Field(default="propense_membership", pattern=_TABLE)
    allow_private: AllowedPrivate = AllowedPrivate()
    timeout_s: float = Field(default=15.0, gt=0, le=300)


Destination: TypeAlias = Webhook | JsonLines | Parquet | PostgreSQL
_KINDS: dict[str, type[_Destination]] = {
    "webhook": Webhook,
    "jsonl": JsonLines,
    "parquet": Parquet,
    "postgresql": PostgreSQL,
}
_ONE_OF = "webhook, jsonl, parquet or postgresql"
_ADAPTER: TypeAdapter[Destination] = TypeAdapter(
    Annotated[Destination, Field(discriminator="kind")]
)


def read_destinations(folder: str | Path) -> list[Destination]:
    """Read every ``*.toml`` of a folder, by name; a file without ``name`` is called as the file is.

    Raises
    ------
    DeliveryError
        A file cannot be read, is not TOML, a field is missing, unknown or not valid, or two
        destinations have one name or write to one place.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DeliveryError(f"{folder} is not a folder of destinations")
    return check_destinations([_read(path) for path in sorted(folder.glob("*.toml"))])


def check_destinations(destinations: Sequence[Destination]) -> list[Destination]:
    """Refuse destinations that would get in each other's way.

    Raises
    ------
    DeliveryError
        Two have one name or write to one place.
    """
    names, places = set[str](), dict[Path, str]()
    for destination in destinations:
        if destination.name in names:
            raise DeliveryError(f"two destinations are called {destination.name!r}")
        names.add(destination.name)
        if isinstance(destination, JsonLines | Parquet):
            place = destination.path.absolute()
            if place in places:
                raise DeliveryError(
                    f"destinations {places[place]!r} and {destination.name!r} both write {place}"
                )
            places[place] = destination.name
    return list(destinations)


def destination_from(values: dict[str, Any], where: str) -> Destination:
    """Build a destination from a table.

    Raises
    ------
    DeliveryError
        A field is missing, unknown or not valid; says which, and where.
    """
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise DeliveryError(f"{where}: {_problem(error, values)}") from None


def _problem(error: ValidationError, values: dict[str, Any]) -> str:
    """Say what is wrong first of all, in the words of a file rather than of Python."""
    problems = error.errors(include_url=False, include_input=False)
    # A field that is misspelt is why another is missing.
    first = min(problems, key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"] if part not in _KINDS]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = _KINDS[values["kind"]] if len(path) == 1 else Retry
        message = f"no such field{did_you_mean(path[-1], known.model_fields)}"
    elif first["type"] == "union_tag_invalid":
        path = ["kind"]
        message = f"expected {_ONE_OF}{did_you_mean(str(values['kind']), _KINDS)}"
    elif first["type"] == "tuple_type":
        message = "expected a list"
    return ": ".join([*filter(None, [".".join(path)]), message])


def _read(path: Path) -> Destination:
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeliveryError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DeliveryError(f"{path} is not TOML: {error}") from error
    if "kind" not in table:
        raise DeliveryError(f"{path}: kind: missing; expected {_ONE_OF}")
    for field in ("path", "ca", "requires_audit"):
        if isinstance(table.get(field), str):
            table[field] = path.parent / table[field]
    return destination_from({"name": path.stem} | table, str(path))

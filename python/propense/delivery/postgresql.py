"""A table of who is in which segment, for whatever reads SQL."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from propense.delivery.addresses import AddressRefusedError, AllowedPrivate, is_address
from propense.delivery.destination import PostgreSQL
from propense.delivery.sink import DELIVERED, Item, Outcome, SinkUnavailableError
from propense.exceptions import DeliveryError

_TABLE = sql.SQL("""
CREATE TABLE IF NOT EXISTS {table} (
    user_id text NOT NULL,
    segment text NOT NULL,
    is_member boolean NOT NULL,
    since timestamptz NOT NULL,
    transition_number bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, segment)
)""")
# A row never goes back to an older transition, whatever comes twice or late.
_UPSERT = sql.SQL("""
INSERT INTO {table} AS held (user_id, segment, is_member, since, transition_number, updated_at)
SELECT *, now() FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::timestamptz[], %s::bigint[])
ON CONFLICT (user_id, segment) DO UPDATE SET is_member = excluded.is_member, since = excluded.since,
    transition_number = excluded.transition_number, updated_at = excluded.updated_at
WHERE held.transition_number < excluded.transition_number""")
_ERASE = sql.SQL("DELETE FROM {table} WHERE user_id = ANY(%s::text[])")

_SOCKET = ("/", "@")
"""What a host begins with that is a socket of this machine."""
_ITS_OWN = (psycopg.DataError, psycopg.IntegrityError)
"""What is wrong with a row, not with the database."""


class PostgreSQLSink:
    """Keeps a table, all of a batch in one transaction."""

    batch_items = 2_000
    takes_chains = True
    fill_s = 0.0

    def __init__(self, destination: PostgreSQL, _origin: str) -> None:
        self._destination = destination
        self._table = sql.Identifier(*destination.table.split("."))
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def written(self, _numbers: Sequence[int]) -> set[int]:
        """Say nothing: the table takes everything twice without harm."""
        return set()

    def deliver(self, items: Sequence[Item]) -> list[tuple[Item, Outcome]]:
        """Bring the table up to date with all; what the database cannot hold is refused alone."""
        try:
            try:
                self._apply(items)
            except _ITS_OWN:
                return [(item, self._alone(item)) for item in items]
        except (psycopg.Error, OSError) as error:
            self.close()
            raise SinkUnavailableError(_said(error)) from error
        return [(item, DELIVERED) for item in items]

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _alone(self, item: Item) -> Outcome:
        try:
            self._apply([item])
        except _ITS_OWN as error:
            return Outcome("refused", _said(error))
        return DELIVERED

    def _apply(self, items: Sequence[Item]) -> None:
        last = {(i.transition.user_id, i.transition.segment): i.transition for i in items}
        erased = sorted({t.user_id for t in last.values() if t.cause == "erased"})
        rows = [t for t in last.values() if t.user_id not in set(erased)]
        connection = self._connected()
        with connection.transaction():
            if rows:
                columns: list[list[object]] = [
                    [t.user_id for t in rows],
                    [t.segment for t in rows],
                    [t.kind == "enter" for t in rows],
                    [t.time for t in rows],
                    [t.number for t in rows],
                ]
                connection.execute(_UPSERT.format(table=self._table), columns)
            if erased:
                connection.execute(_ERASE.format(table=self._table), [erased])

    def _connected(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        parameters = checked_parameters(self._destination)
        self._connection = psycopg.connect(make_conninfo(**parameters), autocommit=True)
        # Quoted, as in all other statements: without, capitals would be those of another table.
        name = self._table.as_string(self._connection)
        held = self._connection.execute("SELECT to_regclass(%s)", [name])
        row = held.fetchone()
        if row is None or row[0] is None:
            self._connection.execute(_TABLE.format(table=self._table))
        return self._connection


def checked_parameters(destination: PostgreSQL) -> dict[str, str]:
    """Give what to connect with: every host at addresses that were looked up and checked just now.

    Raises
    ------
    AddressRefusedError
        A host is private and not allowed.
    OSError
        None can be looked up.
    """
    parameters = connection_parameters(destination)
    found = [
        (host, address, str(port))
        for host, port in _places(parameters)
        for address in _addresses(host, port, destination.allow_private)
    ]
    parameters["host"] = ",".join(host for host, _, _ in found)
    parameters["hostaddr"] = ",".join(address for _, address, _ in found)
    parameters["port"] = ",".join(port for _, _, port in found)
    parameters["connect_timeout"] = str(max(2, int(destination.timeout_s)))
    # To PostgreSQL, 0 is no limit.
    timeout_ms = max(1, int(destination.timeout_s * 1_000))
    parameters["options"] = f"{parameters.get('options', '')} -c statement_timeout={timeout_ms}"
    parameters.setdefault("application_name", "propense")
    # A database that vanished without a word is not waited for.
    parameters |= {"keepalives": "1", "tcp_user_timeout": str(timeout_ms)}
    return parameters


def connection_parameters(destination: PostgreSQL) -> dict[str, str]:
    """Read the address, which names its hosts: what libpq would take from elsewhere is not checked.

    Raises
    ------
    DeliveryError
        It cannot be read, names no host, or a port that is none.
    """
    where = f"destination {destination.name}: dsn"
    try:
        parameters = {k: str(v) for k, v in conninfo_to_dict(destination.dsn.reveal()).items()}
    except psycopg.Error:
        # The message of the library shows it, the password included.
        raise DeliveryError(f"{where}: expected postgresql://user@host/database") from None
    if not parameters.get("host") or parameters.get("service"):
        raise DeliveryError(f"{where}: expected a host, such as postgresql://user@host/database")
    if parameters.get("hostaddr"):
        raise DeliveryError(f"{where}: hostaddr is not taken; name it in host")
    try:
        _places(parameters)
    except ValueError as error:
        raise DeliveryError(f"{where}: {error}") from None
    return parameters


def check_address(destination: PostgreSQL) -> None:
    """Refuse what could never be connected to; names are looked up for every connection.

    Raises
    ------
    DeliveryError
        As :func:`connection_parameters`, or it holds a private address or socket that is not allowed.
    """
    for host, port in _places(connection_parameters(destination)):
        if not (host.startswith(_SOCKET) or is_address(host)):
            continue
        try:
            _addresses(host, port, destination.allow_private)
        except AddressRefusedError as error:
            raise DeliveryError(f"destination {destination.name}: dsn: {error}") from None


def _places(parameters: dict[str, str]) -> list[tuple[str, int]]:
    """Give each host with its port, by libpq's rules: one port is for all, one left out the usual.

    Raises
    ------
    ValueError
        A host or port cannot be one, or there are not as many ports as hosts.
    """
    hosts = parameters["host"].split(",")
    ports = parameters.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts):
        raise ValueError(
            f"{len(ports)} ports for {len(hosts)} hosts; expected one, or one for each"
        )
    return [(_host(host), _port(port or "5432")) for host, port in zip(hosts, ports, strict=True)]


def _host(text: str) -> str:
    try:
        # As it is looked up by; a label may be too long or empty.
        if text and (text.startswith(_SOCKET) or text.encode("idna")):
            return text
    except UnicodeError:
        pass
    raise ValueError(f"{text!r} is no host")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535:
        return int(text)
    raise ValueError(f"{text!r} is no port; expected a number from 1 to 65535")


def _addresses(host: str, port: int, allowed: AllowedPrivate) -> list[str]:
    if host.startswith(_SOCKET):
        if not allowed.names(host):
            raise AddressRefusedError(
                f"{host} is a socket of this machine, which is not public; "
                "if that is right, name it in allow_private"
            )
        return [""]
    return allowed.resolve(host, port)


def _said(error: Exception) -> str:
    """Give what a database says, without the values that it says it of."""
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return f"PostgreSQL {error.sqlstate}: {error.diag.message_primary}"
    if isinstance(error, psycopg.DataError):
        return "PostgreSQL cannot hold this text or time"
    return " ".join(str(error).split())

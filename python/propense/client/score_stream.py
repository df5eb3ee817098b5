"""A whole audience's scores, message by message."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self, cast

import grpc
import polars as pl

from propense._proto.scoring_pb2 import StreamScoresResponse
from propense.client.answers import instant_of
from propense.client.connection import Connection, end
from propense.client.score_frames import audience_frame
from propense.exceptions import ServiceError


class ScoreStream(Iterator[pl.DataFrame]):
    """Frames of ``user_id``, ``score``, ``percentile`` and ``tier``, ascending by user id.

    All of them come from one version of the model and one view of the store. Leaving it early, or
    closing it, ends the work on the server.

    Attributes
    ----------
    model, digest, as_of
        The model's name, the SHA-256 of its manifest, and the instant before which events count.
    """

    def __init__(self, call: Iterator[StreamScoresResponse], connection: Connection) -> None:
        self._call = call
        self._connection = connection
        first = self._message()
        if first is None:
            raise ServiceError(f"{connection.address} gave no scores and no error")
        self._first: StreamScoresResponse | None = first
        self.model = first.model.name
        self.digest = first.model.digest
        self.as_of = instant_of(first.as_of)

    def __next__(self) -> pl.DataFrame:
        """Give the next frame."""
        message, self._first = self._first or self._message(), None
        if message is None:
            raise StopIteration
        return audience_frame(message.arrow_ipc)

    def _message(self) -> StreamScoresResponse | None:
        with self._connection.explained():
            return next(self._call, None)

    def close(self) -> None:
        """End the stream; nothing happens if it has ended."""
        end(cast("grpc.Call", self._call))

    def __enter__(self) -> Self:
        """Give the stream, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the stream."""
        self.close()

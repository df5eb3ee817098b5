"""The transitions of a server that is reached over gRPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from queue import Empty, Full, Queue
from typing import cast

import grpc

from propense.client import Client
from propense.client.rpc_errors import first_kept
from propense.delivery.log_lines import LOGGER
from propense.delivery.messages import Message, message_events
from propense.delivery.source import Page
from propense.exceptions import (
    NotFoundError,
    ServiceError,
    TransitionsGoneError,
    UnavailableError,
)
from propense.instants import to_us

PAGES = 4
_LOOK_S = 0.2


class ClientSource:
    """A server as deliveries see it, over a client that others may use too."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._of_thread = threading.local()
        self._feeds = set[_Feed]()
        self._lock = threading.Lock()

    def read(self, segments: Sequence[str], after: int, _limit: int, wait_s: float) -> Page:
        """Give what came in since; the stream stays open between calls of one thread."""
        feed: _Feed | None = getattr(self._of_thread, "feed", None)
        if feed is None or feed.position != after:
            self._drop(feed)
            feed = _Feed(self._client, segments, after)
            self._of_thread.feed = feed
            with self._lock:
                self._feeds.add(feed)
        try:
            return feed.next(wait_s)
        except ServiceError:
            self._drop(feed)
            raise

    def newest(self) -> int:
        """Ask for the number of the last transition."""
        return self._client.list_segments().last_transition

    def segment_names(self) -> frozenset[str]:
        """Ask for the segments that there are."""
        return frozenset(one.name for one in self._client.list_segments())

    def now_us(self) -> int:
        """Ask for the server's clock."""
        return to_us(self._client.clock().now)

    def segments_of(self, user_id: str, segments: Sequence[str]) -> frozenset[str]:
        """Ask for a user's segments; of what is not known, nobody is a member."""
        try:
            found = self._client.user_segments(user_id, segments=segments, since=False)
        except NotFoundError:
            return frozenset()
        return frozenset(one.segment for one in found.segments if one.is_member)

    def models_of(self, segments: Sequence[str]) -> dict[str, str | None]:
        """Ask for all segments and models."""
        known = {one.name: one for one in self._client.list_segments()}
        served = {model.name: model.digest for model in self._client.list_models()}
        read, left, seen = set[str](), list(segments), set[str]()
        while left:
            name = left.pop()
            if name in seen or name not in known:
                continue
            seen.add(name)
            one = known[name]
            read.update(one.reads_models, filter(None, [one.tier_of]))
            left.extend(one.reads_segments)
        return {name: served.get(name) for name in sorted(read)}

    def known(self, user_ids: Sequence[str]) -> set[str]:
        """Ask for each of them."""
        return {user_id for user_id in user_ids if self._knows(user_id)}

    def _knows(self, user_id: str) -> bool:
        try:
            self._client.get_user(user_id)
        except NotFoundError:
            return False
        return True

    def record(self, messages: Sequence[Message]) -> None:
        """Ingest messages; the number and the destination make them the same when sent again."""
        self._client.ingest(message_events(messages), event_id="event_id")

    def close(self) -> None:
        """End the streams."""
        with self._lock:
            feeds, self._feeds = self._feeds, set()
        for feed in feeds:
            feed.close()

    def _drop(self, feed: _Feed | None) -> None:
        self._of_thread.feed = None
        if feed is not None:
            feed.close()
            with self._lock:
                self._feeds.discard(feed)


class _Feed:
    """One stream of transitions, read ahead by a thread of its own, but not far."""

    def __init__(self, client: Client, segments: Sequence[str], after: int) -> None:
        self._client, self._segments, self.position = client, segments, after
        self._pages: Queue[Page | ServiceError] = Queue(PAGES)
        self._call: Iterator[Page] | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._run, args=(after,), daemon=True).start()

    def next(self, wait_s: float) -> Page:
        """Give the next page, an empty one if none comes in time."""
        try:
            found = self._pages.get(timeout=wait_s) if wait_s > 0 else self._pages.get_nowait()
        except Empty:
            return Page((), self.position)
        if isinstance(found, ServiceError):
            raise found
        self.position = found.up_to
        return found

    def close(self) -> None:
        """End the stream."""
        self._closed.set()
        if self._call is not None:
            cast("grpc.Call", self._call).cancel()

    def _run(self, after: int) -> None:
        try:
            self._stream(after, self._segments)
        except NotFoundError as error:
            # A segment is not there, or no longer: the others' transitions go on.
            LOGGER.warning("%s: transitions of all segments are read instead", error)
            try:
                self._stream(after, ())
            except ServiceError as later:
                self._put(later)
        except ServiceError as error:
            self._put(error)

    def _stream(self, after: int, segments: Sequence[str]) -> None:
        try:
            for page in self._client.transition_pages(segments, after=after, opened=self._opened):
                self._put(Page(*page))
        except ServiceError as error:
            if error.reason in ("TRANSITIONS_GONE", "TRANSITIONS_AHEAD"):
                raise TransitionsGoneError(
                    str(error), code=error.code, reason=error.reason, first=first_kept(error)
                ) from error
            raise
        raise UnavailableError(f"{self._client.address} ended the stream", code="UNAVAILABLE")

    def _opened(self, call: grpc.Call) -> None:
        self._call = cast("Iterator[Page]", call)
        if self._closed.is_set():
            call.cancel()

    def _put(self, page: Page | ServiceError) -> None:
        while not self._closed.is_set():
            try:
                self._pages.put(page, timeout=_LOOK_S)
            except Full:
                continue
            return

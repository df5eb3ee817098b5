"""Webhooks by the Standard Webhooks rules: one signed request a transition."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue

import certifi
import httpcore

from propense.delivery.backoff import LONGEST_ASKED_S
from propense.delivery.connections import CheckedBackend, Deadline
from propense.delivery.destination import Webhook
from propense.delivery.payload import webhook_body
from propense.delivery.signature import secret_key, signatures
from propense.delivery.sink import DELIVERED, Item, Outcome
from propense.delivery.web_address import split_url
from propense.exceptions import DeliveryError

_ANSWER_BYTES = 16_384
"""So much of an answer is read, to use the connection again; none of it matters."""
_GATHER_S = 0.05
"""For so long outcomes are gathered before they are noted together."""
_ASK_LATER = (429, 503)
_GONE = 410


class WebhookSink:
    """Sends requests, several at a time; no two of one user and segment."""

    takes_chains = False
    fill_s = 0.0

    def __init__(self, destination: Webhook, origin: str) -> None:
        self._destination, self._origin = destination, origin
        self._keys = [secret_key(secret.reveal()) for secret in destination.secrets]
        self._deadline = Deadline()
        self._closed = threading.Event()
        self._url = _url(destination.url)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(destination),
            max_connections=destination.concurrency,
            keepalive_expiry=30.0,
            network_backend=CheckedBackend(destination.allow_private, self._deadline),
        )
        # None waits in here: whoever answers that it is busy gets no more.
        self.batch_items = destination.concurrency
        self._waiting: SimpleQueue[Item | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[Item, Outcome]] = SimpleQueue()
        self._threads, self._under_way = list[threading.Thread](), 0

    def written(self, _numbers: Sequence[int]) -> set[int]:
        """Say nothing: only the receiver knows."""
        return set()

    def deliver(self, items: Sequence[Item]) -> list[tuple[Item, Outcome]]:
        """Take up requests, and tell what became of those that ended; slow ones delay no others."""
        for _ in range(self._under_way + len(items) - len(self._threads)):
            self._threads.append(threading.Thread(target=self._work, daemon=True))
            self._threads[-1].start()
        for item in items:
            self._waiting.put(item)
        self._under_way += len(items)
        ended = list[tuple[Item, Outcome]]()
        patience = time.monotonic() + _GATHER_S
        # A transaction for each would take longer than most requests.
        while self._under_way and (len(ended) < self._under_way or not ended):
            try:
                ended.append(self._ended.get(timeout=max(0.0, patience - time.monotonic())))
            except Empty:
                break
            self._under_way -= 1
        return ended

    def close(self) -> None:
        """Close the connections; requests under way are cut off."""
        self._closed.set()
        for _ in self._threads:
            self._waiting.put(None)
        self._pool.close()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None and not self._closed.is_set():
            self._ended.put((item, self._send(item)))

    def _send(self, item: Item) -> Outcome:
        body = webhook_body(item.transition)
        # The same however often it is tried: by it the receiver knows what it has had.
        message_id = f"tr_{self._origin}_{self._destination.name}_{item.number}"
        now_s = int(time.time())
        headers = [
            (b"Host", _host(self._url)),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            (b"User-Agent", b"propense"),
            (b"webhook-id", message_id.encode()),
            (b"webhook-timestamp", str(now_s).encode()),
            (b"webhook-signature", signatures(self._keys, message_id, now_s, body).encode()),
        ]
        more = self._destination.headers.items()
        headers += [(name.encode(), value.reveal().encode()) for name, value in more]
        self._deadline.ends = time.monotonic() + self._destination.timeout_s
        timeout = {"pool": self._destination.timeout_s}
        try:
            with self._pool.stream(
                "POST", self._url, headers=headers, content=body, extensions={"timeout": timeout}
            ) as response:
                outcome = _outcome(response)
                # It has answered; what is wrong with the rest only costs the connection.
                with suppress(
                    httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError
                ):
                    read = 0
                    for part in response.iter_stream():
                        read += len(part)
                        if read > _ANSWER_BYTES:
                            break
                return outcome
        except (httpcore.TimeoutException, TimeoutError):
            return Outcome("failed", f"no answer within {self._destination.timeout_s:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return Outcome("failed", f"{type(error).__name__}: {error}")
        except Exception as error:
            # Such as a pool that was closed under it: nothing is known to have arrived.
            return Outcome("failed", type(error).__name__)


def _outcome(response: httpcore.Response) -> Outcome:
    status = response.status
    if 200 <= status <= 299:
        return DELIVERED
    said = f"HTTP {status}"
    if status == _GONE:
        reason = "the receiver answered HTTP 410: it wants no more webhooks"
        return Outcome("refused", said, pause=reason)
    if 300 <= status <= 399:
        said += ", a redirect, which is not followed"
    asked = _retry_after_s(response) if status in _ASK_LATER else None
    return Outcome("failed", said, retry_after_s=asked)


def _retry_after_s(response: httpcore.Response) -> float | None:
    """Give for how long the receiver is to be left alone: the seconds, or until the date, it says."""
    values = [value for name, value in response.headers if name.lower() == b"retry-after"]
    if not values:
        return None
    text = values[0].decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_ASKED_S)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - datetime.now(UTC)).total_seconds()), LONGEST_ASKED_S)


def _url(text: str) -> httpcore.URL:
    parts, host, port = split_url(text)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return httpcore.URL(scheme=parts.scheme, host=host, port=port, target=target)


def _host(url: httpcore.URL) -> bytes:
    """Give the header ``Host``."""
    host = b"[" + url.host + b"]" if b":" in url.host else url.host
    usual = {b"https": 443, b"http": 80}[url.scheme]
    return host if url.port == usual else host + f":{url.port}".encode()


def _tls(destination: Webhook) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=destination.ca or certifi.where())
    except OSError as error:
        raise DeliveryError(
            f"destination {destination.name}: {destination.ca} cannot be read: "
            f"{error.strerror or error}"
        ) from error

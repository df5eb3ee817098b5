"""A receiver of webhooks that checks signatures, fails on demand, and counts who connects."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@dataclass
class Request:
    id: str
    path: str
    headers: dict[str, str]
    data: dict[str, object]
    type: str
    answered: int


@dataclass
class Receiver:
    """Answers each request with what ``answer`` gives: a status, and headers."""

    url: str = ""
    secret: str = SECRET
    answer: Callable[[Request], tuple[int, dict[str, str]]] = lambda request: (204, {})
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    unverified: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def accepted(self) -> list[Request]:
        """Those answered with 2xx, of each id the first, as a receiver by the rules does."""
        with self.lock:
            found = [one for one in self.requests if 200 <= one.answered <= 299]
        return list({one.id: one for one in reversed(found)}.values())[::-1]

    def moves(self) -> list[tuple[str, str, str]]:
        """What was accepted, as (user, segment, kind)."""
        return [
            (str(one.data["user_id"]), str(one.data["segment"]), one.type.removeprefix("segment."))
            for one in self.accepted
        ]


@contextmanager
def receiver(tls: ssl.SSLContext | None = None, **options: object) -> Iterator[Receiver]:
    """Run a receiver for the length of a block."""
    made = Receiver(**options)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            with made.lock:
                made.connections += 1
            super().setup()

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:
                # Whoever sent it was killed.
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                Webhook(made.secret).verify(body, headers)
            except Exception:
                with made.lock:
                    made.unverified += 1
            payload = json.loads(body)
            request = Request(
                headers.get("webhook-id", ""),
                self.path,
                headers,
                payload["data"],
                payload["type"],
                0,
            )
            request.answered, more = made.answer(request)
            with made.lock:
                made.requests.append(request)
            if request.answered == 0:
                self.close_connection = True
                return
            self.send_response(request.answered)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def handle(self) -> None:
            # Those who connect may be killed.
            with contextlib.suppress(ConnectionError):
                super().handle()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hooks"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()

"""A server inside a Python program beside the program's own threads."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import propense as pp

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def test_a_server_that_is_let_go_holds_up_no_other_thread(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    server = pp.serve(tmp_path / "store", tmp_path / "models", address="127.0.0.1:0")
    host, port = server.address.split(":")
    ticks: list[float] = []
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    # A peer that never says goodbye: it is waited for.
    with socket.create_connection((host, int(port))) as peer:
        peer.sendall(PREFACE)
        peer.recv(9)
        thread.start()
        began = time.monotonic()
        del server
        gone = time.monotonic()
    ended.set()
    thread.join()
    assert gone - began > 0.5
    # One may come before it begins, and one as it ends.
    assert sum(began < at < gone for at in ticks) > 3

"""Work that shares nothing between threads: what the machine itself gives for each core."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from propense.bench.contender import Answer, Contender

_BLOCK_BYTES = 256 * 2**10
_BLOCKS = 240


class MachineCores(Contender):
    """Hashes a block that fits into a core's cache, again and again, shared out among the threads.

    No memory is written and nothing waits for anything, so a core more that is a whole one halves
    the time. One that shares its units with another, or is lent to other machines, does not.
    """

    def prepare(self) -> None:
        """Make the block, and as many threads as may be used."""
        self._block = bytes(_BLOCK_BYTES)
        self._threads = int(os.environ["RAYON_NUM_THREADS"])
        self._pool = ThreadPoolExecutor(self._threads)

    def run(self) -> list[bytes]:
        """Hash all blocks."""
        each = [_BLOCKS // self._threads] * self._threads
        return list(self._pool.map(self._hashed, each))

    def answer(self, result: Any) -> Answer:
        """Give the last digest of each thread."""
        return {"digest": np.array([list(digest) for digest in result], np.uint8)}

    def _hashed(self, blocks: int) -> bytes:
        digest = b""
        for _ in range(blocks):
            digest = hashlib.sha256(self._block).digest()
        return digest

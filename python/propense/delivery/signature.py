"""Signatures of webhooks: https://www.standardwebhooks.com, version 1.0.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64


def secret_key(secret: str) -> bytes:
    """Give the key of a secret, ``whsec_`` and base64.

    Raises
    ------
    ValueError
        It is not one of 24 to 64 bytes; the message does not show it.
    """
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret is {_PREFIX} and base64") from None
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(f"a secret has {_SHORTEST} to {_LONGEST} bytes, this one {len(key)}")
    return key


def signatures(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """Give the header ``webhook-signature``: one signature a key, in their order."""
    signed = b".".join([message_id.encode(), str(timestamp_s).encode(), body])
    made = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in made)

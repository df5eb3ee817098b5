"""An audit that has to be a pass before anything is delivered."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from propense.delivery.source import TransitionSource

HELD_BACK = "held back: "
"""What the reason of a pause begins with that ends by itself."""

_LOOK_S = 1.0
_MOST_BYTES = 64 * 2**20
_DIGITS = 12
"""So much of a digest is said."""


class RequiredAudit:
    """The file of an audit, looked at again and again.

    Parameters
    ----------
    path
        As :meth:`propense.Audit.save` writes it.
    segments
        The models that these read must be the audited one, in the version that is served.
    """

    def __init__(self, path: Path, segments: Sequence[str]) -> None:
        self._path, self._segments = path, segments
        self._found: str | None = None
        self._digest: str | None = None
        self._look_at = 0.0

    def problem(self, source: TransitionSource) -> str | None:
        """Say what speaks against delivering, as of about a second ago; None if nothing does.

        Raises
        ------
        PropenseError
            The server cannot say now which models it serves.
        """
        if time.monotonic() >= self._look_at:
            self._found = self._audit_problem() or self._model_problem(source)
            self._look_at = time.monotonic() + _LOOK_S
        return self._found

    def _audit_problem(self) -> str | None:
        """Read the file; its digest is kept for the models to be compared with."""
        self._digest = None
        try:
            with self._path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                return f"{self._path} is larger than {_MOST_BYTES:,} bytes"
            audit = json.loads(content)
        except OSError as error:
            return f"the audit {self._path} cannot be read: {error.strerror}"
        except (ValueError, RecursionError):
            return f"{self._path} is not JSON; expected what propense audit --out writes"
        if not isinstance(audit, dict) or audit.get("verdict") not in ("pass", "warn", "block"):
            return f"{self._path} is not an audit; expected what propense audit --out writes"
        if audit["verdict"] != "pass":
            return f"{self._path} says {audit['verdict']}; a pass is required"
        digest = audit.get("model_digest")
        if not isinstance(digest, str):
            return f"{self._path} does not say which model was audited; audit the model, not scores"
        self._digest = digest
        return None

    def _model_problem(self, source: TransitionSource) -> str | None:
        models = source.models_of(self._segments)
        if not models:
            return "its segments read no model that the audit could be of"
        for name, digest in models.items():
            if digest is None:
                return f"model {name} is not served"
            if digest != self._digest:
                return (
                    f"{self._path} is not of the version of model {name} that is served "
                    f"({digest[:_DIGITS]}…, audited {str(self._digest)[:_DIGITS]}…); audit it anew"
                )
        return None

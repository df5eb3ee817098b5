"""The audit that a segment may require: a file beside the model's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from propense.exceptions import DataError

if TYPE_CHECKING:
    from propense.audit.result import Audit

ENDING = ".audit.json"


def beside(model: Path) -> Path:
    """Give the file that an audit of the model in a folder is published in."""
    # Also of `.` and of a folder with a slash at its end.
    folder = model.resolve()
    return folder.with_name(folder.name + ENDING)


def write_published(found: Audit, model: Path) -> Path:
    """Write the file of an audit; see ``Audit.publish``."""
    if found.model_digest is None:
        raise DataError("these scores may be anyone's; audit the model itself to publish it")
    return found.save(beside(model))


def passes(path: Path, digest: str) -> bool:
    """Say whether the file holds an audit of this version of a model that is a pass.

    Raises
    ------
    DataError
        There is a file and it is no audit.
    """
    try:
        audit = json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        audit = None
    if not isinstance(audit, dict) or "verdict" not in audit:
        raise DataError(f"{path} is not an audit; expected what propense audit --publish writes")
    return audit["verdict"] == "pass" and audit.get("model_digest") == digest

"""What the extra ``train`` installs, asked for before any long work."""

from __future__ import annotations

from importlib.util import find_spec

from propense.exceptions import TrainingError


def require_train_extra(*packages: str) -> None:
    """Refuse, with what to do, if a package that is needed is not installed."""
    missing = [name for name in packages or ("lightgbm", "onnx") if find_spec(name) is None]
    if missing:
        raise TrainingError(
            f"{' and '.join(missing)} not installed; this needs: pip install 'propense[train]'"
        )

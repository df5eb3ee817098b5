"""A simulation as three Parquet files."""

from __future__ import annotations

from pathlib import Path

from propense.exceptions import OutputError
from propense.simulator.simulation import Simulation


def write(simulation: Simulation, directory: str | Path) -> list[Path]:
    """Write ``events.parquet``, ``profiles.parquet`` and ``truth.parquet``; give their paths.

    The directory is made if need be. Each file is written aside and renamed, so that a file of
    that name is always whole.

    Raises
    ------
    OutputError
        If the directory or a file cannot be written.
    """
    frames = {
        "events": simulation.events,
        "profiles": simulation.profiles,
        "truth": simulation.truth,
    }
    folder = Path(directory)
    written = []
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        aside = path.with_name(f".{path.name}.part")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(aside)
            aside.replace(path)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error}); choose a directory you may write to"
            ) from error
        finally:
            if aside.parent.is_dir():
                aside.unlink(missing_ok=True)
        written.append(path)
    return written

"""A PostgreSQL of the test's own, from Debian's package."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving import free_address


def programs() -> Path | None:
    """Give the folder of initdb and postgres, the newest there is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return None if on_path is None else Path(on_path).resolve().parent


class Database:
    """A database that can be stopped and started."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.port = int(free_address().rpartition(":")[2])
        self.folder, self._programs = folder, programs
        self.dsn = f"postgresql://tester@127.0.0.1:{self.port}/postgres"
        self._run("initdb", "-A", "trust", "-U", "tester", "-E", "UTF8", "-N", str(folder / "data"))

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # It refuses to run as root.
        options: dict[str, object] = {"user": "postgres"} if os.geteuid() == 0 else {}
        with (self.folder / "said").open("a") as said:
            subprocess.run(
                [self._programs / program, *arguments],
                check=True,
                stdout=said,
                stderr=said,
                cwd=self.folder,
                env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
                **options,  # type: ignore[call-overload]
            )


@contextmanager
def database() -> Iterator[Database]:
    """Run a database for the length of a block; without PostgreSQL the test is skipped, aloud."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql): nothing was tested")
    with tempfile.TemporaryDirectory(prefix="propense-postgres-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        made = Database(folder, found)
        made.start()
        try:
            yield made
        finally:
            made.stop()

"""Generates the Python stubs of the service from the proto files beside this one: ``make proto``.

They go to ``python/propense/_proto``, typed, with imports relative to that package, so that no other
package named ``propense.v1`` is needed and none can come between.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).parent
TARGET = PROTO.parent / "python" / "propense" / "_proto"
INIT = '"""Generated from ``proto/propense/v1`` by ``make proto``; not a public interface."""\n'


def main() -> None:
    """Generate all stubs anew; files of protos that are gone are removed."""
    sources = sorted(str(path) for path in (PROTO / "propense" / "v1").glob("*.proto"))
    # The plugins are programs beside this Python.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as aside:
        options = [f"--{kind}_out={aside}" for kind in ("python", "grpc_python")]
        options += [f"--{kind}_out=quiet:{aside}" for kind in ("mypy", "mypy_grpc")]
        include = [f"-I{PROTO}", f"-I{files('grpc_tools') / '_proto'}"]
        if protoc.main(["protoc", *include, *options, *sources]) != 0:
            sys.exit("the proto files do not compile; what is wrong is above")
        made = {path.name: path.read_text("utf-8") for path in Path(aside).rglob("*.py*")}
    TARGET.mkdir(exist_ok=True)
    for old in TARGET.glob("*_pb2*"):
        old.unlink()
    (TARGET / "__init__.py").write_text(INIT, encoding="utf-8")
    for name, text in made.items():
        # protoc-gen-grpc_python also writes a file for a proto without services.
        if name.startswith("types_pb2_grpc"):
            continue
        relative = re.sub(r"^from propense\.v1 import ", "from . import ", text, flags=re.M)
        (TARGET / name).write_text(relative, encoding="utf-8")


if __name__ == "__main__":
    main()

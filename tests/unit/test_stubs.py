"""The committed stubs are those of the proto files, and importing the package does not load them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOS = sorted((ROOT / "proto" / "propense" / "v1").glob("*.proto"))


@pytest.mark.parametrize("proto", PROTOS, ids=lambda path: path.stem)
def test_stubs_are_those_of_the_protos(proto: Path, tmp_path: Path) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

    protoc = pytest.importorskip("grpc_tools.protoc")
    out = tmp_path / "descriptors"
    include = [f"-I{ROOT / 'proto'}", f"-I{files('grpc_tools') / '_proto'}"]
    assert protoc.main(["protoc", *include, f"--descriptor_set_out={out}", str(proto)]) == 0
    (wanted,) = FileDescriptorSet.FromString(out.read_bytes()).file
    committed = FileDescriptorProto()
    import_module(f"propense._proto.{proto.stem}_pb2").DESCRIPTOR.CopyToProto(committed)
    # protoc writes names for JSON that a descriptor in use leaves out.
    for message in wanted.message_type:
        for part in (message, *message.nested_type):
            for field in part.field:
                field.ClearField("json_name")
    for message in committed.message_type:
        for part in (message, *message.nested_type):
            for field in part.field:
                field.ClearField("json_name")
    assert committed == wanted, "the protos have changed: run make proto"


def test_every_proto_has_stubs() -> None:
    stubs = (ROOT / "python" / "propense" / "_proto").glob("*_pb2.py")
    assert sorted(path.name for path in stubs) == [f"{path.stem}_pb2.py" for path in PROTOS]


def test_grpc_is_loaded_only_for_the_client() -> None:
    script = "import propense, propense.cli, sys; assert not {'grpc', 'google'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)

"""The contract, by its descriptors and its .proto files, keeps the rules of this project, and its
comments name no reason that the daemon does not have.
"""

import re
from pathlib import Path

import pytest
from bmig.v1 import guest_pb2, migration_pb2, node_pb2, peer_pb2
from google.protobuf.descriptor import EnumDescriptor, FileDescriptor
from grpc import StatusCode

from bmigd.chunk import CodecId
from bmigd.migration.handoff import Outcome
from bmigd.migration.phases import Phase
from bmigd.prechecks.facts import Verdict
from bmigd.rpc import frame

ROOT = Path(__file__).parents[1]
PROTOS = sorted(ROOT.glob("proto/bmig/v1/*.proto"))
FILES: list[FileDescriptor] = [
    module.DESCRIPTOR for module in (guest_pb2, migration_pb2, node_pb2, peer_pb2)
]
ENUMS: list[EnumDescriptor] = [enum for file in FILES for enum in file.enum_types_by_name.values()]
DECLARATION = re.compile(r"^\s*(rpc |message |enum |service |[\w. ]+ = \d+;|oneof )")
METHOD = re.compile(r"((?: *//.*\n)*) *rpc (\w+)\(")
NAME = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
STRING = re.compile(r'"([A-Z_]+)(?:: [^"]*)?"')  # a reason, alone or with a message


def comments(path: Path) -> str:
    """All that a file of the contract says in words."""
    return "\n".join(re.findall(r"//(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE))


def is_of_the_contract(name: str) -> bool:
    """Whether it is no reason: a code of gRPC, or a value with or without the name of its enum."""
    values = {value for enum in ENUMS for value in enum.values_by_name}
    return name in StatusCode.__members__ or any(f"_{one}".endswith(f"_{name}") for one in values)


def test_every_file_of_the_contract_is_looked_at() -> None:
    assert [path.name for path in PROTOS] == sorted(Path(file.name).name for file in FILES)


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.name)
def test_zero_of_every_enum_is_unspecified_and_names_carry_the_enum(enum: EnumDescriptor) -> None:
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper()
    assert enum.values[0].number == 0
    assert enum.values[0].name == f"{prefix}_UNSPECIFIED"
    assert all(value.name.startswith(f"{prefix}_") for value in enum.values)


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_declaration_has_a_comment(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    bare = [
        f"{number + 1}: {line.strip()}"
        for number, line in enumerate(lines)
        if DECLARATION.match(line) and not lines[number - 1].strip().startswith("//")
    ]
    assert not [line for line in bare if not re.search(r": (syntax|package|option|import)", line)]


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_method_says_how_it_fails(path: Path) -> None:
    methods = METHOD.findall(path.read_text(encoding="utf-8"))
    (file,) = [one for one in FILES if one.name.endswith(path.name)]
    (service,) = file.services_by_name.values()
    assert [name for _, name in methods] == [method.name for method in service.methods]
    assert [name for comment, name in methods if "\n  // Errors: " not in comment] == []


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_reason_that_a_comment_names_is_one_of_the_daemons(path: Path) -> None:
    sources = (ROOT / "bmigd").rglob("*.py")
    strings = {one for source in sources for one in STRING.findall(source.read_text("utf-8"))}
    named = {one for one in NAME.findall(comments(path)) if not is_of_the_contract(one)}
    assert len(named) > 3
    assert sorted(named - strings) == []


def test_payload_is_the_last_field_of_a_chunk() -> None:
    descriptor = peer_pb2.MemoryChunk.DESCRIPTOR
    payload = descriptor.fields_by_name["payload"]
    assert payload.number == max(field.number for field in descriptor.fields)
    assert payload.number << 3 | 2 == frame.PAYLOAD_TAG
    assert frame.PAYLOAD_TAG < 0x80  # one byte


def test_requests_and_responses_belong_to_one_method_each() -> None:
    seen = []
    for file in FILES:
        for service in file.services_by_name.values():
            assert service.name.endswith("Service")
            for method in service.methods:
                assert method.input_type.name == f"{method.name}Request"
                assert method.output_type.name == f"{method.name}Response"
                seen += [method.input_type.full_name, method.output_type.full_name]
    assert len(seen) == len(set(seen)) > 20


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (CodecId, migration_pb2.Codec, "CODEC_"),
        (Outcome, peer_pb2.Outcome, "OUTCOME_"),
        (Phase, migration_pb2.Phase, "PHASE_"),
        (Verdict, migration_pb2.Verdict, "VERDICT_"),
    ],
)
def test_our_numbers_are_those_of_the_contract(ours: type, theirs: object, prefix: str) -> None:
    contract = {name.removeprefix(prefix): number for name, number in theirs.items() if number}  # type: ignore[attr-defined]
    assert {one.name: int(one) for one in ours} == contract  # type: ignore[attr-defined]


def test_sizes_and_times_say_their_unit() -> None:
    units = ("_bytes", "_bytes_per_s", "_ms", "_us", "_s", "_pages", "_mib")
    words = ("size", "memory", "duration", "timeout", "rate", "room")
    numeric = {"int32", "int64", "uint32", "uint64", "fixed64", "double", "float"}
    bare = []
    for path in PROTOS:
        for kind, name in re.findall(
            r"^\s*(?:optional |repeated )?(\w+) (\w+) = \d+;", path.read_text(), re.MULTILINE
        ):
            if kind in numeric and name.split("_")[-1] in words and not name.endswith(units):
                bare.append(f"{path.name}: {name}")
    assert not bare

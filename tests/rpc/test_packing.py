"""Our messages of chunks are plain protobuf: what we write the generated class reads, and what it
writes we read. What it cannot read, and what no writer makes, is BadBytes and nothing else.
"""

import random

import pytest
from bmig.v1 import peer_pb2
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from bmigd.chunk import MOST_TOGETHER, Chunk
from bmigd.errors import BadBytes
from bmigd.rpc import packing
from tests.rpc.test_frame import CHUNKS, field, from_generated, generated, varint

SOME = st.lists(CHUNKS, min_size=1, max_size=MOST_TOGETHER)
NOT_KNOWN = st.one_of(
    st.builds(
        lambda number, content: field(number, 2, content),
        st.sampled_from([2, 3, 100, 2**29 - 1]),
        st.binary(max_size=10),
    ),
    st.builds(
        lambda number, value: field(number, 0, varint(value)),
        st.sampled_from([1, 2, 100]),
        st.integers(0, 2**64 - 1),
    ),
    st.sampled_from([1, 2, 100]).map(lambda number: field(number, 1, b"12345678")),
    st.sampled_from([1, 2, 100]).map(lambda number: field(number, 5, b"1234")),
)


def whole(chunks: list[Chunk]) -> peer_pb2.StreamMemoryRequest:
    """The chunks as a message of the generated class."""
    return peer_pb2.StreamMemoryRequest(chunks=map(generated, chunks))


def assert_understood_or_refused(message: bytes) -> None:
    """As the generated class reads it, or BadBytes."""
    try:
        found = packing.unpack(message)
    except BadBytes:
        return
    theirs = peer_pb2.StreamMemoryRequest.FromString(message)
    assert found == [from_generated(one) for one in theirs.chunks]


@given(SOME)
def test_what_we_write_is_what_the_generated_class_writes(chunks: list[Chunk]) -> None:
    assert packing.pack(chunks) == whole(chunks).SerializeToString()


@given(SOME)
def test_what_we_write_is_read_back_as_views(chunks: list[Chunk]) -> None:
    message = packing.pack(chunks)
    found = packing.unpack(message)
    assert found == chunks
    payloads = [one.payload for chunk in found for one in chunk.sections if chunk.wire_bytes]
    assert all(isinstance(one, memoryview) and one.obj is message for one in payloads)


@given(SOME, st.lists(NOT_KNOWN, min_size=1, max_size=3), st.randoms())
def test_fields_that_are_not_known_are_passed_over(
    chunks: list[Chunk], others: list[bytes], order: random.Random
) -> None:
    fields = [packing.pack([one]) for one in chunks]
    for other in others:
        fields.insert(order.randint(0, len(fields)), other)
    message = b"".join(fields)
    assert peer_pb2.StreamMemoryRequest.FromString(message).chunks == whole(chunks).chunks
    assert packing.unpack(message) == chunks


@given(SOME, st.data())
def test_a_cut_or_damaged_message_is_understood_or_refused(
    chunks: list[Chunk], data: st.DataObject
) -> None:
    message = bytearray(packing.pack(chunks))
    del message[data.draw(st.integers(0, len(message))) :]
    for _ in range(data.draw(st.integers(0, 3))):
        position = data.draw(st.integers(0, max(len(message) - 1, 0)))
        message[position : position + 1] = bytes([data.draw(st.integers(0, 255))])
    assert_understood_or_refused(bytes(message))


@given(st.binary(max_size=100))
@example(b"")
@example(b"\x0a")
@example(b"\x0a\xff\xff\xff\xff\x0f")
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x0a" + b"\xff" * 12)
@example(b"\x0a\x00\x13\x14")  # a group
@example(b"\x0a\x00\x02\x00")  # field 0
@example(b"\x0a\x00\x11\x00")  # eight bytes that are not there
def test_random_bytes_are_understood_or_refused(message: bytes) -> None:
    assert_understood_or_refused(message)


@pytest.mark.parametrize("message", [b"\x0a\x80\x00", b"\x8a\x00\x00", b"\x0a\x00\x92\x00\x00"])
def test_numbers_in_more_bytes_than_they_need_are_refused(message: bytes) -> None:
    with pytest.raises(BadBytes, match="not a message of memory chunks"):
        packing.unpack(message)


@pytest.mark.parametrize("message", [b"", field(2, 0, varint(1))])
def test_a_message_has_a_chunk_at_least(message: bytes) -> None:
    with pytest.raises(BadBytes, match="without chunks"):
        packing.unpack(message)


@pytest.mark.parametrize("count", [MOST_TOGETHER + 1, 1 << 21])
def test_chunks_are_counted_before_any_is_parsed(count: int) -> None:
    with pytest.raises(BadBytes, match="more than 4 chunks"):
        packing.unpack(field(1, 2, b"no chunk") * count)


@pytest.mark.parametrize("other", [field(2, 2, b""), field(2, 0, b"\0"), field(1, 0, b"\0")])
def test_of_a_million_fields_a_few_are_looked_at(other: bytes) -> None:
    with pytest.raises(BadBytes, match="more than 32 fields"):
        packing.unpack(other * (1 << 20))


def test_a_chunk_that_is_too_long_is_not_parsed() -> None:
    with pytest.raises(BadBytes, match="a chunk of"):
        packing.unpack(field(1, 2, b"\xff" * (packing.MOST_CHUNK_BYTES + 1)))


def test_what_is_no_chunk_in_a_message_is_refused_like_alone() -> None:
    message = field(1, 2, field(1, 2, b"\xff"))
    with pytest.raises(DecodeError):
        peer_pb2.StreamMemoryRequest.FromString(message)
    with pytest.raises(BadBytes, match="not a memory chunk"):
        packing.unpack(message)

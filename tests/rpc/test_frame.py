"""Our serializer of MemoryChunk is plain protobuf: it writes what the generated class
reads, reads what that one writes, and takes every other byte string exactly as that one does, or
answers BadBytes. Nothing that a peer can send raises anything else.
"""

from itertools import accumulate, pairwise

import pytest
from bmig.v1 import peer_pb2
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from bmigd.chunk import MOST_RUNS, MOST_SECTIONS, NO_CODEC, Chunk, CodecId, Section
from bmigd.errors import BadBytes
from bmigd.rpc import frame

NUMBERS = st.lists(st.integers(0, 2**32 - 1), max_size=10)
# Lengths around the places where the length on the wire takes another byte.
PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([126, 127, 128, 129, 16383, 16384]).map(bytes),
)
SECTIONS = st.builds(
    Section, codec=st.integers(-(2**31), 2**31 - 1), payload=PAYLOADS, pages=st.binary(max_size=40)
)
CHUNKS = st.builds(
    Chunk,
    migration_id=st.text(max_size=40),
    epoch=st.integers(0, 2**64 - 1),
    sequence=st.integers(0, 2**64 - 1),
    region=st.integers(0, 2**32 - 1),
    runs=NUMBERS.map(tuple),
    digest=st.binary(max_size=20),
    sections=st.lists(SECTIONS, max_size=MOST_SECTIONS).map(tuple),
    stream=st.integers(0, 2**32 - 1),
)
PAYLOAD = bytes([frame.PAYLOAD_TAG])


def written(chunk: Chunk) -> bytes:
    """What we write for a chunk."""
    return b"".join(frame.parts(chunk))


def read(encoded: bytes) -> Chunk:
    """What we read."""
    return frame.read(memoryview(encoded))


def generated(chunk: Chunk) -> peer_pb2.MemoryChunk:
    """The chunk as a message of the generated class."""
    return peer_pb2.MemoryChunk(
        migration_id=chunk.migration_id,
        epoch=chunk.epoch,
        sequence=chunk.sequence,
        region=chunk.region,
        sections=[
            peer_pb2.Section(
                codec=one.codec,  # type: ignore[arg-type]
                payload_bytes=len(one.payload),
                pages=one.pages,
            )
            for one in chunk.sections
        ],
        runs=chunk.runs,
        digest=chunk.digest,
        stream=chunk.stream,
        payload=b"".join(one.payload for one in chunk.sections),
    )


def from_generated(message: peer_pb2.MemoryChunk) -> Chunk:
    """What read() must give for a message of the generated class."""
    first = message.sections[: MOST_SECTIONS + 1]  # one too many is enough to be refused
    ends = [0, *accumulate(one.payload_bytes for one in first)]
    sections = [
        Section(int(one.codec), message.payload[begin:end], one.pages)
        for one, (begin, end) in zip(first, pairwise(ends), strict=True)
    ]
    if ends[-1] != len(message.payload):
        sections.append(Section(NO_CODEC, message.payload[ends[-1] :]))
    return Chunk(
        migration_id=message.migration_id,
        epoch=message.epoch,
        sequence=message.sequence,
        region=message.region,
        runs=tuple(message.runs),
        digest=message.digest,
        sections=tuple(sections),
        stream=message.stream,
    )


def assert_read_like_generated(encoded: bytes) -> None:
    """read() and the generated parser agree on these bytes: the same chunk, or both refuse."""
    try:
        message = peer_pb2.MemoryChunk.FromString(encoded)
    except DecodeError:
        with pytest.raises(BadBytes) as refused:
            read(encoded)
        assert refused.value.reason == "CHUNK_INVALID"
        return
    assert read(encoded) == from_generated(message)


@given(CHUNKS)
def test_what_we_write_is_what_the_generated_class_writes(chunk: Chunk) -> None:
    assert written(chunk) == generated(chunk).SerializeToString()


@given(CHUNKS)
def test_what_the_generated_class_writes_is_read_back(chunk: Chunk) -> None:
    assert read(generated(chunk).SerializeToString()) == chunk


@given(CHUNKS)
def test_what_we_write_is_read_back(chunk: Chunk) -> None:
    assert read(written(chunk)) == chunk


def test_payloads_are_views_of_the_frame_and_no_copies() -> None:
    sections = Section(CodecId.RAW, bytes(4096), b"\1"), Section(CodecId.ZSTD, b"z", b"\2")
    encoded = written(Chunk("m", 1, 1, 0, (0, 2), b"d" * 16, sections))
    for section in read(encoded).sections:
        assert isinstance(section.payload, memoryview)
        assert section.payload.obj is encoded


def test_of_a_million_sections_a_few_are_looked_at() -> None:
    encoded = field(5, 2, b"") * (1 << 20)
    assert len(read(encoded).sections) == MOST_SECTIONS + 1


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ((2, 0, 3), [b"by", b"", b"tes"]),
        ((), None),
        ((4,), None),
        ((6,), None),
        ((2, 2), None),
        ((2, 4), None),
        ((2**32 - 1, 6), None),
    ],
)
def test_sections_that_are_not_the_payload_make_a_chunk_that_nobody_takes(
    sizes: tuple[int, ...], parts: list[bytes] | None
) -> None:
    sections = [peer_pb2.Section(codec=2, payload_bytes=size) for size in sizes]  # type: ignore[arg-type]
    message = peer_pb2.MemoryChunk(sections=sections, payload=b"bytes")
    found = read(message.SerializeToString()).sections
    assert [bytes(one.payload) for one in found] == parts or parts is None
    assert any(one.codec == NO_CODEC for one in found) == (parts is None)


# Fields of a message in any order, any number of times, known and unknown ones: legal protobuf that
# our own writer never produces.
def varint(value: int) -> bytes:
    """A canonical varint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def of_size(payload_bytes: int) -> bytes:
    """A section's field."""
    return field(5, 2, field(2, 0, varint(payload_bytes)))


def field(number: int, wire_type: int, content: bytes) -> bytes:
    """One field as it is on the wire."""
    length = varint(len(content)) if wire_type == 2 else b""
    return varint(number << 3 | wire_type) + length + content


# So many lengths are small that many sections and payloads fit together.
SECTION_FIELDS = st.builds(
    lambda size, codec: field(5, 2, field(2, 0, varint(size)) + field(1, 0, varint(codec))),
    st.sampled_from([0, 1, 2, 2**32 - 1]),
    st.integers(0, 2**64 - 1),
)
PAYLOAD_FIELDS = st.sampled_from([0, 1, 2, 3, 20]).map(lambda size: field(15, 2, b"x" * size))
FIELDS = st.one_of(
    st.text(max_size=10).map(lambda text: field(1, 2, text.encode())),
    st.builds(
        lambda number, value: field(number, 0, varint(value)),
        st.sampled_from([2, 3, 4]),
        st.integers(0, 2**64 - 1),
    ),
    SECTION_FIELDS,
    st.binary(max_size=5).map(lambda content: field(5, 2, content)),
    NUMBERS.map(lambda numbers: field(6, 2, b"".join(map(varint, numbers)))),  # packed
    st.integers(0, 2**64 - 1).map(lambda number: field(6, 0, varint(number))),  # and not
    st.binary(max_size=5).map(lambda content: field(6, 2, content)),
    st.binary(max_size=20).map(lambda content: field(7, 2, content)),
    SECTION_FIELDS,
    PAYLOAD_FIELDS,
    # Unknown fields, and known ones of the wrong wire type.
    st.builds(
        lambda number, content: field(number, 2, content),
        st.sampled_from([0, 1, 2, 3, 8, 14, 16, 100, 2**29 - 1]),
        st.binary(max_size=10),
    ),
    st.builds(
        lambda number, value: field(number, 0, varint(value)),
        st.sampled_from([0, 1, 5, 7, 8, 14, 15, 16, 1000]),
        st.integers(0, 2**64 - 1),
    ),
    st.sampled_from([2, 8, 15, 16]).map(lambda number: field(number, 1, b"12345678")),
    st.sampled_from([2, 8, 15, 16]).map(lambda number: field(number, 5, b"1234")),
    st.sampled_from([8, 15]).map(lambda number: field(number, 3, b"") + field(number, 4, b"")),
    st.sampled_from([3, 4, 6, 7]).map(lambda wire_type: field(9, wire_type, b"")),
)


@given(st.lists(FIELDS, max_size=8).map(b"".join))
def test_fields_in_any_order_and_number_are_read_like_the_generated_class_does(
    encoded: bytes,
) -> None:
    assert_read_like_generated(encoded)


def test_of_two_payloads_the_last_one_counts() -> None:
    encoded = of_size(6) + field(15, 2, b"first") + field(15, 2, b"second")
    assert_read_like_generated(encoded)
    assert read(encoded).sections[0].payload == b"second"


def test_fields_after_the_payload_are_understood() -> None:
    encoded = of_size(7) + field(15, 2, b"content") + field(4, 0, varint(3))
    assert_read_like_generated(encoded)
    assert read(encoded).region == 3
    encoded = field(15, 2, b"content") + of_size(7)
    assert_read_like_generated(encoded)
    assert read(encoded).sections[0].payload == b"content"


@pytest.mark.parametrize(
    "tail",
    [
        b"\xfa\x00\x01x",  # the payload's tag in two bytes
        b"\xfa\x80\x00\x01x",
        b"\xfa\x80\x80\x80\x00\x01x",
        b"\xfa\x80\x80\x80\x80\x00\x01x",  # in six: more than a tag may have
        b"\xfa\x80\x80\x80\x80\x80\x80\x80\x80\x00\x01x",
        PAYLOAD + b"\x81\x00x",  # its length in two bytes
        PAYLOAD + b"\x81\x80\x80\x80\x00x",
        PAYLOAD + b"\x81\x80\x80\x80\x80\x00x",  # in six
        PAYLOAD + b"\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00x",
        PAYLOAD + b"\xff" * 9 + b"\x01",  # as negative as it goes
        PAYLOAD + b"\xff" * 11,
        PAYLOAD + b"\x00",  # empty
        PAYLOAD,
        PAYLOAD + b"\x05x",  # longer than the frame
        b"\x0a\xff\xff\xff\xff\x0f",  # an id longer than the frame
    ],
)
def test_unusual_numbers_are_read_like_the_generated_class_does(tail: bytes) -> None:
    assert_read_like_generated(tail)
    assert_read_like_generated(field(2, 0, varint(7)) + tail)
    assert_read_like_generated(of_size(1) + tail)


@given(CHUNKS, st.data())
def test_a_cut_frame_is_read_like_the_generated_class_does(
    chunk: Chunk, data: st.DataObject
) -> None:
    encoded = written(chunk)
    assert_read_like_generated(encoded[: data.draw(st.integers(0, len(encoded)))])


@given(CHUNKS, st.data())
def test_a_damaged_frame_is_read_like_the_generated_class_does(
    chunk: Chunk, data: st.DataObject
) -> None:
    damaged = bytearray(written(chunk))
    header_bytes = len(damaged) - chunk.wire_bytes
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, max(header_bytes - 1, 0)))
        value = data.draw(st.integers(0, 255))
        match data.draw(st.sampled_from(["replace", "insert", "delete"])):
            case "replace":
                damaged[position : position + 1] = bytes([value])
            case "insert":
                damaged[position:position] = bytes([value])
            case _:
                del damaged[position : position + 1]
    assert_read_like_generated(bytes(damaged))


@given(st.binary(max_size=100))
@example(b"")
def test_random_bytes_are_read_like_the_generated_class_does(encoded: bytes) -> None:
    assert_read_like_generated(encoded)


def test_a_header_beyond_its_bound_is_still_read() -> None:
    encoded = field(8, 2, bytes(frame.MAX_HEADER_BYTES)) + field(15, 2, b"content")
    assert_read_like_generated(encoded)


def test_too_many_runs_are_refused() -> None:
    run = field(6, 2, varint(1) * 2)
    assert len(read(run * MOST_RUNS).runs) == 2 * MOST_RUNS
    with pytest.raises(BadBytes, match="more than 4096 runs"):
        read(run * (MOST_RUNS + 1))


def test_of_a_header_with_many_fields_a_few_are_looked_at_here() -> None:
    whole = b"\x10\x01" * frame.MOST_FIELDS + PAYLOAD + b"\x01x"
    assert frame._find_payload(memoryview(whole[2:])) is not None
    assert frame._find_payload(memoryview(whole)) is None  # the generated parser's
    assert read(whole).wire_bytes == 1

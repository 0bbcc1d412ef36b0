"""MemoryChunk to bytes and back, without a copy of the payload as our own writer lays it out.

The bytes are plain protobuf: the payload is the field with the highest number, so it comes last.
Reading takes the header's fields and a view of the payload; whatever is not laid out exactly as
parts() does it goes to the generated parser, so every other implementation is understood too.
tests/rpc/test_frame.py holds both equal.
"""

from bmig.v1 import peer_pb2
from google.protobuf.message import DecodeError

from bmigd.chunk import MOST_RUNS, MOST_SECTIONS, NO_CODEC, Bytes, Chunk, Section
from bmigd.errors import BadBytes
from bmigd.rpc.varints import read_varint, varint

PAYLOAD_TAG = (15 << 3) | 2
MAX_HEADER_BYTES = 64 << 10
MOST_FIELDS = 64  # of a header that is read here; ours has nine and its sections


def parts(chunk: Chunk) -> list[Bytes]:
    """What a chunk is on the wire, one after the other; payloads as they are."""
    header = peer_pb2.MemoryChunk(
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
    ).SerializeToString()
    wire_bytes = chunk.wire_bytes
    if not wire_bytes:
        return [header]
    payloads = [one.payload for one in chunk.sections]
    return [header + bytes([PAYLOAD_TAG]) + varint(wire_bytes), *payloads]


def read(view: memoryview) -> Chunk:
    """Parse a chunk; BadBytes (CHUNK_INVALID) for anything that is not one."""
    split = _find_payload(view)
    try:
        if split is None:
            message = peer_pb2.MemoryChunk.FromString(bytes(view))
            payload = memoryview(message.payload)
        else:
            header_bytes, payload_begins = split
            message = peer_pb2.MemoryChunk.FromString(bytes(view[:header_bytes]))
            payload = view[payload_begins:]
    except DecodeError as error:
        raise BadBytes("CHUNK_INVALID", f"not a memory chunk: {error}") from error
    if len(message.runs) > 2 * MOST_RUNS:
        raise BadBytes("CHUNK_INVALID", f"more than {MOST_RUNS} runs in one chunk")
    return Chunk(
        migration_id=message.migration_id,
        epoch=message.epoch,
        sequence=message.sequence,
        region=message.region,
        runs=tuple(message.runs),
        digest=message.digest,
        sections=_sections_of(message, payload),
        stream=message.stream,
    )


def _sections_of(message: peer_pb2.MemoryChunk, payload: memoryview) -> tuple[Section, ...]:
    """Each with its part of the payload. Where they are not the payload, the receiver refuses the
    chunk, and with it the reception, which nobody knows here.
    """
    sections, begin = [], 0
    for one in message.sections[: MOST_SECTIONS + 1]:  # one too many is seen there too
        end = begin + one.payload_bytes
        sections.append(Section(int(one.codec), payload[begin:end], one.pages))
        begin = end
    if begin != len(payload):
        sections.append(Section(NO_CODEC, payload[begin:]))
    return tuple(sections)


def _find_payload(view: memoryview) -> tuple[int, int] | None:
    """Where the header ends and the payload begins, if the payload is the frame's last field and
    there is no other of its number; None sends the frame to the generated parser."""
    position = fields = 0
    while position < min(len(view), MAX_HEADER_BYTES) and fields < MOST_FIELDS:
        fields += 1
        start = position
        tag, position = read_varint(view, position)
        if tag == PAYLOAD_TAG:
            length, position = read_varint(view, position)
            # Numbers in more bytes than they need are for the generated parser to judge.
            ours = length > 0 and view[start:position] == bytes([PAYLOAD_TAG]) + varint(length)
            return (start, position) if ours and position + length == len(view) else None
        skipped = _skip(view, tag, position)
        if skipped is None:
            return None
        position = skipped
    return None


def _skip(view: memoryview, tag: int, position: int) -> int | None:
    """The position after a field of the header; None for what our writer never writes."""
    if tag & 7 == 0:
        return read_varint(view, position)[1]
    if tag & 7 == 2 and tag >> 3 < 15:
        length, position = read_varint(view, position)
        return position + length
    return None

"""Chunks to a message of StreamMemory and back, with one copy of the payloads out and none in, but
for chunks that frame.py leaves to the generated parser.

Hostile until checked: fields are counted and chunks measured before any is parsed, and whatever is
no field of a message in its shortest form is refused. tests/rpc/test_packing.py compares with the
generated class.
"""

from collections.abc import Sequence

from bmigd.chunk import CHUNK_BYTES, MOST_TOGETHER, Bytes, Chunk
from bmigd.errors import BadBytes
from bmigd.rpc import frame
from bmigd.rpc.varints import read_varint, varint

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # how a field's content is laid out
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
CHUNK_TAG = (1 << 3) | LENGTH
MOST_FIELDS = 32  # of a message, those that are unknown included
MOST_CHUNK_BYTES = CHUNK_BYTES + frame.MAX_HEADER_BYTES


def pack(chunks: Sequence[Chunk]) -> bytes:
    """A message of these; the payloads are copied once, here."""
    pieces: list[Bytes] = []
    for chunk in chunks:
        parts = frame.parts(chunk)
        pieces += [bytes([CHUNK_TAG]) + varint(sum(map(len, parts))), *parts]
    return b"".join(pieces)


def unpack(message: bytes) -> list[Chunk]:
    """The chunks of a message, at least one; BadBytes (CHUNK_INVALID) if it is none."""
    views = _chunks_in(memoryview(message))
    if not views:
        raise BadBytes("CHUNK_INVALID", "a message without chunks")
    return [frame.read(one) for one in views]


def _chunks_in(view: memoryview) -> list[memoryview]:
    """Each as it is on the wire. Fields that are unknown are passed over."""
    found, position, fields = list[memoryview](), 0, 0
    while position < len(view):
        fields += 1
        if fields > MOST_FIELDS:
            raise BadBytes("CHUNK_INVALID", f"more than {MOST_FIELDS} fields in one message")
        tag, begins = _shortest(view, position)
        content, ends = _content(view, tag, begins)
        if not tag >> 3 or ends > len(view):
            raise _no_message(position)
        if tag == CHUNK_TAG:
            found.append(_measured(view[content:ends]))
        if len(found) > MOST_TOGETHER:
            raise BadBytes("CHUNK_INVALID", f"more than {MOST_TOGETHER} chunks in one message")
        position = ends
    return found


def _measured(chunk: memoryview) -> memoryview:
    if len(chunk) > MOST_CHUNK_BYTES:
        raise BadBytes("CHUNK_INVALID", f"a chunk of {len(chunk)} bytes")
    return chunk


def _content(view: memoryview, tag: int, position: int) -> tuple[int, int]:
    """Where what follows a tag begins, without its length, and where it ends."""
    layout = tag & 7
    if layout == VARINT:
        return position, read_varint(view, position)[1]
    if layout == LENGTH:
        length, begins = _shortest(view, position)
        return begins, begins + length
    if layout in FIXED_BYTES:
        return position, position + FIXED_BYTES[layout]
    raise _no_message(position)


def _shortest(view: memoryview, position: int) -> tuple[int, int]:
    """A tag or length of 32 bits, in as few bytes as it needs, and the position after it."""
    value, after = read_varint(view, position)
    if not 0 <= value < 1 << 32 or view[position:after] != varint(value):
        raise _no_message(position)
    return value, after


def _no_message(position: int) -> BadBytes:
    return BadBytes("CHUNK_INVALID", f"not a message of memory chunks, from byte {position}")

"""The file that device state travels in: a head of ours, then QEMU's migration stream.

The stream has no length, and QEMU takes one that is cut short or goes on for whole. So the head
says how long it is, and whether the guest was held by an operator: in the stream every guest is
paused, because it was stopped for it.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

NAME = "vmstate"
MAGIC, VERSION = b"BMIGQEMU", 1
HEAD = struct.Struct(">8sHHQ")  # magic, version, flags, bytes of the stream
PAUSED = 1
MIB = 1 << 20
MAX_BYTES = 64 * MIB
SLACK_BYTES = 32 * MIB  # ROMs, and what was drawn on a screen


@dataclass(frozen=True)
class Head:
    """What the file says of itself."""

    is_paused: bool
    stream_bytes: int

    def pack(self) -> bytes:
        """As it stands in the file."""
        return HEAD.pack(MAGIC, VERSION, PAUSED * self.is_paused, self.stream_bytes)


class Flawed(Exception):
    """What is wrong with the file, in words."""


def most_bytes(memory_bytes: int) -> int:
    """How long the stream of a guest may be; a longer one has guest memory in it."""
    return min(MAX_BYTES, memory_bytes // 10 + SLACK_BYTES)


def read_head(file: Path) -> Head:
    """The head of a complete file; Flawed says why it is not."""
    try:
        size_bytes = file.stat().st_size
        with file.open("rb") as opened:
            content = opened.read(HEAD.size)
    except OSError as error:
        raise Flawed(f"cannot be read: {error}") from error
    if len(content) < HEAD.size:
        raise Flawed(f"has {size_bytes} bytes")
    magic, version, flags, stream_bytes = HEAD.unpack(content)
    if magic != MAGIC or version != VERSION or flags & ~PAUSED:
        raise Flawed("is not device state of QEMU, or of a later version")
    if size_bytes != HEAD.size + stream_bytes or not stream_bytes:
        raise Flawed(f"has {size_bytes - HEAD.size} bytes of stream, its head says {stream_bytes}")
    return Head(bool(flags & PAUSED), stream_bytes)


def is_whole(file: Path) -> bool:
    """Whether the file is complete."""
    try:
        read_head(file)
    except Flawed:
        return False
    return True

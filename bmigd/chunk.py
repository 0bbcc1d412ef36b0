"""Chunk: the one value that travels, and the sizes that bound it.

A chunk names its guest memory by region and runs of pages, carries a digest over the pages' hashes,
and may be written any number of times.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MIB = 1 << 20
PAGE_BYTES = 4096
CHUNK_BYTES = MIB  # guest bytes in one chunk, at most
CHUNK_PAGES = CHUNK_BYTES // PAGE_BYTES
MOST_RUNS = 4096  # in one chunk
MOST_SECTIONS = 4
MOST_STREAMS = 4  # that carry one migration
MOST_TOGETHER = 4  # chunks in one message
ZERO_CHUNK_BYTES = 1 << 30  # guest bytes named by one zero chunk, at most
DIGEST_BYTES = 16

Bytes = bytes | bytearray | memoryview


NO_CODEC = 0  # of a section that a peer has not, or has not told; no chunk with one is taken


class CodecId(IntEnum):
    """Payload encodings, numbered as in the contract."""

    ZERO = 1
    RAW = 2
    ZSTD = 3
    DELTA = 4


class Extent(NamedTuple):
    """A stretch of a region, in whole pages; in bytes."""

    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Section:
    """Pages of a chunk that are encoded together."""

    codec: int  # a CodecId, unless a peer sent something else
    payload: Bytes = b""
    pages: bytes = b""  # which of the chunk's, a bit for each, the lowest first; empty: all


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some pages of a region. Payloads stay apart until they are copied into the message."""

    migration_id: str
    epoch: int
    sequence: int
    region: int
    runs: tuple[int, ...]  # for each run: pages skipped since the one before, pages that it has
    digest: bytes
    sections: tuple[Section, ...]
    stream: int = 0  # number among the migration's streams of the one that carries it

    @property
    def memory_bytes(self) -> int:
        """Guest bytes that it stands for."""
        return sum(self.runs[1::2]) * PAGE_BYTES

    @property
    def wire_bytes(self) -> int:
        """Payload bytes on the wire."""
        return sum(len(section.payload) for section in self.sections)

    def has(self, codec: CodecId) -> bool:
        """Whether any of it is encoded so."""
        return any(section.codec == codec for section in self.sections)
